"""How sharp pictures are: the power of fine detail in their spectrum."""

import numpy as np
from jaxtyping import Float

from vlae.models.inference import in_parts

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
    sums = np.concatenate([fine_sums(part) for part in in_parts(pictures)])
    return float(sums.mean() / np.prod(pictures.shape[2:]) ** 2)


def fine_sums(pictures: Float[np.ndarray, "n channels height width"]) -> Float[np.ndarray, "n channels"]:
    """The sum of the squared amplitudes of fine detail: its mean over (height × width)² is `fine_power`.

    Args:
        pictures: images in [0, 1], (n, C, H, W), so few that their spectra fit the memory (`vlae.models.inference`).
    """
    height, width = pictures.shape[2:]
    fine = np.maximum(np.abs(np.fft.fftfreq(height))[:, None], np.abs(np.fft.fftfreq(width))[None]) >= FINE
    power = np.abs(np.fft.fft2(np.asarray(pictures, float))) ** 2
    return np.asarray(power[:, :, fine].sum(2))
