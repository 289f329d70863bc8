"""Codes of a source that is read shard by shard: neither its pictures nor its codes are ever held as a whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlae.atomic import remove, whole
from vlae.codes import files
from vlae.codes.encode import Encoder, identity, parts_folder
from vlae.codes.files import open_codes
from vlae.codes.lance import SETTINGS
from vlae.codes.progress import progress_bar
from vlae.codes.shards import join
from vlae.codes.shared import SharedSource
from vlae.data.cache import cache_folder
from vlae.data.readers import hash_bytes
from vlae.data.sharding import SHARD, Share
from vlae.data.source import DataError, Source
from vlae.lance_tables import is_address
from vlae.runs import Run


def encode_stream(
    run: Run,
    source: Source,
    out: str | Path,
    shard: Share | None,
    how: dict[str, Any],
    content: dict[str, Any],
    progress: bool,
) -> str | Path:
    """Write the codes of a stream to a file: as `vlae.codes.encode.encode`, which calls this.

    Args:
        run: a run of any model that has an encoder.
        source: a source that `vlae.data.streams.is_streamed`.
        out: the file, folder or address to write.
        shard: which of the stream's shards to encode. None: all.
        how: how the source is read.
        content: which columns are written, and the seed.
        progress: whether to show a progress bar, by shards.

    Raises:
        ValueError: as `encode`.
    """
    opened = SharedSource(run, source, **how)
    share = shard or Share(1, 1)
    numbers = share.rows(opened.num, opened.name)
    record = share.record(opened.total, opened.fingerprint, {**content, **how})
    about = {**identity(run), "source": opened.name, "split": "all", "label_names": []}
    about |= {SHARD: record} if shard is not None else {}
    columns = {name: content[name] for name in ("stddev", "sample", "reconstruction", "seed")}
    encoder = Encoder(run.model, **columns)
    # Shards that are done wait beside the output, or in the cache if it is in an object store.
    place = cache_folder() / f"codes-{hash_bytes(str(out).encode())}" if is_address(out) else Path(out)
    place = place.with_name(f"{place.name}.shards")
    with parts_folder(place, {**about, **content, "source_is": opened.fingerprint}) as folder:
        with progress_bar("Encoding shards", numbers.stop - numbers.start, progress) as advance:
            for number in range(numbers.start, numbers.stop):
                if not (folder / f"{number:06d}.parquet").exists() and not (folder / f"{number:06d}.none").exists():
                    try:
                        _write(opened.tables_of_shard(encoder, number), folder / f"{number:06d}.parquet")
                    except DataError:
                        _check(opened, folder)
                        raise
                advance(1)
        _check(opened, folder)
        shards = [open_codes(file) for file in sorted(folder.glob("[0-9]*.parquet"))]
        if not shards:
            raise DataError(f"{opened.name}: none of its pictures can be read; get them again")
        about["num"] = sum(file.num for file in shards)
        join(shards, out, about, {"source_hash": opened.fingerprint, SETTINGS: content})
    return out


def _write(tables: Iterator[Any], file: Path) -> None:
    """Write the rows of a shard, or note that it has none."""
    from pyarrow import parquet

    first = next(tables, None)
    if first is None:
        with whole(file.with_suffix(".none")) as none:
            none.touch()
        return
    with whole(file) as unfinished, parquet.ParquetWriter(unfinished, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _check(opened: SharedSource, folder: Path) -> None:
    """Check that the source has not changed. If it has, forget the shards that are done."""
    try:
        opened.check_unchanged()
    except (ValueError, FileNotFoundError):
        remove(folder)
        raise
