"""Three scores of a ladder: how much is told, is it in order, and is each thing in a level of its own?

All take a table of how well each level predicts each factor. docs/evaluation.md gives their reasons and limits.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from vlae.errors import NotDefinedError

LEAST_TOLD = 0.05
"""A lower score of a probe counts as 0: it cannot be told from a guess."""

LEAST_DIFFERENCE = 0.05
"""Factors whose complexities differ by less are alike; of a larger difference only the excess counts."""

Table = Float[np.ndarray, "levels factors"]


def complexity(scores: Sequence[float], *, least: float = LEAST_TOLD) -> float:
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
        raise NotDefinedError(f"no probe predicts it from the data (best score {best:.2f}, needed {least:g})")
    return float(1 - (reached[:-1] / best).mean())


def told(table: Table) -> float:
    """How much the levels tell: the mean over factors of the best level's score, in [0, 1].

    Args:
        table: how well each level predicts each factor, in [0, 1], (levels, factors); without the levels that have no
            code.

    Raises:
        NotDefinedError: if there is no level or no factor.
        ValueError: if the table has another shape or range.

    Examples:
        >>> told(np.array([[1.0, 0.0], [0.0, 0.5]]))
        0.75
    """
    table = _checked(table, num_levels=1)
    return float(table.max(0).mean())


def order(table: Table, complexities: Float[np.ndarray, " factors"]) -> float:
    """Whether what is simple is told below what is complex, and told once: in [-1, 1].

    - 1: every factor is told perfectly by one level, and of two that differ in complexity the simpler one lies lower,
      as far as there are levels for them.
    - 0: nothing is told; or all by the same levels; or as much upside-down as in order.
    - -1: as 1, but upside-down.

    h_lf is the score of level l for factor f; below .05 it is 0. t_f = max_l h_lf is how much of f is told, and p_lf =
    h_lf / Σ_m h_mf is the share of level l. u_f = t_f max_l p_lf is how much of f is told once. It is t_f if no other
    level tells of f, and a half of that if two tell of it alike. Then

        order = Σ_(f, g) w_fg min(u_f, u_g) [P(l_f < l_g) - P(l_f > l_g)] / best

    over all pairs with c_f < c_g. The levels l_f and l_g are drawn from the shares of f and of g. The weight w_fg is
    c_g - c_f - .05, or 0 if that is negative. `best` is the largest sum that so many levels can reach. So two factors
    that are about as complex as each other count for nothing. If the largest weight w is below .05, the order is
    multiplied by w / .05: where all factors are about as complex as each other, it fades to 0.

    This is Somers' D between the level of a factor and its complexity, weighed by what is told, with what is not told
    counted as ties.

    Args:
        table: how well each level predicts each factor, in [0, 1], (levels, factors), level 1 first; without the levels
            that have no code.
        complexities: complexity of each factor, in [0, 1], (factors,).

    Raises:
        NotDefinedError: if there are fewer than two levels, or no two factors differ in complexity by more than .05.
        ValueError: if the table or the complexities have another shape or range.

    Examples:
        >>> ladder = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> order(ladder, np.array([0.1, 0.9])), order(ladder, np.array([0.9, 0.1]))
        (1.0, -1.0)
    """
    weighed, best = _pairs(table, complexities)
    return float(weighed.sum() / best)


def separation(table: Table, complexities: Float[np.ndarray, " factors"]) -> float:
    """Whether factors that differ in complexity are told by different levels, whichever lies below: in [0, 1].

    As `order`, but with |P(l_f < l_g) - P(l_f > l_g)|. So the order is at most this, and equals it if no pair is
    upside-down. It is 0 if nothing is told, if one level tells everything, or if every level does.

    Args:
        table: how well each level predicts each factor, in [0, 1], (levels, factors), level 1 first; without the levels
            that have no code.
        complexities: complexity of each factor, in [0, 1], (factors,).

    Raises:
        NotDefinedError: if there are fewer than two levels, or no two factors differ in complexity by more than .05.
        ValueError: if the table or the complexities have another shape or range.

    Examples:
        >>> ladder = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> separation(ladder, np.array([0.9, 0.1])), separation(np.ones((2, 2)), np.array([0.9, 0.1]))
        (1.0, 0.0)
    """
    weighed, best = _pairs(table, complexities)
    return float(np.abs(weighed).sum() / best)


def _pairs(table: Table, complexities: Float[np.ndarray, " factors"]) -> tuple[Float[np.ndarray, "f g"], float]:
    """For each pair of a simple and a complex factor, how far it is in order; and the best sum that can be reached."""
    table, complexities = _checked(table), np.asarray(complexities, float)
    if complexities.shape != table.shape[1:] or not np.isfinite(complexities).all():
        raise ValueError(f"complexities of shape {complexities.shape} for {table.shape[1]} factors; give each a number")
    best = _best(np.sort(complexities), len(table))
    if best <= 0:
        raise NotDefinedError(f"no two factors differ in complexity by more than {LEAST_DIFFERENCE:g}")
    table = np.where(table < LEAST_TOLD, 0, table)
    shares = table / np.maximum(table.sum(0), 1e-12)
    once = table.max(0) * shares.max(0)
    higher = np.flip(np.cumsum(np.flip(shares, 0), 0), 0) - shares  # of each factor, the share above a level
    below = shares.T @ higher  # [f, g]: P(l_f < l_g)
    harder = _differences(complexities[None] - complexities[:, None])
    best /= min(1.0, float(harder.max()) / LEAST_DIFFERENCE)  # else the last hair of a difference would be all
    return harder * np.minimum(once[:, None], once) * (below - below.T), best


def _differences(difference: np.ndarray) -> np.ndarray:
    """By how much a complexity is larger, less what does not count."""
    return np.clip(difference - LEAST_DIFFERENCE, 0, None)


def _best(complexities: np.ndarray, num_levels: int) -> float:
    """The largest sum of differences that sorted factors can have in so many levels: pairs in one level count nothing.

    The best levels are runs of the sorted factors. `inside[i, j]` is what factors i … j - 1 lose in one level, and
    `lost[j]` is the least that the first j lose in the levels so far.
    """
    num = len(complexities)
    pairs = np.triu(_differences(complexities[None] - complexities[:, None]), 1)
    columns = np.vstack([np.zeros(num), np.cumsum(pairs, 0)])  # [i, j]: pairs of factor j with those before i
    upto = np.zeros((num + 1, num + 1))
    upto[:, 1:] = np.cumsum(columns[-1] - columns, 1)  # [i, j]: pairs within … j - 1 whose simpler one is from i on
    inside = np.where(np.arange(num + 1)[:, None] <= np.arange(num + 1), upto, np.inf)
    lost = inside[0]
    for _ in range(min(num_levels, num) - 1):
        lost = (lost[:, None] + inside).min(0)
    return float(pairs.sum() - lost[num])


def _checked(table: Table, *, num_levels: int = 2) -> Table:
    table = np.asarray(table, float)
    if table.ndim != 2 or not np.isfinite(table).all() or table.min(initial=0) < 0 or table.max(initial=0) > 1 + 1e-9:
        raise ValueError("what the levels hold is a table (levels, factors) of numbers in [0, 1]")
    if len(table) < num_levels:
        raise NotDefinedError(f"it takes {('a level', 'two levels')[num_levels - 1]} with a code")
    if table.shape[1] == 0:
        raise NotDefinedError("there is no factor of known complexity")
    return table
