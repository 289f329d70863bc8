"""A source that several processes encode: each opens it once, and reads its shares without the cache."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vlae.codes import files
from vlae.codes.encode import PART, Encoder, source_columns
from vlae.data.images import Images
from vlae.data.loader import decode
from vlae.data.readers import check_unchanged, identify
from vlae.data.sharding import Share, take_shard
from vlae.data.source import DataError, ReadSettings
from vlae.data.streams import Stream, is_streamed, open_stream
from vlae.names import printable
from vlae.runs import Run

FEWEST = 64
"""Into at least so many shares a source is cut, if it has so many rows or shards."""

SHARD_ROWS = 2**40
"""More rows than any shard of a stream has: the draws of two shards never depend on the same number."""


class SharedSource:
    """A source, opened for a run.

    Args:
        run: the run that encodes it.
        source: a path, an address or a name.
        layout: the order of an array's dimensions, as `vlae.codes.encode.encode` takes it.
        key: the array or column that holds the images.
        id: the column of a table that names the rows.

    Raises:
        DataError: if the source cannot be read, or the run reads features of full-size pictures.
        FileNotFoundError: if it is not there.
    """

    def __init__(
        self,
        run: Run,
        source: str | Path,
        *,
        layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
        key: str | None = None,
        id: str | None = None,
    ):
        if run.network is not None:
            raise DataError(f"{run.path} reads features of full-size pictures; encode for it with --shard instead")
        self.run, self.source, self.name = run, source, printable(str(source))
        reading = run.reading(source, layout=layout, key=key, id=id)
        self.stream: Stream | None = None
        if is_streamed(source):
            self.stream = open_stream(source, **reading)
            self.fingerprint, self.num = self.stream.fingerprint, len(self.stream.shards)
        else:
            self.settings = ReadSettings(**reading)
            self.fingerprint, read = identify(source, self.settings)
            self.data = read()
            self.num = len(self.data)

    @property
    def num_shares(self) -> int:
        """Into how many shares it is cut: it depends on the source alone, so that what was begun can go on."""
        if self.stream is not None:
            return min(self.num, 16 * FEWEST)
        return max(1, -(-self.num // min(PART, max(16, self.num // FEWEST))))

    @property
    def total(self) -> int | None:
        """How many rows there are, with those that cannot be read; None if that is not known."""
        if self.stream is None:
            return self.num
        rows, is_exact = self.stream.num_rows
        return rows if is_exact else None

    def check_unchanged(self) -> None:
        """Check that the source is what it was when it was opened.

        Raises:
            DataError: if it has changed.
        """
        if self.stream is None:
            check_unchanged(self.source, self.settings, self.fingerprint)
        elif open_stream(self.source).fingerprint != self.fingerprint:
            raise DataError(f"{self.name}: changed while it was being read; run this again when it no longer does")

    def tables(self, encoder: Encoder, share: Share) -> Iterator[Any]:
        """Encode a share.

        Args:
            encoder: of the run's model.
            share: which part of the source.

        Yields:
            Arrow tables of some thousand rows, without numbers of rows.
        """
        if self.stream is not None:
            shards = share.rows(self.num, self.name)
            for number in range(shards.start, shards.stop):
                yield from self.tables_of_shard(encoder, number, numbered=False)
            return
        data = take_shard(self.data, share, self.name)
        images = self.run.accepted(decode(data, self.settings, self.name, False, None)[0])
        for start in range(0, len(images), PART):
            piece = images.take(slice(start, start + PART))
            yield _table(encoder, piece, images.first + start + np.arange(len(piece)), None)

    def tables_of_shard(self, encoder: Encoder, number: int, *, numbered: bool = True) -> Iterator[Any]:
        """Encode one shard of a stream.

        Args:
            encoder: of the run's model.
            number: of the shard, 0 for the first.
            numbered: whether to number the rows, from 0 for the first of the shard.

        Yields:
            Arrow tables of at most some thousand rows.
        """
        assert self.stream is not None
        start = 0
        for piece in self.stream.read(number):
            images = self.run.accepted(piece.images)
            if len(images):
                rows = number * SHARD_ROWS + piece.rows
                yield _table(encoder, images, rows, start if numbered else None)
            start += len(images)


def _table(encoder: Encoder, images: Images, rows: np.ndarray, start: int | None) -> Any:
    """Encode some rows.

    Args:
        encoder: encodes them.
        images: the rows.
        rows: what decides their draws, int64 (n,).
        start: the number of the first. None: they are not numbered.
    """
    columns = source_columns(images, start or 0)
    if images.total is None and images.label_names and images.labels is not None:
        import pyarrow  # another shard may number its classes otherwise: their names are kept

        names = [images.class_name(label) or None for label in images.labels.tolist()]
        columns["label"] = pyarrow.array(names, pyarrow.string())
    columns |= encoder.columns(images.values, rows)
    if start is None:
        del columns["row"]
    return files.as_table(columns, {})
