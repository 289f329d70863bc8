"""Shards of data sets in Python: ranges of an array or a map-style data set, and parts of an iterable one."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from vlae.data.addresses import reaching
from vlae.data.huggingface import ask_hub
from vlae.data.shards import ROWS, Shard
from vlae.data.source import DataError
from vlae.data.table_shards import without_paths

RANGE, AT_A_TIME = 4_096, 256
"""Items of a shard of a map-style data set, and items that are read at a time."""


def item_shards(source: Any) -> tuple[Shard, ...]:
    """Make shards of what is in memory, or of what computes its items.

    Args:
        source: an array, a data set of torch (map-style or iterable), an iterable data set of `datasets`, or any other
            object with a length and items.

    Raises:
        TypeError: if it is none of these.
    """
    kind = type(source).__name__
    if kind == "IterableDataset" and hasattr(source, "num_shards"):
        return iterable_shards(source, "the data set")
    if hasattr(source, "__len__") and hasattr(source, "__getitem__") and not isinstance(source, str | bytes | dict):
        num = len(source)
        return tuple(
            Shard(
                name=f"{kind}, items from {first:,}",
                stamp=f"{kind}|{num}",
                read=partial(_read_range, source, first, min(first + RANGE, num)),
                num_rows=min(RANGE, num - first),
            )
            for first in range(0, num, RANGE)
        )
    if hasattr(source, "__iter__") and not isinstance(source, str | bytes | dict):
        if type(source).__module__ in ("builtins", "itertools", "_io") and iter(source) is source:
            raise TypeError(
                f"a {kind} gives its items once, and they are read several times; give a data set whose __iter__ "
                "begins anew, or a list"
            )
        return (Shard(name=kind, stamp=kind, read=partial(_read_iterable, source)),)
    raise TypeError(f"{kind} is no source that can be streamed; give a path, an address, a data set or an array")


def _read_range(source: Any, first: int, stop: int, start: int) -> Iterator[Any]:
    for begin in range(first + start, stop, AT_A_TIME):
        end = min(begin + AT_A_TIME, stop)
        yield np.asarray(source[begin:end]) if hasattr(source, "dtype") else [source[i] for i in range(begin, end)]


def _read_iterable(source: Any, start: int) -> Iterator[Any]:
    items = islice(iter(source), start, None)
    while piece := list(islice(items, AT_A_TIME)):
        yield piece


def hub_shards(name: str) -> tuple[Shard, ...]:
    """Make shards of the train part of a data set of the Hugging Face hub, which is read as it is downloaded.

    Args:
        name: "USER/NAME", "NAME" or a folder that `datasets` reads.

    Raises:
        DataError: if the hub does not give it, or it has several parts and none is called train.
    """
    from pathlib import Path

    import datasets
    from huggingface_hub import constants

    here = constants.HF_HUB_OFFLINE or Path(name).is_dir()
    version = "" if here else ask_hub(name)
    with reaching(name):
        parts = datasets.load_dataset(name, streaming=True)
        chosen = "train" if "train" in parts else next(iter(parts)) if len(parts) == 1 else None
        if chosen is None:
            raise DataError(
                f"{name}: which part is to be streamed? It has {', '.join(parts)}, and none is called train"
            )
        return iterable_shards(parts[chosen], name, version)


def iterable_shards(source: Any, name: str, version: str = "") -> tuple[Shard, ...]:
    """Make shards of an iterable data set of `datasets`.

    Args:
        source: a datasets.IterableDataset.
        name: for messages.
        version: of the data set.
    """
    num = source.num_shards
    return tuple(
        Shard(
            name=f"{name}, shard {number + 1} of {num}",
            stamp=f"{num}|{version}",
            read=partial(_read_shard, source, number, name),
        )
        for number in range(num)
    )


def _read_shard(source: Any, number: int, name: str, start: int) -> Iterator[Any]:
    with reaching(name):
        shard = source.shard(num_shards=source.num_shards, index=number)
        for table in shard.skip(start).with_format("arrow").iter(min(ROWS, AT_A_TIME)):
            about = None if source.features is None else source.features.arrow_schema.metadata
            yield without_paths(table.replace_schema_metadata(about))
