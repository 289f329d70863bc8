"""What was found in a source, in a few lines that a user reads while more is being done."""

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from vlae import memory
from vlae.data.images import PICTURES, Images, forms, say_skipped
from vlae.data.source import counted
from vlae.data.streams import Stream
from vlae.names import printable

MOST_CLASSES = 12
"""The most classes that are told of one by one."""

_said: set[Path] = set()
"""The decoded sources that this process has told of: a comparison trains on one of them many times."""


def say_found(*parts: Images, stream: Stream | None = None, buffer: int = 0, with_parts: bool = True) -> None:
    """Print to the error output what a source holds, and what is left out and why; once for each source.

    Args:
        parts: all that was read of one source, as one or several parts.
        stream: of which the parts are a sample; None: they are all.
        buffer: data of the stream that are in memory at a time.
        with_parts: whether a part is held out.
    """
    first = parts[0]
    if first.cache in _said:
        return
    if first.cache is not None:
        _said.add(first.cache)
    num = sum(map(len, parts))
    if stream is None:
        print(f"found     {counted_data(num, first)}{_kinds(first)}", file=sys.stderr)
    else:
        _say_stream(num, first, stream, buffer)
    counts, num_unknown = Counter[str](), 0
    for part in parts:
        classes, unknown = part.class_counts()
        counts.update(classes)
        num_unknown += unknown
    if first.labels is not None:
        unlabelled = f"; the class of {num_unknown:,} is unknown" if num_unknown else ""
        print(f"classes   {_classes(counts)}{unlabelled}", file=sys.stderr)
    for line in forms(first):
        print(f"form      {line}", file=sys.stderr)
    say_skipped(first, with_parts=with_parts)


def _say_stream(num: int, like: Images, stream: Stream, buffer: int) -> None:
    """Print what a stream holds, and how much memory and disk it takes."""
    num_rows, exact = stream.num_rows
    held = f" of {'' if exact else 'about '}{counted_data(num_rows, like)}" if num_rows else ""
    of_each = like.values[0].nbytes
    where = "in the cache" if stream.is_stored else "in memory"
    print(
        f"found     {counted(len(stream.shards), 'shard')}{held}{_kinds(like)}, read one after the other\n"
        f"buffer    {counted_data(buffer, like)}, {memory.size(buffer * of_each)} of memory\n"
        f"sample    {counted_data(num, like)}, {memory.size(num * of_each)} {where}: for all that is said and measured",
        file=sys.stderr,
    )


def counted_data(num: int, like: Images) -> str:
    """Say a number of data as what they are: pictures or rows.

    Args:
        num: how many.
        like: the data.
    """
    thing = "row" if like.is_vectors else "picture"
    return counted(num, thing).replace(str(num), f"{num:,}", 1)


def _kinds(images: Images) -> str:
    """The sizes of the pictures as they were, and the endings of their files; or the columns."""
    if images.is_vectors:
        return f" of {counted(images.shape[0], 'column')}"
    sizes = [f"{width:,}×{height:,}" for width, height in dict.fromkeys(images.sizes or (images.shape[:0:-1],))]
    endings = [printable(name) for name, fate in images.fates.items() if fate == PICTURES]
    return f" of {' to '.join(sizes)} pixels" + f" ({', '.join(endings)})" * bool(endings)


def _classes(counts: Mapping[str, int]) -> str:
    """How many classes there are, and the pictures of each."""
    most = sorted(counts.items(), key=lambda item: -item[1])[:MOST_CLASSES]
    each = ", ".join(f"{printable(name)} {count:,}" for name, count in most)
    return f"{len(counts)}{': ' * bool(each)}{each}{', …' * (len(counts) > MOST_CLASSES)}"
