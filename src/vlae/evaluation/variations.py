"""Which variations of pictures look like other pictures of the data, so that they can stand in for more of them."""

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.metrics import roc_auc_score
from torch.nn.functional import adaptive_avg_pool2d

from vlae.data.variations import NUDGE, SHIFT, VARIATIONS, Pictures, furthest
from vlae.errors import NotDefinedError
from vlae.evaluation.factors import Factor, read_factor
from vlae.evaluation.kin import without_copies
from vlae.evaluation.probes import predict
from vlae.models.inference import as_input, in_parts
from vlae.nn.features import oriented_gradients
from vlae.nn.moments import normalised

MAX_ASKED, MAX_LABELLED = 2_000, 1_000  # data that are looked at, and of those with a label
MIN_ASKED = 60  # with fewer, no variation can be told
EDGES, CELLS = 4, 8  # sides of the grids in which edges and pixels are described
TOLD, ERRORS = 0.54, 1.64  # area under the curve that counts as told, and standard errors that count as a difference


def variations_of(
    values: Pictures,
    *,
    labels: Int[np.ndarray, " n"] | None = None,
    groups: Int[np.ndarray, " n"] | None = None,
    seed: int = 0,
) -> tuple[str, ...]:
    """The variations that a probe cannot tell from pictures of the data; not mirrored ones if that changes their class.

    The probe gets one half of the pictures varied and the other half as they are. It sees strength and orientation of
    edges in 4 × 4 cells, and the normalised pixels in 8 × 8 cells.

    Where classes are learned, mirrored pictures of one may be those of another: arrows to the left and to the right.
    So a probe that is fitted to mirrored ones must name the classes as well as one that is fitted to others. If none
    can name them, or fewer than 60 have a label, pictures are not mirrored. A move is too small to change a class.

    Args:
        values: uint8 images, or floats in [0, 1], (N, C, H, W); at most 2,000 are looked at, each copy once, and 1,000
            of those with a label.
        labels: the classes that are learned, int64 (N,), -1 where it is unknown; None: none are.
        groups: int64 (N,): pages of a file share a number from 0 up, copies one below 0. None: each is on its own.
        seed: of their choice, the variations and the probe.

    Returns:
        Names in `vlae.data.variations.VARIATIONS`; of shift and nudge only the further.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(values))[:MAX_ASKED])
    chosen, kin = without_copies(values, groups, chosen)
    if len(chosen) < MIN_ASKED:
        return ("mirror", "shift") if labels is None else ("shift",)
    order = rng.permutation(len(chosen))[: len(chosen) // 2 * 2]
    rows, kin = chosen[order], kin[order]
    one, other = np.split(np.ascontiguousarray(values[rows]), 2)
    is_varied = np.arange(len(rows)) < len(one)
    factor = read_factor("varied", is_varied)
    alike = []
    for name, vary in VARIATIONS.items():
        if name == "nudge" and ("shift" in alike or furthest(NUDGE, values) == furthest(SHIFT, values)):
            continue
        described = _described(np.concatenate([vary(one, rng), other]))
        told = predict(described, {"varied": factor}, seed=seed, kin=kin)["varied"][:, 0]
        known = np.isfinite(told)
        error = np.sqrt(1 / (6 * known.sum() / 2))
        if roc_auc_score(is_varied[known], told[known]) - ERRORS * error >= TOLD:
            continue
        if name != "mirror" or labels is None or _leaves_classes(values, np.asarray(labels), groups, seed):
            alike.append(name)
    return tuple(alike)


def _leaves_classes(
    values: Pictures,
    labels: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None,
    seed: int,
) -> bool:
    """Whether a probe that is fitted to mirrored pictures names the classes of others as well as one fitted to these.

    It is False where that cannot be told: no probe names the classes, or few pictures have a label.
    """
    rng = np.random.default_rng([seed, 1])
    rows = np.sort(rng.permutation(np.flatnonzero(labels >= 0))[:MAX_LABELLED])
    rows, kin = without_copies(values, groups, rows)
    if len(rows) < MIN_ASKED:
        return False
    try:
        label = read_factor("label", labels[rows], is_label=True)
    except NotDefinedError:
        return False
    assert label.kinds is not None
    kinds = label.kinds
    pictures = np.ascontiguousarray(values[rows])
    described = _described(np.concatenate([pictures, VARIATIONS["mirror"](pictures, rng)]))
    is_varied = np.arange(2 * len(rows)) >= len(rows)
    known, columns, both = np.tile(label.known, 2), np.tile(label.columns, (2, 1)), np.tile(kinds, 2)
    factors = {  # each probe knows the classes of one half; both are scored on pictures as they are
        "plain": Factor(label.kind, known & ~is_varied, columns, both),
        "varied": Factor(label.kind, known & is_varied, columns, both),
    }
    told = predict(described, factors, seed=seed, kin=np.tile(kin, 2))
    scored = label.known & np.isfinite(told["plain"][: len(rows)]).all(1)
    kinds = kinds[scored]
    plain, varied = (_named(told[which][: len(rows)][scored]) == kinds for which in ("plain", "varied"))
    num = int(kinds.max(initial=0)) + 1
    weights = 1 / np.bincount(kinds, minlength=num)[kinds]  # all classes count alike
    lost = weights * (plain.astype(float) - varied)
    if lost.sum() > ERRORS * np.sqrt((lost**2).sum()):
        return False
    above = (weights * (plain - 1 / num)).sum()
    return bool(above > ERRORS * np.sqrt((weights**2).sum() * (1 - 1 / num) / num))


def _named(predicted: Float[np.ndarray, "n columns"]) -> Int[np.ndarray, " n"]:
    """The class that is predicted of each row; a single column is high for the second of two."""
    return predicted.argmax(1) if predicted.shape[1] > 1 else (predicted[:, 0] > 0).astype(int)


def _described(values: Pictures) -> Float[np.ndarray, "n features"]:
    parts = []
    for some in in_parts(values):
        part = (as_input(some) - 0.5) / 0.25
        pixels = adaptive_avg_pool2d(normalised(part, 1e-3), CELLS).flatten(1)
        parts.append(torch.cat([pixels, oriented_gradients(part, EDGES)], dim=1))
    return torch.cat(parts).double().numpy()
