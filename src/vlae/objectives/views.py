"""Views of pictures: each is turned, scaled, slanted and moved a little, at random."""

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

TURN = pi / 12
"""The largest turn, in radians: 15°."""

SCALE = 0.15
"""The largest change of size, as a share; of each side by itself."""

SHEAR = 0.15
"""The largest slant, as a share of the height."""

SHIFT = 0.15
"""The largest move, as a share of half a side: 2 of 28 pixels."""


def varied_view(x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n channels height width"]:
    """Pictures, each turned, scaled, slanted and moved at random; what comes in at a border repeats that border.

    The amounts are uniform up to TURN, SCALE, SHEAR and SHIFT. They are drawn from PyTorch's generator of the device.

    Args:
        x: pictures in [0, 1], (n, C, H, W).
    """
    drawn = 2 * torch.rand(6, len(x), device=x.device) - 1
    angle, shear = TURN * drawn[0], SHEAR * drawn[1]
    wide, high = 1 + SCALE * drawn[2], 1 + SCALE * drawn[3]
    cos, sin = angle.cos(), angle.sin()
    tall = x.shape[2] / x.shape[3]  # the grid's unit is half a side: turn and slant are those of the pixels
    rows = torch.stack(
        [
            torch.stack([wide * cos, wide * (shear * cos - sin) * tall, SHIFT * drawn[4]], dim=1),
            torch.stack([high * sin / tall, high * (shear * sin + cos), SHIFT * drawn[5]], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(rows, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


NOISE = 0.5
"""The standard deviation of noise on pictures in [0, 1]."""

HIDDEN = 0.5
"""The share of pixels that are hidden."""

ROW_NOISE = 0.2
"""The standard deviation of noise on vectors, in those of each dimension."""


def noisy_view(x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n channels height width"]:
    """Pictures with noise: N(0, NOISE²) on all numbers, after a share HIDDEN of the pixels became black.

    Args:
        x: pictures in [0, 1], (n, C, H, W).
    """
    shown = torch.rand_like(x[:, :1]) >= HIDDEN
    return x * shown + NOISE * torch.randn_like(x)


def noisy_rows(x: Float[Tensor, "n dims"]) -> Float[Tensor, "n dims"]:
    """Vectors with noise: N(0, ROW_NOISE²) in standard deviations of each dimension over the batch.

    Args:
        x: vectors (n, D).
    """
    return x + ROW_NOISE * x.std(0, correction=0) * torch.randn_like(x)
