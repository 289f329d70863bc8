"""Moments of maps: layers that read them, that are blind to them, and that set them."""

from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from vlae.nn.layers import block, convolution, without_autocast
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
        response = self._respond((h - mean) / stddev)
        _, _, *sides = response.shape
        sizes, signed = self._weights(stddev.square().flatten(1) - self.flat, contrast.flatten(1))
        pixels = response.permute(0, 2, 3, 1).flatten(1, 2)
        mixed = torch.baddbmm(torch.bmm(pixels.abs(), sizes), pixels, signed)
        mix = self.mix[0]
        assert isinstance(mix, nn.Conv2d)
        mixed = mixed if mix.bias is None else mixed + mix.bias
        rest: Tensor = self.mix[1:](mixed.transpose(1, 2).unflatten(2, sides))
        return rest

    def _respond(self, channels: Tensor) -> Tensor:
        """The responses of each channel to the filters, (n, channels · filters, height, width)."""
        pad, filters = self.filters if isinstance(self.filters, nn.Sequential) else (nn.Identity(), self.filters)
        assert isinstance(filters, nn.Conv2d)
        num = channels.shape[1]
        weight = filters.weight.repeat(num, 1, 1, 1)
        return functional.conv2d(pad(channels), weight, None, filters.stride, filters.padding, groups=num)

    def _weights(self, variance: Tensor, contrast: Tensor) -> tuple[Tensor, Tensor]:
        """The weights of |r| and of r for each picture, (n, channels · filters, channels of the output) each.

        Filling flat channels, the sign and the mix are linear, one after the other. Small matrices are multiplied here,
        so that the large maps need not be.

        Args:
            variance: of each channel, (n, channels).
            contrast: of each channel to its border, (n, channels).
        """
        variance = variance.clamp_min(0)
        average = variance / (variance.sum(1, keepdim=True) + 1e-4)
        own = variance / (variance + self.flat)
        filled = torch.diag_embed(own) + (1 - own)[:, :, None] * average[:, None]
        mix = self.mix[0]
        assert isinstance(mix, nn.Conv2d)
        weight = mix.weight.flatten(1).unflatten(1, (variance.shape[1], 2, -1))
        weight = torch.einsum("octf,nck->ntkfo", weight, filled.to(weight))
        sign = contrast / (contrast.square() + 0.04).sqrt()
        return weight[:, 0].flatten(1, 2), (weight[:, 1] * sign[:, :, None, None].to(weight)).flatten(1, 2)


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
    output has channels. If `smooth`, it is filtered first: four times less work, and no finer detail. Each feature map
    is normalised to mean 0 and standard deviation 1, and then scaled and shifted by the code (adaptive instance
    normalisation). A linear mix of the feature maps gives the channels. So the code alone sets the mean of each
    channel; its standard deviation also depends on how the feature maps overlap. A scale below 0 turns light into dark.

    Reference: Huang and Belongie 2017, "Arbitrary Style Transfer in Real-Time", equation 8.

    Args:
        code_size: dimensions of the code.
        shape_in: shape of the map from above, (channels, height, width).
        shape_out: shape of the output, (channels, height, width).
        kernel: side of the filters, in pixels.
        smooth: whether the map is filtered before it is enlarged.
    """

    def __init__(self, code_size: int, shape_in: Shape, shape_out: Shape, *, kernel: int, smooth: bool = False):
        super().__init__()
        self.sides = shape_out[1:]
        self.smooth = smooth
        features = max(16, shape_out[0])
        sides = shape_in[1:] if smooth else self.sides
        self.filters = convolution((shape_in[0], *sides), (features, *sides), kernel, bias=False)
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
        enlarge = partial(functional.interpolate, size=self.sides, mode="bilinear", align_corners=False)
        large = enlarge(self.filters(h)) if self.smooth else self.filters(enlarge(h))
        feature = large.float().permute(0, 2, 3, 1).flatten(1, 2)  # as it lies in memory
        scale, shift = (self.embed(code).float() * fade).chunk(2, dim=1)
        mix = self.mix.weight.flatten(1)
        assert self.mix.bias is not None
        bias = self.mix.bias + (shift[:, None] * mix).sum(2)
        drawn: Tensor = MixNormalised.apply(feature, mix * (1 + scale)[:, None], bias)  # type: ignore[no-untyped-call]
        return drawn.unflatten(2, self.sides)


class MixNormalised(torch.autograd.Function):
    """Each channel brought to mean 0 and standard deviation 1 over its pixels; then a linear mix of them.

    The gradient is written out, because the map is large: neither the normalised map nor its steps are stored. All is
    computed in full precision, which the difference of squares needs.
    """

    @staticmethod
    def forward(
        ctx: Any,
        h: Float[Tensor, "n pixels channels"],
        weight: Float[Tensor, "n out channels"],
        bias: Float[Tensor, "n out"],
    ) -> Float[Tensor, "n out pixels"]:
        """The mix of the normalised channels.

        Args:
            ctx: keeps what the gradient needs.
            h: a map, (n, pixels, channels).
            weight: of the mix for each picture, (n, outputs, channels).
            bias: of the mix for each picture, (n, outputs).
        """
        mean = h.mean(1, keepdim=True)
        variance = (h.square().mean(1, keepdim=True) - mean.square()).clamp_min(0)
        factor = (variance + 1e-5).rsqrt()
        ctx.save_for_backward(h, weight, mean, factor)
        scaled = weight * factor
        shift = bias[:, :, None] - (scaled * mean).sum(2, keepdim=True)
        with without_autocast(h.device):
            return torch.baddbmm(shift, scaled, h.transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of map, weights and biases.

        Args:
            ctx: what the forward pass kept.
            of_mixed: the gradient of the mix, (n, outputs, pixels).
        """
        h, weight, mean, factor = ctx.saved_tensors
        num_pixels, of_bias = h.shape[1], of_mixed.sum(2)
        of_weight = (torch.bmm(of_mixed, h) - of_bias[:, :, None] * mean) * factor
        # A change along the mean or the deviation of a channel has no effect.
        along_mean = torch.bmm(of_bias[:, None], weight) * factor / num_pixels
        along_deviation = (weight * of_weight).sum(1, keepdim=True) * factor.square() / num_pixels
        of_h = torch.baddbmm(along_deviation * mean - along_mean, of_mixed.transpose(1, 2), weight * factor)
        return of_h.addcmul_(h, along_deviation, value=-1), of_weight, of_bias
