"""The columns of a table → the dimensions of vectors: text becomes one-hot, and missing numbers are filled."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlae.data.columns import objects
from vlae.data.source import Array, KnownColumns, counted, says_nothing
from vlae.names import some_of

MAX_VALUES = 20
"""The most values of a column of text that becomes one-hot."""

ID = r"(^|[^A-Za-z])(?i:id|key|no|nr|num|number|index)$|[a-z]I[Dd]$"
"""The end of a name that says that a column numbers something, as a regular expression."""

HUGE = 10**12
"""Whole numbers above this that are all different are times in milliseconds or finer, or name something."""

NO_VALUES = "no values"
"""Why a column is not read of which every value is missing."""


@dataclass(frozen=True, kw_only=True)
class Dimensions:
    """What became of the columns of a table."""

    by_name: dict[str, Array]
    """Every dimension: N numbers, none of them missing. That of a value of text is called column=value."""
    medians: dict[str, float]
    """What stands for a missing value of each column of numbers."""
    used: dict[str, str]
    """What became of each column that is used."""
    ignored: dict[str, str]
    """Why each other column is not used."""


def all_dimensions(columns: Mapping[str, Array | str]) -> Dimensions:
    """Turn all columns of numbers and of few texts into dimensions.

    A missing number becomes the median of its column. Text becomes one dimension of 0 and 1 for each value, in sorted
    order; where it is missing, all are 0. A column of which more than half is missing is ignored.

    Args:
        columns: for each name N numbers or texts, or the reason why they cannot be read.
    """
    made = Dimensions(by_name={}, medians={}, used={}, ignored={})
    for name, column in columns.items():
        if isinstance(column, str) or column.ndim > 1 or column.dtype.kind not in "iubfO":
            made.ignored[name] = column if isinstance(column, str) else "not one number or text a row"
        elif column.dtype.kind == "O" and any(isinstance(cell, list | dict) for cell in column):
            made.ignored[name] = "lists of several lengths"
        elif column.dtype.kind == "O":
            _add_texts(name, _as_texts(column), made)
        else:
            _add_numbers(name, column, made)
    return made


def known_dimensions(columns: Mapping[str, Array | str], known: KnownColumns, num: int) -> Dimensions | None:
    """Turn the columns that a run was trained on into its dimensions, and fill in its medians.

    Args:
        columns: for each name N numbers or texts, or the reason why they cannot be read.
        known: the dimensions to make.
        num: N.

    Returns:
        The dimensions; None if the column of one is not there, or of another type.
    """
    columns = {name: NO_VALUES if _are_nothing(column) else column for name, column in columns.items()}
    sources: dict[str, list[str]] = {}
    for name in known.names:
        there = next((column for column in known.columns_of(name) if column in columns), None)
        if there is None or not _may_be(columns[there], number=name in known.medians):
            return None
        sources.setdefault(there, []).append(name)
    made = Dimensions(
        by_name=dict.fromkeys(known.names, np.zeros(0)),
        medians=dict(known.medians),
        used={},
        ignored={name: "the run was not trained on it" for name in columns if name not in sources},
    )
    for name, dimensions in sources.items():
        column = columns[name]
        if name in known.medians:
            numbers = np.full(num, np.nan) if isinstance(column, str) else column
            made.by_name[name], made.used[name] = _filled(numbers, known.medians[name], "the run's")
        else:
            texts = np.full(num, "", object) if isinstance(column, str) else _as_texts(column)
            made.used[name] = _one_hot(texts, [each.removeprefix(f"{name}=") for each in dimensions], name, made)
    return made


def _are_nothing(column: Array | str) -> bool:
    """Tell a column of text in which every cell says that its value is missing."""
    return not isinstance(column, str) and column.dtype.kind == "O" and all(map(says_nothing, column.tolist()))


def _may_be(column: Array | str, *, number: bool) -> bool:
    """Tell a column that can be numbers, or else text; one of which every value is missing can be both."""
    if isinstance(column, str):
        return column == NO_VALUES
    return column.ndim == 1 and column.dtype.kind in ("iubf" if number else "iubfO")


def _add_numbers(name: str, column: Array, made: Dimensions) -> None:
    missing = np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), bool)
    if why := _mostly_missing(missing):
        made.ignored[name] = why
        return
    made.medians[name] = float(np.median(column[~missing].astype(np.float64)))
    made.by_name[name], made.used[name] = _filled(column, made.medians[name], "the")
    if _looks_like_id(name, column):
        said = f"used, though it is another in every row; if it names them, say --id {name}"
        made.used[name] = made.used[name].replace("used", said, 1)


def _looks_like_id(name: str, column: Array) -> bool:
    """Tell whole numbers, all different, that count the rows, are huge, or whose name says that they number something.

    Floats may hold them, too, as where some are missing; those so large that all floats are whole are measurements.
    """
    if column.dtype.kind == "f":
        column = column[~np.isnan(column)]
        if not (np.abs(column) <= 2 / np.finfo(column.dtype).eps).all() or (column % 1).any():
            return False
    if column.dtype.kind not in "iuf" or len(np.unique(column)) < max(len(column), 2):
        return False
    low, high = int(column.min()), int(column.max())
    return high - low == len(column) - 1 or max(-low, high) > HUGE or re.search(ID, name) is not None


def _add_texts(name: str, texts: Array, made: Dimensions) -> None:
    values = sorted({*texts.tolist()} - {""})
    if why := _mostly_missing(texts == ""):
        made.ignored[name] = why
    elif len(values) > (most := min(MAX_VALUES, len(texts) // 2)):
        made.ignored[name] = (
            f"text of {len(values)} values, and at most {most} become one-hot; group them, or say --id {name} "
            "if they name the rows"
        )
    elif (texts == texts[0]).all():
        made.ignored[name] = "text, the same in every row"
    else:
        made.used[name] = _one_hot(texts, values, name, made)


def _mostly_missing(missing: Array) -> str | None:
    """The reason to ignore a column of which more than half is missing."""
    count = int(missing.sum())
    if count == len(missing):
        return NO_VALUES
    return f"{count} of {len(missing)} values are missing" if count > len(missing) / 2 else None


def _filled(column: Array, median: float, whose: str) -> tuple[Array, str]:
    """Fill in what is missing in a column of numbers, and say so."""
    missing = np.isnan(column) if column.dtype.kind == "f" else np.zeros(0, bool)
    if not missing.any():
        return column, "used"
    said = f"used; {counted(int(missing.sum()), 'missing value')} filled with {whose} median {median:.6g}"
    return np.where(missing, column.dtype.type(median), column), said


def _one_hot(texts: Array, values: Sequence[str], name: str, made: Dimensions) -> str:
    """Add a dimension for each value of a column of text, and say so."""
    made.by_name.update({f"{name}={value}": (texts == value).astype(np.float32) for value in values})
    missing, others = texts == "", ~np.isin(texts.astype(str), ["", *values])
    said = f"one-hot: {counted(len(values), 'value')}"
    if missing.any():
        said += f"; {int(missing.sum())} missing, 0 in all of them"
    if others.any():
        unknown = some_of(sorted({*texts[others].tolist()}))
        said += f"; {int(others.sum())} that the run does not know ({unknown}), 0 in all of them"
    return said


def _as_texts(column: Array) -> Array:
    """Write the cells of a column as text without blanks around it, "" where one is missing."""
    return objects(["" if says_nothing(cell) else _as_text(cell) for cell in column.tolist()])


def _as_text(cell: Any) -> str:
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell).strip()
