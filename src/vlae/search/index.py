"""Search by level: an index of images with one vector column per level, and their nearest neighbours by each level.

An index is a folder with one LanceDB table, `images`. `rows.py` describes its columns. The table's metadata hold the
identity of the run, and the root mean square distance between two images by each level.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.progress import track

from vlae.atomic import beside, locked, unfinished, writing
from vlae.data.content import content_hash
from vlae.data.depths import in_bytes
from vlae.data.images import Images
from vlae.data.source import Source
from vlae.figures import canvas
from vlae.models.inference import check_values
from vlae.names import is_utf8, printable
from vlae.runs.run import Run
from vlae.search import rows
from vlae.search.distances import distances
from vlae.search.neighbours import Neighbours, decode_png
from vlae.search.rows import ALL, RUN, SPREAD, SearchError
from vlae.shapes import is_image, level_column

FOLDER = "index"  # the default folder, inside the run's folder
TABLE = "images"
BATCH = 500  # images encoded at a time
CHUNK = 20  # batches written at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """Images by the codes of one run, on disk.

    Attributes:
        run: the run that encoded the images.
        path: the folder of the index, a LanceDB database.
        table: its table, as LanceDB opens it.
        spread: for each level, the root mean square distance between two images, which is its unit of distance.
    """

    run: Run
    path: Path
    table: Any = field(repr=False)
    spread: tuple[float, ...]

    @classmethod
    def build(
        cls,
        run: Run,
        source: Source,
        out: str | Path | None = None,
        *,
        progress: bool = False,
    ) -> Self:
        """Build a new index. Its folder appears when the whole index is finished.

        Args:
            run: a run of any model that has an encoder.
            source: a path, a name ("streets", "hf:NAME", "USER/NAME"), `Images`, or an array: (N, H, W), (N, H, W, C)
                or (N, C, H, W) images, uint8 or floats in [0, 1], or (N, D) vectors. Pictures of another size are
                cropped and resized like the training images.
            out: the folder of the index, which must be new or empty. None: index in the run's folder.
            progress: whether to show a progress bar, and to print which pictures cannot be read.

        Raises:
            SearchError: if LanceDB is not installed, or if `out` is not empty.
            NotDefinedError: if the model has no encoder.
            DataError: if the source cannot be read.
            WriteError: if the folder cannot be written.
        """
        lancedb = _lancedb()
        path = run.outputs / FOLDER if out is None else Path(out)
        _check_new(path)
        images = _images(run, source, progress)
        schema = rows.schema(run, images)
        with _unfinished(path) as folder:
            _check_new(path)
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
        """Open an index.

        Args:
            run: the run that made it.
            path: the folder of the index. None: index in the run's folder.

        Raises:
            FileNotFoundError: if there is no index.
            SearchError: if another run made it, or if it is damaged, or if LanceDB is not installed.
        """
        lancedb = _lancedb()
        path = run.outputs / FOLDER if path is None else Path(path)
        if not _is_index(path):
            raise FileNotFoundError(f"there is no index {path}; make one with: vlae index {run.path} DATA --out {path}")
        _check_regular(path)
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
        """The columns that a condition can use: name, source, label and factors."""
        return [name for name in self.table.schema.names if not rows.is_own(name) or name in ("name", "source")]

    def add(self, source: Source, *, progress: bool = False) -> int:
        """Add images to the index, all of them or none. Images that it already has are left out.

        Two images are the same if they have the same name and the same pixels. A property without a column in the index
        is left out.

        Args:
            source: a path, a name ("streets", "hf:NAME", "USER/NAME"), `Images`, or an array: (N, H, W), (N, H, W, C)
                or (N, C, H, W) images, uint8 or floats in [0, 1], or (N, D) vectors. Pictures of another size are
                cropped and resized like the training images.
            progress: whether to show a progress bar, and to print what cannot be read or is left out.

        Returns:
            The number of images that were added.

        Raises:
            SearchError: if a column does not fit the index.
            DataError: if the source cannot be read.
            WriteError: if the folder cannot be written, or another process writes it.
        """
        images = _images(self.run, source, progress)
        if progress and (missing := sorted(set(rows.source_columns(images)) - set(self.table.schema.names))):
            print(f"left out, as the index has no such column: {printable(', '.join(missing))}", file=sys.stderr)
        with _unfinished(self.path) as folder:
            return self._add(images, folder, progress)

    def _add(self, images: Images, folder: Path, progress: bool) -> int:
        """Write the images that are new to a table of their own, and then add it in one step: all of them or none."""
        self.table.checkout_latest()  # another process may have added some
        present = self.table.search().select(["name", "hash"]).to_arrow()
        pairs = set(zip(present["name"].to_pylist(), present["hash"].to_pylist(), strict=True))
        names = images.names or ()
        new = [i for i in range(len(images)) if (names[i], content_hash(images.values[i])) not in pairs]
        if not new:
            return 0
        part = _lancedb().connect(folder).create_table(TABLE, schema=self.table.schema)
        _fill(part, self.run, images, np.array(new), progress)
        self.table.add(part.search().to_batches())
        return len(new)

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
            raise SearchError("nothing is found " + (f"with {where}" if where else "but the one asked about"))
        return Neighbours(query=query.picture, by=by, query_name=query.name)

    def _levels(self, levels: int | Sequence[int] | None) -> tuple[int, ...]:
        available = self.run.recipe.levels_with_code
        chosen = available if levels is None else [levels] if isinstance(levels, int) else list(levels)
        if wrong := [level for level in chosen if level not in available]:
            raise SearchError(f"there is no level {wrong[0]} with a code; choose of {', '.join(map(str, available))}")
        if not chosen or len(set(chosen)) < len(chosen):
            raise SearchError(f"the levels are {', '.join(map(str, chosen)) or 'none'}; give each at most once")
        return tuple(chosen)

    def _query(self, image: Source) -> "_Query":
        if isinstance(image, str | Path) and not Path(image).exists():
            return self._named(str(image))
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
        search = (
            self.table.search().where(f"name = '{quoted}'").limit(2).select([*columns, "picture", "hash", "source"])
        )
        rows = search.to_arrow().to_pylist()
        if not rows:
            raise FileNotFoundError(f"there is no file {name}, and nothing of this name in {self.path}")
        if len(rows) > 1:
            raise SearchError(f"several rows of {self.path} are called {name}; give a file")
        codes = [np.array(rows[0].get(level_column(level), []), np.float32) for level in range(1, len(self.spread) + 1)]
        return _Query(
            codes=codes, picture=decode_png(rows[0]["picture"]), hash=rows[0]["hash"], name=(rows[0]["source"], name)
        )

    def _check(self, where: str) -> None:
        """Check a condition by letting LanceDB use it."""
        try:
            self.table.count_rows(where)
            if self.table.count_rows(f"({where}) AND FALSE"):  # LanceDB ignores text after a complete condition
                raise ValueError("its parentheses do not match")
        except (RuntimeError, ValueError) as error:
            columns = ", ".join(self.columns)
            raise SearchError(
                f"the condition {where!r} cannot be used ({_reason(error)}); the columns are {columns}"
            ) from error

    def _nearest(self, codes: Sequence[np.ndarray], levels: tuple[int, ...], num: int, condition: str) -> pa.Table:
        columns = [level_column(level) for level in levels]
        if len(levels) == 1:
            search = self.table.search(codes[levels[0] - 1], vector_column_name=columns[0])
        else:
            search = self.table.search(self._query_vector(codes, levels), vector_column_name=ALL).distance_type("dot")
        search = search.where(condition).limit(num).select([*self.columns, *columns, "picture", "_distance"])
        try:
            nearest = search.to_arrow()
        except (RuntimeError, OSError) as error:
            raise SearchError(f"the index {self.path} is damaged ({_reason(error)}); make it again") from error
        found = [np.zeros((len(nearest), 0), np.float32)] * len(codes)
        for level, column in zip(levels, columns, strict=True):
            found[level - 1] = np.array(nearest[column].to_pylist(), np.float32).reshape(-1, codes[level - 1].shape[-1])
        far = distances(found, codes, self.spread, levels)
        nearest = nearest.drop_columns([*columns, "_distance"]).add_column(0, "distance", pa.array(far))
        return nearest.take(np.argsort(far, kind="stable"))

    def _query_vector(self, codes: Sequence[np.ndarray], levels: tuple[int, ...]) -> np.ndarray:
        """Return the vector whose product with the column `levels` is larger for nearer images.

        Σ_l |q_l - z_l|² / s_l² = Σ_l |q_l|² / s_l² - (Σ_l 2 q_l · z_l / s_l² - Σ_l |z_l|² / s_l²), l over the levels.
        """
        weights = [1 / spread**2 if level in levels else 0.0 for level, spread in enumerate(self.spread, start=1)]
        products = [2 * weight * code for weight, code in zip(weights, codes, strict=True)]
        return np.concatenate([*products, np.negative(weights)]).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Query:
    """The image whose neighbours are searched."""

    codes: Sequence[np.ndarray]
    picture: canvas.Picture
    hash: int
    name: tuple[str, str]  # of the source, and in it


def _check_regular(path: Path) -> None:
    """Refuse links, which may lead anywhere on this machine, and pipes, on which LanceDB would wait for ever."""
    for file in path.rglob("*"):
        if file.is_symlink() or (file.exists() and not file.is_file() and not file.is_dir()):
            raise SearchError(f"{file} is a link or no regular file; make the index {path} again elsewhere")


# Making an index -----------------------------------------------------------------------------------------------------


def _lancedb() -> Any:
    try:
        import lancedb
    except ImportError as error:
        raise SearchError('search needs LanceDB; install it with: pip install "vlae[search]"') from error
    return lancedb


def _is_index(path: Path) -> bool:
    return (path / f"{TABLE}.lance").is_dir()


def _check_new(path: Path) -> None:
    if not is_utf8(path.resolve()):
        raise SearchError(f"{path}: LanceDB takes no name that is not UTF-8; choose another place (--out)")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        advice = "add to it (--add)" if _is_index(path) else "it is no index"
        raise SearchError(f"{path} exists already: {advice}, or choose another place (--out)")


def _images(run: Run, source: Source, progress: bool) -> Images:
    """Read the images of a source, and name those without a name by their number."""
    images = source if isinstance(source, Images) and source.shape == run.recipe.shape else None
    images = images or run.read(source, progress=progress)
    if images.names is not None:
        return images
    part = "" if images.split == "all" else f"{images.split}/"
    return replace(images, names=tuple(f"{part}{i}" for i in range(len(images))))


def _fill(table: Any, run: Run, images: Images, numbers: np.ndarray, progress: bool) -> None:
    """Encode some of the images and write them to a table, several batches at a time."""
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
    """Make a temporary folder beside the index, and remove it afterwards; meanwhile nobody else writes the index."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = locked(beside(path, "lock"), f"writes the index {path}", "choose another place")
        with lock, writing(path), unfinished(path) as folder:
            yield folder
    except RuntimeError as error:
        if not str(error).startswith("lance"):
            raise
        raise SearchError(f"{path} cannot be written ({_reason(error)}); make room, or choose another place") from error


def _reason(error: Exception) -> str:
    """Return LanceDB's message without the place in its source code."""
    text = re.split(r", /|, [\w./-]+\.rs:", " ".join(str(error).split()))[0]
    return text.removeprefix("Invalid input, ").removeprefix("Error resolving ").rstrip(".")
