"""An uploaded picture file → one image: limited in bytes and pixels, decoded in memory, never written to disk."""

from io import BytesIO

import numpy as np

from vlae.data.files import decoders, open_picture
from vlae.data.pixels import Frame, fit_picture

MAX_BYTES = 20 * 2**20
"""The largest file."""

MAX_PIXELS = 40_000_000
"""The largest picture, width × height."""


def read_picture(content: bytes, shape: tuple[int, int, int], *, crop: int | None = None) -> np.ndarray:
    """Read a picture file as one image, cut and resized in the same way as for training.

    Args:
        content: the bytes of the file, at most `MAX_BYTES`.
        shape: (channels, height, width) of the image.
        crop: side of the square that is cut from the middle before resizing, in pixels. None: no crop.

    Returns:
        uint8 (1, channels, height, width), 0 to 255.

    Raises:
        ValueError: if the file is too large, or cannot be read as a picture.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"the file is larger than {MAX_BYTES // 2**20} MB; give a smaller one")
    try:
        with open_picture(BytesIO(content)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"{picture.width} × {picture.height} pixels are more than {MAX_PIXELS:,}")
            return fit_picture(picture, Frame(shape=shape, crop=crop), "the picture")[None]
    except Exception as error:  # a broken or hostile file makes Pillow raise almost anything
        raise ValueError(f"this file cannot be read as a picture ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {', '.join(decoders())}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
