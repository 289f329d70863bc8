"""Two scores of a ladder: is each factor in one level only, and are simple factors in lower levels than complex ones?

Both take a table of how well each level predicts each factor. docs/evaluation.md gives their reasons and limits.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from vlae.errors import NotDefinedError


def complexity(scores: Sequence[float], *, least: float = 0.05) -> float:
    """The capacity that a probe needs to predict a factor from pixels, in [0, 1].

    c = 1 - mean_k s_k / s_max over all probes but the largest. s_k is the best score of the first k probes, s_max the
    best of all. At 0 the smallest probe is as good as any; at 1 only the largest predicts anything.

    Args:
        scores: of probes of growing capacity, at most 1, and 0 for a guess; negative scores count as 0.
        least: the best score must be at least this, in [0, 1]; else the complexity is unknown.

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


def separation(table: Float[np.ndarray, "levels factors"]) -> float:
    """Whether each factor is in one level only: 1 if every factor is, 0 if every factor is in two levels equally.

    Σ_f (h_f1 - h_f2) / Σ_f h_f1, where h_f1 and h_f2 are the scores of the best and the second-best level for factor f.
    So each factor counts by its best score.

    Args:
        table: how well each level predicts each factor, in [0, 1], (levels, factors); without the levels that have no
            code.

    Raises:
        NotDefinedError: if there are fewer than two levels, or no level predicts any factor.

    Examples:
        >>> separation(np.array([[1.0, 0.0], [0.0, 0.5]])), separation(np.array([[1.0, 1.0], [1.0, 1.0]]))
        (1.0, 0.0)
    """
    table = _checked(table)
    best = np.sort(table, axis=0)[::-1]
    return float((best[0] - best[1]).sum() / best[0].sum())


def order(table: Float[np.ndarray, "levels factors"], complexities: Float[np.ndarray, " factors"]) -> float:
    """Whether simple factors are in lower levels than complex ones: 1 a perfect ladder, 0 no order, -1 upside-down.

    Goodman and Kruskal's γ = (C - D) / (C + D) between the level of a factor and its complexity. A factor is spread
    over levels in proportion to the scores h. Each pair of factors f, g with c_f < c_g adds (c_g - c_f) Σ_{l<m} h_lf
    h_mg to C (f below g), and (c_g - c_f) Σ_{l<m} h_mf h_lg to D (f above g). Two factors in the same level, or of the
    same complexity, add nothing.

    Args:
        table: how well each level predicts each factor, in [0, 1], (levels, factors), level 1 first; without the levels
            that have no code.
        complexities: complexity of each factor, in [0, 1], (factors,).

    Raises:
        NotDefinedError: if there are fewer than two levels, or no two factors of different complexity lie in
            different levels.
        ValueError: if the table or the complexities have another shape or range.

    Examples:
        >>> ladder = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> order(ladder, np.array([0.1, 0.9])), order(ladder, np.array([0.9, 0.1]))
        (1.0, -1.0)
    """
    table, complexities = _checked(table), np.asarray(complexities, float)
    if complexities.shape != table.shape[1:] or not np.isfinite(complexities).all():
        raise ValueError(f"complexities of shape {complexities.shape} for {table.shape[1]} factors; give each a number")
    higher = np.vstack([np.flip(np.cumsum(table[::-1], axis=0), axis=0)[1:], np.zeros_like(table[:1])])
    below = table.T @ higher  # [f, g]: how much of f lies below g
    harder = np.clip(complexities[None] - complexities[:, None], 0, None)  # [f, g]: by how much g is more complex
    agree, differ = (harder * below).sum(), (harder * below.T).sum()
    if agree + differ < 1e-9:
        raise NotDefinedError("no two factors of different complexity are held by different levels")
    return float((agree - differ) / (agree + differ))


def _checked(table: Float[np.ndarray, "levels factors"]) -> Float[np.ndarray, "levels factors"]:
    table = np.asarray(table, float)
    if table.ndim != 2 or not np.isfinite(table).all() or table.min(initial=0) < 0 or table.max(initial=0) > 1 + 1e-9:
        raise ValueError("what the levels hold is a table (levels, factors) of numbers in [0, 1]")
    if len(table) < 2:
        raise NotDefinedError("it takes two levels with a code")
    if not table.sum() > 0:
        raise NotDefinedError("no level tells of any factor")
    return table
