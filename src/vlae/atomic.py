"""Writes files completely or not at all, even if the process is killed or the disk is full."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WriteError(ValueError):
    """A file or folder cannot be written; the message says why and what to do."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary file beside `path`, which replaces `path` when the block ends, and is deleted if it fails.

    Args:
        path: the file to write.

    Raises:
        OSError: if the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a temporary file beside `path`, which replaces `path` when the block ends, and is deleted if it fails.

    Args:
        path: the file to write.

    Raises:
        WriteError: if the file cannot be written; the message says what to do.
    """
    with writing(path), replacing(path) as partial:
        yield partial


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError of the block into a WriteError that names the path and says what to do.

    Args:
        path: the file or folder that the block writes.

    Raises:
        WriteError: if the block raises an OSError.
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
