"""A stream → a file of codes: shard by shard, in parts that survive a stop, and joined when all are done."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlae.atomic import remove, whole
from vlae.codes import files
from vlae.codes.choice import Choice
from vlae.codes.encode import about_of, hash_of
from vlae.codes.encoder import Encoder
from vlae.codes.lance import SETTINGS, STREAMED, LanceCodes
from vlae.codes.parts import PART, encoded, parts_folder
from vlae.codes.shards import join
from vlae.data.account import say_found
from vlae.data.cache import cache_folder
from vlae.data.counting import counting
from vlae.data.images import say_skipped
from vlae.data.readers import hash_bytes
from vlae.data.sharding import SHARD, Share
from vlae.data.shards import ROWS
from vlae.data.source import DataError, Source
from vlae.data.streams import Stream, alike, is_unchanged
from vlae.lance_tables import as_place
from vlae.runs import Run
from vlae.runs.streams import stream_for

SHARD_ROWS = 2**40
"""More rows than any shard has: the draws of two shards never depend on the same number."""

MOST_SKIPPED = 1_000
"""The most rows that could not be read which are listed."""


def encode_stream(
    run: Run,
    source: Source,
    out: str | Path,
    choice: Choice,
    *,
    shard: Share | None = None,
    progress: bool = False,
) -> str | Path:
    """Write the codes of a source that is read shard by shard, as `vlae.codes.encode.encode` writes those of others.

    Memory does not grow with the source. Codes that are done wait beside the output, or in the cache if that is in an
    object store, and go there when all are done. After a stop, the same call on the same machine goes on in the shard
    where it was.

    Args:
        run: a run of any model that has an encoder.
        source: a folder, file, pattern or address of shards, "hf:NAME", a data set of torch, or a `Stream`.
        out: a .parquet file, an .npz file, a .lance data set, also in an object store, or (a name without an ending)
            the folder of a Hugging Face data set.
        choice: how it is read, and which columns are written.
        shard: which of the stream's shards to encode. None: all.
        progress: whether to show what is read, how far it is, and what could not be read.

    Returns:
        The path of the file or folder, or its address: `out`.

    Raises:
        CodesError: if the output exists already, or has an unknown ending.
        NotDefinedError: if the model has no encoder.
        DataError: if a shard cannot be read, or the source changes while it is encoded.
        ValueError: if the data do not have the run's shape, or the run reads features of full-size pictures.
        WriteError: if the output cannot be written, or another process writes it.
    """
    out = as_place(out)
    if files.kind_of(out) == "lance":
        LanceCodes(out).check_unfinished()  # before anything is read
    else:
        files.check_new(Path(out))
    stream = stream_for(run, source, **choice.how, progress=progress)
    assert stream.form is not None
    if progress:
        say_found(stream.form, stream=stream, buffer=ROWS, with_parts=False)
    about = about_of(run, stream.source, stream.form.label_names)
    mark = stream.fingerprint if stream.is_stored else None
    numbers = range(len(stream.shards))
    if shard is not None:
        numbers = numbers[shard.rows(len(numbers), stream.source)]
        about[SHARD] = shard.record(None, stream.fingerprint, choice.settings)
    # Shards that are done wait beside the output, or in the cache if that is in an object store.
    place = cache_folder() / f"codes-{hash_bytes(str(out).encode())}" if isinstance(out, str) else out
    description = {**about, **choice.settings, "source_is": mark}
    with parts_folder(place.with_name(f"{place.name}.shards"), description) as folder:
        parts = list(_parts(Encoder(run.model, **choice.columns), stream, numbers, folder, about, progress))
        if stream.is_stored and not is_unchanged(stream, source):
            remove(folder)
            raise DataError(f"{stream.source}: changed while it was encoded; run this again when it no longer does")
        if not parts:
            raise DataError(f"{stream.source}: none of its pictures can be read; get them again")
        done = [files.open_codes(part) for part in parts]
        about["num"] = sum(part.num for part in done)
        join(done, out, about, {"source_hash": hash_of(stream.fingerprint), SETTINGS: choice.settings | STREAMED})
    return out


def _parts(
    encoder: Encoder, stream: Stream, numbers: range, folder: Path, about: dict[str, Any], progress: bool
) -> Iterator[Path]:
    """Encode the parts that are missing, and yield all parts in order.

    The name of a part has the number of its shard, and the rows of the shard that it begins and ends with. A shard that
    is done leaves an empty file.
    """
    from pyarrow import parquet

    row = 0
    skipped: dict[tuple[str, str], None] = {}
    num = max(1, stream.num_rows[0] * len(numbers) // len(stream.shards))
    with counting("encoding", num, progress) as advance:
        for shard in numbers:
            done = folder / f"{shard:06d}.done"
            parts = sorted(folder.glob(f"{shard:06d}-*.parquet"))
            for part in parts:
                num = parquet.read_metadata(part).num_rows
                row += num
                advance(num)
                yield part
            if done.exists():
                continue
            start = int(parts[-1].stem.rpartition("-")[2]) if parts else 0
            for stop, tables in tables_of(encoder, stream, shard, start, row, about, advance, skipped):
                part = folder / f"{shard:06d}-{start:010d}-{stop:010d}.parquet"
                with whole(part) as file, parquet.ParquetWriter(file, tables[0].schema) as writer:
                    for table in tables:
                        writer.write_table(table)
                row += sum(map(len, tables))
                start = stop
                yield part
            done.touch()
    if progress:
        stream.say_clipped()
    if progress and skipped and stream.form is not None:
        say_skipped(replace(stream.form, skipped=tuple(skipped), fates={}))


def tables_of(
    encoder: Encoder,
    stream: Stream,
    shard: int,
    start: int,
    row: int,
    about: dict[str, Any],
    advance: Callable[[int], None] | None,
    skipped: dict[tuple[str, str], None],
) -> Iterator[tuple[int, list[Any]]]:
    """Encode a shard from one of its rows on.

    Args:
        encoder: encodes its rows.
        stream: the stream, in the form that the encoder takes (`stream_for`).
        shard: the number of the shard, 0 for the first.
        start: the number of the row in the shard to begin with.
        row: the number that this row gets.
        about: what makes the codes, as JSON values.
        advance: called with the size of each batch that is done.
        skipped: gets the rows that could not be read, up to a thousand.

    Yields:
        The row of the shard that follows each part, and the part's tables.
    """
    tables: list[Any] = []
    stop = start
    for piece in stream.read(shard, start):
        stop = piece.stop
        if len(skipped) < MOST_SKIPPED:
            skipped |= dict.fromkeys(piece.images.skipped)
        if not len(piece.images):
            continue
        images = alike(piece.images, stream.form)
        # The draws depend on the place in the shard: nobody who encodes others knows how many rows come before.
        draws = shard * SHARD_ROWS + piece.rows
        tables.append(encoded(encoder, images, row, about, advance, draws=draws))
        row += len(images)
        if sum(map(len, tables)) >= PART:
            yield stop, tables
            tables = []
    if tables:
        yield stop, tables
