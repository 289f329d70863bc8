"""The full-size pictures behind images: each is taken from the source again, by the number or the name of its row."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vlae.data.files import is_below, is_picture, open_page, open_picture
from vlae.data.images import Images
from vlae.data.in_memory import read_memory
from vlae.data.pixels import Frame, array_pictures, fit_picture, picture_values, turned_size
from vlae.data.readers import identify
from vlae.data.source import Array, DataError, EncodedPictures, ReadSettings, Source, SourceData, ValueRange
from vlae.data.wide import is_wide, num_channels

SIDE = 256
"""Pixels of the longer side, to which a larger picture is reduced."""


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
        source: what was read, as `load` takes it.
        settings: how it was read.

    Raises:
        DataError: if the source has changed since, or cannot be read.
        FileNotFoundError: if it is no longer there.
    """
    if isinstance(source, Images):
        return Originals(open=array_pictures(source.values).open, crop=None, value_range=None)  # in range already
    is_named = isinstance(source, str | Path)
    data = identify(source, settings)[1]() if is_named else read_memory(source, settings)[0]
    pictures = data.values if isinstance(data.values, EncodedPictures) else array_pictures(data.values)
    good = _rows_that_are_read(whole, data)
    return Originals(open=lambda i: pictures.open(int(good[i])), crop=data.crop, value_range=whole.value_range)


def _rows_that_are_read(whole: Images, data: SourceData) -> Array:
    """The row of the source that each image is: all but those that could not be read."""
    names = data.names or tuple(f"row {i}" for i in range(len(data)))
    skipped = {name for name, _ in whole.skipped} - {name for name, _ in data.skipped}
    good = np.array([i for i, name in enumerate(names) if name not in skipped], np.int64)
    if len(good) != len(whole):
        raise DataError(f"{whole.source}: changed while it was being read; run this again when it no longer does")
    return good


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
        pixels = np.rint(picture_values(image, frame, value_range, "the picture") * 255).astype(np.uint8)
    shown = pixels[:3] if len(pixels) >= 3 else pixels[:1].repeat(3, axis=0)
    return np.ascontiguousarray(shown.transpose(1, 2, 0))


def original_file(source: str | Path, name: str | None) -> Path | None:
    """Find the file of a row by its name, without reading the source.

    Args:
        source: the folder of pictures, or the one picture, that was read.
        name: the name of the row, as `Images.names` has it: the file relative to the folder, and "#2" behind it for the
            second page of a TIFF.

    Returns:
        None if there is no such picture below the folder, or a link leads there.
    """
    return _file_and_page(source, name)[0]


def original(source: str | Path, name: str | None, *, side: int = SIDE) -> Array | None:
    """Read the picture of a row from its file, without reading the source.

    Args:
        source: the folder of pictures, or the one picture, that was read.
        name: the name of the row, as for `original_file`.
        side: pixels of the longer side, to which a larger picture is reduced.

    Returns:
        uint8 (H, W, 3). None if there is no such file, it cannot be read, or it has more than 8 bits a channel.
    """
    file, page = _file_and_page(source, name)
    if file is None:
        return None
    try:
        with open_page(file, page - 1, {}) if page else open_picture(file) as image:
            return None if is_wide(image) else shrink(image, side)
    except Exception:  # a broken or hostile file makes Pillow raise almost anything
        return None


def _file_and_page(source: str | Path, name: str | None) -> tuple[Path | None, int]:
    """The file of a row, and the number of its page from 1 up; 0: the file is one picture."""
    if not name:
        return None, 0
    folder = Path(source).expanduser()
    if folder.is_file():
        folder = folder.parent
    page = re.fullmatch(r"(.+)#(\d+)", name)
    places = [(folder / name, 0)] + ([(folder / page[1], int(page[2]))] if page else [])
    for file, number in places:
        if is_below(file, folder) and is_picture(file):
            return file, number
    return None, 0
