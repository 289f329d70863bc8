"""Writes files completely or not at all, even if the process is killed or the disk is full."""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TWO_DAYS = 2 * 24 * 3600  # seconds, after which nobody goes on with an unfinished folder


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


def remove_abandoned(folder: Path, pattern: str) -> None:
    """Removes the unfinished folders of killed processes that are older than two days.

    Args:
        folder: where they are.
        pattern: what they are called, as a glob of names.
    """
    for unfinished in folder.glob(pattern):
        if time.time() - unfinished.stat().st_mtime > TWO_DAYS:
            shutil.rmtree(unfinished, ignore_errors=True)


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
