"""numpy's files, .npy and .npz: opened safely, without pickle or memory before sizes are checked; written in parts."""

import zipfile
from collections.abc import Iterable, Sequence
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae import memory
from vlae.errors import reason

PYTHON_OBJECTS = "Python objects"
"""Why an array is not read that would need pickle."""

Array = npt.NDArray[Any]


class NumpyFileError(ValueError):
    """An .npy or .npz file cannot be read; the message names the file, and says why and what to do."""


def open_npy(path: Path) -> Array:
    """The array of an .npy file, mapped: it takes no memory, and the file is as long as its header says.

    Args:
        path: the file.

    Raises:
        NumpyFileError: if the file is damaged, holds no array, or an array of Python objects.
        OSError: if there is no such file, or it may not be read.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # a damaged header makes numpy raise almost anything
        raise NumpyFileError(_message(path, error)) from error
    return array


def read_npz(path: Path, names: Sequence[str] | None = None) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of an .npz file.

    Args:
        path: the file.
        names: of the arrays to read; None: all.

    Returns:
        The arrays by name, and by name the reasons why others cannot be read.

    Raises:
        NumpyFileError: if it is no whole zip file.
        NotEnoughMemoryError: if the arrays, unpacked, need more memory than is free.
        OSError: if there is no such file, or it may not be read.
    """
    arrays, unreadable = {}, {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            chosen = {name: info for name, info in members.items() if names is None or name in names}
            unpacked = sum(info.file_size for info in chosen.values())
            memory.require(unpacked, f"{path}, unpacked,", "is it the right file? Save fewer arrays in it")
            for name, info in chosen.items():
                try:
                    arrays[name] = _read_member(archive, info)
                except Exception as error:  # as above, and whatever zipfile and zlib raise
                    unreadable[name] = reason(error)
    except (OSError, memory.NotEnoughMemoryError):
        raise
    except Exception as error:
        raise NumpyFileError(_message(path, error)) from error
    return arrays, unreadable


def npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each array of an .npz file; nothing is unpacked but the headers.

    Args:
        path: the file.

    Raises:
        NumpyFileError: if it is no whole zip file of arrays.
        OSError: if there is no such file, or it may not be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename.removesuffix(".npy"): _checked_shape(archive, info) for info in archive.infolist()}
    except OSError:
        raise
    except Exception as error:
        raise NumpyFileError(_message(path, error)) from error


def write_array(
    archive: zipfile.ZipFile, name: str, num: int, parts: Iterable[Array], dtype: npt.DTypeLike | None = None
) -> None:
    """Write an array to an .npz file as numpy does, but a part at a time, so that it need not be in memory.

    Args:
        archive: the file, opened for writing.
        name: of the array.
        num: its rows.
        parts: one or more arrays of some rows each, (n, ...), which together have so many.
        dtype: of the array. None: that of the first part.
    """
    rest = iter(parts)
    first = next(rest)
    dtype = np.dtype(first.dtype if dtype is None else dtype)
    shape = (num, *first.shape[1:])
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_2_0(stream, header)
        for part in chain([first], rest):
            stream.write(part.astype(dtype, copy=False).tobytes())


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    _checked_shape(archive, info)
    with archive.open(info) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _checked_shape(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[int, ...]:
    """The shape of a member's array, which fills the member exactly."""
    with archive.open(info) as stream:
        first = np.lib.format.read_magic(stream) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        length = info.file_size - stream.tell()
    if dtype.hasobject:
        raise ValueError(PYTHON_OBJECTS)
    if any(side < 0 for side in shape) or prod(shape) * dtype.itemsize != length:
        raise ValueError(f"{length} bytes do not fill the shape {shape} of {dtype}")
    return shape


def _message(path: Path, error: Exception) -> str:
    why = reason(error)
    if "Python objects" in why:
        return f"{path}: an array of Python objects; save it again as numbers, of one shape"
    return f"{path}: cannot be read ({why}); the file is damaged, get it again"
