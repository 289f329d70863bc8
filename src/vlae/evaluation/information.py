"""Mutual information of codes and factors, and what a table of codes and factors must be.

`codes` are posterior means, (N, D), with a column per code dimension. `factors` are values by name, (N,) each. Integers
and truth values are classes. Floats are numbers and are binned into 10 quantiles. Codes far out are brought in
(`without_outliers`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from scipy.special import digamma, xlogy

from vlae.errors import NotDefinedError
from vlae.evaluation.factors import MIN_OF_CLASS

Codes = Float[np.ndarray, "n d"]
Factors = Mapping[str, np.ndarray]

FACTOR_BINS = 10
MIN_ROWS = 20
FAR_OUT = 0.01  # of the rows, at each end
MAX_FAR_OUT = MIN_OF_CLASS - 1  # rows, at each end; more may be a rare class


def mutual_information(code: Codes, factor: np.ndarray, *, neighbours: int = 3) -> float:
    """Mutual information of a code and a factor in nats, estimated by nearest neighbours; at least 0.

    I = ψ(N) + ψ(k) - <ψ(N_f)> - <ψ(m)>. N_f is the number of rows of the class; m is the number of rows within the
    distance of the k-th neighbour of the same class, in the maximum norm of codes of unit variance. Many dimensions
    bias it low.

    Reference: Ross 2014, "Mutual Information between Discrete and Continuous Data Sets", equation 2.

    Args:
        code: posterior means, (N, D), N from 20 up; if D is 0 or all columns are constant, the result is 0.
        factor: classes or numbers, (N,).
        neighbours: k, from 1 up.

    Raises:
        NotDefinedError: if the factor is constant, no two rows share its class, or there are fewer than 20 rows.
    """
    code = np.asarray(code, float)
    if code.ndim == 2 and code.shape[1] == 0:
        return 0.0
    code, classes = checked(code, {"factor": factor})
    kinds = classes["factor"]
    code = code[:, code.std(0) > 1e-12]
    if code.shape[1] == 0:
        return 0.0
    code = (code - code.mean(0)) / code.std(0)
    code += 1e-10 * np.random.default_rng(0).normal(size=code.shape)  # rows that are equal would have no neighbours
    radius, same, used = np.zeros(len(code)), np.zeros(len(code)), np.zeros(len(code))
    for kind in np.unique(kinds):
        rows = np.flatnonzero(kinds == kind)
        k = min(neighbours, len(rows) - 1)
        if k > 0:
            radius[rows] = cKDTree(code[rows]).query(code[rows], k + 1, p=np.inf)[0][:, -1]
            same[rows], used[rows] = len(rows), k
    rows = np.flatnonzero(used)
    if len(rows) == 0:
        raise NotDefinedError("no two rows share a class of the factor; leave it out, or give more rows")
    within = cKDTree(code[rows]).query_ball_point(
        code[rows], np.nextafter(radius[rows], 0), p=np.inf, return_length=True
    )
    nats = digamma(len(rows)) + np.mean(digamma(used[rows]) - digamma(same[rows]) - digamma(within))
    return max(0.0, float(nats))


def normalised_mutual_information(levels: Sequence[Codes], factors: Factors) -> Float[np.ndarray, "levels factors"]:
    """The information of each level on each factor, as a share of the factor's entropy, in [0, 1]: I(z_l; f) / H(f).

    I is estimated by `mutual_information`. A number is binned into 10 quantiles.

    Args:
        levels: posterior means of each level, (N, code size) each, N from 20 up.
        factors: values by name, (N,) each.

    Raises:
        NotDefinedError: if a factor is constant, no two rows share its class, or there are fewer than 20 rows.
    """
    entropies = {name: entropy(classes_of(name, factor)) for name, factor in factors.items()}
    table = [[mutual_information(code, factors[name]) / entropies[name] for name in factors] for code in levels]
    return np.clip(np.array(table, float).reshape(len(levels), len(factors)), 0, 1)


def classes_of(name: str, factor: np.ndarray) -> Int[np.ndarray, " n"]:
    """The classes of a factor as 0, 1, …, (N,): its values, or their quantile bins if these are floats.

    Args:
        name: of the factor, for error messages.
        factor: values, (N,).

    Raises:
        ValueError: if a value is not a finite number.
        NotDefinedError: if the factor is constant.
    """
    factor = np.asarray(factor)
    if factor.dtype.kind not in "biuf" or not np.isfinite(factor).all():
        raise ValueError(f"the factor {name!r} is not all finite numbers; leave it out, or the rows that lack it")
    if len(np.unique(factor)) < 2:
        raise NotDefinedError(f"the factor {name!r} is the same in all rows; leave it out")
    if factor.dtype.kind != "f":
        return np.unique(factor, return_inverse=True)[1]
    edges = np.unique(np.quantile(factor, np.linspace(0, 1, FACTOR_BINS + 1)[1:-1]))
    kinds = np.unique(np.digitize(factor, edges), return_inverse=True)[1]
    # Where nearly all rows have the smallest value, all quantiles are that; then the two classes are it and the rest.
    return kinds if kinds.max() > 0 else (factor > factor.min()).astype(int)


def entropy(kinds: Int[np.ndarray, " n"]) -> float:
    """The entropy in nats of the distribution of classes over rows.

    Args:
        kinds: the class of each row as 0, 1, …, (N,).
    """
    shares = np.bincount(kinds) / len(kinds)
    return float(-xlogy(shares, shares).sum())


def checked(codes: Codes, factors: Factors, *, least: int = 1) -> tuple[Codes, dict[str, Int[np.ndarray, " n"]]]:
    """Checks a table of codes and factors.

    Args:
        codes: posterior means, (N, D), D from 1 up and N from 20 up.
        factors: values by name, (N,) each.
        least: the number of factors that a metric needs.

    Returns:
        The codes as floats, without outliers, and the classes of each factor as 0, 1, …, (N,).

    Raises:
        ValueError: if shapes do not fit or a number is not finite.
        NotDefinedError: if there is no code, a factor is constant, or there are too few rows or factors.
    """
    codes = np.asarray(codes, float)
    if codes.ndim != 2 or not np.isfinite(codes).all():
        raise ValueError(
            f"codes of shape {codes.shape}: give a finite table with a row per datum, a column per dimension"
        )
    lengths = {name: np.shape(factor) for name, factor in factors.items()}
    if any(shape != (len(codes),) for shape in lengths.values()):
        raise ValueError(
            f"factors of shapes {lengths} for {len(codes)} rows of codes; give each factor one value a row"
        )
    if codes.shape[1] == 0:
        raise NotDefinedError("there is no code")
    if len(codes) < MIN_ROWS:
        raise NotDefinedError(f"{len(codes)} rows are too few; give at least {MIN_ROWS}")
    if len(factors) < least:
        raise NotDefinedError(f"it takes {least} factor{'s' * (least > 1)}; {len(factors)} are given")
    return without_outliers(codes), {name: classes_of(name, factor) for name, factor in factors.items()}


def without_outliers(table: Float[np.ndarray, "n *any"]) -> Float[np.ndarray, "n *any"]:
    """Brings values far out to the farthest of the others: one of them would else be all of a column's range.

    The largest 1 % of a column, from one to four values, and as many of the smallest are far out if they lie beyond the
    others by more than the width of these, but for columns of which the others are all the same. So five rows or more
    that lie there, which may be a rare class, stay. Of normal values of 100 rows or more hardly any is far out: it
    would be 6 standard deviations away.

    Args:
        table: (N, ...), N from 3 up; each column on its own.

    Returns:
        The table, (N, ...).
    """
    num = max(1, min(MAX_FAR_OUT, round(FAR_OUT * len(table))))
    ordered = np.sort(table, axis=0)
    low, high = ordered[num], ordered[-1 - num]
    width = high - low
    is_near = (width == 0) | ((table >= low - width) & (table <= high + width))
    return np.clip(table, np.where(is_near, table, np.inf).min(0), np.where(is_near, table, -np.inf).max(0))
