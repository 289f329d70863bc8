"""How well probes of growing capacity predict each factor from the pixels."""

from collections.abc import Mapping
from math import ceil

import numpy as np
import torch
from jaxtyping import Float
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits
from torch.nn.functional import adaptive_avg_pool2d

from vlae.data.images import Images
from vlae.evaluation import probes
from vlae.evaluation.columns import units_of
from vlae.evaluation.factors import MAX_IMAGES, MIN_PROBED, Factor, factors_of, factors_to_predict, subset
from vlae.evaluation.kin import kin_of
from vlae.evaluation.scoring import score
from vlae.models.inference import in_parts
from vlae.shapes import is_image

MAX_SIDE = 32  # pixels, of the pictures that probes read
COMPONENTS = 256  # principal components of the pixels, at most
LANDMARKS: Mapping[str, int] = {"linear": 0, "small": 32, "medium": 128, "large": 1500}
"""Kernel features of the probes on all pixels."""
WIDTHS = (0.5, 2.0)
"""γ of their kernels, of pictures whose mean square distance from the mean picture is 1."""

ProbeScores = Mapping[str, Mapping[str, float]]
"""For each factor, the score of every probe on pixels, from the smallest probe to the largest."""


def complexity_of(images: Images, *, num: int = MAX_IMAGES, seed: int = 0) -> dict[str, dict[str, float]]:
    """How well five probes of growing capacity predict, from the pixels, each factor by which a model is judged.

    The probes are ridge regression on the mean of each channel ("mean"), on all pixels ("linear"), and on 32, 128 and
    1,500 kernel features of all pixels ("small", "medium", "large"). Pictures larger than 32 pixels a side are first
    averaged down to that; then all are brought to their first 256 principal components. For vectors the first probe is
    left out.

    Args:
        images: data with factors or labels; without either, images are judged by their statistics.
        num: at most so many of the images are used, chosen at random; the default is what `evaluate` uses. A factor
            that is hard to read from pixels, such as a shape that is moved and turned, needs more.
        seed: of the choice, the divisions and the probes.

    Returns:
        For each factor, the score of every probe (`vlae.evaluation.scoring.score`), from the smallest probe to the
        largest. All are at most 1, and about 0 for a guess. Empty if there are fewer than 60 images or no factor that
        varies.
    """
    images = subset(images, seed, num)
    factors, _ = factors_to_predict(factors_of(images)[1])
    if len(images) < MIN_PROBED or not factors:
        return {}
    weights = np.ones((1, len(images)))
    return scores_of(predict_from_pixels(images, factors, seed=seed), factors, weights)[0]


def predict_from_pixels(
    images: Images, factors: Mapping[str, Factor], *, seed: int = 0
) -> dict[str, probes.Predictions]:
    """What every probe predicts of each factor from the pixels, the smallest probe first.

    BLAS has one thread, as in an evaluation: its sums depend on how many it has.

    Args:
        images: the data.
        factors: of these data.
        seed: of the divisions and the probes.
    """
    values, kin = images.values, kin_of(images)
    predictions: dict[str, probes.Predictions] = {}
    with threadpool_limits(limits=1, user_api="blas"):
        if is_image(images.shape):
            means = np.concatenate([np.asarray(part, np.float32).mean((2, 3)) for part in in_parts(values)])
            predictions["mean"] = probes.predict(means, factors, landmarks=0, seed=seed, kin=kin)
        x = components_of(values, COMPONENTS, seed=seed)
        for name, landmarks in LANDMARKS.items():
            predictions[name] = probes.predict(
                x,
                factors,
                landmarks=landmarks,
                widths=WIDTHS,
                is_linear=not landmarks,
                is_scaled=True,
                seed=seed,
                kin=kin,
            )
    return predictions


def scores_of(
    predictions: Mapping[str, probes.Predictions],
    factors: Mapping[str, Factor],
    weights: Float[np.ndarray, "draws n"],
) -> list[dict[str, dict[str, float]]]:
    """For each weighing of the rows, the score of every probe for each factor; 0 where it is not defined.

    Args:
        predictions: of every probe.
        factors: what was predicted.
        weights: how often each row counts.
    """
    scored = {
        (factor, probe): np.nan_to_num(score(factors[factor], of_probe[factor], weights))
        for factor in factors
        for probe, of_probe in predictions.items()
    }
    return [
        {factor: {probe: float(scored[factor, probe][draw]) for probe in predictions} for factor in factors}
        for draw in range(len(weights))
    ]


def components_of(values: np.ndarray, num: int, *, seed: int = 0) -> Float[np.ndarray, "n d"]:
    """The first principal components of data, the largest first; fewer if there are not so many.

    Columns of vectors are in their standard deviations; one that does not vary does not count.

    Args:
        values: pictures (N, C, H, W), in any unit, which are averaged down to at most 32 pixels a side; or vectors
            (N, D).
        num: number of components at most, from 1 up.
        seed: of the randomised decomposition.
    """
    flat = _shrunk(values).reshape(len(values), -1)
    if not is_image(values.shape[1:]):
        flat = flat / units_of(flat)
    solver = PCA(min(num, *flat.shape), svd_solver="auto", random_state=seed)
    return np.asarray(solver.fit_transform(flat), float)


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    """Pictures (N, C, H, W) averaged down to at most 32 pixels a side; vectors (N, D) as they are."""
    if not is_image(pixels.shape[1:]) or max(pixels.shape[2:]) <= MAX_SIDE:
        return pixels if pixels.dtype.kind == "f" else pixels.astype(np.float32)
    shrink = ceil(max(pixels.shape[2:]) / MAX_SIDE)
    sides = (-(-pixels.shape[2] // shrink), -(-pixels.shape[3] // shrink))
    parts = (torch.from_numpy(np.asarray(part, np.float32)) for part in in_parts(pixels))
    return np.concatenate([adaptive_avg_pool2d(part, sides).numpy() for part in parts])
