"""A stream → a file of codes: shard by shard, in parts that survive a stop, and joined when all are done."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vlae.atomic import remove, whole, writing
from vlae.codes import files
from vlae.codes.encode import PART, Encoder, identity, parts_folder, source_columns
from vlae.codes.progress import progress_bar
from vlae.data.account import say_found
from vlae.data.images import Images, say_skipped
from vlae.data.labels import UNLABELLED
from vlae.data.sampling import sample_of
from vlae.data.shards import ROWS
from vlae.data.source import DataError, Source
from vlae.data.streams import Stream, open_stream
from vlae.runs import Run

MOST_SKIPPED = 1_000
"""The most rows that could not be read which are listed."""


def encode_stream(
    run: Run,
    source: Source,
    out: str | Path,
    *,
    layout: Any = None,
    key: str | None = None,
    id: str | None = None,
    stddev: bool = False,
    sample: bool = False,
    reconstruction: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> Path:
    """Write the codes of a source that is read shard by shard, as `vlae.codes.encode.encode` writes those of others.

    Neither memory nor the cache grows with the source. After a stop, the same call goes on in the shard where it was.

    Args:
        run: a run of any model that has an encoder.
        source: as `vlae.data.open_stream` takes it.
        out: a .parquet file, an .npz file, or (a name without an ending) the folder of a Hugging Face data set.
        layout: the order of an array's dimensions: "NHW", "NHWC" or "NCHW". None: inferred from the shape.
        key: the column, or of .tar shards the ending, that holds the images. None: inferred.
        id: the column that names the rows. None: that of the run's own table.
        stddev: whether to write the posterior standard deviations.
        sample: whether to write a draw from each posterior.
        reconstruction: whether to write the reconstruction error.
        seed: seed of the draws, 0 or more.
        progress: whether to show what is read, how far it is, and what could not be read.

    Returns:
        The path of the file or folder: `out`.

    Raises:
        CodesError: if the output exists already, or has an unknown ending.
        NotDefinedError: if the model has no encoder.
        DataError: if a shard cannot be read, or the source changes while it is encoded.
        ValueError: if the data do not have the run's shape, or the run reads features of full-size pictures.
        WriteError: if the output cannot be written, or another process writes it.
    """
    out = Path(out)
    kind = files.kind_of(out)
    files.check_new(out)
    if run.network is not None:
        raise ValueError("the run reads features of full-size pictures, which a stream does not give; leave stream out")
    reading = run.reading(source, layout=layout, key=key, id=id)
    stream = open_stream(source, **reading)
    form = sample_of(stream, progress=progress)
    run.fitted(form)
    stream = stream.like(form)
    if progress:
        say_found(form, stream=stream, buffer=ROWS)
    about = {**identity(run), "source": stream.source, "split": "all", "label_names": list(form.label_names)}
    content = {"stddev": stddev, "sample": sample, "reconstruction": reconstruction, "seed": seed}
    mark = stream.fingerprint if stream.is_stored else None
    with parts_folder(out, {**about, **content, "source_is": mark}) as folder:
        encoder = Encoder(run.model, stddev=stddev, sample=sample, reconstruction=reconstruction, seed=seed)
        parts = list(_parts(encoder, stream, folder, about, progress))
        if stream.is_stored and open_stream(source, **reading).fingerprint != stream.fingerprint:
            remove(folder)
            raise DataError(f"{stream.source}: changed while it was encoded; run this again when it no longer does")
        joined = folder / f"joined{out.suffix}"
        remove(joined)
        with writing(out):
            files.join(parts, joined, kind)
            files.check_new(out)
            joined.rename(out)
    return out


def _parts(encoder: Encoder, stream: Stream, folder: Path, about: dict[str, Any], progress: bool) -> Iterator[Path]:
    """Encode the parts that are missing, and yield all parts in order.

    The name of a part has the number of its shard, and the rows of the shard that it begins and ends with. A shard that
    is done leaves an empty file.
    """
    from pyarrow import parquet

    row = 0
    skipped: dict[tuple[str, str], None] = {}
    with progress_bar("Encoding", max(1, stream.num_rows[0]), progress) as advance:
        for shard in range(len(stream.shards)):
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
            for stop, tables in _tables(encoder, stream, shard, start, row, about, advance, skipped):
                part = folder / f"{shard:06d}-{start:010d}-{stop:010d}.parquet"
                with whole(part) as file, parquet.ParquetWriter(file, tables[0].schema) as writer:
                    for table in tables:
                        writer.write_table(table)
                row += sum(map(len, tables))
                start = stop
                yield part
            done.touch()
    if progress and skipped and stream.form is not None:
        say_skipped(replace(stream.form, skipped=tuple(skipped), fates={}))


def _tables(
    encoder: Encoder,
    stream: Stream,
    shard: int,
    start: int,
    row: int,
    about: dict[str, Any],
    advance: Any,
    skipped: dict[tuple[str, str], None],
) -> Iterator[tuple[int, list[Any]]]:
    """Encode a shard from one of its rows on: the row after each part, and its tables."""
    tables: list[Any] = []
    stop = start
    for piece in stream.read(shard, start):
        stop = piece.stop
        if len(skipped) < MOST_SKIPPED:
            skipped |= dict.fromkeys(piece.images.skipped)
        if not len(piece.images):
            continue
        images = _like(piece.images, stream.form)
        columns = {**source_columns(images, row), **encoder.columns(images.values, row, advance)}
        tables.append(files.as_table(columns, about))
        row += len(images)
        if sum(map(len, tables)) >= PART:
            yield stop, tables
            tables = []
    if tables:
        yield stop, tables


def _like(images: Images, form: Images | None) -> Images:
    """Images with the columns that the sample has: labels, even if none is known here, and names."""
    if form is None:
        return images
    labels = images.labels if images.labels is not None else np.full(len(images), UNLABELLED)
    names = images.names if images.names is not None else ("",) * len(images)
    return replace(images, labels=None if form.labels is None else labels, names=None if form.names is None else names)
