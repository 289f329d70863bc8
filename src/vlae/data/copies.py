"""Which pictures are copies of one another: the same file twice, or the same picture saved or sized anew."""

from collections.abc import Iterator
from math import prod
from typing import Any, Protocol

import numpy as np

from vlae.data.content import content_hash
from vlae.data.source import Array

COARSE, FINE = 4, 16
"""Pictures are compared by the means of so many times so many cells: first coarsely, then those alike finely."""

MOST_COARSE = 3.0
"""Coarse cells of copies, as grey from 0 to 255, differ by less than this, in root mean square."""

MOST_FINE = 0.12
"""Fine cells of copies differ by less than this fraction of their standard deviation within the picture.

Of 200 photographs saved again as JPEG of quality 30, or at half the size, nearly all are below; of 20,000 digits of
MNIST, 20 pairs are."""

NEIGHBOURS = 4
"""Each picture is compared finely with so many that are most alike coarsely, itself among them."""

BATCH, BATCH_PIXELS = 1024, 1024 * 64 * 64
"""Pictures or pairs that are compared at once, and the pixels of these, at most."""


class Pictures(Protocol):
    """An array of pictures, (N, C, H, W), or what reads its rows where they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        ...

    def __len__(self) -> int:
        """N."""
        ...

    def __getitem__(self, rows: Any) -> Array:
        """One picture, or those of an array of numbers."""
        ...


def find_copies(pictures: Pictures, rows: Array | None = None, *, near: bool = True) -> Array:
    """Find the pictures that are copies of one another, whatever they were compressed by.

    Args:
        pictures: (N, C, H, W), uint8, or floats from 0 to 1; of what is no array a part is read at a time.
        rows: the numbers of the n pictures to compare. None: all.
        near: whether pictures that differ as those do that were compressed or sized anew are copies; else equal ones.

    Returns:
        int64 (n,): the number of the set of copies that a picture is in. Each picture that has no copy is a set of its
        own.

    Examples:
        >>> pictures = np.random.default_rng(0).integers(0, 256, (5, 1, 16, 16), np.uint8)
        >>> pictures[3] = pictures[1]
        >>> find_copies(pictures).tolist()
        [0, 1, 2, 1, 3]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = np.arange(len(pictures)) if rows is None else rows
    exact = _exact_copies(pictures, rows)
    if not near:
        return exact
    first = rows[np.unique(exact, return_index=True)[1]]
    left, right = _near_copies(pictures, first)
    links = coo_array((np.ones(len(left), bool), (left, right)), shape=(len(first), len(first)))
    numbers = connected_components(links, directed=False)[1]
    return numbers[exact].astype(np.int64)


def _exact_copies(pictures: Pictures, rows: Array) -> Array:
    """Number the different pictures in their order: int64 (n,)."""
    hashes = np.fromiter((content_hash(pictures[i]) for i in rows), np.int64, len(rows))
    _, first, place = np.unique(hashes, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[place].astype(np.int64)


def _near_copies(pictures: Pictures, rows: Array) -> tuple[Array, Array]:
    """Find pairs of nearly equal pictures.

    Args:
        pictures: (N, C, H, W).
        rows: of the pictures to compare.

    Returns:
        The positions in `rows` of the first and of the second picture of each pair.
    """
    from scipy.spatial import KDTree

    if len(rows) < 2:
        return rows[:0], rows[:0]
    cells = np.concatenate([_cells(pictures[some], COARSE).mean(axis=1) for some in _batches(rows, pictures)])
    # eps: others than the nearest may be missed, but a copy is far nearer than they are; it is six times as fast
    _, found = KDTree(cells).query(cells, k=NEIGHBOURS, eps=1, distance_upper_bound=MOST_COARSE * COARSE)
    left = np.repeat(np.arange(len(rows)), NEIGHBOURS)
    right = found.reshape(-1)
    pairs = np.flatnonzero((right < len(rows)) & (left != right))
    near = [_are_alike(pictures[rows[left[some]]], pictures[rows[right[some]]]) for some in _batches(pairs, pictures)]
    pairs = pairs[np.concatenate([np.zeros(0, bool), *near])]
    return left[pairs], right[pairs]


def _batches(indices: Array, pictures: Pictures) -> Iterator[Array]:
    size = max(1, min(BATCH, BATCH_PIXELS // prod(pictures.shape[2:])))
    return (indices[start : start + size] for start in range(0, len(indices), size))


def _are_alike(first: Array, second: Array) -> Array:
    """Tell which pictures are finely alike: bool (N,)."""
    first, second = _cells(first, FINE), _cells(second, FINE)
    different = np.sqrt(((first - second) ** 2).mean(axis=(1, 2)))
    return different < MOST_FINE * first.std(axis=2).max(axis=1)


def _cells(pictures: Array, grid: int) -> Array:
    """The means of the cells of a grid over each picture, from 0 to 255: float32 (N, C, cells)."""
    pixels = pictures.astype(np.float32) * (255 if pictures.dtype.kind == "f" else 1)
    rows = [row.mean(axis=2) for row in np.array_split(pixels, min(grid, pixels.shape[2]), axis=2)]
    return np.stack(
        [cell.mean(axis=2) for row in rows for cell in np.array_split(row, min(grid, row.shape[2]), axis=2)], axis=2
    )
