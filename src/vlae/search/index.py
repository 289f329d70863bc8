"""Search by level: an index of images with one vector column per level, and their nearest neighbours by each level.

An index is a folder, or an address in an object store, with one LanceDB table, `images`. `rows.py` describes its
columns. The table's metadata hold the identity of the run, and the root mean square distance between two images by each
level; `state.py` describes what changes. Images are added by commits.
"""

import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from vlae.atomic import WriteError
from vlae.data.content import content_hash
from vlae.data.depths import in_bytes
from vlae.data.source import Source
from vlae.data.streams import is_streamed
from vlae.errors import MissingExtraError
from vlae.figures import canvas
from vlae.lance_tables import alone, as_place, committing, connect, is_address, table_at, why
from vlae.models.inference import check_values
from vlae.names import printable, quoted
from vlae.runs.contents import Contents, contents_of
from vlae.runs.run import Run
from vlae.search import rows
from vlae.search.building import check_room, grow
from vlae.search.distances import distances
from vlae.search.neighbours import Neighbours, decode_png
from vlae.search.partitions import nearest, scan, vectors
from vlae.search.rows import ALL, PICTURE, RUN, SearchError
from vlae.search.state import COLUMN, KEY, State, Unfinished
from vlae.shapes import is_image, level_column

FOLDER = "index"  # the default folder, inside the run's folder
TABLE = "images"
ALIKE = 20  # more rows than asked for are found by partitions, so that those with the query's pixels can be left out


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """Images by the codes of one run, on disk.

    Attributes:
        run: the run that encoded the images.
        path: the folder of the index, a LanceDB database; or its address in an object store.
        table: its table, as LanceDB opens it.
        spread: for each level, the root mean square distance between two images, which is its unit of distance.
    """

    run: Run
    path: str | Path
    table: Any = field(repr=False)
    spread: tuple[float, ...]

    @classmethod
    def build(
        cls,
        run: Run,
        source: Source | Contents,
        out: str | Path | None = None,
        *,
        pictures: bool = True,
        command: str | None = None,
        record: Mapping[str, Any] | None = None,
        progress: bool = False,
    ) -> Self:
        """Build a new index. Images are added by commits; after a stop, the same call goes on.

        From 100,000 images up each column of codes is partitioned for search; `state` tells how well it is searched.

        Args:
            run: a run of any model that has an encoder.
            source: a path, a name ("streets", "hf:NAME", "USER/NAME"), `Images`, or an array: (N, H, W), (N, H, W, C)
                or (N, C, H, W) images, uint8 or floats in [0, 1], or (N, D) vectors. Pictures of another size are
                cropped and resized like the training images. Or a stream: .tar shards, an address of object storage, or
                what `vlae.runs.contents.contents_of` has opened.
            out: the folder of the index, which must be new or empty, or an address ("s3://bucket/index"). None: index
                in the run's folder.
            pictures: whether the index keeps the pictures, as PNG. Without them, those whose files are gone are drawn
                as the model sees them.
            command: the command that goes on after a stop, for the message. None: one made of the source's name.
            record: which shard the images are (`vlae.search.shards.record_of`). None: they are a whole source.
            progress: whether to show a progress bar, and to print the expected size and which pictures cannot be read.

        Raises:
            MissingExtraError: if LanceDB is not installed.
            SearchError: if `out` is not empty, or is an unfinished index of something else, or there is no room.
            NotDefinedError: if the model has no encoder.
            DataError: if the source cannot be read, or a stream changes meanwhile.
            TypeError: if it is no source, or gives its items only once.
            ValueError: if the data do not have the run's shape, or the run reads features and the source is a stream.
            WriteError: if the index cannot be written.
        """
        path = run.outputs / FOLDER if out is None else as_place(out)
        check_new(path)
        contents = contents_of(run, source, progress=progress)
        addition = _addition(run, contents, path, command, adds=False)
        with alone(path, f"writes the index {path}"):
            if (table := check_new(path)) is None:
                check_room(path, run, contents, pictures, progress)
                schema = _with(
                    rows.schema(run, contents.form, pictures=pictures, record=record), State(unfinished=(addition,))
                )
                with committing(path):
                    table = connect(path).create_table(TABLE, schema=schema)
            else:
                cls._of(run, path, table, warn=False)._check_begun(addition, record)
            grow(table, path, run, contents, addition, progress)
        return cls._of(run, path, table)

    @classmethod
    def open(cls, run: Run, path: str | Path | None = None) -> Self:
        """Open an index.

        Args:
            run: the run that made it.
            path: the folder of the index. None: index in the run's folder.

        Raises:
            FileNotFoundError: if there is no index.
            MissingExtraError: if LanceDB is not installed.
            SearchError: if another run made it, or if it is damaged.

        Warns:
            UserWarning: if it is unfinished; the message has the command that goes on.
        """
        path = run.outputs / FOLDER if path is None else as_place(path)
        try:
            table = table_at(path, TABLE)
            if table is None and not (isinstance(path, Path) and (path / f"{TABLE}.lance").is_dir()):
                raise FileNotFoundError(
                    f"there is no index {path}; make one with: vlae index {quoted(run.path)} DATA --out {quoted(path)}"
                )
            if isinstance(path, Path):
                _check_regular(path)
            if table is None:
                raise ValueError("its table has no version")
            return cls._of(run, path, table)
        except (RuntimeError, OSError, ValueError, TypeError) as error:
            if isinstance(error, FileNotFoundError | SearchError | MissingExtraError | WriteError):
                raise
            if is_address(path):
                raise SearchError(
                    f"the index {path} cannot be opened ({why(error)}); allow reading it; if it is damaged, make it "
                    "again elsewhere"
                ) from error
            raise SearchError(f"the index {path} is damaged ({why(error)}); make it again elsewhere") from error

    @classmethod
    def _of(cls, run: Run, path: str | Path, table: Any, *, warn: bool = True) -> Self:
        owner = (table.schema.metadata or {}).get(RUN, b"").decode()
        if owner != run.identity:
            raise SearchError(
                f"the index {path} was made by another run (weights {owner[:12] or 'unknown'}, these are "
                f"{run.identity[:12]}), or by this one before it was trained further; remove it and make it again, or "
                f"make another for {run.path} with: vlae index {quoted(run.path)} DATA --out ANOTHER"
            )
        index = cls(run=run, path=path, table=table, spread=rows.spread_in(table.schema))
        if warn and index.state.unfinished:
            warnings.warn(f"the index {path} {index._to_go_on}", stacklevel=3)
        return index

    @property
    def state(self) -> State:
        """What is unfinished, and of a large index how well it is searched."""
        return State.of(self.table.schema)

    @property
    def _to_go_on(self) -> str:
        """What to do next, in words."""
        unfinished = self.state.unfinished
        if not unfinished:
            return "add to it (--add, Index.add), or choose another place (--out, out=)"
        first = unfinished[0]
        of = f", {'about ' * bool(first.fingerprint)}{first.num:,} to come in all" if first.num else ""
        return f"is unfinished ({len(self):,} images{of}); go on with: {first.command}"

    def _check_begun(self, addition: Unfinished, record: Mapping[str, Any] | None) -> None:
        """Check that an unfinished index was begun with the same images."""
        begun = self.state.unfinished
        if rows.record_in(self.table.schema) == record and any(addition.is_same(each) for each in begun):
            return
        own = [each for each in begun if (each.source, each.split) == (addition.source, addition.split)]
        if any((each.fingerprint or addition.fingerprint) and not each.adds for each in own):
            raise SearchError(
                f"{self.path} is unfinished, and {addition.source} has changed since, or is read or cut in another "
                "way; remove the index and build it again"
            )
        raise SearchError(f"{self.path} exists already: {self._to_go_on}")

    def __len__(self) -> int:
        return int(self.table.count_rows())

    @property
    def columns(self) -> list[str]:
        """The columns that a condition can use: name, source, label and factors."""
        return [name for name in self.table.schema.names if not rows.is_own(name) or name in ("name", "source")]

    def add(self, source: Source | Contents, *, command: str | None = None, progress: bool = False) -> int:
        """Add images to the index, by commits; after a stop, the same call goes on. Those that it has are left out.

        Two images are the same if they have the same name and the same pixels. A property without a column in the index
        is left out.

        Args:
            source: a path, a name ("streets", "hf:NAME", "USER/NAME"), `Images`, or an array: (N, H, W), (N, H, W, C)
                or (N, C, H, W) images, uint8 or floats in [0, 1], or (N, D) vectors. Pictures of another size are
                cropped and resized like the training images. Or a stream: .tar shards, an address of object storage, or
                what `vlae.runs.contents.contents_of` has opened.
            command: the command that goes on after a stop, for the message. None: one made of the source's name.
            progress: whether to show a progress bar, and to print what cannot be read or is left out.

        Returns:
            The number of images that were added.

        Raises:
            SearchError: if a column does not fit the index; but for streams, nothing is added then.
            DataError: if the source cannot be read, or a stream changes meanwhile.
            TypeError: if it is no source, or gives its items only once.
            ValueError: if the data do not have the run's shape, or the run reads features and the source is a stream.
            WriteError: if the index cannot be written, or another process writes it.
        """
        contents = contents_of(self.run, source, progress=progress)
        if progress and (missing := sorted(set(rows.source_columns(contents.form)) - set(self.table.schema.names))):
            print(f"left out, as the index has no such column: {printable(', '.join(missing))}", file=sys.stderr)
        addition = _addition(self.run, contents, self.path, command, adds=True)
        with alone(self.path, f"writes the index {self.path}"):
            return grow(self.table, self.path, self.run, contents, addition, progress)

    def similar(
        self,
        image: Source,
        *,
        levels: int | Sequence[int] | None = None,
        num: int = 10,
        where: str | None = None,
    ) -> Neighbours:
        """Find the nearest neighbours of one image, by each of some levels, and by all of them together.

        The distance by level l is |z_l - z'_l| / s_l, the Euclidean distance of the codes over the level's `spread`.
        The distance by several levels is the root mean square of these. A distance of 1 is the root mean square
        distance between two images of the index. Images with the same pixels as the query are left out.

        Args:
            image: a picture file, the name of an image in the index, or an array of one datum: (C, H, W) or
                (1, C, H, W), uint8 or floats in [0, 1], or (D,) or (1, D).
            levels: one or more level numbers, 1 nearest the pixels. None: every level that has a code.
            num: the most neighbours to return, 1 or more.
            where: an SQL condition on `columns`, for example "label = 3 AND slant > 0.2". None: all images.

        Raises:
            SearchError: if there is no such level or column, or if no image is left.
            ValueError: if the image does not have the run's shape or range.
            FileNotFoundError: if there is no such picture.
        """
        chosen = self._levels(levels)
        if not isinstance(num, Integral) or num < 1:
            raise SearchError(f"num is {num}; give a whole number from 1 up")
        num = int(num)
        query = self._query(image)
        if where is not None:
            self._check(where)
        groups = [(level,) for level in chosen] + ([chosen] if len(chosen) > 1 else [])
        found = {group: self._nearest(query, group, num, where) for group in groups}
        if not len(found[groups[0]]):
            raise SearchError("nothing is found " + (f"with {where}" if where else "but the one asked about"))
        shown = ["distance", *self.columns, *[PICTURE] * self.has_pictures]
        return Neighbours(
            query=query.picture,
            by={group: rows.select(shown) for group, rows in found.items()},
            query_name=query.name,
            draw=None if self.has_pictures else lambda group: self._draw(found[group]),
        )

    @property
    def has_pictures(self) -> bool:
        """Whether the index keeps the pictures."""
        return PICTURE in self.table.schema.names

    def _levels(self, levels: int | Sequence[int] | None) -> tuple[int, ...]:
        available = self.run.recipe.levels_with_code
        chosen = available if levels is None else list(levels) if isinstance(levels, Iterable) else [levels]
        if wrong := [level for level in chosen if level not in available]:
            raise SearchError(f"there is no level {wrong[0]} with a code; choose of {', '.join(map(str, available))}")
        if not chosen or len(set(chosen)) < len(chosen):
            raise SearchError(f"the levels are {', '.join(map(str, chosen)) or 'none'}; give each at most once")
        return tuple(int(level) for level in chosen)

    def _query(self, image: Source) -> "_Query":
        if isinstance(image, str | Path) and not _is(Path.is_file, image):
            try:
                return self._named(str(image))
            except FileNotFoundError:
                if not _is(Path.is_dir, image):
                    raise
        query = image if isinstance(image, np.ndarray) else self.run.read(image)
        values = check_values(query if isinstance(query, np.ndarray) else query.values, self.run.recipe.shape)
        if len(values) > 1:
            raise SearchError(f"{len(values)} data are given; one is asked about: give one")
        codes = self.run.encode(query)
        if is_image(self.run.recipe.shape) and values.dtype != np.uint8 and self.run.value_range is None:
            pixels = in_bytes(values)  # as they are in the index
            values = values if pixels is None else pixels
        return _Query(
            codes=[code[0] for code in codes],
            picture=rows.draw(self.run, values)[0],
            hash=content_hash(values[0]),
            name=(str(image), Path(image).name) if isinstance(image, str | Path) else ("", ""),
        )

    def _named(self, name: str) -> "_Query":
        """Return an image of the index by its name."""
        quoted = name.replace("'", "''")
        columns = [name for name in self.table.schema.names if re.fullmatch(r"level\d+", name)]
        columns += [name for name in (PICTURE, "hash", "source") if name in self.table.schema.names]
        found = self.table.search().where(f"name = '{quoted}'").limit(2).select(columns).to_arrow()
        if not len(found):
            raise FileNotFoundError(f"there is no file {name}, and nothing of this name in {self.path}")
        if len(found) > 1:
            raise SearchError(f"several rows of {self.path} are called {name}; give a file")
        [row] = found.to_pylist()
        picture = decode_png(row[PICTURE]) if self.has_pictures else self._draw(found)[0]
        codes = [np.array(row.get(level_column(level), []), np.float32) for level in range(1, len(self.spread) + 1)]
        return _Query(codes=codes, picture=picture, hash=row["hash"], name=(row["source"], name))

    def _check(self, where: str) -> None:
        """Check a condition by letting LanceDB use it."""
        try:
            self.table.count_rows(where)
            if self.table.count_rows(f"({where}) AND FALSE"):  # LanceDB ignores text after a complete condition
                raise ValueError("its parentheses do not match")
        except (RuntimeError, ValueError) as error:
            columns = ", ".join(self.columns)
            raise SearchError(
                f"the condition {where!r} cannot be used ({why(error)}); the columns are {columns}"
            ) from error

    def _nearest(self, query: "_Query", levels: tuple[int, ...], num: int, where: str | None) -> pa.Table:
        """Return the rows nearest to a query by some levels, nearest first: their distance, and `_shown`."""
        try:
            found = self._by_partitions(query, levels, num) if where is None else None
            if found is None:
                condition = f"hash != {query.hash}"
                found = self._by_all_rows(
                    query, levels, num, condition if where is None else f"({where}) AND {condition}"
                )
        except (RuntimeError, OSError) as error:
            raise SearchError(f"the index {self.path} is damaged ({why(error)}); make it again") from error
        far = distances(self._codes_in(found), query.codes, self.spread, levels)
        found = found.select(self._shown).add_column(0, "distance", pa.array(far))
        return found.take(np.argsort(far, kind="stable")[:num])

    def _by_partitions(self, query: "_Query", levels: tuple[int, ...], num: int) -> pa.Table | None:
        """Search a large index; None if it has no partitions for these levels, or too few images are found."""
        column = level_column(levels[0]) if len(levels) == 1 else ALL
        recall = self.state.recall.get(column)
        if recall is None or (len(levels) > 1 and levels != self.run.recipe.levels_with_code):
            return None
        if column == ALL:
            [vector] = rows.in_spreads([code[None] for code in query.codes], self.spread)
        else:
            vector = query.codes[levels[0] - 1]
        search = nearest(self.table, column, vector, recall.nprobes).limit(num + ALIKE)
        found = search.select([*self._shown, "hash", "_distance"]).to_arrow()
        others = found.filter(pa.compute.not_equal(found["hash"], query.hash))
        return others if len(others) >= num else None

    def _by_all_rows(self, query: "_Query", levels: tuple[int, ...], num: int, condition: str) -> pa.Table:
        """Compare all rows that meet a condition. By one level LanceDB does it; by several they are read for it."""
        if len(levels) == 1:
            column = level_column(levels[0])
            search = self.table.search(query.codes[levels[0] - 1], vector_column_name=column).bypass_vector_index()
            return search.where(condition).limit(num).select([*self._shown, "_distance"]).to_arrow()
        far, chosen = np.zeros(0), np.zeros(0, np.uint64)
        for batch in scan(self.table, [level_column(level) for level in levels], condition):
            far = np.concatenate([far, distances(self._codes_in(batch), query.codes, self.spread, levels)])
            chosen = np.concatenate([chosen, batch["_rowid"].to_numpy()])
            nearest_rows = np.argsort(far, kind="stable")[:num]
            far, chosen = far[nearest_rows], chosen[nearest_rows]
        return self.table.take_row_ids(chosen.tolist()).select(self._shown).to_arrow()

    @property
    def _shown(self) -> list[str]:
        """The columns of what is found: what is known of it, its codes, and its picture if there is one."""
        codes = [name for name in self.table.schema.names if re.fullmatch(r"level\d+", name)]
        return [*self.columns, *codes, *[PICTURE] * self.has_pictures]

    def _codes_in(self, found: Any) -> list[np.ndarray]:
        """The codes of each level in a table or batch: float32 (n, code size); (n, 0) of a level that is not there."""
        names = [level_column(level) for level in range(1, len(self.spread) + 1)]
        there = found.schema.names
        return [vectors(found[name]) if name in there else np.zeros((len(found), 0), np.float32) for name in names]

    def _draw(self, found: pa.Table) -> canvas.Pictures:
        """Draw what is found as the model sees it, from its codes."""
        return rows.draw(self.run, self.run.decode(self._codes_in(found)))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Query:
    """The image whose neighbours are searched."""

    codes: Sequence[np.ndarray]
    picture: canvas.Picture
    hash: int
    name: tuple[str, str]  # of the source, and in it


def _is(kind: Callable[[Path], bool], name: str | Path) -> bool:
    """Whether there is a file or folder of a name; a name may be longer than the system's."""
    try:
        return kind(Path(name))
    except OSError:
        return False


def _check_regular(path: Path) -> None:
    """Refuse links, which may lead anywhere on this machine, and pipes, on which LanceDB would wait for ever."""
    for file in path.rglob("*"):
        if file.is_symlink() or (file.exists() and not file.is_file() and not file.is_dir()):
            raise SearchError(f"{file} is a link or no regular file; make the index {path} again elsewhere")


# Making an index -----------------------------------------------------------------------------------------------------


def check_new(path: str | Path) -> Any | None:
    """Refuse a place where something is, unless it is an unfinished index: then return its table."""
    try:
        table = table_at(path, TABLE)
        if table is not None and any(not each.adds for each in State.of(table.schema).unfinished):
            return table
    except (RuntimeError, OSError, ValueError) as error:
        if isinstance(error, MissingExtraError | WriteError):
            raise
        raise SearchError(f"{path} cannot be opened ({why(error)}); choose another place (--out, out=)") from error
    there = isinstance(path, Path) and path.exists() and (not path.is_dir() or any(path.iterdir()))
    if table is not None or there:
        advice = "it is no index" if table is None else "add to it (--add, Index.add)"
        raise SearchError(f"{path} exists already: {advice}, or choose another place (--out, out=)")
    return None


def _with(schema: pa.Schema, state: State) -> pa.Schema:
    """A schema whose column `hash` has the state in its metadata."""
    number = schema.get_field_index(COLUMN)
    return schema.set(number, schema.field(number).with_metadata({KEY: state.as_json()}))


def _addition(run: Run, contents: Contents, path: str | Path, command: str | None, *, adds: bool) -> Unfinished:
    images = contents.form
    words = ["vlae index", quoted(run.path), quoted(images.source), f"--out {quoted(path)}", "--add" if adds else ""]
    words += [] if images.split == "all" else [f"--split {images.split}"]
    if contents.stream is not None:
        words += [] if is_streamed(contents.source) else ["--stream"]
        own = {name: getattr(contents.stream.settings, name) for name in ("layout", "key", "id")}
        words += [f"--{name} {quoted(value)}" for name, value in own.items() if value]
    return Unfinished(
        source=printable(images.source),
        split=images.split,
        num=contents.num,
        adds=adds,
        command=command or printable(" ".join(word for word in words if word)),
        fingerprint=contents.fingerprint,
    )
