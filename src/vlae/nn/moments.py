"""Moments of maps: layers that read them, that are blind to them, and that set them."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vlae.nn.layers import block, convolution
from vlae.shapes import Shape

FLAT = 0.01
"""A channel counts as flat if its variance is well below this number, unless another is given."""


class Moments(NamedTuple):
    """Three numbers of each channel of a map; each tensor has shape (n, channels, 1, 1)."""

    mean: Tensor
    stddev: Tensor
    """√(variance + flat), with `flat` the variance of a flat channel."""
    border_contrast: Tensor
    """How much darker the border is than the whole map, in standard deviations; below 0: brighter."""


def moments(h: Float[Tensor, "n channels height width"], flat: float = FLAT) -> Moments:
    """Mean, standard deviation and contrast to the border of each channel, over the whole map.

    Args:
        h: (n, channels, height, width).
        flat: the variance of a flat channel, above 0.
    """
    h = h.float()
    mean = h.mean((2, 3), keepdim=True)
    stddev = ((h - mean).square().mean((2, 3), keepdim=True) + flat).sqrt()
    border = torch.cat([h[:, :, 0], h[:, :, -1], h[:, :, :, 0], h[:, :, :, -1]], dim=2).mean(2)[:, :, None, None]
    return Moments(mean, stddev, (mean - border) / stddev)


class MomentFeatures(nn.Module):
    """A vector of features from the moments of a map: two or three numbers of each channel, through two small layers.

    Args:
        channels: channels of the map.
        slope: negative slope of the leaky ReLU.
        border: whether the contrast to the border is read, besides mean and standard deviation.
        flat: the variance of a flat channel, above 0.
        units: units of each layer, and the number of features.
    """

    def __init__(self, channels: int, *, slope: float, border: bool = True, flat: float = FLAT, units: int = 64):
        super().__init__()
        self.num_features, self.number, self.flat = units, 3 if border else 2, flat
        self.layers = nn.Sequential(
            nn.Linear(self.number * channels, units), nn.LeakyReLU(slope), nn.Linear(units, units), nn.LeakyReLU(slope)
        )

    def forward(self, h: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """The features of the moments of all channels.

        Args:
            h: h_{l-1}, (n, channels, height, width).
        """
        features: Tensor = self.layers(torch.cat(moments(h, self.flat)[: self.number], dim=1).flatten(1))
        return features


class AffineInvariantConv(nn.Module):
    """A layer with the same output for h and for a · h + b, with any b and any a ≠ 0 of each channel.

    That holds as long as the variance of a channel is well above `flat`; a flatter channel shows a little of its scale.

    Each channel is normalised to mean 0 and standard deviation 1 (instance normalisation). The same filters are
    applied to each channel alone. Each response r gives two maps, with c the contrast to the border: |r|, and
    r · c / √(c² + 0.2²). Both are the same for a picture and its negative. The second still separates light from dark,
    if the border is clearly light or dark.

    A flat channel has no pattern of its own: it gets the average of the other channels, weighted by their variances.
    So the layer cannot tell two colours of a pattern from two others, if each pair differs by well above √flat.
    The output is continuous in the colours.

    Args:
        shape_in: shape of h, (channels, height, width).
        shape_out: shape of the output, (channels, height, width).
        kernel: side of the filters, in pixels.
        norm: whether a batch norm follows.
        slope: negative slope of the leaky ReLU.
        flat: the variance of a flat channel, above 0.
        filters: the number of filters.
    """

    def __init__(
        self,
        shape_in: Shape,
        shape_out: Shape,
        *,
        kernel: int,
        norm: bool,
        slope: float,
        flat: float = FLAT,
        filters: int = 16,
    ):
        super().__init__()
        _, *sides = shape_out
        self.flat = flat
        self.filters = convolution((1, *shape_in[1:]), (filters, *sides), kernel, bias=False)
        self.mix = block((2 * filters * shape_in[0], *sides), shape_out, kernel=1, norm=norm, slope=slope)

    def forward(self, h: Float[Tensor, "n *shape_in"]) -> Float[Tensor, "n *shape_out"]:
        """Normalises and filters each channel, and mixes the responses of all.

        Args:
            h: (n, channels, height, width).
        """
        mean, stddev, contrast = moments(h, self.flat)
        response = self.filters(((h - mean) / stddev).flatten(0, 1)[:, None])
        sign = (contrast / (contrast.square() + 0.04).sqrt()).flatten()[:, None, None, None]
        both = torch.cat([response.abs(), response * sign], dim=1).unflatten(0, (-1, h.shape[1]))
        variance = (stddev.square() - self.flat).clamp_min(0)[:, :, None]
        average = (variance * both).sum(1, keepdim=True) / (variance.sum(1, keepdim=True) + 1e-4)
        both = torch.lerp(average.expand_as(both), both, variance / (variance + self.flat))
        mixed: Tensor = self.mix(both.flatten(1, 2))
        return mixed


class NormalisedConv(nn.Module):
    """A layer with the same output for h and for a · h + b, with any b and any a > 0 of each channel.

    Unlike `AffineInvariantConv` it sees light from dark: a picture and its negative differ. Each channel is normalised
    to mean 0 and standard deviation 1 (instance normalisation), and filters are applied. Each response r gives two
    maps, r and |r|, and all are mixed. A flat channel gets the average of the other channels, weighted by their
    variances.

    Args:
        shape_in: shape of h, (channels, height, width).
        shape_out: shape of the output, (channels, height, width); there are as many filters as it has channels.
        kernel: side of the filters, in pixels.
        norm: whether a batch norm follows.
        slope: negative slope of the leaky ReLU.
        flat: the variance of a flat channel, above 0.
    """

    def __init__(self, shape_in: Shape, shape_out: Shape, *, kernel: int, norm: bool, slope: float, flat: float = FLAT):
        super().__init__()
        width, *sides = shape_out
        self.flat = flat
        self.filters = convolution(shape_in, shape_out, kernel, bias=False)
        self.mix = block((2 * width, *sides), shape_out, kernel=1, norm=norm, slope=slope)

    def forward(self, h: Float[Tensor, "n *shape_in"]) -> Float[Tensor, "n *shape_out"]:
        """Normalises each channel, filters them together, and mixes the responses with their sizes.

        Args:
            h: (n, channels, height, width).
        """
        response = self.filters(normalised(h, self.flat))
        mixed: Tensor = self.mix(torch.cat([response, response.abs()], dim=1))
        return mixed


def normalised(
    h: Float[Tensor, "n channels height width"], flat: float = FLAT
) -> Float[Tensor, "n channels height width"]:
    """Each channel brought to mean 0 and standard deviation 1; a flat one gets the average of the others.

    Args:
        h: (n, channels, height, width).
        flat: the variance of a flat channel, above 0.
    """
    mean, stddev, _ = moments(h, flat)
    channels = (h - mean) / stddev
    if h.shape[1] == 1:
        return channels
    variance = (stddev.square() - flat).clamp_min(0)
    average = (variance * channels).sum(1, keepdim=True) / (variance.sum(1, keepdim=True) + 0.01 * flat)
    return torch.lerp(average.expand_as(channels), channels, variance / (variance + flat))


class AdaINOutput(nn.Module):
    """The last layer of a decoder, in which the code sets mean and standard deviation of the feature maps.

    The map from above is enlarged bilinearly and filtered into feature maps of full size: 16, or as many as the
    output has channels. Each feature map is normalised to mean 0 and standard deviation 1, and then scaled and shifted
    by the code (adaptive instance normalisation). A linear mix of the feature maps gives the channels. So the code
    alone sets the mean of each channel; its standard deviation also depends on how the feature maps overlap. A scale
    below 0 turns light into dark.

    Reference: Huang and Belongie 2017, "Arbitrary Style Transfer in Real-Time", equation 8.

    Args:
        code_size: dimensions of the code.
        shape_in: shape of the map from above, (channels, height, width).
        shape_out: shape of the output, (channels, height, width).
        kernel: side of the filters, in pixels.
    """

    def __init__(self, code_size: int, shape_in: Shape, shape_out: Shape, *, kernel: int):
        super().__init__()
        self.sides = shape_out[1:]
        features = max(16, shape_out[0])
        self.filters = convolution((shape_in[0], *self.sides), (features, *self.sides), kernel, bias=False)
        self.embed = nn.Linear(code_size, 2 * features)
        self.mix = nn.Conv2d(features, shape_out[0], 1)

    def forward(
        self, h: Float[Tensor, "n *shape_in"], code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *shape_out"]:
        """The map whose moments the code has set.

        Args:
            h: the map from above, (n, channels, height, width).
            code: z_l, (n, code size).
            fade: how far the level has grown, in [0, 1]; scale and shift are multiplied by it.
        """
        large = functional.interpolate(h, size=self.sides, mode="bilinear", align_corners=False)
        feature = self.filters(large).float()  # the difference of squares needs full precision
        mean = feature.mean((2, 3), keepdim=True)
        variance = (feature.square().mean((2, 3), keepdim=True) - mean.square()).clamp_min(0)
        scale, shift = (self.embed(code).float() * fade)[:, :, None, None].chunk(2, dim=1)
        scale = (1 + scale) * (variance + 1e-5).rsqrt()
        drawn: Tensor = self.mix(feature * scale + (shift - mean * scale))
        return drawn
