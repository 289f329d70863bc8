"""The web page on which a run is explored: `vlae explore RUN`.

The scripts in the folder `page` draw the page. The browser keeps all that a visitor does, codes included. The server
stores nothing: it only reads one run, and answers one question at a time. `Answers` has a method for every question,
and `server` serves these methods as an API.
"""

import sys
import webbrowser
from pathlib import Path
from threading import Thread
from time import sleep
from typing import TYPE_CHECKING

from vlae.errors import MissingExtraError, reason
from vlae.runs.run import Run
from vlae.web import address
from vlae.web.session import Session

if TYPE_CHECKING:
    from uvicorn import Server


class Page:
    """A page that is being served by another thread.

    Attributes:
        url: the address at which others open the page; that of this machine if no other can.
        local_url: the address at which this machine opens it.

    Args:
        session: what is served.
        server: the server.
        thread: the thread that runs it.
        url: the address for others.
        local_url: the address for this machine.
    """

    def __init__(self, session: Session, server: "Server", thread: Thread, *, url: str, local_url: str) -> None:
        self.url = url
        self.local_url = local_url
        self._session = session
        self._server = server
        self._thread = thread
        self._preparing = Thread(target=self._prepare)  # no daemon: PyTorch aborts where the end of Python cuts it off
        self._preparing.start()

    def wait(self) -> None:
        """Wait until Ctrl-C, then close the page."""
        try:
            while self._thread.is_alive():
                sleep(0.5)  # Ctrl-C during a join() would leave Python's record of the thread wrong
        except KeyboardInterrupt:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Stop serving, within a second. What is still being computed is given up."""
        self._server.should_exit = True
        self._session.close()
        self._thread.join(1)
        self._preparing.join(0.3)  # it ends after its batch

    def _prepare(self) -> None:
        """Read and encode the data before the page asks for them. What goes wrong is said here, and when it asks."""
        try:
            self._session.prepare()
        except Exception as error:  # such as a network that is gone, or memory that is short
            self._session.encoding.failed = reason(error)
            if not self._server.should_exit:
                print(f"vlae: {reason(error)}", file=sys.stderr, flush=True)


def explore(
    run: Run,
    source: str | Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: str | None = None,
    password: str | None = None,
    open_browser: bool = False,
    wait: bool = True,
) -> Page:
    """Serve a web page that shows a collection by level: its pictures, maps and neighbours, and what the levels do.

    Args:
        run: a finished run.
        source: a folder, file or name of other data to show. None: the data that the run was trained on.
        host: the address to listen on. Only this machine can reach 127.0.0.1.
        port: the port to listen on, 1 to 65535. None: the first free port from 7860 on.
        share: the name under which others open the page through a tunnel or a proxy of yours, such as
            photos.example.org. The page answers at no other name but the host's. None: there is none.
        password: the password of the page. It is required if other machines can reach the page. None: no password.
        open_browser: whether to open the page in this machine's browser.
        wait: whether to wait until Ctrl-C. If not, another thread serves the page until its `close()` is called.

    Returns:
        The page.

    Raises:
        ValueError: if other machines could reach the page without a password, or if a name or the port is none.
        MissingExtraError: if Starlette, uvicorn or Jinja2 is not installed.
        OSError: if the port is in use.
    """
    host = host.removeprefix("[").removesuffix("]")
    scheme, public = address.public_address(share) if share is not None else ("http", None)
    if not password and not (address.is_local(host) and public is None):
        raise ValueError(
            f"a page at {public or host or 'every address'} needs a password: give one with --password (password=)"
        )
    try:
        from vlae.web.server import application
        from vlae.web.serving import serve
    except ImportError as error:
        raise MissingExtraError('the page needs Starlette and uvicorn; get them: pip install "vlae[web]"') from error

    listener = address.listen(host, port)
    number = listener.getsockname()[1]
    local = {"::": "::1"}.get(host, "127.0.0.1") if host in address.ANY else host
    local_url = f"http://{address.authority(local, number)}/"
    url = f"{scheme}://{public}/" if public else local_url
    names = address.names(host, number) | ({public} if public else set())
    session = Session(run, None if source is None else str(source))
    asked = application(session, names=names, password=password, cookie=f"vlae-{number}")
    page = Page(session, *serve(asked, listener, proxied=public is not None), url=url, local_url=local_url)
    print(f"open {url}   ({f'here {local_url}; ' if public else ''}Ctrl-C ends)", flush=True)
    if open_browser:
        webbrowser.open(local_url)
    if wait:
        page.wait()
    return page
