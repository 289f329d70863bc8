"""Whether light on dark or dark on light is a nuisance of the data: it is, if nothing else in a picture tells it."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int, UInt8
from sklearn.metrics import roc_auc_score
from torch import Tensor

from vlae.evaluation.factors import MIN_OF_CLASS, read_factor
from vlae.evaluation.kin import without_copies
from vlae.evaluation.probes import predict
from vlae.models.inference import as_input, in_parts
from vlae.nn.features import oriented_gradients
from vlae.nn.moments import moments, normalised

MAX_ASKED = 3_000  # data that are looked at
MIN_ASKED = 60  # with fewer, polarity stays visible
GRID = 4  # side of the grid of cells in which edges are described
CLEAR = 0.25  # share of the pictures left out, whose border is neither light nor dark
BLIND, TOLD = 0.54, 0.62  # areas under the curve: up to the one of drawings, from the other of photographs
ERRORS = 1.64  # standard errors by which the area must lie above the one, or below the other


def polarity_of(
    values: UInt8[np.ndarray, "n channels height width"],
    *,
    groups: Int[np.ndarray, " n"] | None = None,
    seed: int = 0,
) -> Literal["hidden", "visible"]:
    """Whether the upper levels of a ladder should see if a picture is light on dark.

    If edges do not tell it, polarity is a nuisance, like the colour of ink and paper: it is hidden. Otherwise, and if
    it cannot be said (`edges_tell_polarity`), it is visible.

    Args:
        values: uint8 images, or floats in [0, 1], (N, C, H, W); at most 3,000 are looked at, each copy once.
        groups: int64 (N,): pages of a file share a number from 0 up, copies one below 0. None: each is on its own.
        seed: of their choice, and of the probe.
    """
    return "hidden" if edges_tell_polarity(values, groups=groups, seed=seed) is False else "visible"


def edges_tell_polarity(
    values: UInt8[np.ndarray, "n channels height width"],
    *,
    groups: Int[np.ndarray, " n"] | None = None,
    seed: int = 0,
) -> bool | None:
    """Whether the edges of a picture, which are those of its negative, tell if it is light on dark.

    A picture is light on dark if its border is darker than the whole. In photographs strength and orientation of the
    edges tell that; of figures drawn in any colour on any other they do not.

    Args:
        values: uint8 images, or floats in [0, 1], (N, C, H, W); at most 3,000 are looked at, each copy once.
        groups: int64 (N,): pages of a file share a number from 0 up, copies one below 0. None: each is on its own.
        seed: of their choice, and of the probe.

    Returns:
        None if it cannot be said: nearly all pictures have the same polarity, or there are too few to be sure.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(values))[:MAX_ASKED])
    rows, kin = without_copies(values, groups, rows)
    if len(rows) < MIN_ASKED:
        return None
    contrast = np.concatenate([_border_contrast(part) for part in _scaled(values, rows)])
    clear = np.abs(contrast) >= np.quantile(np.abs(contrast), CLEAR)
    light = contrast[clear] > 0
    few = min(int(light.sum()), int((~light).sum()))
    if len(light) < MIN_ASKED or few < max(MIN_OF_CLASS, 0.05 * len(light)):
        return None
    edges = torch.cat([oriented_gradients(part, GRID) for part in _scaled(values, rows[clear])])
    factors = {"light": read_factor("light", light)}
    told = predict(edges.double().numpy(), factors, seed=seed, kin=kin[clear])["light"][:, 0]
    known = np.isfinite(told)
    if len(np.unique(light[known])) < 2:
        return None
    area = roc_auc_score(light[known], told[known])
    error = np.sqrt(1 / (12 * few) + 1 / (12 * len(light)))
    if area + ERRORS * error < TOLD:
        return False
    return True if area - ERRORS * error > BLIND else None


def _scaled(values: np.ndarray, rows: np.ndarray) -> Iterator[Tensor]:
    return ((as_input(part) - 0.5) / 0.25 for part in in_parts(values, rows))


def _border_contrast(x: Tensor) -> np.ndarray:
    grey = normalised(x, 1e-3).mean(1, keepdim=True)
    return moments(grey, 1e-3).border_contrast.flatten().numpy()
