"""The thread that serves the page, and what uvicorn leaves open: requests that never arrive, answers at the end."""

import asyncio
import socket
from threading import Thread

import h11
from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 20
"""How long the first lines of a request may take."""

CONNECTIONS = 256
"""How many connections are open at once; more are refused."""


class PatientProtocol(H11Protocol):
    """HTTP whose patience ends: a connection is closed on which no whole request begins within `SECONDS`."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        if self._deadline:
            self._deadline.cancel()

    def _wait(self) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self.conn.their_state is h11.IDLE:
            self.transport.abort()


class PromptServer(Server):
    """A server that ends at once: what is still being answered is cut off."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, and close every connection."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def serve(application: ASGIApp, listener: socket.socket, *, proxied: bool) -> tuple[Server, Thread]:
    """Serve an application from another thread.

    Args:
        application: what is served.
        listener: the socket on which it is served.
        proxied: whether a tunnel or a proxy on this machine says in X-Forwarded headers who asks.

    Returns:
        The server, which ends when its `should_exit` is set, and its thread.
    """
    config = Config(
        application,
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        proxy_headers=proxied,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="critical",
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=0,
    )
    server = PromptServer(config)
    # A daemon, and so are the threads it starts to compute: the end of Python waits for none of them.
    thread = Thread(target=server.run, args=([listener],), name="vlae page", daemon=True)
    thread.start()
    return server, thread
