"""Partitions of the vectors of a large index, and how well they are searched: measured against exact search.

The rows of a column are grouped around centres (an inverted file with whole vectors, IVF_FLAT). A search looks at the
groups whose centres are nearest. How many it takes is measured.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vlae.search.state import Recall

LEAST_ROWS = 100_000
"""Below so many rows all of them are compared: that is fast enough."""

LEAST_RECALL = 0.99
"""So many partitions are searched that this share of the 10 nearest neighbours is found."""

NUM = 10
"""Nearest neighbours by which recall is measured."""

QUERIES = 200
"""Images of the index by which recall is measured."""

GROWN = 0.1
"""The share of rows that may be outside of the partitions before these are made anew. Search compares them all."""

BATCH = 65_536
"""Rows compared at a time."""


def partition(table: Any, column: str) -> Recall:
    """Group the rows of a column, and measure how many groups a search needs.

    Args:
        table: the table of the index.
        column: of vectors.
    """
    from lancedb.index import IvfFlat

    rows = table.count_rows()
    partitions = max(1, round(rows**0.5))
    config = IvfFlat(distance_type="l2", num_partitions=partitions, sample_rate=64, max_iterations=20)
    table.create_index(column, config=config, replace=True)
    chosen = np.sort(np.random.default_rng(0).permutation(rows)[:QUERIES])
    queries = vectors(table.take_offsets(chosen.tolist()).select([column]).to_arrow()[column])
    farthest = _exact(table, column, queries)
    nprobes, recall = 1, _recall(table, column, queries, farthest, 1)
    while recall < LEAST_RECALL and nprobes < partitions:
        nprobes = min(2 * nprobes, partitions)
        recall = _recall(table, column, queries, farthest, nprobes)
    return Recall(nprobes=nprobes, partitions=partitions, recall=recall, rows=rows)


def is_stale(table: Any, column: str, recall: Recall | None) -> bool:
    """Tell whether a column's partitions are to be made, or made anew.

    Args:
        table: the table of the index.
        column: of vectors.
        recall: what was measured before; None if there are no partitions.
    """
    if recall is None:
        return True
    statistics = table.index_stats(f"{column}_idx")
    return statistics is None or statistics.num_unindexed_rows > GROWN * statistics.num_indexed_rows


def scan(table: Any, columns: list[str], where: str | None = None) -> Iterator[Any]:
    """Yield some columns of all rows in batches, with their `_rowid`.

    Args:
        table: the table of the index.
        columns: their names.
        where: an SQL condition. None: all rows.
    """
    query = table.search().select(columns).with_row_id(True)
    yield from (query if where is None else query.where(where)).to_batches(BATCH)


def vectors(column: Any) -> np.ndarray:
    """A column of vectors of one size as an array, float32 (n, size).

    Args:
        column: an Arrow array, chunked or not, of lists of a fixed size.
    """
    if hasattr(column, "combine_chunks"):
        column = column.combine_chunks()
    values: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), column.type.list_size)


def _exact(table: Any, column: str, queries: np.ndarray) -> np.ndarray:
    """The distance of each query's `NUM`-th nearest row, itself left out: float32 (Q,)."""
    nearest = np.full((len(queries), NUM + 1), np.inf, np.float32)
    for batch in scan(table, [column]):
        for rows in np.array_split(vectors(batch[column]), max(1, len(batch) // 4_096)):
            # by difference, not by products: near rows would lose their digits
            far = np.stack([np.square(rows - query).sum(1) for query in queries])
            nearest = np.partition(np.concatenate([nearest, far], axis=1), NUM, axis=1)[:, : NUM + 1]
    found: np.ndarray = nearest.max(1)
    return found


def _recall(table: Any, column: str, queries: np.ndarray, farthest: np.ndarray, nprobes: int) -> float:
    """The share of the nearest that is found; the query itself, which always is, does not count."""
    found = 0
    for query, most in zip(queries, farthest, strict=True):
        far = nearest(table, column, query, nprobes).limit(NUM + 1).select(["_distance"]).to_arrow()["_distance"]
        found += max(0, int((far.to_numpy() <= most * (1 + 1e-5) + 1e-12).sum()) - 1)
    return found / (NUM * len(queries))


def nearest(table: Any, column: str, query: np.ndarray, nprobes: int) -> Any:
    """A search of the rows nearest to a vector in the partitions nearest to it.

    Args:
        table: the table of the index.
        column: of vectors.
        query: the vector.
        nprobes: how many partitions. Fewer rows are found than are asked for if they hold fewer.
    """
    return table.search(query, vector_column_name=column).nprobes(nprobes)
