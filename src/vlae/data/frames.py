"""The frame that all pictures of a source are brought to, of one size and mode, from their headers or their shape."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vlae.data.depths import listed_range, within_bytes
from vlae.data.files import max_pixels
from vlae.data.source import Array, DataError, EncodedPictures, Fit, ReadSettings, SourceData
from vlae.data.threads import for_each
from vlae.data.wide import has_floats, is_grey, is_wide, num_channels
from vlae.shapes import MAX_SIDE, MIN_SIDE

SMALL = 64
"""Pictures of one size keep their proportions, and their size if no side has more pixels. Others become squares."""

CONVERT = "; convert it, or read it apart"
"""The end of the reason why a picture of another depth is left out."""

DEPTH = {False: "8 bits a channel", True: "more than 8 bits a channel"}


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The form that every picture is brought to."""

    shape: tuple[int, int, int]
    """(channels, height, width), in pixels."""
    crop: int | None = None
    """Side of the square that is cut from the middle before resizing, in pixels. None, or 0: no crop."""
    fit: Fit = "crop"
    """What is done with pictures of other proportions."""
    proportions: tuple[int, int] | None = None
    """(height, width) to which pictures are cut or padded before they are squashed to the shape. None: the shape's."""
    wide: bool = False
    """Whether the numbers of a picture become floats. Otherwise they become bytes."""


class Look(NamedTuple):
    """What the header of a picture tells."""

    size: tuple[int, int]
    """(width, height), in pixels."""
    channels: int
    """Without opacity."""
    wide: bool
    """Whether it has more than 8 bits a channel, or more than 4 channels."""
    floats: bool = False
    """Whether its numbers are floats."""


def look_at_all(
    pictures: EncodedPictures, settings: ReadSettings, progress: bool, *, is_shard: bool = False
) -> tuple[Counter[Look], dict[int, str]]:
    """Read the headers of all pictures. If some have 8 bits and others more, those of the rarer depth are left out.

    For a run of bytes those of more are left out as soon as one has 8 bits, and in a shard always: others may have.
    So are those of the rarer kind if some have floats and others whole numbers of more than 8 bits, as no one range
    suits both.

    Args:
        pictures: the pictures.
        settings: of which `value_range` is expected, of each channel; if bytes do not reach it, pictures of 8 bits are
            left out; floats and whole numbers may be mixed. None: it is not known. `as_bytes` says that a run of bytes
            reads.
        progress: whether to show a progress bar.
        is_shard: whether the source has other pictures.

    Returns:
        How many pictures have each look, and why a picture cannot be used, by its number.
    """

    def look(i: int) -> Look:
        with pictures.open(i) as image:
            if min(image.size) < MIN_SIDE:  # which holds next to nothing
                raise ValueError(f"{image.size[0]}×{image.size[1]} pixels, a side is less than {MIN_SIDE}")
            if image.format != "JPEG":  # which is checked when it is known at what size it is decoded
                check_bomb(image.size)
            wide = is_wide(image)
            channels = num_channels(image) if wide else 1 if is_grey(image) else 3
            floats = wide and has_floats(image)
            size = turned_size(image)  # last: to find EXIF may decode the picture
            return Look(size, channels, wide, floats)

    value_range = settings.value_range
    looks, broken = for_each(look, list(range(pictures.num)), "looking at pictures", progress)
    num_wide = sum(look.wide for look in looks.values())
    usual = value_range is not None or 2 * num_wide > len(looks)
    if settings.as_bytes and (num_wide < len(looks) or is_shard):
        usual = False
    why = f"{'the training data' if settings.as_bytes else 'others'} have {DEPTH[usual]}"
    why = f"numbers from {listed_range(value_range)} are expected" if value_range else why
    if value_range is None or not within_bytes(value_range):
        others = [i for i, look in looks.items() if look.wide != usual]
        broken |= dict.fromkeys(others, f"{DEPTH[not usual]}, {why}{CONVERT}")
    looks = {i: look for i, look in looks.items() if i not in broken}
    have_floats = sum(look.floats for look in looks.values())
    if value_range is None and 0 < have_floats < sum(look.wide for look in looks.values()):
        rarer = 2 * have_floats <= len(looks)
        kinds = {True: "floats", False: "whole numbers of more than 8 bits"}
        why = f"{kinds[rarer]}, others have {kinds[not rarer]}; read it apart, or say the value_range of all"
        broken |= {i: why for i, look in looks.items() if look.floats == rarer}
    return Counter(look for i, look in looks.items() if i not in broken), broken


def check_bomb(size: tuple[int, int]) -> None:
    """Refuse pictures that would fill the memory.

    Args:
        size: (width, height), in pixels.

    Raises:
        ValueError: if they have more pixels than may be decoded.
    """
    limit, num = max_pixels(), size[0] * size[1]
    if limit is not None and num > limit:
        raise ValueError(
            f"{size[0]}×{size[1]} pixels are more than {limit} (a decompression bomb?); if you trust it, set"
            f" VLAE_MAX_PIXELS={num}"
        )


def turned_size(image: Any) -> tuple[int, int]:
    """The (width, height) of a picture when it is turned as EXIF says. A PNG is not decoded to find its EXIF.

    Args:
        image: a PIL.Image.Image, or a picture of `vlae.data.wide`.
    """
    from PIL import ExifTags, Image

    size = (int(image.size[0]), int(image.size[1]))
    told = image.format in ("JPEG", "WEBP") or "exif" in getattr(image, "info", ()) or max(size) <= SMALL
    if size[0] == size[1] or not isinstance(image, Image.Image) or image.format == "TIFF" or not told:
        return size  # Pillow and `TiffPicture` have turned the size of a TIFF already
    return (size[1], size[0]) if image.getexif().get(ExifTags.Base.Orientation, 1) >= 5 else size


def picture_frame(looks: Counter[Look], data: SourceData, settings: ReadSettings, source: str) -> Frame:
    """Choose the frame of pictures.

    Without settings, pictures of one size keep it, or their proportions with 64 pixels on the longer side. Pictures of
    several sizes become 64 × 64. They are grey if all are. Of several numbers of channels that cannot become each other
    the commonest is taken.

    Args:
        looks: how many pictures have each look.
        data: the source, which may have a usual crop and size.
        settings: the size, fit, crop and channels that were asked for.
        source: the name of the source, for messages.

    Raises:
        DataError: if a side is not 8 to 256 pixels.
    """
    crop, sides = settings.crop_of(data.crop), settings.sides or (data.size and (data.size, data.size))
    sizes = {(crop, crop)} if crop else {look.size for look in looks}
    width, height = next(iter(sizes)) if len(sizes) == 1 else (SMALL, SMALL)
    longer = max(width, height)
    if longer > SMALL:
        width, height = (round(side * SMALL / longer) if settings.fit is None else SMALL for side in (width, height))
    if sides:
        height, width = sides
    wide = settings.value_range is not None or any(look.wide for look in looks)
    channels = settings.channels or _commonest_channels(looks)
    if not wide and channels > 4:
        raise DataError(f"{source}: channels is {channels}; pictures of 8 bits have 1 to 4")
    frame = Frame(shape=(channels, height, width), crop=crop, fit=settings.fit or "crop", wide=wide)
    return _checked(frame, source)


def _commonest_channels(looks: Counter[Look]) -> int:
    """The channels of most pictures; grey becomes colour. Of two that are as common, more channels are taken."""
    nums = Counter[int]()
    for look, num in looks.items():
        nums[3 if look.channels == 1 else look.channels] += num
    chosen = max(nums, key=lambda channels: (nums[channels], channels))
    return 1 if chosen == 3 and all(look.channels != 3 for look in looks) else chosen


def array_frame(array: Array, settings: ReadSettings, source: str) -> Frame:
    """Choose the frame of an array's images, which keep their shape without settings.

    Args:
        array: (N, C, H, W), bytes or other numbers.
        settings: the size, fit, crop and channels that were asked for.
        source: the name of the source, for messages.

    Raises:
        DataError: if a side is not 8 to 256 pixels.
    """
    crop = settings.crop_of()
    height, width = settings.sides or ((crop, crop) if crop else array.shape[2:])
    channels = settings.channels or array.shape[1]
    wide = settings.value_range is not None or array.dtype != np.uint8
    frame = Frame(shape=(channels, height, width), crop=crop, fit=settings.fit or "crop", wide=wide)
    has = array.shape[1]
    if has != channels and {has, channels} != {1, 3} and (wide or max(has, channels) > 4):
        raise DataError(f"{source}: channels is {channels}; its {has} channels of {array.dtype} cannot become so many")
    return _checked(frame, source)


def _checked(frame: Frame, source: str) -> Frame:
    """Check that the sides are in the range that the models take."""
    _, height, width = frame.shape
    if min(height, width) < MIN_SIDE or max(height, width) > MAX_SIDE:
        raise DataError(
            f"{source}: images of {width}×{height} pixels; sides must be {MIN_SIDE} to {MAX_SIDE}; choose a size, or a"
            ' fit: size=64, fit="pad"'
        )
    return frame


def how_fitted(sizes: Iterable[tuple[int, int]], frame: Frame) -> str | None:
    """What is done to pictures of some sizes, as text; None if all have the size of the frame.

    Args:
        sizes: (width, height) of pictures, in pixels.
        frame: the form that they are brought to.
    """
    _, height, width = frame.shape
    if all(size == (width, height) for size in sizes):
        return None
    if not frame.crop and all(round(width * high / wide) == height for wide, high in sizes):
        return f"resized to {width}×{height}"
    words = {"crop": "cut and resized to", "pad": "resized, with repeated edges, to", "squash": "squashed to"}
    return f"{words['crop' if frame.crop else frame.fit]} {width}×{height}"
