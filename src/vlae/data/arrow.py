"""The columns of an Arrow table → vectors, with labels, factors and row names."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vlae.data.arrays import read_as_asked
from vlae.data.columns import ROW_NAMES, label_and_row_name, may_be_names, objects, with_columns
from vlae.data.dimensions import NO_VALUES, all_dimensions, known_dimensions
from vlae.data.source import LABEL_NAMES, Array, DataError, ReadSettings, SourceData
from vlae.data.vectors import as_vectors, refuse_blurred
from vlae.names import some_of

PANDAS_INDEX = r"|Unnamed: 0(\.\d+)?|__index_level_\d+__"
"""The names that pandas gives to an index without a name when it writes it, as a regular expression."""

MARK, UNSURE = b"decimal mark", b"read as"
"""The keys under which a table's metadata tell its decimal mark, and a column's how one of its numbers is read."""

UNTOLD = "used, and {}: no number tells whether its mark is decimal or sets thousands apart"

CONSTANT = "used, though it is the same in every row"


def from_table(
    table: Any, source: str, settings: ReadSettings, class_names: Mapping[str, Sequence[str]] | None = None
) -> SourceData:
    """Turn the numbers and texts of a table, or one column of lists, into vectors, or nested lists into images.

    The columns of labels and of row names are known by their names, and what pandas writes as the index by its own.

    Args:
        table: a pyarrow.Table of N rows.
        source: the name of the table, for messages.
        settings: of which `key` is the only column to use; None: the column of lists if there is one, else every
            column of numbers or of few texts (`vlae.data.dimensions`). `columns` says what to make of them; `id` names
            the rows.
        class_names: the names of the classes of columns that hold their numbers.

    Raises:
        DataError: if there is no such column, if no column can be used.
    """
    if len(table) == 0:
        raise DataError(f"{source}: a table without rows; give at least one")
    columns, key = read_columns(table, source, settings.id), settings.key
    if key is not None and key not in columns:
        raise DataError(f"{source}: no column {key!r}; it has {some_of(list(columns))}")
    index = index_columns(table)
    read = {name: column for name, column in columns.items() if name != key and not isinstance(column, str)}
    label, row_name = label_and_row_name(read, class_names or {}, index, settings.id)
    named = {name for name in read if row_name and name.lower() in ROW_NAMES and may_be_names(read[name])}
    no_values = {*index, *named, label, row_name, settings.id} - {key}
    rest = {name: column for name, column in columns.items() if name not in no_values}
    vectors = {name for name in rest if _are_vectors(columns[name], table.schema.field(name).type)}
    lists = [name for name in rest if name in vectors and name not in (class_names or {})]
    if len(lists) > 1 and key is None:
        raise DataError(f"{source}: which column of lists holds the vectors? {', '.join(lists)}; say key=NAME")
    chosen = key if key is not None else next(iter(lists), None)
    if chosen in lists:
        what = f"{source}, column {chosen!r}"
        values = read_as_asked(_equal_lists(columns[chosen], what), settings, what)
        data = SourceData(values=values, fates={f"column {chosen}": "used"})
        beside = {name: column for name, column in columns.items() if name != chosen}
    else:
        rest |= {name: _named_classes(rest[name], names) for name, names in (class_names or {}).items() if name in rest}
        made = known_dimensions(rest, settings.columns, len(table)) if key is None and settings.columns else None
        made = made or all_dimensions(rest if key is None else {key: columns[key]})
        if not made.by_name:
            raise DataError(
                f"{source}: no numeric column among {some_of(list(columns))}; give numbers, equally many in each row"
            )
        names = tuple(made.by_name)
        for name, column in made.by_name.items():
            refuse_blurred(column, source, name)
        values = as_vectors(np.column_stack(list(made.by_name.values())), source, names)
        constant = {
            name for name, is_one in zip(names, (values.min(0) == values.max(0)).tolist(), strict=True) if is_one
        }
        unsure = {name: how for name in made.used if (how := (table.schema.field(name).metadata or {}).get(UNSURE))}
        used = {name: CONSTANT if fate == "used" and name in constant else fate for name, fate in made.used.items()}
        used |= {name: UNTOLD.format(how.decode()) for name, how in unsure.items() if used[name] == "used"}
        data = SourceData(
            values=values,
            columns=names,
            medians=made.medians,
            decimal=(table.schema.metadata or {}).get(MARK, b"").decode() or None,
            fates={f"column {name}": fate for name, fate in used.items()},
        )
        beside = {name: made.ignored.get(name, column) for name, column in columns.items() if name not in used}
    return with_columns(data, beside, class_names=class_names, index=index, id=settings.id)


def read_columns(table: Any, source: str, id: str | None) -> dict[str, Array | str]:
    """Turn the columns of a table into arrays: numbers (NaN where one is missing), text, or lists.

    Args:
        table: a pyarrow.Table of N rows.
        source: the name of the table, for messages.
        id: the column that names the rows, which is read as text; None: there is none, or it has a usual name.

    Returns:
        For each column an array of N rows, or the reason why it cannot be read.

    Raises:
        DataError: if two columns have the same name.
    """
    names = table.column_names
    if twice := [(name, count) for name, count in Counter(names).items() if count > 1]:
        name, count = min(twice)
        raise DataError(f"{source}: {count} columns are called {name!r}; give each a name of its own")
    columns = {
        name: _as_text(column) if name == id else _read_column(column)
        for name, column in zip(names, table.columns, strict=True)
    }
    for name, column in columns.items():
        if name.lower() in LABEL_NAMES and not isinstance(column, str) and _are_sets(column):
            columns[name] = objects(column.tolist())
    return columns


def index_columns(table: Any) -> list[str]:
    """Find the columns that hold an index of pandas: it says so in Parquet, and its names say so in CSV.

    Args:
        table: a pyarrow.Table.
    """
    said = (table.schema.pandas_metadata or {}).get("index_columns", [])
    names = table.column_names
    by_name = [name for i, name in enumerate(names) if re.fullmatch(PANDAS_INDEX, name) and (i == 0 or name)]
    return [name for name in names if (name in by_name or name in said) and name.lower() not in LABEL_NAMES]


def _read_column(column: Any) -> Array | str:
    """Turn a column into an array; numbers with gaps become float64."""
    import pyarrow
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        return _read_column(pyarrow.chunked_array([pyarrow.array(column.to_pylist())]))
    if hasattr(kind, "storage_type"):
        return _read_column(pyarrow.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    if types.is_null(kind):
        return NO_VALUES
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return objects(column.to_pylist())
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _read_lists(column)
    if types.is_boolean(kind) and not column.null_count:
        return np.asarray(column.to_numpy(), bool)
    if types.is_integer(kind) and not column.null_count:
        return np.asarray(column.to_numpy())
    if types.is_floating(kind) or types.is_decimal(kind) or types.is_integer(kind) or types.is_boolean(kind):
        try:
            return np.asarray(column.cast("float64").to_numpy(), np.float64)
        except pyarrow.ArrowInvalid:  # whole numbers that floats cannot tell apart: they name rows
            return objects(column.to_pylist())
    return f"{kind}, not numbers"


def _as_text(column: Any) -> Array | str:
    """Write numbers, dates and whatever has a text as such, without blanks around it."""
    import pyarrow

    try:
        return objects(column.cast("string").to_pylist())
    except pyarrow.ArrowException:
        return f"{column.type}, which has no text"


def _read_lists(column: Any) -> Array | str:
    """Turn lists of one length into an array of one dimension more; others into lists as Python objects."""
    import pyarrow
    from pyarrow import compute

    lengths = set(compute.list_value_length(column).to_pylist())
    if len(lengths) == 1 and None not in lengths and 0 not in lengths:
        inner = _read_column(pyarrow.chunked_array([compute.list_flatten(column)]))
        return inner if isinstance(inner, str) else inner.reshape(len(column), -1, *inner.shape[1:])
    return objects(column.to_pylist())


def _are_sets(column: Array) -> bool:
    """Tell lists of one length of whole numbers that name several labels, from one-hot ones and from 0 and 1 each."""
    return column.ndim == 2 and column.dtype.kind in "iu" and int(column.max()) > 1


def _named_classes(column: Array | str, names: Sequence[str]) -> Array | str:
    """Turn numbers of classes into their names; None where a class is not known."""
    if isinstance(column, str) or column.ndim > 1 or column.dtype.kind not in "iuf":
        return column
    return objects([names[int(number)] if 0 <= number < len(names) else None for number in column.tolist()])


def _are_vectors(column: Array | str, kind: Any) -> bool:
    """Tell equally many numbers a row, or lists that may not be labels: of real numbers, or of one shape where any.

    Lists of real numbers count whatever their lengths are. Whole numbers of several lengths may be labels, and lists of
    lists boxes or outlines: these count only if all that are there have one shape.
    """
    from pyarrow import types

    if not isinstance(column, str) and column.dtype.kind in "iubf":
        return column.ndim > 1
    depth, of_one_length = 0, False
    while hasattr(kind, "storage_type") or hasattr(kind, "value_type"):
        if types.is_dictionary(kind):
            return False
        if hasattr(kind, "storage_type"):
            kind = kind.storage_type
            continue
        depth, of_one_length, kind = depth + 1, of_one_length or types.is_fixed_size_list(kind), kind.value_type
    is_real = types.is_floating(kind) or types.is_decimal(kind)
    if depth == 1 and is_real:
        return isinstance(column, str) or any(cell is not None for cell in column.tolist())
    return (is_real or types.is_integer(kind)) and (of_one_length or depth > 1) and _are_of_one_shape(column)


def _are_of_one_shape(column: Array | str) -> bool:
    """Tell whether the lists of a column, but for those that are missing, have one shape, which is not empty."""
    if isinstance(column, str):
        return True  # that is refused
    try:
        shapes = {np.shape(cell) for cell in column.tolist() if cell is not None}
    except ValueError:  # several lengths within one cell
        return False
    return len(shapes) == 1 and 0 not in shapes.pop()


def _equal_lists(column: Array | str, what: str) -> Array:
    """Check that lists are of one length.

    Raises:
        DataError: if they are not; it names the first row that differs.
    """
    if isinstance(column, str):
        raise DataError(f"{what}: {column}; give lists of numbers")
    if column.dtype.kind == "O":
        if (row := next((row for row, cell in enumerate(column.tolist()) if cell is None), None)) is not None:
            raise DataError(f"{what}: no list in row {row}, counted from 0; drop the rows that have none")
        lengths = [len(cell) if isinstance(cell, list) else 0 for cell in column.tolist()]
        other = next((row for row, length in enumerate(lengths) if length != lengths[0]), 0)
        raise DataError(
            f"{what}: lists of different lengths ({lengths[0]} numbers in row 0, {lengths[other]} in row {other}, "
            "counted from 0); pad them or drop rows"
        )
    return column
