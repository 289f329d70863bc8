"""A stream in the form that a run takes."""

import sys
from dataclasses import replace
from typing import Any

from vlae.data.sampling import sample_of
from vlae.data.source import NoRowNamesError, ReadSettings, Source
from vlae.data.streams import Stream, open_stream
from vlae.runs.run import Run


def stream_for(
    run: Run,
    source: Source,
    *,
    layout: str | None = None,
    key: str | None = None,
    id: str | None = None,
    progress: bool = False,
) -> Stream:
    """Open a stream in the form that a run takes, with the names of its classes, from a sample of its rows.

    Args:
        run: the run that encodes it.
        source: a folder, file, pattern or address of shards, "hf:NAME", a data set of torch, or a `Stream`, which keeps
            its own layout, key and id.
        layout: the order of an array's dimensions: "NHW", "NHWC" or "NCHW". None: inferred from the shape.
        key: the column, or of .tar shards the ending, that holds the images. None: inferred.
        id: the column that names the rows. None: that of the run's own table, if the stream has it.
        progress: whether to show what is read.

    Raises:
        DataError: if a shard cannot be read.
        FileNotFoundError: if the source is not there.
        MissingExtraError: if what reads it is not installed.
        TypeError: if it gives its items only once, or is no source.
        ValueError: if the data do not have the run's shape, or the run reads features of full-size pictures.
    """
    if run.network is not None:
        raise ValueError("the run reads features of full-size pictures, which a stream does not give; leave stream out")
    reading = run.reading(source, layout=layout, key=key, id=id)
    stream = _opened(source, reading)
    try:
        form = sample_of(stream, progress=progress)
    except NoRowNamesError as error:
        if id is not None or run.is_own(source):
            raise
        stream = _opened(source, {**reading, "id": None})
        form = sample_of(stream, progress=progress)
        if progress:
            print(f"{error}, as in the training data", file=sys.stderr)
    return stream.like(run.fitted(form))


def _opened(source: Source, reading: dict[str, Any]) -> Stream:
    """A stream read as the run asks; one that was opened before keeps its key, layout and id."""
    if not isinstance(source, Stream):
        return open_stream(source, **reading)
    kept = {name: getattr(source.settings, name) or reading.get(name) for name in ("key", "layout", "id")}
    return replace(source, settings=ReadSettings(**{**reading, **kept}), form=None)
