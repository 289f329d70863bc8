"""Codes of images, written in parts that survive a stop: files of a hidden folder, or commits to a Lance data set."""

import json
import sys
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vlae.atomic import beside, locked, remove, whole, writing
from vlae.codes import files
from vlae.codes.encoder import Encoder
from vlae.codes.lance import LanceCodes
from vlae.data.counting import counting
from vlae.data.images import Images

PART = 8_192
"""Rows of one part. A stop loses at most this much work."""

DONE = "done.json"
"""The file in the folder of parts that describes what they are parts of."""


@contextmanager
def parts_folder(out: Path, description: dict[str, Any]) -> Iterator[Path]:
    """Make the hidden folder of finished parts. It stays after a stop, and is removed when all is done.

    Parts of another run, source or choice of columns are removed first. So are parts of an array, because an array
    cannot be identified.

    Args:
        out: the output.
        description: what the parts belong to, as JSON values.

    Yields:
        The folder.
    """
    folder = beside(out, "parts")
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    with locked(beside(out, "lock"), f"writes {out}", "choose another place"):
        files.check_new(out)
        with writing(out):
            _keep_or_begin(folder, description)
        yield folder
        remove(folder)


def _keep_or_begin(folder: Path, description: dict[str, Any]) -> None:
    text = json.dumps(description, indent=2)
    try:
        continues = description["source_is"] is not None and (folder / DONE).read_text() == text
    except OSError:
        continues = False
    if not continues:
        remove(folder)
        folder.mkdir()
        with whole(folder / DONE) as file:
            file.write_text(text)


def write_files(
    encoder: Encoder, images: Images, folder: Path, about: dict[str, Any], progress: bool
) -> Iterator[Path]:
    """Encode the parts that are missing to files of a folder.

    Args:
        encoder: encodes them.
        images: all of them.
        folder: of the parts (`parts_folder`).
        about: what made the codes, as JSON values.
        progress: whether to show a bar.

    Yields:
        The files of all parts, in order.
    """
    from pyarrow import parquet

    def write(number: int, rows: Any) -> None:
        with whole(folder / f"{number:06d}.parquet") as file:
            parquet.write_table(rows, file)

    there = {int(part.stem) for part in folder.glob("[0-9]*.parquet")}
    _encode(encoder, images, there, write, about, progress)
    last = images.first + len(images)
    yield from (folder / f"{number:06d}.parquet" for number in range(images.first // PART, -(-last // PART)))


def commit(encoder: Encoder, images: Images, target: LanceCodes, about: dict[str, Any], progress: bool) -> None:
    """Encode the parts that are missing to a Lance data set.

    Args:
        encoder: encodes them.
        images: all of them.
        target: the data set.
        about: what made the codes, as JSON values.
        progress: whether to show a bar.

    Raises:
        CodesError: if it is whole, or is one of another run, source or choice.
    """
    target.check(about)
    _encode(encoder, images, target.parts(PART), lambda _, rows: target.write(rows), about, progress)
    target.check_whole(len(images))


def add(encoder: Encoder, images: Images, target: LanceCodes, about: dict[str, Any], progress: bool) -> None:
    """Encode what a Lance data set does not have yet, and add it.

    Args:
        encoder: encodes them.
        images: all of the source, with what is there already.
        target: the data set.
        about: what made the codes, as JSON values.
        progress: whether to say how many are new, and to show a bar.

    Raises:
        CodesError: if nothing can be added to it.
    """
    first = images.take([0])
    images, new, about = target.grow(images, about, encoded(encoder, first, 0, {}).column_names)
    num = len(target)
    if progress:
        print(f"{len(new):,} of {len(images):,} are new", file=sys.stderr)
    if not len(new):
        return
    _encode(encoder, images, (), lambda _, rows: target.write(rows), about, progress, rows=new, first=num)
    target.check_whole(num + len(new), "rows of one name may be there twice; remove these")


def _encode(
    encoder: Encoder,
    images: Images,
    there: Collection[int],
    write: Callable[[int, Any], None],
    about: dict[str, Any],
    progress: bool,
    *,
    rows: np.ndarray | None = None,
    first: int | None = None,
) -> None:
    """Encode the parts that are missing. One part is written while the next is encoded.

    Args:
        encoder: encodes them.
        images: all of them.
        there: the numbers of the parts that are there already.
        write: called with the number of each other part and its Arrow table, in order.
        about: what made the codes, as JSON values.
        progress: whether to show a bar.
        rows: which of the images to encode, int64 (n,). None: all.
        first: the number that the first of them gets. None: that of the first image in its source.
    """
    num, first = len(images) if rows is None else len(rows), images.first if first is None else first
    with counting("encoding", num, progress) as advance, ThreadPoolExecutor(1) as writer:
        written = None
        last = first + num
        for number in range(first // PART, -(-last // PART)):
            start, stop = max(first, number * PART), min(last, (number + 1) * PART)
            if number in there:
                advance(stop - start)
                continue
            chosen = slice(start - first, stop - first)
            part = images.take(chosen if rows is None else rows[chosen])
            table = encoded(encoder, part, start, about, advance)
            if written is not None:
                written.result()
            written = writer.submit(write, number, table)
        if written is not None:
            written.result()


def encoded(
    encoder: Encoder,
    images: Images,
    row: int,
    about: dict[str, Any],
    advance: Callable[[int], None] | None = None,
    *,
    draws: np.ndarray | None = None,
) -> Any:
    """Encode some rows of a source to an Arrow table.

    Args:
        encoder: encodes them.
        images: the rows.
        row: the number of the first.
        about: what makes the codes, as JSON values.
        advance: called with the size of each batch that is done.
        draws: numbers that decide the draws of each, int64 (n,). None: those of the rows.
    """
    codes = encoder.columns(images.values, row if draws is None else draws, advance, features=images.features)
    return files.as_table(_source_columns(images, row) | codes, about)


def _source_columns(rows: Images, start: int) -> dict[str, Any]:
    """Return the columns that come from the source: the row, its name and its label.

    Args:
        rows: some rows of it.
        start: the number of the first.
    """
    columns: dict[str, Any] = {"row": np.arange(start, start + len(rows))}
    if rows.names is not None:
        columns["name"] = list(rows.names)
    if rows.labels is not None:
        import pyarrow

        labels = np.asarray(rows.labels, np.int64)
        columns["label"] = pyarrow.array(labels, mask=labels < 0)
    return columns
