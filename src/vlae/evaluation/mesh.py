"""Whether drawn pictures carry a mesh: a regular pattern with the period of the decoder's strides."""

import numpy as np
from jaxtyping import Float

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
    grey = np.asarray(pictures, float).mean(1)
    height, width = (8 * (side // 8) or side for side in grey.shape[1:])
    grey = grey[:, :height, :width] - grey[:, :height, :width].mean((1, 2), keepdims=True)
    power = np.log((np.abs(np.fft.fft2(grey)) ** 2).mean(0) + 1e-12)
    found = {}
    for period in PERIODS:
        down, across = height // period, width // period
        if min(down, across) < 2 or height % period or width % period:
            continue
        peaks = [power[i, j] - _beside(power, i, j) for i, j in ((down, 0), (0, across), (down, across))]
        found[period] = float(np.exp(np.mean(peaks)))
    return found


def _beside(power: Float[np.ndarray, "height width"], i: int, j: int) -> float:
    """The mean of the neighbours of a frequency that differ where it is not 0."""
    height, width = power.shape
    steps = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a or b) and (i or not a) and (j or not b)]
    return float(np.mean([power[(i + a) % height, (j + b) % width] for a, b in steps]))
