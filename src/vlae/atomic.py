"""Writes files and folders whole or not at all, and by one process at a time, whatever stops it."""

import errno
import glob
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

TWO_DAYS = 2 * 24 * 3600  # seconds, after which nobody goes on with an unfinished folder


class WriteError(ValueError):
    """A file or folder cannot be written; the message says why and what to do."""


def beside(path: Path, ending: str) -> Path:
    """A hidden name beside a file or folder, for what belongs to it.

    Args:
        path: the file or folder.
        ending: the ending of the hidden name.

    Examples:
        >>> beside(Path("runs/codes.npz"), "lock").as_posix()
        'runs/.codes.npz.lock'
    """
    path = path if path.name else path.resolve()  # "." has no name
    return path.with_name(f".{path.name}.{ending}")


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """Gives a name beside `path` for a file or folder that is not finished; no other process or thread has this name.

    When the block ends, it is removed, unless the block has renamed it. So are those of killed processes that are older
    than two days.

    Args:
        path: the file or folder that it is to become.

    Raises:
        OSError: if the folder of `path` cannot be read.
    """
    partial = beside(path, f"{os.getpid()}.{secrets.token_hex(4)}")
    remove_abandoned(partial.parent, glob.escape(beside(path, "").name) + "[0-9]*")
    try:
        yield partial
    finally:
        remove(partial)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary file beside `path`, which replaces `path` when the block ends, and is deleted if it fails.

    Args:
        path: the file to write.

    Raises:
        OSError: if the file cannot be written.
    """
    with unfinished(path) as partial:
        yield partial
        partial.replace(path)


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


def check_free(path: Path, advice: str = "choose another place") -> None:
    """Refuses a place for a file or folder at which there is something already; an empty folder is free.

    Args:
        path: the file or folder to write.
        advice: what to do else, for the message.

    Raises:
        WriteError: if there is something.
        OSError: if the folder cannot be read.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise WriteError(f"{path} exists already; {advice}")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder beside `path`, which becomes `path` when the block ends, and is deleted if it fails.

    Args:
        path: the folder to write, which does not exist yet or is empty.

    Raises:
        WriteError: if there is something in the folder already, or it cannot be written.
    """
    with writing(path):
        check_free(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished(path) as partial:
            partial.mkdir()
            yield partial
            partial.replace(path)


@contextmanager
def locked(file: Path, doing: str, advice: str) -> Iterator[None]:
    """Lets one process at a time into the block. The system opens the lock when the process ends, however it ends.

    Args:
        file: the lock, which is there while a process is in the block; its folder exists. A killed process leaves it,
            and the next one takes it.
        doing: what a process in the block does, for the message: "trains in runs/faces".
        advice: what else can be done, for the message: "choose another --out".

    Raises:
        WriteError: if another process is in the block, or the lock cannot be made.
    """
    lock = FileLock(file)
    with writing(file):
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise WriteError(f"another process{_holder(file)} {doing}; wait until it has ended, or {advice}") from error
    try:
        with suppress(OSError):  # a full disk, or Windows: then nobody is named
            file.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        yield
    finally:
        with suppress(OSError):
            file.unlink()
        lock.release()


def _holder(file: Path) -> str:
    """Who holds a lock, in words; nothing if that cannot be read."""
    try:
        with file.open("rb") as stream:
            holder = json.loads(stream.read(1_000))
        return f" (pid {int(holder['pid'])} on {str(holder['host'])[:100]})"
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def remove(path: Path) -> None:
    """Removes a file, or a folder with all that is in it, if it exists.

    Args:
        path: the file or folder.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_abandoned(folder: Path, pattern: str) -> None:
    """Removes the unfinished files and folders of killed processes that are older than two days.

    Args:
        folder: where they are.
        pattern: what they are called, as a glob of names.
    """
    for old in folder.glob(pattern):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > TWO_DAYS:
                remove(old)


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
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "make room, then do the same again" if full else "allow writing there, or choose another place"
        raise WriteError(f"{path} cannot be written ({error.strerror or error}); {advice}") from error
