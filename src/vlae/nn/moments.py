"""Moments of maps: layers that read them, that cannot see them, and that set them."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vlae.nn.layers import block, convolution
from vlae.shapes import Shape

FLAT = 0.01
"""A channel whose variance is well below this counts as flat."""


class Moments(NamedTuple):
    """Three numbers of every channel of a map, each (N, channels, 1, 1)."""

    mean: Tensor
    stddev: Tensor
    """√(variance + FLAT): of a flat channel, 0.1."""
    border_contrast: Tensor
    """How much darker the border is than the whole, in standard deviations; below 0: brighter."""


def moments(h: Float[Tensor, "n channels height width"]) -> Moments:
    """Mean, standard deviation and contrast to the border of every channel, over the whole map."""
    h = h.float()
    mean = h.mean((2, 3), keepdim=True)
    stddev = ((h - mean).square().mean((2, 3), keepdim=True) + FLAT).sqrt()
    border = torch.cat([h[:, :, 0], h[:, :, -1], h[:, :, :, 0], h[:, :, :, -1]], dim=2).mean(2)[:, :, None, None]
    return Moments(mean, stddev, (mean - border) / stddev)


class MomentFeatures(nn.Module):
    """The moments of a map as a vector: three numbers of every channel, through two small layers."""

    def __init__(self, channels: int, *, slope: float, units: int = 64):
        super().__init__()
        self.num_features = units
        self.layers = nn.Sequential(
            nn.Linear(3 * channels, units), nn.LeakyReLU(slope), nn.Linear(units, units), nn.LeakyReLU(slope)
        )

    def forward(self, h: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """Takes the moments of all channels together."""
        features: Tensor = self.layers(torch.cat(moments(h), dim=1).flatten(1))
        return features


class AffineInvariantConv(nn.Module):
    """A first layer that gives the same for h and for a · h + b, where a and b differ from channel to channel, a ≠ 0.

    Every channel is brought to mean 0 and standard deviation 1 (instance normalisation). All channels are filtered
    alike, each by itself. Each response r gives two maps: |r|, and r · c / √(c² + 0.2²) with the contrast c to the
    border. Both are the same for a picture and its negative. The second tells light from dark where the border is
    clearly one of them. A flat channel gets what the other channels show on average, weighed by their variance. So two
    pictures in two colours each look the same to it whatever the colours, if these differ well above √FLAT; and
    nothing jumps while colours change.
    """

    def __init__(self, given: Shape, wanted: Shape, *, kernel: int, norm: bool, slope: float, filters: int = 16):
        super().__init__()
        _, *sides = wanted
        self.filters = convolution((1, *given[1:]), (filters, *sides), kernel, bias=False)
        self.mix = block((2 * filters * given[0], *sides), wanted, kernel=1, norm=norm, slope=slope)

    def forward(self, h: Float[Tensor, "n *given"]) -> Float[Tensor, "n *wanted"]:
        """Normalises, filters, and mixes the responses of all channels."""
        mean, stddev, contrast = moments(h)
        response = self.filters(((h - mean) / stddev).flatten(0, 1)[:, None])
        sign = (contrast / (contrast.square() + 0.04).sqrt()).flatten()[:, None, None, None]
        both = torch.cat([response.abs(), response * sign], dim=1).unflatten(0, (-1, h.shape[1]))
        variance = (stddev.square() - FLAT).clamp_min(0)[:, :, None]
        average = (variance * both).sum(1, keepdim=True) / (variance.sum(1, keepdim=True) + 1e-4)
        both = torch.lerp(average.expand_as(both), both, variance / (variance + FLAT))
        mixed: Tensor = self.mix(both.flatten(1, 2))
        return mixed


class AdaINOutput(nn.Module):
    """The last step down to a map: the code alone sets mean and standard deviation of the maps it is mixed from.

    The map from above is enlarged bilinearly, which leaves no grid, and filtered into feature maps of full size: 16,
    or as many as there are channels. Each is brought to mean 0 and standard deviation 1, and gets others from the code
    (adaptive instance normalisation). All are mixed linearly into the channels, as paints are. So the means of the
    channels are the code's alone; their deviations also depend on how the feature maps lie over each other. A scale
    may fall below 0, which turns light into dark.

    Reference: Huang and Belongie 2017, "Arbitrary Style Transfer in Real-Time", equation 8.
    """

    def __init__(self, code_size: int, given: Shape, wanted: Shape, *, kernel: int):
        super().__init__()
        self.sides = wanted[1:]
        features = max(16, wanted[0])
        self.filters = convolution((given[0], *self.sides), (features, *self.sides), kernel, bias=False)
        self.embed = nn.Linear(code_size, 2 * features)
        self.mix = nn.Conv2d(features, wanted[0], 1)

    def forward(
        self, h: Float[Tensor, "n *given"], code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *wanted"]:
        """Draws with the code, scaled by `fade` in [0, 1]."""
        large = functional.interpolate(h, size=self.sides, mode="bilinear", align_corners=False)
        feature = self.filters(large).float()  # a difference of squares needs all its digits
        mean = feature.mean((2, 3), keepdim=True)
        variance = (feature.square().mean((2, 3), keepdim=True) - mean.square()).clamp_min(0)
        scale, shift = (self.embed(code).float() * fade)[:, :, None, None].chunk(2, dim=1)
        scale = (1 + scale) * (variance + 1e-5).rsqrt()
        drawn: Tensor = self.mix(feature * scale + (shift - mean * scale))
        return drawn
