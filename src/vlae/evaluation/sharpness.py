"""How sharp pictures are: the power of fine detail in their spectrum."""

import numpy as np
from jaxtyping import Float

FINE = 1 / 4
"""The least frequency of fine detail, in cycles per pixel: half the highest that pixels can show."""


def fine_power(pictures: Float[np.ndarray, "n channels height width"]) -> float:
    """The mean power of pictures in the upper half of the spectrum, per pixel and channel.

    It counts the frequencies of a quarter of a cycle per pixel or more, across or down: details of two pixels or fewer.
    The power of blurred pictures is low, that of noisy ones high. The power of drawn pictures over that of real ones
    is their sharpness: below 1 they are smoother than real ones, above 1 rougher.

    Args:
        pictures: images in [0, 1], (n, C, H, W).

    Returns:
        The power in squared grey levels, from 0 up. By Parseval's theorem it is the part of the mean squared value that
        these frequencies carry.
    """
    height, width = pictures.shape[2:]
    fine = np.maximum(np.abs(np.fft.fftfreq(height))[:, None], np.abs(np.fft.fftfreq(width))[None]) >= FINE
    power = np.abs(np.fft.fft2(np.asarray(pictures, float))) ** 2
    return float(power[:, :, fine].sum(2).mean() / (height * width) ** 2)
