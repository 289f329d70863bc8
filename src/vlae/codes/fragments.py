"""A Lance data set that many processes write: each share is there whole or not at all, and all become one commit.

A process writes the rows of a share as fragments, which no reader sees, and then one small file that names them. When
the files of all shares are there, one commit makes the fragments a data set, in the order of the shares. So a process
that is killed loses the share it was at, and what it has half written is in no data set.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

from vlae.atomic import WriteError
from vlae.codes.files import CodesError, metadata
from vlae.data.sharding import SHARD, in_order
from vlae.errors import MissingExtraError, reason
from vlae.names import printable

DONE = "_shares"
"""The folder, in that of the data set, of the files that name what is written."""

ROW = "row"
ROWS = 65_536
"""Numbers of rows that are written at a time."""


class Fragments:
    """The shares of a Lance data set that are written.

    Args:
        place: the data set's folder, or its address in an object store.

    Raises:
        MissingExtraError: if Lance is not installed, or what reaches the store.
        WriteError: if the place cannot be reached.
    """

    def __init__(self, place: str | Path):
        self.place = str(place)
        self.lance = _lance()
        import fsspec

        with _Writing(self.place):
            self.system, path = fsspec.core.url_to_fs(self.place)
            self.folder = f"{path.rstrip('/')}/{DONE}"

    def is_whole(self) -> bool:
        """Whether the data set is there, with all of its rows."""
        with _Writing(self.place):
            self.system.invalidate_cache()
            return bool(self.system.exists(self.folder.removesuffix(DONE) + "_versions"))

    def done(self) -> list[dict[str, Any]]:
        """What the files say of the shares that are written: the description, the fragments, and the number of rows.

        Raises:
            CodesError: if such a file is damaged.
            WriteError: if the place cannot be reached.
        """
        with _Writing(self.place):
            self.system.invalidate_cache()
            if not self.system.exists(self.folder):
                return []
            names = [name for name in self.system.find(self.folder) if name.endswith(".json")]
            texts = self.system.cat(names) if names else {}
        records = []
        for name, text in sorted(texts.items()):
            try:
                record = json.loads(text)
                if not {"num", "fragments", "schema"} <= record.keys() or SHARD not in record["about"]:
                    raise ValueError
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise CodesError(f"{printable(name)} is damaged; remove it, and this share is written again") from error
            records.append(record)
        return records

    def write(self, number: int, tables: Iterable[Any], about: Mapping[str, Any]) -> int:
        """Write the rows of a share.

        Args:
            number: of the share, 1 for the first.
            tables: its rows, Arrow tables with the same columns.
            about: what made them, with the share, as JSON values.

        Returns:
            The number of rows.

        Raises:
            WriteError: if they cannot be written.
        """
        each = iter(tables)
        first = next(each, None)
        with _Writing(self.place):
            record: dict[str, Any] = {"about": dict(about), "num": 0, "fragments": [], "schema": ""}
            if first is not None:
                fragments = self._write_fragments(first, each)
                record["fragments"] = [fragment.to_json() for fragment in fragments]
                record["num"] = sum(fragment.physical_rows for fragment in fragments)
                record["schema"] = bytes(first.schema.remove_metadata().serialize()).hex()
            self.system.makedirs(self.folder, exist_ok=True)
            file = f"{self.folder}/{number:06d}.json"
            with self.system.transaction:  # a reader sees the whole file, or none
                self.system.pipe_file(file, json.dumps(record).encode())
        return int(record["num"])

    def _write_fragments(self, first: Any, others: Iterator[Any]) -> list[Any]:
        import pyarrow
        from lance.fragment import write_fragments

        schema = first.schema.remove_metadata()
        batches = (batch for table in chain([first], others) for batch in table.cast(schema).to_batches())
        reader = pyarrow.RecordBatchReader.from_batches(schema, batches)
        return list(write_fragments(reader, self.place, mode="overwrite"))

    def commit(self, about: Mapping[str, Any] | None = None) -> int:
        """Make all shares one data set, and number its rows.

        Args:
            about: what made it, as JSON values. None: what the shares say.

        Returns:
            The number of rows.

        Raises:
            DataError: if a share is missing, or they are of different runs, sources or settings.
            WriteError: if the data set cannot be written.
        """
        records = self.done()
        order = in_order(
            [(_name(self.place, one), one["about"].get("weights"), one["about"][SHARD]) for one in records]
        )
        records = [records[i] for i in order]
        schemas = {record["schema"] for record in records if record["schema"]}
        if len(schemas) != 1:
            raise CodesError(
                f"{self.place}: its shares have different columns; give a source whose shards all say the same of "
                "their rows"
                if schemas
                else f"{self.place}: none of its pictures can be read; get them again"
            )
        import pyarrow

        num = sum(record["num"] for record in records)
        told = {name: value for name, value in records[0]["about"].items() if name != SHARD} | dict(about or {})
        schema = pyarrow.ipc.read_schema(pyarrow.py_buffer(bytes.fromhex(schemas.pop())))
        schema = schema.with_metadata(metadata(told | {"num": num}))
        with _Writing(self.place):
            fragments = [
                self.lance.FragmentMetadata.from_json(json.dumps(fragment))
                for record in records
                for fragment in record["fragments"]
            ]
            if not self.is_whole():
                operation = self.lance.LanceOperation.Overwrite(schema, fragments)
                self.lance.LanceDataset.commit(self.place, operation)
            self._finish(num)
        return num

    def _finish(self, num: int) -> None:
        """Number the rows, and remove what belongs to no share: what killed processes have left, and the records."""
        import pyarrow

        dataset = self.lance.dataset(self.place)
        if ROW not in dataset.schema.names:
            numbers = pyarrow.schema([(ROW, pyarrow.int64())])
            starts = range(0, num, ROWS)
            batches = (pyarrow.record_batch([range(start, min(num, start + ROWS))], numbers) for start in starts)
            dataset.add_columns(pyarrow.RecordBatchReader.from_batches(numbers, batches))
        self.lance.dataset(self.place).cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
        self.system.rm(self.folder, recursive=True)


def _name(place: str, record: Mapping[str, Any]) -> str:
    shard = record["about"][SHARD]
    return f"shard {shard.get('number')} in {place}" if isinstance(shard, Mapping) else place


def _lance() -> Any:
    try:
        import lance
    except ImportError as error:
        raise MissingExtraError('a cluster writes to Lance; install it with: pip install "vlae[cluster]"') from error
    return lance


class _Writing:
    """Turns what a store raises into one line that names the place."""

    def __init__(self, place: str):
        self.place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, ImportError):
            raise MissingExtraError(f'{self.place}: {reason(error)}; install it with: pip install "vlae[cluster]"')
        if isinstance(error, OSError | RuntimeError) and not isinstance(error, NotImplementedError):
            raise WriteError(
                f"{self.place} cannot be written ({reason(error)}); allow writing there, or choose another place"
            ) from error
