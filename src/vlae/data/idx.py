"""IDX files, the format of MNIST and Fashion-MNIST → images, with labels and parts."""

import gzip
import os
import re
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from vlae import memory
from vlae.data.arrays import joined_parts, read_as_asked
from vlae.data.columns import with_columns
from vlae.data.files import begins_with
from vlae.data.source import Array, DataError, ReadSettings, SourceData, parts_by_name

IDX_NAME = re.compile(r"(?P<set>.*?)(?P<part>train|t10k|test)[-.](?P<kind>images|labels)[-.]idx[134]-ubyte(\.gz)?")
"""The usual name of an IDX file: the set, the part, and whether it holds images or labels."""

WIDE_NAME = re.compile(r".*[-.]idx\d-(short|int|float|double)(\.gz)?")
"""The usual name of an IDX file of wider numbers than bytes, as of QMNIST's labels."""

WIDE = "ignored: numbers wider than a byte; labels are read from idx1-ubyte"


def find_idx(path: Path) -> list[Path]:
    """Find the IDX files of a folder, or an IDX file with the files of the same set beside it.

    Args:
        path: a file or folder.

    Raises:
        DataError: if a folder holds several sets.
    """
    if path.is_dir():
        files = _idx_files(path)
        sets = sorted({match["set"] for match, file in files if match["kind"] == "images"})
        if len(sets) > 1:
            raise DataError(
                f"{path}: several sets of IDX files ({', '.join(sets)}); give one of the image files itself"
            )
        return [file for _, file in files] if sets else []
    if not begins_with(path, b"\x00\x00\x08", b"\x1f\x8b") or _idx_head(path)[:3] != b"\x00\x00\x08":
        return []
    match = IDX_NAME.fullmatch(path.name)
    return [file for other, file in _idx_files(path.parent) if other["set"] == match["set"]] if match else [path]


def _idx_files(folder: Path) -> list[tuple[re.Match[str], Path]]:
    """List a folder's IDX files. If a file is there packed and unpacked, take the unpacked one."""
    files: dict[str, tuple[re.Match[str], Path]] = {}
    with os.scandir(folder) as entries:
        matches = [match for entry in entries if (match := IDX_NAME.fullmatch(entry.name))]
    for match in sorted(matches, key=lambda match: match.string):
        files.setdefault(match.string.removesuffix(".gz"), (match, folder / match.string))
    return list(files.values())


def _idx_head(path: Path) -> bytes:
    """Read the first 4 bytes of an IDX file; none if it cannot be unpacked."""
    try:
        with _open_idx(path) as file:
            return bytes(file.read(4))
    except (OSError, EOFError, zlib.error):
        return b""


def _open_idx(path: Path) -> Any:
    return gzip.open(path) if begins_with(path, b"\x1f\x8b") else path.open("rb")


def read_idx(path: Path, files: list[Path], settings: ReadSettings) -> SourceData:
    """Read MNIST, or another set of IDX files; t10k is the test part.

    Args:
        path: the folder, or one file of images.
        files: the files of the set.
        settings: of which `layout` says the order of the dimensions.

    Raises:
        DataError: if a file is damaged, or if there are more images than labels or fewer.
    """
    named = {(match["kind"], match["part"]): file for file in files if (match := IDX_NAME.fullmatch(file.name))}
    images = {part: _idx_array(file) for (kind, part), file in named.items() if kind == "images"} or {
        "all": _idx_array(path)
    }
    labels = {part: _idx_array(named["labels", part]) for part in images if ("labels", part) in named}
    for part in labels:
        if len(labels[part]) != len(images[part]):
            raise DataError(f"{path}: {len(images[part])} {part} images but {len(labels[part])} labels; get it again")
    fates = {
        file.name: "used" if part in images else "ignored: no images of its part" for (_, part), file in named.items()
    }
    folder = path if path.is_dir() else path.parent
    fates |= {file.name: WIDE for file in sorted(folder.iterdir()) if WIDE_NAME.fullmatch(file.name) and named}
    arrays = {named.get(("images", part), path).name: array for part, array in images.items()}
    joined = joined_parts(path, arrays, "give each in a folder of its own")
    data = SourceData(
        values=read_as_asked(joined, settings, str(path)),
        parts=parts_by_name(np.repeat(list(images), [len(array) for array in images.values()]).tolist()),
        fates=fates or {path.name: "used"},
    )
    if not labels:
        return data
    unknown = {part: np.full(len(array), np.nan) for part, array in images.items()}
    return with_columns(
        data, {"label": np.concatenate([labels.get(part, unknown[part]) for part in images])}, kind="array"
    )


def _idx_array(path: Path) -> Array:
    """Read one IDX file of bytes: two zeros, the type (8), the rank, big-endian sizes, then the values.

    No more is unpacked than the sizes say.
    """
    try:
        with _open_idx(path) as file:
            head = file.read(4)
            rank = head[3] if len(head) == 4 and head[:3] == b"\x00\x00\x08" else 0
            sizes = file.read(4 * rank)
            shape = tuple(np.frombuffer(sizes, ">u4").tolist()) if len(sizes) == 4 * rank else ()
            num = prod(shape) if shape else 0
            memory.require(num, f"{path}, unpacked,", "is it the right file?")
            values = file.read(num + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); the file is damaged, get it again") from error
    if not shape or len(values) != num:
        raise DataError(
            f"{path}: {'more' if len(values) > num else len(values)} bytes do not fill the shape {shape}; the file is "
            "damaged, get it again"
        )
    return np.frombuffer(values, np.uint8).reshape(shape)
