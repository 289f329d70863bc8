"""Shards of an index: built apart, and merged to the index that one process would have built."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vlae.data.readers import identify
from vlae.data.sharding import Share, in_memory, in_order
from vlae.data.source import ReadSettings, Source
from vlae.lance_tables import alone, as_place, committing, connect, is_address, table_at, why
from vlae.runs.contents import Contents
from vlae.runs.run import Run
from vlae.search import rows
from vlae.search.building import Keys, keys_of, make_quick
from vlae.search.distances import spread_of
from vlae.search.index import TABLE, check_new
from vlae.search.partitions import vectors
from vlae.search.rows import ALL, RUN, SPREAD, SearchError
from vlae.search.state import State
from vlae.shapes import level_column

BATCH = 8_192
"""Rows that are copied at a time."""


def record_of(run: Run, source: Source, contents: Contents, shard: Share | None, **how: Any) -> dict[str, Any] | None:
    """What an index says of the shard that it has, so that only shards of one source are merged.

    Args:
        run: the run that encodes it.
        source: as it was given.
        contents: the pictures or rows of it, in memory or as a stream.
        shard: which part of the source that is. None: all of it.
        how: the layout, key and id by which it was read.

    Returns:
        What `Index.build` takes as `record`.
    """
    if shard is None:
        return None
    total = contents.form.total
    if contents.stream is not None:
        total, content = None, contents.stream.fingerprint
    elif isinstance(source, str | Path):
        content = identify(source, ReadSettings(**run.reading(source, **how)))[0]
    else:
        content = in_memory(source)
    columns = ["label", *rows.source_columns(contents.form)]
    record = {**shard.record(total, content, how), "named": contents.is_named, "columns": columns}
    return record if contents.stream is None else {**record, "stream": True}


def is_index(place: str | Path) -> bool:
    """Tell whether an index is at a place.

    Args:
        place: a folder, or an address in an object store.
    """
    if not is_address(place):
        return (Path(place) / f"{TABLE}.lance").is_dir()
    return not str(place).rstrip("/").endswith(".lance")


def merge_indexes(parts: Sequence[str | Path], out: str | Path) -> str | Path:
    """Join all shards of an index. Rows, names and units of distance are those of an index of the whole source.

    Memory does not grow with the number of rows. The index appears by one commit.

    Args:
        parts: the indexes of all shards, in any order.
        out: the folder of the index, which must be new or empty, or an address in an object store.

    Returns:
        The folder or address: `out`.

    Raises:
        DataError: if a shard is missing or given twice, or they are of different runs, sources or settings.
        SearchError: if a part is unfinished or damaged, or something is at `out`.
        WriteError: if the index cannot be written.
    """
    out = as_place(out)
    if check_new(out) is not None:
        raise SearchError(f"{out} exists already, and is unfinished; choose another place")
    tables = [_open(part) for part in parts]
    about = [(table.schema.metadata or {}).get(RUN, b"").decode() for table in tables]
    records = [rows.record_in(table.schema) for table in tables]
    order = in_order([(str(part), *of) for part, *of in zip(parts, about, records, strict=True)])
    shards = [tables[i] for i in order]
    lengths = [int(table.count_rows()) for table in shards]
    # All shards of a stream have the units of one sample of it.
    spread = rows.spread_in(shards[0].schema) if records[0].get("stream") else _spread(shards, lengths)
    schema = _schema(shards, [records[i] for i in order], spread)
    numbered = not records[0]["named"]
    with alone(out, f"writes the index {out}"), committing(out):
        reader = pa.RecordBatchReader.from_batches(schema, _batches(shards, schema, spread, numbered))
        table = connect(out).create_table(TABLE, data=reader, schema=schema)
        make_quick(table)
    return out


def _open(part: str | Path) -> Any:
    try:
        table = table_at(as_place(part), TABLE)
        unfinished = () if table is None else State.of(table.schema).unfinished
    except (RuntimeError, OSError, TypeError, ValueError) as error:
        raise SearchError(f"the index {part} is damaged ({why(error)}); make it again") from error
    if table is None:
        raise FileNotFoundError(f"there is no index {part}; make one with: vlae index RUN DATA --shard")
    if unfinished:
        raise SearchError(f"the index {part} is unfinished; go on with: {unfinished[0].command}")
    return table


def _spread(shards: Sequence[Any], lengths: Sequence[int]) -> list[float]:
    """The units of distance that an index of all rows has: from the same rows, as they are chosen there."""
    chosen = np.sort(np.random.default_rng(0).permutation(sum(lengths))[: rows.NUM_SPREAD])
    levels = range(1, len(rows.spread_in(shards[0].schema)) + 1)
    columns = [name for name in map(level_column, levels) if name in shards[0].schema.names]
    found: list[Any] = []
    start = 0
    for table, num in zip(shards, lengths, strict=True):
        offsets = chosen[(chosen >= start) & (chosen < start + num)] - start
        if len(offsets):
            found.append(table.take_offsets(offsets.tolist()).select(columns).to_arrow())
        start += num
    codes = pa.concat_tables(found)
    none = np.zeros((len(chosen), 0), np.float32)
    return [spread_of(vectors(codes[name]) if name in columns else none) for name in map(level_column, levels)]


def _schema(shards: Sequence[Any], records: Sequence[Any], spread: Sequence[float]) -> pa.Schema:
    """The columns of all shards, in the order of an index of the whole source."""
    first = shards[0].schema
    known = list(dict.fromkeys(name for record in records for name in record["columns"]))
    fields: dict[str, Any] = {}
    for table in shards:
        for field in table.schema:
            there = fields.setdefault(field.name, field.remove_metadata())
            if there.type != field.type:
                raise SearchError(f"column {field.name} is {there.type} in one shard and {field.type} in another")
    names = ["name", "source", *(name for name in known if name in fields)]
    names += [name for name in first.names if name not in names]
    about = {RUN: first.metadata[RUN], SPREAD: json.dumps(list(spread)).encode()}
    return pa.schema([fields[name] for name in names], metadata=about)


def _batches(shards: Sequence[Any], schema: pa.Schema, spread: Sequence[float], numbered: bool) -> Iterator[Any]:
    """The rows of all shards in order, in the units of distance of all."""
    levels = [level_column(level) for level in range(1, len(spread) + 1)]
    start, seen = 0, Keys(np.zeros(0, np.uint64))
    for table in shards:
        for batch in table.search().to_batches(BATCH):
            if not numbered:  # of copies with one name, the whole has the first
                batch = batch.take(pa.array(seen.take(keys_of(batch["name"].to_pylist(), batch["hash"].to_numpy()))))
            columns: dict[str, Any] = {name: batch[name] for name in batch.schema.names}
            none = np.zeros((len(batch), 0), np.float32)
            codes = [vectors(columns[name]) if name in columns else none for name in levels]
            columns[ALL] = pa.array(list(rows.in_spreads(codes, spread)), schema.field(ALL).type)
            if numbered:
                columns["name"] = pa.array([str(i) for i in range(start, start + len(batch))])
            arrays = [columns[f.name] if f.name in columns else pa.nulls(len(batch), f.type) for f in schema]
            yield pa.RecordBatch.from_arrays(
                [a.cast(f.type) for a, f in zip(arrays, schema, strict=True)], schema=schema
            )
            start += len(batch)
