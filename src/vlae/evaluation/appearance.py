"""How pictures look, in numbers that have words: light, colour, contrast, detail, and the form of the object."""

import numpy as np
from jaxtyping import Float, Shaped

from vlae.evaluation.statistics import luminance_of, object_weights, opaque, statistics

FLAT = 0.01
"""Contrast that counts as none: detail is measured in times of the contrast and this."""

WORDS: dict[str, tuple[str, str]] = {
    "brightness": ("darker", "lighter"),
    "contrast": ("lower in contrast", "higher in contrast"),
    "saturation": ("greyer", "more colourful"),
    "detail": ("smoother", "more detailed"),
    "light across": ("lighter on the left", "lighter on the right"),
    "light down": ("lighter at the top", "lighter at the bottom"),
    "light inside": ("darker in the middle", "lighter in the middle"),
    "size": ("smaller", "larger"),
    "x position": ("further left", "further right"),
    "y position": ("higher up", "lower down"),
    "slant": ("leaning left", "leaning right"),
    "width": ("taller", "wider"),
}
"""The words for less and for more of each number of a picture."""

HUES: dict[str, float] = {
    "redder": 27.0, "more orange": 56.0, "yellower": 90.0, "more yellow-green": 120.0, "greener": 153.0,
    "more turquoise": 207.0, "bluer": 270.0, "more purple": 304.0, "pinker": 333.0,
}  # fmt: skip
"""The words for a change of the mean colour, by its direction in degrees: redness to the right, yellowness upwards."""


def appearance(
    images: Shaped[np.ndarray, "n channels height width"], *, opacity: bool = True
) -> dict[str, Float[np.ndarray, " n"]]:
    """How each picture looks, by name, float32 (N,).

    - "brightness", "contrast", "x position", "y position" and "size" as in `vlae.evaluation.statistics.statistics`;
    - "detail": the mean length of the luminance's gradient, in times of the contrast;
    - "light across", "light down", "light inside": mean luminance of the right half less that of the left, of the lower
      half less that of the upper, and of the middle (half of each side) less that of the rest, in [-1, 1];
    - "slant": how far the object leans to the right, as the shift sideways for each pixel upwards;
    - "width": logarithm of the object's width in times of its height, as standard deviations of its pixels;
    - of colour pictures "saturation", the mean difference of the largest and smallest channel, in [0, 1]; and
      "redness", red less green, and "yellowness", the mean of red and green less blue, in [-1, 1].

    The last two give one direction on the plane of hues.

    Args:
        images: uint8, or floats in [0, 1], (N, C, H, W).
        opacity: whether the last of 2 or 4 channels is opacity; of data of more than 8 bits it is not.

    Examples:
        >>> half = np.zeros((1, 1, 8, 8), np.uint8)
        >>> half[:, :, :, 4:] = 255
        >>> round(float(appearance(half)["light across"][0]), 2)
        1.0
    """
    simple, x = statistics(images, opacity=opacity), opaque(images, opacity)
    measured = {name: simple[name] for name in ("brightness", "contrast", "x position", "y position", "size")}
    measured["detail"] = simple["edges"] / (simple["contrast"] + FLAT)
    if x.shape[1] == 3:
        red, green, blue = (x[:, channel] for channel in range(3))
        measured["saturation"] = (x.max(1) - x.min(1)).mean((1, 2))
        measured["redness"] = (red - green).mean((1, 2))
        measured["yellowness"] = ((red + green) / 2 - blue).mean((1, 2))
    luminance = luminance_of(x)
    height, width = luminance.shape[1:]
    across, down = max(1, width // 2), max(1, height // 2)
    measured["light across"] = luminance[..., -across:].mean((1, 2)) - luminance[..., :across].mean((1, 2))
    measured["light down"] = luminance[:, -down:].mean((1, 2)) - luminance[:, :down].mean((1, 2))
    if min(height, width) > 3:
        inside = np.zeros((height, width), bool)
        inside[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
        measured["light inside"] = luminance[:, inside].mean(1) - luminance[:, ~inside].mean(1)
    weight = object_weights(luminance)
    across = (np.arange(width) + 0.5)[None, None] - simple["x position"][:, None, None] * width
    up = simple["y position"][:, None, None] * height - (np.arange(height) + 0.5)[None, :, None]
    spread_x, spread_y = ((weight * part**2).sum((1, 2)) + 1e-6 for part in (across, up))
    measured["slant"] = (weight * across * up).sum((1, 2)) / spread_y
    measured["width"] = np.log(spread_x / spread_y) / 2
    return {name: value.astype(np.float32) for name, value in measured.items()}


def hue_of(redness: float, yellowness: float) -> str:
    """The word for a change of the mean colour.

    Args:
        redness: how much redder, in any unit above 0 that is also that of `yellowness`.
        yellowness: how much yellower.

    Examples:
        >>> hue_of(1, 0.5), hue_of(0, -1)
        ('redder', 'bluer')
    """
    angle = float(np.degrees(np.arctan2(yellowness, redness)))
    return min(HUES, key=lambda word: abs((angle - HUES[word] + 180) % 360 - 180))
