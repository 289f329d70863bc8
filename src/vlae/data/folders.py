"""Folders of pictures: every file is read, or it is said why not."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vlae.data.files import (
    HIDDEN,
    NEEDED,
    PARQUET_SUFFIXES,
    PICTURE_SUFFIXES,
    is_picture,
    open_page,
    open_picture,
    pages,
    picture_format,
    walk,
)
from vlae.data.images import PICTURES
from vlae.data.layout import read_layout
from vlae.data.source import DataError, EncodedPictures, ReadSettings, SourceData, counted
from vlae.names import printable

MOST_ENDINGS = 40
"""The most endings of files that are told of one by one."""


def find_pictures(path: Path) -> list[Path]:
    """Find the pictures in a folder, at any depth, or take a single picture.

    Args:
        path: a file or folder.

    Returns:
        The files of pictures, also those that what is installed cannot decode.

    Raises:
        DataError: if a folder holds no picture that can be decoded, or if a single picture cannot be.
    """
    if path.is_file():
        kind = picture_format(path)
        if kind and not is_picture(path):
            raise DataError(f"{path}: {_needs(kind)}")
        return [path] if kind else []
    left_out: list[tuple[str, str]] = []
    files = list(walk(path, left_out))
    if any(is_picture(file) for file in files):
        return [file for file in files if picture_format(file)]
    if any(file.name == "data.mdb" for file in files):
        raise DataError(
            f"{path}: an LMDB, which is not read; export its pictures to a folder (lsun's data.py export does)"
        )
    seen = [*_by_ending(files), *{_needs(kind) for kind in map(picture_format, files) if kind}]
    seen += [f"{_name(Path(name), path)} {why}" for name, why in left_out[:5]]
    shards = any(file.suffix.lower() in PARQUET_SUFFIXES for file in files)
    raise DataError(
        f"{path}: no picture among {counted(len(files), 'file')} ({', '.join(seen) or 'it is empty'}); accepted are"
        f" {' '.join(PICTURE_SUFFIXES)}, or give a data file itself"
        f"{', or train on shards with --stream (stream=True)' if shards else ''}"
    )


def read_pictures(path: Path, files: list[Path], settings: ReadSettings) -> SourceData:
    """Read a folder of pictures, or a single picture. Every page of a TIFF file is a picture.

    The folders tell the parts and the classes (`vlae.data.layout`).

    Args:
        path: the folder, or the picture.
        files: the files of pictures. If there are others, the caller uses them.
        settings: not used.
    """
    left_out: list[tuple[str, str]] = []
    names: list[str] = []
    openers: list[Callable[[], Any]] = []
    groups: list[int] = []
    for number, file in enumerate(file for file in files if is_picture(file)):
        name = _name(file, path)
        if picture_format(file) == "TIFF":
            inner, more, fault = _pages(file, name)
            left_out += [(f"{file}#{len(inner) + 1}", f"no page from here on can be read: {fault}")] if fault else []
        else:
            inner, more = [name], [partial(open_picture, file)]
        names += inner
        openers += more
        groups += [number] * len(inner)
    used = {file for file in files if not picture_format(file)}
    others = [path] if path.is_file() else [file for file in walk(path, left_out) if file not in used]
    layout = read_layout(names)
    return SourceData(
        values=EncodedPictures(num=len(openers), open=lambda i: openers[i]()),
        labels=layout.labels,
        label_names=layout.label_names,
        names=tuple(names),
        parts=layout.parts,
        groups=np.array(groups) if len(set(groups)) < len(groups) else None,
        skipped=tuple((_name(Path(file), path), why) for file, why in left_out if why != HIDDEN),
        fates={**_by_ending(others), **_of_pages(groups), **_hidden(left_out), **layout.fates},
    )


def _name(file: Path, source: Path) -> str:
    """The name of a file of a source."""
    return printable(file.name if file == source else file.relative_to(source).as_posix())


def _pages(file: Path, name: str) -> tuple[list[str], list[Callable[[], Any]], str | None]:
    """The names of the pages of a TIFF file, functions that open them, and why others cannot be read."""
    numbers, places, fault = pages(file)
    if numbers == [0]:
        return [name], [partial(open_picture, file)], fault
    names = [f"{name}#{number + 1}" for number in numbers]
    return names, [partial(open_page, file, number, places) for number in numbers], fault


# What became of each kind of file ------------------------------------------------------------------------------------


def _by_ending(files: Sequence[Path]) -> dict[str, str]:
    """What becomes of files, by their endings."""
    endings = Counter(printable(file.suffix.lower()) or "without ending" for file in files)
    fates = {f"{num} {ending}": _fate(Path(f"file{ending}")) for ending, num in endings.most_common(MOST_ENDINGS)}
    if more := sum(num for _, num in endings.most_common()[MOST_ENDINGS:]):
        fates[f"{more} of other endings"] = "read if they are pictures"
    return fates


def _fate(file: Path) -> str:
    """What becomes of a file with this ending."""
    if is_picture(file):
        return PICTURES
    kind = picture_format(file)
    return f"ignored: {_needs(kind)}" if kind else "ignored: not a picture that is read"


def _needs(kind: str) -> str:
    """What a format needs that cannot be decoded here."""
    return f"{kind} is read after {NEEDED[kind]}"


def _of_pages(groups: Sequence[int]) -> dict[str, str]:
    """What becomes of the pages of files that have several."""
    counts = [num for num in Counter(groups).values() if num > 1]
    return {f"{sum(counts)} pages of {counted(len(counts), 'TIFF file')}": PICTURES} if counts else {}


def _hidden(left_out: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What becomes of hidden files and folders."""
    num = sum(why == HIDDEN for _, why in left_out)
    return {f"{num} hidden": "ignored: the name begins with a dot"} if num else {}
