"""Shards of tables: groups of rows of Parquet files, and fragments of Lance data sets."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from vlae.data.addresses import StoredFile, reaching
from vlae.data.shards import ROWS, Shard, rows_at_a_time
from vlae.data.source import DataError
from vlae.errors import MissingExtraError
from vlae.names import some_of

LANCE_ROWS = 256
"""Rows of a Lance data set that are read at a time; how large they are is not known before."""


def parquet_shards(files: list[StoredFile]) -> tuple[Shard, ...]:
    """Make a shard of each group of rows.

    Args:
        files: the Parquet files.

    Raises:
        DataError: if a file is damaged, or has other columns than the first.
    """
    from pyarrow import parquet

    shards: list[Shard] = []
    first = None
    for file in files:
        with file.open() as opened:
            about = parquet.read_metadata(opened)
        columns = {field.name: str(field.type) for field in about.schema.to_arrow_schema()}
        first = columns if first is None else first
        if others := [name for name in first | columns if first.get(name) != columns.get(name)]:
            raise DataError(
                f"{file.name}: column {some_of(others)} is not as in {files[0].name}; give files with the same columns"
            )
        for number in range(about.num_row_groups):
            group = about.row_group(number)
            at_a_time = rows_at_a_time(group.num_rows, group.total_byte_size)
            shards.append(
                Shard(
                    name=file.name if about.num_row_groups == 1 else f"{file.name}#{number + 1}",
                    stamp=file.stamp,
                    read=partial(_read_group, file, number, at_a_time),
                    num_rows=group.num_rows,
                    num_bytes=group.total_byte_size,
                )
            )
    return tuple(shards)


def _read_group(file: StoredFile, group: int, at_a_time: int, start: int) -> Iterator[Any]:
    """Read the rows of a group from one on."""
    import pyarrow
    from pyarrow import parquet

    with file.open() as opened, parquet.ParquetFile(opened, pre_buffer=False) as table:
        position = 0
        for batch in table.iter_batches(at_a_time, row_groups=[group]):
            rest = batch.slice(max(0, start - position))
            position += len(batch)
            if len(rest):
                yield without_paths(pyarrow.Table.from_batches([rest]))


def lance_shards(address: str) -> tuple[Shard, ...]:
    """Make a shard of each fragment of a Lance data set, in the version that it has now.

    Args:
        address: its folder, or its address in object storage.

    Raises:
        DataError: if it cannot be opened.
        MissingExtraError: if Lance is not installed.
    """
    try:
        import lance
    except ImportError as error:
        raise MissingExtraError(f'{address}: Lance is missing; install it with: pip install "vlae[streams]"') from error

    with reaching(address):
        fragments = lance.dataset(address).get_fragments()
        return tuple(
            Shard(
                name=f"{address}#{fragment.fragment_id}",
                stamp=str([(file.path, file.file_size_bytes) for file in fragment.data_files()]),
                read=partial(_read_fragment, fragment, address),
                num_rows=fragment.count_rows(),
            )
            for fragment in fragments
        )


def _read_fragment(fragment: Any, address: str, start: int) -> Iterator[Any]:
    """Read the rows of a fragment from one on."""
    import pyarrow

    with reaching(address):
        for batch in fragment.scanner(batch_size=min(ROWS, LANCE_ROWS), offset=start or None).to_batches():
            yield without_paths(pyarrow.Table.from_batches([batch]))


def without_paths(table: Any) -> Any:
    """Forget the paths of pictures that are not in the table: a stranger's table would have any file opened.

    Args:
        table: a pyarrow.Table.
    """
    import pyarrow
    from pyarrow import compute, types

    for i in range(table.num_columns):
        column = table.column(i)
        if types.is_struct(column.type) and {"bytes", "path"} == {field.name for field in column.type}:
            column = column.combine_chunks()
            cells, paths = (compute.struct_field(column, part) for part in ("bytes", "path"))
            paths = compute.if_else(compute.is_valid(cells), paths, None)
            field = table.schema.field(i).with_type(pyarrow.struct({"bytes": cells.type, "path": paths.type}))
            column = pyarrow.StructArray.from_arrays([cells, paths], ["bytes", "path"])
            table = table.set_column(i, field, column)
    return table
