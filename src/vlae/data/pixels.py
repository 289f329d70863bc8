"""Pictures → pixels: all pictures of a source are brought to one frame, which has one size and one mode."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlae.data.files import max_pixels
from vlae.data.source import Array, DataError, EncodedPictures, ReadSettings, SourceData
from vlae.shapes import MAX_SIDE, MIN_SIDE

SMALL = 64
"""Pictures of one size, at most so many pixels a side, keep it. Others become squares of this side."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The form that every picture is brought to."""

    shape: tuple[int, int, int]
    """(channels, height, width), in pixels."""
    crop: int | None
    """Side of the square that is cut from the middle before resizing, in pixels. None: no crop."""


def look_at_all(pictures: EncodedPictures, progress: bool) -> tuple[set[tuple[tuple[int, int], bool]], dict[int, str]]:
    """Read the headers of all pictures.

    Args:
        pictures: the pictures.
        progress: whether to show a progress bar.

    Returns:
        Every ((width, height), is grey) that occurs, and why a picture cannot be read, by its number.
    """

    def look(i: int) -> tuple[tuple[int, int], bool]:
        with pictures.open(i) as image:
            _check_small(image.size)
            if image.format != "JPEG":  # which is checked when it is known at what size it is decoded
                _check_bomb(image.size)
            turned = image.size[0] != image.size[1] and max(image.size) <= SMALL and _is_turned(image)
            return image.size[:: -1 if turned else 1], image.mode.split(";")[0] in ("1", "L", "LA", "La", "I", "F")

    looks, broken = for_each(look, list(range(pictures.num)), "Looking", progress)
    return set(looks.values()), broken


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


def _is_turned(image: Any) -> bool:
    """Tell whether EXIF says to exchange width and height."""
    from PIL import ExifTags

    return bool(image.getexif().get(ExifTags.Base.Orientation, 1) >= 5)


def picture_frame(
    looks: set[tuple[tuple[int, int], bool]], data: SourceData, settings: ReadSettings, source: str
) -> Frame:
    """Choose the frame of pictures.

    Without settings, pictures of one small size keep it, and others become 64 × 64. They are grey if all are.

    Args:
        looks: every ((width, height), is grey) that occurs.
        data: the source, which may have a usual crop and size.
        settings: the size, crop and channels that were asked for.
        source: the name of the source, for messages.

    Raises:
        DataError: if a side is not 8 to 256 pixels.
    """
    crop, size = settings.crop or data.crop, settings.size or data.size
    sizes = {(crop, crop)} if crop else {size for size, _ in looks}
    width, height = next(iter(sizes)) if len(sizes) == 1 else (SMALL, SMALL)
    if size or max(width, height) > SMALL:
        width = height = size or SMALL
    channels = settings.channels or (1 if all(grey for _, grey in looks) else 3)
    return _checked(Frame(shape=(channels, height, width), crop=crop), source)


def array_frame(shape: tuple[int, ...], settings: ReadSettings, source: str) -> Frame:
    """Choose the frame of an array's images, which keep their shape without settings.

    Args:
        shape: (N, C, H, W) of the array.
        settings: the size, crop and channels that were asked for.
        source: the name of the source, for messages.

    Raises:
        DataError: if a side is not 8 to 256 pixels.
    """
    side = settings.size or settings.crop
    height, width = (side, side) if side else shape[2:]
    return _checked(Frame(shape=(settings.channels or shape[1], height, width), crop=settings.crop), source)


def _checked(frame: Frame, source: str) -> Frame:
    """Check that the sides are in the range that the models take."""
    _, height, width = frame.shape
    if min(height, width) < MIN_SIDE or max(height, width) > MAX_SIDE:
        raise DataError(
            f"{source}: images of {width}×{height} pixels; sides must be {MIN_SIDE} to {MAX_SIDE}; choose a size, such"
            " as size=64"
        )
    return frame


def array_pictures(images: Array) -> EncodedPictures:
    """Make pictures from uint8 (N, C, H, W), to resize them or to change their channels.

    Args:
        images: uint8 (N, C, H, W), 0 to 255, with 1 to 4 channels.
    """
    from PIL import Image

    def picture(i: int) -> Any:
        pixels = np.ascontiguousarray(images[i].transpose(1, 2, 0))
        return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)

    return EncodedPictures(num=len(images), open=picture)


def fit_picture(image: Any, frame: Frame, what: str) -> Array:
    """Bring one picture to the frame.

    The steps: turn it as EXIF says; cut the square from its middle; convert it to 8 bits; resize it; remove alpha.

    Args:
        image: a PIL.Image.Image.
        frame: the shape, and the crop.
        what: the name of the picture, for messages.

    Returns:
        uint8 (C, H, W), 0 to 255.

    Raises:
        DataError: if the picture is smaller than the crop.
        ValueError: if it has too many pixels, or values that are out of range.
    """
    from PIL import Image, ImageOps

    _draft(image, frame)
    _check_bomb(image.size)
    channels, height, width = frame.shape
    image = ImageOps.exif_transpose(image)
    if frame.crop is not None and min(image.size) < frame.crop:
        raise DataError(f"{what}: {image.width}×{image.height} pixels, less than crop={frame.crop}; say a smaller crop")
    if frame.crop is not None or height == width:
        side = frame.crop or min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    image = _in_mode(image, channels)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    pixels: Array = np.asarray(_on_white(image, channels))
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
    """Convert a picture to 8 bits, grey or colour, with alpha if it has any or is to have it."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    colour = "L" if channels <= 2 else "RGB"
    alpha = image.has_transparency_data or channels in (2, 4)
    if not alpha:
        return image.convert(colour)
    return image.convert("RGBA").convert("LA") if colour == "L" else image.convert("RGBA")


def _eight_bits(values: Array) -> Array:
    """Scale grey values to 8 bits: whole numbers from 0 to 65,535, or floats from 0 to 1.

    Whole numbers out of range are clipped. Floats out of range raise a ValueError.
    """
    if values.dtype.kind != "f":
        scaled = np.clip(values, 0, 65_535) / 257
        return scaled.round().astype(np.uint8)
    if not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"floats from {values.min():g} to {values.max():g}, expected 0 to 1")
    return (values * 255).round().astype(np.uint8)


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
        progress: whether to show a progress bar, if the error output is a terminal.

    Returns:
        What the function returns, by row; and why it failed, by row.

    Raises:
        DataError: if the function raises it; every other exception is a failure of its row.
    """
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)  # what a command prints may be read by a program

    def run(start: int) -> list[tuple[int, Any, str | None]]:
        return [attempt(i) for i in indices[start : start + 64]]

    def attempt(i: int) -> tuple[int, Any, str | None]:
        try:
            return i, do(i), None
        except DataError:
            raise
        except Exception as error:  # a broken or hostile file makes Pillow raise almost anything
            return i, None, _reason(error)

    results: dict[int, Any] = {}
    failures: dict[int, str] = {}
    starts = range(0, len(indices), 64)
    with ThreadPoolExecutor() as pool:
        shown = progress and console.is_terminal
        for outcomes in track(pool.map(run, starts), title, len(starts), console=console, disable=not shown):
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
