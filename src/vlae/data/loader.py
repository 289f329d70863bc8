"""Any source of images → one `Images`: uint8, decoded once, memory-mapped, N C H W (or vectors: float32, N D).

What kinds of source there are, and how each is read, stands in `sources.py`. Here are the three things done with every
one of them: its pictures are brought to one shape, the result is kept in a cache, and a part is held out for testing.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from vlae.data.arrays import read_array
from vlae.data.cache import FORMAT, cache_folder, new_array, new_entry, new_file, open_entry, write_rows
from vlae.data.images import Images
from vlae.data.pixels import array_frame, array_pictures, fit_picture, for_each, look_at_all, picture_frame
from vlae.data.readers import check_unchanged, hash_bytes, identify
from vlae.data.source import TEST, TRAIN, Array, DataError, Found, Pictures, Settings

__all__ = ["DataError", "Images", "load"]

IN_MEMORY = 2**30  # bytes; a larger selection of scattered rows is kept in the cache, not in memory
MAX_HELD_OUT = 5_000  # images; enough to know a mean by, however large the source


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
) -> Images:
    """Load images, or vectors, from almost anything.

    A source is known by its content:

    - `"streets"`, or `"streets:NUM"`: the built-in street numbers, 50,000 or NUM to train with;
    - a folder of pictures (BMP, GIF, JPEG, PNG, TIFF, WebP; any depth, size and mode). Subfolders called train and
      test (or val) are its parts, and subfolders that hold all the pictures are their classes. Broken files are left
      out and listed in `skipped`;
    - CelebA's folder, with its 108-pixel crop, and its attributes and parts where their lists lie with it;
    - a picture file (with split="all");
    - an .npy or .npz file, or a numpy array;
    - a folder of MNIST's IDX files or of SVHN's .mat files, or one of them;
    - a .csv, .tsv or .parquet table, whose numbers are vectors;
    - a folder that Hugging Face's `datasets` has saved, or the name of a data set on their hub ("hf:NAME" if a folder
      has the same name). The hub is asked once; delete the cache to ask again.

    A picture is cut to the square in its middle and resized. Arrays keep their shape unless `size` or `crop` is given.
    Vectors stay as they are. What was read is kept in a cache ($VLAE_CACHE, or vlae in $XDG_CACHE_HOME or ~/.cache)
    until the files change, and is memory-mapped from there.

    A source that has no test part of its own gives up a random one: `holdout` of it, at least 16 where that is not
    more than a quarter, at most 5,000. The order of the source is kept.

    Args:
        source: where the images are. An `Images` gives the part of it that is asked for.
        split: "train" or "test" part, or "all".
        size: side of the square images, 8 to 256 pixels. If None, pictures that are all of one size up to 64 pixels
            keep it, and others become 64 × 64.
        crop: side of the square cut from the middle of each picture before it is resized, in pixels.
        channels: 1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha). If None, 1 if all pictures are grey and
            else 3. Where alpha goes, the background becomes white.
        layout: how an array is laid out, where its shape does not tell.
        key: the array of an .npz file, or the column of a table, that holds the images.
        holdout: fraction of the source to hold out, 0 to less than 1.
        limit: if given, at most so many of the part: a random choice, the same for a seed, its order kept.
        seed: of the choices above.
        progress: whether to show a progress bar while pictures are decoded.

    Returns:
        The images.

    Raises:
        DataError: if the source cannot be used as asked.
        FileNotFoundError: if there is no such path.

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
    whole, parts = _whole(source, Settings(size=size, crop=crop, channels=channels, layout=layout, key=key), progress)
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
    return replace(_select(whole, rows, None if isinstance(source, Images) else whole.cache), split=split)


# Parts ---------------------------------------------------------------------------------------------------------------


def _rows(num: int, parts: Array | None, split: str, holdout: float, rng: np.random.Generator) -> Array:
    """Find the rows of a part, in order."""
    if split == "all":
        return np.arange(num)
    if parts is None:
        parts = _hold_out(num, holdout, rng)
    return np.flatnonzero(parts == (TRAIN if split == "train" else TEST))


def _hold_out(num: int, holdout: float, rng: np.random.Generator) -> Array:
    """Choose the rows to test with.

    Examples:
        >>> [int(_hold_out(num, 0.05, np.random.default_rng(0)).sum()) for num in (2, 20, 100, 1_000, 1_000_000)]
        [1, 5, 16, 50, 5000]
    """
    num_test = min(MAX_HELD_OUT, max(1, min(16, num // 4), round(holdout * num))) if holdout else 0
    parts = np.full(num, TRAIN, np.int8)
    parts[rng.permutation(num)[:num_test]] = TEST
    return parts


def _select(whole: Images, rows: Array, folder: Path | None) -> Images:
    """Select rows: without a copy if they follow each other, else in memory, or, if too many, in the folder."""
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
    """Copy the chosen rows, some at a time."""
    for start in range(0, len(rows), 1024):
        out[start : start + 1024] = values[rows[start : start + 1024]]


# The whole of a source, decoded --------------------------------------------------------------------------------------


def _whole(source: str | Path | Array | Images, settings: Settings, progress: bool) -> tuple[Images, Array | None]:
    """Decode a source, or find it decoded; with it the part that each row belongs to, if the source says."""
    if isinstance(source, Images):
        part = {"train": TRAIN, "test": TEST}.get(source.split)
        parts = None if part is None else np.full(len(source), part, np.int8)
        if settings == Settings():
            return source, parts
        found = Found(
            values=source.values,
            labels=source.labels,
            label_names=source.label_names,
            factors=source.factors,
            names=source.names,
            parts=parts,
            skipped=source.skipped,
        )
        return _decode(found, settings, source.source, progress, None)
    if isinstance(source, np.ndarray):
        found = Found(values=read_array(source, layout=settings.layout, what="the array"))
        return _decode(found, settings, "an array", progress, None)
    if not isinstance(source, str | Path):
        raise TypeError(f"{type(source).__name__} is no source of images; give a path, a name, a numpy array or Images")
    fingerprint, read = identify(source, settings)
    entry = cache_folder() / hash_bytes(f"{FORMAT}\n{settings}\n{fingerprint}".encode(errors="surrogateescape"))
    if (cached := open_entry(entry, str(source))) is None:
        found = read()
        with new_entry(entry) as folder:
            whole, parts = _decode(found, settings, str(source), progress, folder)
            check_unchanged(source, settings, fingerprint)
            write_rows(folder, whole, parts)
        cached = open_entry(entry, str(source))
    assert cached is not None
    return cached


def _decode(
    found: Found, settings: Settings, source: str, progress: bool, folder: Path | None
) -> tuple[Images, Array | None]:
    """Bring all rows to one shape, in memory or in a file of the folder, and leave out what cannot be read."""
    values, broken, resized = _fit_all(found, settings, source, progress, folder)
    whole = Images(
        values=values,
        labels=found.labels,
        label_names=found.label_names,
        factors=found.factors,
        names=found.names,
        source=source,
        skipped=found.skipped,
        resized=resized,
    )
    if not broken:
        return whole, found.parts
    good = np.setdiff1d(np.arange(len(found)), list(broken))
    if len(good) == 0:
        raise _all_broken(found, broken, source)
    skipped = tuple((_name(found, i), broken[i]) for i in sorted(broken))
    if folder is None:
        whole = whole.take(good)
    else:
        _copy_rows(values, good, new_array(folder / "good.npy", (len(good), *values.shape[1:]), values.dtype))
        (folder / "good.npy").replace(folder / "values.npy")
        whole = whole._with_rows(np.load(folder / "values.npy", mmap_mode="r"), good)
    return replace(whole, skipped=found.skipped + skipped), None if found.parts is None else found.parts[good]


def _name(found: Found, i: int) -> str:
    return found.names[i] if found.names else f"row {i}"


def _all_broken(found: Found, broken: dict[int, str], source: str) -> DataError:
    first = min(broken)
    example = f"{_name(found, first)}: {broken[first]}"
    return DataError(f"{source}: none of its {len(found)} pictures can be read ({example}); get them again")


def _fit_all(
    found: Found, settings: Settings, source: str, progress: bool, folder: Path | None
) -> tuple[Array, dict[int, str], bool]:
    """Bring every row to the frame; return also why rows could not be read, by their number, and if any was resized."""
    if not isinstance(found.values, Pictures) and found.values.ndim == 2:
        if settings.size or settings.crop or settings.channels:
            raise DataError(f"{source}: these are vectors; size, crop and channels are for images")
        return _store(found.values, folder), {}, False
    if isinstance(found.values, Pictures):
        looks, broken = look_at_all(found.values, progress)
        if not looks:
            raise _all_broken(found, broken, source)
        frame = picture_frame(looks, found, settings, source)
        resized = any((height, width) != frame.shape[1:] for (width, height), _ in looks)
        pictures = found.values
    else:
        broken = {}
        frame = array_frame(found.values.shape, settings, source)
        if frame.shape == found.values.shape[1:] and frame.crop is None:
            return _store(found.values, folder), {}, False
        resized = frame.shape[1:] != found.values.shape[2:]
        pictures = array_pictures(found.values)
    out = new_array(folder and folder / "values.npy", (pictures.num, *frame.shape), np.dtype(np.uint8))

    def fit(i: int) -> None:
        with pictures.open(i) as image:
            out[i] = fit_picture(image, frame, f"{source}, {_name(found, i)}")

    _, more_broken = for_each(fit, [i for i in range(pictures.num) if i not in broken], "Decoding", progress)
    return out, broken | more_broken, resized


def _store(values: Array, folder: Path | None) -> Array:
    """Write an array as it is into the folder, if there is one."""
    if folder is None:
        return np.ascontiguousarray(values)
    out = new_array(folder / "values.npy", values.shape, values.dtype)
    _copy_rows(values, np.arange(len(values)), out)
    return out
