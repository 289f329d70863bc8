"""Pictures → pixels: all pictures of a source are brought to one frame, which has one size and one mode."""

from dataclasses import replace
from typing import Any

import numpy as np

from vlae.data.depths import found_range, into_range, listed_range, of_channels, within_bytes
from vlae.data.files import max_pixels
from vlae.data.frames import DEPTH, Frame, check_bomb
from vlae.data.source import Array, DataError, EncodedPictures, ValueRange, not_finite
from vlae.data.wide import ArrayPicture, channels_first, is_grey, is_wide, numbers_of

LUMINANCE = (0.299, 0.587, 0.114)
"""What red, green and blue give to grey (ITU-R BT.601)."""


def array_pictures(images: Array) -> EncodedPictures:
    """Make pictures from (N, C, H, W), to resize them or to change their channels.

    Args:
        images: bytes of 1 to 4 channels, which become Pillow's pictures; or numbers of any type and 1 to 16 channels.
    """
    from PIL import Image

    def picture(i: int) -> Any:
        if images.dtype != np.uint8 or images.shape[1] > 4:
            return ArrayPicture(images[i])
        pixels = np.ascontiguousarray(images[i].transpose(1, 2, 0))
        return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)

    return EncodedPictures(num=len(images), open=picture)


def fit_picture(image: Any, frame: Frame, what: str) -> Array:
    """Bring one picture to the frame.

    The steps: turn it as EXIF says; cut the square or the proportions from its middle; convert it to the frame's
    channels; resize it; remove alpha; add to its sides.

    Args:
        image: a PIL.Image.Image that is not decoded yet, or a picture of `vlae.data.wide`.
        frame: the shape, the crop, the fit and the depth.
        what: the name of the picture, for messages.

    Returns:
        uint8 (C, H, W), 0 to 255; if the frame is wide, the picture's own numbers, float32 (C, H, W).

    Raises:
        DataError: if the picture is smaller than the crop.
        ValueError: if it has too many pixels, another number of channels, or numbers that are not finite.
    """
    _draft(image, frame)
    check_bomb(image.size)
    if frame.wide or isinstance(image, ArrayPicture):
        numbers = _fit_numbers(numbers_of(image) if is_wide(image) else _bytes_of(image), frame, what)
        return numbers if frame.wide else np.rint(numbers).astype(np.uint8)
    if is_wide(image):
        raise ValueError(f"{DEPTH[True]}, expected {DEPTH[False]}")
    from PIL import Image, ImageOps

    channels = frame.shape[0]
    image = ImageOps.exif_transpose(image)
    box, (inner_width, inner_height) = _geometry(image.size, frame, what)
    image = _in_mode(image.crop(box), channels)
    if image.size != (inner_width, inner_height):
        image = image.resize((inner_width, inner_height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _padded(channels_first(np.asarray(_on_white(image, channels))), frame)


def picture_values(image: Any, frame: Frame, value_range: ValueRange | None, what: str) -> tuple[Array, int]:
    """One picture as a model takes it that was trained on pictures of some range.

    Args:
        image: a PIL.Image.Image that is not decoded yet, or a picture of `vlae.data.wide`.
        frame: the shape, the crop and the fit; the depth is that of the picture.
        value_range: of the training pictures, for each channel. None: bytes, or floats in [0, 1].
        what: the name of the picture, for messages.

    Returns:
        uint8 (C, H, W), 0 to 255, or float32 (C, H, W) in [0, 1]; and how many of its numbers were outside of the range
        and became 0 or 1.

    Raises:
        DataError: if the picture is smaller than the crop.
        ValueError: if it is of another depth, or has too many pixels or numbers that are not finite.
    """
    wide = is_wide(image)
    if value_range is not None and not wide and not within_bytes(value_range):
        raise ValueError(f"{DEPTH[False]}; the training pictures have numbers from {listed_range(value_range)}")
    pixels = fit_picture(image, replace(frame, wide=wide or value_range is not None), what)
    if not wide and value_range is None:
        return pixels, 0
    if value_range is None and (outside := found_range(pixels[None], what)) is not None:
        raise ValueError(f"numbers from {listed_range(outside)}; the training pictures have 8 bits, or 0 to 1")
    num_outside = into_range(pixels[None], value_range and of_channels(value_range, len(pixels)), pixels[None])
    return pixels, num_outside


def _geometry(size: tuple[int, int], frame: Frame, what: str) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """What of a picture is used, and how large that becomes.

    Returns:
        (left, top, right, bottom) in the picture, and the (width, height) to which this box is resized.
    """
    (width, height), inner, left, top = size, frame.shape[1:], 0, 0
    high, wide = frame.proportions or inner
    if frame.crop and (min(size) >= frame.crop or size != inner[::-1]):  # else it was cut already
        if min(size) < frame.crop:
            raise DataError(f"{what}: {width}×{height} pixels, less than crop={frame.crop}; say a smaller crop")
        left, top = (width - frame.crop) // 2, (height - frame.crop) // 2
        width = height = frame.crop
    if frame.fit == "crop":
        scale = min(width / wide, height / high)
        cut = min(width, max(1, round(wide * scale))), min(height, max(1, round(high * scale)))
        left, top = left + (width - cut[0]) // 2, top + (height - cut[1]) // 2
        width, height = cut
    box = (left, top, left + width, top + height)
    if frame.fit == "pad":
        scale = min(wide / width, high / height)
        sides = width * scale * (inner[1] / wide), height * scale * (inner[0] / high)
        return box, (max(1, round(sides[0])), max(1, round(sides[1])))
    return box, (inner[1], inner[0])


def _padded(pixels: Array, frame: Frame) -> Array:
    """Repeat the edges of a picture until it has the sides of the frame."""
    rows, columns = (want - have for want, have in zip(frame.shape[1:], pixels.shape[1:], strict=True))
    if not rows and not columns:
        return pixels
    return np.pad(pixels, ((0, 0), (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)), "edge")


def _fit_numbers(numbers: Array, frame: Frame, what: str) -> Array:
    """Bring the numbers of a picture, (C, H, W), to the frame: float32 (C, H, W), in their own range."""
    from PIL import Image

    if numbers.dtype.kind == "f" and (num_bad := int((~np.isfinite(numbers)).sum())):
        raise ValueError(f"{not_finite(num_bad)}; fill them")
    height, width = numbers.shape[1:]
    (left, top, right, bottom), inner = _geometry((width, height), frame, what)
    numbers = _in_channels(numbers[:, top:bottom, left:right], frame.shape[0]).astype(np.float32)
    if numbers.shape[:0:-1] != inner:
        lows, highs = numbers.min((1, 2), keepdims=True), numbers.max((1, 2), keepdims=True)
        resized = [Image.fromarray(channel).resize(inner, Image.Resampling.LANCZOS) for channel in numbers]
        numbers = np.stack([np.asarray(channel) for channel in resized]).clip(lows, highs)  # the filter overshoots
    return _padded(numbers, frame)


def _in_channels(numbers: Array, channels: int) -> Array:
    """Make grey of colour, or colour of grey."""
    if len(numbers) == channels:
        return numbers
    if len(numbers) == 1 and channels == 3:
        return numbers.repeat(3, axis=0)
    if len(numbers) == 3 and channels == 1:
        return np.tensordot(LUMINANCE, numbers, 1)[None]
    why = "; pictures of more than 8 bits keep no opacity" if channels in (2, 4) else ""
    raise ValueError(f"{len(numbers)} channels, expected {channels}{why}")


def _bytes_of(image: Any) -> Array:
    """The numbers of a picture of 8 bits, without alpha: uint8 (C, H, W), of 1 or 3 channels."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    channels = 1 if is_grey(image) else 3
    return channels_first(np.asarray(_on_white(_in_mode(image, channels), channels)))


def _draft(image: Any, frame: Frame) -> None:
    """Have a JPEG decoded at 1/2, 1/4 or 1/8 of its size if that is at least twice the side needed.

    Not so a very large progressive JPEG, which is in memory as a whole while it is decoded.
    """
    if frame.crop or getattr(image, "format", None) != "JPEG":
        return
    high, wide = frame.proportions or (1, 1)
    cut = max(high, wide) / min(high, wide)  # so much less of the picture is used
    scale, limit = 2 * cut * max(frame.shape[1:]) / min(image.size), max_pixels()
    fills_memory = "progressive" in image.info and limit and image.width * image.height > 4 * limit
    if scale < 1 and not fills_memory:
        image.draft(None, (round(image.width * scale), round(image.height * scale)))


def _in_mode(image: Any, channels: int) -> Any:
    """Convert a picture to grey or colour, with alpha if it has any or is to have it."""
    colour = "L" if channels <= 2 else "RGB"
    if not (image.has_transparency_data or channels in (2, 4)):
        return image.convert(colour)
    return image.convert("RGBA").convert(f"{colour}A")


def _on_white(image: Any, channels: int) -> Any:
    """Lay a picture with alpha on white, unless the alpha is kept."""
    from PIL import Image

    if channels in (2, 4) or image.mode in ("L", "RGB"):
        return image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white.convert("L" if channels == 1 else "RGB")
