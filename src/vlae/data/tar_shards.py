"""Shards as WebDataset writes them: .tar files, in which the files of one stem are one row."""

import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby, islice
from pathlib import PurePosixPath
from typing import Any

from vlae.data.addresses import StoredFile
from vlae.data.files import PICTURE_SUFFIXES
from vlae.data.shards import BYTES, ROWS, Shard
from vlae.data.source import DataError, ReadSettings
from vlae.errors import reason
from vlae.names import printable

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
"""The endings of shards."""

PICTURE_COLUMN = "image"
"""The column of pictures, unless the settings call it otherwise."""

FURTHER = "further pictures of a stem"
"""The column that stands for the pictures of a stem that are not used."""

LOOKED_AT = 64
"""Files at the beginning of the first shard that tell where a stem ends."""

LARGEST = 2**29
"""The most bytes of one file in a shard that is read."""


def tar_shards(files: list[StoredFile], settings: ReadSettings) -> tuple[Shard, ...]:
    """Make a shard of each .tar file.

    Args:
        files: the .tar files.
        settings: of which `key` chooses one of several pictures of a stem, by its ending: "seg.png".

    Raises:
        DataError: if a file on this machine's disk is no .tar file.
    """
    for file in files:
        if file.system.protocol == "file" or "file" in file.system.protocol:
            _check_first_bytes(file)
    dotted = settings.key is None and _has_dotted_stems(files[0])
    return tuple(
        Shard(
            name=file.name, stamp=file.stamp, read=partial(_read, file, settings.key, dotted), num_bytes=file.num_bytes
        )
        for file in files
    )


def _has_dotted_stems(file: StoredFile) -> bool:
    """Whether names have dots of their own, as times have: "2023-01-01 12.30.45.jpg".

    It is so if several pictures would be of one stem, and what follows its dot begins with a digit in all names.
    """
    stems = []
    with _opened(file) as tar:
        for member in islice(_members(tar), LOOKED_AT):
            stem, ending = _stem_and_ending(member)
            if not (ending[:1].isdigit() and "." in ending):  # as in most shards: nothing else is read
                return False
            if _is_picture(ending, None):
                stems.append(stem)
    return len(set(stems)) < len(stems)


def _check_first_bytes(file: StoredFile) -> None:
    """Refuse at once what is no .tar file; this takes little time, and an hour of training is not lost by it."""
    with file.open() as opened:
        _open(file, opened).close()
        if file.name.lower().endswith(".tar"):
            opened.seek(-tarfile.BLOCKSIZE, 2)
            if file.num_bytes % tarfile.BLOCKSIZE or any(opened.read()):
                raise _cut_off(file)


def _open(file: StoredFile, opened: Any) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=opened, mode="r:*")
    except tarfile.TarError as error:
        raise DataError(
            f"{file.name}: no .tar file ({reason(error)}); give shards as WebDataset writes them"
        ) from error


@contextmanager
def _opened(file: StoredFile) -> Iterator[tarfile.TarFile]:
    """Open a shard to be read; what is cut off is told of as that."""
    with file.open() as opened, _open(file, opened) as tar:
        try:
            yield tar
        except (tarfile.TarError, EOFError) as error:
            raise _cut_off(file) from error


def _cut_off(file: StoredFile) -> DataError:
    return DataError(f"{file.name}: the .tar file is cut off; get it again")


def _read(file: StoredFile, key: str | None, dotted: bool, start: int) -> Iterator[Any]:
    """Read the stems from one on."""
    with _opened(file) as tar:
        rows: list[dict[str, Any]] = []
        num_bytes = 0
        stems = groupby(_members(tar), key=lambda member: _stem_and_ending(member, dotted)[0])
        for stem, members in islice(stems, start, None):
            rows.append({**_row(tar, members, key, dotted), "id": printable(stem)})
            num_bytes += len(rows[-1][key or PICTURE_COLUMN] or b"")
            if len(rows) == ROWS or num_bytes >= BYTES:
                yield _table(rows, key)
                rows, num_bytes = [], 0
        if rows:
            yield _table(rows, key)
        tar.fileobj.seek(tar.offset)
        rest = tar.fileobj.read(1)
        if not rest:  # a .tar file ends with blocks of zeros
            raise EOFError
        while rest:
            if any(rest):
                raise DataError(
                    f"{file.name}: more follows the end of the .tar file, as if `cat` had joined several; give each as "
                    "a file of its own"
                )
            rest = tar.fileobj.read(2**20)


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The files, and links in the place of pictures: these are not followed, and told of as rows without a picture."""
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # else they fill the memory
        is_link = member.islnk() or member.issym()
        if not PurePosixPath(member.name).name.startswith(".") and (
            member.isreg() or (is_link and _is_picture(_stem_and_ending(member)[1], None))
        ):
            yield member


def _stem_and_ending(member: tarfile.TarInfo, dotted: bool = False) -> tuple[str, str]:
    """What a file is of, and what it is: "cat/0001" and "seg.png" of "cat/0001.seg.png".

    Args:
        member: the file.
        dotted: whether the stem goes on to the last dot, not to the first.
    """
    path = PurePosixPath(member.name)
    stem, _, ending = path.name.rpartition(".") if dotted and "." in path.name else path.name.partition(".")
    return (path.parent / stem).as_posix(), ending.lower()


def _is_picture(ending: str, key: str | None) -> bool:
    return ending == key if key else f".{ending.rpartition('.')[2]}" in PICTURE_SUFFIXES


def _row(tar: tarfile.TarFile, members: Iterator[tarfile.TarInfo], key: str | None, dotted: bool) -> dict[str, Any]:
    """What the files of one stem say: a picture, a label, and other numbers and texts."""
    column = key or PICTURE_COLUMN
    row: dict[str, Any] = {column: None}
    for member in members:
        _, ending = _stem_and_ending(member, dotted)
        is_picture = _is_picture(ending, key)
        if member.size > LARGEST or not member.isreg() or not (is_picture or ending in ("cls", "json")):
            continue
        if is_picture and row[column] is not None:
            row[FURTHER] = None
            continue
        content = _content(tar, member)
        if is_picture:
            row[column] = content
        elif ending == "cls":
            row["label"] = content.decode("utf-8", "replace").strip()
        else:
            row = _facts(content) | row
    return row


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    content = b"" if stream is None else stream.read()
    if len(content) < member.size:
        raise EOFError
    return content


def _facts(content: bytes) -> dict[str, Any]:
    """The numbers and texts in a .json file; none if it is damaged."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    given = told.items() if isinstance(told, dict) else ()
    return {_sound(name): _sound(value) for name, value in given if isinstance(value, str | int | float)}


def _sound(value: Any) -> Any:
    """A value as it is; of text that is not Unicode, lone surrogates, what can be written of it."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _table(rows: list[dict[str, Any]], key: str | None) -> Any:
    """A table of rows; the cells of a column that has numbers and texts become texts."""
    import pyarrow

    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        cells = [row.get(name) for row in rows]
        if name in (key or PICTURE_COLUMN, FURTHER):
            kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
            columns[name] = pyarrow.array([{"bytes": cell, "path": None} for cell in cells], kind)
            continue
        if name == "label" and all(cell is None or str(cell).lstrip("-").isdecimal() for cell in cells):
            cells = [None if cell is None else int(cell) for cell in cells]
        try:
            columns[name] = pyarrow.array(cells)
        except (pyarrow.ArrowException, OverflowError):
            columns[name] = pyarrow.array([None if cell is None else str(cell) for cell in cells])
    return pyarrow.table(columns)
