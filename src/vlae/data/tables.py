"""Tables → vectors or pictures: .csv, .tsv and Parquet files, and Hugging Face's data sets, saved or on the hub."""

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vlae.data.arrays import read_array
from vlae.data.files import begins_with, open_picture, walk
from vlae.data.source import (
    LABEL_NAMES,
    Array,
    DataError,
    Found,
    Pictures,
    Settings,
    as_classes,
    first_present,
    parts_by_name,
)

ROW_NAMES = ("id", "name", "file", "file_name", "filename", "path", "image_id")
"""What a column that names its row is called, in either case; the first that is there."""


def find_table(path: Path) -> list[Path]:
    """Find a .csv, .tsv or Parquet file."""
    is_table = path.is_file() and path.suffix.lower() in (".csv", ".tsv")
    return [path] if is_table or begins_with(path, b"PAR1") else []


def read_table(path: Path, files: list[Path], settings: Settings) -> Found:
    """Read a table: its numbers as vectors, or its column of pictures."""
    import pyarrow

    try:
        table = _read_csv(path) if path.suffix.lower() in (".csv", ".tsv") else _read_parquet(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: cannot be read ({str(error).splitlines()[0]}); repair the file or get it again"
        ) from error
    if any(
        pyarrow.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0 for column in table.columns
    ):
        from datasets import Dataset
        from datasets.table import InMemoryTable

        return _from_dataset(Dataset(InMemoryTable(table)), None, str(path), settings)
    return _from_table(table, str(path), settings.key)


def _read_csv(path: Path) -> Any:
    """Read a .csv or .tsv file, with or without a line of names at the top."""
    from pyarrow import csv

    parse = csv.ParseOptions(delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    table = csv.read_csv(path, parse_options=parse)
    if all(re.fullmatch(r"\s*[-+]?[\d.]+(e[-+]?\d+)?\s*", name, re.IGNORECASE) for name in table.column_names):
        table = csv.read_csv(path, parse_options=parse, read_options=csv.ReadOptions(autogenerate_column_names=True))
    return table


def _read_parquet(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.read_table(path)


def _from_table(table: Any, source: str, key: str | None) -> Found:
    """Take numeric columns, or one column of lists, as vectors; labels and names by what their columns are called."""
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
    labels, label_names, factors = _label_column(table, label, source)
    return Found(
        values=read_array(values, layout=None, what=source),
        labels=labels,
        label_names=label_names,
        factors=factors,
        names=tuple(map(str, table[row_name].to_pylist())) if row_name else None,
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
    """Turn one column into float32 (N,)."""
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
    """Turn one column of lists into float32 (N, D)."""
    from pyarrow import compute

    lengths = set(compute.list_value_length(column).to_pylist())
    if len(lengths) != 1 or None in lengths or 0 in lengths:
        raise DataError(
            f"{what}: lists of different lengths ({', '.join(map(str, list(lengths)[:5]))}); pad or drop rows"
        )
    return _number_column(compute.list_flatten(column), what).reshape(len(column), -1)


def _label_column(table: Any, name: str | None, source: str) -> tuple[Array | None, tuple[str, ...], dict[str, Array]]:
    """Turn the column of labels into labels, or, if it holds real numbers, into a factor."""
    from pyarrow import types

    if name is None:
        return None, (), {}
    column = table[name]
    if column.null_count:
        raise DataError(
            f"{source}, column {name!r}: {column.null_count} labels are missing; fill them or drop their rows"
        )
    if types.is_floating(column.type):
        return None, (), {name: column.to_numpy()}
    return *as_classes(column.to_pylist()), {}


# Hugging Face --------------------------------------------------------------------------------------------------------


def find_saved_dataset(path: Path) -> list[Path]:
    """Find a folder that `datasets.Dataset.save_to_disk` or `DatasetDict.save_to_disk` has written."""
    marks = [(path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json", "state.json")]
    return list(walk(path)) if marks[0] or all(marks[1:]) else []


def read_saved_dataset(path: Path, files: list[Path], settings: Settings) -> Found:
    """Read a saved Dataset or DatasetDict."""
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # a damaged folder raises almost anything
        raise DataError(f"{path}: datasets cannot read it ({_line(error)}); save it again") from error
    return _from_datasets(loaded, str(path), settings)


def read_hub(name: str, settings: Settings) -> Found:
    """Read a data set of the Hugging Face hub, downloading it if need be."""
    import datasets
    import huggingface_hub

    try:
        if not huggingface_hub.constants.HF_HUB_OFFLINE:
            huggingface_hub.HfApi().dataset_info(name, timeout=10)  # answers at once where datasets tries for long
        loaded = datasets.load_dataset(name)
    except Exception as error:  # the network, the hub, the script of the data set: anything
        raise DataError(
            f"{name}: no such file or folder, and not to be had from the Hugging Face hub ({_line(error)}); check the"
            " spelling or the network (HF_HUB_OFFLINE=1 uses what was downloaded before)"
        ) from error
    return _from_datasets(loaded, name, settings)


def _line(error: Exception) -> str:
    """Return an error's first line, or its kind if it says nothing."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def _from_datasets(loaded: Any, source: str, settings: Settings) -> Found:
    """Join the parts of a DatasetDict."""
    import datasets

    if not isinstance(loaded, datasets.DatasetDict):
        return _from_dataset(loaded, None, source, settings)
    parts = parts_by_name(np.repeat(list(loaded), [len(part) for part in loaded.values()]).tolist())
    try:
        joined = datasets.concatenate_datasets(list(loaded.values()))
    except ValueError as error:
        raise DataError(f"{source}: its parts {', '.join(loaded)} have different columns; save them apart") from error
    return _from_dataset(joined, parts, source, settings)


def _from_dataset(dataset: Any, parts: Array | None, source: str, settings: Settings) -> Found:
    """Take the column of pictures, known by its type, or else the numbers, as of a table."""
    from datasets import ClassLabel, Image

    classes = {name: feature for name, feature in dataset.features.items() if isinstance(feature, ClassLabel)}
    images = [name for name, feature in dataset.features.items() if _holds_pictures(feature)]
    if not images:
        found = _from_table(dataset.with_format("arrow")[:], source, settings.key)
        label = first_present(LABEL_NAMES, list(classes))
        return replace(found, parts=parts, label_names=tuple(classes[label].names) if label else found.label_names)
    if settings.key is not None and settings.key not in images:
        raise DataError(f"{source}: no column {settings.key!r} of pictures; it has {', '.join(images)}")
    column = settings.key or images[0]
    pictures = dataset.select_columns([column]).with_format(None).cast_column(column, Image(decode=False))
    others = dataset.remove_columns(images).with_format("numpy")
    numbers = [
        name for name, feature in others.features.items() if getattr(feature, "dtype", "") in WHOLE or name in classes
    ]
    factors = {name: np.asarray(others[name][:]).astype(np.int64) for name in numbers}
    label = next(iter(classes), None) or first_present(LABEL_NAMES, numbers)
    return Found(
        values=Pictures(num=len(dataset), open=lambda i: _open_bytes(pictures[i][column])),
        labels=factors.pop(label) if label else None,
        label_names=tuple(classes[label].names) if label in classes else (),
        factors=factors,
        parts=parts,
    )


WHOLE = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")


def _holds_pictures(feature: Any) -> bool:
    """Tell a column of pictures, declared or only stored as one (a struct of bytes and path)."""
    from datasets import Image

    return isinstance(feature, Image) or (isinstance(feature, dict) and {"bytes", "path"} <= feature.keys())


def _open_bytes(cell: Mapping[str, Any]) -> Any:
    """Open a picture that is stored in a table, or whose path is."""
    return open_picture(io.BytesIO(cell["bytes"]) if cell["bytes"] is not None else cell["path"])
