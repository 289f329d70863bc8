"""Data on a plane by one level's code: the code itself, its principal components (PCA), or by neighbourhood.

PCA of any number of data takes a moment. The maps by neighbourhood, t-SNE and UMAP, take minutes for many data. So they
are made of a sample, and every other datum is placed among the nearest of the sample.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from threading import Lock
from typing import Literal

import numpy as np

Method = Literal["code", "pca", "tsne", "umap"]

MAX_SAMPLE = 2_000
"""The most data that t-SNE and UMAP place by themselves."""

NEAREST = 5
"""Among how many of the sample every other datum is placed."""

PERPLEXITY = 30
"""Of t-SNE: how many neighbours of each datum are kept together."""

MIN_DATA = 4
"""Fewer data have no neighbourhoods to keep together."""

MIN_SPREAD = 1e-6
"""Codes that differ by less, in standard deviations of the prior, are the same but for rounding."""


@dataclass(frozen=True, kw_only=True)
class Map:
    """Data placed on a plane by one level's code.

    Attributes:
        points: float32 (n, 2).
        axes: the titles of the two axes.
        centre: the code at the origin of the plane, float32 (code size,); None where points have no code.
        directions: the code along each axis, float32 (2, code size); None where points have no code.
    """

    points: np.ndarray
    axes: tuple[str, str]
    centre: np.ndarray | None = None
    directions: np.ndarray | None = None


class Maps:
    """The maps of all data, each made when it is first asked for and then kept. Threads can share them.

    Args:
        codes_of: returns the codes of a level by its number: float32 (n, code size).
    """

    def __init__(self, codes_of: Callable[[int], np.ndarray]) -> None:
        self._codes_of = codes_of
        self._lock = Lock()
        self._locks: dict[tuple[int, Method], Lock] = {}
        self._maps: dict[tuple[int, Method], Map] = {}

    def place(self, level: int, method: Method) -> Map:
        """Place all data on a plane. Whoever asks for the same map meanwhile waits; other maps do not.

        Args:
            level: the number of the level, 1 nearest the pixels.
            method: "code", "pca", "tsne" or "umap".

        Raises:
            ValueError: if UMAP is asked for and not installed.
        """
        key = (level, method)
        with self._lock:
            lock = self._locks.setdefault(key, Lock())
        with lock:
            if key not in self._maps:
                self._maps[key] = place_on_plane(self._codes_of(level), method)
            return self._maps[key]


def place_on_plane(codes: np.ndarray, method: Method) -> Map:
    """Place data on a plane.

    Args:
        codes: float32 (n, code size), one level's codes.
        method: "code" or "pca": the code itself if it has one or two dimensions, else its first two principal
            components. "tsne" or "umap": t-SNE (van der Maaten and Hinton 2008) or UMAP (McInnes et al. 2018), which
            keep neighbours together; UMAP needs umap-learn. Fewer than four data, and codes that are all the same, have
            no neighbourhoods; they are placed as by "pca".

    Raises:
        ValueError: if UMAP is not installed.
    """
    if method == "umap":
        if not has_umap():
            raise ValueError("UMAP is not installed; get it with: pip install umap-learn")
        return Map(points=_by_neighbourhood(codes, _umap), axes=("UMAP 1", "UMAP 2"))
    if method == "tsne":
        return Map(points=_by_neighbourhood(codes, _tsne), axes=("t-SNE 1", "t-SNE 2"))
    if codes.shape[1] == 1:
        jitter = np.random.default_rng(0).uniform(-1, 1, (len(codes), 1)).astype(np.float32)
        directions = np.array([[1], [0]], np.float32)
        return Map(
            points=np.hstack([codes, jitter]),
            axes=("code", "spread out, means nothing"),
            centre=np.zeros(1, np.float32),
            directions=directions,
        )
    if codes.shape[1] == 2:
        return Map(
            points=codes,
            axes=("dimension 1", "dimension 2"),
            centre=np.zeros(2, np.float32),
            directions=np.eye(2, dtype=np.float32),
        )
    return _pca(codes)


def has_umap() -> bool:
    """Tell whether umap-learn is installed."""
    return find_spec("umap") is not None


def _pca(codes: np.ndarray) -> Map:
    centre = codes.mean(0, dtype=np.float64)
    around = codes - centre
    variances, vectors = np.linalg.eigh(around.T @ around)  # of the covariance: quick for any number of data
    directions = vectors[:, :-3:-1].T
    directions *= np.sign(directions[[0, 1], np.abs(directions).argmax(1)])[:, None]  # or left and right are by chance
    shares = np.maximum(variances[:-3:-1], 0) / max(float(variances.sum()), 1e-12)
    axes = tuple(f"component {i + 1} ({shares[i]:.0%} of the variance)" for i in range(2))
    return Map(
        points=(around @ directions.T).astype(np.float32),
        axes=(axes[0], axes[1]),
        centre=centre.astype(np.float32),
        directions=directions.astype(np.float32),
    )


def _by_neighbourhood(codes: np.ndarray, embed: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Embed a sample, and place every other datum among the nearest of it: float32 (n, 2)."""
    if len(codes) <= MAX_SAMPLE:
        return _embedded(codes, embed).astype(np.float32)
    from sklearn.neighbors import KNeighborsRegressor

    sample = np.sort(np.random.default_rng(0).permutation(len(codes))[:MAX_SAMPLE])
    placed = _embedded(codes[sample], embed)
    points: np.ndarray = KNeighborsRegressor(NEAREST, weights="distance").fit(codes[sample], placed).predict(codes)
    points[sample] = placed
    return points.astype(np.float32)


def _embedded(codes: np.ndarray, embed: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Embed codes, or show them by PCA if they have no neighbourhoods: of such codes t-SNE ends the whole process."""
    if len(codes) < MIN_DATA or np.ptp(codes, axis=0).max() < MIN_SPREAD:
        return place_on_plane(codes, "pca").points
    return embed(codes)


def _tsne(codes: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(codes) - 1) / 3)
    start = "pca" if codes.shape[1] > 1 else "random"
    points: np.ndarray = TSNE(perplexity=perplexity, init=start, random_state=0).fit_transform(codes)
    return points


def _umap(codes: np.ndarray) -> np.ndarray:
    import umap

    points: np.ndarray = umap.UMAP(random_state=0).fit_transform(codes)
    return points
