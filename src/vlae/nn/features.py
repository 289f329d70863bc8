"""What a posterior reads of a map, as a vector."""

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vlae.nn.layers import BoundedNorm1d
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

    def __init__(self, shape: Shape, grid: int):
        super().__init__()
        self.grid = grid
        self.num_features = 2 * shape[0] * grid * grid

    def forward(self, h: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """The means and standard deviations of all cells.

        Args:
            h: h_l, (n, channels, height, width).
        """
        h = h.float()  # the difference of squares needs full precision
        mean = functional.adaptive_avg_pool2d(h, self.grid)
        variance = functional.adaptive_avg_pool2d(h.square(), self.grid) - mean.square()
        return torch.cat([mean, variance.clamp_min(1e-6).sqrt()], dim=1).flatten(1)


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
    x = normalised(x.float(), 1e-3)
    padded = functional.pad(x, (1, 1, 1, 1), "replicate")
    across = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) / 2
    down = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) / 2
    length = (across.square() + down.square()).clamp_min(1e-8).sqrt()  # ONNX would leave out + 1e-8
    upright, slanted = (across.square() - down.square()) / length, 2 * across * down / length
    cells = functional.adaptive_avg_pool2d(torch.stack([part.sum(1) for part in (length, upright, slanted)], 1), grid)
    strength = cells[:, :1] + FAINT
    return torch.cat([strength.log(), cells[:, 1:] / strength], dim=1).flatten(1)
