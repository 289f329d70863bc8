"""Pictures whose numbers do not fit Pillow's 8 bits a channel: 16-bit PNG and PPM, TIFF of any type, many channels.

Pillow reads 16-bit colour as 8 bits, signed bytes as unsigned ones, and no TIFF of five channels. It spreads the 12
bits of a PGM over 16. Here tifffile, imagecodecs and numpy decode such pictures.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from vlae.data.source import Array
from vlae.shapes import MAX_CHANNELS

ALPHA = (1, 2)
"""The values of TIFF's tag ExtraSamples that say that a channel is opacity."""

_BITS, _ORIENTATION, _KIND = 258, 274, 339  # tags of TIFF


@dataclass(frozen=True)
class ArrayPicture:
    """A picture that is an array. It is used like a PIL.Image.Image: in a `with` block, and asked for its size."""

    numbers: Array
    """(C, H, W), of any type."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), in pixels."""
        return self.numbers.shape[2], self.numbers.shape[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class TiffPicture:
    """A TIFF file that Pillow cannot open. It is used like a PIL.Image.Image.

    Args:
        file: a path, or an open binary file.

    Raises:
        tifffile.TiffFileError: if it is no TIFF file.
    """

    format = "TIFF"

    def __init__(self, file: Any):
        import tifffile

        self._owned = isinstance(file, str | Path)
        self.fp: BinaryIO = Path(file).open("rb") if self._owned else file  # noqa: SIM115 - closed by `close`
        self._page = 0
        try:
            self.fp.seek(0)
            with tifffile.TiffFile(self.fp) as tiff:
                self.n_frames = len(tiff.pages)
                page = tiff.pages[0].aspage()
                turned = _orientation(page) >= 5
                self.size = (page.imagewidth, page.imagelength)[:: -1 if turned else 1]
        except BaseException:
            self.close()
            raise

    def seek(self, page: int) -> None:
        """Choose the page that is read, 0 for the first."""
        self._page = page

    def tell(self) -> int:
        """The page that is read."""
        return self._page

    def close(self) -> None:
        """Close the file."""
        if self._owned:
            self.fp.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_tiff(file: Any) -> TiffPicture | None:
    """Open a TIFF file that Pillow cannot open; None if it is no TIFF file.

    Args:
        file: a path, or an open binary file.
    """
    import tifffile

    try:
        return TiffPicture(file)
    except (tifffile.TiffFileError, IndexError):
        return None


def is_wide(image: Any) -> bool:
    """Whether a picture has more than Pillow's 8 bits a channel and 4 channels, from its header alone.

    Args:
        image: a PIL.Image.Image, best one that is not decoded yet; or an `ArrayPicture` or `TiffPicture`.
    """
    if isinstance(image, ArrayPicture | TiffPicture) or image.mode.startswith(("I", "F")):
        return True
    if _is_decoded(image):
        return False
    if image.format == "TIFF":
        tags = image.tag_v2
        return max(tags.get(_BITS, (1,))) > 8 or any(kind not in (1, 4) for kind in tags.get(_KIND, (1,)))
    if image.format == "PPM":
        largest = [arg for tile in image.tile for arg in tile.args if isinstance(arg, int)]
        return max(largest, default=1) > 255
    return image.format == "PNG" and any("16" in str(tile.args) for tile in image.tile)


def is_grey(image: Any) -> bool:
    """Whether a picture of 8 bits is grey.

    Args:
        image: a PIL.Image.Image.
    """
    return image.mode in ("1", "L", "LA", "La")


def channels_first(pixels: Array) -> Array:
    """Bring the pixels of a picture, (H, W) or (H, W, C), to (C, H, W) without a copy.

    Args:
        pixels: of any type.
    """
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def num_channels(image: Any) -> int:
    """The channels of a wide picture, without its opacity, from its header alone.

    Args:
        image: a picture that `is_wide`.
    """
    if isinstance(image, ArrayPicture):
        return len(image.numbers)
    if _is_decoded(image):
        return 1  # Pillow has no colour of more than 8 bits
    if image.format == "PNG":
        return 1 if str(image.tile[0].args).startswith(("I", "L")) else 3
    if image.format == "PPM":
        return len(image.getbands())
    with _page_of(image) as page:
        return int(page.samplesperpixel) - _has_alpha(page)


def has_floats(image: Any) -> bool:
    """Whether the numbers of a wide picture are floats, from its header alone.

    Args:
        image: a picture that `is_wide`.
    """
    if isinstance(image, ArrayPicture):
        return image.numbers.dtype.kind == "f"
    if _is_decoded(image) or image.format != "TIFF":
        return bool(image.mode == "F")
    with _page_of(image) as page:
        return bool(page.dtype is not None and page.dtype.kind == "f")


def numbers_of(image: Any) -> Array:
    """The numbers of a wide picture, turned as its EXIF says. Opacity is laid on white, the largest number of the type.

    In a TIFF whose 0 is white the numbers without a sign are taken from the largest, so that 0 is black in all.

    Args:
        image: a picture that `is_wide`.

    Returns:
        (C, H, W), of the type that is stored; floats if there was opacity.

    Raises:
        ValueError: if the picture has more than 16 channels, or is damaged, or is of a kind that is not read.
    """
    if isinstance(image, ArrayPicture):
        return image.numbers
    if _is_decoded(image):
        return _turned(np.asarray(image)[None], int(image.getexif().get(_ORIENTATION, 1)))
    if image.format == "PNG":
        from imagecodecs import png_decode

        image.fp.seek(0)
        numbers = channels_first(png_decode(image.fp.read()))
        return _turned(_on_white(numbers, len(numbers) in (2, 4)), int(image.getexif().get(_ORIENTATION, 1)))
    if image.format == "PPM":
        return _numbers_of_ppm(image)
    with _page_of(image) as page:
        if page.dtype is None or page.dtype.kind not in "biuf":
            raise ValueError(f"numbers of type {page.dtype}; save real ones")
        if page.samplesperpixel > MAX_CHANNELS:
            raise ValueError(f"{page.samplesperpixel} channels are more than {MAX_CHANNELS}")
        if page.photometric not in (0, 1, 2):
            raise ValueError(f"numbers of more than 8 bits that stand for {page.photometric.name}; save grey or colour")
        axes = page.axes
        if axes not in ("YX", "YXS", "SYX"):  # before there is memory for it
            raise ValueError(f"a TIFF with the axes {axes}; save it as height × width × channels")
        numbers = page.asarray(maxworkers=1)
        if page.photometric == 0 and numbers.dtype.kind == "u":
            numbers = _black_is_zero(numbers, axes, page)
        orientation = _orientation(page)
        alpha = _has_alpha(page)
    numbers = numbers if axes == "SYX" else channels_first(numbers)
    return _turned(_on_white(numbers, alpha), orientation)


def _black_is_zero(numbers: Array, axes: str, page: Any) -> Array:
    """Turn the numbers of a page whose 0 is white, but for its extra channels, as Pillow does with those of 8 bits."""
    turned = numbers.dtype.type(2**page.bitspersample - 1) - numbers
    if axes == "YX" or not page.extrasamples:
        return turned
    num_grey = page.samplesperpixel - len(page.extrasamples)
    is_grey = np.arange(page.samplesperpixel) < num_grey
    return np.where(is_grey if axes == "YXS" else is_grey[:, None, None], turned, numbers)


def _numbers_of_ppm(image: Any) -> Array:
    """The numbers of a PGM, PPM or PFM file as they are written, (C, H, W)."""
    if image.mode == "F":
        return np.asarray(image)[None]
    (width, height), channels, tile = image.size, len(image.getbands()), image.tile[0]
    image.fp.seek(tile.offset)
    if tile.codec_name == "ppm_plain":
        numbers = np.array(image.fp.read().split(), np.uint16)
    else:
        numbers = np.frombuffer(image.fp.read(2 * width * height * channels), ">u2")
    return numbers.reshape(height, width, channels).transpose(2, 0, 1)


def _is_decoded(image: Any) -> bool:
    """Whether a picture is in Pillow's memory only: its file is decoded, or there is none."""
    return not isinstance(image, TiffPicture) and not getattr(image, "tile", ())


@contextmanager
def _page_of(image: Any) -> Iterator[Any]:
    """Open the page of a TIFF file that an image stands at. The file itself stays open."""
    import tifffile

    image.fp.seek(0)
    with tifffile.TiffFile(image.fp) as tiff:
        yield tiff.pages[image.tell()].aspage()


def _orientation(page: Any) -> int:
    """EXIF's orientation of a page, 1 to 8; 1 if it says none."""
    tag = page.tags.get(_ORIENTATION)
    return 1 if tag is None else int(tag.value)


def _has_alpha(page: Any) -> bool:
    return any(int(kind) in ALPHA for kind in page.extrasamples[-1:])


def _on_white(numbers: Array, alpha: bool) -> Array:
    """Lay the channels on white by the last one, if that is opacity."""
    if not alpha:
        return numbers
    white = np.iinfo(numbers.dtype).max if numbers.dtype.kind in "iu" else 1
    opacity = numbers[-1:] / white
    return numbers[:-1] * opacity + white * (1 - opacity)


def _turned(numbers: Array, orientation: int) -> Array:
    """Undo what EXIF's orientation, 1 to 8, says was done."""
    if orientation in (5, 6, 7, 8):
        numbers = numbers.swapaxes(1, 2)
    down, across = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return numbers[:, :: -1 if down else 1, :: -1 if across else 1]
