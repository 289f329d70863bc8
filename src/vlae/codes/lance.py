"""Codes in a Lance data set, in a folder or in an object store: each part of rows is one commit."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vlae.atomic import remove
from vlae.codes.choice import Choice
from vlae.codes.errors import CodesError
from vlae.data.images import Images
from vlae.lance_tables import append, committing, connect, is_address, table_at, why
from vlae.names import quoted

ABOUT = b"vlae"
"""The key under which it stands in JSON what made the codes. It is in the metadata of the schema, which cannot change;
once rows were added, in those of the column `row`."""

SETTINGS = "settings"
"""What of this description must be the same for a call that goes on."""

STREAMED = {"stream": True}
"""What these settings say of a source that was read shard by shard, and of no other."""

PATH = "path"
"""Where the source of a data set is: as it was given, but a path from the root."""

GROWN = "grown"
"""Says of a data set that rows of a source that has grown were added, or are being added."""

GROWING = ("source", "number of rows", "rows per part")
"""What of a description may differ where a source has grown."""


class LanceCodes:
    """A Lance data set of codes that grows by commits.

    Its folder or address is the whole of it: what is committed can be read from anywhere, and several processes may
    add parts at once. A part is there whole or not at all.

    Args:
        place: the data set's folder or address, whose name ends in .lance.

    Raises:
        MissingExtraError: if LanceDB is not installed.
        CodesError: if the data set is damaged, or the store does not answer.
        WriteError: if the place's name cannot be used.
    """

    def __init__(self, place: str | Path):
        self.place = place
        text = str(place).rstrip("/")
        self.name = PurePosixPath(text).stem
        self.folder = text.rpartition("/")[0] if is_address(place) else Path(place).parent
        try:
            self.table: Any = table_at(self.folder, self.name)
        except (RuntimeError, OSError, ValueError) as error:
            raise CodesError(f"{place} cannot be opened ({why(error)}); allow reading it, or give another") from error

    @property
    def about(self) -> dict[str, Any]:
        """What made the codes; empty if that is not told."""
        if self.table is None:
            return {}
        schema = self.table.schema
        of_row = schema.field("row").metadata if "row" in schema.names else None
        return json.loads((of_row or {}).get(ABOUT) or (schema.metadata or {}).get(ABOUT, b"{}"))

    def __len__(self) -> int:
        return 0 if self.table is None else int(self.table.count_rows())

    @property
    def is_whole(self) -> bool:
        """Whether all rows are there."""
        return self.table is not None and len(self) == self.about.get("num", len(self))

    def check(self, about: Mapping[str, Any]) -> None:
        """Refuse to go on with codes of another run, source or choice of columns.

        Args:
            about: what is to be written now.

        Raises:
            CodesError: if what is there was begun with something else, or is whole.
        """
        if self.table is None:
            return
        if self.about.get(GROWN) and not self.is_whole:
            raise CodesError(f"{self.place} was being added to; go on with: {command(self.place, self.about)}")
        told = _told(about)
        if self.is_whole and self._may_grow(about):
            self._check_alike({what: value for what, value in told.items() if what not in GROWING})
            if told["source"] != self.about.get("source_hash"):
                raise CodesError(
                    f"{self.place} is whole, and {about[PATH]} has changed since; add what is new with --add "
                    "(add=True), or choose another --out (out=)"
                )
        self._check_alike(told)
        self.check_unfinished()

    def check_unfinished(self) -> None:
        """Refuse to write to a data set that is whole.

        Raises:
            CodesError: if it is.
        """
        if self.is_whole:
            raise CodesError(
                f"{self.place} exists already, and is not written over; choose another --out (out=), or remove it"
            )

    def _may_grow(self, about: Mapping[str, Any]) -> bool:
        """Whether `grow` takes what is new in a source: the same file or folder, whole, whose data have names."""
        path, settings = about.get(PATH, ""), about.get(SETTINGS, {})
        is_whole = about.get("split") == "all" and settings.get("limit") is None
        return path == self.about.get(PATH) and Path(path).exists() and is_whole and "name" in self.table.schema.names

    def _check_alike(self, now: Mapping[str, Any]) -> None:
        then = _told(self.about)
        if differing := [what for what in now if now[what] != then.get(what)]:
            what = differing[0]
            raise CodesError(
                f"{self.place} was begun with another {what} ({_short(then.get(what))}, not {_short(now[what])}); "
                "go on with that, or choose another --out (out=)"
            )

    def grow(
        self, images: Images, about: Mapping[str, Any], columns: Collection[str]
    ) -> tuple[Images, np.ndarray, dict[str, Any]]:
        """Find the data of a source that has grown which are not there, and note that they are to be added.

        Data are told apart by their names. What the source no longer has stays. After a stop the same call finds what
        is still missing. Classes keep the numbers that they had; new ones get the next.

        Args:
            images: the source as it is now.
            about: what made its codes, as JSON values: the run, the source, its hash and path, the number of data, and
                the options.
            columns: the names of the columns that are to be added.

        Returns:
            The data, labelled as those that are there; which of them are missing, int64 (n,); and what made all codes.

        Raises:
            CodesError: if there is no such data set, or it was begun with another run, other options or another
                source, or has other columns, or is unfinished; or if the data have no names, or names that repeat.
        """
        own = "; encode them to a data set of their own"
        then = self.about
        if self.table is None:
            raise CodesError(f"{self.place}: there is no such data set to add to; write it first, without --add (add=)")
        if not self.is_whole and not then.get(GROWN):
            raise CodesError(f"{self.place} is unfinished; go on with: {command(self.place, then)}")
        if SETTINGS not in then:
            raise CodesError(
                f"{self.place} does not say with which options its codes were made, so none are added{own}"
            )
        if images.names is None or "name" not in self.table.schema.names:
            raise CodesError(f"{self.place}: its data have no names, by which new ones could be told{own}")
        self._check_alike({word: value for word, value in _told(about).items() if word not in GROWING})
        if about[PATH] != then.get(PATH):
            raise CodesError(
                f"{self.place} holds codes of {then.get(PATH, then.get('source'))}; only what is new there is added. "
                f"Encode {images.source} to a data set of its own"
            )
        if differing := set(columns) ^ set(self.table.schema.names):
            raise CodesError(f"{self.place}: {', '.join(sorted(differing))} is in the one, and not in the other{own}")
        there = [name for batch in self._scan(["name"]) for name in batch["name"].to_pylist()]
        known = set(there)
        for names, which in ((there, "its"), (images.names, "the source's")):
            if len(set(names)) < len(names) or not all(names):
                raise CodesError(f"{self.place}: some of {which} data have one name, or none{own}")
        classes = tuple(then.get("label_names", ()))
        if images.labels is not None and bool(classes) != bool(images.label_names):
            raise CodesError(f"{self.place}: either its classes have names or those of {images.source}, not both{own}")
        new = np.flatnonzero([name not in known for name in images.names])
        images = images.with_classes(classes)
        about = {**about, "label_names": list(images.label_names), "num": len(self) + len(new), GROWN: True}
        if len(new) or not self.is_whole:
            with committing(self.place):
                self.table.update_field_metadata({"path": "row", "metadata": {ABOUT.decode(): json.dumps(about)}})
        return images, new, about

    def parts(self, size: int) -> set[int]:
        """Return the numbers of the parts that are there, as the rows themselves tell.

        Args:
            size: rows of one part.
        """
        if self.table is None:
            return set()
        return {number for rows in self._scan(["row"]) for number in np.unique(rows["row"].to_numpy() // size).tolist()}

    def write(self, rows: Any) -> None:
        """Commit a part: all of its rows, or none.

        Args:
            rows: an Arrow table, whose metadata describe what made the codes.

        Raises:
            WriteError: if it cannot be written.
        """
        with committing(self.place):
            self.table = append(self.folder, self.name, rows)

    def check_whole(self, num: int, remedy: str = "remove it and encode again") -> None:
        """Check that no row is missing or there twice, once all parts are written.

        Args:
            num: how many rows there must be.
            remedy: what to do, for the message.

        Raises:
            CodesError: if there are others: then several processes wrote the same parts at once.
        """
        if len(self) != num:
            raise CodesError(
                f"{self.place} has {len(self):,} rows for {num:,} data, as two commands wrote it at once; {remedy}"
            )

    def drop(self) -> None:
        """Remove the data set."""
        if is_address(self.place):
            with committing(self.place):
                connect(self.folder).drop_table(self.name, ignore_missing=True)
        else:
            remove(Path(self.place))

    def batches(self, columns: Sequence[str], size: int) -> Iterator[Any]:
        """Yield some columns in the order of the rows' numbers, whatever the order of their commits.

        Args:
            columns: their names.
            size: rows read at a time.

        Yields:
            Arrow tables or batches.
        """
        if "row" not in self.table.schema.names:  # made by another program
            yield from self._scan(columns, size)
            return
        rows = np.concatenate([batch["row"].to_numpy() for batch in self._scan(["row"])] or [np.zeros(0, np.int64)])
        if (np.diff(rows) > 0).all():
            yield from self._scan(columns, size)
            return
        order = np.argsort(rows, kind="stable")
        for start in range(0, len(order), size):
            offsets = np.sort(order[start : start + size])
            taken = self.table.take_offsets(offsets.tolist()).select(list({*columns, "row"})).to_arrow()
            yield taken.sort_by("row").select(list(columns))

    def _scan(self, columns: Sequence[str], size: int = 8_192) -> Iterator[Any]:
        return iter(self.table.search().select(list(columns)).to_batches(size))


def _told(about: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same for a call that goes on, by the words of the message."""
    names = {"weights": "run", "source_hash": "source", "split": "--split", "num": "number of rows"}
    told = {word: about.get(key) for key, word in names.items()} | {"stream": False, "limit": None}
    return told | {name.replace("_", " "): value for name, value in about.get(SETTINGS, {}).items()}


def command(place: str | Path, about: Mapping[str, Any]) -> str:
    """Return the command that writes these codes, or goes on with them.

    Args:
        place: where they are.
        about: what made them.
    """
    run, source = about.get("run"), about.get(PATH, about.get("source"))
    words = ["vlae encode", quoted(run), quoted(source), f"--out {quoted(place)}"]
    options = {"split": about.get("split")} | about.get(SETTINGS, {})
    for name, value in {"split": "all", "limit": None, "stream": False, **Choice().settings}.items():
        if (given := options.get(name, value)) != value:
            switch = {True: f"--{name}", False: f"--no-{name}"} if isinstance(given, bool) else {}
            words.append(switch.get(given, f"--{name} {quoted(given)}"))
    if about.get(GROWN):
        words.append("--add")
    return " ".join(words)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 16 else f"{text[:12]}…"


def is_lance(path: str | Path) -> bool:
    """Tell by the ending whether a path or an address is one of a Lance data set.

    Args:
        path: the path or address.
    """
    return PurePosixPath(str(path)).suffix.lower() == ".lance"
