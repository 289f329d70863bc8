"""What a run is to go through once: data that are at hand, or a stream that is read shard by shard."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np

from vlae.data.account import say_found
from vlae.data.content import content_hash
from vlae.data.images import Images, say_skipped
from vlae.data.readers import hash_bytes
from vlae.data.sharding import Share
from vlae.data.shards import ROWS
from vlae.data.source import Array, DataError, Source
from vlae.data.streams import Stream, alike, is_streamed, is_unchanged
from vlae.runs.run import Run
from vlae.runs.streams import stream_for

BATCH = 500
"""Data that are encoded at a time."""

MOST_SKIPPED = 1_000
"""The most rows that could not be read which are listed."""


class Some(NamedTuple):
    """Some of the data."""

    images: Images
    """Each with a name."""
    place: "Place"
    """From where on they are to be read again if they are lost."""
    rows: Array
    """int64 (N,): the number of each in its shard of a stream; or in all of the data."""


class Place(NamedTuple):
    """How far a stream is read: all before the place is done."""

    shard: int = 0
    """How many of its shards are read to the end."""
    row: int = 0
    """How many data they had."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Contents:
    """What a run is to go through once.

    Attributes:
        form: the data, each with a name; of a stream a sample, from which columns and distances are known.
        num: how many there are; of a stream about, and 0 if that is not known.
        is_named: whether the data have names of their own; else they are named by their number.
        stream: the stream; None: `form` has all data.
        shards: the shards of it that are read.
        source: the stream as it was given, by which it is opened again.
        fingerprint: tells that a stream, and how it is read, is the same as at a stop; empty of a stream that cannot
            be read again by its name, and of others, whose pixels tell it.
        skipped: gets what cannot be read of a stream, up to a thousand.
    """

    form: Images
    num: int
    is_named: bool
    stream: Stream | None = None
    shards: range = range(0)
    source: Source = ""
    fingerprint: str = ""
    skipped: dict[tuple[str, str], None] = field(default_factory=dict)

    def pieces(self, place: Place) -> Iterator[Some]:
        """Read the data, a few hundred at a time.

        Args:
            place: where to begin in a stream.

        Yields:
            Some data after the other.

        Raises:
            DataError: if a shard cannot be read.
        """
        if self.stream is None:
            for start in range(0, len(self.form), BATCH):
                rows = np.arange(start, min(start + BATCH, len(self.form)))
                yield Some(self.form.take(rows), place, rows)
            return
        for shard in self.shards[place.shard :]:
            row = place.row
            for piece in self.stream.read(shard):
                if len(self.skipped) < MOST_SKIPPED:
                    self.skipped.update(dict.fromkeys(piece.images.skipped))
                for start in range(0, len(piece.images), BATCH):
                    rows = piece.rows[start : start + BATCH]
                    some = piece.images.take(np.arange(start, start + len(rows)))
                    yield Some(_named(alike(some, self.stream.form), row), place, rows)
                    row += len(some)
            place = Place(place.shard + 1, row)

    def check_unchanged(self, advice: str) -> None:
        """Check that a stream is what it was when it was opened.

        Args:
            advice: what to do if it is not, for the message.

        Raises:
            DataError: if it is not.
        """
        if self.stream is not None and self.stream.is_stored and not is_unchanged(self.stream, self.source):
            raise DataError(f"{self.stream.source}: changed while it was read; {advice}")

    def say_skipped(self) -> None:
        """Print what could not be read of a stream, and how many numbers were outside of the range."""
        if self.stream is not None:
            self.stream.say_clipped()
        if self.skipped:
            say_skipped(replace(self.form, skipped=tuple(self.skipped), fates={}))


class Reread:
    """The data of a stream by their numbers: an array whose rows are read again when they are asked for.

    Args:
        contents: of a stream.
        shards: int (N,), the shard of each datum.
        rows: int64 (N,), the number of each in its shard.
        hashes: int64 (N,), a number made from the pixels of each, by which a change is noticed.
    """

    def __init__(self, contents: Contents, shards: Array, rows: Array, hashes: Array):
        assert contents.stream is not None
        values = contents.form.values
        self.stream, self.shards, self.rows, self.hashes = contents.stream, shards, rows, hashes
        self.dtype, self.shape, self.ndim = values.dtype, (len(rows), *values.shape[1:]), values.ndim
        self.size = prod(self.shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: Any) -> Array:
        """Read some data again.

        Args:
            which: a number, a slice, or a list of numbers or of N times True or False; then numbers or slices for the
                other axes, if any.

        Raises:
            IndexError: if it is anything else, or there is no such datum.
            DataError: if a shard cannot be read, or has changed.
        """
        which, *rest = which if isinstance(which, tuple) else (which,)
        is_row = which is not None and which is not ... and np.ndim(which) < 2
        if not is_row or not all(isinstance(each, int | slice) for each in rest):
            raise IndexError("data of a stream are chosen by a number, slice or list, and then by numbers and slices")
        chosen = np.arange(len(self))[which]
        numbers = np.atleast_1d(chosen)
        found = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        shard, piece = -1, None
        for place in np.lexsort((self.rows[numbers], self.shards[numbers])).tolist():
            number = numbers[place]
            at, row = int(self.shards[number]), int(self.rows[number])
            if piece is None or at != shard or row >= piece.stop:
                shard, piece = at, next(self.stream.read(at, row), None)
            values = np.zeros(0) if piece is None else piece.images.values[piece.rows == row]
            if not len(values) or content_hash(values[0]) != self.hashes[number]:
                raise DataError(f"{self.stream.source}: changed since it was read; run this again")
            found[place] = values[0]
        found = found[(slice(None), *rest)]
        return found if np.ndim(chosen) else found[0]


def contents_of(
    run: Run,
    source: "Source | Contents",
    *,
    shard: Share | None = None,
    stream: bool = False,
    split: Literal["train", "test", "all"] = "all",
    limit: int | None = None,
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
    key: str | None = None,
    id: str | None = None,
    progress: bool = False,
) -> Contents:
    """Open what a run is to go through.

    Args:
        run: the run that is to encode it.
        source: a path, a name, `Images`, an array, a stream, or anything else that `vlae.data.load` reads; what is
            opened already is returned as it is, and nothing else counts.
        shard: which part of the source. Its data have the names that they have in the whole, but for those of a stream
            without names, which begin at 0. None: all of it.
        stream: whether to read it shard by shard, and never as a whole. .tar shards, addresses of object storage and
            iterable data sets are always read so.
        split: the part to return.
        limit: the most data, chosen at random. None: all.
        layout: the order of an array's dimensions. None: inferred.
        key: the array or column that holds the images. None: inferred.
        id: the column that names the rows. None: that of the run's own table.
        progress: whether to print what cannot be read, and show a bar.

    Raises:
        DataError: if the source cannot be read, or a shard is asked for of a part of it.
        FileNotFoundError: if the source is not there.
        TypeError: if it is no source, or gives its items only once.
        ValueError: if the data do not have the run's shape, or a part of a stream is asked for.
    """
    if isinstance(source, Contents):
        return source
    how: dict[str, Any] = {"layout": layout, "key": key, "id": id}
    if stream or is_streamed(source):
        if split != "all" or limit is not None:
            advice = "leave them out, or stream" if stream and not is_streamed(source) else "leave them out"
            raise ValueError(f"split and limit need a source that is read as a whole; {advice}")
        return _streamed(run, source, shard, how, progress)
    images = source if isinstance(source, Images) and source.shape == run.recipe.shape else None
    if images is None or shard is not None or split != "all" or limit is not None:
        images = run.read(source, split=split, limit=limit, **how, progress=progress, shard=shard)
    return Contents(
        form=_named(images, images.first if shard else 0), num=len(images), is_named=images.names is not None
    )


def _streamed(run: Run, source: Source, shard: Share | None, how: dict[str, Any], progress: bool) -> Contents:
    """A stream, or one shard of it as the whole would have it."""
    stream = stream_for(run, source, **how, progress=progress)
    assert stream.form is not None
    if progress:
        say_found(replace(stream.form, skipped=()), stream=stream, buffer=ROWS, with_parts=False)
    shards = range(len(stream.shards))
    if shard is not None:
        shards = shards[shard.rows(len(shards), stream.source)]
    return Contents(
        form=_named(stream.form),
        num=stream.num_rows[0] * len(shards) // len(stream.shards),
        is_named=stream.form.names is not None,
        stream=stream,
        shards=shards,
        source=source,
        fingerprint=hash_bytes(f"{stream.fingerprint} {stream.settings} {shards}".encode()) if stream.is_stored else "",
    )


def _named(images: Images, first: int = 0) -> Images:
    """Data with names; those without are named by their number."""
    if images.names is not None:
        return images
    part = "" if images.split == "all" else f"{images.split}/"
    return replace(images, names=tuple(f"{part}{first + i}" for i in range(len(images))))
