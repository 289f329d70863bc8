"""Arrays of numbers → images or vectors, and numpy's files, .npy and .npz."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vlae.data.files import begins_with
from vlae.data.source import (
    LABEL_NAMES,
    Array,
    DataError,
    ReadSettings,
    SourceData,
    as_classes,
    first_present,
    train_and_test,
)
from vlae.errors import reason
from vlae.numpy_files import PYTHON_OBJECTS, NumpyFileError, open_npy, read_npz
from vlae.shapes import MAX_CHANNELS, has_channels_last

IMAGE_ARRAYS = ("images", "x", "data", "imgs")
"""The usual names of the array of images in an .npz file, in upper or lower case. The first that is present is used."""


def read_array(array: Array, *, layout: str | None, what: str) -> Array:
    """Turn an array into images or vectors.

    Whole numbers from 0 to 255 stay as they are. Booleans become 0 and 255, and so do whole numbers if the largest
    is 1. Floats x in [0, 1] become round(255 x). Vectors become float32, in any range.

    Args:
        array: (N, H, W), (N, H, W, C) or (N, C, H, W) of images with 1 to 4 channels, or (N, D) of vectors.
        layout: "NHW", "NHWC" or "NCHW". None: the dimension of 1 to 4 is the channels.
        what: the name of the array, for messages.

    Returns:
        uint8 (N, C, H, W), or float32 (N, D) if the array has two dimensions.

    Raises:
        DataError: if the shape, the type or the range of the array is another.

    Examples:
        >>> read_array(np.ones((2, 8, 9, 3)), layout=None, what="x").shape
        (2, 3, 8, 9)
    """
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what}: an array of type {array.dtype}; give numbers (uint8 is best)")
    if array.size == 0:
        raise DataError(f"{what}: an empty array, of shape {array.shape}; give at least one row")
    if array.ndim == 2 and layout is None:
        with np.errstate(over="ignore"):
            vectors = array.astype(np.float32, copy=False)
        _check_finite(vectors, what)
        return vectors
    _check_finite(array, what)
    return _pixels(_channels_second(array, layout, what), what)


def _channels_second(array: Array, layout: str | None, what: str) -> Array:
    """Bring images to (N, C, H, W) without a copy."""
    inferred = {3: "NHW"}.get(array.ndim, layout)
    if array.ndim == 4 and layout is None:
        last = has_channels_last(array.shape[1:])
        if last is None:
            raise DataError(f"{what}: shape {array.shape} does not tell the channels; say layout='NHWC' or 'NCHW'")
        inferred = "NHWC" if last else "NCHW"
    if inferred is None or (layout or inferred) != inferred or array.ndim != len(inferred):
        expected = layout or "N H W, N H W C, N C H W (images) or N D (vectors)"
        raise DataError(f"{what}: shape {array.shape} does not fit; expected {expected}; reshape the array")
    images = array[:, None] if inferred == "NHW" else array
    images = np.moveaxis(images, 3, 1) if inferred == "NHWC" else images
    if not 1 <= images.shape[1] <= MAX_CHANNELS:
        raise DataError(
            f"{what}: {images.shape[1]} channels in shape {array.shape}; expected 1 to {MAX_CHANNELS}; check layout="
        )
    return images


def _pixels(images: Array, what: str) -> Array:
    """Turn numbers of any type into uint8, 0 to 255."""
    low, high = images.min(), images.max()
    if images.dtype.kind == "f":
        if low < 0 or high > 1:
            raise DataError(
                f"{what}: floats from {low:g} to {high:g}, expected 0 to 1; divide by 255, or subtract the least and"
                " divide by the range"
            )
        pixels = np.empty(images.shape, np.uint8)
        for start in range(0, len(images), 1024):
            pixels[start : start + 1024] = np.rint(images[start : start + 1024] * images.dtype.type(255))
        return pixels
    if images.dtype.kind != "b" and (low < 0 or high > 255):
        raise DataError(f"{what}: whole numbers from {low} to {high}, expected 0 to 255; scale the array to that range")
    pixels = images.astype(np.uint8, copy=False)
    return pixels * np.uint8(255) if high == 1 else pixels


def _check_finite(array: Array, what: str) -> None:
    """Check that no value is NaN or infinite; the least and the largest value show it."""
    if array.dtype.kind == "f" and not np.isfinite([array.min(), array.max()]).all():
        bad = ~np.isfinite(array)
        first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
        raise DataError(
            f"{what}: {int(bad.sum())} values are NaN or infinite, the first at {first}; remove or fill them"
        )


# numpy's files --------------------------------------------------------------------------------------------------------


def find_numpy(path: Path) -> list[Path]:
    """Find an .npy or .npz file by its content.

    Args:
        path: a file or folder.

    Raises:
        DataError: if it is a zip file without arrays.
    """
    if begins_with(path, b"\x93NUMPY"):
        return [path]
    if begins_with(path, b"PK") and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except Exception as error:  # a damaged file raises almost anything
            raise DataError(f"{path}: cannot be read ({reason(error)}); the file is damaged, get it again") from error
        if names and all(name.endswith(".npy") for name in names):
            return [path]
        raise DataError(f"{path}: a zip file that holds no arrays; unpack it, and give the folder")
    return []


def read_numpy(path: Path, files: list[Path], settings: ReadSettings) -> SourceData:
    """Read an .npy file, or the arrays of an .npz file.

    Args:
        path: the file.
        files: the same file.
        settings: of which `layout` says the order of the dimensions, and `key` the array of images.

    Raises:
        DataError: if the file is damaged, or if no array can be used.
    """
    try:
        if begins_with(path, b"PK"):
            return _read_npz(path, *read_npz(path), settings)
        return SourceData(values=read_array(open_npy(path), layout=settings.layout, what=str(path)))
    except NumpyFileError as error:
        raise DataError(str(error)) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); the file is damaged, get it again") from error


def _read_npz(
    path: Path, arrays: dict[str, Array], unreadable: Mapping[str, str], settings: ReadSettings
) -> SourceData:
    """Choose the images among the arrays of an .npz file, and read its labels and factors."""
    for name, why in unreadable.items():
        if why != PYTHON_OBJECTS:  # these are metadata
            raise DataError(f"{path}: the array {name!r} cannot be read ({why}); the file is damaged, get it again")
    if len(arrays) == 0 or settings.key in unreadable:
        raise DataError(
            f"{path}: {unreadable or 'no array'}; object arrays and damaged ones are not read, save it again"
        )
    if settings.key is None and {"x_train", "x_test"} <= arrays.keys():
        return _read_keras(path, arrays, settings)
    key = _image_array(path, arrays, settings.key)
    values = read_array(arrays.pop(key), layout=settings.layout, what=f"{path}, array {key!r}")
    columns = {name: array for name, array in _columns(arrays).items() if len(array) == len(values)}
    label = first_present(LABEL_NAMES, [name for name in columns if columns[name].dtype.kind in "iubU"])
    labels, label_names = as_classes(columns.pop(label)) if label else (None, ())
    factors = {
        name: array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        for name, array in columns.items()
        if array.dtype.kind in "iubf"
    }
    return SourceData(values=values, labels=labels, label_names=label_names, factors=factors)


def _columns(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Take the arrays of one value a row, and split those of a few numbers a row (dSprites' latents_classes).

    dSprites states each factor twice, as a class and as a number; the classes are taken.
    """
    columns = {name: array for name, array in arrays.items() if array.ndim == 1}
    for name, array in arrays.items():
        if name == "latents_values" and "latents_classes" in arrays:
            continue
        if array.ndim == 2 and array.dtype.kind in "iubf" and array.shape[1] <= 32:
            columns |= {f"{name}_{i}": array[:, i] for i in range(array.shape[1])}
    return columns


def _image_array(path: Path, arrays: Mapping[str, Array], key: str | None) -> str:
    """Choose the array of images: `key`, or the first of `IMAGE_ARRAYS`, or the only array that can be images."""
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    if key is not None and key not in arrays:
        raise DataError(f"{path}: no array {key!r}; it holds {shapes}")
    candidates = [name for name, array in arrays.items() if array.ndim >= 2 and array.dtype.kind in "biuf"]
    chosen = key or first_present(IMAGE_ARRAYS, candidates) or (candidates[0] if len(candidates) == 1 else None)
    if chosen is None:
        raise DataError(f"{path}: which array holds the images? It holds {shapes}; say key=NAME")
    return chosen


def _read_keras(path: Path, arrays: Mapping[str, Array], settings: ReadSettings) -> SourceData:
    """Read x_train, y_train, x_test and y_test, the arrays of Keras' mnist.npz."""
    train, test = arrays["x_train"], arrays["x_test"]
    if train.shape[1:] != test.shape[1:]:
        raise DataError(f"{path}: x_train {train.shape} and x_test {test.shape} differ in shape; say key='x_train'")
    labels: Array | None = None
    label_names: tuple[str, ...] = ()
    if {"y_train", "y_test"} <= arrays.keys():
        labels, label_names = as_classes(np.concatenate([arrays["y_train"].ravel(), arrays["y_test"].ravel()]))
    return SourceData(
        values=read_array(np.concatenate([train, test]), layout=settings.layout, what=str(path)),
        labels=labels,
        label_names=label_names,
        parts=train_and_test(len(train), len(test)),
    )
