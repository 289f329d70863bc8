"""MATLAB files of images, as of SVHN's cropped digits → images, with labels, factors and parts."""

import re
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from vlae import memory
from vlae.data.arrays import joined_parts, read_array
from vlae.data.columns import with_columns
from vlae.data.files import begins_with
from vlae.data.source import Array, DataError, ReadSettings, SourceData, reading, train_and_test

SVHN_NAME = re.compile(r"(train|extra|test)_32x32\.mat")
"""The names of the files as their owners publish them."""


NUM_BYTES = {"logical": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "single": 4}
"""The bytes of one number of a type of MATLAB; 8 of all others."""


def find_mat(path: Path) -> list[Path]:
    """Find the train and test file of SVHN in a folder, or one file with the test file beside it.

    Any other MATLAB file is found too, so that `read_mat` can say what is wrong with it.

    Args:
        path: a file or folder.
    """
    if path.is_dir():
        files = [path / f"{part}_32x32.mat" for part in ("train", "test")]
        files = files if files[0].is_file() else [path / "extra_32x32.mat", files[1]]
        return [file for file in files if file.is_file()]
    if not (SVHN_NAME.fullmatch(path.name) or begins_with(path, b"MATLAB")):
        return []
    test = path.with_name("test_32x32.mat")
    return [path, test] if SVHN_NAME.fullmatch(path.name) and path != test and test.is_file() else [path]


def read_mat(path: Path, files: list[Path], settings: ReadSettings) -> SourceData:
    """Read the images X (H W C N, or H W N) of MATLAB files, their labels y (N), and what else has N rows.

    In the files of SVHN's cropped digits, known by their names and ten labels, label 10 is the digit 0.

    Reference: Netzer et al. 2011, Reading Digits in Natural Images with Unsupervised Feature Learning.

    Args:
        path: the folder, or one file.
        files: one file, or the file to train with and the file to test with.
        settings: of which `value_range` and `id` are used.

    Raises:
        DataError: if a file is damaged, or holds no such X, or if two files differ in their variables.
    """
    loaded = [_variables(file) for file in files]
    if any(variables.keys() != loaded[0].keys() for variables in loaded):
        raise DataError(
            f"{path}: {' and '.join(file.name for file in files)} differ in their variables; give one of them"
        )
    images = {file.name: _images(file, variables.pop("X")) for file, variables in zip(files, loaded, strict=True)}
    sizes = [len(array) for array in images.values()]
    joined = joined_parts(path, images, "give each in a folder of its own")
    data = SourceData(
        values=read_array(joined, layout="NCHW", value_range=settings.value_range, what=f"{path}, X"),
        parts=train_and_test(*sizes) if len(files) == 2 else None,
        fates={"array X": "used"},
    )
    data = with_columns(
        data, {name: _joined([one[name] for one in loaded], sizes) for name in loaded[0]}, kind="array", id=settings.id
    )
    digits = data.labels if all(SVHN_NAME.fullmatch(file.name) for file in files) else None
    if digits is None or digits.min() < 1 or digits.max() > 10:
        return data
    return replace(data, labels=digits % 10, label_names=tuple("0123456789"))


def _variables(path: Path) -> dict[str, Any]:
    """Read the variables of one file, of which X is one."""
    from scipy.io import loadmat, whosmat

    if not begins_with(path, b"MATLAB 5.0"):
        raise DataError(f"{path}: not a MATLAB 5 file (7.3 is not read); save it in MATLAB with -v7, or as .npz")
    with reading(str(path)):
        num_bytes = sum(prod(shape) * NUM_BYTES.get(kind, 8) for _, shape, kind in whosmat(path))
        memory.require(num_bytes, f"{path}, unpacked,", "is it the right file?")
        variables = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    if "X" not in variables:
        raise DataError(
            f"{path}: expected images X (H W C N) and labels y (N), found {', '.join(variables) or 'nothing'}; save "
            "other arrays as .npz"
        )
    return variables


def _images(path: Path, array: Any) -> Array:
    """Bring images X (H W C N, or H W N) to (N, C, H, W)."""
    if not isinstance(array, np.ndarray) or array.ndim not in (3, 4):
        raise DataError(f"{path}: X is {getattr(array, 'shape', array)}; expected H W C N; save other arrays as .npz")
    images = np.moveaxis(array, -1, 0)
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def _joined(arrays: list[Any], sizes: list[int]) -> Array | str:
    """Join one variable of all files, if it has a row for each image; MATLAB keeps vectors as tables."""
    rows = []
    for array, size in zip(arrays, sizes, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype.names is not None:
            return "not an array"
        array = array.ravel() if array.size == size else array
        if array.ndim == 0 or len(array) != size:
            return f"of shape {array.shape}, not one for each of {size} rows"
        if array.dtype.kind == "O":  # a cell array: of text, or of anything
            array = np.array([cell.item() if getattr(cell, "size", 0) == 1 else None for cell in array], object)
            if not all(isinstance(cell, str) for cell in array):
                return "a cell array, not numbers or text"
        rows.append(array)
    return np.concatenate(rows) if len({array.shape[1:] for array in rows}) == 1 else "of several shapes"
