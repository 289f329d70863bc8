"""Whether light on dark or dark on light is a nuisance of the data: it is, if nothing else in a picture tells it."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from sklearn.metrics import roc_auc_score

from vlae.evaluation.factors import MIN_OF_CLASS, read_factor
from vlae.evaluation.probes import predict
from vlae.models.inference import as_input, batch_of
from vlae.nn.features import oriented_gradients
from vlae.nn.moments import moments, normalised

MAX_ASKED = 3_000  # data that are looked at
MIN_ASKED = 60  # with fewer, polarity stays visible
GRID = 4  # side of the grid of cells in which edges are described
CLEAR = 0.25  # share of the pictures left out, whose border is neither light nor dark
TOLD = 0.62  # area under the curve from which polarity counts as told by the edges
ERRORS = 1.64  # standard errors by which it must be missed


def polarity_of(values: UInt8[np.ndarray, "n channels height width"], *, seed: int = 0) -> Literal["hidden", "visible"]:
    """Whether the upper levels of a ladder should see if a picture is light on dark.

    If edges do not tell it, polarity is a nuisance, like the colour of ink and paper: it is hidden. Otherwise, and if
    it cannot be said (`edges_tell_polarity`), it is visible.

    Args:
        values: uint8 images, or floats in [0, 1], (N, C, H, W); at most 3,000 are looked at.
        seed: of their choice, and of the probe.
    """
    return "hidden" if edges_tell_polarity(values, seed=seed) is False else "visible"


def edges_tell_polarity(values: UInt8[np.ndarray, "n channels height width"], *, seed: int = 0) -> bool | None:
    """Whether the edges of a picture, which are those of its negative, tell if it is light on dark.

    A picture is light on dark if its border is darker than the whole. In photographs strength and orientation of the
    edges tell that; of figures drawn in any colour on any other they do not.

    Args:
        values: uint8 images, or floats in [0, 1], (N, C, H, W); at most 3,000 are looked at.
        seed: of their choice, and of the probe.

    Returns:
        None if it cannot be said: nearly all pictures have the same polarity, or there are too few.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(values))[:MAX_ASKED])
    x = (as_input(np.ascontiguousarray(values[rows])) - 0.5) / 0.25
    grey = normalised(x, 1e-3).mean(1, keepdim=True)
    contrast = moments(grey, 1e-3).border_contrast.flatten().numpy()
    clear = np.abs(contrast) >= np.quantile(np.abs(contrast), CLEAR)
    light = contrast[clear] > 0
    few = min(int(light.sum()), int((~light).sum()))
    if len(light) < MIN_ASKED or few < max(MIN_OF_CLASS, 0.05 * len(light)):
        return None
    edges = torch.cat(
        [oriented_gradients(part, GRID) for part in torch.split(x[torch.from_numpy(clear)], batch_of(x.shape[1:]))]
    )
    told = predict(edges.double().numpy(), {"light": read_factor("light", light)}, seed=seed)["light"][:, 0]
    known = np.isfinite(told)
    area = roc_auc_score(light[known], told[known])
    error = np.sqrt(1 / (12 * few) + 1 / (12 * len(light)))
    return bool(area + ERRORS * error >= TOLD)
