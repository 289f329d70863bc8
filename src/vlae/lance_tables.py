"""LanceDB tables, in folders or in object stores: opened, grown by commits, and what is wrong with them in one line."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from vlae.atomic import WriteError, beside, locked, writing
from vlae.errors import LONGEST_REASON, MissingExtraError
from vlae.names import is_utf8, printable

ROOM = "make room, then do the same again"
FULL = ("No space left", "quota exceeded", "os error 28", "os error 122")


def is_address(place: str | Path) -> bool:
    """Tell whether a place is an address in an object store, as s3://BUCKET/NAME.

    Args:
        place: a path or an address.

    Examples:
        >>> is_address("s3://bucket/codes.lance"), is_address("runs/codes.lance")
        (True, False)
    """
    return "://" in str(place)


def as_place(place: str | Path) -> str | Path:
    """Return an address as text, and anything else as a path.

    Args:
        place: a path or an address.
    """
    return str(place) if is_address(place) else Path(place)


def connect(place: str | Path) -> Any:
    """Open a folder of tables, and make it if it does not exist.

    Args:
        place: a folder, or an address in an object store. Keys and endpoints come from the environment, as
            AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT.

    Raises:
        MissingExtraError: if LanceDB is not installed.
        WriteError: if the name is not UTF-8.
        RuntimeError, OSError, ValueError: if the folder cannot be made, or the store does not answer.
    """
    return _lancedb(place).connect(place)


def _lancedb(place: str | Path) -> Any:
    try:
        import lancedb
    except ImportError as error:
        raise MissingExtraError('Lance tables need LanceDB; install it with: pip install "vlae[search]"') from error
    if not is_utf8(Path(place)):
        raise WriteError(f"{place}: LanceDB takes no name that is not UTF-8; choose another place (--out, out=)")
    return lancedb


def table_at(place: str | Path, name: str) -> Any | None:
    """Open a table; None if there is none of this name. No folder is made.

    Args:
        place: the folder of tables, or its address.
        name: of the table.

    Raises:
        MissingExtraError: if LanceDB is not installed.
        WriteError: if the place's name is not UTF-8.
        RuntimeError, OSError, ValueError: if the table is damaged, or the store does not answer.
    """
    lancedb = _lancedb(place)
    if not is_address(place) and not Path(place).is_dir():
        return None
    try:
        return lancedb.connect(place).open_table(name)
    except ValueError as error:
        if str(error).endswith("was not found"):
            return None
        raise


def append(place: str | Path, name: str, rows: Any) -> Any:
    """Add rows to a table in one commit, which makes the table if there is none. All of them are added, or none.

    Several processes may do this at once.

    Args:
        place: the folder of tables, or its address.
        name: of the table.
        rows: an Arrow table, whose metadata a new table gets.

    Returns:
        The table.

    Raises:
        RuntimeError, OSError, ValueError: if it cannot be written.
    """
    table = table_at(place, name)
    if table is None:
        try:
            return connect(place).create_table(name, data=rows)
        except ValueError as error:
            if "already exists" not in str(error):
                raise
            table = connect(place).open_table(name)  # another process has just made it
    table.add(rows)
    return table


def alone(place: str | Path, doing: str) -> AbstractContextManager[None]:
    """Let one process at a time write to a folder. In an object store there is no lock, and all may.

    Args:
        place: the table or folder of tables.
        doing: what a process in the block does, for the message: "writes codes.lance".

    Raises:
        WriteError: if another process is in the block, or the lock cannot be made.
    """
    if is_address(place):
        return nullcontext()
    path = Path(place)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return locked(beside(path, "lock"), doing, "choose another place")


@contextmanager
def committing(place: str | Path) -> Iterator[None]:
    """Turn what LanceDB raises into one line.

    Args:
        place: what the block writes.

    Raises:
        WriteError: if the block raises an error of LanceDB or of the system.
    """
    try:
        yield
    except (RuntimeError, OSError, ValueError) as error:
        if isinstance(error, OSError) or _is_of_lance(error):
            full = any(words in str(error) for words in FULL)
            advice = ROOM if full else "allow writing there, or choose another place"
            raise WriteError(f"{place} cannot be written ({why(error)}); {advice}") from error
        raise


def _is_of_lance(error: Exception) -> bool:
    """Whether an error is one of LanceDB's: they have no class of their own."""
    module, trace = "", error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        trace = trace.tb_next
    return str(module).startswith("lancedb")


def why(error: Exception) -> str:
    r"""Return what an error of LanceDB says, in a few words: what the store answered, or what the system said.

    Args:
        error: raised by LanceDB.

    Examples:
        >>> why(ValueError('IO { body: Some("<Error><Message>The bucket does not exist</Message>") }'))
        'The bucket does not exist'
        >>> why(RuntimeError("lance error: Not found: a/codes.lance, /home/me/lance.rs:12"))
        'Not found: a/codes.lance'
    """
    text = " ".join(str(error).split())
    if said := re.search(r"<Message>(.+?)</Message>", text) or re.search(r'message: \\?"(.+?)\\?"', text):
        return printable(said[1])
    if said := re.search(r"([^:{(]+) \(os error \d+\)", text):
        return printable(said[1].strip())
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror)
    text = re.split(r", /|, [\w./-]+\.rs:", text)[0]
    for beginning in ("lance error: ", "Invalid input, ", "Error resolving "):
        text = text.removeprefix(beginning)
    return printable(text[:LONGEST_REASON]).rstrip(".") or type(error).__name__
