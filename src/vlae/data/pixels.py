"""Pictures → pixels: all pictures of a source are brought to one frame, which has one size and one mode."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from vlae.data.counting import counting
from vlae.data.depths import found_range, into_range, listed_range, of_channels, within_bytes
from vlae.data.files import max_pixels
from vlae.data.source import (
    Array,
    DataError,
    EncodedPictures,
    Fit,
    ReadSettings,
    SourceData,
    ValueRange,
    not_finite,
)
from vlae.data.wide import ArrayPicture, has_floats, is_wide, num_channels, numbers_of
from vlae.shapes import MAX_SIDE, MIN_SIDE

SMALL = 64
"""Pictures of one size keep their proportions, and their size if no side has more pixels. Others become squares."""

LUMINANCE = (0.299, 0.587, 0.114)
"""What red, green and blue give to grey (ITU-R BT.601)."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The form that every picture is brought to."""

    shape: tuple[int, int, int]
    """(channels, height, width), in pixels."""
    crop: int | None = None
    """Side of the square that is cut from the middle before resizing, in pixels. None: no crop."""
    fit: Fit = "crop"
    """What is done with pictures of other proportions."""
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
    pictures: EncodedPictures, value_range: ValueRange | None, progress: bool
) -> tuple[Counter[Look], dict[int, str]]:
    """Read the headers of all pictures. If some have 8 bits and others more, those of the rarer depth are left out.

    So are those of the rarer kind if some have floats and others whole numbers of more than 8 bits, as no one range
    suits both.

    Args:
        pictures: the pictures.
        value_range: the range that is expected, of each channel. If bytes do not reach it, pictures of 8 bits are left
            out; floats and whole numbers may be mixed. None: it is not known.
        progress: whether to show a progress bar.

    Returns:
        How many pictures have each look, and why a picture cannot be used, by its number.
    """

    def look(i: int) -> Look:
        with pictures.open(i) as image:
            _check_small(image.size)
            if image.format != "JPEG":  # which is checked when it is known at what size it is decoded
                _check_bomb(image.size)
            wide = is_wide(image)
            channels = num_channels(image) if wide else 1 if image.mode in ("1", "L", "LA", "La") else 3
            floats = wide and has_floats(image)
            size = turned_size(image)  # last: to find EXIF may decode the picture
            return Look(size, channels, wide, floats)

    looks, broken = for_each(look, list(range(pictures.num)), "looking at pictures", progress)
    num_wide = sum(look.wide for look in looks.values())
    left_out, why = num_wide <= len(looks) / 2, f"others have {DEPTH[num_wide > len(looks) / 2]}"
    if value_range is not None:
        left_out, why = False, f"numbers from {listed_range(value_range)} are expected"
    for i, one in looks.items() if value_range is None or not within_bytes(value_range) else ():
        if one.wide == left_out:
            broken[i] = f"{DEPTH[one.wide]}, {why}; convert it, or read it apart"
    looks = {i: look for i, look in looks.items() if i not in broken}
    have_floats = sum(look.floats for look in looks.values())
    if value_range is None and 0 < have_floats < sum(look.wide for look in looks.values()):
        rarer = 2 * have_floats <= len(looks)
        kinds = {True: "floats", False: "whole numbers of more than 8 bits"}
        for i in [i for i, look in looks.items() if look.floats == rarer]:
            why = f"{kinds[rarer]}, others have {kinds[not rarer]}"
            broken[i] = f"{why}; read it apart, or say the value_range of all"
            del looks[i]
    return Counter(looks.values()), broken


DEPTH = {False: "8 bits a channel", True: "more than 8 bits a channel"}


def _check_small(size: tuple[int, int]) -> None:
    """Refuse pictures that hold next to nothing."""
    if min(size) < MIN_SIDE:
        raise ValueError(f"{size[0]}×{size[1]} pixels, a side is less than {MIN_SIDE}")


def _check_bomb(size: tuple[int, int]) -> None:
    """Refuse pictures that would fill the memory."""
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
    crop, sides = settings.crop or data.crop, settings.sides or (data.size and (data.size, data.size))
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
    crop = settings.crop
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
    _check_bomb(image.size)
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
    pixels: Array = np.asarray(_on_white(image, channels))
    return _padded(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), frame)


def picture_values(image: Any, frame: Frame, value_range: ValueRange | None, what: str) -> Array:
    """One picture as a model takes it that was trained on pictures of some range.

    Args:
        image: a PIL.Image.Image that is not decoded yet, or a picture of `vlae.data.wide`.
        frame: the shape, the crop and the fit; the depth is that of the picture.
        value_range: of the training pictures, for each channel. None: bytes, or floats in [0, 1].
        what: the name of the picture, for messages.

    Returns:
        uint8 (C, H, W), 0 to 255, or float32 (C, H, W) in [0, 1].

    Raises:
        DataError: if the picture is smaller than the crop.
        ValueError: if it is of another depth, or has too many pixels or numbers that are not finite.
    """
    wide = is_wide(image)
    if value_range is not None and not wide and not within_bytes(value_range):
        raise ValueError(f"{DEPTH[False]}; the training pictures have numbers from {listed_range(value_range)}")
    pixels = fit_picture(image, replace(frame, wide=wide or value_range is not None), what)
    if not wide and value_range is None:
        return pixels
    if value_range is None and (outside := found_range(pixels[None], what)) is not None:
        raise ValueError(f"numbers from {listed_range(outside)}; the training pictures have 8 bits, or 0 to 1")
    into_range(pixels[None], value_range and of_channels(value_range, len(pixels)), pixels[None])
    return pixels


def _geometry(size: tuple[int, int], frame: Frame, what: str) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """What of a picture is used, and how large that becomes.

    Returns:
        (left, top, right, bottom) in the picture, and the (width, height) to which this box is resized.
    """
    (width, height), (_, high, wide) = size, frame.shape
    if frame.crop is not None:
        if min(size) < frame.crop:
            raise DataError(f"{what}: {width}×{height} pixels, less than crop={frame.crop}; say a smaller crop")
        left, top = (width - frame.crop) // 2, (height - frame.crop) // 2
        width = height = frame.crop
    else:
        left = top = 0
    if frame.fit == "crop":
        scale = min(width / wide, height / high)
        cut = min(width, max(1, round(wide * scale))), min(height, max(1, round(high * scale)))
        left, top = left + (width - cut[0]) // 2, top + (height - cut[1]) // 2
        width, height = cut
    box = (left, top, left + width, top + height)
    if frame.fit == "pad":
        scale = min(wide / width, high / height)
        return box, (max(1, round(width * scale)), max(1, round(height * scale)))
    return box, (wide, high)


def how_fitted(sizes: Iterable[tuple[int, int]], frame: Frame) -> str | None:
    """What is done to pictures of some sizes, as text; None if all have the size of the frame.

    Args:
        sizes: (width, height) of pictures, in pixels.
        frame: the form that they are brought to.
    """
    _, height, width = frame.shape
    if all(size == (width, height) for size in sizes):
        return None
    if frame.crop is None and all(round(width * high / wide) == height for wide, high in sizes):
        return f"resized to {width}×{height}"
    words = {"crop": "cut and resized to", "pad": "resized, with repeated edges, to", "squash": "squashed to"}
    return f"{words['crop' if frame.crop else frame.fit]} {width}×{height}"


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
    channels = 1 if image.mode in ("1", "L", "LA", "La") else 3
    pixels = np.asarray(_on_white(_in_mode(image, channels), channels))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _draft(image: Any, frame: Frame) -> None:
    """Have a JPEG decoded at 1/2, 1/4 or 1/8 of its size if that is at least twice the side needed.

    Not so a very large progressive JPEG, which is in memory as a whole while it is decoded.
    """
    if frame.crop is not None or getattr(image, "format", None) != "JPEG":
        return
    scale, limit = 2 * max(frame.shape[1:]) / min(image.size), max_pixels()
    fills_memory = "progressive" in image.info and limit and image.width * image.height > 4 * limit
    if scale < 1 and not fills_memory:
        image.draft(None, (round(image.width * scale), round(image.height * scale)))


def _in_mode(image: Any, channels: int) -> Any:
    """Convert a picture to grey or colour, with alpha if it has any or is to have it."""
    colour = "L" if channels <= 2 else "RGB"
    alpha = image.has_transparency_data or channels in (2, 4)
    if not alpha:
        return image.convert(colour)
    return image.convert("RGBA").convert("LA") if colour == "L" else image.convert("RGBA")


def _on_white(image: Any, channels: int) -> Any:
    """Lay a picture with alpha on white, unless the alpha is kept."""
    from PIL import Image

    if channels in (2, 4) or image.mode in ("L", "RGB"):
        return image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white.convert("L" if channels == 1 else "RGB")


def for_each(do: Any, indices: list[int], title: str, progress: bool) -> tuple[dict[int, Any], dict[int, str]]:
    """Call a function for every row, in threads; Pillow decodes without Python's lock.

    Args:
        do: the function, which takes the number of a row.
        indices: the numbers of the rows.
        title: of the progress bar.
        progress: whether to show a progress bar; if the error output is no terminal, a line every ten seconds.

    Returns:
        What the function returns, by row; and why it failed, by row.

    Raises:
        DataError: if the function raises it; every other exception is a failure of its row.
    """

    def run(start: int) -> list[tuple[int, Any, str | None]]:
        return [attempt(i) for i in indices[start : start + 64]]

    def attempt(i: int) -> tuple[int, Any, str | None]:
        try:
            return i, do(i), None
        except DataError:
            raise
        except Exception as error:  # a broken or hostile file makes Pillow raise almost anything
            return i, None, _reason(error)
        finally:
            advance()

    results: dict[int, Any] = {}
    failures: dict[int, str] = {}
    starts = range(0, len(indices), 64)
    with counting(title, len(indices), progress) as advance, ThreadPoolExecutor() as pool:
        for outcomes in pool.map(run, starts):
            for i, result, failure in outcomes:
                if failure is None:
                    results[i] = result
                else:
                    failures[i] = failure
    return results, failures


def _reason(error: Exception) -> str:
    """Return in one line why a picture cannot be read."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not a picture that Pillow can read"
    if isinstance(error, Image.DecompressionBombError):
        return f"{error}; if you trust it, set VLAE_MAX_PIXELS to its number of pixels"
    told = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
    return (told.splitlines() or ["ValueError"])[0]
