"""Which variations of pictures look like other pictures of the data, so that they can stand in for more of them."""

import numpy as np
import torch
from jaxtyping import Float
from sklearn.metrics import roc_auc_score
from torch.nn.functional import adaptive_avg_pool2d

from vlae.data.variations import NUDGE, SHIFT, VARIATIONS, Pictures, furthest
from vlae.evaluation.factors import read_factor
from vlae.evaluation.probes import predict
from vlae.models.inference import as_input, batch_of
from vlae.nn.features import oriented_gradients
from vlae.nn.moments import normalised

MAX_ASKED = 2_000  # data that are looked at
MIN_ASKED = 60  # with fewer, no variation can be told
EDGES, CELLS = 4, 8  # sides of the grids in which edges and pixels are described
TOLD, ERRORS = 0.54, 1.64  # area under the curve that counts as told, and standard errors by which it must be above it


def variations_of(values: Pictures, *, seed: int = 0) -> tuple[str, ...]:
    """The variations that a probe cannot tell from pictures of the data.

    The probe gets one half of the pictures varied and the other half as they are. It sees strength and orientation of
    edges in 4 × 4 cells, and the normalised pixels in 8 × 8 cells.

    Args:
        values: uint8 images, or floats in [0, 1], (N, C, H, W); at most 2,000 are looked at.
        seed: of their choice, the variations and the probe.

    Returns:
        Names in `vlae.data.variations.VARIATIONS`; of shift and nudge only the further.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(values))[:MAX_ASKED])
    if len(chosen) < MIN_ASKED:
        return ("mirror", "shift")
    rows = rng.permutation(chosen)[: len(chosen) // 2 * 2]
    one, other = np.split(np.ascontiguousarray(values[rows]), 2)
    is_varied = np.arange(len(rows)) < len(one)
    factor = read_factor("varied", is_varied)
    alike = []
    for name, vary in VARIATIONS.items():
        if name == "nudge" and ("shift" in alike or furthest(NUDGE, values) == furthest(SHIFT, values)):
            continue
        described = _described(np.concatenate([vary(one, rng), other]))
        told = predict(described, {"varied": factor}, seed=seed)["varied"][:, 0]
        known = np.isfinite(told)
        error = np.sqrt(1 / (6 * known.sum() / 2))
        if roc_auc_score(is_varied[known], told[known]) - ERRORS * error < TOLD:
            alike.append(name)
    return tuple(alike)


def _described(values: Pictures) -> Float[np.ndarray, "n features"]:
    parts = []
    for part in torch.split((as_input(values) - 0.5) / 0.25, batch_of(values.shape[1:])):
        pixels = adaptive_avg_pool2d(normalised(part, 1e-3), CELLS).flatten(1)
        parts.append(torch.cat([pixels, oriented_gradients(part, EDGES)], dim=1))
    return torch.cat(parts).double().numpy()
