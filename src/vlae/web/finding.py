"""What is found in a collection by its codes: nearest and odd data, near-copies, clusters, and reasons for a hit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import RLock

import numpy as np

from vlae.codes.outliers import NEIGHBOURS, scores_by_level, standardised
from vlae.data.copies import find_copies
from vlae.models.base import Codes
from vlae.search.distances import distances, spread_of
from vlae.web.collection import Collection
from vlae.web.encoding import Encoding
from vlae.web.studio import Studio

ENDS = 3
"""Data shown at each end of a dimension."""

TYPICAL = 6
"""Data shown of each cluster."""

MAX_CLUSTERED = 20_000
"""Clusters are found among at most so many data; the others join the nearest."""

MIN_STDDEV = 0.5
"""Standard deviations from the mean below which a datum is in the middle of a dimension."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a datum was found: the one dimension that says most of it.

    Attributes:
        level: the number of the level.
        dimension: the number of the dimension in its code, from 0.
        words: what is seen there.
    """

    level: int
    dimension: int
    words: str


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

    # Nearest

    @cached_property
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
                self._odd[level] = scores_by_level(noise, change)
            return self._odd[level]

    # Copies and clusters

    @cached_property
    def copies(self) -> list[list[int]]:
        """The sets of near-copies: the same picture twice, or saved or sized anew. Of vectors there are none."""
        if len(self._studio.run.recipe.shape) != 3:
            return []
        values = self._collection.values(np.arange(len(self._collection)))
        sets = find_copies(values)
        order = np.argsort(sets, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(sets[order])) + 1)
        return sorted((group.tolist() for group in groups if len(group) > 1), key=lambda group: (-len(group), group))

    def clusters(self, level: int, num: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Group the data by one level's code, with k-means on its standardised dimensions.

        Args:
            level: the number of the level, 1 nearest the pixels.
            num: how many clusters, 2 or more.

        Returns:
            The cluster of each datum, int16 (n,), the largest cluster 0; and of each cluster the numbers of its typical
            data, those nearest to its mean.

        Raises:
            ValueError: if there is no such level, or fewer data than clusters.
        """
        from sklearn.cluster import KMeans

        self._studio.size_of(level)
        codes = standardised(self._encoding.noise[level - 1])
        if len(np.unique(codes, axis=0)) < num:
            raise ValueError(f"{num} clusters are asked for; level {level} has fewer different codes than that")
        chosen = np.random.default_rng(0).permutation(len(codes))[:MAX_CLUSTERED]
        fitted = KMeans(num, n_init=3, random_state=0).fit(codes[chosen])
        far = fitted.transform(codes)
        found = far.argmin(1)
        by_size = np.argsort(-np.bincount(found, minlength=num), kind="stable")
        rank = np.empty(num, np.int16)
        rank[by_size] = np.arange(num)
        typical = []
        for cluster in by_size:
            own = np.flatnonzero(found == cluster)
            typical.append(own[np.argsort(far[own, cluster], kind="stable")[:TYPICAL]])
        return rank[found], typical

    # Reasons

    def ends(self, level: int, dimension: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the data at the low and at the high end of a dimension, the outermost first.

        Args:
            level: the number of the level, 1 nearest the pixels.
            dimension: the number of the dimension, from 0.

        Raises:
            ValueError: if there is no such level or dimension.
        """
        order = np.argsort(self.along(level, dimension), kind="stable")
        return order[:ENDS], order[::-1][:ENDS]

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

    def why_near(self, noise: Codes, number: int, levels: Sequence[int]) -> list[Reason]:
        """Say by each level what a datum shares with another that few share.

        Args:
            noise: the noise of the datum that is asked about, float32 (1, code size) per level.
            number: the datum that was found.
            levels: the level numbers.

        Returns:
            One reason for each level: the dimension in which both are far from the mean on the same side.

        Raises:
            ValueError: if there is no such level or datum.
        """
        self._collection.check(number)
        reasons = []
        for level in sorted(set(levels)):
            self._studio.size_of(level)
            codes = self._encoding.noise[level - 1]
            mean, stddev = codes.mean(0), np.maximum(codes.std(0), 1e-6)
            asked, found = (noise[level - 1][0].numpy() - mean) / stddev, (codes[number] - mean) / stddev
            shared = np.where(asked * found > 0, np.minimum(np.abs(asked), np.abs(found)), 0.0)
            dimension = int(np.argmax(shared))
            if shared[dimension] < MIN_STDDEV:
                words = "both are ordinary here: near the mean in every dimension"
            else:
                side = "high" if found[dimension] > 0 else "low"
                words = f"both are at the {side} end ({asked[dimension]:+.1f} and {found[dimension]:+.1f})"
            reasons.append(Reason(level=level, dimension=dimension, words=words))
        return reasons

    def why_odd(self, number: int, level: int) -> Reason:
        """Say by one level what is odd about a datum: a rare number in its code, or one that the model cannot draw.

        Args:
            number: the number of the datum.
            level: the number of the level.

        Raises:
            ValueError: if there is no such level or datum.
        """
        self._collection.check(number)
        self._studio.size_of(level)
        noise, change = self._encoding.noise[level - 1], self._encoding.change[level - 1]
        rare, lost = standardised(noise)[number], standardised(change)[number]
        if np.abs(rare).max() >= np.abs(lost).max():
            dimension = int(np.abs(rare).argmax())
            side = "high" if rare[dimension] > 0 else "low"
            words = f"far at the {side} end: {abs(rare[dimension]):.1f} standard deviations from the mean"
        else:
            dimension = int(np.abs(lost).argmax())
            words = (
                "the model draws it otherwise: its reconstruction differs here by "
                f"{abs(lost[dimension]):.1f} standard deviations more than is usual"
            )
        return Reason(level=level, dimension=dimension, words=words)
