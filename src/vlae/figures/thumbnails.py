"""Small pictures side by side on one sheet, and pictures as data URLs."""

import base64
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

MAX_TILE = 64  # pixels on a side of a picture in an overview


def sheet(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Pictures side by side in reading order, without gaps; the last row is filled with white.

    Args:
        pictures: uint8 (n, H, W, 3).
        columns: number of pictures in a row, from 1 up.
    """
    num, height, width, _ = pictures.shape
    rows = -(-num // columns)
    padded = np.full((rows * columns, height, width, 3), 255, np.uint8)
    padded[:num] = pictures
    return padded.reshape(rows, columns, height, width, 3).swapaxes(1, 2).reshape(rows * height, columns * width, 3)


def smaller(pictures: np.ndarray) -> np.ndarray:
    """Pictures reduced to at most 64 pixels on a side; smaller pictures as they are.

    Args:
        pictures: uint8 (n, H, W, 3).
    """
    height, width = pictures.shape[1:3]
    shrink = MAX_TILE / max(height, width)
    if shrink >= 1:
        return pictures
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    return np.stack([np.asarray(Image.fromarray(picture).resize(size)) for picture in pictures])


def png(picture: np.ndarray) -> str:
    """A picture as a PNG data URL.

    Args:
        picture: uint8 (H, W, 3).
    """
    return _data_url(picture, "PNG", compress_level=1)


def webp(picture: np.ndarray) -> str:
    """A picture as a WebP data URL, which is smaller than PNG but not exact.

    A picture with a side of 16,000 pixels or more becomes PNG.

    Args:
        picture: uint8 (H, W, 3).
    """
    return _data_url(picture, "WEBP", quality=85, method=0) if max(picture.shape) < 16_000 else png(picture)


def _data_url(picture: np.ndarray, kind: str, **options: Any) -> str:
    stream = BytesIO()
    Image.fromarray(picture).save(stream, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
