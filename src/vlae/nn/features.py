"""What a posterior reads of a map, as a vector."""

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vlae.nn.layers import BoundedNorm1d, without_autocast
from vlae.nn.moments import normalised
from vlae.shapes import Shape


class FullFeatures(nn.Module):
    """All numbers of a map or a vector.

    Args:
        shape: shape of the map, (channels, height, width) or (units,).
    """

    def __init__(self, shape: Shape):
        super().__init__()
        self.num_features = prod(shape)

    def forward(self, h: Float[Tensor, "n *shape"]) -> Float[Tensor, "n features"]:
        """The flattened map.

        Args:
            h: h_l, (n, channels, height, width) or (n, units).
        """
        return h.flatten(1)


class GridFeatures(nn.Module):
    """Mean and standard deviation of each channel, in each cell of a `grid` × `grid` division of a map.

    Args:
        shape: shape of the map, (channels, height, width).
        grid: side of the grid, at least 1.
    """

    pool: Tensor
    """The matrix of the averages over the cells, (grid², height · width)."""

    def __init__(self, shape: Shape, grid: int):
        super().__init__()
        self.grid, self.num_features = grid, 2 * shape[0] * grid * grid
        with torch.device("cpu"):  # a constant, also of a model without memory
            pixels = torch.eye(prod(shape[1:])).unflatten(1, shape[1:])
        self.register_buffer("pool", functional.adaptive_avg_pool2d(pixels, grid).flatten(1).T, persistent=False)

    def forward(self, h: Float[Tensor, "n *shape"]) -> Float[Tensor, "n features"]:
        """The means and standard deviations of all cells.

        Args:
            h: h_l, (n, channels, height, width).
        """
        pixels = h.float().permute(0, 2, 3, 1).flatten(1, 2)  # as they lie in memory
        pool = self.pool.to(h.device).expand(h.shape[0], -1, -1)  # len() would fix the number for ONNX
        with without_autocast(h.device):  # the difference of squares needs it
            mean = torch.bmm(pool, pixels)
            variance = torch.bmm(pool, pixels.square()) - mean.square()
        return torch.cat([mean, variance.clamp_min(1e-6).sqrt()], dim=2).transpose(1, 2).flatten(1)


class OrientedGradients(nn.Module):
    """What the edges of a picture are like in each cell of a grid: how strong, how upright, how slanted.

    Channels are brought to mean 0 and standard deviation 1. With m the length of a channel's gradient and θ its angle,
    each cell gives log Σ m, Σ m cos 2θ / Σ m and Σ m sin 2θ / Σ m, summed over its pixels and channels.
    A picture and its negative give the same numbers. In training they are standardised by the batch, and afterwards by
    the running averages.

    These are the first harmonics of the histograms of oriented gradients of Dalal and Triggs 2005, "Histograms of
    Oriented Gradients for Human Detection". Networks that must predict such histograms learn what a picture is of
    (Reference: Wei et al. 2022, "Masked Feature Prediction for Self-Supervised Visual Pre-Training", section 3).

    Args:
        grid: side of the grid of cells, at least 1.
    """

    def __init__(self, grid: int):
        super().__init__()
        self.grid, self.num_features = grid, 3 * grid * grid
        self.standardise = BoundedNorm1d(self.num_features, affine=False)

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """The standardised numbers of all cells.

        Args:
            x: standardised pictures, (n, channels, height, width).
        """
        standardised: Tensor = self.standardise(oriented_gradients(x, self.grid))
        return standardised


FAINT = 0.01
"""A mean length of the gradient, in standard deviations a pixel, that hardly counts as an edge."""


@torch.no_grad()
def oriented_gradients(x: Float[Tensor, "n channels height width"], grid: int) -> Float[Tensor, "n features"]:
    """Strength and orientation of the edges in each cell of a grid (`OrientedGradients`); no gradient flows through.

    Args:
        x: pictures, (n, channels, height, width).
        grid: side of the grid of cells, at least 1.

    Returns:
        (n, 3 · grid²): log strengths of all cells, then cos 2θ, then sin 2θ, each in reading order.
    """
    padded = functional.pad(normalised(x.float(), 1e-3), (1, 1, 1, 1), "replicate")
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]  # twice the gradient
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    upright, both = across.square(), down.square()
    slanted = across.mul_(down).mul_(2)
    length = (upright + both).clamp_min_(4e-8).sqrt_()  # ONNX would leave out + 4e-8
    upright = upright.sub_(both).div_(length)
    parts = torch.stack([part.sum(1) for part in (length, upright, slanted.div_(length))], 1)
    cells = functional.adaptive_avg_pool2d(parts, grid) / 2
    strength = cells[:, :1] + FAINT
    return torch.cat([strength.log(), cells[:, 1:] / strength], dim=1).flatten(1)
