"""The security of the page: what every request and every response passes through."""

from typing import Any

from vlae.web.uploads import MAX_BYTES

MAX_BODY = MAX_BYTES * 4 // 3 + 2**16
"""The largest request, in bytes: a picture in base64, and some more."""

CLOSED = tuple(f"{root}/{path}" for root in ("", "/gradio_api") for path in ("file", "proxy", "upload"))
"""The beginnings of Gradio's own addresses that could read or write files."""

POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'"
"""The content security policy of every response."""


class Guard:
    """Middleware that limits the size of requests, closes Gradio's access to files, and adds a security policy.

    No request may be larger than a picture. No address reads or writes a file. The page may load nothing from other
    servers.

    Args:
        app: the ASGI application behind the guard.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, count its bytes, and add the content security policy to the response."""
        from starlette.exceptions import HTTPException
        from starlette.responses import PlainTextResponse

        if scope["type"] == "http" and scope["path"].startswith(CLOSED):
            await PlainTextResponse("there are no files here", 404)(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise HTTPException(413, f"a request may have {MAX_BODY} bytes")
            return message

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", POLICY.encode())
                message["headers"] = [*message.get("headers", []), policy, (b"x-content-type-options", b"nosniff")]
            await send(message)

        await self.app(scope, receive_counted, send_with_policy)
