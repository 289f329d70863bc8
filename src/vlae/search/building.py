"""Making and growing an index by commits: what is committed stays, and the same call goes on after a stop."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.progress import track

from vlae import memory
from vlae.data.content import content_hashes
from vlae.data.images import Images
from vlae.lance_tables import is_address
from vlae.runs.run import Run
from vlae.search import partitions, rows
from vlae.search.rows import ALL, SearchError
from vlae.search.state import State, Unfinished

BATCH = 500
"""Images encoded at a time."""

CHUNK = 20
"""Batches in one commit."""


def grow(table: Any, run: Run, images: Images, addition: Unfinished, progress: bool) -> int:
    """Add the images that an index does not have, and make it quick to search. It goes on where it was stopped.

    Args:
        table: the table of the index.
        run: the run that encodes them.
        images: the images, of the run's shape, each with a name.
        addition: what this is, so that an index that is stopped says how to go on.
        progress: whether to show a bar.

    Returns:
        How many images were added.

    Raises:
        SearchError: if a label or factor does not fit its column; then nothing is added. If rows are there twice, as
            the source changed between a stop and now, or several processes wrote.
    """
    table.checkout_latest()
    rows.check(images, table.schema)
    if addition not in State.of(table.schema).unfinished:
        State.of(table.schema).begun(addition).write(table)
    num = _fill(table, run, images, _present(table), progress)
    table.checkout_latest()
    _check_once(table, images, addition)
    if rows.record_in(table.schema) is None:  # a shard is searched once it is merged
        make_quick(table)
    State.of(table.schema).ended(addition).write(table)
    return num


def _check_once(table: Any, images: Images, addition: Unfinished) -> None:
    """Check that no image of a source is there twice."""
    name = addition.source.replace("'", "''")
    if not addition.adds and (num := table.count_rows(f"source = '{name}'")) > len(images):
        raise SearchError(
            f"the index has {num:,} rows for the {len(images):,} images of {addition.source}: that has changed since "
            "it was begun, or two commands wrote at once; remove the index and build it again"
        )
    keys = _present(table)
    if len(doubled := keys[1:][keys[1:] == keys[:-1]]) == 0 or len(set(images.names or ())) < len(images):
        return
    own = _keys(images.names, content_hashes(images.values))
    if num := int(np.isin(doubled, own).sum()):
        raise SearchError(
            f"{num:,} images of {addition.source} are in the index twice: two commands wrote at once; remove the index "
            "and build it again"
        )


def make_quick(table: Any) -> None:
    """Partition the vectors of a large index for search, and measure how well it is searched.

    Args:
        table: the table of the index.
    """
    state = State.of(table.schema)
    if len_of(table) >= partitions.LEAST_ROWS:
        for column in _searched(table):
            if partitions.is_stale(table, column, state.recall.get(column)):
                found = partitions.partition(table, column)
                state = State(unfinished=state.unfinished, recall={**state.recall, column: found})
                state.write(table)


def len_of(table: Any) -> int:
    """The number of rows of a table.

    Args:
        table: the table.
    """
    return int(table.count_rows())


def _searched(table: Any) -> list[str]:
    """The columns of vectors by which an index is searched."""
    columns = [name for name in table.schema.names if re.fullmatch(r"level\d+", name)]
    return [*columns, *([ALL] if len(columns) > 1 and ALL in table.schema.names else [])]


def _keys(names: Any, hashes: Any) -> np.ndarray:
    """A number for each pair of a name and a hash of pixels: uint64 (n,)."""
    from pandas.util import hash_array

    named = hash_array(np.asarray(names, object), categorize=False)
    keys: np.ndarray = named * np.uint64(0x9E3779B97F4A7C15) + np.asarray(hashes, np.int64).view(np.uint64)
    return keys


def _present(table: Any) -> np.ndarray:
    """The keys of all rows of an index, sorted: eight bytes for each, whatever their names."""
    batches = partitions.scan(table, ["name", "hash"])
    keys = [_keys(batch["name"].to_pylist(), batch["hash"].to_numpy()) for batch in batches]
    return np.sort(np.concatenate([np.zeros(0, np.uint64), *keys]))


def _new(images: Images, present: np.ndarray, progress: bool) -> Iterator[np.ndarray]:
    """Yield the numbers of the images that are not present, up to `BATCH` at a time."""
    console, names = Console(stderr=True), images.names or ()
    starts = range(0, len(images), BATCH)
    for start in track(starts, "Encoding", console=console, disable=not (progress and console.is_terminal)):
        stop = min(start + BATCH, len(images))
        if len(present):
            keys = _keys(names[start:stop], content_hashes(images.values[start:stop]))
            at = np.minimum(np.searchsorted(present, keys), len(present) - 1)
            yield start + np.flatnonzero(present[at] != keys)
        else:
            yield np.arange(start, stop)


def _fill(table: Any, run: Run, images: Images, present: np.ndarray, progress: bool) -> int:
    """Encode the images that are not present and commit them, several batches at a time."""
    num, batches = 0, list[pa.RecordBatch]()
    for numbers in _new(images, present, progress):
        if len(numbers):
            batches.append(rows.batch(run, images.take(numbers), table.schema))
            num += len(numbers)
        if len(batches) == CHUNK:
            table.add(pa.Table.from_batches(batches))
            batches = []
    if batches:
        table.add(pa.Table.from_batches(batches))
    return num


def check_room(path: str | Path, run: Run, images: Images, pictures: bool, progress: bool) -> None:
    """Say how large an index will be, and refuse one for which there is no room.

    Args:
        path: its folder or address.
        run: the run that encodes the images.
        images: the images.
        pictures: whether it has the pictures.
        progress: whether to say it.

    Raises:
        SearchError: if the disk has less room.
    """
    each, picture = rows.row_bytes(run, images, pictures=pictures)
    total = memory.size(each * len(images))
    of_pictures = f", {memory.size(picture * len(images))} of it pictures" if picture else ""
    if progress:
        print(f"the index takes about {total}{of_pictures}", file=sys.stderr)
    if is_address(path):
        return
    there = next(folder for folder in (Path(path).resolve(), *Path(path).resolve().parents) if folder.exists())
    if (free := shutil.disk_usage(there).free) < each * len(images):
        raise SearchError(
            f"{path} needs about {total}{of_pictures}, and {memory.size(free)} are free; make room, choose another "
            "place" + (", or leave the pictures out (--no-pictures)" if picture else "")
        )
