"""Shards of codes → one file, as one process would have written it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlae.atomic import whole, writing
from vlae.codes import files
from vlae.codes.files import CodeFile, damaged, open_codes
from vlae.codes.lance import SETTINGS, STREAMED, LanceCodes
from vlae.codes.parts import PART, parts_folder
from vlae.data.sharding import SHARD, in_order
from vlae.lance_tables import alone, as_place


def merge(parts: Sequence[str | Path], out: str | Path) -> str | Path:
    """Join all shards of a source (`encode` with `shard`). Rows are numbered as those of the whole source.

    Memory does not grow with the number of rows. The output appears when it is whole.

    Args:
        parts: the files of all shards, in any order.
        out: a .parquet file, an .npz file, a .lance data set, also in an object store, or (a name without an ending)
            the folder of a Hugging Face data set.

    Returns:
        The path of the file or folder, or its address: `out`.

    Raises:
        CodesError: if the output exists already, or has an unknown ending, or a part is damaged.
        DataError: if a shard is missing or given twice, or they are of different runs, sources or settings.
        FileNotFoundError: if there is no such part.
        WriteError: if the output cannot be written, or another process writes it.
    """
    out = as_place(out)
    kind = files.kind_of(out)
    if isinstance(out, Path) and kind != "lance":
        files.check_new(out)
    opened = [open_codes(part) for part in parts]
    order = in_order([(str(file.path), file.about.get("weights"), file.about.get(SHARD)) for file in opened])
    shards = [opened[i] for i in order]
    about = {name: value for name, value in shards[0].about.items() if name != SHARD}
    about["num"] = sum(file.num for file in shards)
    told = shards[0].about[SHARD]
    streamed = STREAMED if told["total"] is None else {}
    join(shards, out, about, {"source_hash": told["source_is"], SETTINGS: told["settings"] | streamed})
    return out


def join(shards: Sequence[CodeFile], out: str | Path, about: dict[str, Any], told: dict[str, Any]) -> None:
    """Write the rows of several files to one, with numbers from 0 on.

    Args:
        shards: the files, in order.
        out: the file, folder or address to write.
        about: what made the codes, as JSON values.
        told: what a Lance data set is told besides, so that the same call goes on.

    Raises:
        CodesError: if the output exists already, or a file is damaged.
        WriteError: if the output cannot be written, or another process writes it.
    """
    kind = files.kind_of(out)
    if kind == "lance":
        about = {**about, **told, SETTINGS: {**told[SETTINGS], "rows_per_part": PART}}
        with alone(out, f"writes {out}"):
            target = LanceCodes(out)
            target.check(about)
            there = target.parts(PART)
            for number, table in enumerate(_numbered(shards, about)):
                if number not in there:
                    target.write(table)
            target.check_whole(about["num"])
        return
    out = Path(out)
    with parts_folder(out, {"source_is": None}) as folder:
        joined = folder / f"joined{out.suffix}"
        with writing(out):
            numbered = list(_write_parts(shards, folder, about))
            files.join(numbered, joined, kind)
            files.check_new(out)
            joined.rename(out)


def _write_parts(shards: Sequence[CodeFile], folder: Path, about: dict[str, Any]) -> Iterator[Path]:
    """Write the parts that one process would have written, and yield them in order."""
    from pyarrow import parquet

    for number, table in enumerate(_numbered(shards, about)):
        part = folder / f"{number:06d}.parquet"
        with whole(part) as file:
            parquet.write_table(table, file)
        yield part


def _numbered(shards: Sequence[CodeFile], about: dict[str, Any]) -> Iterator[Any]:
    """Yield the rows of all shards in order, with the numbers that they have in the whole source."""
    import pyarrow

    start = 0
    for table in _tables(shards):
        rows = pyarrow.array(range(start, start + len(table)), pyarrow.int64())
        place = table.schema.get_field_index("row")
        yield table.set_column(place, "row", rows).replace_schema_metadata(files.metadata(about))
        start += len(table)


def _tables(shards: Sequence[CodeFile]) -> Iterator[Any]:
    """Yield the rows of all shards in order, as many at a time as one process encodes."""
    import pyarrow

    waiting: list[Any] = []
    for shard in shards:
        for batch in _batches(shard):
            waiting.append(pyarrow.Table.from_batches([batch]).replace_schema_metadata(None))
            num = sum(map(len, waiting))
            if num >= PART:
                table = pyarrow.concat_tables(waiting)
                yield table.slice(0, PART)
                waiting = [table.slice(PART)] if num > PART else []
    if waiting:
        yield pyarrow.concat_tables(waiting)


def _batches(shard: CodeFile) -> Iterator[Any]:
    from pyarrow import parquet

    try:
        yield from parquet.ParquetFile(shard.path).iter_batches(batch_size=PART)
    except Exception as error:  # as in `open_codes`
        raise damaged(shard.path, error) from error
