"""What is found in a collection: by its codes the nearest and the oddest data, and groups; and near-copies."""

from collections.abc import Sequence
from threading import RLock
from typing import Any

import numpy as np

from vlae.codes.nearest import affordable
from vlae.codes.outliers import NEIGHBOURS, score, standardised
from vlae.data.copies import find_copies
from vlae.models.base import Codes
from vlae.search.distances import distances, spread_of
from vlae.web.collection import Collection
from vlae.web.encoding import Encoding
from vlae.web.locked import locked_property
from vlae.web.studio import Studio

MAX_CLUSTERED = 20_000
"""Clusters are found among at most so many data; the others join the nearest."""


class _Pictures:
    """The pictures of a collection, which are read where they are asked for: they may be more than fit the memory."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def __len__(self) -> int:
        return len(self._collection)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), *self._collection.run.recipe.shape

    def __getitem__(self, rows: Any) -> np.ndarray:
        values = self._collection.values(np.atleast_1d(rows))
        return values if np.ndim(rows) else values[0]


class Finder:
    """Searches in a collection. Threads can share it.

    Args:
        studio: the model.
        collection: the data.
        encoding: their codes.
    """

    def __init__(self, studio: Studio, collection: Collection, encoding: Encoding) -> None:
        self._studio, self._collection, self._encoding = studio, collection, encoding
        self._lock = RLock()
        self._odd: dict[int, np.ndarray] = {}

    def prepare(self) -> None:
        """Load what the first question would wait for."""
        import sklearn.cluster
        import sklearn.neighbors  # noqa: F401

    # Nearest

    @locked_property
    def _spreads(self) -> list[float]:
        return [spread_of(level) for level in self._encoding.noise]

    def distances(self, noise: Codes, levels: Sequence[int]) -> np.ndarray:
        """Return the distance of every datum to one by some levels: float64 (n,), 1 between two data on average.

        Args:
            noise: the noise of one datum, float32 (1, code size) per level.
            levels: the level numbers, level 1 nearest the pixels.

        Raises:
            ValueError: if there is no such level, or none is given.
        """
        chosen = sorted(set(levels))
        if not chosen:
            raise ValueError("no level is given; choose one or more to search by")
        for level in chosen:
            self._studio.size_of(level)
        if not len(self._collection):  # nor any spread
            return np.zeros(0)
        query = [level[0].numpy() for level in noise]
        return distances(self._encoding.noise, query, self._spreads, chosen)

    def nearest(self, noise: Codes, levels: Sequence[int], num: int, *, without: int | None = None) -> np.ndarray:
        """Return the numbers of the nearest data by some levels, the nearest first.

        Args:
            noise: the noise of one datum, float32 (1, code size) per level.
            levels: the level numbers, level 1 nearest the pixels.
            num: how many, 1 or more.
            without: the number of a datum that is left out, usually the datum itself. None: no datum is left out.

        Raises:
            ValueError: if there is no such level or datum.
        """
        far = self.distances(noise, levels)
        if without is not None:
            self._collection.check(without)
            far[without] = np.inf
        return np.argsort(far, kind="stable")[: min(num, len(far) - (without is not None))]

    # Odd ones

    def oddness(self, level: int) -> np.ndarray:
        """Return the outlier score of every datum by one level, float (n,), as `vlae odd` does.

        Args:
            level: the number of the level, 1 nearest the pixels.

        Raises:
            ValueError: if there is no such level, or too few data.
        """
        self._studio.size_of(level)
        with self._lock:
            if level not in self._odd:
                if len(self._collection) < NEIGHBOURS + 2:
                    raise ValueError(f"there are {len(self._collection)} to compare; it takes {NEIGHBOURS + 2}")
                noise, change = self._encoding.noise[level - 1], self._encoding.change[level - 1]
                self._odd[level] = score(noise, change, reference=affordable())[0]
            return self._odd[level]

    # Copies and clusters

    @locked_property
    def copies(self) -> list[list[int]]:
        """The sets of near-copies: the same picture twice, or saved or sized anew. Of vectors there are none."""
        if len(self._studio.run.recipe.shape) != 3:
            return []
        sets = find_copies(_Pictures(self._collection))
        order = np.argsort(sets, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(sets[order])) + 1)
        return sorted((group.tolist() for group in groups if len(group) > 1), key=lambda group: (-len(group), group))

    def clusters(self, level: int, num: int) -> list[np.ndarray]:
        """Group the data by one level's code, with k-means on its standardised dimensions.

        Args:
            level: the number of the level, 1 nearest the pixels.
            num: how many clusters, 2 or more.

        Returns:
            The numbers of the data of each cluster, the largest cluster first; in each the most typical first, which is
            nearest to the mean.

        Raises:
            ValueError: if there is no such level, or fewer different codes than clusters.
        """
        from sklearn.cluster import KMeans

        self._studio.size_of(level)
        codes = standardised(self._encoding.noise[level - 1])
        if len(np.unique(codes, axis=0)) < num:
            raise ValueError(f"{num} groups are asked for; level {level} has fewer different codes than that")
        chosen = np.random.default_rng(0).permutation(len(codes))[:MAX_CLUSTERED]
        far = KMeans(num, n_init=3, random_state=0).fit(codes[chosen]).transform(codes)
        found = far.argmin(1)
        order = np.argsort(far.min(1), kind="stable")
        return sorted((order[found[order] == cluster] for cluster in range(num)), key=len, reverse=True)

    def along(self, level: int, dimension: int) -> np.ndarray:
        """Return one number of every datum's code, float32 (n,), in standard deviations of the prior.

        Args:
            level: the number of the level, 1 nearest the pixels.
            dimension: the number of the dimension, from 0.

        Raises:
            ValueError: if there is no such level or dimension.
        """
        size = self._studio.size_of(level)
        if not 0 <= dimension < size:
            raise ValueError(f"level {level} has no dimension {dimension}; it has 0 to {size - 1}")
        values: np.ndarray = self._encoding.noise[level - 1][:, dimension]
        return values
