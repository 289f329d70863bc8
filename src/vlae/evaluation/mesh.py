"""Whether drawn pictures carry a mesh: a regular pattern with the period of the decoder's strides."""

import numpy as np
from jaxtyping import Complex, Float

PERIODS = (2, 4, 8)  # in pixels, of one, two and three strides of 2


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
    return peaks(np.square(np.abs(spectrum(pictures))).mean(0))


def spectrum(pictures: Float[np.ndarray, "n channels height width"]) -> Complex[np.ndarray, "n height width"]:
    """The Fourier transform of the mean of each picture's channels, less its own mean.

    Args:
        pictures: images in [0, 1], (n, C, H, W). Rows and columns beyond a multiple of 8 are cut off.
    """
    grey = np.asarray(pictures, float).mean(1)
    height, width = (8 * (side // 8) or side for side in grey.shape[1:])
    grey = grey[:, :height, :width]
    return np.fft.fft2(grey - grey.mean((1, 2), keepdims=True))


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
