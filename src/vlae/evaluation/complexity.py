"""How well probes of growing capacity predict each factor from the pixels."""

from collections.abc import Mapping
from math import ceil

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from vlae.data.images import Images
from vlae.evaluation import probes
from vlae.evaluation.factors import MAX_IMAGES, MIN_PROBED, factors_of, subset
from vlae.shapes import is_image

MAX_SIDE = 32  # pixels, of the pictures that probes read

ProbeScores = Mapping[str, Mapping[str, float]]
"""For each factor, the score of every probe on pixels, from the smallest probe to the largest."""


def complexity_of(images: Images, *, num: int = MAX_IMAGES, seed: int = 0) -> dict[str, dict[str, float]]:
    """How well four probes of growing capacity predict, from the pixels, each factor by which a model is judged.

    The probes are ridge regression on the mean of each channel; ridge regression on all pixels; a network of 32 hidden
    units; and a network of two layers of 256 hidden units. Pictures larger than 32 pixels a side are first averaged
    down to that. For vectors the first probe is left out.

    Args:
        images: data with factors or labels; without either, images are judged by their statistics.
        num: at most so many of the images are used, chosen at random; the default is what `evaluate` uses. A factor
            that is hard to read from pixels, such as a shape that is moved and turned, needs more.
        seed: of the choice, the splits and the probes.

    Returns:
        For each factor, the score of every probe, from the smallest probe to the largest: R² of a number, accuracy
        above chance of a class. Both are at most 1, and about 0 for a guess. Empty if there are fewer than 100 images
        or no factor that varies.
    """
    images = subset(images, seed, num)
    targets, _ = probes.targets_of(factors_of(images)[1])
    if len(images) < MIN_PROBED or not targets.names:
        return {}
    pixels = np.asarray(images.values, np.float32)
    scores: dict[str, dict[str, float]] = {}
    if is_image(images.shape):
        scores["mean"] = probes.predict(pixels.mean((2, 3)), targets, hidden=(), seed=seed)
    flat = _shrunk(pixels).reshape(len(pixels), -1)
    for name, hidden in probes.HIDDEN.items():
        scores[name] = probes.predict(flat, targets, hidden=hidden, seed=seed)
    return {factor: {name: score[factor] for name, score in scores.items()} for factor in targets.names}


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    """Pictures (N, C, H, W) averaged down to at most 32 pixels a side; vectors (N, D) as they are."""
    if not is_image(pixels.shape[1:]) or max(pixels.shape[2:]) <= MAX_SIDE:
        return pixels
    shrink = ceil(max(pixels.shape[2:]) / MAX_SIDE)
    sides = (-(-pixels.shape[2] // shrink), -(-pixels.shape[3] // shrink))
    return adaptive_avg_pool2d(torch.from_numpy(pixels), sides).numpy()
