"""Stacks of layers: convolutions, fully-connected layers and their mirror images."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Literal, NamedTuple

from torch import nn

from vlae.shapes import Shape, is_image


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """What all layers of a model share.

    Attributes:
        kernel: side of the convolutions' kernels.
        norm: whether layers have a batch norm.
        slope: negative slope of the leaky ReLU.
        stddev: how a posterior's σ comes from the head's output: "softplus", or the authors' "sigmoid" (+ 0.001).
        weights_stddev: weights start as N(0, this²), as the authors' do; None: PyTorch's own scheme.
    """

    kernel: int = 3
    norm: bool = True
    slope: float = 0.1
    stddev: Literal["softplus", "sigmoid"] = "softplus"
    weights_stddev: float | None = None


class Layer(NamedTuple):
    """One layer of a stack: a convolution of `width` channels and `stride`, or, with stride 0, `width` dense units."""

    width: int
    stride: int

    def output_shape(self, shape: Shape) -> Shape:
        """The shape that comes out when `shape` goes in; a stride of 2 halves a side, rounding up."""
        if self.stride == 0:
            return (self.width,)
        if not is_image(shape):
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
    if is_image(given) and is_image(wanted):
        layers.append(convolution(given, wanted, kernel, bias=not norm))
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


def convolution(given: Shape, wanted: Shape, kernel: int, *, bias: bool) -> nn.Module:
    """A convolution from one map to another: strided to a smaller one, transposed to a larger one, of any sides."""
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
        layer: nn.Module = nn.Conv2d(given[0], wanted[0], kernel, stride, padding, bias=bias)
        return nn.Sequential(nn.ZeroPad2d(far), layer) if any(far) else layer
    over = (max(0, -missing[0]), max(0, -missing[1]))
    layer = nn.ConvTranspose2d(given[0], wanted[0], kernel, stride, padding, output_padding=over, bias=bias)
    crop = (0, -far[1], 0, -far[3])
    return nn.Sequential(layer, nn.ZeroPad2d(crop)) if any(far) else layer


def shapes_of(layers: Sequence[Layer], given: Shape) -> list[Shape]:
    """The shapes along a stack of layers, `given` first."""
    shapes = [given]
    for layer in layers:
        shapes.append(layer.output_shape(shapes[-1]))
    return shapes


def layers_of(convolutions: Sequence[tuple[int, int]], dense: Sequence[int]) -> tuple[Layer, ...]:
    """Convolutions of (channels, stride), then fully-connected layers of so many units."""
    return (*(Layer(*each) for each in convolutions), *(Layer(units, 0) for units in dense))


def stack(shapes: Sequence[Shape], blocks: Blocks, *, linear_end: bool = False) -> nn.Sequential:
    """A layer between each shape and the next.

    Args:
        shapes: along the stack; one shape alone gives no layer.
        blocks: kernel, norm and slope of all layers.
        linear_end: whether the last layer has neither norm nor leaky ReLU.
    """
    layers = []
    for i, (given, wanted) in enumerate(pairwise(shapes), start=1):
        end = linear_end and i == len(shapes) - 1
        norm, slope = (False, None) if end else (blocks.norm, blocks.slope)
        layers.append(block(given, wanted, kernel=blocks.kernel, norm=norm, slope=slope))
    return nn.Sequential(*layers)
