"""An uploaded picture file → one image: limited in bytes and pixels, decoded in memory, never written to disk."""

from io import BytesIO

import numpy as np

from vlae.data.files import decoders, open_picture
from vlae.data.frames import Frame
from vlae.data.pixels import picture_values
from vlae.data.source import ValueRange

MAX_BYTES = 20 * 2**20
"""The largest file."""

MAX_PIXELS = 40_000_000
"""The largest picture, width × height."""


def read_picture(content: bytes, frame: Frame, value_range: ValueRange | None = None) -> np.ndarray:
    """Read a picture file as one image, resized and scaled in the same way as for training.

    Args:
        content: the bytes of the file, at most `MAX_BYTES`.
        frame: the shape of the image, and how the picture is brought to it.
        value_range: the numbers that become 0 and 1, of each channel. None: bytes, or floats from 0 to 1.

    Returns:
        uint8 (1, channels, height, width), 0 to 255; or float32 in [0, 1].

    Raises:
        ValueError: if the file is too large, or cannot be read as a picture.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"the file is larger than {MAX_BYTES // 2**20} MB; give a smaller one")
    try:
        with open_picture(BytesIO(content)) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise ValueError(f"{width} × {height} pixels are more than {MAX_PIXELS:,}")
            return picture_values(picture, frame, value_range, "the picture")[0][None]
    except Exception as error:  # a broken or hostile file makes Pillow raise almost anything
        raise ValueError(f"this file cannot be read as a picture ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {', '.join(decoders())}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
