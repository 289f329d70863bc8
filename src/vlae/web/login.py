"""The password of the page: a form, a cookie, and a pace for wrong tries."""

import hmac
import secrets
from collections.abc import Callable
from time import monotonic
from urllib.parse import parse_qs

from jinja2 import Template
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from vlae.web.body import read
from vlae.web.guard import error

OPEN = "/page.css"
"""The only address that is served before login, beside the form."""

MAX_FORM = 4096
"""The largest form, in bytes."""


class Pace:
    """How soon a password may be tried again after wrong ones.

    A client has three wrong tries. Each further one doubles its wait, from 1 second to 1 minute. All clients together
    have ten wrong tries a second.

    Args:
        clock: returns the time in seconds.
    """

    FREE, LONGEST, APART, REMEMBERED = 3, 60.0, 0.1, 10_000

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._tries: dict[str, tuple[int, float]] = {}
        self._next = 0.0

    def wait(self, client: str) -> float:
        """Return the seconds until a client may try a password: 0 if at once.

        Args:
            client: the client's address.
        """
        _, until = self._tries.get(client, (0, 0.0))
        return max(0.0, until - self._clock(), self._next - self._clock())

    def wrong(self, client: str) -> None:
        """Note a wrong try.

        Args:
            client: the client's address.
        """
        now = self._clock()
        wrong = self._tries.pop(client, (0, 0.0))[0] + 1
        pause = min(2.0 ** (wrong - self.FREE - 1), self.LONGEST) if wrong > self.FREE else 0.0
        self._tries[client] = (wrong, now + pause)
        if len(self._tries) > self.REMEMBERED:
            del self._tries[next(iter(self._tries))]  # the one whose last try is longest ago
        self._next = now + self.APART

    def right(self, client: str) -> None:
        """Forget the wrong tries of a client.

        Args:
            client: the client's address.
        """
        self._tries.pop(client, None)


class Login:
    """Middleware that serves nothing but a login form and its style to who has not given the password.

    Args:
        app: the application behind the login.
        password: the password.
        form: the template of the form.
        cookie: the name of the cookie, another for each port: browsers do not keep ports apart.
    """

    def __init__(self, app: ASGIApp, *, password: str, form: Template, cookie: str) -> None:
        self._app = app
        self._password = password.encode()
        self._form = form
        self._cookie = cookie
        self._token = secrets.token_urlsafe(32)  # lives as long as the page
        self._pace = Pace()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let those who are known pass, and ask all others for the password."""
        request = Request(scope, receive)
        if request.url.path == "/" and request.method == "POST":
            response = await self._enter(request)
        elif request.url.path == OPEN or self._is_known(request):
            await self._app(scope, receive, send)
            return
        elif request.url.path == "/":
            response = self._ask()
        else:
            response = error("open the page again and give its password", 401)
        await response(scope, receive, send)

    def _is_known(self, request: Request) -> bool:
        return _same(request.cookies.get(self._cookie, "").encode(), self._token.encode())

    def _ask(self, message: str = "", status: int = 401, wait: float = 0.0) -> Response:
        headers = {"Retry-After": f"{wait:.0f}"} if wait else None
        return HTMLResponse(self._form.render(message=message), status, headers)

    async def _enter(self, request: Request) -> Response:
        try:
            body = await read(request, MAX_FORM)
        except HTTPException as refused:
            return error(refused.detail, refused.status_code)
        given = parse_qs(body.decode("latin-1")).get("password", [""])[0].encode()
        client = request.client.host if request.client else ""
        if (wait := self._pace.wait(client)) > 0:
            seconds = max(1, round(wait))
            return self._ask(f"Too many wrong passwords. Try again in {seconds} s.", 429, seconds)
        if not _same(given, self._password):
            self._pace.wrong(client)
            return self._ask("This is not the password.")
        self._pace.right(client)
        response = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", secure=secure)
        return response


def _same(given: bytes, expected: bytes) -> bool:
    """Compare in a time that tells nothing of where or whether two secrets differ."""
    key = secrets.token_bytes(32)
    return hmac.compare_digest(hmac.digest(key, given, "sha256"), hmac.digest(key, expected, "sha256"))
