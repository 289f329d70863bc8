"""Making and growing an index by commits: what is committed stays, and the same call goes on after a stop."""

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vlae import memory
from vlae.data.content import content_hashes
from vlae.data.counting import counting
from vlae.lance_tables import committing, is_address
from vlae.runs.contents import Contents, Place
from vlae.runs.run import Run
from vlae.search import partitions, rows
from vlae.search.rows import ALL, SearchError
from vlae.search.state import State, Unfinished

COMMIT = 10_000
"""Images in one commit, at least."""


def grow(
    table: Any, path: str | Path, run: Run, contents: Contents, addition: Unfinished, progress: bool = False
) -> int:
    """Add the images that an index does not have, and make it quick to search. It goes on where it was stopped.

    Args:
        table: the table of the index.
        path: where the index is, for messages.
        run: the run that encodes them.
        contents: the images, of the run's shape.
        addition: what this is, so that an index that is stopped says how to go on.
        progress: whether to show a bar.

    Returns:
        How many images were added.

    Raises:
        DataError: if a stream cannot be read, or changes meanwhile.
        SearchError: if a label or factor does not fit its column; if `contents` are no stream, nothing is added then.
            If rows are there twice, as the source changed between a stop and now, or several processes wrote.
        WriteError: if the index cannot be written.
    """
    with committing(path):
        table.checkout_latest()
        state = State.of(table.schema)
    rows.check(contents.form, table.schema)
    begun = next((each for each in state.unfinished if each.is_same(addition)), addition)
    addition = replace(addition, shards=begun.shards, rows=begun.rows)
    if addition not in state.unfinished:
        with committing(path):
            state.begun(addition).write(table)
    num, own = _fill(table, path, run, contents, addition, progress)
    contents.check_unchanged("run this again" if addition.adds else "remove the index and build it again")
    if progress:
        contents.say_skipped()
    with committing(path):
        table.checkout_latest()
        _check_once(table, addition, own)
        if rows.record_in(table.schema) is None:  # a shard is searched once it is merged
            make_quick(table)
        State.of(table.schema).ended(addition).write(table)
    return num


class Keys:
    """The keys of images, in sorted arrays of falling length: it is quick to add some, and to ask for some.

    Args:
        keys: the first of them, uint64 (n,), sorted.
    """

    def __init__(self, keys: np.ndarray):
        self.parts = [keys]

    def add(self, keys: np.ndarray) -> None:
        """Add some.

        Args:
            keys: uint64 (n,), in any order.
        """
        keys = np.sort(keys)
        while len(self.parts) > 1 and len(self.parts[-1]) <= len(keys):
            keys = np.sort(np.concatenate([self.parts.pop(), keys]))
        self.parts.append(keys)

    def take(self, keys: np.ndarray) -> np.ndarray:
        """Add those that are not there: their numbers, int64 (n,), each key once.

        Args:
            keys: uint64 (n,).
        """
        first = np.unique(keys, return_index=True)[1]
        new = np.sort(first[~self.has(keys[first])])
        self.add(keys[new])
        return new

    def has(self, keys: np.ndarray) -> np.ndarray:
        """Which of some keys are there: bool (n,).

        Args:
            keys: uint64 (n,).
        """
        found = np.zeros(len(keys), bool)
        for part in self.parts:
            if len(part):
                found |= part[np.minimum(np.searchsorted(part, keys), len(part) - 1)] == keys
        return found


def _fill(
    table: Any, path: str | Path, run: Run, contents: Contents, addition: Unfinished, progress: bool
) -> tuple[int, np.ndarray]:
    """Encode the images that are not present and commit them: how many; and the keys of all that are read, (n,)."""
    with committing(path):
        present = Keys(_present(table))
    own, batches = [np.zeros(0, np.uint64)], list[pa.RecordBatch]()
    num, done = 0, Place(addition.shards, addition.rows)

    def commit(place: Place) -> None:
        nonlocal done
        with committing(path):
            if batches:
                table.add(pa.Table.from_batches(batches))
                batches.clear()
            if contents.fingerprint and place.shard > done.shard:  # the same shards can be told when it goes on
                done = place
                State.of(table.schema).begun(replace(addition, shards=done.shard, rows=done.row)).write(table)

    with counting("encoding", contents.num, progress) as advance:
        advance(addition.rows)
        for images, place, _ in contents.pieces(done):
            hashes = content_hashes(images.values)
            keys = keys_of(images.names, hashes)
            new = present.take(keys)
            if len(new):
                chosen = images if len(new) == len(images) else images.take(new)
                batches.append(rows.batch(run, chosen, hashes[new], table.schema))
                num += len(new)
            own.append(keys)
            advance(len(images))
            if sum(map(len, batches)) >= COMMIT:
                commit(place)
    commit(done)
    return num, np.concatenate(own)


def _check_once(table: Any, addition: Unfinished, own: np.ndarray) -> None:
    """Check that no image is there twice: neither one of these, nor one that a source had before it changed."""
    name, num = addition.source.replace("'", "''"), addition.rows + len(own)
    if not addition.adds and (there := table.count_rows(f"source = '{name}'")) > num:
        raise SearchError(
            f"the index has {there:,} rows for the {num:,} images of {addition.source}: that has changed since "
            "it was begun, or two commands wrote at once; remove the index and build it again"
        )
    keys = _present(table)
    once, times = np.unique(own, return_counts=True)
    if num := int(np.isin(once[times == 1], keys[1:][keys[1:] == keys[:-1]]).sum()):
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


def keys_of(names: Any, hashes: Any) -> np.ndarray:
    """A number for each pair of a name and a hash of pixels.

    Args:
        names: of the images, (n,).
        hashes: of their pixels, int64 (n,).

    Returns:
        uint64 (n,).
    """
    from pandas.util import hash_array

    named = hash_array(np.asarray(names, object), categorize=False)
    keys: np.ndarray = named * np.uint64(0x9E3779B97F4A7C15) + np.asarray(hashes, np.int64).view(np.uint64)
    return keys


def _present(table: Any) -> np.ndarray:
    """The keys of all rows of an index, sorted: eight bytes for each, whatever their names."""
    batches = partitions.scan(table, ["name", "hash"])
    keys = [keys_of(batch["name"].to_pylist(), batch["hash"].to_numpy()) for batch in batches]
    return np.sort(np.concatenate([np.zeros(0, np.uint64), *keys]))


def check_room(path: str | Path, run: Run, contents: Contents, pictures: bool, progress: bool) -> None:
    """Say how large an index will be, and refuse one for which there is no room.

    Args:
        path: its folder or address.
        run: the run that encodes the images.
        contents: the images.
        pictures: whether it has the pictures.
        progress: whether to say it.

    Raises:
        SearchError: if the disk has less room.
    """
    each, picture = rows.row_bytes(run, contents.form, pictures=pictures)
    if not contents.num:
        if progress:
            print(f"the index takes about {memory.size(each)} for each image", file=sys.stderr)
        return
    total = memory.size(each * contents.num)
    of_pictures = f", {memory.size(picture * contents.num)} of it pictures" if picture else ""
    if progress:
        print(f"the index takes about {total}{of_pictures}", file=sys.stderr)
    if is_address(path):
        return
    there = next(folder for folder in (Path(path).resolve(), *Path(path).resolve().parents) if folder.exists())
    if (free := shutil.disk_usage(there).free) < each * contents.num:
        raise SearchError(
            f"{path} needs about {total}{of_pictures}, and {memory.size(free)} are free; make room, choose another "
            "place" + (", or leave the pictures out (--no-pictures) (pictures=False)" if picture else "")
        )
