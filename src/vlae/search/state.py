"""What an index says of itself beside its rows: what is unfinished, and how well it is searched.

It is JSON in the metadata of the column `hash`, where each change is a commit. The table's own metadata never change.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

COLUMN, KEY = "hash", "vlae"


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """An addition that has begun and not ended.

    Attributes:
        source: the source's name.
        split: its part.
        num: how many images it has; of a stream about, and 0 if that is not known.
        adds: whether it adds to a finished index.
        command: the command that goes on.
        fingerprint: of a stream, what tells that its shards are the same; empty for others.
        shards: how many shards of a stream are there to the end, and need not be read again.
        rows: how many images these had.
    """

    source: str
    split: str
    num: int
    adds: bool
    command: str
    fingerprint: str = ""
    shards: int = 0
    rows: int = 0

    def is_same(self, other: "Unfinished") -> bool:
        """Whether another addition is of the same images.

        Args:
            other: the other.
        """
        ours, theirs = (replace(each, adds=False, command="", shards=0, rows=0) for each in (self, other))
        return ours == theirs


@dataclass(frozen=True, kw_only=True)
class Recall:
    """How well the partitions of a column are searched.

    Attributes:
        nprobes: how many partitions nearest the query are searched.
        partitions: how many there are.
        recall: of 10 nearest neighbours, the share that is found: the mean over some images of the index.
        rows: how many rows the index had when this was measured.
    """

    nprobes: int
    partitions: int
    recall: float
    rows: int


@dataclass(frozen=True, kw_only=True)
class State:
    """What an index says of itself.

    Attributes:
        unfinished: the additions that have not ended.
        recall: by the column of vectors; a column without partitions is not in it.
    """

    unfinished: tuple[Unfinished, ...] = ()
    recall: Mapping[str, Recall] = field(default_factory=dict)

    @classmethod
    def of(cls, schema: Any) -> Self:
        """Read the state from the schema of a table.

        Args:
            schema: an Arrow schema.

        Raises:
            ValueError, TypeError: if it is damaged.
        """
        about = json.loads((schema.field(COLUMN).metadata or {}).get(KEY.encode(), b"{}"))
        return cls(
            unfinished=tuple(Unfinished(**each) for each in about.get("unfinished", ())),
            recall={column: Recall(**each) for column, each in about.get("recall", {}).items()},
        )

    def as_json(self) -> str:
        """The state as JSON."""
        return json.dumps(asdict(self))

    def begun(self, addition: Unfinished) -> Self:
        """The state once an addition has begun, again or for the first time.

        Args:
            addition: what is added; it takes the place of one that adds the same stream as it was before.
        """
        others = (
            each
            for each in self.unfinished
            if not each.is_same(addition)
            and not (each.fingerprint and addition.fingerprint and each.adds and each.source == addition.source)
        )
        return replace(self, unfinished=(*others, addition))

    def ended(self, addition: Unfinished) -> Self:
        """The state once an addition has ended.

        Args:
            addition: what was added.
        """
        return replace(self, unfinished=tuple(each for each in self.unfinished if not each.is_same(addition)))

    def write(self, table: Any) -> None:
        """Commit the state.

        Args:
            table: the table of the index.
        """
        table.update_field_metadata({"path": COLUMN, "metadata": {KEY: self.as_json()}})
