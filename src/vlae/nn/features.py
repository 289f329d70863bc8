"""What a posterior reads of a map, as a vector."""

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

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
