"""Where the page listens, and the names at which it answers."""

import errno
import re
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

FIRST_PORT = 7860
"""The first port that is tried where none is given."""

TRIED_PORTS = 100
"""How many ports are tried where none is given."""

ANY = ("", "0.0.0.0", "::")
"""Hosts that stand for every address of this machine."""

DEFAULT_PORTS = {"http": 80, "https": 443}
"""The ports that browsers leave out."""


def is_local(host: str) -> bool:
    """Tell whether only this machine can reach a host: localhost, 127.0.0.1, ::1.

    Args:
        host: a name or an IP address.
    """
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int | None) -> socket.socket:
    """Open the socket that the page listens on.

    Args:
        host: a name or an IP address of this machine.
        port: 1 to 65535. None: the first free port from 7860 on.

    Returns:
        A socket that listens.

    Raises:
        ValueError: if the port is out of range.
        OSError: if the port is in use, or the host is not this machine's.
    """
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"port is {port}; give one from 1 to 65535 with --port (port=)")
    ports = range(FIRST_PORT, FIRST_PORT + TRIED_PORTS) if port is None else [port]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    for number in ports:
        try:
            return socket.create_server((host, number), family=family, backlog=128, dualstack_ipv6=both)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            reason = (error.strerror or str(error)).partition(" (")[0]
            place = authority(host, number)
            raise OSError(
                f"cannot listen at {place} ({reason}); choose another --host (host=), or another --port (port=)"
            ) from error
    if port is not None:
        raise OSError(
            f"port {port} is in use; choose another with --port (port=), or leave it out for the first free one"
        )
    raise OSError(f"ports {ports[0]} to {ports[-1]} are in use; choose a free one with --port (port=)")


def authority(host: str, port: int | None = None) -> str:
    """Return host and port as in an address: localhost:7860, [::1]:7860.

    Args:
        host: a name or an IP address.
        port: the port. None: it is left out.
    """
    name = f"[{host}]" if ":" in host else host.lower()
    return name if port is None else f"{name}:{port}"


def names(host: str, port: int) -> set[str]:
    """Return the names, with their port, at which a page on a host is answered.

    Args:
        host: the host that the page listens on.
        port: the port it listens on.
    """
    hosts = {host} - set(ANY)
    if host in ANY or is_local(host):
        hosts |= {"127.0.0.1", "localhost", "::1"}
    ports = (port, None) if port == DEFAULT_PORTS["http"] else (port,)
    return {authority(name, number) for name in hosts for number in ports}


def public_address(text: str) -> tuple[str, str]:
    """Read the name under which others reach a page, through a tunnel or a proxy.

    Args:
        text: NAME, NAME:PORT or the whole address, https://NAME/.

    Returns:
        The scheme, "https" unless another is given, and the name with its port, as browsers send it.

    Raises:
        ValueError: if this is no such name.
    """
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname or "", parts.port
        if ":" not in host:
            host = host.encode("idna").decode()
    except ValueError:
        host = ""
    is_name = re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:.]*:[0-9a-f:.]*", host)
    if not is_name or parts.scheme not in DEFAULT_PORTS or parts.path not in ("", "/") or "@" in parts.netloc:
        raise ValueError(
            f"--share takes the name (share=) under which others open the page, as page.example.org; not {text!r}"
        )
    return parts.scheme, authority(host, None if port == DEFAULT_PORTS[parts.scheme] else port)
