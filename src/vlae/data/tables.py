"""Tables → vectors or pictures: .csv, .tsv and Parquet files."""

from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from typing import Any

from vlae import memory
from vlae.data.arrow import from_table
from vlae.data.delimited import read_delimited
from vlae.data.files import begins_with, open_picture
from vlae.data.huggingface import from_dataset
from vlae.data.source import DataError, ReadSettings, SourceData
from vlae.errors import reason

TRIED = 100
"""Cells of a column of bytes that are tried to tell whether it holds pictures."""


def find_table(path: Path) -> list[Path]:
    """Find a .csv or .tsv file by its ending, or a Parquet file by its first bytes, with the pictures that it names.

    Args:
        path: a file or folder.
    """
    if path.is_file() and _is_text(path):
        return [path]
    return [path, *_named_pictures(path)] if begins_with(path, b"PAR1") else []


def _named_pictures(path: Path) -> list[Path]:
    """The files that a Parquet file names in place of the bytes of pictures; none if all bytes are in it.

    Only the paths are read, and only if the file does not say that no bytes are missing.
    """
    import pyarrow
    from pyarrow import compute, parquet

    try:
        with parquet.ParquetFile(path) as file:
            schema, about = file.schema_arrow, file.metadata
            named = [f"{field.name}.path" for field in schema if _may_name_files(about, field)]
            paths = file.read(named)
        columns = [compute.struct_field(column, "path") for column in paths.columns]
        names = {name for column in columns for name in column.to_pylist() if name}
    except (pyarrow.ArrowException, OSError):  # a damaged file, as `read_table` will say
        return []
    folder = path.parent.resolve()
    return [folder / name for name in sorted(names) if _is_file(folder / name)]


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):  # a stranger may have written any name
        return False


def _may_name_files(about: Any, field: Any) -> bool:
    """Whether cells of a column may be the paths of pictures without their bytes."""
    from pyarrow import types

    if not types.is_struct(field.type) or not {"bytes", "path"} <= {part.name for part in field.type}:
        return False
    for group in map(about.row_group, range(about.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            counts = column.statistics
            if column.path_in_schema == f"{field.name}.bytes" and (counts is None or counts.null_count != 0):
                return True
    return False


def read_table(path: Path, files: list[Path], settings: ReadSettings) -> SourceData:
    """Read the numbers of a table as vectors, or its column of pictures.

    Args:
        path: the .csv, .tsv or Parquet file.
        files: that file, and the pictures that it names, as `find_table` returned them.
        settings: of which `key` chooses the column, and `id` the names of the rows.

    Raises:
        DataError: if the file is damaged, or if no column can be used.
    """
    import pyarrow

    try:
        known = settings.columns
        texts = {*([] if settings.id is None else [settings.id]), *(known.texts if known else [])}
        table = read_delimited(path, texts, known.decimal if known else None) if _is_text(path) else _read_parquet(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read ({reason(error)}); repair the file or get it again") from error
    return from_arrow(table, str(path), settings, path.parent)


def from_arrow(table: Any, source: str, settings: ReadSettings, folder: Path | None = None) -> SourceData:
    """Read the numbers of an Arrow table as vectors, or its column of pictures.

    Args:
        table: a pyarrow.Table.
        source: the name of the table, for messages.
        settings: of which `key` chooses the column.
        folder: below which pictures may lie that are given by their paths; None: anywhere.

    Raises:
        DataError: if no column can be used.
    """
    import pyarrow

    table = _with_cells(table, picture_columns(table) if settings.pictures is None else settings.pictures)
    if any(
        pyarrow.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0 for column in table.columns
    ):
        from datasets import Dataset
        from datasets.table import InMemoryTable

        return from_dataset(Dataset(InMemoryTable(table)), None, source, settings, folder)
    return from_table(table, source, settings)


def picture_columns(table: Any) -> frozenset[str]:
    """The columns of bytes that hold pictures.

    Args:
        table: a pyarrow.Table.
    """
    are_bytes, columns = byte_columns(table), zip(table.column_names, table.columns, strict=True)
    return frozenset(name for name, column in columns if name in are_bytes and _holds_pictures(column))


def byte_columns(table: Any) -> list[str]:
    """The columns of bytes.

    Args:
        table: a pyarrow.Table.
    """
    from pyarrow import types

    tell = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
    return [field.name for field in table.schema if any(is_of(field.type) for is_of in tell)]


def _with_cells(table: Any, pictures: Collection[str]) -> Any:
    """Turn columns of the bytes of pictures into those that `datasets` writes, a struct of bytes and path."""
    import pyarrow

    are_bytes = byte_columns(table)
    for i, name in enumerate(table.column_names):
        if name in are_bytes and name in pictures:
            cells = [None if cell is None else {"bytes": cell, "path": None} for cell in table.column(i).to_pylist()]
            kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
            table = table.set_column(i, name, pyarrow.array(cells, kind))
    return table


def _holds_pictures(column: Any) -> bool:
    """Whether the first cell that is given is a picture, or at least half of the first `TRIED`: some may be broken."""
    cells = column.drop_null().slice(0, TRIED).to_pylist()
    return bool(cells) and (_is_picture(cells[0]) or 2 * sum(map(_is_picture, cells)) >= len(cells))


def _is_picture(cell: bytes) -> bool:
    """Whether bytes are those of a picture."""
    try:
        with open_picture(BytesIO(cell)):
            return True
    except Exception:  # bytes of any kind raise almost anything
        return False


def _is_text(path: Path) -> bool:
    return path.suffix.lower() in (".csv", ".tsv")


def _read_parquet(path: Path) -> Any:
    from pyarrow import parquet

    about = parquet.read_metadata(path)
    unpacked = sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))
    num_bytes = max(8 * about.num_rows * about.num_columns, unpacked)
    memory.require(num_bytes, f"{path}, unpacked,", "is it the right file?")
    with parquet.ParquetFile(path) as file:
        return file.read()
