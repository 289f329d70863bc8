"""Data on a plane by one level's code: the code itself, its principal components (PCA), or UMAP."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import numpy as np

Method = Literal["code", "pca", "umap"]


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


def place_on_plane(codes: np.ndarray, method: Method) -> Map:
    """Place data on a plane.

    Args:
        codes: float32 (n, code size), one level's codes.
        method: "code" or "pca": the code itself if it has one or two dimensions, else its first two principal
            components. "umap": UMAP, which keeps neighbours together and needs umap-learn.

    Raises:
        ValueError: if UMAP is not installed.
    """
    if method == "umap":
        return Map(points=_umap(codes), axes=("UMAP 1", "UMAP 2"))
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
    centre = codes.mean(0)
    _, spreads, directions = np.linalg.svd(codes - centre, full_matrices=False)
    shares = np.square(spreads) / max(float(np.square(spreads).sum()), 1e-12)
    axes = tuple(f"component {i + 1} ({shares[i]:.0%} of the variance)" for i in range(2))
    points = (codes - centre) @ directions[:2].T
    return Map(points=points, axes=(axes[0], axes[1]), centre=centre, directions=directions[:2])


def has_umap() -> bool:
    """Tell whether umap-learn is installed."""
    return find_spec("umap") is not None


def _umap(codes: np.ndarray) -> np.ndarray:
    if not has_umap():
        raise ValueError("UMAP is not installed; get it with: pip install umap-learn")
    import umap

    points: np.ndarray = umap.UMAP(random_state=0).fit_transform(codes)
    return points.astype(np.float32)
