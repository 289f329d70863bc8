"""Arrays of numbers → images or vectors, and the files that hold arrays: numpy's, IDX (MNIST's format) and SVHN's."""

import gzip
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vlae.data.files import begins_with
from vlae.data.source import (
    LABEL_NAMES,
    Array,
    DataError,
    Found,
    Settings,
    as_classes,
    first_present,
    parts_by_name,
    train_and_test,
)

IMAGE_ARRAYS = ("images", "x", "data", "imgs")
"""What the array of images in an .npz file is called, in either case; the first that is there."""


def read_array(array: Array, *, layout: str | None, what: str) -> Array:
    """Bring an array to uint8 (N, C, H, W), or, if it has two dimensions, to float32 (N, D).

    Whole numbers 0 to 255 are pixels as they stand; booleans, and whole numbers that never pass 1, become 0 and 255;
    floats in [0, 1] become round(255x).

    Args:
        array: (N, H, W), (N, H, W, C), (N, C, H, W) or (N, D).
        layout: "NHW", "NHWC", "NCHW" or None, which is to infer it: the channels are the dimension of 1 to 4.
        what: the array's name, for messages.

    Raises:
        DataError: if the shape, the type or the range of the array is none of these.

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
    """Move the channels to where torch wants them, N C H W, without a copy."""
    inferred = {3: "NHW"}.get(array.ndim, layout)
    if array.ndim == 4 and layout is None:
        second, last = 1 <= array.shape[1] <= 4, 1 <= array.shape[3] <= 4
        if second == last:
            raise DataError(f"{what}: shape {array.shape} does not tell the channels; say layout='NHWC' or 'NCHW'")
        inferred = "NCHW" if second else "NHWC"
    if inferred is None or (layout or inferred) != inferred or array.ndim != len(inferred):
        expected = layout or "N H W, N H W C, N C H W (images) or N D (vectors)"
        raise DataError(f"{what}: shape {array.shape} does not fit; expected {expected}; reshape the array")
    images = array[:, None] if inferred == "NHW" else array
    images = np.moveaxis(images, 3, 1) if inferred == "NHWC" else images
    if not 1 <= images.shape[1] <= 4:
        raise DataError(f"{what}: {images.shape[1]} channels in shape {array.shape}; expected 1 to 4; check layout=")
    return images


def _pixels(images: Array, what: str) -> Array:
    """Bring numbers of any type to uint8, 0 to 255."""
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
    """Refuse NaN and infinity (the extremes, which are cheap to find, show whether there is any)."""
    if array.dtype.kind == "f" and not np.isfinite([array.min(), array.max()]).all():
        bad = ~np.isfinite(array)
        first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
        raise DataError(
            f"{what}: {int(bad.sum())} values are NaN or infinite, the first at {first}; remove or fill them"
        )


# numpy's files --------------------------------------------------------------------------------------------------------


def find_numpy(path: Path) -> list[Path]:
    """Find an .npy or .npz file, by its content."""
    if begins_with(path, b"\x93NUMPY"):
        return [path]
    if begins_with(path, b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if archive.namelist() and all(name.endswith(".npy") for name in archive.namelist()):
                return [path]
        raise DataError(f"{path}: a zip file that holds no arrays; unpack it, and give the folder")
    return []


def read_numpy(path: Path, files: list[Path], settings: Settings) -> Found:
    """Read an .npy file, or the arrays of an .npz file."""
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if "pickle" in str(error) or "Object" in str(error):
            raise DataError(f"{path}: an array of Python objects; save it again as numbers, of one shape") from error
        raise DataError(f"{path}: cannot be read ({error}); the file is damaged, get it again") from error
    if isinstance(loaded, np.ndarray):
        return Found(values=read_array(loaded, layout=settings.layout, what=str(path)))
    with loaded:
        return _read_npz(path, loaded, settings)


def _read_npz(path: Path, archive: Mapping[str, Array], settings: Settings) -> Found:
    """Find the images among an archive's arrays, and what else is known of each row."""
    arrays, unreadable = {}, {}
    for name in archive:
        try:
            arrays[name] = archive[name]
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            unreadable[name] = str(error)
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
    factors = {name: array.astype(np.int64) for name, array in columns.items() if array.dtype.kind in "iub"}
    return Found(values=values, labels=labels, label_names=label_names, factors=factors)


def _columns(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Take arrays of one value per row, and split those of a few whole numbers per row (dSprites' latents_classes)."""
    columns = {name: array for name, array in arrays.items() if array.ndim == 1}
    for name, array in arrays.items():
        if array.ndim == 2 and array.dtype.kind in "iub" and array.shape[1] <= 32:
            columns |= {f"{name}_{i}": array[:, i] for i in range(array.shape[1])}
    return columns


def _image_array(path: Path, arrays: Mapping[str, Array], key: str | None) -> str:
    """Choose the array of images: the one asked for, or named like images, or the only one that can be."""
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    if key is not None and key not in arrays:
        raise DataError(f"{path}: no array {key!r}; it holds {shapes}")
    candidates = [name for name, array in arrays.items() if array.ndim >= 2 and array.dtype.kind in "biuf"]
    chosen = key or first_present(IMAGE_ARRAYS, candidates) or (candidates[0] if len(candidates) == 1 else None)
    if chosen is None:
        raise DataError(f"{path}: which array holds the images? It holds {shapes}; say key=NAME")
    return chosen


def _read_keras(path: Path, arrays: Mapping[str, Array], settings: Settings) -> Found:
    """Read x_train, y_train, x_test, y_test, as Keras publishes MNIST."""
    train, test = arrays["x_train"], arrays["x_test"]
    if train.shape[1:] != test.shape[1:]:
        raise DataError(f"{path}: x_train {train.shape} and x_test {test.shape} differ in shape; say key='x_train'")
    labels: Array | None = None
    label_names: tuple[str, ...] = ()
    if {"y_train", "y_test"} <= arrays.keys():
        labels, label_names = as_classes(np.concatenate([arrays["y_train"].ravel(), arrays["y_test"].ravel()]))
    return Found(
        values=read_array(np.concatenate([train, test]), layout=settings.layout, what=str(path)),
        labels=labels,
        label_names=label_names,
        parts=train_and_test(len(train), len(test)),
    )


# IDX, the format of MNIST --------------------------------------------------------------------------------------------

IDX_NAME = re.compile(r"(?P<set>.*?)(?P<part>train|t10k|test)[-.](?P<kind>images|labels)[-.]idx[134]-ubyte(\.gz)?")


def find_idx(path: Path) -> list[Path]:
    """Find the IDX files of a folder, or an IDX file and those of the same set beside it."""
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
    return [file for beside, file in _idx_files(path.parent) if beside["set"] == match["set"]] if match else [path]


def _idx_files(folder: Path) -> list[tuple[re.Match[str], Path]]:
    """List a folder's IDX files; of a file that is there both packed and unpacked, the unpacked one."""
    found: dict[str, tuple[re.Match[str], Path]] = {}
    with os.scandir(folder) as entries:
        matches = [match for entry in entries if (match := IDX_NAME.fullmatch(entry.name))]
    for match in sorted(matches, key=lambda match: match.string):
        found.setdefault(match.string.removesuffix(".gz"), (match, folder / match.string))
    return list(found.values())


def _idx_head(path: Path) -> bytes:
    """Read an IDX file's first 4 bytes; none if it cannot be unpacked."""
    try:
        with _open_idx(path) as file:
            return bytes(file.read(4))
    except (OSError, EOFError):
        return b""


def _open_idx(path: Path) -> Any:
    return gzip.open(path) if begins_with(path, b"\x1f\x8b") else path.open("rb")


def read_idx(path: Path, files: list[Path], settings: Settings) -> Found:
    """Read MNIST and all that is stored as MNIST is; t10k is the test part."""
    named = {(match["kind"], match["part"]): file for file in files if (match := IDX_NAME.fullmatch(file.name))}
    images = {part: _idx_array(file) for (kind, part), file in named.items() if kind == "images"} or {
        "all": _idx_array(path)
    }
    labels = {part: _idx_array(named["labels", part]) for part in images if ("labels", part) in named}
    for part in labels:
        if len(labels[part]) != len(images[part]):
            raise DataError(f"{path}: {len(images[part])} {part} images but {len(labels[part])} labels; get it again")
    return Found(
        values=read_array(np.concatenate(list(images.values())), layout=settings.layout, what=str(path)),
        labels=np.concatenate([labels[part] for part in images]).astype(np.int64)
        if len(labels) == len(images)
        else None,
        parts=parts_by_name(np.repeat(list(images), [len(array) for array in images.values()]).tolist()),
    )


def _idx_array(path: Path) -> Array:
    """Read one IDX file of bytes: two zeros, the type (8), the rank, big-endian sizes, then the values."""
    try:
        with _open_idx(path) as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); the file is damaged, get it again") from error
    rank = content[3] if len(content) > 3 and content[:3] == b"\x00\x00\x08" else 0
    shape = tuple(np.frombuffer(content, ">u4", rank, 4).tolist()) if len(content) >= 4 + 4 * rank else ()
    values = content[4 + 4 * rank :]
    if rank == 0 or len(values) != np.prod(shape, dtype=np.int64):
        raise DataError(f"{path}: {len(values)} bytes do not fill the shape {shape}; the file is damaged, get it again")
    return np.frombuffer(values, np.uint8).reshape(shape)


# SVHN ----------------------------------------------------------------------------------------------------------------

SVHN_NAME = re.compile(r"(train|extra|test)_32x32\.mat")


def find_svhn(path: Path) -> list[Path]:
    """Find SVHN's cropped digits: of a folder the train and test file, or a file and the test file beside it."""
    if path.is_dir():
        files = [path / f"{part}_32x32.mat" for part in ("train", "test")]
        files = files if files[0].is_file() else [path / "extra_32x32.mat", files[1]]
        return [file for file in files if file.is_file()]
    if not (SVHN_NAME.fullmatch(path.name) or begins_with(path, b"MATLAB")):
        return []
    test = path.with_name("test_32x32.mat")
    return [path, test] if SVHN_NAME.fullmatch(path.name) and path != test and test.is_file() else [path]


def read_svhn(path: Path, files: list[Path], settings: Settings) -> Found:
    """Read SVHN (Netzer et al. 2011): X is H W C N, and label 10 is the digit 0."""
    loaded = [_svhn_arrays(file) for file in files]
    return Found(
        values=np.concatenate([images for images, _ in loaded]),
        labels=np.concatenate([labels for _, labels in loaded]),
        label_names=tuple("0123456789"),
        parts=train_and_test(*(len(labels) for _, labels in loaded)) if len(files) == 2 else None,
    )


def _svhn_arrays(path: Path) -> tuple[Array, Array]:
    """Read one file's images, N C H W, and labels."""
    from scipy.io import loadmat

    if not begins_with(path, b"MATLAB 5.0"):
        raise DataError(f"{path}: not a Matlab 5 file (7.3 is not read); save it in Matlab with -v7, or as .npz")
    try:
        variables = loadmat(path)
    except Exception as error:  # a damaged file raises almost anything
        raise DataError(f"{path}: cannot be read ({error}); the file is damaged, get it again") from error
    images, labels = variables.get("X"), variables.get("y")
    if images is None or labels is None or images.ndim != 4 or images.shape[3] != labels.size:
        names = ", ".join(name for name in variables if not name.startswith("__"))
        raise DataError(f"{path}: expected SVHN's X (H W C N) and y (N), found {names}; save other arrays as .npz")
    values = read_array(images.transpose(3, 2, 0, 1), layout="NCHW", what=f"{path}, X")
    return values, labels.ravel().astype(np.int64) % 10
