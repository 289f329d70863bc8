"""Who is answered at all: what every request and every response of the page passes through."""

from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vlae.web.address import authority

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The content security policy: scripts and styles are files of the page, and nothing is asked of elsewhere."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What is sent with every response. One may say itself how long a browser keeps it."""

MAX_MESSAGE = 300
"""The longest message of an error, in characters."""


class Guard:
    """Middleware that answers only at the page's own names, and only what its own scripts and forms ask.

    A site that a visitor opens elsewhere can point a name of its own at this machine (DNS rebinding), or send requests
    to it from the visitor's browser. The names in Host, Origin and Sec-Fetch-Site give it away.

    Args:
        app: the application behind the guard.
        names: the names of the page, with their ports. The address of a request's own connection is one too.
    """

    def __init__(self, app: ASGIApp, *, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(
                    {name: value for name, value in HEADERS.items() if name != "Cache-Control" or name not in headers}
                )
            await send(message)

        answer = self._refuse(scope) or self._app
        await answer(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        """Return the response to a request that is not for this page, or comes from another site."""
        headers = Headers(scope=scope)
        hosts = [host.lower() for host in headers.getlist("host")]
        if len(hosts) != 1 or hosts[0] not in self._names | {_own(scope)}:
            return error("this page does not answer at this name; vlae explore --share NAME lets it", 400)
        if Request(scope).method in ("GET", "HEAD"):
            return None
        site, origin = headers.get("sec-fetch-site", "same-origin"), headers.get("origin")
        own = (None, f"http://{hosts[0]}", f"https://{hosts[0]}")
        if site != "same-origin" or (origin and origin.lower()) not in own:
            return error("only the page itself may ask this", 403)
        return None


def error(message: str, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return a response that says in one line what is wrong.

    Args:
        message: what is wrong, and what to do; it is cut to `MAX_MESSAGE`.
        status: the HTTP status, 400 or more.
        headers: more headers.
    """
    return JSONResponse({"error": " ".join(message.split())[:MAX_MESSAGE]}, status, headers)


def _own(scope: Scope) -> str | None:
    """Return the address that a request's connection has on this machine."""
    server: Any = scope.get("server")
    return authority(server[0], server[1]) if server else None
