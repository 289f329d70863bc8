"""Which data are no others' peers: copies of one another, and pages of one file. Probes keep them together."""

import numpy as np
from jaxtyping import Int

from vlae.data.content import content_hashes
from vlae.data.images import Images
from vlae.data.source import Array
from vlae.evaluation.factors import MIN_PROBED
from vlae.models.inference import in_parts

MIN_GROUPS = 5
"""Fewer groups cannot be divided into parts, so the pages of so few files count as data of their own."""


def kin_of(images: Images) -> Int[np.ndarray, " n"] | None:
    """Numbers sets of data that belong together: those of equal values, and those of one group of `Images.groups`.

    Args:
        images: the data.

    Returns:
        The number of the set of each datum, (N,): of copies below 0, of pages of one file from 0 up. None if each datum
        is a set of its own, or all are one set.
    """
    return kin_among(images.values, images.groups)


def without_copies(
    values: Array, groups: Array | None, rows: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Rows of which none is a copy of another, and the set that each belongs to.

    Args:
        values: data, (N, ...).
        groups: int64 (N,): pages of a file share a number from 0 up, copies one below 0. None: each is on its own.
        rows: those to choose from, in any order, which is kept.

    Returns:
        Some of the rows, and the number of the set of each, from 0 up: pages of one file have one.
    """
    kin = kin_among(values, groups, rows)
    if kin is None:
        return rows, np.arange(len(rows))
    own = np.where(kin < 0, kin, np.arange(len(kin)))  # below 0 copies, else each row
    first = np.sort(np.unique(own, return_index=True)[1])
    return rows[first], _numbered(kin[first])


def kin_among(
    values: Array, groups: Array | None, rows: Int[np.ndarray, " n"] | None = None
) -> Int[np.ndarray, " n"] | None:
    """Numbers sets of data that belong together: those of equal values, and those of one group of `Images.groups`.

    Vectors of fewer than 60 different rows are combinations of a few categories: there, equal rows are no copies.

    Args:
        values: images (N, C, H, W), or vectors (N, D).
        groups: int64 (N,): pages of a file share a number from 0 up, copies one below 0. None: each is on its own.
        rows: those to look at, in any order; None: all.

    Returns:
        The number of the set of each datum, (n,): of copies below 0, of pages of one file from 0 up. None if each datum
        is a set of its own, or all are one set.
    """
    num = len(values) if rows is None else len(rows)
    parts = [values] if rows is None else in_parts(values, rows)
    same = _numbered(np.concatenate([np.zeros(0, np.int64), *(content_hashes(part) for part in parts)]))
    if values.ndim == 2 and same.max(initial=0) + 1 < MIN_PROBED:
        same = np.arange(num)
    sets, is_pages = same, np.zeros(num, bool)
    if groups is not None:
        groups = np.asarray(groups) if rows is None else np.asarray(groups)[rows]
        joined = _joined(same, _numbered(groups))
        if joined.max(initial=0) + 1 >= MIN_GROUPS:
            _, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
            pages = joined[(groups >= 0) & (sizes[place] > 1)]
            sets, is_pages = joined, np.isin(joined, pages)
    if sets.max(initial=0) + 1 in (num, 1):
        return None
    return np.where(is_pages, sets, -1 - sets)


def _numbered(values: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The values as 0, 1, … in the order in which they first occur."""
    _, first, place = np.unique(values, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[place]


def _joined(one: Int[np.ndarray, " n"], other: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The sets of data that are linked by equal numbers in either row of numbers from 0 up."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    num = one.max(initial=0) + 1
    size = num + other.max(initial=0) + 1
    links = coo_array((np.ones(len(one), bool), (one, num + other)), shape=(size, size))
    return _numbered(connected_components(links, directed=False)[1][one])
