"""What a posterior's head sees of a map, as a vector."""

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vlae.shapes import Shape


class FullFeatures(nn.Module):
    """All of a map, or of a vector."""

    def __init__(self, given: Shape):
        super().__init__()
        self.num_features = prod(given)

    def forward(self, h: Float[Tensor, "n *shape"]) -> Float[Tensor, "n features"]:
        """Flattens."""
        return h.flatten(1)


class GridFeatures(nn.Module):
    """Mean and standard deviation of every channel in each cell of a `grid` × `grid` division of a map."""

    def __init__(self, given: Shape, grid: int):
        super().__init__()
        self.grid = grid
        self.num_features = 2 * given[0] * grid * grid

    def forward(self, h: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """Pools and flattens."""
        h = h.float()  # a difference of squares needs all its digits
        mean = functional.adaptive_avg_pool2d(h, self.grid)
        variance = functional.adaptive_avg_pool2d(h.square(), self.grid) - mean.square()
        return torch.cat([mean, variance.clamp_min(1e-6).sqrt()], dim=1).flatten(1)
