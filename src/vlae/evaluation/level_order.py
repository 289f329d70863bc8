"""Two scores of a ladder from what its levels hold: how cleanly they share it out, and is the simple below the complex?

Both take the table of what each level tells of each factor. docs/evaluation.md gives their reasons and limits.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from vlae.errors import NotDefinedError


def complexity(scores: Sequence[float], *, least: float = 0.05) -> float:
    """How much capacity it takes to predict a factor from pixels: the mean shortfall of the smaller probes.

    c = 1 - mean_k s_k / s_max over all probes but the largest, where s_k is the best score of any probe up to the k-th
    and s_max the best of all. 0: the smallest probe does as well as any; 1: only the largest does anything.

    Args:
        scores: of probes of growing capacity, 1 at best and 0 for a guess; negative ones count as 0.
        least: a factor that no probe predicts so well has no complexity that could be known.

    Raises:
        NotDefinedError: if no probe predicts the factor.

    Examples:
        >>> complexity([1.0, 1.0, 1.0, 1.0]), complexity([0.0, 0.0, 0.0, 0.8])
        (0.0, 1.0)
    """
    reached = np.maximum.accumulate(np.clip(np.asarray(scores, float), 0, None))
    best = reached[-1]
    if not best >= least:
        raise NotDefinedError(f"no probe predicts it from the pixels (best score {best:.2f}, needed {least:g})")
    return float(1 - (reached[:-1] / best).mean())


def separation(held: Float[np.ndarray, "levels factors"]) -> float:
    """How exclusively each factor lives in one level: 1, every factor in one level alone; 0, in two or more alike.

    Σ_f (h_f1 - h_f2) / Σ_f h_f1, where h_f1 and h_f2 are what the best and the second-best level tell of factor f. So
    a factor that no level tells of does not count, and one that is told of in full counts in full.

    Args:
        held: what each level tells of each factor, in [0, 1]; levels that have no code are left out.

    Raises:
        NotDefinedError: if there are fewer than two levels, or no level tells of any factor.

    Examples:
        >>> separation(np.array([[1.0, 0.0], [0.0, 0.5]])), separation(np.array([[1.0, 1.0], [1.0, 1.0]]))
        (1.0, 0.0)
    """
    held = _checked(held)
    best = np.sort(held, axis=0)[::-1]
    return float((best[0] - best[1]).sum() / best[0].sum())


def order(held: Float[np.ndarray, "levels factors"], complexities: Float[np.ndarray, " factors"]) -> float:
    """Whether the simple lies below the complex: 1, a perfect ladder; 0, none; -1, upside-down.

    Goodman and Kruskal's γ = (C - D) / (C + D) between the level that holds a factor and the factor's complexity, with
    a factor spread over levels as held says: each pair of factors f, g with c_f < c_g adds
    (c_g - c_f) Σ_{l<m} h_lf h_mg to C (f below g), and (c_g - c_f) Σ_{l<m} h_mf h_lg to D (f above g). Two factors in
    the same level, or of the same complexity, say nothing.

    Args:
        held: what each level tells of each factor, in [0, 1], level 1 first; levels without a code are left out.
        complexities: of each factor, as `complexity` gives them.

    Raises:
        NotDefinedError: if there are fewer than two levels, or no two factors of different complexity lie in
            different levels.

    Examples:
        >>> ladder = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> order(ladder, np.array([0.1, 0.9])), order(ladder, np.array([0.9, 0.1]))
        (1.0, -1.0)
    """
    held, complexities = _checked(held), np.asarray(complexities, float)
    if complexities.shape != held.shape[1:] or not np.isfinite(complexities).all():
        raise ValueError(f"complexities of shape {complexities.shape} for {held.shape[1]} factors; give each a number")
    higher = np.vstack([np.flip(np.cumsum(held[::-1], axis=0), axis=0)[1:], np.zeros_like(held[:1])])
    below = held.T @ higher  # [f, g]: how much of f lies below g
    harder = np.clip(complexities[None] - complexities[:, None], 0, None)  # [f, g]: by how much g is more complex
    agree, differ = (harder * below).sum(), (harder * below.T).sum()
    if agree + differ < 1e-9:
        raise NotDefinedError("no two factors of different complexity are held by different levels")
    return float((agree - differ) / (agree + differ))


def _checked(held: Float[np.ndarray, "levels factors"]) -> Float[np.ndarray, "levels factors"]:
    held = np.asarray(held, float)
    if held.ndim != 2 or not np.isfinite(held).all() or held.min(initial=0) < 0 or held.max(initial=0) > 1 + 1e-9:
        raise ValueError("what the levels hold is a table (levels, factors) of numbers in [0, 1]")
    if len(held) < 2:
        raise NotDefinedError("it takes two levels with a code")
    if not held.sum() > 0:
        raise NotDefinedError("no level tells of any factor")
    return held
