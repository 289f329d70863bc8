"""The rows of an index of images: its columns, and how they are filled.

name, source          file name relative to the source's folder, or number of the row; and the source as it was given
label, factors …      where the source knows them; the label is the class's name where classes have names
level1, level2 …      the code of each level: the mean of its posterior
levels                all codes, and the squared length of each, for search by several levels at once
picture, hash         the picture at the run's size as PNG, and a number made from its pixels
"""

import hashlib
import io
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from vlae.data.images import Images
from vlae.figures import canvas
from vlae.figures.pictures import to_pictures
from vlae.models.inference import as_input
from vlae.runs.run import Run
from vlae.shapes import is_image

ALL = "levels"
RUN, SPREAD = b"vlae_run", b"vlae_spread"  # in the table's metadata
NUM_SPREAD = 1_000  # images by which the spread of each level is measured


class SearchError(ValueError):
    """An index that cannot be made, opened or asked; says what was given and what to do."""


def known_columns(images: Images) -> dict[str, Any]:
    """What a source knows of its images, by the name of the column."""
    known: dict[str, Any] = {}
    if images.labels is not None:
        names = images.label_names
        are_numbers = all(name == str(i) for i, name in enumerate(names))
        known["label"] = images.labels if are_numbers else [names[label] for label in images.labels]
    for name, factor in images.factors.items():
        column = name.replace(".", "_")
        known[f"factor_{column}" if is_own(column) or column == "label" else column] = np.asarray(factor)
    return known


def is_own(column: str) -> bool:
    """Whether an index gives this name to a column of its own, not to one that the source knows."""
    return bool(re.fullmatch(rf"name|source|hash|picture|{ALL}|level\d+|_.*", column))


def schema(run: Run, images: Images) -> pa.Schema:
    """The columns that an index of these images has, with the run's identity and the levels' spread as metadata."""
    sizes = run.recipe.code_sizes
    fields = [("name", pa.string()), ("source", pa.string())]
    fields += [(name, pa.array(values[:1]).type) for name, values in known_columns(images).items()]
    fields += [(f"level{level}", pa.list_(pa.float32(), sizes[level - 1])) for level in run.recipe.levels_with_code]
    fields += [(ALL, pa.list_(pa.float32(), sum(sizes) + len(sizes)))]
    fields += [("picture", pa.binary()), ("hash", pa.int64())]
    about = {RUN: run.identity.encode(), SPREAD: json.dumps(_spread(run, images)).encode()}
    return pa.schema(fields, metadata=about)


def _spread(run: Run, images: Images) -> list[float]:
    """The root mean square distance of two images by each level, √2 times the root of its codes' summed variances."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(images))[:NUM_SPREAD])
    spreads = [float(np.sqrt(2 * code.var(0, dtype=np.float64).sum())) for code in run.encode(images.values[chosen])]
    return [spread or 1.0 for spread in spreads]  # of one image alone, or of a level without a code


def batch(run: Run, images: Images, schema: pa.Schema) -> pa.RecordBatch:
    """Images as rows, encoded.

    Raises:
        SearchError: if what is known of them does not fit the columns.
    """
    codes = run.encode(images.values)
    lengths = [(code**2).sum(1, keepdims=True) for code in codes]
    columns: dict[str, Any] = {
        "name": images.names,
        "source": [images.source] * len(images),
        **known_columns(images),
        **{f"level{level}": list(code) for level, code in enumerate(codes, start=1)},
        ALL: list(np.concatenate([*codes, *lengths], axis=1)),
        "picture": [_png(run, picture) for picture in drawn(run, images.values)],
        "hash": [content_hash(value) for value in images.values],
    }
    return pa.RecordBatch.from_arrays([_column(columns, field, images) for field in schema], schema=schema)


def _column(columns: Mapping[str, Any], field: Any, images: Images) -> pa.Array:
    """A column as the index has it; nothing where the source does not know it."""
    if field.name not in columns:
        return pa.nulls(len(images), field.type)
    try:
        return pa.array(columns[field.name], field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise SearchError(
            f"{images.source}: its {field.name} does not fit the index, where it is {field.type}; make another index"
        ) from error


def drawn(run: Run, values: np.ndarray) -> canvas.Pictures:
    """Data as pictures; vectors as maps of cells, in colours by the run's examples."""
    if is_image(run.recipe.shape):
        return to_pictures(as_input(values), run.recipe.shape)
    examples = as_input(run.examples)
    return to_pictures(as_input(values), run.recipe.shape, examples.mean(0), examples.std(0, correction=0))


def _png(run: Run, picture: canvas.Picture) -> bytes:
    image, file = Image.fromarray(picture), io.BytesIO()
    (image.convert("L") if run.recipe.shape[0] == 1 and is_image(run.recipe.shape) else image).save(file, "PNG")
    return file.getvalue()


def content_hash(value: np.ndarray) -> int:
    """64 bits of a datum's content."""
    content = hashlib.blake2b(np.ascontiguousarray(value).data, digest_size=8)
    return int.from_bytes(content.digest(), "big", signed=True)
