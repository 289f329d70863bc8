"""Hugging Face's data sets, saved in a folder or on the hub → pictures or vectors."""

import io
import json
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from vlae.data.arrow import from_table, index_columns, read_columns
from vlae.data.columns import with_columns
from vlae.data.files import is_below, open_picture, walk
from vlae.data.source import Array, DataError, EncodedPictures, ReadSettings, SourceData, parts_by_name
from vlae.errors import reason
from vlae.names import printable

HUB_SECONDS = 7
"""How long the hub may take to say whether it has a data set."""


def find_saved_dataset(path: Path) -> list[Path]:
    """Find a folder that `datasets.Dataset.save_to_disk` or `DatasetDict.save_to_disk` has written.

    Args:
        path: a file or folder.
    """
    marks = [(path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json", "state.json")]
    return list(walk(path)) if marks[0] or all(marks[1:]) else []


def read_saved_dataset(path: Path, files: list[Path], settings: ReadSettings) -> SourceData:
    """Read a saved Dataset or DatasetDict.

    Args:
        path: the folder.
        files: the files in it.
        settings: of which `key` chooses the column.

    Raises:
        DataError: if the folder is damaged, or if no column can be used.
    """
    import datasets

    try:
        _check_inside(path)
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # a damaged folder raises almost anything
        raise DataError(f"{path}: datasets cannot read it ({reason(error)}); save it again") from error
    return from_loaded(loaded, str(path), settings, path)


def _check_inside(folder: Path) -> None:
    """Check that a saved data set names files of its own folder only, and no links or pipes."""
    names = []
    if (folder / "dataset_dict.json").is_file():
        names = json.loads((folder / "dataset_dict.json").read_text("utf-8"))["splits"]
    for part in [folder / name for name in names] or [folder]:
        files = json.loads((part / "state.json").read_text("utf-8"))["_data_files"]
        for file in [part / each["filename"] for each in files]:
            if not is_below(file, folder):
                raise ValueError(f"{file} is no regular file below the folder")


def read_hub(name: str, settings: ReadSettings) -> SourceData:
    """Read a data set of the Hugging Face hub, and download it if necessary.

    Args:
        name: "USER/NAME", or "NAME" for a data set without an owner.
        settings: of which `key` chooses the column.

    Raises:
        DataError: if the hub cannot be reached, or has no such data set, or if no column can be used.
    """
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        ask_hub(name)
    import datasets

    try:
        loaded = datasets.load_dataset(name)
    except Exception as error:  # the network, the hub, the files of the data set: anything
        raise DataError(
            f"{name}: the data set of the Hugging Face hub cannot be loaded ({reason(error)}); check the network,"
            " and that it is of a form that the datasets library reads"
        ) from error
    return from_loaded(loaded, name, settings)


def ask_hub(name: str) -> str:
    """Check within `HUB_SECONDS` that the hub has a data set; `datasets.load_dataset` alone retries for minutes.

    A thread asks, because no timeout of the client limits the look-up of the address or a slow answer.

    Args:
        name: "USER/NAME", or "NAME" for a data set without an owner.

    Returns:
        The hash of its present version.

    Raises:
        DataError: if it has not, or if the hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    answer: Future[str] = Future()

    def ask() -> None:
        try:
            answer.set_result(str(getattr(HfApi().dataset_info(name, timeout=HUB_SECONDS), "sha", "")))
        except BaseException as error:
            answer.set_exception(error)

    Thread(target=ask, daemon=True).start()
    try:
        return answer.result(timeout=HUB_SECONDS)
    except (HfHubHTTPError, HFValidationError) as error:
        raise DataError(
            f"{name}: no such file or folder, and the Hugging Face hub does not give such a data set"
            f" ({reason(error)}); check the spelling, and log in if it is private (hf auth login)"
        ) from error
    except Exception as error:
        why = reason(error) if answer.done() else f"no answer in {HUB_SECONDS} seconds"
        raise DataError(
            f"{name}: no such file or folder, and the Hugging Face hub cannot be reached ({why}); check the path or"
            " the network (HF_HUB_OFFLINE=1 uses what was downloaded before)"
        ) from error


def from_loaded(loaded: Any, source: str, settings: ReadSettings, folder: Path | None = None) -> SourceData:
    """Read a Dataset, or the joined parts of a DatasetDict.

    Args:
        loaded: a datasets.Dataset or datasets.DatasetDict.
        source: the name of the data set, for messages.
        settings: of which `key` chooses the column.
        folder: below which pictures may lie that are given by their paths; None: anywhere.

    Raises:
        DataError: if the parts have different columns, or if no column can be used.
    """
    import datasets

    if not isinstance(loaded, datasets.DatasetDict):
        return from_dataset(loaded, None, source, settings, folder)
    parts = parts_by_name(np.repeat(list(loaded), [len(part) for part in loaded.values()]).tolist())
    try:
        joined = datasets.concatenate_datasets(list(loaded.values()))
    except ValueError as error:
        raise DataError(f"{source}: its parts {', '.join(loaded)} have different columns; save them apart") from error
    return from_dataset(joined, parts, source, settings, folder)


def from_dataset(
    dataset: Any, parts: Array | None, source: str, settings: ReadSettings, folder: Path | None
) -> SourceData:
    """Read the column of pictures of a Dataset, or, if there is none, its numbers as vectors.

    Args:
        dataset: a datasets.Dataset of N rows.
        parts: int8 (N,), TRAIN, TEST or OTHER of each row; None if the rows have no parts.
        source: the name of the data set, for messages.
        settings: of which `key` chooses the column.
        folder: below which pictures may lie that are given by their paths; None: the data set comes from the hub, and
            they are in the hub's cache.

    Raises:
        DataError: if there is no such column, or if no column can be used.
    """
    from datasets import Image

    class_names = {name: names for name, feature in dataset.features.items() if (names := _class_names(feature))}
    images = [name for name, feature in dataset.features.items() if _holds_pictures(feature)]
    if not images:
        return replace(from_table(dataset.with_format("arrow")[:], source, settings, class_names), parts=parts)
    if settings.key is not None and settings.key not in images:
        raise DataError(f"{source}: no column {settings.key!r} of pictures; it has {', '.join(images)}")
    column = settings.key or images[0]
    pictures = dataset.select_columns([column]).with_format(None).cast_column(column, Image(decode=False))
    data = SourceData(
        values=EncodedPictures(num=len(dataset), open=lambda i: _open_cell(pictures[i][column], folder)),
        parts=parts,
        names=_paths(dataset.select_columns([column]).with_format("arrow")[:].column(column)),
        fates={f"column {column}": "used"},
    )
    others = dataset.remove_columns(images).with_format("arrow")[:]
    unused = {name: "pictures, too; key chooses others" for name in images if name != column}
    columns = {**read_columns(others, source, settings.id), **unused}
    return with_columns(data, columns, class_names=class_names, index=index_columns(others), id=settings.id)


def _paths(column: Any) -> tuple[str, ...] | None:
    """Return the path of each picture, if all are said and no two are the same."""
    from pyarrow import compute, types

    if not types.is_struct(column.type) or column.type.get_field_index("path") < 0:
        return None
    paths = compute.struct_field(column, "path").to_pylist()
    return tuple(paths) if all(paths) and len(set(paths)) == len(paths) else None


def _class_names(feature: Any) -> tuple[str, ...]:
    """Return the names of the classes of a column of classes, or of lists of classes."""
    from datasets import ClassLabel

    feature = getattr(feature, "feature", feature)
    return tuple(feature.names) if isinstance(feature, ClassLabel) else ()


def _holds_pictures(feature: Any) -> bool:
    """Tell a column of pictures: declared as one, or stored as one (a struct of bytes and path)."""
    from datasets import Image

    return isinstance(feature, Image) or (isinstance(feature, dict) and {"bytes", "path"} <= feature.keys())


def _open_cell(cell: Mapping[str, Any] | None, folder: Path | None) -> Any:
    """Open the picture of one cell, from its bytes or from its path.

    Raises:
        ValueError: if there is no picture, or the path leads out of the folder, to a link or to no regular file.
    """
    cell = cell or {}
    if cell.get("bytes") is not None:
        return open_picture(io.BytesIO(cell["bytes"]))
    if cell.get("path") is None:
        raise ValueError("it has no picture")
    if folder is None:
        return open_picture(cell["path"])
    file = folder / cell["path"]
    if not is_below(file, folder):
        raise ValueError(f"{printable(cell['path'])} is no regular file below the folder of the table")
    return open_picture(file)
