"""Blocks of networks: convolutions, fully-connected layers and their mirror images. Knows no word of the model."""

from collections.abc import Sequence
from math import prod
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Shape = tuple[int, ...]
"""The shape of one datum: ``(channels, height, width)`` of a map, ``(units,)`` of a vector."""


class Layer(NamedTuple):
    """One layer of a stack: a convolution of `width` channels and `stride`, or, with stride 0, `width` dense units."""

    width: int
    stride: int

    def output_shape(self, shape: Shape) -> Shape:
        """The shape that comes out when `shape` goes in; a stride of 2 halves a side, rounding up."""
        if self.stride == 0:
            return (self.width,)
        if len(shape) != 3:
            raise ValueError(f"a convolution needs a map (channels, height, width) below it; what comes is {shape}")
        return (self.width, -(-shape[1] // self.stride), -(-shape[2] // self.stride))


def block(given: Shape, wanted: Shape, *, kernel: int, norm: bool, slope: float | None) -> nn.Sequential:
    """One layer from shape `given` to shape `wanted`: affine map, batch norm, leaky ReLU.

    A map becomes a smaller map by a strided convolution, a larger one by a transposed convolution, an equal one by a
    plain convolution; wherever a vector takes part the layer is fully connected.

    Args:
        given: shape of what comes in.
        wanted: shape of what goes out.
        kernel: side of the convolutions' kernels.
        norm: whether a batch norm follows; it replaces the bias.
        slope: negative slope of the leaky ReLU; None leaves the layer linear.
    """
    layers: list[nn.Module] = []
    if len(given) == len(wanted) == 3:
        layers.append(_convolution(given, wanted, kernel, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm2d(wanted[0]))
    else:
        layers += [nn.Flatten(), nn.Linear(prod(given), prod(wanted), bias=not norm)]
        if norm:
            layers.append(nn.BatchNorm1d(prod(wanted)))
        layers.append(nn.Unflatten(1, wanted))
    if slope is not None:
        layers.append(nn.LeakyReLU(slope, inplace=True))
    return nn.Sequential(*layers)


def _convolution(given: Shape, wanted: Shape, kernel: int, *, bias: bool) -> nn.Module:
    if given[1:] == wanted[1:]:
        return nn.Conv2d(given[0], wanted[0], kernel, padding=kernel // 2 if kernel % 2 else "same", bias=bias)
    shrink = given[1] > wanted[1] or given[2] > wanted[2]
    large, small = (given, wanted) if shrink else (wanted, given)
    stride = max(-(-large[1] // small[1]), -(-large[2] // small[2]))
    padding = (kernel - stride + 1) // 2
    # What a symmetric padding leaves missing (above 0) or over (below 0) on the far edges, so that any side comes out.
    missing = [stride * (s - 1) + kernel - n - 2 * padding for n, s in zip(large[1:], small[1:], strict=True)]
    far = (0, max(0, missing[1]), 0, max(0, missing[0]))
    if shrink:
        convolution: nn.Module = nn.Conv2d(given[0], wanted[0], kernel, stride, padding, bias=bias)
        return nn.Sequential(nn.ZeroPad2d(far), convolution) if any(far) else convolution
    over = (max(0, -missing[0]), max(0, -missing[1]))
    convolution = nn.ConvTranspose2d(given[0], wanted[0], kernel, stride, padding, output_padding=over, bias=bias)
    crop = (0, -far[1], 0, -far[3])
    return nn.Sequential(convolution, nn.ZeroPad2d(crop)) if any(far) else convolution


def shapes_of(layers: Sequence[Layer], given: Shape) -> list[Shape]:
    """The shapes along a stack of layers, `given` first."""
    shapes = [given]
    for layer in layers:
        shapes.append(layer.output_shape(shapes[-1]))
    return shapes


class Read(nn.Module):
    """Turns what a level sees into a vector: the full map, or mean and standard deviation per channel and grid cell."""

    def __init__(self, given: Shape, grid: int | None):
        """`grid` is the side of the grid that is pooled; None reads the full map."""
        super().__init__()
        self.grid = grid
        self.num_features = prod(given) if grid is None else 2 * given[0] * grid * grid

    def forward(self, h: Float[Tensor, "n *shape"]) -> Float[Tensor, "n features"]:
        """Flattens, or pools and flattens."""
        if self.grid is None:
            return h.flatten(1)
        h = h.float()  # a difference of squares needs all its digits
        mean = functional.adaptive_avg_pool2d(h, self.grid)
        variance = functional.adaptive_avg_pool2d(h.square(), self.grid) - mean.square()
        return torch.cat([mean, variance.clamp_min(1e-6).sqrt()], dim=1).flatten(1)


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


class WithoutMoments(nn.Module):
    """A first layer that cannot tell pictures apart that differ per channel by a·h + b alone, be a above or below 0.

    Every channel is brought to mean 0 and standard deviation 1 (instance normalisation) and filtered on its own, by the
    same filters. Of each response r it gives |r|, which is the same for a picture and its negative, and
    r · c / √(c² + 0.2²) with the contrast c to the border, which is so too, and tells light from dark where the border
    is clearly one of them. A channel that is flat is given what the others show on average, by their variance. So
    pictures in two colours are the same to it whatever the colours, as far as these differ well above √FLAT; and no
    picture jumps as its colours change.
    """

    def __init__(self, given: Shape, wanted: Shape, *, kernel: int, norm: bool, slope: float, filters: int = 16):
        super().__init__()
        _, *sides = wanted
        self.filters = _convolution((1, *given[1:]), (filters, *sides), kernel, bias=False)
        self.mix = block((2 * filters * given[0], *sides), wanted, kernel=1, norm=norm, slope=slope)

    def forward(self, h: Float[Tensor, "n *given"]) -> Float[Tensor, "n *wanted"]:
        """Normalises, filters, and mixes what the filters say of all channels."""
        mean, stddev, contrast = moments(h)
        response = self.filters(((h - mean) / stddev).flatten(0, 1)[:, None])
        sign = (contrast / (contrast.square() + 0.04).sqrt()).flatten()[:, None, None, None]
        both = torch.cat([response.abs(), response * sign], dim=1).unflatten(0, (-1, h.shape[1]))
        variance = (stddev.square() - FLAT).clamp_min(0)[:, :, None]
        average = (variance * both).sum(1, keepdim=True) / (variance.sum(1, keepdim=True) + 1e-4)
        both = torch.lerp(average.expand_as(both), both, variance / (variance + FLAT))
        mixed: Tensor = self.mix(both.flatten(1, 2))
        return mixed


class ReadMoments(nn.Module):
    """Turns the moments of a map into a vector, by two small layers."""

    def __init__(self, channels: int, *, slope: float, units: int = 64):
        super().__init__()
        self.num_features = units
        self.layers = nn.Sequential(
            nn.Linear(3 * channels, units), nn.LeakyReLU(slope), nn.Linear(units, units), nn.LeakyReLU(slope)
        )

    def forward(self, h: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """Takes the moments, and all three of every channel into account together."""
        read: Tensor = self.layers(torch.cat(moments(h), dim=1).flatten(1))
        return read


class SetMoments(nn.Module):
    """The last step down to a map: a code alone sets mean and standard deviation of the maps it is mixed from.

    What comes is enlarged (bilinearly, which leaves no grid) and filtered into feature maps of full size: 16, or as
    many as there are channels. Each is brought to mean 0 and standard deviation 1, is given others by the code
    (adaptive instance normalisation), and all are mixed linearly into the channels, as paints are. So the means of the
    channels are the code's alone; their deviations depend on how the feature maps lie over each other, too. A scale may
    fall below 0, and then turns light into dark.

    Reference: Huang and Belongie 2017, "Arbitrary Style Transfer in Real-Time", equation 8.
    """

    def __init__(self, code_size: int, given: Shape, wanted: Shape, *, kernel: int):
        super().__init__()
        self.sides = wanted[1:]
        features = max(16, wanted[0])
        self.filters = _convolution((given[0], *self.sides), (features, *self.sides), kernel, bias=False)
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


class Merge(nn.Module):
    """Lets a code act on what comes from above: ``[z̃ ; v(z)]``, ``z̃ + gate ⊙ v(z)``, or ``z̃ ⊙ (1 + a(z)) + b(z)``.

    Concatenation and gated add embed the code in the full map, so they can place anything anywhere; modulation has
    only a scale and a shift per channel on a coarse grid.
    """

    def __init__(
        self,
        code_size: int,
        shape: Shape,
        acts: Literal["concatenate", "add", "modulate"],
        *,
        grid: int,
        norm: bool,
        slope: float,
    ):
        super().__init__()
        self.acts = acts
        self.shape = shape
        self.grid = grid
        if acts == "modulate":
            cells = grid * grid if len(shape) == 3 else 1
            self.embed: nn.Module = nn.Linear(code_size, 2 * shape[0] * cells)
        else:
            self.embed = block((code_size,), shape, kernel=1, norm=norm, slope=slope)
        if acts == "add":
            self.gate = nn.Parameter(torch.full((shape[0], *[1] * (len(shape) - 1)), 0.1))
        self.output_shape = (2 * shape[0], *shape[1:]) if acts == "concatenate" else shape

    def forward(
        self, above: Float[Tensor, "n *shape"], code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *merged"]:
        """Merges the code, scaled by `fade` in [0, 1], into what comes from above."""
        v: Tensor = self.embed(code) * fade
        if self.acts == "concatenate":
            return torch.cat([above, v], dim=1)
        if self.acts == "add":
            return above + self.gate * v
        if above.ndim == 4:
            v = v.unflatten(1, (-1, self.grid, self.grid))
            if self.grid > 1:
                v = functional.interpolate(v, size=above.shape[2:], mode="bilinear", align_corners=False)
        scale, shift = v.chunk(2, dim=1)
        return above * (1 + scale) + shift
