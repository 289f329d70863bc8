"""Search by level: an index of images with one vector column per level, and the images that are nearest by a level.

An index is a folder with one LanceDB table, `images`, whose columns `entries.py` describes.
The table's metadata say which run the codes are of, and how far apart two images are by each level.
"""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.progress import track

from vlae.atomic import writing
from vlae.data.images import Images
from vlae.figures import canvas
from vlae.runs.run import Run
from vlae.search import rows
from vlae.search.neighbours import Neighbours, decoded
from vlae.search.rows import ALL, RUN, SPREAD, SearchError
from vlae.shapes import is_image

FOLDER = "index"  # in the run's folder, where nothing else is said
TABLE = "images"
BATCH = 500  # images encoded at a time
CHUNK = 20  # batches written at a time
TWO_DAYS = 2 * 24 * 3600  # seconds, after which what a kill left half-made is removed


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """Images by the codes of one run, on disk.

    Attributes:
        run: whose codes these are.
        path: the index's folder, a LanceDB database.
        table: its one table, as LanceDB opens it.
        spread: of every level, the root mean square distance between two images: the unit of its distances.
    """

    run: Run
    path: Path
    table: Any = field(repr=False)
    spread: tuple[float, ...]

    @classmethod
    def build(
        cls,
        run: Run,
        source: str | Path | np.ndarray | Images,
        out: str | Path | None = None,
        *,
        progress: bool = False,
    ) -> Self:
        """Makes a new index; it is there only when all of it is made.

        Args:
            run: of any model.
            source: as for `Run.read`, which reads it, or what that gave.
            out: the index's folder, a new one; None: index in the run's folder.
            progress: show a bar, and list what cannot be read.

        Raises:
            SearchError: if LanceDB is not installed, or there is something at `out` already.
            DataError: if the source cannot be read.
            WriteError: if the folder cannot be written.
        """
        lancedb = _lancedb()
        path = run.outputs / FOLDER if out is None else Path(out)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            advice = "add to it (--add)" if _is_index(path) else "it is no index"
            raise SearchError(f"{path} exists already: {advice}, or choose another place (--out)")
        images = _images(run, source, progress)
        schema = rows.schema(run, images)
        with _unfinished(path) as folder:
            _fill(
                lancedb.connect(folder).create_table(TABLE, schema=schema),
                run,
                images,
                np.arange(len(images)),
                progress,
            )
            folder.replace(path)
        return cls.open(run, path)

    @classmethod
    def open(cls, run: Run, path: str | Path | None = None) -> Self:
        """The index that was made before.

        Args:
            run: the one it was made by.
            path: the index's folder; None: index in the run's folder.

        Raises:
            FileNotFoundError: if there is no index.
            SearchError: if it was made by another run, or is damaged, or LanceDB is not installed.
        """
        lancedb = _lancedb()
        path = run.outputs / FOLDER if path is None else Path(path)
        if not _is_index(path):
            raise FileNotFoundError(f"there is no index {path}; make one with: vlae index {run.path} DATA --out {path}")
        try:
            table = lancedb.connect(path).open_table(TABLE)
            about = table.schema.metadata or {}
            owner, spread = about.get(RUN, b"").decode(), tuple(json.loads(about.get(SPREAD, b"[]")))
        except (RuntimeError, OSError, ValueError) as error:
            raise SearchError(f"the index {path} is damaged ({_reason(error)}); make it again elsewhere") from error
        if owner != run.identity:
            raise SearchError(
                f"the index {path} was made by another run (weights {owner[:12] or 'unknown'}, these are "
                f"{run.identity[:12]}); make one for {run.path} with: vlae index {run.path} DATA --out ANOTHER"
            )
        return cls(run=run, path=path, table=table, spread=spread)

    def __len__(self) -> int:
        return int(self.table.count_rows())

    @property
    def columns(self) -> list[str]:
        """What is known of each image, and can be filtered by: name, source, label and factors."""
        return [name for name in self.table.schema.names if not rows.is_own(name) or name in ("name", "source")]

    def add(self, source: str | Path | np.ndarray | Images, *, progress: bool = False) -> int:
        """Adds the images that are not yet there, all or none; returns how many.

        An image is there if one of the same name and the same pixels is. What the index has no column for is left out.

        Args:
            source: as for `build`.
            progress: show a bar, and say what cannot be read or is left out.

        Raises:
            SearchError: if a column does not fit the index.
            DataError: if the source cannot be read.
            WriteError: if the folder cannot be written.
        """
        images = _images(self.run, source, progress)
        if progress and (lost := sorted(set(rows.known_columns(images)) - set(self.table.schema.names))):
            print(f"left out, as the index has no such column: {', '.join(lost)}", file=sys.stderr)
        there = self.table.search().select(["name", "hash"]).to_arrow()
        pairs = set(zip(there["name"].to_pylist(), there["hash"].to_pylist(), strict=True))
        names = images.names or ()
        new = [i for i in range(len(images)) if (names[i], rows.content_hash(images.values[i])) not in pairs]
        if not new:
            return 0
        with _unfinished(self.path) as folder:
            part = _lancedb().connect(folder).create_table(TABLE, schema=self.table.schema)
            _fill(part, self.run, images, np.array(new), progress)
            self.table.add(part.search().to_batches())  # one step, so that all are there or none
        return len(new)

    def similar(
        self,
        image: str | Path | np.ndarray,
        *,
        levels: int | Sequence[int] | None = None,
        num: int = 10,
        where: str | None = None,
    ) -> Neighbours:
        """The images nearest to one by each of some levels, and by all of these together.

        By one level: the Euclidean distance of its codes, over the level's spread, which is the root mean square
        distance of two images of the index. By several: the root mean square of these. So 1 is as far as two images
        taken at random. Images whose pixels are those of the one asked about are left out.

        Args:
            image: a picture file, the name of an image in the index, or an array of one datum.
            levels: 1 is nearest the pixels; None: every level that has a code.
            num: how many neighbours, at most.
            where: an SQL condition on `columns`, as "label = 3 AND slant > 0.2".

        Raises:
            SearchError: if there is no such level or column, or no image to find.
            FileNotFoundError: if there is no such picture.
        """
        chosen = self._levels(levels)
        if num < 1:
            raise SearchError(f"num is {num}; give a whole number from 1 up")
        query = self._query(image)
        condition = f"hash != {query.hash}"
        if where is not None:
            self._check(where)
            condition = f"({where}) AND {condition}"
        groups = [(level,) for level in chosen] + ([chosen] if len(chosen) > 1 else [])
        by = {group: self._nearest(query.codes, group, num, condition) for group in groups}
        if not len(by[groups[0]]):
            raise SearchError("no image is found " + (f"with {where}" if where else "but the one asked about"))
        return Neighbours(query=query.picture, by=by)

    def _levels(self, levels: int | Sequence[int] | None) -> tuple[int, ...]:
        known = self.run.recipe.levels_with_code
        asked = known if levels is None else [levels] if isinstance(levels, int) else list(levels)
        if wrong := [level for level in asked if level not in known]:
            raise SearchError(f"there is no level {wrong[0]} with a code; choose of {', '.join(map(str, known))}")
        if not asked or len(set(asked)) < len(asked):
            raise SearchError(f"the levels are {', '.join(map(str, asked)) or 'none'}; give each at most once")
        return tuple(asked)

    def _query(self, image: str | Path | np.ndarray) -> "_Query":
        if isinstance(image, str | Path) and not Path(image).exists():
            return self._named(str(image))
        values = image if isinstance(image, np.ndarray) else self.run.read(image).values
        values = values[None] if values.shape == self.run.recipe.shape else values
        if len(values) > 1:
            raise SearchError(f"{len(values)} data are given; one is asked about: give one")
        codes = self.run.encode(values)
        if is_image(self.run.recipe.shape) and values.dtype != np.uint8:
            values = (values * 255).round().astype(np.uint8)
        return _Query(
            codes=[code[0] for code in codes],
            picture=rows.drawn(self.run, values)[0],
            hash=rows.content_hash(values[0]),
        )

    def _named(self, name: str) -> "_Query":
        """An image of the index, by its name."""
        quoted = name.replace("'", "''")
        columns = [name for name in self.table.schema.names if re.fullmatch(r"level\d+", name)]
        found = self.table.search().where(f"name = '{quoted}'").limit(2).select([*columns, "picture", "hash"])
        rows = found.to_arrow().to_pylist()
        if not rows:
            raise FileNotFoundError(f"there is no picture file {name}, and no image of this name in {self.path}")
        if len(rows) > 1:
            raise SearchError(f"several images of {self.path} are called {name}; give a picture file")
        codes = [np.array(rows[0].get(f"level{level}", []), np.float32) for level in range(1, len(self.spread) + 1)]
        return _Query(codes=codes, picture=decoded(rows[0]["picture"]), hash=rows[0]["hash"])

    def _check(self, where: str) -> None:
        """Refuses a condition that LanceDB does, in its words."""
        try:
            self.table.count_rows(where)
            if self.table.count_rows(f"({where}) AND FALSE"):  # LanceDB passes over what follows a whole condition
                raise ValueError("its parentheses do not match")
        except (RuntimeError, ValueError) as error:
            columns = ", ".join(self.columns)
            raise SearchError(
                f"the condition {where!r} cannot be used ({_reason(error)}); the columns are {columns}"
            ) from error

    def _nearest(self, codes: Sequence[np.ndarray], levels: tuple[int, ...], num: int, condition: str) -> pa.Table:
        columns = [f"level{level}" for level in levels]
        if len(levels) == 1:
            search = self.table.search(codes[levels[0] - 1], vector_column_name=columns[0])
        else:
            search = self.table.search(self._towards(codes, levels), vector_column_name=ALL).distance_type("dot")
        search = search.where(condition).limit(num).select([*self.columns, *columns, "picture", "_distance"])
        try:
            found = search.to_arrow()
        except (RuntimeError, OSError) as error:
            raise SearchError(f"the index {self.path} is damaged ({_reason(error)}); make it again") from error
        squares = np.zeros(len(found))
        for level, column in zip(levels, columns, strict=True):
            there = np.array(found[column].to_pylist(), np.float32).reshape(len(found), len(codes[level - 1]))
            squares += ((there - codes[level - 1]) ** 2).sum(1) / self.spread[level - 1] ** 2
        distances = np.sqrt(squares / len(levels))
        found = found.drop_columns([*columns, "_distance"]).add_column(0, "distance", pa.array(distances))
        return found.take(np.argsort(distances, kind="stable"))

    def _towards(self, codes: Sequence[np.ndarray], levels: tuple[int, ...]) -> np.ndarray:
        """The vector whose product with the column `levels` is the greater, the nearer an image is by these levels.

        Σ_l |q_l - z_l|² / s_l² = Σ_l |q_l|² / s_l² - (Σ_l 2 q_l · z_l / s_l² - Σ_l |z_l|² / s_l²), l over the levels.
        """
        weights = [1 / spread**2 if level in levels else 0.0 for level, spread in enumerate(self.spread, start=1)]
        products = [2 * weight * code for weight, code in zip(weights, codes, strict=True)]
        return np.concatenate([*products, np.negative(weights)]).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Query:
    """The image asked about."""

    codes: Sequence[np.ndarray]
    picture: canvas.Picture
    hash: int


# Making an index -----------------------------------------------------------------------------------------------------


def _lancedb() -> Any:
    try:
        import lancedb
    except ImportError as error:
        raise SearchError('search needs LanceDB; install it with: pip install "vlae[search]"') from error
    return lancedb


def _is_index(path: Path) -> bool:
    return (path / f"{TABLE}.lance").is_dir()


def _images(run: Run, source: str | Path | np.ndarray | Images, progress: bool) -> Images:
    """The images of a source, each with a name."""
    images = source if isinstance(source, Images) and source.shape == run.recipe.shape else None
    images = images or run.read(source, progress=progress)
    if images.names is not None:
        return images
    part = "" if images.split == "all" else f"{images.split}/"
    return replace(images, names=tuple(f"{part}{i}" for i in range(len(images))))


def _fill(table: Any, run: Run, images: Images, numbers: np.ndarray, progress: bool) -> None:
    """Encodes some of the images and writes them into a table, some batches at a time."""
    console = Console(stderr=True)
    starts = range(0, len(numbers), BATCH)
    batches: list[pa.RecordBatch] = []
    for start in track(starts, "Encoding", console=console, disable=not (progress and console.is_terminal)):
        batches.append(rows.batch(run, images.take(numbers[start : start + BATCH]), table.schema))
        if len(batches) == CHUNK or start == starts[-1]:
            table.add(pa.Table.from_batches(batches))
            batches = []


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A folder beside the index to make something in, removed with what is still in it."""
    folder = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.[0-9]*"):
            if time.time() - left.stat().st_mtime > TWO_DAYS:
                shutil.rmtree(left, ignore_errors=True)
    try:
        with writing(path):
            yield folder
    except RuntimeError as error:
        if not str(error).startswith("lance"):
            raise
        raise SearchError(f"{path} cannot be written ({_reason(error)}); make room, or choose another place") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reason(error: Exception) -> str:
    """What LanceDB says, without where in its sources."""
    text = re.split(r", /|, [\w./-]+\.rs:", " ".join(str(error).split()))[0]
    return text.removeprefix("Invalid input, ").removeprefix("Error resolving ").rstrip(".")
