"""Stacks of layers: convolutions, transposed convolutions, fully-connected layers."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vlae.shapes import Shape, is_image

MAX_KERNEL = 64
"""The largest side of a convolution kernel, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Settings that all layers of a model share.

    Attributes:
        kernel: side of the convolution kernels, in pixels.
        norm: whether a batch norm follows each layer; residual blocks have theirs always.
        slope: negative slope of the leaky ReLU.
        stddev: how σ of a posterior is computed: "softplus", or "sigmoid" (the authors', plus 0.001).
        weights_stddev: standard deviation of the initial weights, which are Gaussian with mean 0 (the authors' choice);
            None: the initialisation of PyTorch.
        even: whether transposed convolutions keep a flat map flat, so that they draw no mesh (`EvenConvTranspose2d`).
        smooth: whether a filter smooths what transposed convolutions draw (`Smoothing`), and a `MomentsLevel` filters
            its map before it enlarges it.
        residual: number of residual blocks after each convolution.
    """

    kernel: int = 3
    norm: bool = True
    slope: float = 0.1
    stddev: Literal["softplus", "sigmoid"] = "softplus"
    weights_stddev: float | None = None
    even: bool = False
    smooth: bool = False
    residual: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.kernel <= MAX_KERNEL:
            raise ValueError(f"kernel is {self.kernel}; give a side of 1 to {MAX_KERNEL} pixels")
        if self.residual < 0:
            raise ValueError(f"residual is {self.residual}; give a number of blocks from 0 up")


class EvenConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution whose output is flat where its input is flat.

    With a stride s, the output pixels fall into s × s phases, each with weights of its own. If the weights of the
    phases have different sums, a flat input comes out as a mesh of period s. Here the sums are made equal: each phase
    is moved to the mean of all (Reference: Sugawara et al. 2019, "Checkerboard artifacts free convolutional neural
    networks", section III, who filter the output instead).
    """

    even: Tensor
    """The matrix that makes the sums of a kernel's phases equal, (kernel², kernel²)."""

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, **settings)
        (height, width), (down, across) = self.kernel_size, self.stride
        with torch.device("cpu"):  # a constant, also of a model without memory
            row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            phase = functional.one_hot((row % down * across + column % across).flatten(), down * across).float()
            num = down * across
            change = torch.full((num, num), 1 / num) - torch.eye(num)  # from each phase's sum to the mean of all
            even = torch.eye(len(phase)) + phase @ (change / phase.sum(0)[:, None]) @ phase.T
        self.register_buffer("even", even, persistent=False)

    def forward(
        self, h: Float[Tensor, "n channels height width"], output_size: list[int] | None = None
    ) -> Float[Tensor, "n out higher wider"]:
        """The enlarged map.

        Args:
            h: (n, channels, height, width).
            output_size: not used; `output_padding` fixes the size.
        """
        kernels = self.weight.permute(0, 2, 3, 1).flatten(1, 2)  # as they lie in memory, with channels last
        kernels = torch.bmm(self.even.to(h.device).expand(len(kernels), -1, -1), kernels)
        weight = kernels.unflatten(1, self.kernel_size).permute(0, 3, 1, 2)
        padding, over = self.padding, self.output_padding
        return functional.conv_transpose2d(h, weight, self.bias, self.stride, padding, over)  # type: ignore[arg-type]


class _Bounded(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose normalised numbers are bounded in eval mode, where the statistics are those of the training.

    In training a number of n cannot be more than √(n - 1) standard deviations from their mean. Without a bound, data
    that vary where nearly all of the training data were constant would grow a hundredfold in every layer.
    """

    LARGEST = 100.0
    """In standard deviations. Data like those of the training stay far below it."""

    def forward(self, input: Float[Tensor, "n channels *sides"]) -> Float[Tensor, "n channels *sides"]:
        """The normalised map.

        Args:
            input: (n, channels, height, width) or (n, channels).
        """
        normalised: Tensor = super().forward(input)
        if self.training:
            return normalised
        if not self.affine:
            return normalised.clamp(-self.LARGEST, self.LARGEST)
        sides = (-1, *[1] * (input.dim() - 2))
        centre, reach = self.bias.view(sides), self.LARGEST * self.weight.abs().view(sides)
        return normalised.clamp(centre - reach, centre + reach)


class BoundedNorm1d(_Bounded, nn.BatchNorm1d):
    """Batch norm of units, bounded in eval mode."""


class BoundedNorm2d(_Bounded, nn.BatchNorm2d):
    """Batch norm of maps, bounded in eval mode."""


class Residual(nn.Module):
    """A residual block h + f(h) of two convolutions, with batch norm; it begins as the identity.

    Reference: He et al. 2016, "Deep Residual Learning for Image Recognition", section 3.2; the last scale starts at 0
    (Goyal et al. 2017, section 5.1).

    Args:
        channels: channels of the map.
        kernel: side of the convolution kernels, in pixels.
        slope: negative slope of the leaky ReLU.
    """

    def __init__(self, channels: int, *, kernel: int, slope: float):
        super().__init__()
        shape = (channels, 1, 1)
        self.layers = nn.Sequential(
            *block(shape, shape, kernel=kernel, norm=True, slope=slope),
            *block(shape, shape, kernel=kernel, norm=True, slope=None),
        )
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]

    def forward(self, h: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n channels height width"]:
        """The map, changed by the block.

        Args:
            h: (n, channels, height, width).
        """
        changed: Tensor = h + self.layers(h)
        return changed


class Layer(NamedTuple):
    """One layer of a stack.

    Attributes:
        width: channels of a convolution, or units of a fully-connected layer.
        stride: stride of a convolution, from 1 up; 0: the layer is fully connected.
    """

    width: int
    stride: int

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of the output. A stride of 2 halves each side, rounded up.

        Args:
            shape: shape of the input, (channels, height, width) or (units,).

        Raises:
            ValueError: if a convolution has a vector as input.
        """
        if self.stride == 0:
            return (self.width,)
        if not is_image(shape):
            raise ValueError(
                f"a convolution needs a map (channels, height, width) below it, not a vector of shape {shape}"
            )
        return (self.width, -(-shape[1] // self.stride), -(-shape[2] // self.stride))


class Smoothing(nn.Module):
    """A filter of weights 1, 2, 1 down and across, which leaves a map its size; the border is repeated.

    A transposed convolution of stride 2 draws what is new on every other pixel. Its flat regions are flat
    (`EvenConvTranspose2d`), but slopes come out as stairs, and several enlargements one after the other weave them into
    a cloth. Smoothed, a slope is straight (Reference: Karras et al. 2019, "A Style-Based Generator Architecture for
    Generative Adversarial Networks", appendix C, who filter all maps).

    Two average pools would give the same map. But on a GPU the gradient of a padded one is wrong with channels last, up
    to PyTorch 2.13 (https://github.com/pytorch/pytorch/issues/188344), and on the processor they take longer.

    Args:
        channels: channels of the map.
    """

    filters: Tensor
    """The filter, once for each channel, (channels, 1, 3, 3)."""

    def __init__(self, channels: int):
        super().__init__()
        with torch.device("cpu"):  # a constant, also of a model without memory
            weights = torch.tensor([0.25, 0.5, 0.25])
            filters = (weights[:, None] * weights).repeat(channels, 1, 1, 1)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, h: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n channels height width"]:
        """The smoothed map.

        Args:
            h: (n, channels, height, width).
        """
        padded = functional.pad(h, (1, 1, 1, 1), "replicate")
        return functional.conv2d(padded, self.filters.to(h), groups=len(self.filters))


def block(
    shape_in: Shape,
    shape_out: Shape,
    *,
    kernel: int,
    norm: bool,
    slope: float | None,
    even: bool = False,
    smooth: bool = False,
) -> nn.Sequential:
    """One layer: an affine map, batch norm, leaky ReLU.

    Between two maps the affine map is a convolution: strided to a smaller map, transposed to a larger one. If input or
    output is a vector, it is fully connected.

    Args:
        shape_in: shape of the input, (channels, height, width) or (units,).
        shape_out: shape of the output, (channels, height, width) or (units,).
        kernel: side of the convolution kernels, in pixels.
        norm: whether a batch norm follows; it replaces the bias.
        slope: negative slope of the leaky ReLU; None: no leaky ReLU.
        even: whether a transposed convolution keeps a flat map flat.
        smooth: whether a filter smooths what a transposed convolution draws.
    """
    layers: list[nn.Module] = []
    if is_image(shape_in) and is_image(shape_out):
        layers.append(convolution(shape_in, shape_out, kernel, bias=not norm, even=even))
        if smooth and prod(shape_in[1:]) < prod(shape_out[1:]):
            layers.append(Smoothing(shape_out[0]))
        if norm:
            layers.append(BoundedNorm2d(shape_out[0]))
    else:
        layers += [nn.Flatten(), nn.Linear(prod(shape_in), prod(shape_out), bias=not norm)]
        if norm:
            layers.append(BoundedNorm1d(prod(shape_out)))
        layers.append(nn.Unflatten(1, shape_out))
    if slope is not None:
        layers.append(nn.LeakyReLU(slope, inplace=True))
    return nn.Sequential(*layers)


def convolution(shape_in: Shape, shape_out: Shape, kernel: int, *, bias: bool, even: bool = False) -> nn.Module:
    """A convolution between two maps of any sides: strided to a smaller map, transposed to a larger one.

    Args:
        shape_in: shape of the input, (channels, height, width).
        shape_out: shape of the output, (channels, height, width).
        kernel: side of the kernel, in pixels.
        bias: whether a bias is added.
        even: whether a transposed convolution keeps a flat map flat; its stride may not be above `kernel`.
    """
    if shape_in[1:] == shape_out[1:]:
        return nn.Conv2d(shape_in[0], shape_out[0], kernel, padding=kernel // 2 if kernel % 2 else "same", bias=bias)
    shrink = shape_in[1] > shape_out[1] or shape_in[2] > shape_out[2]
    large, small = (shape_in, shape_out) if shrink else (shape_out, shape_in)
    stride = max(-(-large[1] // small[1]), -(-large[2] // small[2]))
    padding = (kernel - stride + 1) // 2
    # Pixels that a symmetric padding leaves missing (above 0) or too many (below 0) at the bottom and right edges.
    missing = [stride * (s - 1) + kernel - n - 2 * padding for n, s in zip(large[1:], small[1:], strict=True)]
    far = (0, max(0, missing[1]), 0, max(0, missing[0]))
    if shrink:
        layer: nn.Module = nn.Conv2d(shape_in[0], shape_out[0], kernel, stride, padding, bias=bias)
        return nn.Sequential(nn.ZeroPad2d(far), layer) if any(far) else layer
    over = (max(0, -missing[0]), max(0, -missing[1]))
    transposed = EvenConvTranspose2d if even and stride <= kernel else nn.ConvTranspose2d
    layer = transposed(shape_in[0], shape_out[0], kernel, stride, padding, output_padding=over, bias=bias)
    crop = (0, -far[1], 0, -far[3])
    return nn.Sequential(layer, nn.ZeroPad2d(crop)) if any(far) else layer


def shapes_of(layers: Sequence[Layer], shape_in: Shape) -> list[Shape]:
    """The shapes of the input and of every layer's output.

    Args:
        layers: the layers, in order.
        shape_in: shape of the input, (channels, height, width) or (units,).

    Raises:
        ValueError: if a convolution has a vector as input.
    """
    shapes = [shape_in]
    for layer in layers:
        shapes.append(layer.output_shape(shapes[-1]))
    return shapes


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Inside, products are not computed in a shorter form, such as bf16.

    Args:
        device: of the tensors.
    """
    lowers = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if lowers else nullcontext()


def layers_of(convolutions: Sequence[tuple[int, int]], dense: Sequence[int]) -> tuple[Layer, ...]:
    """Convolutions, followed by fully-connected layers.

    Args:
        convolutions: (channels, stride) of each convolution.
        dense: units of each fully-connected layer.
    """
    return (*(Layer(*each) for each in convolutions), *(Layer(units, 0) for units in dense))


def draw_weights(network: nn.Module, blocks: Blocks) -> None:
    """Draws the initial weights anew, if the settings give them a standard deviation.

    Args:
        network: with weights of PyTorch's initialisation, which it keeps if `blocks.weights_stddev` is None.
        blocks: settings that all layers share.
    """
    if blocks.weights_stddev is not None:
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.normal_(module.weight, std=blocks.weights_stddev)


def stack(shapes: Sequence[Shape], blocks: Blocks, *, linear_end: bool = False) -> nn.Sequential:
    """A stack of layers, one from each shape to the next.

    Args:
        shapes: the shapes of the input and of every layer's output; one shape alone gives an empty stack.
        blocks: kernel, norm and slope of all layers.
        linear_end: whether the last layer has no batch norm and no leaky ReLU.
    """
    layers: list[nn.Module] = []
    for i, (shape_in, shape_out) in enumerate(pairwise(shapes), start=1):
        end = linear_end and i == len(shapes) - 1
        norm, slope = (False, None) if end else (blocks.norm, blocks.slope)
        settings: Any = {"kernel": blocks.kernel, "even": blocks.even, "smooth": blocks.smooth}
        layers.append(block(shape_in, shape_out, norm=norm, slope=slope, **settings))
        if is_image(shape_in) and is_image(shape_out) and not end:
            for _ in range(blocks.residual):
                layers.append(Residual(shape_out[0], kernel=blocks.kernel, slope=blocks.slope))
    return nn.Sequential(*layers)
