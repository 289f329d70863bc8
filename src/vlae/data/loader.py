"""Any source → one `Images`: uint8 (N, C, H, W) images or float32 (N, D) vectors, decoded once and memory-mapped.

`readers.py` has the kinds of source. Three things are done with every source here. Its pictures are brought to one
shape. The result is kept in a cache. A part is held out for testing.
"""

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from vlae.data.arrays import read_array
from vlae.data.cache import FORMAT, cache_folder, new_array, new_entry, new_file, open_entry, write_rows
from vlae.data.images import Images
from vlae.data.pixels import array_frame, array_pictures, fit_picture, for_each, look_at_all, picture_frame
from vlae.data.readers import check_unchanged, hash_bytes, identify
from vlae.data.source import TEST, TRAIN, Array, DataError, EncodedPictures, ReadSettings, SourceData
from vlae.shapes import is_image

if TYPE_CHECKING:  # torch is not needed to say that a source is missing
    from vlae.nn.pretrained import FeatureNetwork

__all__ = ["DataError", "Images", "load"]

IN_MEMORY = 2**30
"""The largest selection of scattered rows that is copied to memory, in bytes. A larger one is kept in the cache."""

MAX_HELD_OUT = 5_000
"""The most images that are held out for testing: enough to estimate a mean, for a source of any size."""


def load(
    source: str | Path | Array | Images,
    *,
    split: Literal["train", "test", "all"] = "train",
    size: int | None = None,
    crop: int | None = None,
    channels: int | None = None,
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
    key: str | None = None,
    holdout: float = 0.05,
    limit: int | None = None,
    seed: int = 0,
    progress: bool = False,
    features: "str | Path | FeatureNetwork | None" = None,
) -> Images:
    """Load images or vectors from a file, a folder, an array or a data set of the Hugging Face hub.

    The content of a source tells its kind:

    - `"streets"` or `"streets:NUM"`: the built-in street numbers, 50,000 or NUM to train with;
    - a folder of pictures (BMP, GIF, JPEG, PNG, TIFF, WebP) of any depth, size and mode. Subfolders called train and
      test (or val) are its parts. If every picture is in a subfolder, the subfolders are the classes. Broken files are
      left out and listed in `skipped`;
    - the folder of CelebA, with the usual 108-pixel crop, and with attributes and parts if their lists are there;
    - one picture file, with split="all";
    - an .npy or .npz file, or a numpy array;
    - a folder of IDX files (MNIST) or of SVHN's .mat files, or one of these files;
    - a .csv, .tsv or .parquet table, whose rows of numbers are vectors;
    - a folder that Hugging Face's `datasets` has saved;
    - a data set of the Hugging Face hub: "USER/NAME", or "hf:USER/NAME" if a folder has the same name. A name without
      an owner is "hf:NAME". It is downloaded once; delete the cache to download it again.

    A picture is cut to the square in its middle and resized. An array keeps its shape unless `size` or `crop` is given.
    Vectors stay as they are. The result is kept in a cache ($VLAE_CACHE, or vlae in $XDG_CACHE_HOME or ~/.cache) until
    the files change. It is memory-mapped from there.

    If a source has no test part, random rows are held out: the fraction `holdout` of it, at most 5,000. At least 16
    are held out, or a quarter of the source if that is less. The order of the source is kept.

    Args:
        source: a path; a name; `Images`; or an array of (N, H, W), (N, H, W, C), (N, C, H, W) images, uint8 or floats
            in [0, 1], or of (N, D) vectors.
        split: the part to return: "train", "test" or "all".
        size: side of the square images, 8 to 256 pixels. None: pictures of one size, at most 64 pixels a side, keep
            it; others become 64 × 64.
        crop: side of the square that is cut from the middle of each picture before resizing, 8 pixels or more.
        channels: 1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha). None: 1 if all pictures are grey, else 3.
            Without alpha, transparent parts become white.
        layout: the order of an array's dimensions, if its shape does not tell: "NHW", "NHWC" or "NCHW".
        key: the array of an .npz file, or the column of a table, that holds the images.
        holdout: fraction of the source to hold out, 0 or more and less than 1.
        limit: the most images to return, chosen at random, in the order of the source. None: all of the part.
        seed: of the random choices of rows, 0 or more.
        progress: whether to show a progress bar while pictures are decoded.
        features: a frozen network whose features of the full-size pictures the images get: a .pt, .pt2 or .onnx file,
            "timm:NAME", "hf:USER/NAME", or an open network. Features are computed once and kept in the cache.

    Returns:
        Images of uint8 (N, C, H, W), 0 to 255, or vectors of float32 (N, D).

    Raises:
        DataError: if the source cannot be read, or if an argument is out of range.
        FileNotFoundError: if there is no such path.
        TypeError: if the source is of another type.

    Examples:
        >>> load(np.random.default_rng(0).random((200, 32, 32, 3)), split="test").values.shape
        (16, 3, 32, 32)
    """
    if split not in ("train", "test", "all"):
        raise DataError(f"split is {split!r}: choose 'train', 'test' or 'all'")
    if not 0 <= holdout < 1:
        raise DataError(f"holdout is {holdout}: choose a fraction from 0 to less than 1")
    if limit is not None and limit < 1:
        raise DataError(f"limit is {limit}: choose 1 or more")
    settings = ReadSettings(size=size, crop=crop, channels=channels, layout=layout, key=key)
    whole, parts = _whole(source, settings, progress)
    if split != "all" and parts is None and len(whole) < 2:
        raise DataError(
            f"{whole.source}: one picture is not enough to train and test with; give more (split='all' takes it)"
        )
    rng = np.random.default_rng(seed)
    rows = _rows(len(whole), parts, split, holdout, rng)
    if len(rows) == 0:
        raise DataError(
            f"{whole.source}: its {split} part is empty; take another part, or change holdout ({holdout:g})"
        )
    if limit is not None and limit < len(rows):
        rows = np.sort(rng.permutation(rows)[:limit])
    if features is not None:
        from vlae.data.features import add_features  # torch, which other sources do not need
        from vlae.nn.pretrained import open_network

        network = open_network(features) if isinstance(features, str | Path) else features
        whole = add_features(whole, rows, source, settings, network, progress)
    return replace(_select(whole, rows, None if isinstance(source, Images) else whole.cache), split=split)


# Parts ---------------------------------------------------------------------------------------------------------------


def _rows(num: int, parts: Array | None, split: str, holdout: float, rng: np.random.Generator) -> Array:
    """Return the numbers of the rows of a part, in order."""
    if split == "all":
        return np.arange(num)
    if parts is None:
        parts = _hold_out(num, holdout, rng)
    return np.flatnonzero(parts == (TRAIN if split == "train" else TEST))


def _hold_out(num: int, holdout: float, rng: np.random.Generator) -> Array:
    """Choose random rows to test with.

    Returns:
        int8 (num,), TRAIN or TEST of each row.

    Examples:
        >>> [int(_hold_out(num, 0.05, np.random.default_rng(0)).sum()) for num in (2, 20, 100, 1_000, 1_000_000)]
        [1, 5, 16, 50, 5000]
    """
    num_test = min(MAX_HELD_OUT, max(1, min(16, num // 4), round(holdout * num))) if holdout else 0
    parts = np.full(num, TRAIN, np.int8)
    parts[rng.permutation(num)[:num_test]] = TEST
    return parts


def _select(whole: Images, rows: Array, folder: Path | None) -> Images:
    """Select rows.

    Rows that follow each other are not copied. Others are copied to memory, or to the folder if they are too many.
    """
    first, last = int(rows[0]), int(rows[-1]) + 1
    if last - first == len(rows):
        return whole.take(slice(first, last))
    if folder is None or len(rows) * whole.values[0].nbytes <= IN_MEMORY:
        return whole.take(rows)
    file = folder / f"rows-{hash_bytes(rows.tobytes())}.npy"
    if not file.exists():
        with new_file(file) as unfinished:
            _copy_rows(whole.values, rows, new_array(unfinished, (len(rows), *whole.shape), whole.values.dtype))
    return whole._with_rows(np.load(file, mmap_mode="r"), rows)


def _copy_rows(values: Array, rows: Array, out: Array) -> None:
    """Copy the chosen rows, 1024 at a time."""
    for start in range(0, len(rows), 1024):
        out[start : start + 1024] = values[rows[start : start + 1024]]


# A whole source, decoded ---------------------------------------------------------------------------------------------


def _whole(source: str | Path | Array | Images, settings: ReadSettings, progress: bool) -> tuple[Images, Array | None]:
    """Decode a source, or open it in the cache.

    Returns:
        All its images, and the part of each row, int8 (N,); None if the source has no parts.
    """
    if isinstance(source, Images):
        part = {"train": TRAIN, "test": TEST}.get(source.split)
        parts = None if part is None else np.full(len(source), part, np.int8)
        if settings == ReadSettings():
            return source, parts
        data = SourceData(
            values=source.values,
            labels=source.labels,
            label_names=source.label_names,
            factors=source.factors,
            names=source.names,
            columns=source.columns,
            parts=parts,
            skipped=source.skipped,
        )
        whole, parts = _decode(data, settings, source.source, progress, None)
        return replace(whole, features=source.features, features_from=source.features_from), parts
    if isinstance(source, np.ndarray):
        data = SourceData(values=read_array(source, layout=settings.layout, what="the array"))
        return _decode(data, settings, "an array", progress, None)
    if not isinstance(source, str | Path):
        raise TypeError(f"{type(source).__name__} is no source of images; give a path, a name, a numpy array or Images")
    fingerprint, read = identify(source, settings)
    entry = cache_folder() / _entry_name(settings, fingerprint)
    if (cached := open_entry(entry, str(source))) is None:
        data = read()
        with new_entry(entry) as folder:
            whole, parts = _decode(data, settings, str(source), progress, folder)
            check_unchanged(source, settings, fingerprint)
            write_rows(folder, whole, parts)
        cached = open_entry(entry, str(source))
    assert cached is not None
    return cached


def _entry_name(settings: ReadSettings, fingerprint: str) -> str:
    """Return the name of the cache folder of a source: a hash of the format, the settings and the fingerprint."""
    asked = ", ".join(f"{field.name}={getattr(settings, field.name)!r}" for field in fields(settings))
    return hash_bytes(f"{FORMAT}\nSettings({asked})\n{fingerprint}".encode(errors="surrogateescape"))


def _decode(
    data: SourceData, settings: ReadSettings, source: str, progress: bool, folder: Path | None
) -> tuple[Images, Array | None]:
    """Bring all rows to one shape, and leave out those that cannot be read.

    Args:
        data: the source.
        settings: the shape that was asked for.
        source: the name of the source, for messages.
        progress: whether to show a progress bar.
        folder: where to write values.npy; None: keep the values in memory.

    Returns:
        The images, and the part of each.
    """
    values, broken, resized = _fit_all(data, settings, source, progress, folder)
    whole = Images(
        values=values,
        labels=data.labels,
        label_names=data.label_names,
        factors=data.factors,
        names=data.names,
        columns=data.columns,
        source=source,
        skipped=data.skipped,
        resized=resized,
    )
    if not broken:
        return whole, data.parts
    good = np.setdiff1d(np.arange(len(data)), list(broken))
    if len(good) == 0:
        raise _all_broken(data, broken, source)
    skipped = tuple((_name(data, i), broken[i]) for i in sorted(broken))
    if folder is None:
        whole = whole.take(good)
    else:
        _copy_rows(values, good, new_array(folder / "good.npy", (len(good), *values.shape[1:]), values.dtype))
        (folder / "good.npy").replace(folder / "values.npy")
        whole = whole._with_rows(np.load(folder / "values.npy", mmap_mode="r"), good)
    return replace(whole, skipped=data.skipped + skipped), None if data.parts is None else data.parts[good]


def _name(data: SourceData, i: int) -> str:
    return data.names[i] if data.names else f"row {i}"


def _all_broken(data: SourceData, broken: dict[int, str], source: str) -> DataError:
    first = min(broken)
    example = f"{_name(data, first)}: {broken[first]}"
    return DataError(f"{source}: none of its {len(data)} pictures can be read ({example}); get them again")


def _fit_all(
    data: SourceData, settings: ReadSettings, source: str, progress: bool, folder: Path | None
) -> tuple[Array, dict[int, str], bool]:
    """Bring every row to one frame.

    Returns:
        The values; why a row could not be read, by its number; and whether any picture was resized.
    """
    if not isinstance(data.values, EncodedPictures) and not is_image(data.values.shape[1:]):
        if settings.size or settings.crop or settings.channels:
            raise DataError(
                f"{source}: these are vectors; size, crop and channels are for images, and so is a run of images"
            )
        return _store(data.values, folder), {}, False
    if isinstance(data.values, EncodedPictures):
        looks, broken = look_at_all(data.values, progress)
        if not looks:
            raise _all_broken(data, broken, source)
        frame = picture_frame(looks, data, settings, source)
        resized = any((height, width) != frame.shape[1:] for (width, height), _ in looks)
        pictures = data.values
    else:
        broken = {}
        frame = array_frame(data.values.shape, settings, source)
        if frame.shape == data.values.shape[1:] and frame.crop is None:
            return _store(data.values, folder), {}, False
        resized = frame.shape[1:] != data.values.shape[2:]
        pictures = array_pictures(data.values)
    out = new_array(folder and folder / "values.npy", (pictures.num, *frame.shape), np.dtype(np.uint8))

    def fit(i: int) -> None:
        with pictures.open(i) as image:
            out[i] = fit_picture(image, frame, f"{source}, {_name(data, i)}")

    _, more_broken = for_each(fit, [i for i in range(pictures.num) if i not in broken], "Decoding", progress)
    return out, broken | more_broken, resized


def _store(values: Array, folder: Path | None) -> Array:
    """Write an array into the folder; without a folder, keep it in memory."""
    if folder is None:
        return np.ascontiguousarray(values)
    out = new_array(folder / "values.npy", values.shape, values.dtype)
    _copy_rows(values, np.arange(len(values)), out)
    return out
