"""A picture file from a stranger → one datum: limited in bytes and pixels, decoded in memory, never written to disk."""

from io import BytesIO

import numpy as np

from vlae.data.pixels import Frame, fit_picture

MAX_BYTES = 20 * 2**20  # of a file
MAX_PIXELS = 40_000_000
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


def read_picture(content: bytes, shape: tuple[int, int, int], *, crop: int | None = None) -> np.ndarray:
    """A picture file as one datum, cut and resized as in training.

    Args:
        content: of the file.
        shape: (channels, height, width) to bring it to.
        crop: side of the square cut from its middle first, in pixels.

    Returns:
        uint8 (1, channels, height, width).

    Raises:
        ValueError: if it is too large, or is no picture that can be read.
    """
    from PIL import Image

    if len(content) > MAX_BYTES:
        raise ValueError(f"the file is larger than {MAX_BYTES // 2**20} MB; give a smaller one")
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"{picture.width} × {picture.height} pixels are more than {MAX_PIXELS:,}")
            return fit_picture(picture, Frame(shape=shape, crop=crop), "the picture")[None]
    except Exception as error:  # a broken or hostile file makes Pillow raise almost anything
        raise ValueError(f"this file cannot be read as a picture ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {', '.join(FORMATS)}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
