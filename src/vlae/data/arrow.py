"""The columns of an Arrow table → vectors, with labels and row names."""

from typing import Any

import numpy as np

from vlae.data.arrays import read_array
from vlae.data.source import LABEL_NAMES, Array, DataError, SourceData, as_classes, first_present

ROW_NAMES = ("id", "name", "file", "file_name", "filename", "path", "image_id")
"""The usual names of a column that names each row, in upper or lower case. The first that is present is used."""


def from_table(table: Any, source: str, key: str | None) -> SourceData:
    """Turn the numeric columns of a table, or one column of lists, into vectors.

    The columns of labels and of row names are known by their names.

    Args:
        table: a pyarrow.Table of N rows.
        source: the name of the table, for messages.
        key: the only column to use. None: the column of lists if there is one, else every numeric column.

    Raises:
        DataError: if there is no such column, if no column can be used, or if values are missing.
    """
    from pyarrow import types

    kinds = {name: table.schema.field(name).type for name in table.column_names}
    if key is not None and key not in kinds:
        raise DataError(f"{source}: no column {key!r}; it has {', '.join(kinds)}")
    row_name = first_present(
        ROW_NAMES,
        [name for name in kinds if name != key and (types.is_string(kinds[name]) or types.is_integer(kinds[name]))],
    )
    label = first_present(LABEL_NAMES, [name for name in kinds if name != key])
    rest = [name for name in kinds if name not in (row_name, label)]
    lists = [name for name in rest if _is_list(kinds[name])]
    numbers = [name for name in rest if _is_number(kinds[name])]
    if len(lists) > 1 and key is None:
        raise DataError(f"{source}: which column of lists holds the vectors? {', '.join(lists)}; say key=NAME")
    if key in lists or (lists and key is None):
        used = [key or lists[0]]
        values = _list_column(table[used[0]], f"{source}, column {used[0]!r}")
    else:
        used = [key] if key else numbers
        if not used:
            raise DataError(f"{source}: no numeric column among {', '.join(kinds)}; give columns of numbers")
        values = np.column_stack([_number_column(table[name], f"{source}, column {name!r}") for name in used])
    labels, label_names, factors = _label_column(table, label)
    return SourceData(
        values=read_array(values, layout=None, what=source),
        labels=labels,
        label_names=label_names,
        factors=factors,
        names=tuple(map(str, table[row_name].to_pylist())) if row_name else None,
        columns=() if used[0] in lists else tuple(used),
        skipped=tuple(
            (f"column {name}", f"{kinds[name]}, not numbers") for name in rest if name not in {*numbers, *lists}
        ),
    )


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind))


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list and _is_number(kind.value_type))


def _number_column(column: Any, what: str) -> Array:
    """Turn a column of numbers into float32 (N,)."""
    if column.null_count:
        raise DataError(
            f"{what}: {column.null_count} of {len(column)} values are missing; fill them or drop their rows"
        )
    values = column.cast("float64").to_numpy().astype(np.float32)
    num_bad = int((~np.isfinite(values)).sum())
    if num_bad:
        raise DataError(f"{what}: {num_bad} of {len(column)} values are NaN or infinite; fill them or drop their rows")
    return np.asarray(values)


def _list_column(column: Any, what: str) -> Array:
    """Turn a column of lists of one length D into float32 (N, D)."""
    from pyarrow import compute

    lengths = set(compute.list_value_length(column).to_pylist())
    if len(lengths) != 1 or None in lengths or 0 in lengths:
        raise DataError(
            f"{what}: lists of different lengths ({', '.join(map(str, list(lengths)[:5]))}); pad or drop rows"
        )
    return _number_column(compute.list_flatten(column), what).reshape(len(column), -1)


def _label_column(table: Any, name: str | None) -> tuple[Array | None, tuple[str, ...], dict[str, Array]]:
    """Turn the column of labels into labels, or into a factor if it holds real numbers.

    Whole numbers among which some are missing are labels, too: pandas stores them as real numbers.
    """
    from pyarrow import types

    if name is None:
        return None, (), {}
    column = table[name]
    if types.is_floating(column.type):
        numbers = column.to_numpy()
        known = np.isfinite(numbers)
        if known.all() or not known.any() or (numbers[known] != np.round(numbers[known])).any():
            return None, (), {name: numbers}
        return np.where(known, np.nan_to_num(numbers), -1).astype(np.int64), (), {}
    return *as_classes(column.to_pylist()), {}
