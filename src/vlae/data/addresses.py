"""Where the files of a stream lie: a folder, a pattern or an address of object storage → files and their stamps."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vlae.data.source import DataError
from vlae.errors import MissingExtraError, reason
from vlae.memory import NotEnoughMemoryError
from vlae.names import printable

WHEN = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")
"""What file systems call the mark or time of a file's content, the most exact first."""

BRACES = r"\{(\d+)\.\.(\d+)\}"
"""A range of numbers in a pattern, as WebDataset writes it: {000..127}."""


@dataclass(frozen=True)
class StoredFile:
    """A file of a stream, on a disk or in object storage."""

    system: Any
    """Its file system, of fsspec."""
    path: str
    """Its path there."""
    name: str
    """Its address as text, for messages."""
    stamp: str
    """Its size and mark when it was found: another one tells that its content has changed."""
    num_bytes: int
    """Its size in bytes."""

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Open the file to be read, and check before and after that it is the one that was found.

        Yields:
            A binary file that can seek.

        Raises:
            DataError: if it cannot be read, or has changed.
        """
        with reaching(self.name):
            self._check()
            with self.system.open(self.path, "rb") as opened:
                yield opened
            self._check()

    def _check(self) -> None:
        self.system.invalidate_cache(self.system._parent(self.path))
        try:
            stamp = stamp_of(self.system.info(self.path))
        except FileNotFoundError:
            stamp = ""
        if stamp != self.stamp:
            raise DataError(
                f"{self.name}: changed while the source was being read; run this again when it no longer does"
            )


def stamp_of(info: dict[str, Any]) -> str:
    """The size and the mark of a file's content.

    Args:
        info: what fsspec tells of the file.
    """
    when = next((info[name] for name in WHEN if info.get(name)), "")
    return f"{info['size']}|{when.timestamp() if isinstance(when, datetime) else when}"


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Turn what a file system, or a damaged file, makes a reader raise into one line that names the address.

    Args:
        address: the file or folder, as text.

    Raises:
        DataError: if there is no right to read it, or it cannot be read.
        FileNotFoundError: if it is not there.
        MissingExtraError: if what reaches it is not installed.
    """
    try:
        yield
    except (DataError, MissingExtraError, NotEnoughMemoryError):
        raise
    except ImportError as error:
        raise MissingExtraError(f'{address}: {reason(error)}; get it: pip install "vlae[streams]"') from error
    except PermissionError as error:
        raise DataError(
            f"{address}: no right to read it ({reason(error)}); check the key, or who may read it"
        ) from error
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{address}: no such file, folder or bucket; check the address") from error
    except Exception as error:  # file systems and damaged files raise almost anything
        raise DataError(f"{address}: cannot be read ({reason(error)}); check it, or get it again") from error


def is_address(source: Any) -> bool:
    """Tell an address of object storage, such as s3://bucket/folder.

    Args:
        source: any source.
    """
    return isinstance(source, str) and re.match(r"[a-z][a-z0-9+.-]*://", source) is not None


def stored_files(address: str | Path, endings: Sequence[str]) -> list[StoredFile]:
    """Find the files of a folder, a pattern or an address, in the order of their names.

    Args:
        address: a file; a folder, of which all files with these endings are taken, at any depth; or a pattern with
            *, ? and {000..127}.
        endings: of the files that are meant, in lower case.

    Returns:
        The files; none if the folder has no such files.

    Raises:
        DataError: if it cannot be reached, or the pattern fits nothing.
        FileNotFoundError: if it is not there.
        MissingExtraError: if what reaches it is not installed.
    """
    import fsspec

    text = str(address) if is_address(address) else str(Path(address).expanduser())
    said = printable(text)
    with reaching(said):
        system, path = fsspec.core.url_to_fs(text)
        is_pattern = bool(re.search(rf"[*?]|{BRACES}", path)) and not system.exists(path)
        found: dict[str, Any] = {}
        for one in _expanded(path) if is_pattern else [path]:
            if is_pattern:
                every, above = system.glob(one, detail=True), re.split(r"[*?[]", one)[0].rpartition("/")[0]
                shown = every if _is_hidden(one, above) else [name for name in every if not _is_hidden(name, above)]
                found |= {name: every[name] for name in shown if every[name]["type"] == "file"}
            elif system.info(one)["type"] == "file":
                found[one] = system.info(one)
            else:
                every = system.find(one, detail=True)
                shown = [name for name in every if not _is_hidden(name, path)]
                found |= {name: every[name] for name in shown if name.lower().endswith(tuple(endings))}
        if is_pattern and not found:
            raise DataError(f"{said}: no file is called so; check the pattern")
        return [
            StoredFile(
                system,
                name,
                printable(system.unstrip_protocol(name).removeprefix("file://")),
                stamp_of(info),
                info["size"],
            )
            for name, info in sorted(found.items())
            if not Path(name).name.startswith(".")
        ]


def _is_hidden(name: str, above: str) -> bool:
    """Tell whether a file, or a folder that it lies in below another one, has a name that begins with a dot."""
    return re.search(r"(^|/)\.", name.removeprefix(above)) is not None


def _expanded(pattern: str) -> list[str]:
    """The patterns that a pattern with ranges of numbers stands for."""
    match = re.search(BRACES, pattern)
    if match is None:
        return [pattern]
    first, last = match[1], match[2]
    numbers = range(int(first), int(last) + 1)
    each = [f"{pattern[: match.start()]}{number:0{len(first)}}{pattern[match.end() :]}" for number in numbers]
    return [one for pattern in each for one in _expanded(pattern)]
