"""MATLAB files of SVHN's cropped digits → images, with labels and parts."""

import re
from math import prod
from pathlib import Path

import numpy as np

from vlae import memory
from vlae.data.arrays import read_array
from vlae.data.files import begins_with
from vlae.data.source import Array, DataError, ReadSettings, SourceData, train_and_test

SVHN_NAME = re.compile(r"(train|extra|test)_32x32\.mat")
"""The names of the files as their owners publish them."""


def find_svhn(path: Path) -> list[Path]:
    """Find the train and test file of SVHN in a folder, or one file with the test file beside it.

    Any other MATLAB file is found too, so that `read_svhn` can say what is wrong with it.

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


def read_svhn(path: Path, files: list[Path], settings: ReadSettings) -> SourceData:
    """Read SVHN's cropped digits, 32 × 32 pixels in colour; label 10 is the digit 0.

    Reference: Netzer et al. 2011, Reading Digits in Natural Images with Unsupervised Feature Learning.

    Args:
        path: the folder, or one file.
        files: one file, or the file to train with and the file to test with.
        settings: not used.

    Raises:
        DataError: if a file is damaged, or is another MATLAB file.
    """
    loaded = [_svhn_arrays(file) for file in files]
    return SourceData(
        values=np.concatenate([images for images, _ in loaded]),
        labels=np.concatenate([labels for _, labels in loaded]),
        label_names=tuple("0123456789"),
        parts=train_and_test(*(len(labels) for _, labels in loaded)) if len(files) == 2 else None,
    )


def _svhn_arrays(path: Path) -> tuple[Array, Array]:
    """Read the images of one file, uint8 (N, C, H, W), and their labels, int64 (N,)."""
    from scipy.io import loadmat, whosmat

    if not begins_with(path, b"MATLAB 5.0"):
        raise DataError(f"{path}: not a MATLAB 5 file (7.3 is not read); save it in MATLAB with -v7, or as .npz")
    try:
        num = sum(prod(shape) for name, shape, _ in whosmat(path) if name in ("X", "y"))
        memory.require(num, f"{path}, unpacked,", "is it the right file?")
        variables = loadmat(path)
    except memory.NotEnoughMemoryError:
        raise
    except Exception as error:  # a damaged file raises almost anything
        raise DataError(f"{path}: cannot be read ({error}); the file is damaged, get it again") from error
    images, labels = variables.get("X"), variables.get("y")
    if images is None or labels is None or images.ndim != 4 or images.shape[3] != labels.size:
        names = ", ".join(name for name in variables if not name.startswith("__"))
        raise DataError(f"{path}: expected SVHN's X (H W C N) and y (N), found {names}; save other arrays as .npz")
    values = read_array(images.transpose(3, 2, 0, 1), layout="NCHW", what=f"{path}, X")
    return values, labels.ravel().astype(np.int64) % 10
