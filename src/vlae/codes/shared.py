"""A source that several processes encode: each opens it once, and reads its shares without the cache."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlae.codes.choice import Choice
from vlae.codes.encoder import Encoder
from vlae.codes.parts import PART, encoded
from vlae.codes.streaming import tables_of
from vlae.data.decoding import NoneReadableError, decode
from vlae.data.readers import check_unchanged, identify
from vlae.data.sharding import Share, take_shard
from vlae.data.source import DataError, ReadSettings
from vlae.data.streams import Stream, is_streamed, is_unchanged
from vlae.names import printable
from vlae.runs import Run
from vlae.runs.streams import stream_for

FEWEST = 16
"""Into at least so many shares a source is cut, if it has so many rows or shards."""


class SharedSource:
    """A source, opened for a run.

    Args:
        run: the run that encodes it.
        source: a path, an address or a name.
        choice: how it is read; some sources are always read as streams.

    Raises:
        DataError: if the source cannot be read, or the run reads features of full-size pictures.
        FileNotFoundError: if it is not there.
    """

    def __init__(self, run: Run, source: str | Path, choice: Choice):
        if run.network is not None:
            raise DataError(f"{run.path} reads features of full-size pictures; encode for it with --shard (shard=)")
        self.run, self.source, self.name = run, source, printable(str(source))
        self.stream: Stream | None = None
        if choice.stream or is_streamed(source):
            self.stream = stream_for(run, source, **choice.how)
            self.fingerprint, self.num = self.stream.fingerprint, len(self.stream.shards)
        else:
            self.settings = ReadSettings(**run.reading(source, **choice.how))
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
    def label_names(self) -> list[str]:
        """The names of the classes, class 0 first."""
        if self.stream is None:
            return list(self.data.label_names)
        return [] if self.stream.form is None else list(self.stream.form.label_names)

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
        elif not is_unchanged(self.stream, self.source):
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
            for number in range(self.num)[share.rows(self.num, self.name)]:
                for _, tables in tables_of(encoder, self.stream, number, 0, 0, {}, None, {}):
                    yield from (table.drop_columns(["row"]) for table in tables)
            return
        data = take_shard(self.data, share, self.name)
        try:
            images = self.run.accepted(decode(data, self.settings, self.name, False, None)[0])
        except NoneReadableError:  # one process would leave them out, too
            return
        for start in range(0, len(images), PART):
            piece = images.take(slice(start, start + PART))
            yield encoded(encoder, piece, images.first + start, {}).drop_columns(["row"])
