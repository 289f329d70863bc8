"""Variations of pictures that stand in for more pictures in training: mirrored ones, moved ones."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from jaxtyping import UInt8

Pictures = UInt8[np.ndarray, "n channels height width"]

SHIFT, NUDGE = 1 / 16, 1 / 32  # of the side, the furthest that a picture is moved


def mirrored(values: Pictures, rng: np.random.Generator) -> Pictures:
    """Half of the pictures, chosen at random, with left and right exchanged.

    Args:
        values: uint8 images, or floats, (n, C, H, W).
        rng: the generator of the choice.
    """
    chosen = rng.random(len(values)) < 0.5
    return np.where(chosen[:, None, None, None], values[..., ::-1], values)


def furthest(share: float, values: Pictures) -> tuple[int, int]:
    """How many pixels pictures are moved at most, down and across; at least one.

    Args:
        share: of their sides, `SHIFT` or `NUDGE`.
        values: the pictures, (n, C, H, W).
    """
    height, width = (max(1, round(share * side)) for side in values.shape[2:])
    return height, width


def moved(values: Pictures, rng: np.random.Generator, *, share: float) -> Pictures:
    """Each picture moved by up to a share of its sides; what lies beyond the border is its mirror image.

    Args:
        values: uint8 images, or floats, (n, C, H, W).
        rng: the generator of the shifts.
        share: of the sides, `SHIFT` or `NUDGE`; at least one pixel.
    """
    height, width = values.shape[2:]
    down, across = furthest(share, values)
    padded = np.pad(values, ((0, 0), (0, 0), (down, down), (across, across)), "reflect")
    corners = zip(rng.integers(0, 2 * down + 1, len(values)), rng.integers(0, 2 * across + 1, len(values)), strict=True)
    return np.stack(
        [picture[:, i : i + height, j : j + width] for picture, (i, j) in zip(padded, corners, strict=True)]
    )


VARIATIONS: Mapping[str, Callable[[Pictures, np.random.Generator], Pictures]] = {
    "mirror": mirrored,
    "shift": partial(moved, share=SHIFT),
    "nudge": partial(moved, share=NUDGE),
}
"""Every variation by its name."""


def vary(values: Pictures, names: str, rng: np.random.Generator) -> Pictures:
    """Pictures with several variations, one after the other.

    Args:
        values: uint8 images, or floats, (n, C, H, W).
        names: names in `VARIATIONS`, separated by commas; "none": the pictures as they are.
        rng: the generator of all choices.
    """
    for name in names.split(",") if names != "none" else ():
        values = VARIATIONS[name](values, rng)
    return values
