"""The full-size pictures behind images: each is taken from the source again, by the number of its row."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vlae.data.frames import Frame, turned_size
from vlae.data.images import Images
from vlae.data.in_memory import read_memory
from vlae.data.pixels import array_pictures, fit_picture, picture_values
from vlae.data.readers import identify
from vlae.data.sharding import take_shard
from vlae.data.source import Array, DataError, EncodedPictures, ReadSettings, Source, ValueRange
from vlae.data.wide import is_wide, num_channels


@dataclass(frozen=True, kw_only=True)
class Originals:
    """The full-size picture of each row of a source.

    Attributes:
        open: opens the picture of a row, 0 or more: a PIL.Image.Image, or one of `vlae.data.wide`, for a `with` block.
        crop: the usual crop of the source, in pixels; None if it has none.
        value_range: the numbers in these pictures that became 0 and 1, of each channel. None: bytes, or 0 and 1.
    """

    open: Callable[[int], Any] = field(repr=False)
    crop: int | None
    value_range: ValueRange | None


def find_originals(whole: Images, source: Source, settings: ReadSettings) -> Originals:
    """Find the full-size picture of each row.

    Args:
        whole: all images of the source, as `vlae.data.load` returns them for split="all".
        source: what was read: a path, a name, or what is in memory.
        settings: how it was read.

    Raises:
        DataError: if the source has changed since, or cannot be read.
        FileNotFoundError: if it is no longer there.
    """
    if isinstance(source, Images):
        return Originals(open=array_pictures(source.values).open, crop=None, value_range=None)  # in range already
    is_named = isinstance(source, str | Path)
    data = identify(source, settings)[1]() if is_named else read_memory(source, settings)[0]
    if settings.shard is not None and not is_named:
        data = take_shard(data, settings.shard, whole.source)
    pictures = data.values if isinstance(data.values, EncodedPictures) else array_pictures(data.values)
    good = np.setdiff1d(np.arange(len(data)), np.array(whole.left_out, np.int64))
    if len(good) != len(whole):
        raise DataError(f"{whole.source}: changed while it was being read; run this again when it no longer does")
    return Originals(open=lambda i: pictures.open(int(good[i])), crop=data.crop, value_range=whole.value_range)


def shrink(image: Any, side: int, value_range: ValueRange | None = None) -> Array:
    """Show a whole picture at no more than some size, turned as EXIF says, on white.

    Args:
        image: a PIL.Image.Image that is not decoded yet, or a picture of `vlae.data.wide`.
        side: the most pixels of the longer side, 1 or more. Smaller pictures keep their size.
        value_range: the numbers that are black and white in pictures of more than 8 bits, of each channel. None: 0
            and 1.

    Returns:
        uint8 (height, width, 3).

    Raises:
        ValueError: if it has too many pixels, or more than 8 bits and numbers that are not in the range.
    """
    width, height = turned_size(image)
    scale = min(1.0, side / max(width, height))
    wide = is_wide(image)
    shape = (num_channels(image) if wide else 3, max(1, round(height * scale)), max(1, round(width * scale)))
    frame = Frame(shape=shape, fit="squash")
    if not wide:
        pixels = fit_picture(image, frame, "the picture")
    else:
        pixels = np.rint(picture_values(image, frame, value_range, "the picture")[0] * 255).astype(np.uint8)
    shown = pixels[:3] if len(pixels) >= 3 else pixels[:1].repeat(3, axis=0)
    return np.ascontiguousarray(shown.transpose(1, 2, 0))
