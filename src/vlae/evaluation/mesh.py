"""Whether drawn pictures carry a mesh: a regular pattern with the period of the decoder's strides."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Complex, Float

from vlae.models.inference import batch_of

PERIODS = (2, 4, 8)  # in pixels, of one, two and three strides of 2
PART = 100  # pictures at most whose transforms are held at once


def mesh(pictures: Float[np.ndarray, "n channels height width"]) -> dict[int, float]:
    """How much stronger the spectrum of pictures is at the frequencies of a period than at those beside them.

    The power of the mean of the channels is averaged over the pictures. Each of the frequencies 1 / period (across,
    down, and both) is compared with the geometric mean of its neighbours, one cycle a picture away. A mesh of that
    period shows as a peak. Pictures without one have some ratio too, that of the shape of their spectrum: compare it
    with the ratio of real pictures.

    Args:
        pictures: images in [0, 1], (n, C, H, W). Rows and columns beyond a multiple of 8 are cut off.

    Returns:
        For each period in pixels, 2, 4 and 8, the ratio: 1 if there is neither peak nor hole. Periods of which a
        picture holds fewer than two are left out.
    """
    return peaks(np.asarray(sum(powers(pictures))) / len(pictures))


def powers(pictures: Float[np.ndarray, "n channels height width"]) -> Iterator[Float[np.ndarray, "height width"]]:
    """The power at each frequency, summed over each part of the pictures, for `peaks`.

    Args:
        pictures: images in [0, 1], (n, C, H, W). Rows and columns beyond a multiple of 8 are cut off.
    """
    size = batch_of(pictures.shape[1:], PART)
    for start in range(0, len(pictures), size):
        yield np.square(np.abs(spectrum(pictures[start : start + size]))).sum(0)


def spectrum(pictures: Float[np.ndarray, "n channels height width"]) -> Complex[np.ndarray, "n height width"]:
    """The Fourier transform of the mean of each picture's channels, without what the picture's borders add.

    To a Fourier transform a picture goes on at its left where it ends at its right. Where these differ, the jump gives
    power at every frequency across, in which a weak mesh is lost. So the transform is that of the picture's periodic
    part: what is left without the smoothest picture that has the same jumps.

    Reference: Moisan 2011, "Periodic plus Smooth Image Decomposition", Journal of Mathematical Imaging and Vision 39.

    Args:
        pictures: images in [0, 1], (n, C, H, W). Rows and columns beyond a multiple of 8 are cut off.
    """
    grey = np.asarray(pictures, float).mean(1)
    height, width = (8 * (side // 8) or side for side in grey.shape[1:])
    grey = grey[:, :height, :width]
    jumps = np.zeros_like(grey)
    for first, last in ((np.s_[:, 0], np.s_[:, -1]), (np.s_[:, :, 0], np.s_[:, :, -1])):
        jump = grey[last] - grey[first]
        jumps[first] += jump
        jumps[last] -= jump
    down, across = (np.cos(2 * np.pi * np.fft.fftfreq(side)) for side in (height, width))
    curvature = 2 * (down[:, None] + across - 2)  # of each wave, in times of itself
    curvature[0, 0] = np.inf
    found = np.fft.fft2(grey) - np.fft.fft2(jumps) / curvature
    found[:, 0, 0] = 0
    return found


def peaks(power: Float[np.ndarray, "height width"]) -> dict[int, float]:
    """How much stronger a power spectrum is at the frequencies of a period than at those beside them.

    Args:
        power: the mean squared amplitude at each frequency, in the order of `numpy.fft.fft2`.

    Returns:
        The ratio of each period of `PERIODS` that the picture has, in pixels; 1 if nothing stands out.
    """
    height, width = power.shape
    logs = np.log(power + 1e-12)
    found = {}
    for period in PERIODS:
        down, across = height // period, width // period
        if min(down, across) < 2 or height % period or width % period:
            continue
        above = [logs[i, j] - _beside(logs, i, j) for i, j in ((down, 0), (0, across), (down, across))]
        found[period] = float(np.exp(np.mean(above)))
    return found


def _beside(power: Float[np.ndarray, "height width"], i: int, j: int) -> float:
    """The mean of the neighbours of a frequency that differ where it is not 0."""
    height, width = power.shape
    steps = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a or b) and (i or not a) and (j or not b)]
    return float(np.mean([power[(i + a) % height, (j + b) % width] for a, b in steps]))
