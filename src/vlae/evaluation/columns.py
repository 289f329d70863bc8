"""How much of each column of vectors is explained, in shares of the column's variance in the data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float


def variances(values: np.ndarray) -> Float[np.ndarray, " columns"]:
    """The variance of each column, not a number where it does not vary.

    Args:
        values: (N, D).
    """
    varies = values.max(0) > values.min(0)
    return np.where(varies, values.var(0, dtype=np.float64), np.nan)


def units_of(values: np.ndarray) -> Float[np.ndarray, " columns"]:
    """The unit that each column is compared in, its standard deviation; infinite where it does not vary.

    A column that does not vary thus becomes 0: rounding makes its standard deviation a small number, not 0.

    Args:
        values: (N, D), in the precision of the units; they are computed in double precision.
    """
    units = values.std(0, dtype=np.float64).astype(values.dtype)
    return np.where((values.max(0) > values.min(0)) & (units > 0), units, np.inf)


def reconstruction_of(missed: Float[np.ndarray, " columns"]) -> dict[str, float | None]:
    """R² and the error in standard deviations, over all columns.

    Args:
        missed: for each column the mean squared error over its variance; not a number where that is not defined.

    Returns:
        r2, the mean R² of the columns, at most 1; and error_stddevs, the root mean square error of the columns, each
        in its own standard deviations. None if no column varies.
    """
    known = missed[np.isfinite(missed)]
    mean = float(known.mean()) if len(known) else None
    return {"r2": None if mean is None else 1 - mean, "error_stddevs": None if mean is None else mean**0.5}


def columns_of(missed: Float[np.ndarray, " columns"], names: Sequence[str]) -> list[dict[str, Any]]:
    """The R² of each column by its name.

    Args:
        missed: for each column the mean squared error over its variance; not a number where that is not defined.
        names: of the columns; () if they have none: then they are numbered from 1.

    Returns:
        For each column, its name and r2; None if it is not defined.
    """
    shares = share_of_each(1 - missed)
    return [{"name": name, "r2": r2} for name, r2 in zip(names_or_numbers(names, len(missed)), shares, strict=True)]


def explain_columns(result: Mapping[str, Any]) -> None:
    """Adds to each column of an evaluation of vectors the share of its variance that comes through each level.

    Args:
        result: with the columns of `columns_of`, and the levels of `vlae.evaluation.rates.ablate`, whose shares are
            moved from there.
    """
    of_levels = [level["without_it"].pop("columns") if level["without_it"] else None for level in result["levels"]]
    for level in result["levels"]:
        (level["kept_upwards"] or {}).pop("columns", None)
    for number, column in enumerate(result["columns"]):
        column["by_level"] = [None if shares is None else shares[number] for shares in of_levels]


def share_of_each(shares: Float[np.ndarray, " columns"]) -> list[float | None]:
    """Shares as JSON holds them: None where one is not a finite number."""
    return [share if np.isfinite(share) else None for share in shares.tolist()]


def names_or_numbers(names: Sequence[str], num: int) -> list[str]:
    """The names of the columns, or their numbers from 1 if they have none.

    Args:
        names: of the columns; () if they have none.
        num: how many columns there are.
    """
    return list(names) or [str(number) for number in range(1, num + 1)]
