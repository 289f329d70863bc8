"""The nearest neighbours of every datum among all: exact for some ten thousand, by a graph for more."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch

from vlae.errors import MissingExtraError

MOST_EXACT = 20_000
"""Up to so many data all are compared with all: that takes seconds. More take a graph (HNSW, by usearch)."""

MOST_SEARCHED = 1_000_000
"""Among so many data at most neighbours are searched, unless more are asked for: a graph of more no longer lies in the
processor's caches. The nearest of some data are never nearer than the nearest of all."""

QUERIES = 500
"""Data by which the graph's recall is measured."""

CONNECTIVITY, EXPANSION = 16, 64
"""Links of a datum in the graph, and candidates that are kept in a search: usearch's own connectivity, and as many
candidates as gave a recall of 1.000 among 20,000 rows of 8 and of 20 numbers."""

BATCH, ORDERED = 100_000, 1_000_000
"""Data searched at a time, and data that are put in order at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Nearest:
    """How far the nearest neighbours of each datum are.

    Attributes:
        distances: float (n, number of neighbours), the nearest first; the datum itself is left out.
        recall: the share of the nearest neighbours that is found, measured on some data; None if the search is exact.
    """

    distances: np.ndarray
    recall: float | None = None


def find_nearest(points: np.ndarray, num: int, *, reference: int | None = None, seed: int = 0) -> Nearest:
    """Find the nearest neighbours of each point, by Euclidean distance.

    Args:
        points: (n, D) numbers.
        num: how many neighbours, 1 or more; n is larger.
        reference: among how many of the points, chosen at random, they are searched. None: among all, up to a million.
        seed: seed of the choice, 0 or more.

    Raises:
        MissingExtraError: if there are more than 20,000 points to search among, and usearch is not installed.

    Examples:
        >>> find_nearest(np.array([[0.0], [1.0], [3.0]]), 1).distances.ravel().tolist()
        [1.0, 1.0, 2.0]
    """
    most = MOST_SEARCHED if reference is None else max(reference, num + 1)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(points))[:most])
    if len(chosen) <= MOST_EXACT:
        return Nearest(distances=_exact(points, chosen, np.arange(len(points)), num))
    distances = _by_graph(np.ascontiguousarray(points, np.float32), chosen, num)
    asked = np.sort(np.random.default_rng(seed).permutation(len(points))[:QUERIES])
    farthest = _exact(points, chosen, asked, num)[:, -1:]
    return Nearest(distances=distances, recall=float((distances[asked] <= farthest * (1 + 1e-4) + 1e-6).mean()))


def affordable() -> int | None:
    """Return among how many data neighbours can be searched here: None, all, if usearch is installed; else 20,000."""
    return None if find_spec("usearch") else MOST_EXACT


def check_affordable(num: int, reference: int | None) -> None:
    """Check that neighbours can be searched among so many data here.

    Args:
        num: how many data there are.
        reference: among how many of them neighbours are searched. None: among all, up to a million.

    Raises:
        MissingExtraError: if there are more than 20,000 to search among, and usearch is not installed.
    """
    if min(num, reference or num) > (affordable() or num):
        raise _missing()


def _missing() -> MissingExtraError:
    return MissingExtraError(
        f"neighbours among more than {MOST_EXACT:,} data need usearch; install it with: pip install "
        f'"vlae[search]", or search among fewer (--reference {MOST_EXACT}, reference={MOST_EXACT})'
    )


def _exact(points: np.ndarray, chosen: np.ndarray, asked: np.ndarray, num: int) -> np.ndarray:
    """The distances of some points to their nearest among the chosen, themselves left out: float (len(asked), num)."""
    from sklearn.neighbors import NearestNeighbors

    way = "auto" if len(asked) == len(points) else "brute"  # a tree would take longer to make than to compare all
    found = NearestNeighbors(n_neighbors=num + 1, algorithm=way).fit(points[chosen]).kneighbors(points[asked])[0]
    is_chosen = np.isin(asked, chosen)  # the nearest neighbour of these is the row itself
    distances: np.ndarray = np.where(is_chosen[:, None], found[:, 1:], found[:, :-1])
    return distances


def _by_graph(points: np.ndarray, chosen: np.ndarray, num: int) -> np.ndarray:
    """The distances of all points to their nearest among the chosen, nearly: float32 (n, num).

    A hierarchical navigable small world, as in Malkov and Yashunin, "Efficient and robust approximate nearest neighbor
    search using Hierarchical Navigable Small World graphs", TPAMI 2020, by usearch. Points are added and searched in
    the order of a tree's leaves: what is near lies near in memory, too.
    """
    from sklearn.neighbors import KDTree

    try:
        from usearch.index import Index
    except ImportError as error:
        raise _missing() from error

    def in_order(rows: np.ndarray) -> Iterator[np.ndarray]:
        for some in np.split(rows, range(ORDERED, len(rows), ORDERED)):
            order = some[np.asarray(KDTree(points[some]).idx_array)]
            yield from np.split(order, range(BATCH, len(order), BATCH))

    threads = torch.get_num_threads()
    graph = Index(
        ndim=points.shape[1],
        metric="l2sq",
        dtype="f32",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION,
        expansion_search=EXPANSION,
    )
    for rows in in_order(chosen):
        graph.add(rows.astype(np.uint64), points[rows], threads=threads)
    distances = np.empty((len(points), num), np.float32)
    for rows in in_order(np.arange(len(points))):
        found = graph.search(points[rows], num + 1, threads=threads)
        others = np.asarray(found.keys) != rows[:, None]
        others[others.all(1), -1] = False  # of a row that does not find itself, the last is left out
        squares = np.asarray(found.distances)[others].reshape(len(rows), num)
        distances[rows] = np.sqrt(np.maximum(squares, 0))
    return distances
