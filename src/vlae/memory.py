"""How much memory there is: what needs more is refused before it is allocated."""

import os
from contextlib import suppress
from pathlib import Path


class NotEnoughMemoryError(ValueError):
    """Something needs more memory than there is; the message says what to lower."""


def available() -> int | None:
    """Bytes of memory that are free for this process; None if the system does not tell.

    Linux is asked for what can be had without swapping, within the limit of a container; other systems for all memory.
    """
    found = []
    with suppress(OSError, ValueError, AttributeError):  # Windows has no sysconf
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")))
    with suppress(OSError, ValueError):  # the limit is "max" if there is none
        group = Path("/sys/fs/cgroup")
        used = int((group / "memory.current").read_text())
        found.append(max(0, int((group / "memory.max").read_text()) - used))
    return min(found, default=None)


def fits(num_bytes: int) -> bool:
    """Whether there is memory for something; True if the system does not tell.

    Args:
        num_bytes: what it needs, an estimate.
    """
    free = available()
    return free is None or num_bytes <= free


def require(num_bytes: int, what: str, remedy: str) -> None:
    """Checks that there is enough memory for something that is about to be made.

    Args:
        num_bytes: what it needs, an estimate.
        what: what is to be made, for the message.
        remedy: what to do if there is too little memory.

    Raises:
        NotEnoughMemoryError: if there is less memory.

    Examples:
        >>> require(10**3, "photos.npy", "give fewer pictures")
    """
    free = available()
    if free is not None and num_bytes > free:
        raise NotEnoughMemoryError(f"{what} needs {size(num_bytes)} of memory, and {size(free)} are free; {remedy}")


def size(num_bytes: int) -> str:
    """A number of bytes as text.

    Examples:
        >>> size(68_000_000_000), size(1_200), size(3)
        ('68.0 GB', '1.2 kB', '3 bytes')
    """
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if num_bytes >= unit:
            tenths = 10 * num_bytes // unit
            return f"{tenths // 10:,}.{tenths % 10} {name}"
    return f"{num_bytes} bytes"
