"""Simple statistics of images: colour, light, edges, place and size."""

import numpy as np
from jaxtyping import Float, Shaped

from vlae.models.inference import batch_of

COLOURS = ("red", "green", "blue")
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
CHUNK = 1024  # images at a time, or fewer where they are large


def statistics(
    images: Shaped[np.ndarray, "n channels height width"], *, opacity: bool = True
) -> dict[str, Float[np.ndarray, " n"]]:
    """The statistics of each image, by name, float32 (N,).

    - "mean red", "mean green", "mean blue" (of colour images), "mean channel 1", … (of other channels): mean of the
      channel, in [0, 1];
    - "brightness": mean luminance (of grey images: how much ink), in [0, 1];
    - "contrast": standard deviation of the luminance, in [0, 0.5];
    - "edges": mean length of the luminance's gradient, per pixel;
    - "x position", "y position": centre of the object, as a share of the side, in [0, 1];
    - "size": root mean square distance of the object's pixels from that centre, as a share of the side.

    The object is whatever differs from the border: each pixel has as its weight the difference of its luminance from
    the median of the outermost pixels. If no pixel differs, all have the same weight. A fourth channel, or a second
    beside grey, is left out if it is opacity. Of more than 4 channels, and of 2 or 4 without opacity, the luminance is
    the mean.

    Args:
        images: uint8, or floats in [0, 1], (N, C, H, W).
        opacity: whether the last of 2 or 4 channels is opacity; of data of more than 8 bits it is not.

    Examples:
        >>> half = np.zeros((1, 1, 8, 8), np.uint8)
        >>> half[:, :, :, 4:] = 255
        >>> {name: round(float(value[0]), 2) for name, value in statistics(half).items()}["brightness"]
        0.5
    """
    size = batch_of(images.shape[1:], CHUNK)
    chunks = [_statistics(images[start : start + size], opacity) for start in range(0, len(images), size)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _statistics(
    images: Shaped[np.ndarray, "n channels height width"], opacity: bool
) -> dict[str, Float[np.ndarray, " n"]]:
    x = opaque(images, opacity)
    measured = {}
    if x.shape[1] > 1:
        names = COLOURS if x.shape[1] == 3 else [f"channel {i}" for i in range(1, x.shape[1] + 1)]
        measured = {f"mean {name}": x[:, channel].mean((1, 2)) for channel, name in enumerate(names)}
    luminance = luminance_of(x)
    down, right = (np.gradient(luminance, axis=axis) if luminance.shape[axis] > 1 else 0 * luminance for axis in (1, 2))
    weight = object_weights(luminance)
    height, width = luminance.shape[1:]
    y, x_ = (np.arange(height) + 0.5)[:, None] / height, (np.arange(width) + 0.5) / width
    centre_x, centre_y = (weight * x_).sum((1, 2)), (weight * y).sum((1, 2))
    spread = (weight * ((x_ - centre_x[:, None, None]) ** 2 + (y - centre_y[:, None, None]) ** 2)).sum((1, 2))
    measured |= {
        "brightness": luminance.mean((1, 2)),
        "contrast": luminance.std((1, 2)),
        "edges": np.hypot(down, right).mean((1, 2)),
        "x position": centre_x,
        "y position": centre_y,
        "size": np.sqrt(spread),
    }
    return {name: value.astype(np.float32) for name, value in measured.items()}


def opaque(
    images: Shaped[np.ndarray, "n channels height width"], opacity: bool
) -> Float[np.ndarray, "n kept height width"]:
    """Pictures as float32 in [0, 1], without their opacity.

    Args:
        images: uint8, or floats in [0, 1], (N, C, H, W).
        opacity: whether the last of 2 or 4 channels is opacity.
    """
    kept = images[:, :-1] if opacity and images.shape[1] in (2, 4) else images
    return np.asarray(kept, np.float32) / np.float32(255 if images.dtype == np.uint8 else 1)


def luminance_of(x: Float[np.ndarray, "n channels height width"]) -> Float[np.ndarray, "n height width"]:
    """The luminance of each pixel: of three channels that of the colour, else the mean of all.

    Args:
        x: pictures without opacity, (N, C, H, W), in [0, 1].
    """
    return x[:, 0] if x.shape[1] == 1 else np.tensordot(LUMINANCE, x, (0, 1)) if x.shape[1] == 3 else x.mean(1)


def object_weights(
    luminance: Float[np.ndarray, "n height width"],
) -> Float[np.ndarray, "n height width"]:
    """How far each pixel belongs to the object, with sum 1: its difference from the median of the outermost pixels.

    Args:
        luminance: of each picture, (N, H, W), in [0, 1].
    """
    border = np.concatenate([luminance[:, 0], luminance[:, -1], luminance[:, 1:-1, 0], luminance[:, 1:-1, -1]], axis=1)
    weight = np.abs(luminance - np.median(border, axis=1)[:, None, None]) + 1e-6  # if none differs, all weigh the same
    return weight / weight.sum((1, 2), keepdims=True)
