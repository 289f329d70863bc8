"""A selection of the collection for other tools: a Parquet table for Embedding Atlas, a data set for FiftyOne."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlae.data.files import as_stored
from vlae.data.picture_files import original_file
from vlae.models.inference import as_input
from vlae.shapes import level_column
from vlae.web.map import place_on_plane
from vlae.web.session import Session

MOST_PICTURES = 5_000
"""A table of more data has no pictures in it."""


def atlas(session: Session, numbers: Sequence[int], tags: Sequence[str], level: int) -> bytes:
    """Write a Parquet file that Embedding Atlas opens: `embedding-atlas FILE --x x --y y --image image`.

    Its columns are name, part, label and tags; x and y, the place by one level's code; the codes of every level; and
    image, the picture as the model sees it, {"bytes": PNG}.

    Args:
        session: the run and its data.
        numbers: the numbers of the data, from 0, at least one.
        tags: the tags of each, as text.
        level: the level of x and y, 1 nearest the pixels.

    Raises:
        ValueError: if there is no such level.
    """
    import pyarrow
    from pyarrow import parquet

    session.studio.size_of(level)
    chosen = np.asarray(numbers, np.int64)
    noise = session.encoding.noise
    points = place_on_plane(noise[level - 1], "pca").points[chosen]
    columns: dict[str, Any] = {**_known(session, numbers), "tags": list(tags), "x": points[:, 0], "y": points[:, 1]}
    for other in session.studio.levels:
        columns[level_column(other)] = list(noise[other - 1][chosen])
    if len(numbers) <= MOST_PICTURES:
        columns["image"] = [{"bytes": _png(session, number)} for number in numbers]
    stream = BytesIO()
    parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()


def fiftyone(session: Session, numbers: Sequence[int], tags: Sequence[Sequence[str]]) -> bytes:
    """Write the samples of a FiftyOne data set as JSON: `fiftyone.Sample.from_dict` takes each.

    Args:
        session: the run and its data.
        numbers: the numbers of the data, from 0.
        tags: the tags of each.

    Raises:
        ValueError: if the source is no folder of pictures: FiftyOne shows files alone.
    """
    folder = as_stored(Path(session.collection.source).expanduser())
    if not folder.is_dir():
        raise ValueError(f"FiftyOne shows files of pictures, and {folder} is no folder of them; export a table")
    known = _known(session, numbers)
    samples = []
    for name, part, label, own in zip(known["name"], known["part"], known["label"], tags, strict=True):
        file = original_file(folder, name) or folder / name.partition("#")[0]
        sample: dict[str, Any] = {
            "filepath": str(folder.resolve() / file.relative_to(folder)),
            "tags": [*filter(None, [part]), *own],
        }
        if label is not None:
            sample["ground_truth"] = {"_cls": "Classification", "label": label}
        samples.append(sample)
    return json.dumps({"samples": samples}, indent=1).encode()


def _known(session: Session, numbers: Sequence[int]) -> dict[str, list[Any]]:
    collection = session.collection
    labels, class_of = collection.labels
    return {
        "name": [collection.names[number] for number in numbers],
        "part": [collection.part_of(number) for number in numbers],
        "label": [labels[class_of[number]] if class_of[number] >= 0 else None for number in numbers],
    }


def _png(session: Session, number: int) -> bytes:
    stream = BytesIO()
    values = as_input(session.collection.values([number]))
    Image.fromarray(session.studio.to_pictures(values)[0]).save(stream, "PNG")
    return stream.getvalue()
