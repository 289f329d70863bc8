"""The server of the page: its shell, its script, its style, and an API that answers questions about a run."""

import sys
from collections.abc import Callable, Collection
from importlib.resources import files

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from jinja2 import Environment, PackageLoader
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from vlae.report import page
from vlae.web.answers import Answer, Answers
from vlae.web.arguments import parse
from vlae.web.body import read
from vlae.web.collection_answers import CollectionAnswers
from vlae.web.guard import Guard, error
from vlae.web.login import Login
from vlae.web.picture_files import picture_file
from vlae.web.session import Session
from vlae.web.uploads import MAX_BYTES

SCRIPTS = (
    *("parts", "data", "state", "tags", "reasons", "viewer", "pictures", "levels", "mix"),
    *("points", "colours", "plot", "map", "neighbours", "start"),
)
"""The scripts of the page, in the order in which they run."""

MAX_QUESTION = 2**20
"""The largest question without a picture, in bytes."""

MAX_UPLOAD = MAX_BYTES * 4 // 3 + 2**16
"""The largest question with a picture or with a large selection, in bytes: a picture in base64, and some more."""

MAX_DIGITS = 9
"""The most digits of a picture's number and size."""

AT_ONCE = 16
"""How many questions are answered at once; more wait."""

PICTURES_AT_ONCE = 4
"""How many pictures of the collection are read at once, beside the questions."""

KEPT = "private, max-age=86400, immutable"
"""How long a browser keeps a picture whose address has the version of the collection in it."""


def application(session: Session, *, names: Collection[str], password: str | None, cookie: str) -> Starlette:
    """Build the application that serves the page of a run.

    Args:
        session: the run, and its held-out data.
        names: the names at which the page answers, with their ports.
        password: the password of the page. None: no password.
        cookie: the name of the cookie of who has given it.
    """
    environment = Environment(loader=PackageLoader("vlae.web", "page"), autoescape=True)
    shell = environment.get_template("shell.html").render(name=session.run.name)
    every = [*Answers(session).all(), *CollectionAnswers(session).all()]
    answers = {answer.__name__: answer for answer in every}
    limiter, pictures_limiter = CapacityLimiter(AT_ONCE), CapacityLimiter(PICTURES_AT_ONCE)
    middleware = [Middleware(Guard, names=names)]
    if password:
        form = environment.get_template("login.html")
        middleware.append(Middleware(Login, password=password, form=form, cookie=cookie))

    async def answer(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in answers:
            raise HTTPException(404, f"there is no such question; there are {', '.join(answers)}")
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise HTTPException(415, "a question is a JSON list, sent as application/json")
        body = await read(request, MAX_UPLOAD if name in ("upload", "export") else MAX_QUESTION)
        return await run_sync(_answer, answers[name], body, abandon_on_cancel=True, limiter=limiter)

    async def picture(request: Request) -> Response:
        number, size = request.path_params["number"], request.query_params.get("size", "64")
        if not all(digits.isdecimal() and len(digits) <= MAX_DIGITS for digits in (number, size)):
            raise HTTPException(400, "a picture has a number and a size, such as /picture/3?size=256")
        version = request.query_params.get("v")
        return await run_sync(_picture, session, int(number), int(size), version, limiter=pictures_limiter)

    return Starlette(
        routes=[
            Route("/", HTMLResponse(shell), methods=["GET"]),
            Route("/page.js", Response(_script(), media_type="text/javascript"), methods=["GET"]),
            Route(
                "/map-libraries.js",
                Response(_read("vendor/map-libraries.js"), media_type="text/javascript"),
                methods=["GET"],
            ),
            Route("/page.css", Response(_style(), media_type="text/css"), methods=["GET"]),
            Route("/api/{name}", answer, methods=["POST"]),
            Route("/picture/{number}", picture, methods=["GET"]),
        ],
        middleware=middleware,
        exception_handlers={HTTPException: _refuse},
    )


def _answer(method: Callable[..., Answer], body: bytes) -> Response:
    """Answer a question. What is wrong with it, or with the server, becomes one line."""
    try:
        return JSONResponse(method(*parse(body, method)))
    except ValueError as wrong:
        return error(str(wrong), 400)
    except Exception as failure:
        message = " ".join(f"{method.__name__} failed: {type(failure).__name__}: {failure}".split())
        print(f"vlae: {message}", file=sys.stderr, flush=True)
        return error(message, 500)


def _picture(session: Session, number: int, size: int, version: str | None) -> Response:
    """Send a picture of the collection. One that is gone is asked for again next time."""
    try:
        if version not in (None, session.collection.version):
            return error("the page is of other data, shown here before; load it again", 409)
        file = picture_file(session, number, size)
    except ValueError as wrong:
        return error(str(wrong), 404)
    headers = {"Cache-Control": KEPT} if version and file.whole else None
    return Response(file.content, media_type=file.kind, headers=headers)


async def _refuse(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, HTTPException)
    return error(refused.detail, refused.status_code, dict(refused.headers or {}))


def _read(name: str) -> str:
    return (files("vlae.web") / "page" / name).read_text(encoding="utf-8")


def _script() -> str:
    """Return all scripts as one, whose names are its own."""
    scripts = "\n".join(_read(f"{name}.js") for name in SCRIPTS)
    return f"(() => {{\n'use strict';\n{scripts}\n}})();"


def _style() -> str:
    return f"{_read('page.css')}\n{_read('pictures.css')}\n#vlae-card {{ {page.CONTENT_STYLE} }}\n"
