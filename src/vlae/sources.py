"""The kinds of source that `vlae.data.load` reads, each by one `find` and one `read` function, in the table `READERS`.

`find` says which files of a path make up a source of its kind (none: another reader's turn), from names and first
bytes alone; `read` turns them into a `Found`: every row, with all that is known about it, nothing yet resized or split.
"""

import gzip
import io
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

PICTURE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""The endings, in either case, of the files that count as pictures."""

PICTURE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""The formats that a picture may really have; no other decoder of Pillow's is let near a file."""

LABEL_NAMES = ("label", "labels", "target", "targets", "class", "y")
"""What a column or array of labels is called, in either case; the first that is there."""

ROW_NAMES = ("id", "name", "file", "file_name", "filename", "path", "image_id")
"""What a column that names its row is called, in either case; the first that is there."""

IMAGE_ARRAYS = ("images", "x", "data", "imgs")
"""What the array of images in an .npz file is called, in either case; the first that is there."""

TRAIN, TEST, OTHER = 0, 1, 2
"""The values of `Found.parts`."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "t10k": "test",
} | dict.fromkeys(("val", "valid", "validation", "dev"), "validation")
"""What the parts of a source are called by those who publish it, and what they are."""


class DataError(ValueError):
    """A source cannot be used; one line says what was given, what was expected and what to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a source becomes images; the arguments of `vlae.data.load` that a cached copy depends on."""

    size: int | None = None
    crop: int | None = None
    channels: int | None = None
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not 8 <= self.size <= 256:
            raise DataError(f"size is {self.size}: choose an image side of 8 to 256 pixels")
        if self.crop is not None and self.crop < 8:
            raise DataError(f"crop is {self.crop}: choose 8 pixels or more")
        if self.channels not in (None, 1, 2, 3, 4):
            raise DataError(
                f"channels is {self.channels}: choose 1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha)"
            )
        if self.layout not in (None, "NHW", "NHWC", "NCHW"):
            raise DataError(f"layout is {self.layout!r}: choose 'NHW', 'NHWC' or 'NCHW'")


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures still to be decoded: how many, and what opens one of them (a PIL.Image.Image to be closed after use)."""

    num: int
    open: Callable[[int], Any]


@dataclass(frozen=True, kw_only=True)
class Found:
    """All rows of a source, in its own order."""

    values: Pictures | Array  # uint8 (N, C, H, W), float32 (N, D), or pictures still to be decoded
    labels: Array | None = None  # int64 (N,)
    label_names: tuple[str, ...] = ()
    factors: Mapping[str, Array] = field(default_factory=dict)  # each (N,)
    names: tuple[str, ...] | None = None
    parts: Array | None = None  # int8 (N,), TRAIN, TEST or OTHER; None if the source has no test part of its own
    skipped: tuple[tuple[str, str], ...] = ()
    crop: int | None = None  # the crop and the size that the field uses for this source
    size: int | None = None

    def __len__(self) -> int:
        return self.values.num if isinstance(self.values, Pictures) else len(self.values)


def identify(source: str | Path, settings: Settings) -> tuple[str, Callable[[], Found]]:
    """Say what a source is, without reading more of it than its beginning.

    Args:
        source: a path, "streets", "streets:NUM", "hf:NAME", or the name of a data set on the Hugging Face hub.
        settings: which may name an array or a column (`key`) or say how an array is laid out (`layout`).

    Returns:
        A fingerprint that changes when the content does, and the function that reads the source.

    Raises:
        DataError: if the path holds nothing that can be read.
        FileNotFoundError: if there is no such path.
    """
    text = str(source)
    if match := re.fullmatch(r"streets(?::(\d+))?", text):
        return _identify_streets(int(match[1] or 50_000), settings.size or 32)
    if text.startswith("hf:"):
        return f"hub {text[3:]}", partial(read_hub, text[3:], settings)
    path = Path(source).expanduser()
    if not path.exists():
        if (
            isinstance(source, str)
            and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", text)
            and Path(text).suffix not in FILE_SUFFIXES
        ):
            return f"hub {text}", partial(read_hub, text, settings)
        raise FileNotFoundError(f"{text}: no such file or folder; check the path")
    for find, read in READERS:
        if files := find(path):
            return _fingerprint(path, files), partial(read, path, files, settings)
    raise DataError(
        f"{path}: a file of unknown kind; give a folder of pictures, or an .npy, .npz, IDX, SVHN .mat, .csv, .tsv or"
        " .parquet file"
    )


def _fingerprint(path: Path, files: Sequence[Path]) -> str:
    """List the files with their sizes and times: relative to a folder, so that it may be moved, or in full."""
    lines = [] if path.is_dir() else [str(path.resolve())]
    for file in files:
        status = file.stat()
        lines.append(f"{str(file).removeprefix(str(path))}|{status.st_size}|{status.st_mtime_ns}")
    return "\n".join(lines)


# Parts and labels ----------------------------------------------------------------------------------------------------


def parts_by_name(names: Sequence[str]) -> Array | None:
    """Tell train from test rows by the name of the part each is in; None unless there are both.

    A validation part is the test part of a source that has no other, and else belongs to neither.

    >>> parts_by_name(["train", "val", "train"]).tolist()
    [0, 1, 0]
    """
    kinds = {name: SPLIT_NAMES.get(name.lower()) for name in set(names)}
    test = "test" if "test" in kinds.values() else "validation"
    if not {"train", test} <= set(kinds.values()):
        return None
    codes = {name: {"train": TRAIN, test: TEST}.get(kind or "", OTHER) for name, kind in kinds.items()}
    return np.array([codes[name] for name in names], np.int8)


def _train_and_test(num_train: int, num_test: int) -> Array:
    return np.repeat(np.array([TRAIN, TEST], np.int8), [num_train, num_test])


def _classes(values: npt.ArrayLike) -> tuple[Array, tuple[str, ...]]:
    """Turn class names, or whole numbers, into int64 labels and the names of the classes."""
    array = np.asarray(values).reshape(-1)
    if array.dtype.kind in "iub":
        return array.astype(np.int64), ()
    names, labels = np.unique(array.astype(str), return_inverse=True)
    return labels.astype(np.int64), tuple(names.tolist())


def _first(wanted: Sequence[str], present: Sequence[str]) -> str | None:
    """Return the first of the wanted names that is present, in either case."""
    lower = {name.lower(): name for name in reversed(present)}
    return next((lower[name] for name in wanted if name in lower), None)


# Street numbers ------------------------------------------------------------------------------------------------------


def _identify_streets(num: int, size: int) -> tuple[str, Callable[[], Found]]:
    """Fingerprint the code that draws, so that a changed drawing is drawn again."""
    from vlae import streets

    code = Path(streets.__file__).read_bytes()
    return f"streets {num} {size} {hash_bytes(code)}", partial(read_streets, num, size)


def hash_bytes(content: bytes) -> str:
    """Return a short name for the content, the same on every machine."""
    import hashlib

    return hashlib.sha256(content).hexdigest()[:32]


def read_streets(num: int, size: int) -> Found:
    """Draw `num` street numbers to train with and a tenth as many, at most 5,000, to test with."""
    from vlae import streets

    num_test = min(5_000, max(1, num // 10))
    try:
        drawn = [streets.draw(num, seed=0, size=size), streets.draw(num_test, seed=1, size=size)]
    except ValueError as error:
        raise DataError(f"streets:{num}: {error}") from error
    factors = {name: np.concatenate([drawn[0][1][name], drawn[1][1][name]]) for name in drawn[0][1]}
    return Found(
        values=np.concatenate([images for images, _ in drawn]),
        labels=factors["digit"].astype(np.int64),
        label_names=tuple("0123456789"),
        factors=factors,
        parts=_train_and_test(num, num_test),
    )


# Arrays --------------------------------------------------------------------------------------------------------------


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


def find_numpy(path: Path) -> list[Path]:
    """Find an .npy or .npz file, by its content."""
    if _begins(path, b"\x93NUMPY"):
        return [path]
    if _begins(path, b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if archive.namelist() and all(name.endswith(".npy") for name in archive.namelist()):
                return [path]
        raise DataError(f"{path}: a zip file that holds no arrays; unpack it, and give the folder")
    return []


def _begins(path: Path, *magic: bytes) -> bool:
    """Tell whether a file begins with one of these bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(max(map(len, magic))).startswith(magic)


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
    label = _first(LABEL_NAMES, [name for name in columns if columns[name].dtype.kind in "iubU"])
    labels, label_names = _classes(columns.pop(label)) if label else (None, ())
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
    chosen = key or _first(IMAGE_ARRAYS, candidates) or (candidates[0] if len(candidates) == 1 else None)
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
        labels, label_names = _classes(np.concatenate([arrays["y_train"].ravel(), arrays["y_test"].ravel()]))
    return Found(
        values=read_array(np.concatenate([train, test]), layout=settings.layout, what=str(path)),
        labels=labels,
        label_names=label_names,
        parts=_train_and_test(len(train), len(test)),
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
    if not _begins(path, b"\x00\x00\x08", b"\x1f\x8b") or _idx_head(path)[:3] != b"\x00\x00\x08":
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
    return gzip.open(path) if _begins(path, b"\x1f\x8b") else path.open("rb")


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
    if not (SVHN_NAME.fullmatch(path.name) or _begins(path, b"MATLAB")):
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
        parts=_train_and_test(*(len(labels) for _, labels in loaded)) if len(files) == 2 else None,
    )


def _svhn_arrays(path: Path) -> tuple[Array, Array]:
    """Read one file's images, N C H W, and labels."""
    from scipy.io import loadmat

    if not _begins(path, b"MATLAB 5.0"):
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


# Tables --------------------------------------------------------------------------------------------------------------


def find_table(path: Path) -> list[Path]:
    """Find a .csv, .tsv or Parquet file."""
    is_table = path.is_file() and path.suffix.lower() in (".csv", ".tsv")
    return [path] if is_table or _begins(path, b"PAR1") else []


def read_table(path: Path, files: list[Path], settings: Settings) -> Found:
    """Read a table: its numbers as vectors, or its column of pictures."""
    import pyarrow

    try:
        table = _read_csv(path) if path.suffix.lower() in (".csv", ".tsv") else _read_parquet(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: cannot be read ({str(error).splitlines()[0]}); repair the file or get it again"
        ) from error
    if any(
        pyarrow.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0 for column in table.columns
    ):
        from datasets import Dataset
        from datasets.table import InMemoryTable

        return _from_dataset(Dataset(InMemoryTable(table)), None, str(path), settings)
    return _from_table(table, str(path), settings.key)


def _read_csv(path: Path) -> Any:
    """Read a .csv or .tsv file, with or without a line of names at the top."""
    from pyarrow import csv

    parse = csv.ParseOptions(delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    table = csv.read_csv(path, parse_options=parse)
    if all(re.fullmatch(r"\s*[-+]?[\d.]+(e[-+]?\d+)?\s*", name, re.IGNORECASE) for name in table.column_names):
        table = csv.read_csv(path, parse_options=parse, read_options=csv.ReadOptions(autogenerate_column_names=True))
    return table


def _read_parquet(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.read_table(path)


def _from_table(table: Any, source: str, key: str | None) -> Found:
    """Take numeric columns, or one column of lists, as vectors; labels and names by what their columns are called."""
    from pyarrow import types

    kinds = {name: table.schema.field(name).type for name in table.column_names}
    if key is not None and key not in kinds:
        raise DataError(f"{source}: no column {key!r}; it has {', '.join(kinds)}")
    row_name = _first(
        ROW_NAMES,
        [name for name in kinds if name != key and (types.is_string(kinds[name]) or types.is_integer(kinds[name]))],
    )
    label = _first(LABEL_NAMES, [name for name in kinds if name != key])
    rest = [name for name in kinds if name not in (row_name, label)]
    lists = [name for name in rest if _is_list(kinds[name])]
    numbers = [name for name in rest if _is_number(kinds[name])]
    if len(lists) > 1 and key is None:
        raise DataError(f"{source}: which column of lists holds the vectors? {', '.join(lists)}; say key=NAME")
    if key in lists or (lists and key is None):
        used = [key or lists[0]]
        values = _list_column(table[used[0]], f"{source}, column {used[0]!r}")
    else:
        used = [key] if key else numbers
        if not used:
            raise DataError(f"{source}: no numeric column among {', '.join(kinds)}; give columns of numbers")
        values = np.column_stack([_number_column(table[name], f"{source}, column {name!r}") for name in used])
    labels, label_names, factors = _label_column(table, label, source)
    return Found(
        values=read_array(values, layout=None, what=source),
        labels=labels,
        label_names=label_names,
        factors=factors,
        names=tuple(map(str, table[row_name].to_pylist())) if row_name else None,
        skipped=tuple(
            (f"column {name}", f"{kinds[name]}, not numbers") for name in rest if name not in {*numbers, *lists}
        ),
    )


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind))


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list and _is_number(kind.value_type))


def _number_column(column: Any, what: str) -> Array:
    """Turn one column into float32 (N,)."""
    if column.null_count:
        raise DataError(
            f"{what}: {column.null_count} of {len(column)} values are missing; fill them or drop their rows"
        )
    values = column.cast("float64").to_numpy().astype(np.float32)
    num_bad = int((~np.isfinite(values)).sum())
    if num_bad:
        raise DataError(f"{what}: {num_bad} of {len(column)} values are NaN or infinite; fill them or drop their rows")
    return np.asarray(values)


def _list_column(column: Any, what: str) -> Array:
    """Turn one column of lists into float32 (N, D)."""
    from pyarrow import compute

    lengths = set(compute.list_value_length(column).to_pylist())
    if len(lengths) != 1 or None in lengths or 0 in lengths:
        raise DataError(
            f"{what}: lists of different lengths ({', '.join(map(str, list(lengths)[:5]))}); pad or drop rows"
        )
    return _number_column(compute.list_flatten(column), what).reshape(len(column), -1)


def _label_column(table: Any, name: str | None, source: str) -> tuple[Array | None, tuple[str, ...], dict[str, Array]]:
    """Turn the column of labels into labels, or, if it holds real numbers, into a factor."""
    from pyarrow import types

    if name is None:
        return None, (), {}
    column = table[name]
    if column.null_count:
        raise DataError(
            f"{source}, column {name!r}: {column.null_count} labels are missing; fill them or drop their rows"
        )
    if types.is_floating(column.type):
        return None, (), {name: column.to_numpy()}
    return *_classes(column.to_pylist()), {}


# Hugging Face --------------------------------------------------------------------------------------------------------


def find_saved_dataset(path: Path) -> list[Path]:
    """Find a folder that `datasets.Dataset.save_to_disk` or `DatasetDict.save_to_disk` has written."""
    marks = [(path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json", "state.json")]
    return list(walk(path)) if marks[0] or all(marks[1:]) else []


def read_saved_dataset(path: Path, files: list[Path], settings: Settings) -> Found:
    """Read a saved Dataset or DatasetDict."""
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # a damaged folder raises almost anything
        raise DataError(f"{path}: datasets cannot read it ({_line(error)}); save it again") from error
    return _from_datasets(loaded, str(path), settings)


def read_hub(name: str, settings: Settings) -> Found:
    """Read a data set of the Hugging Face hub, downloading it if need be."""
    import datasets
    import huggingface_hub

    try:
        if not huggingface_hub.constants.HF_HUB_OFFLINE:
            huggingface_hub.HfApi().dataset_info(name, timeout=10)  # answers at once where datasets tries for long
        loaded = datasets.load_dataset(name)
    except Exception as error:  # the network, the hub, the script of the data set: anything
        raise DataError(
            f"{name}: no such file or folder, and not to be had from the Hugging Face hub ({_line(error)}); check the"
            " spelling or the network (HF_HUB_OFFLINE=1 uses what was downloaded before)"
        ) from error
    return _from_datasets(loaded, name, settings)


def _line(error: Exception) -> str:
    """Return an error's first line, or its kind if it says nothing."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def _from_datasets(loaded: Any, source: str, settings: Settings) -> Found:
    """Join the parts of a DatasetDict."""
    import datasets

    if not isinstance(loaded, datasets.DatasetDict):
        return _from_dataset(loaded, None, source, settings)
    parts = parts_by_name(np.repeat(list(loaded), [len(part) for part in loaded.values()]).tolist())
    try:
        joined = datasets.concatenate_datasets(list(loaded.values()))
    except ValueError as error:
        raise DataError(f"{source}: its parts {', '.join(loaded)} have different columns; save them apart") from error
    return _from_dataset(joined, parts, source, settings)


def _from_dataset(dataset: Any, parts: Array | None, source: str, settings: Settings) -> Found:
    """Take the column of pictures, known by its type, or else the numbers, as of a table."""
    from datasets import ClassLabel, Image

    classes = {name: feature for name, feature in dataset.features.items() if isinstance(feature, ClassLabel)}
    images = [name for name, feature in dataset.features.items() if _holds_pictures(feature)]
    if not images:
        found = _from_table(dataset.with_format("arrow")[:], source, settings.key)
        label = _first(LABEL_NAMES, list(classes))
        return replace(found, parts=parts, label_names=tuple(classes[label].names) if label else found.label_names)
    if settings.key is not None and settings.key not in images:
        raise DataError(f"{source}: no column {settings.key!r} of pictures; it has {', '.join(images)}")
    column = settings.key or images[0]
    pictures = dataset.select_columns([column]).with_format(None).cast_column(column, Image(decode=False))
    others = dataset.remove_columns(images).with_format("numpy")
    numbers = [
        name for name, feature in others.features.items() if getattr(feature, "dtype", "") in WHOLE or name in classes
    ]
    factors = {name: np.asarray(others[name][:]).astype(np.int64) for name in numbers}
    label = next(iter(classes), None) or _first(LABEL_NAMES, numbers)
    return Found(
        values=Pictures(num=len(dataset), open=lambda i: _open_bytes(pictures[i][column])),
        labels=factors.pop(label) if label else None,
        label_names=tuple(classes[label].names) if label in classes else (),
        factors=factors,
        parts=parts,
    )


WHOLE = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")


def _holds_pictures(feature: Any) -> bool:
    """Tell a column of pictures, declared or only stored as one (a struct of bytes and path)."""
    from datasets import Image

    return isinstance(feature, Image) or (isinstance(feature, dict) and {"bytes", "path"} <= feature.keys())


def _open_bytes(cell: Mapping[str, Any]) -> Any:
    """Open a picture that is stored in a table, or whose path is."""
    return _open_picture(io.BytesIO(cell["bytes"]) if cell["bytes"] is not None else cell["path"])


# Folders of pictures -------------------------------------------------------------------------------------------------


def walk(folder: str | Path, seen: set[tuple[int, int]] | None = None) -> Iterator[Path]:
    """Yield the regular files below a folder, links followed, hidden ones left out, in a fixed order."""
    seen = set() if seen is None else seen
    identity = Path(folder).stat()
    if (identity.st_dev, identity.st_ino) in seen:  # a link back up
        return
    seen.add((identity.st_dev, identity.st_ino))
    with os.scandir(folder) as entries:
        visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in visible:
        if entry.is_dir():
            yield from walk(entry.path, seen)
        elif entry.is_file():
            yield Path(entry.path)


def is_picture(file: Path) -> bool:
    """Tell a picture by its ending."""
    return file.suffix.lower() in PICTURE_SUFFIXES


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
        labels, label_names = _classes([name.partition("/")[0] for name in inner])
    return Found(values=_files(files), labels=labels, label_names=label_names, names=tuple(names), parts=parts)


def _files(files: Sequence[Path]) -> Pictures:
    return Pictures(num=len(files), open=lambda i: _open_picture(files[i]))


def _open_picture(file: Any) -> Any:
    from PIL import Image

    return Image.open(file, formats=PICTURE_FORMATS)


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


READERS: tuple[tuple[Callable[[Path], list[Path]], Callable[[Path, list[Path], Settings], Found]], ...] = (
    (find_numpy, read_numpy),
    (find_idx, read_idx),
    (find_svhn, read_svhn),
    (find_table, read_table),
    (find_saved_dataset, read_saved_dataset),
    (find_celeba, read_celeba),
    (find_pictures, read_pictures),
)
"""Every kind of source, by what finds it and what reads it; the first that finds anything is the one."""

FILE_SUFFIXES = (*PICTURE_SUFFIXES, ".npy", ".npz", ".mat", ".csv", ".tsv", ".parquet", ".gz", ".zip")
"""The endings that no data set of the hub has: what ends so and is not there is a missing file."""
