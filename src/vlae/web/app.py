"""The web page on which a run is explored: `vlae explore RUN`.

The page is drawn by its own scripts (the folder `page`) inside a Gradio frame, and everything a visitor sees, codes
included, lives in their browser. The server keeps nothing of a visitor: it answers one question at a time, from one run
that is only ever read. Its answers are the functions of `Answers`, which Gradio also serves as an API.
"""

import base64
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.resources import files
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from vlae.errors import MissingExtraError
from vlae.figures.thumbnails import png, sheet, smaller, webp
from vlae.models.base import Codes
from vlae.report import page
from vlae.runs.run import Run
from vlae.web.session import SPAN, Exploration, Method, Row, has_umap
from vlae.web.uploads import MAX_BYTES

if TYPE_CHECKING:
    from gradio import Blocks

P = ParamSpec("P")
Answer = dict[str, Any]

LOCAL = ("127.0.0.1", "localhost", "::1")
SCRIPTS = ("parts", "state", "levels", "mix", "map", "neighbours", "start")
MAX_BODY = MAX_BYTES * 4 // 3 + 2**16  # bytes of a request: a picture in base64, and what goes with it
STRIP, PAD = 8, 7  # pictures in a strip, and on a pad's side
CLOSED = tuple(f"{root}/{door}" for root in ("", "/gradio_api") for door in ("file", "proxy", "upload"))
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'"


def explore(
    run: Run,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: bool = False,
    password: str | None = None,
    open_browser: bool = False,
    wait: bool = True,
) -> "Blocks":
    """Serves a web page on which a run can be seen, touched and understood.

    Args:
        run: a finished run.
        host: address to listen at; only this machine can reach 127.0.0.1.
        port: to listen at; None: the first free one from 7860 up.
        share: also make a public link, through Gradio's servers.
        password: asked of every visitor, whose name is "vlae"; needed where others can reach the page.
        open_browser: whether to open it here.
        wait: until Ctrl-C; otherwise the page is served from other threads until its `close()` is called.

    Returns:
        The page.

    Raises:
        ValueError: if others could reach the page without a password.
        MissingExtraError: if Gradio is not installed.
        OSError: if the port is taken.
    """
    if (share or host not in LOCAL) and not password:
        raise ValueError(f"a page at {'a public link' if share else host} needs a password: give one with --password")
    exploration = Exploration(run)
    page = build(exploration)
    Thread(target=_prepare, args=(exploration,), daemon=True).start()
    from starlette.middleware import Middleware

    page.launch(
        server_name=host,
        server_port=port,
        share=share,
        auth=("vlae", password) if password else None,
        inbrowser=open_browser,
        prevent_thread_lock=True,
        quiet=True,
        max_file_size=MAX_BYTES,
        allowed_paths=[],
        app_kwargs={"middleware": [Middleware(Guard)]},
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        head=_head(),
        theme=_theme(),
    )
    asked = "; the name is vlae" if password else ""
    print(f"open {page.share_url or page.local_url}   (Ctrl-C ends{asked})", flush=True)
    if wait:
        page.block_thread()
    return page


def build(exploration: Exploration) -> "Blocks":
    """The page of an exploration, not yet served.

    Raises:
        MissingExtraError: if Gradio is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        with _without_stubs():
            import gradio
        from gradio.events import api
    except ImportError as error:
        raise MissingExtraError('the page needs Gradio; get it with: pip install "vlae[web]"') from error

    answers = Answers(exploration)
    name = exploration.run.name
    with gradio.Blocks(title=f"{name} · vlae", analytics_enabled=False, fill_width=True) as page:
        gradio.HTML('<div id="vlae" class="vlae"></div>', apply_default_css=False)  # the scripts fill it
        for answer in answers.all():
            api(answer, api_name=answer.__name__, queue=False)
    return page


def answered(function: Callable[P, Answer]) -> Callable[P, Answer]:
    """What cannot be had is answered with a message, under "error", not with a failure."""

    @wraps(function)
    def answer(*args: P.args, **kwargs: P.kwargs) -> Answer:
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            return {"error": str(error)}

    return answer


class Answers:
    """What the page asks of a run: plain numbers in, numbers and PNG pictures out.

    Args:
        exploration: of the run.
    """

    def __init__(self, exploration: Exploration) -> None:
        self._exploration = exploration
        self._card_turn = Lock()
        self._card = ""

    def all(self) -> list[Callable[..., Answer]]:
        """Every answer, each a function with type hints."""
        methods: list[Callable[..., Answer]] = [self.describe, self.draw, self.datum, self.upload, self.picture]
        methods += [self.strips, self.codes, self.mixes, self.data, self.map, self.neighbours, self.card]
        return [answered(method) for method in methods]

    def describe(self) -> Answer:
        """The run in words: its name, source, shape and levels."""
        run = self._exploration.run
        return {
            "name": run.name,
            "source": Path(str(run.data["source"])).name,
            "sizes": list(run.recipe.code_sizes),
            "shape": list(run.recipe.shape),
            "levels": self._exploration.described(),
            "subsets": [list(chosen) for chosen in self._exploration.subsets()],
            "measured": run.evaluation is not None,
            "path": str(run.path),
            "span": SPAN,
            "strip": STRIP,
            "pad": PAD,
            "umap": has_umap(),
            "max_bytes": MAX_BYTES,
        }

    def draw(self, seed: int) -> Answer:
        """A random draw from the prior: its noise."""
        return {"noise": _numbers(self._exploration.draw(int(seed)))}

    def datum(self, index: int) -> Answer:
        """One of the data shown: its noise, itself, what comes back of it, and where they differ."""
        return self._original(self._exploration.datum(int(index)))

    def upload(self, content: str) -> Answer:
        """A picture file, as a data URL or in base64: as `datum`."""
        try:
            decoded = base64.b64decode(content.split(",", 1)[-1], validate=True)
        except ValueError as error:
            raise ValueError("the file did not arrive whole; try again") from error
        return self._original(self._exploration.read(decoded))

    def _original(self, values: np.ndarray) -> Answer:
        noise, pictures, error = self._exploration.original(values)
        names = ("original", "reconstruction", "difference")
        return {
            "noise": _numbers(noise),
            "mse": error,
            **dict(zip(names, map(png, pictures), strict=True)),
        }

    def picture(self, noise: Row) -> Answer:
        """The picture of noise."""
        exploration = self._exploration
        return {"picture": png(exploration.pictures(exploration.noise(noise))[0])}

    def strips(self, noise: Row, levels: list[int], seed: int) -> Answer:
        """For each of the levels, a sheet of pictures in which it alone changes, and the codes they have there."""
        exploration = self._exploration
        held = exploration.noise(noise)
        strips = []
        for level in sorted(set(levels)):
            num = PAD if exploration.model.code_sizes[int(level) - 1] == 2 else STRIP
            values = exploration.varied(int(level), int(seed), num=num)
            pictures = exploration.pictures(exploration.with_level(held, int(level), values))
            strips.append({"level": level, "sheet": png(sheet(pictures, num)), "codes": _rounded(values)})
        return {"strips": strips}

    def codes(self, noise: Row) -> Answer:
        """The codes of noise, as `Run.decode` takes them (the same numbers, unless priors are conditional)."""
        return {"codes": _numbers(self._exploration.codes(self._exploration.noise(noise)))}

    def mixes(self, a: Row, b: Row) -> Answer:
        """All swaps of levels between two, and the paths from one to the other, as sheets."""
        exploration = self._exploration
        first, second = exploration.noise(a), exploration.noise(b)
        moving = [*([level] for level in exploration.levels), exploration.levels]
        steps = [exploration.pictures(exploration.path(first, second, levels)) for levels in moving]
        swaps = exploration.pictures(exploration.swaps(first, second))
        return {
            "swaps": png(sheet(swaps, len(swaps))),
            "paths": [
                {"levels": list(of), "sheet": png(sheet(row, len(row)))} for of, row in zip(moving, steps, strict=True)
            ],
            "steps": len(steps[0]),
        }

    def data(self) -> Answer:
        """All data shown: one sheet of small pictures, and what is known of each."""
        pictures = smaller(self._exploration.data_pictures())
        columns = int(np.ceil(np.sqrt(len(pictures))))
        known = self._exploration.columns()
        return {
            "num": len(pictures),
            "columns": columns,
            "rows": -(-len(pictures) // columns),
            "sheet": webp(sheet(pictures, columns)),
            "tile": list(pictures.shape[1:3]),
            "known": {
                name: {"values": _rounded(column["values"]), "classes": column["classes"]}
                for name, column in known.items()
            },
        }

    def map(self, level: int, method: Method) -> Answer:
        """All data on a plane by one level's code."""
        found = self._exploration.map(int(level), method)
        return {
            "points": _rounded(found.points),
            "axes": list(found.axes),
            "centre": None if found.centre is None else _rounded(found.centre),
            "directions": None if found.directions is None else found.directions.tolist(),
        }

    def neighbours(self, noise: Row, without: int) -> Answer:
        """The nearest data by each level; `without` is the number of one that is left out, or -1."""
        exploration = self._exploration
        left_out = int(without) if 0 <= without < len(exploration.images) else None
        found = exploration.neighbours(exploration.noise(noise), without=left_out)
        return {"levels": [{"level": level, "images": images.tolist()} for level, images in found.items()]}

    def card(self) -> Answer:
        """The level card with its numbers and figures, as HTML."""
        with self._card_turn:
            self._card = self._card or page.content(self._exploration.run)
        return {"html": self._card}


class Guard:
    """What every request meets first.

    None may be larger than a picture. Gradio's own doors to files are closed: no file is taken or given here. The page
    may ask nothing of elsewhere.

    Args:
        app: what comes after.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes a request on, counting its bytes, and adds a content security policy to the response."""
        from starlette.exceptions import HTTPException
        from starlette.responses import PlainTextResponse

        if scope["type"] == "http" and scope["path"].startswith(CLOSED):
            await PlainTextResponse("there are no files here", 404)(scope, receive, send)
            return
        received = 0

        async def counted() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise HTTPException(413, f"a request may have {MAX_BODY} bytes")
            return message

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", POLICY.encode())
                message["headers"] = [*message.get("headers", []), policy, (b"x-content-type-options", b"nosniff")]
            await send(message)

        await self.app(scope, counted, guarded)


def _numbers(noise: Codes) -> list[list[float]]:
    return [_rounded(level[0].numpy()) for level in noise]


def _rounded(values: np.ndarray) -> list[Any]:
    rounded: list[Any] = np.round(np.asarray(values, np.float64), 4).tolist()
    return rounded


def _head() -> str:
    """The page's own style and scripts, as they stand in the package."""
    folder = files("vlae.web") / "page"
    style = (folder / "page.css").read_text(encoding="utf-8")
    scripts = "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    style += f"#vlae-card {{ {page.CONTENT_STYLE} }}"
    return f"<style>{style}</style><script>(() => {{\n'use strict';\n{scripts}\n}})();</script>"


@contextmanager
def _without_stubs() -> Iterator[None]:
    """Keeps Gradio from comparing a .pyi file with each of its classes when imported: two fifths of the time it takes.

    It leaves out classes that have no file.
    """
    real = inspect.getfile

    def getfile(of: Any) -> str:
        if str(getattr(of, "__module__", "")).startswith("gradio."):
            raise OSError("no stub is wanted")
        return real(of)

    inspect.getfile = getfile  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = real


def _theme() -> Any:
    """Gradio's plain theme with the fonts a machine has; nothing is fetched."""
    import gradio

    return gradio.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )


def _prepare(exploration: Exploration) -> None:
    """Reads the data and their codes before they are asked for."""
    _ = exploration.noise_of_images
