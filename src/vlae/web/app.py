"""The web page on which a run is explored: `vlae explore RUN`.

The scripts in the folder `page` draw the page inside a Gradio frame. The browser keeps all that a visitor does, codes
included. The server stores nothing: it only reads one run, and answers one question at a time. `Answers` has a method
for every question, and Gradio serves these methods as an API.
"""

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from threading import Thread
from typing import TYPE_CHECKING, Any

from vlae.errors import MissingExtraError
from vlae.report import page
from vlae.runs.run import Run
from vlae.web.answers import Answers
from vlae.web.guard import Guard
from vlae.web.session import Session
from vlae.web.uploads import MAX_BYTES

if TYPE_CHECKING:
    from gradio import Blocks

LOCAL = ("127.0.0.1", "localhost", "::1")
"""The addresses that only this machine can reach."""

SCRIPTS = ("parts", "state", "levels", "mix", "map", "neighbours", "start")
"""The scripts of the page, in the order in which they run."""


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
    """Serve a web page that shows a run: its levels, mixes, maps and nearest neighbours.

    Args:
        run: a finished run.
        host: the address to listen on. Only this machine can reach 127.0.0.1.
        port: the port to listen on, 1 to 65535. None: the first free port from 7860 on.
        share: whether to create a public link through Gradio's servers too.
        password: the password of the page; its user name is "vlae". It is required if other machines can reach the
            page. None: no password.
        open_browser: whether to open the page in this machine's browser.
        wait: whether to wait until Ctrl-C. If not, other threads serve the page until its `close()` is called.

    Returns:
        The page.

    Raises:
        ValueError: if other machines could reach the page without a password.
        MissingExtraError: if Gradio is not installed.
        OSError: if the port is taken.
    """
    if (share or host not in LOCAL) and not password:
        raise ValueError(f"a page at {'a public link' if share else host} needs a password: give one with --password")
    session = Session(run)
    page = build(session)
    Thread(target=_prepare, args=(session,), daemon=True).start()
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
    user = "; the name is vlae" if password else ""
    print(f"open {page.share_url or page.local_url}   (Ctrl-C ends{user})", flush=True)
    if wait:
        page.block_thread()
    return page


def build(session: Session) -> "Blocks":
    """Build the page of a run. It is not served yet.

    Args:
        session: the run, and its held-out data.

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

    answers = Answers(session)
    name = session.run.name
    with gradio.Blocks(title=f"{name} · vlae", analytics_enabled=False, fill_width=True) as page:
        gradio.HTML('<div id="vlae" class="vlae"></div>', apply_default_css=False)  # the scripts fill it
        for answer in answers.all():
            api(answer, api_name=answer.__name__, queue=False)
    return page


def _head() -> str:
    """Return the style and the scripts of the page as HTML."""
    folder = files("vlae.web") / "page"
    style = (folder / "page.css").read_text(encoding="utf-8")
    scripts = "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    style += f"#vlae-card {{ {page.CONTENT_STYLE} }}"
    return f"<style>{style}</style><script>(() => {{\n'use strict';\n{scripts}\n}})();</script>"


@contextmanager
def _without_stubs() -> Iterator[None]:
    """Import Gradio without its check of a .pyi file for each class. The check takes two fifths of the import.

    Gradio leaves out classes that have no file, so its classes have none here.
    """
    getfile_of_python = inspect.getfile

    def getfile(thing: Any) -> str:
        if str(getattr(thing, "__module__", "")).startswith("gradio."):
            raise OSError("Gradio's classes need no .pyi file")
        return getfile_of_python(thing)

    inspect.getfile = getfile  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = getfile_of_python


def _theme() -> Any:
    """Return Gradio's plain theme with the machine's own fonts, so that nothing is downloaded."""
    import gradio

    return gradio.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )


def _prepare(session: Session) -> None:
    """Encode the data before the page asks for them."""
    _ = session.noise_of_images
