"""The rows of an index of images: its columns and their values.

name, source          file name relative to the source's folder, or number of the row; and the name of the source
label, factors …      if the source has them; the label is the name of the class if classes have names
level1, level2 …      the code of each level: the mean of its posterior
all_levels            all codes, each in units of its level's spread, for search by all levels together
picture, hash         the picture at the run's size as PNG, unless it is left out; and a number made from its pixels
"""

import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from vlae.data.images import Images
from vlae.figures import canvas
from vlae.figures.pictures import to_pictures_like
from vlae.models.inference import as_input
from vlae.names import printable
from vlae.runs.run import Run
from vlae.search.distances import spread_of
from vlae.shapes import is_image, level_column

ALL, PICTURE = "all_levels", "picture"
RUN, SPREAD, SHARD = b"vlae_run", b"vlae_spread", b"vlae_shard"  # in the table's metadata
NUM_SPREAD = 1_000  # images by which the spread of each level is measured


class SearchError(ValueError):
    """An index cannot be built, opened or searched. The message names the input and what to do."""


def source_columns(images: Images) -> dict[str, pa.Array]:
    """Return the columns of labels and factors that a source has, by name.

    Args:
        images: the images of the source.

    Returns:
        For each column, an Arrow array of numbers or names, null where one is unknown. Columns of which nothing is
        known are left out.

    Raises:
        SearchError: if two factors become one column.
    """
    columns: dict[str, Any] = {"label": images.label_of_each() or []}
    factor_of: dict[str, str] = {}
    for name, factor in images.factors.items():
        column = name.replace(".", "_")
        column = f"factor_{column}" if is_own(column) or column == "label" else column
        if column in factor_of:
            both = f"{factor_of[column]} and {name}"
            raise SearchError(f"{images.source}: {both} are one column of an index, {column}; rename one of them")
        factor_of[column] = name
        columns[column] = _as_column(factor)
    arrays = {name: pa.array(values, from_pandas=True) for name, values in columns.items()}
    return {name: array for name, array in arrays.items() if not pa.types.is_null(array.type)}


def _as_column(factor: Any) -> Any:
    """A factor as Arrow takes it: an array, or a list of rows."""
    values = np.asarray(factor)
    return values if values.ndim == 1 else list(values)


def is_own(column: str) -> bool:
    """Tell whether a name is a column of the index itself, not of labels or factors.

    Args:
        column: the name.
    """
    return bool(re.fullmatch(rf"name|source|hash|{PICTURE}|levels|{ALL}|level\d+|_.*", column))


def schema(run: Run, images: Images, *, pictures: bool = True, record: Mapping[str, Any] | None = None) -> pa.Schema:
    """Return the schema of an index of these images. Its metadata hold the run's identity and each level's spread.

    Args:
        run: the run that encodes the images.
        images: the images, of the run's shape, at least one.
        pictures: whether the index has the pictures.
        record: which shard of a source the images are. None: they are all of it.
    """
    sizes = run.recipe.code_sizes
    fields = [("name", pa.string()), ("source", pa.string())]
    fields += [(name, values.type) for name, values in source_columns(images).items()]
    fields += [(level_column(level), pa.list_(pa.float32(), sizes[level - 1])) for level in run.recipe.levels_with_code]
    fields += [(ALL, pa.list_(pa.float32(), sum(sizes)))]
    fields += [(PICTURE, pa.binary())] * pictures + [("hash", pa.int64())]
    about = {RUN: run.identity.encode(), SPREAD: json.dumps(_spread(run, images)).encode()}
    about |= {} if record is None else {SHARD: json.dumps(record).encode()}
    return pa.schema(fields, metadata=about)


def record_in(schema: pa.Schema) -> Any:
    """Read from an index's metadata which shard it is; None if it is no shard.

    Args:
        schema: the columns of the index.

    Raises:
        ValueError: if that is damaged.
    """
    return json.loads((schema.metadata or {}).get(SHARD, b"null"))


def _spread(run: Run, images: Images) -> list[float]:
    """Return the root mean square distance of two images by each level."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(images))[:NUM_SPREAD])
    return [spread_of(code) for code in run.encode(images.take(chosen))]


def batch(run: Run, images: Images, hashes: np.ndarray, schema: pa.Schema) -> pa.RecordBatch:
    """Encode images, and return their rows.

    Args:
        run: the run that encodes them.
        images: the images, of the run's shape, each with a name.
        hashes: a number made from the pixels of each, int64 (n,).
        schema: the columns of the index.

    Raises:
        SearchError: if a label or factor does not fit its column.
    """
    codes = run.encode(images)
    columns: dict[str, Any] = {
        "name": images.names,
        "source": [printable(images.source)] * len(images),
        **{name: values.to_pylist() for name, values in source_columns(images).items()},
        **{level_column(level): code for level, code in enumerate(codes, start=1)},
        ALL: in_spreads(codes, spread_in(schema)),
        "hash": hashes,
    }
    if PICTURE in schema.names:
        columns[PICTURE] = [png(run, picture) for picture in draw(run, images.values)]
    return pa.RecordBatch.from_arrays([_column(columns, field, images) for field in schema], schema=schema)


def check(images: Images, schema: pa.Schema) -> None:
    """Check that labels and factors fit the columns of an index.

    Args:
        images: the images.
        schema: the columns of the index.

    Raises:
        SearchError: if one does not.
    """
    columns = source_columns(images)
    for field in schema:
        if field.name in columns:
            _column(columns, field, images)


def spread_in(schema: pa.Schema) -> tuple[float, ...]:
    """Read each level's spread from an index's metadata; none if they are not there.

    Args:
        schema: the columns of the index.

    Raises:
        ValueError: if they are damaged.
    """
    return tuple(json.loads((schema.metadata or {}).get(SPREAD, b"[]")))


def in_spreads(codes: Sequence[np.ndarray], spreads: Sequence[float]) -> np.ndarray:
    """Put the codes of all levels side by side, each in units of its level's spread: float32 (n, sum of sizes).

    Args:
        codes: of each level, (n, code size).
        spreads: of each level.
    """
    return np.concatenate([code / np.float32(spread) for code, spread in zip(codes, spreads, strict=True)], axis=1)


def row_bytes(run: Run, images: Images, *, pictures: bool = True) -> tuple[int, int]:
    """Return how many bytes of disk a row takes, about; and of these, how many are its picture's.

    Args:
        run: the run that encodes the images.
        images: the images, of the run's shape.
        pictures: whether the index has the pictures.
    """
    some = images.take(np.linspace(0, len(images) - 1, min(64, len(images))).astype(int))
    picture = sum(len(png(run, each)) for each in draw(run, some.values)) // len(some) if pictures else 0
    known = sum(values.nbytes for values in source_columns(some).values()) // len(some)
    name = sum(len(name.encode(errors="replace")) for name in some.names or ()) // len(some)
    vectors = 2 * 2 * 4 * sum(run.recipe.code_sizes)  # by level and by all; in the rows and in their partitions
    return picture + known + name + vectors + 16, picture


def _column(columns: Mapping[str, Any], field: Any, images: Images) -> pa.Array:
    """Convert a column to the type it has in the index. A column that the source lacks has no values."""
    if field.name not in columns:
        return pa.nulls(len(images), field.type)
    try:
        values = columns[field.name]
        if isinstance(values, np.ndarray) and values.ndim == 2:  # codes
            flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
            return pa.FixedSizeListArray.from_arrays(flat, values.shape[1]).cast(field.type)
        return pa.array(values.to_pylist() if isinstance(values, pa.Array) else values, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise SearchError(
            f"{images.source}: its {field.name} does not fit the index, where it is {field.type}; make another index"
        ) from error


def draw(run: Run, values: np.ndarray) -> canvas.Pictures:
    """Draw data as pictures. Vectors become grids of cells, coloured relative to the run's examples.

    Args:
        run: the run that the data belong to.
        values: uint8 (n, C, H, W), or floats in [0, 1]; or vectors (n, D).

    Returns:
        uint8 (n, height, width, 3).
    """
    return to_pictures_like(as_input(values), run.recipe.shape, run.examples, opacity=run.model.opacity)


def png(run: Run, picture: canvas.Picture) -> bytes:
    """Encode a picture as PNG.

    Args:
        run: the run whose data it shows; pictures of one channel are kept as grey.
        picture: uint8 (height, width, 3).
    """
    image, file = Image.fromarray(picture), io.BytesIO()
    (image.convert("L") if run.recipe.shape[0] == 1 and is_image(run.recipe.shape) else image).save(file, "PNG")
    return file.getvalue()
