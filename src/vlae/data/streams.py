"""Streams: sources that are read shard by shard, and never held as a whole, neither in memory nor in the cache.

A stream knows its shards, and how to read one of them in pieces of bounded size, at the size that a model takes. What a
training has to know before it has read all of it comes from a sample (`vlae.data.sampling`).
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vlae.data.addresses import is_address, stored_files
from vlae.data.decoding import decode
from vlae.data.depths import listed_range
from vlae.data.files import PARQUET_SUFFIXES, is_picture, walk
from vlae.data.folders import find_pictures
from vlae.data.frames import Frame
from vlae.data.images import Images
from vlae.data.in_memory import class_names, read_memory
from vlae.data.item_shards import hub_shards, item_shards
from vlae.data.labels import UNLABELLED
from vlae.data.pixels import array_pictures, picture_values
from vlae.data.readers import READERS, check_exists, hash_bytes
from vlae.data.shards import BYTES, Shard, joined
from vlae.data.source import (
    Array,
    DataError,
    EncodedPictures,
    KnownColumns,
    ReadSettings,
    Source,
    SourceData,
    as_value_range,
)
from vlae.data.table_shards import lance_shards, parquet_shards
from vlae.data.tables import byte_columns, from_arrow, picture_columns
from vlae.data.tar_shards import TAR_SUFFIXES, tar_shards
from vlae.data.threads import for_each
from vlae.names import printable
from vlae.shapes import is_image

LOOKED_AT, LOOKED_SHARDS = 2_048, 16
"""The most rows from which the form of the data is found, and from how many shards they are."""

SUFFIXES = (*TAR_SUFFIXES, *PARQUET_SUFFIXES)
"""The endings of files that are shards."""

OVERHEAD = 1_500
"""Bytes of a row in a .tar file beside the picture: headers, a label, and what fills the blocks up."""

PACKED = (".gz", ".tgz")
"""The endings of shards in which `OVERHEAD` takes next to no room."""

COUNTED = 2**25
"""The most bytes of a source whose rows are counted if its shards do not tell how many there are."""


class Piece(NamedTuple):
    """Some rows of a shard."""

    images: Images
    """Those that could be read, in order; `images.skipped` lists the others."""
    rows: Array
    """int64 (N,): the number of each in the shard, 0 for its first row."""
    stop: int
    """The number of the row in the shard that follows the piece."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A source that is read shard by shard.

    Examples:
        >>> stream = open_stream(np.zeros((5_000, 28, 28), np.uint8))
        >>> len(stream.shards), stream.shape
        (2, (1, 28, 28))
        >>> [len(piece.images) for piece in stream.read(1)]
        [256, 256, 256, 136]
    """

    source: str
    """The path, address or name."""
    settings: ReadSettings
    """How its rows become images or vectors."""
    shards: tuple[Shard, ...]
    """Its shards, in an order that is always the same."""
    is_stored: bool = True
    """Whether it can be read again by its name; data sets in Python cannot."""
    form: Images | None = None
    """Images, or vectors, of the form that all are brought to, and with the names of all classes. None: it is found
    from the first rows of some shards, or said by the settings."""
    class_names: tuple[str, ...] = ()
    """The names of classes whose numbers alone are in the rows."""
    clipped: dict[tuple[int, int], int] = field(default_factory=dict, compare=False, repr=False)
    """How many numbers of what was read were outside of the range, by the shard and the first row of each piece."""

    @cached_property
    def _first_rows(self) -> Any:
        """The first rows of some shards, not yet decoded."""
        pieces: list[Any] = []
        chosen = np.linspace(0, len(self.shards) - 1, min(len(self.shards), LOOKED_SHARDS)).astype(int).tolist()
        for shard in chosen:
            first = next(self.shards[shard].read(0), None)
            if first is not None:
                pieces.append(first[: ceil(LOOKED_AT / len(chosen))])
            if sum(map(_num_bytes, pieces)) > 4 * BYTES:
                break
        if not pieces:
            raise DataError(f"{self.source}: its shards have no rows; give at least one")
        return joined(pieces)

    @cached_property
    def _settled(self) -> ReadSettings:
        """The settings with what the first rows tell of all: no piece decides for itself."""
        settings, white = self.settings, 255
        if hasattr(self._first_rows, "column_names"):
            settings = replace(settings, pictures=picture_columns(self._first_rows))
        plain = self._read(self._first_rows, self.source, replace(settings, white=255)).values
        if isinstance(plain, np.ndarray) and plain.dtype == np.uint8 and plain.max() == 1:  # or floats, up to 1/255
            scaled = self._read(self._first_rows, self.source, settings).values
            white = 1 if isinstance(scaled, np.ndarray) and scaled.max() == 255 else 255
        return replace(settings, white=white)

    @cached_property
    def looked_at(self) -> Images:
        """The first rows of some shards, decoded without knowing the others: they tell the form of all."""
        if self.form is not None:
            return self.form
        return decode(self.undecoded, self.settings, self.source, False, None)[0]

    @cached_property
    def undecoded(self) -> SourceData:
        """What is known of the first rows of some shards, whose pictures are not decoded."""
        return self._data(self._first_rows, self.source)

    @cached_property
    def num_rows(self) -> tuple[int, bool]:
        """How many rows there are, and whether this is exact; else it is estimated from the size of the first rows."""
        if all(shard.num_rows is not None for shard in self.shards):
            return sum(shard.num_rows or 0 for shard in self.shards), True
        num_bytes = sum(shard.num_bytes for shard in self.shards)
        if not num_bytes:
            return 0, False
        if num_bytes <= COUNTED and self.is_stored:
            return sum(sum(map(len, shard.read(0))) for shard in self.shards), True
        of_rows = _num_bytes(self._first_rows) / len(self._first_rows)
        is_packed = self.shards[0].name.lower().endswith(PACKED)
        return max(1, round(num_bytes / (of_rows if is_packed else of_rows + OVERHEAD))), False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image, (C, H, W), or of one vector, (D,)."""
        frame = self._frame
        return self.looked_at.shape if frame is None else frame.shape

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the names and stamps of all shards: another one tells that the source has changed."""
        lines = [f"{shard.name.removeprefix(self.source)}|{shard.stamp}" for shard in self.shards]
        return hash_bytes("\n".join(lines).encode())

    def read(self, shard: int, start: int = 0) -> Iterator[Piece]:
        """Read a shard in pieces of bounded size.

        Args:
            shard: its number, from 0.
            start: the number of the row to begin with.

        Yields:
            Its rows as images (N, C, H, W) or vectors (N, D) of the stream's shape, N from 0 to 1,024, with names and
            labels if there are any.

        Raises:
            DataError: if the shard is damaged, has changed since the stream was opened, or holds other data.
        """
        for rows in self.shards[shard].read(start):
            piece = self._piece(rows, start, self.shards[shard].name)
            if piece.images.num_clipped:
                self.clipped[shard, start] = piece.images.num_clipped
            start = piece.stop
            yield piece

    def say_clipped(self) -> None:
        """Print to the error output how many numbers that were read were outside of the range, if any were."""
        if self.clipped and self.settings.value_range is not None:
            found = f"{sum(self.clipped.values()):,} of the numbers that were read are outside of "
            print(f"{self.source}: {found}{listed_range(self.settings.value_range)}, and clipped", file=sys.stderr)

    def like(self, form: Images) -> "Stream":
        """The same stream, with a form that is settled.

        Args:
            form: images, or vectors, of that form.
        """
        settings = self._settled if "_first_rows" in vars(self) else self.settings
        settings = replace(settings, value_range=form.value_range)
        if is_image(form.shape):
            channels, height, width = form.shape
            settings = replace(settings, size=f"{height}x{width}", channels=channels)
        elif form.columns:
            settings = replace(settings, columns=KnownColumns(names=form.columns, medians=form.medians))
        settled = replace(self, settings=settings, form=form, clipped={})
        if "num_rows" in vars(self):  # counted already
            vars(settled)["num_rows"] = self.num_rows
        return settled

    @property
    def _frame(self) -> Frame | None:
        """The form of pictures that the settings say; None if they do not."""
        asked = self.settings
        if asked.sides is None or asked.channels is None:
            return None
        shape = (asked.channels, *asked.sides)
        return Frame(shape=shape, crop=asked.crop_of(), fit=asked.fit or "crop", wide=asked.value_range is not None)

    def _data(self, rows: Any, name: str) -> SourceData:
        """The rows of a shard, not yet decoded."""
        has_bytes = hasattr(rows, "column_names") and bool(byte_columns(rows))
        settings = self._settled if has_bytes and self.settings.pictures is None else self.settings
        data = self._read(rows, name, settings)
        if isinstance(data.values, np.ndarray) and data.values.dtype.kind in "iu" and settings.white is None:
            data = self._read(rows, name, self._settled)
        if self.class_names and data.labels is not None and not data.label_names:
            data = replace(data, label_names=self.class_names)
        return data

    def _read(self, rows: Any, name: str, settings: ReadSettings) -> SourceData:
        if hasattr(rows, "column_names"):
            return from_arrow(rows, name, settings)
        return read_memory(rows, settings)[0]

    def _piece(self, rows: Any, start: int, name: str) -> Piece:
        """Bring rows to the form of the stream."""
        if self._frame is None and self.form is None:
            return self.like(self.looked_at)._piece(rows, start, name)
        data = self._data(rows, name)
        values, good, broken, num_clipped = self._values(data, name)
        names = data.names or tuple(f"{name}, row {start + i}" for i in range(len(data)))
        images = Images(
            values=values,
            value_range=self.settings.value_range,
            num_clipped=num_clipped,
            crop=self.settings.crop_of(),
            labels=None if data.labels is None else data.labels[good],
            label_names=data.label_names,
            names=None if data.names is None else tuple(data.names[i] for i in good),
            columns=data.columns,
            medians=data.medians,
            source=self.source,
            skipped=tuple((names[i], broken[i]) for i in sorted(broken)),
        )
        if self.form is not None and self.form.label_names:
            images = with_labels_of(images, self.form.label_names)
        return Piece(images, start + good, start + len(data))

    def _values(self, data: SourceData, name: str) -> tuple[Array, Array, dict[int, str], int]:
        """The values of rows in the form of the stream; which rows; why not others; how many numbers are clipped."""
        values, frame, every = data.values, self._frame, np.arange(len(data))
        if not isinstance(values, EncodedPictures) and not is_image(values.shape[1:]):
            if frame is not None or values.shape[1:] != self.shape:
                raise DataError(f"{name}: vectors of {values.shape[1]} columns among other data; read them apart")
            return values, every, {}, 0
        if frame is None:
            raise DataError(f"{name}: pictures among vectors; read them apart")
        if not isinstance(values, EncodedPictures):
            if values.dtype == np.uint8 and values.shape[1:] == frame.shape and frame == Frame(shape=frame.shape):
                return self._in_kind(values), every, {}, 0
            values = array_pictures(values)

        def fit(i: int) -> tuple[Array, int]:
            with values.open(i) as picture:
                pixels, num_outside = picture_values(picture, frame, self.settings.value_range, f"{name}, row {i}")
                return self._in_kind(pixels), num_outside

        fitted, broken = for_each(fit, every.tolist(), "decoding pictures", False)
        good = np.array(sorted(fitted), np.int64)
        kind = fitted[good[0]][0].dtype if len(good) else np.dtype(np.uint8)
        out = np.empty((len(good), *frame.shape), kind)
        num_clipped = 0
        for place, i in enumerate(good.tolist()):
            out[place], num_outside = fitted.pop(i)
            num_clipped += num_outside
        return out, good, broken, num_clipped

    def _in_kind(self, values: Array) -> Array:
        """Bytes, or floats in [0, 1], as the stream has them."""
        kind = values.dtype if self.form is None else self.form.values.dtype
        if kind == values.dtype:
            return values
        return np.rint(255 * values).astype(np.uint8) if kind == np.uint8 else (values / 255).astype(np.float32)


def open_stream(source: Source, **reading: Any) -> Stream:
    """Open a source that is read shard by shard. No row is read yet.

    Args:
        source: a folder, a pattern ("shards/train-*.tar", "shards/{000..127}.tar") or an address of object storage
            ("s3://bucket/folder") of .tar shards or of Parquet files; a Lance data set; "hf:USER/NAME", a data set of
            the Hugging Face hub; or an array, or a data set of torch or of `datasets` (map-style or iterable).
        reading: options for reading it, by name: size, fit, crop, channels, value_range, layout, key, id
            and columns.

    Raises:
        DataError: if the source cannot be reached, or holds no shards.
        FileNotFoundError: if it is not there.
        MissingExtraError: if what reads it is not installed.
        TypeError: if the source is of another type.
    """
    if isinstance(source, Stream):
        return source
    reading = {**reading, "value_range": as_value_range(reading.get("value_range"))}
    settings = ReadSettings(**reading)
    if not isinstance(source, str | Path):
        return Stream(
            source=f"a {type(source).__name__}",
            settings=settings,
            shards=item_shards(source),
            is_stored=False,
            class_names=class_names(source),
        )
    name = printable(str(source))
    if not name.strip():
        check_exists(source)
    shards = _stored_shards(str(source), settings)
    if not shards:
        raise DataError(f"{name}: it has no rows; give at least one")
    return Stream(source=name, settings=settings, shards=shards)


def _stored_shards(source: str, settings: ReadSettings) -> tuple[Shard, ...]:
    """The shards of a path, an address or a name."""
    if source.startswith("hf:"):
        return hub_shards(source.removeprefix("hf:"))
    if source.rstrip("/").endswith(".lance") or (Path(source).expanduser() / "_versions").is_dir():
        return lance_shards(source)
    files = [file for file in stored_files(source, SUFFIXES) if file.path.lower().endswith(SUFFIXES)]
    tars = [file for file in files if file.path.lower().endswith(TAR_SUFFIXES)]
    if tars and len(tars) < len(files):
        other = next(file.name for file in files if file not in tars)
        raise DataError(f"{source}: .tar shards beside others ({other}); give a pattern that means one kind")
    if not files:
        raise DataError(f"{source}: no shards; a stream is read from .tar or .parquet files, or from a Lance data set")
    return tar_shards(files, settings) if tars else parquet_shards(files)


def is_streamed(source: Source) -> bool:
    """Tell a source that is always streamed: .tar shards, an address of object storage, or a data set without a length.

    A folder is one of .tar shards, at whatever depth, if it holds no pictures and is no other source.

    Args:
        source: any source.
    """
    if isinstance(source, Stream):
        return True
    if not isinstance(source, str | Path):
        return hasattr(source, "__iter__") and not hasattr(source, "__len__")
    if is_address(source) or str(source).lower().endswith(TAR_SUFFIXES):
        return True
    path = Path(source).expanduser()
    if not str(source).strip() or not path.is_dir():
        return False
    tars, is_flat = False, True
    for file in walk(path):
        if is_picture(file):
            return False
        tars |= file.name.lower().endswith(TAR_SUFFIXES)
        is_flat &= file.parent == path
    return tars and (is_flat or not any(find(path) for find, _ in READERS if find is not find_pictures))


def is_unchanged(stream: Stream, source: Source) -> bool:
    """Tell whether a stream's source is what it was when it was opened.

    Args:
        stream: the stream.
        source: what was opened.
    """
    source = source.source if isinstance(source, Stream) else source
    return open_stream(source, **vars(stream.settings)).fingerprint == stream.fingerprint


def alike(images: Images, form: Images | None) -> Images:
    """Images with the columns that others have: labels, even if none is known here, and names.

    Args:
        images: some of a stream.
        form: the stream's form. None: they stay as they are.
    """
    if form is None:
        return images
    if images.label_names and not form.label_names:  # no class of the sample has a name
        images = replace(images, labels=None, label_names=())
    labels = images.labels if images.labels is not None else np.full(len(images), UNLABELLED)
    names = images.names if images.names is not None else ("",) * len(images)
    return replace(images, labels=None if form.labels is None else labels, names=None if form.names is None else names)


def with_labels_of(images: Images, label_names: tuple[str, ...]) -> Images:
    """Number the classes of images as others do; a class that these do not know becomes unknown.

    Args:
        images: whose classes have names, or numbers that are names among the others; else they stay as they are.
        label_names: the names of the classes, class 0 first.
    """
    if any(name.isdecimal() for name in label_names):
        images = with_named_classes(images)
    if images.labels is None or not images.label_names:
        return replace(images, label_names=label_names)
    numbers = {name: number for number, name in enumerate(label_names)}
    own = np.array([*(numbers.get(name, UNLABELLED) for name in images.label_names), UNLABELLED], np.int64)
    return replace(images, labels=own[images.labels], label_names=label_names)


def with_named_classes(images: Images) -> Images:
    """Name classes that are numbers by these numbers.

    Args:
        images: any; those whose classes have names, or that have none, stay as they are.
    """
    if images.labels is None or images.label_names:
        return images
    known = images.labels >= 0
    values, places = np.unique(images.labels[known], return_inverse=True)
    labels = np.full(len(images), UNLABELLED)
    labels[known] = places
    return replace(images, labels=labels, label_names=tuple(map(str, values.tolist())))


def _num_bytes(rows: Any) -> int:
    return int(getattr(rows, "nbytes", 0))
