"""Shards of a source: process i of n takes its own rows, and reads no others."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from vlae.data.content import content_hash
from vlae.data.source import DataError, EncodedPictures, SourceData, of_rows
from vlae.names import MAX_NAMED

BLOCK = 1_024
"""Rows by which shards of large sources are cut, so that batches are those of one process."""

SHARD = "shard"
"""What a file says of itself, under this name, if it holds one shard."""


@dataclass(frozen=True)
class Share:
    """One of the equal parts into which a source is cut.

    Raises:
        DataError: if the number is not 1 to `of`.
    """

    number: int
    """Which part, 1 for the first."""
    of: int
    """How many parts there are, 1 or more."""

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise _no_shard(self)

    @classmethod
    def parse(cls, text: "str | Share | None") -> "Share | None":
        """Read a shard from text.

        Args:
            text: "i/n": part i of n, from "1/n" to "n/n". A shard, or None, is returned as it is.

        Raises:
            DataError: if the text is no such shard.

        Examples:
            >>> Share.parse("2/3")
            Share(number=2, of=3)
        """
        if text is None or isinstance(text, Share):
            return text
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
        if match is None:
            raise _no_shard(text)
        try:
            return cls(int(match[1]), int(match[2]))
        except DataError:
            raise _no_shard(text) from None

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def rows(self, num: int, source: str = "the source") -> slice:
        """The rows of this shard. All shards together have each row once, in order.

        Args:
            num: rows of the whole source, 0 or more.
            source: its name, for messages.

        Raises:
            DataError: if there are fewer rows than shards.

        Examples:
            >>> [Share(i, 3).rows(10) for i in (1, 2, 3)]
            [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
        """
        block = BLOCK if num >= 8 * BLOCK * self.of else 1
        blocks = -(-num // block)
        ends = (min(num, block * (blocks * number // self.of)) for number in (self.number - 1, self.number))
        rows = slice(*ends)
        if rows.start == rows.stop:
            raise DataError(f"{source}: {num} rows cannot be cut into {self.of} shards; choose fewer shards")
        return rows

    def record(self, total: int | None, source_is: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Describe the shard, so that only shards of one source and one way of encoding are merged (`in_order`).

        Args:
            total: rows of the whole source; None: they are not known.
            source_is: what tells the content of the whole source.
            settings: how it is read and encoded, as JSON values.
        """
        content = hashlib.blake2b(source_is.encode(errors="surrogateescape"), digest_size=16).hexdigest()
        settings = dict(settings)
        return {"number": self.number, "of": self.of, "total": total, "source_is": content, "settings": settings}


def _no_shard(given: object) -> DataError:
    return DataError(f"shard is {str(given)!r}; give i/n, part i of n: 1/4, 2/4, 3/4 and 4/4 are four shards")


def take_shard(data: SourceData, shard: Share, source: str) -> SourceData:
    """Take the rows of one shard. Pictures stay undecoded.

    Args:
        data: the whole source.
        shard: which rows.
        source: its name, for messages.

    Raises:
        DataError: if there are fewer rows than shards.
    """
    num, rows = len(data), shard.rows(len(data), source)
    pictures = data.values
    if isinstance(pictures, EncodedPictures):
        values: Any = EncodedPictures(num=rows.stop - rows.start, open=lambda i: pictures.open(rows.start + i))
    else:
        values = pictures[rows]
    return replace(data, values=values, **of_rows(data, rows), first=rows.start, total=num)


def in_memory(source: Any) -> str:
    """Tell the content of a source that is in memory, as far as that can be had.

    Args:
        source: `Images`, an array, or anything else that `vlae.data.load` reads and that is no path.
    """
    values = getattr(source, "values", source)
    return str(content_hash(values)) if isinstance(values, np.ndarray) else type(source).__name__


def in_order(parts: Sequence[tuple[str, str | None, Any]]) -> list[int]:
    """Check that parts are all the shards of one source, each once, and put them in order.

    Args:
        parts: of each, its path; what tells the run that made it; and the shard that it says it is: its number, `of`,
            `source_is` and `settings`. None: it is no shard.

    Returns:
        The places of the parts in the order of the source.

    Raises:
        DataError: if one is missing, double or no shard, or they are of different runs, sources or settings.
    """
    if not parts:
        raise DataError("there are no parts to merge; give the files of all shards")
    shards: dict[int, int] = {}
    first, run, like = parts[0]
    for place, (path, weights, shard) in enumerate(parts):
        if not _is_shard(shard) or not _is_shard(like):
            raise DataError(
                f"{first if _is_shard(shard) else path} is no shard; merge what was written with --shard (shard=)"
            )
        if weights != run:
            raise DataError(f"{first} and {path} were made by different runs; give the shards of one run")
        if shard["of"] != like["of"]:
            raise DataError(
                f"{first} is one of {like['of']} shards, {path} is one of {shard['of']}; give the shards of one cut"
            )
        if shard["source_is"] != like["source_is"] or shard["total"] != like["total"]:
            raise DataError(
                f"{first} and {path} are of different sources, or of one that has changed meanwhile; write the shards"
                " again, from one state of the source"
            )
        if other := [name for name, value in like["settings"].items() if shard["settings"].get(name) != value]:
            raise DataError(
                f"{first} and {path} were made with different settings: {', '.join(other)}; make them alike"
            )
        if shard["number"] in shards:
            double = parts[shards[shard["number"]]][0]
            raise DataError(f"{double} and {path} are both shard {shard['number']}/{shard['of']}; give each once")
        shards[shard["number"]] = place
    if num_missing := like["of"] - len(shards):
        missing = islice((number for number in range(1, like["of"] + 1) if number not in shards), MAX_NAMED)
        more = f" and {num_missing - MAX_NAMED} more" if num_missing > MAX_NAMED else ""
        raise DataError(f"of {like['of']} shards {', '.join(map(str, missing))}{more} are missing; give them too")
    return [place for _, place in sorted(shards.items())]


def _is_shard(record: Any) -> bool:
    """Tell whether what a file says of itself is the record of a shard; a stranger's file may say anything."""
    if not isinstance(record, Mapping) or not {"source_is", "total", "settings"} <= record.keys():
        return False
    number, of = record.get("number"), record.get("of")
    numbers = isinstance(number, int) and isinstance(of, int) and 1 <= number <= of
    return numbers and isinstance(record["settings"], Mapping)
