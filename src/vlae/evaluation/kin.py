"""Which data are no others' peers: copies of one another, and pages of one file. Probes keep them together."""

import numpy as np
from jaxtyping import Int

from vlae.data.content import content_hashes
from vlae.data.images import Images
from vlae.evaluation.factors import MIN_PROBED

MIN_GROUPS = 5
"""Fewer groups cannot be divided into parts, so the pages of so few files count as data of their own."""


def kin_of(images: Images) -> Int[np.ndarray, " n"] | None:
    """Numbers sets of data that belong together: those of equal values, and those of one group of `Images.groups`.

    Vectors of fewer than 60 different rows are combinations of a few categories: there, equal rows are no copies.

    Args:
        images: the data.

    Returns:
        The number of the set of each datum, (N,): of copies below 0, of pages of one file from 0 up. None if each datum
        is a set of its own, or all are one set.
    """
    num = len(images)
    same = _numbered(content_hashes(images.values))
    if images.is_vectors and same.max(initial=0) + 1 < MIN_PROBED:
        same = np.arange(num)
    sets, is_pages = same, np.zeros(num, bool)
    if images.groups is not None:
        groups = np.asarray(images.groups)
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
