"""CelebA → pictures, with attributes and parts."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from vlae.data.files import is_picture, walk
from vlae.data.folders import read_pictures
from vlae.data.source import Array, DataError, ReadSettings, SourceData, parts_by_name

CROP, SIZE = 108, 64
"""The usual crop and image side of CelebA since DCGAN, in pixels."""


def find_celeba(path: Path) -> list[Path]:
    """Find the pictures and lists of CelebA.

    A folder is CelebA if it is called img_align_celeba, or holds a folder of that name. It is CelebA too if a list of
    CelebA is in it or near it and names its first picture.

    Args:
        path: a file or folder.
    """
    if not path.is_dir():
        return []
    lists = _celeba_lists(path)
    with os.scandir(path) as entries:
        folders = [path.absolute().name, *(entry.name for entry in entries if entry.is_dir())]
    named = any("img_align_celeba" in name.lower() for name in folders)
    if not named and not lists:
        return []
    pictures = [file for file in walk(path) if is_picture(file)]
    if not pictures or not (named or pictures[0].name in next(iter(lists.values())).read_text(encoding="utf-8")):
        return []
    return [*pictures, *lists.values()]


def _celeba_lists(path: Path) -> dict[str, Path]:
    """Find the lists of attributes and of parts, in the folder or up to two folders above it."""
    above = [path.absolute(), *path.absolute().parents[:2]]
    places = [folder / inner for folder in above for inner in ("", "Anno", "Eval")]
    lists = {}
    for name in ("list_attr_celeba", "list_eval_partition"):
        files = [folder / f"{name}{suffix}" for folder in places for suffix in (".txt", ".csv")]
        lists[name] = next((file for file in files if file.is_file()), None)
    return {name: file for name, file in lists.items() if file}


def read_celeba(path: Path, files: list[Path], settings: ReadSettings) -> SourceData:
    """Read CelebA: 108 pixels from the middle of each picture, resized to 64 × 64.

    Reference: Liu et al. 2015, Deep Learning Face Attributes in the Wild.

    Args:
        path: the folder.
        files: its pictures and lists.
        settings: not used.

    Raises:
        DataError: if a list has no line for one of the pictures.
    """
    data = read_pictures(path, files, settings)
    ids = [name.rpartition("/")[2] for name in data.names or ()]
    lists = _celeba_lists(path)
    factors: dict[str, Array] = {}
    parts, fates = data.parts, dict(data.fates)
    if file := lists.get("list_attr_celeba"):
        header, rows = _celeba_rows(file)
        values = np.array([_celeba_row(rows, name, file) for name in ids], np.int64)
        factors = {name: (values[:, i] > 0).astype(np.int64) for i, name in enumerate(header[-values.shape[1] :])}
        fates[file.name] = f"factor: {len(factors)} of them"
    if file := lists.get("list_eval_partition"):
        _, rows = _celeba_rows(file)
        parts = parts_by_name([("train", "val", "test")[_celeba_row(rows, name, file)[0]] for name in ids])
        fates[file.name] = "used: the parts"
    return replace(data, labels=None, label_names=(), factors=factors, parts=parts, fates=fates, crop=CROP, size=SIZE)


def _celeba_rows(file: Path) -> tuple[list[str], dict[str, list[int]]]:
    """Read a list of CelebA, in the owners' format or Kaggle's.

    Returns:
        The names of its columns, and the numbers of each picture.
    """
    lines = [
        re.split(r"[,\s]+", line.strip()) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()
    ]
    rows: dict[str, list[int]] = {}
    for words in lines:
        if is_picture(Path(words[0])):
            try:
                rows[words[0]] = [int(word) for word in words[1:]]
            except ValueError as error:
                raise DataError(f"{file}: the line of {words[0]} holds more than whole numbers; mend it") from error
    header = next((words for words in lines if len(words) > 1 and words[0] not in rows), [])
    return header, rows


def _celeba_row(rows: Mapping[str, list[int]], name: str, file: Path) -> list[int]:
    if name not in rows:
        raise DataError(f"{file}: says nothing of the picture {name}; use the list that belongs to these pictures")
    return rows[name]
