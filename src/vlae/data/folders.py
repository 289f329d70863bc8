"""Folders of pictures, with the parts and classes that subfolders say, and CelebA with its lists."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vlae.data.files import PICTURE_SUFFIXES, is_picture, open_picture, walk
from vlae.data.source import Array, DataError, Found, Pictures, Settings, as_classes, parts_by_name


def find_pictures(path: Path) -> list[Path]:
    """Find the pictures in a folder, at any depth, or take a single picture."""
    if path.is_file():
        return [path] if is_picture(path) else []
    files = list(walk(path))
    pictures = [file for file in files if is_picture(file)]
    if pictures:
        return pictures
    if any(file.name == "data.mdb" for file in files):
        raise DataError(
            f"{path}: an LMDB, which is not read; export its pictures to a folder (lsun's data.py export does)"
        )
    kinds = Counter(file.suffix.lower() or "without ending" for file in files)
    seen = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5)) or "it is empty"
    raise DataError(
        f"{path}: no picture among {len(files)} files ({seen}); accepted are"
        f" {' '.join(PICTURE_SUFFIXES)}, or give a data file itself"
    )


def read_pictures(path: Path, files: list[Path], settings: Settings) -> Found:
    """Read a folder of pictures; folders called train and test part it, folders one deep below are classes."""
    if path.is_file():
        return Found(values=_files(files), names=(path.name,))
    names = [file.relative_to(path).as_posix() for file in files]
    parts = parts_by_name([name.partition("/")[0] for name in names])
    inner = [name.partition("/")[2] for name in names] if parts is not None else names
    labels: Array | None = None
    label_names: tuple[str, ...] = ()
    classes = {name.partition("/")[0] for name in inner}
    if len(classes) > 1 and all(name.count("/") == 1 for name in inner):
        labels, label_names = as_classes([name.partition("/")[0] for name in inner])
    return Found(values=_files(files), labels=labels, label_names=label_names, names=tuple(names), parts=parts)


def _files(files: Sequence[Path]) -> Pictures:
    return Pictures(num=len(files), open=lambda i: open_picture(files[i]))


# CelebA --------------------------------------------------------------------------------------------------------------


def find_celeba(path: Path) -> list[Path]:
    """Find CelebA: a folder called, or holding, img_align_celeba, or with CelebA's lists in it or beside it."""
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
    """Find the lists of attributes and of parts, in the folder or up to two above, where the owners put them."""
    above = [path.absolute(), *path.absolute().parents[:2]]
    places = [folder / inner for folder in above for inner in ("", "Anno", "Eval")]
    found = {}
    for name in ("list_attr_celeba", "list_eval_partition"):
        files = [folder / f"{name}{suffix}" for folder in places for suffix in (".txt", ".csv")]
        found[name] = next((file for file in files if file.is_file()), None)
    return {name: file for name, file in found.items() if file}


def read_celeba(path: Path, files: list[Path], settings: Settings) -> Found:
    """Read CelebA (Liu et al. 2015): 108 pixels from the middle, then 64 × 64, as the field has done since DCGAN."""
    found = read_pictures(path, [file for file in files if is_picture(file)], settings)
    ids = [name.rpartition("/")[2] for name in found.names or ()]
    lists = _celeba_lists(path)
    factors: dict[str, Array] = {}
    parts = found.parts
    if file := lists.get("list_attr_celeba"):
        header, rows = _celeba_rows(file)
        values = np.array([_celeba_row(rows, name, file) for name in ids], np.int64)
        factors = {name: (values[:, i] > 0).astype(np.int64) for i, name in enumerate(header[-values.shape[1] :])}
    if file := lists.get("list_eval_partition"):
        _, rows = _celeba_rows(file)
        codes = [("train", "val", "test")[_celeba_row(rows, name, file)[0]] for name in ids]
        parts = parts_by_name(codes)
    return replace(found, labels=None, label_names=(), factors=factors, parts=parts, crop=108, size=64)


def _celeba_rows(file: Path) -> tuple[list[str], dict[str, list[int]]]:
    """Read a list of CelebA's, in the owners' format or Kaggle's: its columns' names, and the numbers by picture."""
    lines = [
        re.split(r"[,\s]+", line.strip()) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()
    ]
    rows = {words[0]: [int(word) for word in words[1:]] for words in lines if is_picture(Path(words[0]))}
    header = next((words for words in lines if len(words) > 1 and words[0] not in rows), [])
    return header, rows


def _celeba_row(rows: Mapping[str, list[int]], name: str, file: Path) -> list[int]:
    if name not in rows:
        raise DataError(f"{file}: says nothing of the picture {name}; use the list that belongs to these pictures")
    return rows[name]
