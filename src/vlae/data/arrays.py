"""Arrays of numbers → images or vectors, and numpy's files, .npy and .npz."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vlae.data.columns import with_columns
from vlae.data.depths import in_bytes
from vlae.data.files import begins_with
from vlae.data.source import (
    LABEL_NAMES,
    Array,
    DataError,
    ReadSettings,
    SourceData,
    ValueRange,
    first_present,
    not_finite,
    reading,
    split_of,
    train_and_test,
)
from vlae.data.vectors import as_vectors
from vlae.numpy_files import PYTHON_OBJECTS, NumpyFileError, open_npy, read_npz
from vlae.shapes import MAX_CHANNELS, MIN_SIDE, has_channels_last

IMAGE_ARRAYS = ("images", "x", "data", "imgs")
"""The usual names of the array of images in an .npz file, in upper or lower case. The first that is present is used."""


def read_array(
    array: Array, *, layout: str | None, what: str, value_range: ValueRange | None = None, white: int | None = None
) -> Array:
    """Turn an array into images or vectors.

    Images become bytes where these can hold the numbers (`vlae.data.depths.in_bytes`). Otherwise they keep their
    numbers, which the loader maps to [0, 1]. Vectors become float32, in any range.

    Args:
        array: (N, H, W), (N, H, W, C) or (N, C, H, W) of images with 1 to 16 channels, or (N, D) of vectors.
        layout: "NHW", "NHWC" or "NCHW". None: the dimension of 1 to 4 is the channels, or else the one of 5 to 16.
        what: the name of the array, for messages.
        value_range: the range of each channel that was asked for. Images then keep their numbers in any case.
        white: the whole number that is white, 1 or 255, in the array of which this is a piece. None: the piece tells.

    Returns:
        uint8 or other numbers (N, C, H, W), or float32 (N, D) if the array has two dimensions.

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
        return as_vectors(array, what)
    if array.dtype.kind == "f" and not np.isfinite([array.min(), array.max()]).all():
        bad = ~np.isfinite(array)
        first = tuple(map(int, np.unravel_index(bad.argmax(), bad.shape)))
        raise DataError(f"{what}: {not_finite(int(bad.sum()))}, the first at {first}; remove or fill them")
    images = _channels_second(array, layout, what)
    if value_range is not None:
        return images
    pixels = in_bytes(images, white)
    if pixels is None:
        return images.astype(np.int16) if images.dtype == np.uint8 else images  # not bytes, among 0 and 1
    return pixels


def read_as_asked(array: Array, settings: ReadSettings, what: str) -> Array:
    """Turn an array into images or vectors (`read_array`) as the settings say.

    Args:
        array: of images or vectors.
        settings: of which `layout`, `value_range` and `white` are used.
        what: the name of the array, for messages.
    """
    return read_array(array, layout=settings.layout, what=what, value_range=settings.value_range, white=settings.white)


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
        with reading(str(path)), zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if names and all(name.endswith(".npy") for name in names):
            return [path]
        raise DataError(f"{path}: a zip file that holds no arrays; unpack it, and give the folder")
    return []


def read_numpy(path: Path, files: list[Path], settings: ReadSettings) -> SourceData:
    """Read an .npy file, or the arrays of an .npz file.

    Args:
        path: the file.
        files: that file alone, as `find_numpy` returned it.
        settings: of which `layout` says the order of the dimensions, and `key` the array of images.

    Raises:
        DataError: if the file is damaged, or if no array can be used.
    """
    try:
        if begins_with(path, b"PK"):
            return _read_npz(path, *read_npz(path), settings)
        return SourceData(values=read_as_asked(open_npy(path), settings, str(path)))
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
    fates: dict[str, Array | str] = {name: f"{why}; save it as numbers" for name, why in unreadable.items()}
    if settings.key is None and (pair := _parts(arrays)):
        return with_columns(_read_parts(path, arrays, pair, settings), fates, kind="array", id=settings.id)
    key = _image_array(path, arrays, settings.key)
    values = read_as_asked(arrays.pop(key), settings, f"{path}, array {key!r}")
    beside: dict[str, Array | str] = {**arrays, **fates}
    if {"latents_classes", "latents_values"} <= arrays.keys():  # dSprites states each factor as a class and a number
        beside["latents_values"] = "latents_classes says the same"
    return with_columns(SourceData(values=values, fates={f"array {key}": "used"}), beside, kind="array", id=settings.id)


def _image_array(path: Path, arrays: Mapping[str, Array], key: str | None) -> str:
    """Choose the array of images: `key`, or the first of `IMAGE_ARRAYS`, or the only array that can be images.

    Vectors of a usual name give way to the only array of as many images, under any name.
    """
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    if key is not None and key not in arrays:
        raise DataError(f"{path}: no array {key!r}; it holds {shapes}")
    numbers = [name for name, array in arrays.items() if array.ndim >= 2 and array.dtype.kind in "biuf"]
    candidates = [name for name in numbers if name.lower() not in LABEL_NAMES]
    images = [name for name in candidates if arrays[name].ndim > 2] or candidates
    usual = first_present(IMAGE_ARRAYS, candidates)
    if usual is not None and arrays[usual].ndim == 2:
        beside = [name for name in images if _has_sides(arrays[name]) and len(arrays[name]) == len(arrays[usual])]
        usual = first_present(IMAGE_ARRAYS, beside) or (beside[0] if len(beside) == 1 else usual)
    chosen = key or usual or (images[0] if len(images) == 1 else None)
    if chosen is None:
        raise DataError(f"{path}: which array holds the images? It holds {shapes}; say key=NAME")
    return chosen


def _has_sides(array: Array) -> bool:
    """Whether an array can be images by its sides; points, boxes and matrices of a row are smaller."""
    return array.ndim in (3, 4) and sorted(array.shape[1:])[-2] >= MIN_SIDE


def _parts(arrays: Mapping[str, Array]) -> dict[str, tuple[str, str]]:
    """Find the arrays that come in two parts, such as x_train and x_test: the names of both, by what they are of.

    What the first is of are the images; nothing is found if there are none.
    """
    of: dict[str, dict[str, str]] = {}
    for name in arrays:
        kind, rest = split_of(name)
        of.setdefault(rest.lower() or "x", {}).setdefault(kind or "", name)
    tests = {rest: parts.get("test", parts.get("validation")) for rest, parts in of.items()}
    pairs = {rest: (of[rest]["train"], test) for rest, test in tests.items() if test and "train" in of[rest]}
    images = first_present(IMAGE_ARRAYS, list(pairs))
    return {} if images is None else {images: pairs.pop(images), **pairs}


def joined_parts(path: Path, arrays: Mapping[str, Array], advice: str) -> Array:
    """Join the parts of a source before they are read, so that one range and one order of dimensions is that of all.

    Args:
        path: the source.
        arrays: (N, ...) the parts, by their names.
        advice: what to do if they do not fit.

    Raises:
        DataError: if they differ in shape, or some have floats and others whole numbers.
    """
    parts = list(arrays.values())
    named = [f"{name} {array.shape} of {array.dtype}" for name, array in arrays.items()]
    if len({array.shape[1:] for array in parts}) > 1 or len({array.dtype.kind == "f" for array in parts}) > 1:
        raise DataError(f"{path}: {' and '.join(named)} differ in shape or type; {advice}")
    return np.concatenate(parts)


def _read_parts(
    path: Path, arrays: Mapping[str, Array], pairs: Mapping[str, tuple[str, str]], settings: ReadSettings
) -> SourceData:
    """Read images and what is beside them in two parts: x_train, y_train, x_test and y_test, as Keras names them."""
    names = next(iter(pairs.values()))
    train, test = (arrays[name] for name in names)
    both = joined_parts(path, {name: arrays[name] for name in names}, f"say key={names[0]!r}")
    data = SourceData(
        values=read_as_asked(both, settings, str(path)),
        parts=train_and_test(len(train), len(test)),
        fates=dict.fromkeys((f"array {name}" for name in names), "used"),
    )
    beside: dict[str, Array | str] = {}
    used = set(names)
    for rest, pair in list(pairs.items())[1:]:
        of_parts = [arrays[name] for name in pair]
        if [len(array) for array in of_parts] == [len(train), len(test)] and len({a.shape[1:] for a in of_parts}) == 1:
            beside[rest] = np.concatenate(of_parts)
            used |= set(pair)
    unused = {name: "not of both parts, train and test" for name in arrays if name not in used}
    return with_columns(data, {**beside, **unused}, kind="array", id=settings.id)
