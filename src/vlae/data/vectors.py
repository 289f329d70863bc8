"""Tables of numbers → vectors, float32: what single precision or a standardisation would spoil is refused."""

from collections.abc import Sequence

import numpy as np

from vlae.data.source import Array, DataError, not_finite

FAR = 10_000
"""How many times as large as the typical distance from the median a column's standard deviation may be."""

EXACT = 100
"""How many times as large as the rounding of single precision a column's standard deviation must be."""

HELD = 2**24
"""The largest whole number up to which single precision holds all."""

LOOKED_AT = 2_000_000
"""About how many numbers show what distance from the median is typical."""


def as_vectors(table: Array, what: str, names: Sequence[str] = ()) -> Array:
    """Turn a table of numbers into vectors.

    Training subtracts each column's mean and divides by its standard deviation. One value that is very far from the
    rest makes all others the same number, so it is refused; so is a column that float32 cannot hold well enough.

    Args:
        table: (N, D) numbers of any type.
        what: the name of the table, for messages.
        names: the names of the D columns, for messages. Empty: they are numbered from 0.

    Returns:
        float32 (N, D).

    Raises:
        DataError: if a value is missing (NaN), infinite, or very far from the rest of its column; or if the values of
            a column differ less than float32 tells apart. The message names the column, and the row from 0.

    Examples:
        >>> as_vectors(np.array([[1, 2], [3, 4]]), "x").dtype
        dtype('float32')
    """
    with np.errstate(over="ignore"):
        vectors = table.astype(np.float32, copy=False)
    low, high = vectors.min(0), vectors.max(0)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        bad = ~np.isfinite(vectors)
        column = int(bad.any(0).argmax())
        row, number = map(int, np.unravel_index(bad.argmax(), bad.shape))
        where = f"{what}: {not_finite(int(bad.sum()))}, the first in row {row}, column {number}, counted from 0"
        if names:
            where = f"{_column(what, column, names)}: {int(bad[:, column].sum())} of {len(table)} values are missing, "
            where += f"NaN or infinite, the first in row {int(bad[:, column].argmax())}, counted from 0"
        raise DataError(f"{where}; fill them or drop their rows")
    mean, spread = _mean_and_spread(table)
    _refuse_far_values(table, mean, spread, what, names)
    largest = np.maximum(np.abs(low), np.abs(high)).astype(np.float64)
    noise = EXACT * largest * (np.finfo(table.dtype).eps if table.dtype.kind == "f" else 0)  # of equal numbers
    if (blurred := (noise < spread) & (spread < EXACT * largest * np.finfo(np.float32).eps)).any():
        column = int(blurred.argmax())
        raise DataError(
            f"{_column(what, column, names)}{'' if names else ', counted from 0'}: values near {mean[column]:g} differ "
            f"by {spread[column]:.2g}, which single precision blurs; subtract their mean"
        )
    return np.asarray(vectors)


def refuse_blurred(column: Array, what: str, name: str) -> None:
    """Refuse whole numbers that differ less than single precision tells apart, before they become floats.

    Args:
        column: (N,) numbers of any type; those that are not whole, or that single precision holds, are not looked at.
        what: the name of the table, for messages.
        name: the name of the column.

    Raises:
        DataError: if they differ, but less than a hundred times what single precision tells apart.
    """
    if column.dtype.kind in "iu" and max(-int(column.min()), int(column.max())) > HELD:
        as_vectors(column[:, None], what, [name])


def _mean_and_spread(table: Array) -> tuple[Array, Array]:
    """The mean and the standard deviation of each column, (D,); those of whole numbers from their differences."""
    low = table.min(0) if table.dtype.kind in "iu" else None

    def differences(rows: Array) -> Array:  # from the least, which 64 bits hold without a sign
        if low is None:
            return rows
        above = rows - low  # of this machine's byte order
        return above.view(f"u{above.dtype.itemsize}")

    mean = sum(
        (differences(table[at : at + 1024]).sum(0, np.float64) for at in range(0, len(table), 1024)), np.zeros(1)
    )
    mean /= len(table)
    squares = (np.square(differences(table[at : at + 1024]) - mean).sum(0) for at in range(0, len(table), 1024))
    return mean if low is None else low + mean, np.sqrt(sum(squares, np.zeros(1)) / len(table))


def _refuse_far_values(table: Array, mean: Array, spread: Array, what: str, names: Sequence[str]) -> None:
    step = max(1, len(table) // max(100, LOOKED_AT // table.shape[1]))
    sample = table[::step].astype(np.float64)
    distances = np.abs(sample - np.median(sample, axis=0))
    distances[distances == 0] = np.nan
    some = ~np.isnan(distances).all(0)
    typical = np.full(table.shape[1], np.inf)
    typical[some] = np.nanmedian(distances[:, some], axis=0)
    if (far := spread > FAR * typical).any():
        column = int(far.argmax())
        row = int(np.abs(table[:, column] - mean[column]).argmax())
        raise DataError(
            f"{_column(what, column, names)}, row {row}, counted from 0: {table[row, column]:g} is so far from the "
            "rest that they would all become one number; correct it, drop the row, or take logarithms of the column"
        )


def _column(what: str, column: int, names: Sequence[str]) -> str:
    return f"{what}, column {names[column]!r}" if names else f"{what}, column {column}"
