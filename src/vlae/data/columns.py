"""The columns beside the values of a source → labels, factors and names: one rule for arrays, tables and data sets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vlae.data.source import LABEL_NAMES, Array, SourceData, as_classes, first_present, is_missing

ROW_NAMES = (
    *("id", "name", "file", "file_name", "filename", "path", "image_id"),
    *("ids", "names", "files", "file_names", "filenames", "paths", "image_ids"),
)
"""The usual names of a column that names each row, in upper or lower case. The first that is present is used."""

ROW_NAME = "id"
"""What became of the column that names the rows."""

MINUS_ONE = "-1 counts as unknown; if it is a class, write the classes as 0 and 1, or as names"
"""What is said where -1 is the only negative number among labels."""

MAX_FACTORS = 100
"""The most factors that become of one column."""

MAX_LABEL = 2**53
"""Larger numbers are no labels: floats cannot tell them apart."""


def with_columns(
    data: SourceData,
    columns: Mapping[str, Array | str],
    *,
    kind: str = "column",
    class_names: Mapping[str, Sequence[str]] | None = None,
    index: Sequence[str] = (),
    id: str | None = None,
) -> SourceData:
    """Add to data what the columns beside them say, and what became of each column.

    The first column of class names, or else the first of `LABEL_NAMES`, is the label; the first of `ROW_NAMES` names
    the rows. Other numbers are factors: one for each number of a row, or one of 0 and 1 for each label in lists of
    labels. Labels that are one-hot become the number of the column of the one.

    Args:
        data: the values, N rows.
        columns: for each name an array of N rows (numbers, text, or lists as Python objects), or, if the column cannot
            be read, the reason.
        kind: what a column is called: "column" or "array".
        class_names: the names of the classes of columns that hold their numbers.
        index: the columns that only number or name the rows, as pandas writes them.
        id: the column that is to name the rows; None: one of `ROW_NAMES`.
    """
    names_of = class_names or {}
    fates = {f"{kind} {name}": f"ignored: {why}" for name, why in columns.items() if isinstance(why, str)}
    read: dict[str, Array] = {}
    for name, column in columns.items():
        if isinstance(column, str):
            continue
        column = column.reshape(-1) if column.size == len(data) else column  # (N, 1), or (1, N)
        if column.ndim == 0 or len(column) != len(data):
            fates[f"{kind} {name}"] = f"ignored: of shape {column.shape}, not one for each of {len(data)} rows"
        else:
            read[name] = _decoded(column)
    label, row_name = label_and_row_name(read, names_of, index, id)
    labels, label_names, names, factors = data.labels, data.label_names, data.names, dict(data.factors)
    for name, column in read.items():
        classes = None
        if name == row_name:
            names, fate = tuple(map(_as_name, column.tolist())), ROW_NAME
        elif name in index:
            fate = "ignored: the index that pandas writes"
        elif name == label and (classes := _labels(column)) is not None:
            labels, label_names = classes
            label_names = label_names or tuple(names_of.get(name, ()))
            fate = f"label; {MINUS_ONE}" if not label_names and _has_minus_one(column) else "label"
        else:
            made, fate = _factors(name, column, names_of.get(name))
            factors |= made
        fates[f"{kind} {name}"] = fate
    ordered = {f"{kind} {name}": fates[f"{kind} {name}"] for name in columns}
    return replace(
        data, labels=labels, label_names=label_names, names=names, factors=factors, fates={**data.fates, **ordered}
    )


def label_and_row_name(
    columns: Mapping[str, Array], class_names: Mapping[str, Sequence[str]], index: Sequence[str], id: str | None
) -> tuple[str | None, str | None]:
    """Choose the column of labels, and the one that names the rows.

    Args:
        columns: the columns to choose from.
        class_names: the names of the classes of columns that are known to hold classes.
        index: the columns that pandas writes as the index.
        id: the column that is to name the rows; None: one of `ROW_NAMES`.
    """
    others = [name for name in columns if name not in index and name != id]
    classes = [name for name in others if name in class_names]
    label = first_present(LABEL_NAMES, classes) or next(iter(classes), None) or first_present(LABEL_NAMES, others)
    if id is not None:
        can_name = (
            id in columns and columns[id].ndim == 1 and (columns[id].dtype.kind in "iuf" or _is_text(columns[id]))
        )
        return label, id if can_name else None
    named = [name for name in columns if name != label and may_be_names(columns[name])]
    return label, first_present(ROW_NAMES, named) or next((name for name in index if name in named), None)


def _decoded(column: Array) -> Array:
    """Turn text of any kind into Python objects, without blanks around it; numbers stay."""
    if column.dtype.kind not in "USO" or column.ndim != 1:
        return column
    cells = [cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell for cell in column.tolist()]
    return objects([cell.strip() if isinstance(cell, str) else cell for cell in cells])


def objects(cells: list[Any]) -> Array:
    """Make an array of Python objects, (N,), also of lists of one length.

    Args:
        cells: N objects.
    """
    array = np.empty(len(cells), object)
    array[:] = cells
    return array


def may_be_names(column: Array) -> bool:
    """Tell text, and whole numbers; floats hold these where some are missing.

    Args:
        column: an array of N rows.
    """
    if column.dtype.kind == "f" and column.ndim == 1:
        known = column[~np.isnan(column)]
        return 0 < len(known) < len(column) and bool((known % 1 == 0).all())
    return column.ndim == 1 and (column.dtype.kind in "iu" or _is_text(column))


def _as_name(cell: Any) -> str:
    """The name of a row; empty where it is missing."""
    if isinstance(cell, float):
        return "" if np.isnan(cell) else str(int(cell) if cell.is_integer() else cell)
    return "" if cell is None else str(cell)


def _is_text(column: Array) -> bool:
    return column.dtype.kind == "O" and not any(isinstance(cell, list) for cell in column.tolist())


def _labels(column: Array) -> tuple[Array, tuple[str, ...]] | None:
    """Turn a column into labels, -1 where one is missing; None if it does not hold one class a row."""
    if column.dtype.kind in "iu" and column.size and column.max() > MAX_LABEL:
        return None
    if column.ndim == 1 and (column.dtype.kind in "iub" or _is_text(column)):
        return as_classes(column)
    if column.ndim == 1 and column.dtype.kind == "f":
        known = np.isfinite(column)
        whole = known.any() and (np.abs(column[known]) < MAX_LABEL).all() and (column[known] % 1 == 0).all()
        return (np.where(known, np.nan_to_num(column), -1).astype(np.int64), ()) if whole else None
    return _from_one_hot(column) if column.ndim == 2 and column.dtype.kind in "iubf" else None


def _has_minus_one(column: Array) -> bool:
    """Tell numbers, one a row, of which -1 is the only negative one."""
    if column.ndim != 1 or column.dtype.kind not in "iuf":
        return False
    negative = column[column < 0]
    return bool(negative.size) and bool((negative == -1).all())


def _from_one_hot(column: Array) -> tuple[Array, tuple[str, ...]] | None:
    """Turn rows that hold one number of 1, 255 or the like among others of 0 or -1 into labels; None for other rows.

    Rows of NaN, or without the number, have no label.
    """
    known = column[~np.isnan(column).any(1)]
    low, high = (known.min(), known.max()) if known.size else (0, 0)
    hot = column == high
    if low not in (0, -1) or high <= low or not np.isin(known, (low, high)).all() or (hot.sum(1) > 1).any():
        return None
    return np.where(hot.any(1), hot.argmax(1), -1), ()


def _factors(name: str, column: Array, class_names: Sequence[str] | None) -> tuple[dict[str, Array], str]:
    """Turn a column into factors, and say what became of it."""
    if column.dtype.kind == "O":
        return _factors_of_lists(name, column, class_names)
    if column.dtype.kind not in "iubf":
        return {}, f"ignored: {column.dtype}, not numbers"
    if column.ndim > 2 or (column.ndim == 2 and not 1 <= column.shape[1] <= MAX_FACTORS):
        return {}, f"ignored: {' × '.join(map(str, column.shape[1:]))} numbers a row, more than {MAX_FACTORS} factors"
    if column.dtype.kind in "iub":
        column = column.astype(np.float64 if column.dtype.kind == "u" and column.max() > MAX_LABEL else np.int64)
    if class_names is not None and (column < 0).any():  # a class that is not known
        column = np.where(column < 0, np.nan, column)
    if column.dtype.kind == "f" and not np.isfinite(column).any():
        return {}, "ignored: no values"
    if column.ndim == 1:
        return {name: column}, "factor"
    return {f"{name}_{i}": column[:, i] for i in range(column.shape[1])}, f"factor: {column.shape[1]} of them"


def _factors_of_lists(name: str, column: Array, class_names: Sequence[str] | None) -> tuple[dict[str, Array], str]:
    """Turn lists of labels into one factor of 0 and 1 for each label; NaN where a row has no list."""
    rows = column.tolist()
    lists = [row for row in rows if isinstance(row, list)]
    if not lists:
        return {}, "ignored: no values" if all(is_missing(row) for row in rows) else "ignored: text"
    present = {cell for row in lists for cell in row if isinstance(cell, str | int)}
    if any(not isinstance(cell, str | int) for row in lists for cell in row):
        return {}, "ignored: lists of different lengths"
    if not 1 <= len(present) <= MAX_FACTORS:
        return {}, f"ignored: lists of {len(present)} different labels, more than {MAX_FACTORS} factors"
    told = {
        label: np.array([float(label in row) if isinstance(row, list) else np.nan for row in rows])
        for label in sorted(present, key=lambda label: (str(type(label)), label))
    }
    made = {
        f"{name}_{class_names[label] if class_names and isinstance(label, int) else label}": values.astype(np.int64)
        if len(lists) == len(rows)
        else values
        for label, values in told.items()
    }
    return made, f"factor: {len(made)} of them, 1 where the label is in the list"
