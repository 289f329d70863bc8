"""Numbers of any depth → bytes, or float32 in [0, 1] by a fixed range for each channel; and back."""

from typing import Any

import numpy as np
import numpy.typing as npt

from vlae.data.source import Array, DataError, ValueRange
from vlae.shapes import ROUNDING

CHUNK = 256
"""Images that are converted at a time."""


def of_channels(value_range: ValueRange, channels: int) -> ValueRange:
    """The range of each channel; one pair is that of all channels.

    Args:
        value_range: one pair, or one for each channel.
        channels: how many channels there are.

    Raises:
        DataError: if there are other numbers of pairs and channels.
    """
    if len(value_range) not in (1, channels):
        raise DataError(
            f"value_range has {len(value_range)} pairs for {channels} channels; give one pair, or {channels}"
        )
    return value_range if len(value_range) == channels else value_range * channels


def listed_range(value_range: ValueRange) -> str:
    """A range as text; channels with the same range are said once.

    Examples:
        >>> listed_range(((0.0, 4095.0),)), listed_range(((0.0, 1.5), (-2.0, 3.0)))
        ('0 to 4095', '0 to 1.5, -2 to 3')
    """
    pairs = value_range[:1] if len(set(value_range)) == 1 else value_range
    return ", ".join(f"{low:.6g} to {high:.6g}" for low, high in pairs)


def within_bytes(value_range: ValueRange) -> bool:
    """Whether a range goes no further than bytes, from 0 to 255.

    Args:
        value_range: one pair, or one for each channel.
    """
    return all(low >= 0 and high <= 255 for low, high in value_range)


def in_bytes(values: Array, white: int | None = None) -> Array | None:
    """The same numbers as bytes; None if bytes cannot hold them without a loss.

    Whole numbers from 0 to 255 stay as they are. Booleans become 0 and 255, and so do whole numbers if the largest is
    1. Floats that are multiples of 1/255 in [0, 1] become the multiple.

    Args:
        values: numbers of any type, all finite; at least one.
        white: the whole number that is white, 1 or 255. None: `white_of` these values.

    Returns:
        uint8 of the same shape.

    Examples:
        >>> in_bytes(np.array([0, 0.2, 1])), in_bytes(np.array([0, 0.3])), in_bytes(np.array([-1, 5]))
        (array([  0,  51, 255], dtype=uint8), None, None)
    """
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        return _multiples(values) if low >= 0 and high <= 1 else None
    white = white_of(values) if white is None or values.dtype.kind == "b" else white
    if low < 0 or high > white:
        return None
    pixels = values.astype(np.uint8, copy=False)
    return pixels * np.uint8(255) if white == 1 else pixels


def white_of(pixels: Array) -> int:
    """Return the value that is white: 1 in floats, in booleans, and in whole numbers up to 1; else 255.

    Args:
        pixels: the values of all images, of any shape and type.

    Examples:
        >>> white_of(np.array([0, 1])), white_of(np.array([0, 2])), white_of(np.array([0.5]))
        (1, 255, 1)
    """
    return 1 if pixels.dtype.kind in "bf" or pixels.max() == 1 else 255


def _multiples(values: Array) -> Array | None:
    """Floats in [0, 1] times 255 as bytes, if all are whole numbers but for rounding."""
    pixels = np.empty(values.shape, np.uint8)
    largest: Any = 1e-6
    for start in range(0, len(values), CHUNK):
        part = values[start : start + CHUNK]
        scaled = part.astype(np.float64) * 255
        pixels[start : start + CHUNK] = np.rint(scaled)
        if values.dtype == np.float16:  # a multiple is the nearest number that 16 bits can hold, or one beside it
            largest = np.maximum(np.spacing(part), 1e-6, dtype=np.float64)
        if (np.abs(scaled - pixels[start : start + CHUNK]) > largest * 255).any():
            return None
    return pixels


def found_range(values: Array, what: str) -> ValueRange | None:
    """The least and the greatest number of each channel; None if all are in [0, 1] already.

    Args:
        values: (N, C, H, W), numbers of any type, all finite; at least one.
        what: their name, for messages.

    Raises:
        DataError: if whole numbers are so large, and so near to each other, that floats hardly tell them apart.
    """
    parts = [values[start : start + CHUNK] for start in range(0, len(values), CHUNK)]
    lows = np.min([part.min((0, 2, 3)) for part in parts], axis=0)
    highs = np.max([part.max((0, 2, 3)) for part in parts], axis=0)
    if lows.min() >= 0 and highs.max() <= 1:
        return None
    apart = np.spacing(np.maximum(np.abs(lows.astype(np.float64)), np.abs(highs.astype(np.float64))))
    for low, high, least in zip(lows.tolist(), highs.tolist(), apart.tolist(), strict=True):
        if isinstance(low, int) and low < high < low + 255 * least and least > 1:
            raise DataError(
                f"{what}: whole numbers near {low:g} differ by {high - low} at most, which floats blur; subtract their "
                "mean"
            )
    return tuple(
        (float(low), float(high) if high > low else float(low) + max(1, float(least)))
        for low, high, least in zip(lows, highs, apart, strict=True)
    )


def into_range(values: Array, value_range: ValueRange | None, out: Array) -> int:
    """Map the range of each channel to [0, 1]. Numbers outside of it are clipped.

    Args:
        values: (N, C, H, W), numbers of any type.
        value_range: of each channel. None: (0, 1).
        out: float32 (N, C, H, W), where the result is written; it may be `values`.

    Returns:
        How many numbers were outside of the range.
    """
    low, span = _low_and_span(value_range or ((0, 1),))
    num_outside = 0
    for start in range(0, len(values), CHUNK):
        mapped = (values[start : start + CHUNK].astype(np.float64) - low) / span
        clipped = mapped.clip(0, 1)
        num_outside += int((np.abs(mapped - clipped) > ROUNDING).sum())
        out[start : start + CHUNK] = clipped
    return num_outside


def out_of_range(values: Array, value_range: ValueRange) -> Array:
    """Map [0, 1] back to the own numbers of the data.

    Args:
        values: (N, C, H, W), floats in [0, 1].
        value_range: of each channel.

    Returns:
        float32 (N, C, H, W).
    """
    low, span = _low_and_span(value_range)
    return (values.astype(np.float64) * span + low).astype(np.float32)


def _low_and_span(value_range: ValueRange) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    pairs = np.array(value_range, np.float64)[:, :, None, None]
    return pairs[:, 0], pairs[:, 1] - pairs[:, 0]
