"""A shard: a part of a stream that is read from its first row on, in pieces of bounded size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ROWS, BYTES = 1_024, 2**26
"""The most rows of a shard that are read at a time, and about the most bytes."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A part of a source: a file, a group of rows, a fragment, or a range of a data set."""

    name: str
    """What it is called in messages."""
    stamp: str
    """Changes if the content does."""
    read: Callable[[int], Iterator[Any]]
    """Reads the rows from one on, a bounded number at a time: tables of Arrow, lists of items, or arrays."""
    num_rows: int | None = None
    """How many rows it has. None: only reading tells."""
    num_bytes: int = 0
    """Its size in bytes. 0: it is not known."""


def rows_at_a_time(num_rows: int, num_bytes: int) -> int:
    """How many rows to read at a time, so that these are about `BYTES` at most.

    Args:
        num_rows: of the shard.
        num_bytes: of the shard, unpacked.
    """
    return int(np.clip(BYTES * num_rows // max(1, num_bytes), 1, ROWS))


def joined(pieces: Sequence[Any]) -> Any:
    """Join rows that were read one after the other.

    Args:
        pieces: tables of Arrow, lists of items, or arrays; at least one, all of a kind.
    """
    if isinstance(pieces[0], list):
        return [item for piece in pieces for item in piece]
    if isinstance(pieces[0], np.ndarray):
        return np.concatenate(pieces)
    import pyarrow

    return pyarrow.concat_tables(pieces, promote_options="permissive")
