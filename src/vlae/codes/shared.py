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

FEWEST = 16
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
            return min(self.num, 64 * FEWEST)
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
            columns = source_columns(piece, 0)
            del columns["row"]
            yield _table(encoder, piece, images.first + start + np.arange(len(piece)), columns)

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
            columns = {"row": np.arange(start, start + len(images))} if numbered else {}
            if len(images):
                yield _table(encoder, images, number * SHARD_ROWS + piece.rows, columns | self._known(images))
            start += len(images)

    def _known(self, images: Images) -> dict[str, Any]:
        """The names and labels of a stream's rows: the same columns for all, whatever some of its shards leave out."""
        import pyarrow

        assert self.stream is not None
        first, columns = self.stream.undecoded, {}
        if first.names is not None:
            columns["name"] = pyarrow.array(images.names or [None] * len(images), pyarrow.string())
        if first.labels is not None:
            labels = [-1] * len(images) if images.labels is None else images.labels.tolist()
            if first.label_names:  # shards may number their classes differently: their names are kept
                columns["label"] = pyarrow.array([images.class_name(i) or None for i in labels], pyarrow.string())
            else:
                columns["label"] = pyarrow.array([i if i >= 0 else None for i in labels], pyarrow.int64())
        return columns


def _table(encoder: Encoder, images: Images, rows: np.ndarray, known: dict[str, Any]) -> Any:
    """Encode some rows.

    Args:
        encoder: encodes them.
        images: the rows.
        rows: what decides their draws, int64 (n,).
        known: the columns that come from the source.
    """
    return files.as_table(known | encoder.columns(images.values, rows), {})
