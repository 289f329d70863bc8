"""`vlae.merge`: all shards of a source → one file of codes, or one index."""

from collections.abc import Sequence
from pathlib import Path

from vlae.codes import shards


def merge(out: str | Path, parts: Sequence[str | Path]) -> str | Path:
    """Join the shards of a source, so that the result is that of one process: its rows, their numbers and names.

    Args:
        out: what to write: of files of codes, a .parquet or .npz file, or (a name without an ending) the folder of a
            Hugging Face data set; of indexes, the folder of an index.
        parts: what `encode` or `Index.build` has written with a shard: all shards, in any order.

    Returns:
        The path of what was written: `out`.

    Raises:
        ValueError: if a shard is missing, double or damaged, if they are of different runs, sources or settings, or if
            the output exists already or cannot be written.
        FileNotFoundError: if there is no such part.
    """
    from vlae.search.shards import is_index, merge_indexes

    if parts and all(is_index(part) for part in parts):
        return merge_indexes(parts, out)
    return shards.merge(parts, out)
