"""Files that are written whole or not at all, whatever happens to the process or the disk."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WriteError(ValueError):
    """A file or folder that cannot be written; says why, and what to do."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which takes its place when the block ends, and is removed if it fails.

    Raises:
        OSError: if it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, as `replacing` gives it, with errors that say what to do.

    Raises:
        WriteError: if it cannot be written.
    """
    with writing(path), replacing(path) as partial:
        yield partial


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an error of the disk into one that names the path and says what to do.

    Raises:
        WriteError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = (
            "make room, then run the same command again; a training goes on with --resume"
            if full
            else "choose another --out, in a folder you may write to"
        )
        raise WriteError(f"{path} cannot be written ({error.strerror or error}); {advice}") from error
