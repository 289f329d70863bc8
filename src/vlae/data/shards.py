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
    """Join rows that were read one after the other. A column of numbers here and of text there becomes text.

    Args:
        pieces: tables of Arrow, lists of items, or arrays; at least one, all of a kind.

    Raises:
        pyarrow.ArrowException: if tables have columns of one name that do not fit together.
    """
    if isinstance(pieces[0], list):
        return [item for piece in pieces for item in piece]
    if isinstance(pieces[0], np.ndarray):
        return np.concatenate(pieces)
    import pyarrow

    for name in dict.fromkeys(name for piece in pieces for name in piece.column_names):
        kinds = {piece.schema.field(name).type for piece in pieces if name in piece.column_names}
        if len(kinds) > 1 and pyarrow.string() in kinds and all(map(_is_plain, kinds)):
            pieces = [_with_text(piece, name) for piece in pieces]
    return pyarrow.concat_tables(pieces, promote_options="permissive")


def _is_plain(kind: Any) -> bool:
    """Tell a type of Arrow that is text, numbers, truths or nothing."""
    from pyarrow import types

    plain = (types.is_string, types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    return any(tell(kind) for tell in plain)


def _with_text(table: Any, name: str) -> Any:
    """The table, in which a column of a name is text."""
    if name not in table.column_names:
        return table
    return table.set_column(table.column_names.index(name), name, table[name].cast("string"))
