"""A sample of a stream, spread over its shards and kept in the cache: what is known of a source before it is read.

It serves for statistics, for the classes and for the form of the data. Some of it is held out for testing: a stream
leaves out of the training whatever has the content of a datum that is held out, in every shard. So a copy is never
trained on, only the sample is held in the cache, and nothing else of the source is lost to the training.
"""

from dataclasses import replace
from math import ceil, prod
from typing import Any, Literal

import numpy as np

from vlae.data.cache import cache_folder, new_array, new_entry, open_entry, write_rows
from vlae.data.counting import counting
from vlae.data.holdout import group_copies
from vlae.data.images import NOTED_OF_PARTS, Images
from vlae.data.labels import UNLABELLED
from vlae.data.loader import entry_name, load
from vlae.data.source import Array, DataError, EncodedPictures
from vlae.data.streams import Stream, with_labels_of, with_named_classes

NUM, BYTES = 20_000, 2**28
"""The most data in a sample, and the most bytes."""

SHARDS, PLACES = 64, 4
"""From how many shards a sample is taken at least, if there are so many; and from how many places of each."""


def sample_of(stream: Stream, *, progress: bool = False) -> Images:
    """Read a sample of a stream, or open it in the cache.

    Args:
        stream: any stream; its settings may leave its form open.
        progress: whether to show a progress bar.

    Returns:
        At most 20,000 images or vectors, and at most 268 MB of them, in the order of the shards. It is always the same
        for the same shards and settings.

    Raises:
        DataError: if a shard cannot be read, or there are fewer than two data.
    """
    if not stream.is_stored:
        return _joined(stream, _sampled(stream, progress))
    entry = cache_folder() / entry_name(stream.settings, f"sample of {NUM}, {BYTES} of stream {stream.fingerprint}")
    if (cached := open_entry(entry, stream.source)) is None:
        whole = _joined(stream, _sampled(stream, progress))
        with new_entry(entry) as folder:
            new_array(folder / "values.npy", whole.values.shape, whole.values.dtype)[:] = whole.values
            write_rows(folder, whole, None)
        cached = open_entry(entry, stream.source) or (whole, None)
    return cached[0]


def part_of_sample(
    stream: Stream, split: Literal["train", "test", "all"], *, held_out: Array | None = None, progress: bool = False
) -> Images:
    """A part of the sample of a stream.

    Args:
        stream: any stream.
        split: the part: "train", "test" or "all".
        held_out: hashes of the data that a run has held out (`vlae.data.content.content_hashes`), int64 (n,). None:
            the test part as the sample is.
        progress: whether to show a progress bar.

    Raises:
        DataError: if a shard cannot be read, there are fewer than two data, or nothing is left of what was held out.
    """
    return load(sample_of(stream, progress=progress), split=split, held_out=held_out)


def _sampled(stream: Stream, progress: bool) -> list[Images]:
    """Read rows from places all over the stream."""
    form = stream.looked_at
    num = min(NUM, BYTES // (prod(form.shape) * form.values.itemsize))
    settled = stream.like(replace(form, label_names=()))
    order = np.random.default_rng(0).permutation(len(stream.shards))
    quota = max(ceil(num / len(order)), num // SHARDS)
    pieces: dict[tuple[int, int], Images] = {}
    with counting("reading a sample", min(num, stream.num_rows[0] or num), progress) as advance:
        for shard in order.tolist():
            for start, share in _places(stream.shards[shard].num_rows, min(quota, num)):
                for piece in settled.read(shard, start):
                    taken = piece.images.take(np.arange(min(share, len(piece.images))))  # a copy: the rest is freed
                    pieces[shard, int(piece.stop)] = taken
                    share, num = share - len(taken), num - len(taken)
                    advance(len(taken))
                    if share <= 0:
                        break
            if num <= 0:
                break
    return [pieces[place] for place in sorted(pieces)]


def _places(num_rows: int | None, quota: int) -> list[tuple[int, int]]:
    """Where to begin in a shard, and how many rows to read from there."""
    if num_rows is None or num_rows < 2 * quota:
        return [(0, quota)]
    share = ceil(quota / PLACES)
    return [(place * num_rows // PLACES, share) for place in range(PLACES)]


def _joined(stream: Stream, pieces: list[Images]) -> Images:
    """Join the pieces of a sample, with one number for each name of a class."""
    num = sum(map(len, pieces))
    if num < 2:
        raise DataError(f"{stream.source}: {num} data can be read in its shards; give at least 2")
    if any(piece.label_names for piece in pieces):  # some shards may have numbers for classes, others text
        pieces = [with_named_classes(piece) for piece in pieces]
    label_names = stream.class_names or tuple(sorted({name for piece in pieces for name in piece.label_names}))
    pieces = [with_labels_of(piece, label_names) for piece in pieces]
    form = stream.looked_at
    whole = replace(
        form,
        values=np.concatenate([piece.values for piece in pieces]),
        labels=_labels(pieces),
        label_names=label_names,
        names=_names(pieces),
        groups=None,
        left_out=(),
        factors={},
        num_clipped=0,  # what is read is told of at the end
        skipped=tuple(skipped for piece in pieces for skipped in piece.skipped),
        fates=_fates(form.fates),
        source=stream.source,
    )
    near = isinstance(stream.undecoded.values, EncodedPictures)
    return whole if whole.is_vectors else group_copies(whole, None, near=near)


def _labels(pieces: list[Images]) -> Array | None:
    if all(piece.labels is None for piece in pieces):
        return None
    each = [np.full(len(piece), UNLABELLED) if piece.labels is None else piece.labels for piece in pieces]
    return np.concatenate(each).astype(np.int64)


def _names(pieces: list[Images]) -> tuple[str, ...] | None:
    if any(piece.names is None for piece in pieces):
        return None
    return tuple(name for piece in pieces for name in piece.names or ())


def _fates(fates: Any) -> dict[str, str]:
    """What became of the columns; factors are not read from streams, and copies are counted anew."""
    return {
        name: "ignored: streams have no factors" if fate.startswith("factor") else fate
        for name, fate in fates.items()
        if not fate.startswith(NOTED_OF_PARTS)
    }
