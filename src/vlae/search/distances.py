"""The distance of data by one level, or by several together: levels count alike, whatever the spread of their codes."""

from collections.abc import Sequence

import numpy as np


def spread_of(codes: np.ndarray) -> float:
    """Return the root mean square distance of two data by one level: (2 Σ_d Var(z_d))^(1/2), or 1 if that is 0.

    Args:
        codes: (n, code size), the codes of that level.
    """
    return float(np.sqrt(2 * codes.var(0, dtype=np.float64).sum())) or 1.0  # 0 of one datum, or without a code


def distances(
    codes: Sequence[np.ndarray], query: Sequence[np.ndarray], spreads: Sequence[float], levels: Sequence[int]
) -> np.ndarray:
    """Return the distance of data to one datum by some levels: float64 (n,).

    By level l it is |z_l - z'_l| / s_l, the Euclidean distance of the codes over the level's spread. By several levels
    it is the root mean square of these. So 1 is the root mean square distance between two data.

    Args:
        codes: of each level, (n, code size).
        query: the codes of one datum, of each level (code size,).
        spreads: of each level, from `spread_of`.
        levels: the level numbers, level 1 first; at least one.

    Examples:
        >>> codes = [np.array([[0.0], [3.0]]), np.array([[0.0, 0.0], [0.0, 8.0]])]
        >>> distances(codes, [np.zeros(1), np.zeros(2)], (1.0, 2.0), (1,)).tolist()
        [0.0, 3.0]
        >>> round(float(distances(codes, [np.zeros(1), np.zeros(2)], (1.0, 2.0), (1, 2))[1]), 3)  # of 3 and 4
        3.536
    """
    squares = np.zeros(len(codes[levels[0] - 1]))
    for level in levels:
        difference = codes[level - 1] - np.asarray(query[level - 1])
        squares += np.square(difference, dtype=np.float64).sum(1) / spreads[level - 1] ** 2
    return np.sqrt(squares / len(levels))
