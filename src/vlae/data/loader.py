"""Any source → one `Images`: images (N, C, H, W), uint8 or float32, or float32 (N, D) vectors, decoded once.

`readers.py` has the kinds of source. Three things are done with every source here. Its pictures are brought to one
shape. The result is kept in a cache. A part is held out for testing.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlae.data.cache import FORMAT, cache_folder, new_array, new_entry, new_file, open_entry, write_rows
from vlae.data.counting import waiting
from vlae.data.decoding import beside, copy_rows, decode
from vlae.data.depths import out_of_range
from vlae.data.files import decoders, max_pixels
from vlae.data.holdout import hold_out, keep_out
from vlae.data.images import Images
from vlae.data.in_memory import read_memory
from vlae.data.readers import check_unchanged, hash_bytes, identify
from vlae.data.sharding import Share, take_shard
from vlae.data.source import (
    TEST,
    TRAIN,
    Array,
    DataError,
    Fit,
    KnownColumns,
    ReadSettings,
    Source,
    SourceData,
    as_value_range,
    reading,
)
from vlae.errors import check_seed, check_whole
from vlae.names import printable

if TYPE_CHECKING:  # torch is not needed to say that a source is missing
    from vlae.nn.pretrained import FeatureNetwork

__all__ = ["DataError", "Images", "load"]

IN_MEMORY = 2**30
"""The largest selection of scattered rows that is copied to memory, in bytes. A larger one is kept in the cache."""


def load(
    source: Source,
    *,
    split: Literal["train", "test", "all"] = "train",
    size: int | str | None = None,
    fit: Fit | None = None,
    crop: int | None = None,
    channels: int | None = None,
    value_range: str | Sequence[Any] | None = None,
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
    key: str | None = None,
    id: str | None = None,
    holdout: float = 0.05,
    limit: int | None = None,
    seed: int = 0,
    progress: bool = False,
    features: "str | Path | FeatureNetwork | None" = None,
    held_out: Array | None = None,
    columns: KnownColumns | None = None,
    shard: "str | Share | None" = None,
    as_bytes: bool = False,
) -> Images:
    """Load images or vectors from a file, a folder, an array or a data set of the Hugging Face hub.

    The content of a source tells its kind:

    - `"streets"` or `"streets:NUM"`: the built-in street numbers, 50,000 or NUM to train with;
    - a folder of pictures (AVIF, BMP, GIF, HEIC, JPEG, PNG, PPM, TIFF, WebP) of any depth, size and mode. Folders
      called train and test (or val) are its parts, folders side by side its classes. Every page of a TIFF is a picture.
      Broken files are left out and listed in `skipped`, and `fates` has what became of every kind of file;
    - the folder of CelebA, with the usual 108-pixel crop, and with attributes and parts if their lists are there;
    - one picture file, with split="all";
    - an .npy or .npz file; a numpy array or torch tensor, or a pair of them: data and labels;
    - a folder of IDX files (MNIST) or of SVHN's .mat files, or one of these files; another .mat file with X and y;
    - a .csv, .tsv or .parquet table, whose rows of numbers are vectors; a pandas or polars DataFrame;
    - a PIL image; a list of PIL images, of paths, or of arrays;
    - a data set of torch or `datasets`, or another object with a length whose items are data or (datum, label);
    - a folder that Hugging Face's `datasets` has saved;
    - a data set of the Hugging Face hub: "USER/NAME", or "hf:USER/NAME" if a folder has the same name. A name without
      an owner is "hf:NAME". It is downloaded once; delete the cache to download it again.

    Pictures of one size keep their proportions; others are cut to the square in their middle. An array keeps its shape
    unless `size` or `crop` is given. Vectors stay as they are.

    Images of 8 bits stay bytes. Those of 16 bits, of signed numbers and of floats become float32 in [0, 1], by a range
    for each channel: the least and the greatest number of the whole source, or `value_range`. `Images.value_range`
    tells it.

    The result is kept in a cache ($VLAE_CACHE, or vlae in $XDG_CACHE_HOME or ~/.cache) until the files change. It is
    memory-mapped from there.

    If a source has no test part, random rows are held out: the fraction `holdout` of it, at most 5,000. At least 16
    are held out, or a quarter of the source if that is less. Copies of a picture are not held out; pages of one file
    are held out together. The order of the source is kept.

    Args:
        source: a path; a name; `Images`; or what is in memory, as above. Arrays are (N, H, W), (N, H, W, C) or
            (N, C, H, W) images of 1 to 16 channels, or (N, D) vectors.
        split: the part to return: "train", "test" or "all".
        size: side of the square images, 8 to 256 pixels, or "HEIGHTxWIDTH". None: pictures of one size keep it, or
            their proportions with 64 pixels on the longer side; pictures of several sizes become 64 × 64.
        fit: what is done with pictures of other proportions: "crop" cuts off what is too long, on both sides alike;
            "pad" repeats the edges; "squash" changes the proportions. None: "crop", but pictures of one size keep
            their proportions.
        crop: side of the square that is cut from the middle of each picture before resizing, 8 pixels or more; 0: no
            crop. None: that of CelebA is 108, and others have none. A picture that is smaller, but has the size to
            which others are resized, counts as cut already.
        channels: 1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha); up to 16 of arrays. None: 1 if all
            pictures are grey, else 3. Without alpha, transparent parts become white.
        value_range: the numbers that become 0 and 1: "LOW,HIGH", (low, high), or a pair for each channel. Numbers
            outside are clipped. None: the least and the greatest of each channel, if bytes cannot hold the numbers.
        layout: the order of an array's dimensions, if its shape does not tell: "NHW", "NHWC" or "NCHW".
        key: the array of an .npz file, or the column of a table, that holds the images.
        id: the column of a table, or array of an .npz file, that names the rows (`Images.names`), of text or numbers.
            None: one with a usual name ("id", "file", …), if there is one.
        holdout: fraction of the source to hold out, 0 or more and less than 1.
        limit: the most images to return, chosen at random, in the order of the source. None: all of the part.
        seed: of the random choices of rows, 0 or more.
        progress: whether to show a progress bar while pictures are decoded.
        features: a frozen network whose features of the full-size pictures the images get: a .pt, .pt2 or .onnx file,
            "timm:NAME", "hf:USER/NAME", or an open network. Features are computed once and kept in the cache.
        held_out: hashes of the data that a run has held out (`vlae.data.content.content_hashes`), int64 (n,): they are
            the test part, and nothing else is, even if the source has changed. None: the test part as the source is.
        columns: the columns of a table that a run was trained on (`Run.known_columns`). None: all of its columns.
        shard: "i/n": read and decode only part i of n equal parts, from "1/n" to "n/n", with split="all" and no limit.
            None: all rows.
        as_bytes: whether a run of bytes reads: pictures of more than 8 bits are left out if any has 8, and from a shard
            always.

    Returns:
        Images (N, C, H, W), uint8 from 0 to 255 or float32 in [0, 1]; or vectors of float32 (N, D).

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
    try:
        limit, seed = None if limit is None else check_whole("limit", limit, 1), check_seed(seed)
    except ValueError as error:
        raise DataError(str(error)) from None
    settings = ReadSettings(
        size=size,
        fit=fit,
        crop=crop,
        channels=channels,
        value_range=as_value_range(value_range),
        layout=layout,
        key=key,
        id=id,
        columns=columns,
        shard=Share.parse(shard),
        as_bytes=as_bytes and not isinstance(source, Images),
    )
    if settings.shard is not None and (split != "all" or limit is not None):
        raise DataError(
            f"shard {settings.shard} and {'a limit' if split == 'all' else f'split {split!r}'} do not go together: "
            "which rows these are depends on all rows; give a source that holds only the rows to take"
        )
    if isinstance(source, Images) and settings.shard is not None:
        of_shard = settings.shard.rows(len(source), source.source)
        source = replace(source.take(of_shard), first=of_shard.start, total=len(source))
        settings = replace(settings, shard=None)
    whole, parts = _whole(source, settings, progress)
    if split != "all" and parts is None and len(whole) < 2:
        raise DataError(
            f"{whole.source}: one picture is not enough to train and test with; give more, or take split 'all'"
        )
    rng = np.random.default_rng(seed)
    if split != "all":
        parts = hold_out(len(whole), holdout, rng, whole.groups) if parts is None else parts
        parts = parts if held_out is None else keep_out(whole, parts, held_out)
    rows = np.arange(len(whole))
    if split != "all":
        rows = np.flatnonzero(parts == (TRAIN if split == "train" else TEST))
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
            copy_rows(whole.values, rows, new_array(unfinished, (len(rows), *whole.shape), whole.values.dtype))
    try:
        return whole._with_rows(np.load(file, mmap_mode="r"), rows)
    except FileNotFoundError:  # somebody has deleted the cache
        return whole.take(rows)


# A whole source, decoded ---------------------------------------------------------------------------------------------


def _whole(source: Source, settings: ReadSettings, progress: bool) -> tuple[Images, Array | None]:
    """Decode a source, or open it in the cache.

    Returns:
        All its images, and the part of each row, int8 (N,); None if the source has no parts.
    """
    if isinstance(source, Images):
        part = {"train": TRAIN, "test": TEST}.get(source.split)
        parts = None if part is None else np.full(len(source), part, np.int8)
        if settings.value_range is not None and settings.value_range == source.value_range:
            settings = replace(settings, value_range=None)
        if settings.crop is not None and settings.crop_of() == source.crop:  # these were cut already
            settings = replace(settings, crop=None)
        if settings == ReadSettings():
            return source, parts
        values = source.values
        if settings.value_range is not None and source.value_range is not None:  # back to its own numbers
            values = out_of_range(values, source.value_range)
        data = SourceData(values=values, parts=parts, **beside(source))
        whole, parts = decode(data, settings, source.source, progress, None)
        whole = replace(
            whole,
            value_range=whole.value_range or source.value_range,
            num_clipped=whole.num_clipped + source.num_clipped,
            fitted=whole.fitted or source.fitted,
            crop=whole.crop or source.crop,
            sizes=source.sizes,
        )
        if _shows_as_much(source.shape, whole.shape, settings):
            whole = replace(
                whole,
                features=source.features,
                features_from=source.features_from,
                features_side=source.features_side,
            )
        return whole, parts
    if not isinstance(source, str | Path):
        data, name = read_memory(source, settings)
        data = data if settings.shard is None else take_shard(data, settings.shard, name)
        return decode(data, settings, name, progress, None)
    with reading(printable(str(source))):
        return _from_source(source, settings, progress)


def _shows_as_much(before: tuple[int, ...], after: tuple[int, ...], settings: ReadSettings) -> bool:
    """Whether images of another shape show all that they showed before, so that their features stay."""
    if settings.crop or len(before) != 3:
        return False
    return settings.fit == "squash" or abs(before[1] * after[2] - before[2] * after[1]) <= max(before[1:]) / 2


def _from_source(source: str | Path, settings: ReadSettings, progress: bool) -> tuple[Images, Array | None]:
    """Decode the source of a path or name, or open it in the cache."""
    with waiting("looking for data", progress):
        fingerprint, read = identify(source, settings, here=True)
    entry = cache_folder() / entry_name(settings, fingerprint)
    cached = open_entry(entry, printable(str(source)))
    if cached is None and settings.crop is not None:  # which may have been the usual one, as where a run reads its own
        other = entry_name(replace(settings, crop=None), fingerprint)
        usual = open_entry(cache_folder() / other, printable(str(source)))
        cached = usual if usual and usual[0].crop == settings.crop_of() else None
    if cached is None:
        with waiting("reading", progress and not fingerprint.startswith("hub ")):  # which has a bar of its own
            data = read()
        with new_entry(entry) as folder:
            whole, parts = decode(data, settings, printable(str(source)), progress, folder)
            check_unchanged(source, settings, fingerprint, here=True)
            write_rows(folder, whole, parts)
        cached = open_entry(entry, printable(str(source))) or (whole, parts)  # mapped, if the cache was deleted
    return cached


def entry_name(settings: ReadSettings, fingerprint: str) -> str:
    """Return the name of the cache folder of a source: a hash of all that its content depends on.

    Args:
        settings: how the source is read.
        fingerprint: changes when its content does.
    """
    of_streams = ("shard", "pictures", "white", "as_bytes")  # None of any other source
    given = [f"{name}={value!r}" for name, value in vars(settings).items() if name not in of_streams or value]
    can = f"{' '.join(decoders())}, {max_pixels()} pixels"
    return hash_bytes(f"{FORMAT}\nSettings({', '.join(given)})\n{can}\n{fingerprint}".encode(errors="surrogateescape"))
