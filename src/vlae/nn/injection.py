"""How a code enters the decoder: v_l(z_l) and the merge [z̃_{l+1}; v_l(z_l)], in one module."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vlae.nn.layers import Blocks, block
from vlae.shapes import Shape, is_image


class Injection(nn.Module, ABC):
    """The merge [z̃_{l+1}; v_l(z_l)] of the map from above with a code.

    Attributes:
        output_shape: shape of the merged map, (channels, height, width) or (units,).
    """

    output_shape: Shape

    @abstractmethod
    def forward(
        self, above: Float[Tensor, "n *shape"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *merged"]:
        """The merged map.

        Args:
            above: z̃_{l+1}, (n, channels, height, width) or (n, units); None where the decoder begins.
            code: z_l, (n, code size).
            fade: how far the level has grown, in [0, 1]; v_l(z_l) is multiplied by it.
        """


class Begin(Injection):
    """The start of a decoder: v_l(z_l) is the whole map.

    Args:
        code_size: dimensions of the code z_l.
        shape: shape of the map v_l(z_l), (channels, height, width) or (units,).
        blocks: settings that all layers share.
    """

    def __init__(self, code_size: int, shape: Shape, blocks: Blocks):
        super().__init__()
        self.output_shape = shape
        self.embed = block((code_size,), shape, kernel=1, norm=blocks.norm, slope=blocks.slope)

    def forward(
        self, above: Float[Tensor, "n *shape"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *merged"]:
        """The map v_l(z_l).

        Args:
            above: z̃_{l+1}, (n, channels, height, width) or (n, units); None where the decoder begins.
            code: z_l, (n, code size).
            fade: how far the level has grown, in [0, 1]; v_l(z_l) is multiplied by it.
        """
        embedded: Tensor = self.embed(code) * fade
        return embedded


class Concatenate(Begin):
    """Concatenation [z̃_{l+1}; v_l(z_l)]: v_l(z_l) is a map of its own, beside the map from above.

    Args:
        code_size: dimensions of the code z_l.
        shape: shape of the map v_l(z_l), (channels, height, width) or (units,).
        blocks: settings that all layers share.
    """

    def __init__(self, code_size: int, shape: Shape, blocks: Blocks):
        super().__init__(code_size, shape, blocks)
        self.output_shape = (2 * shape[0], *shape[1:])

    def forward(
        self, above: Float[Tensor, "n *shape"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *merged"]:
        """The two maps, one after the other along the channels (or units).

        Args:
            above: z̃_{l+1}, (n, channels, height, width) or (n, units); None where the decoder begins.
            code: z_l, (n, code size).
            fade: how far the level has grown, in [0, 1]; v_l(z_l) is multiplied by it.
        """
        assert above is not None
        return torch.cat([above, self.embed(code) * fade], dim=1)


class GatedAdd(Begin):
    """The gated sum z̃_{l+1} + gate ⊙ v_l(z_l), with one learned gate per channel or unit.

    Gates start at 0.1, the value of the authors' MNIST network.

    Args:
        code_size: dimensions of the code z_l.
        shape: shape of the map v_l(z_l), (channels, height, width) or (units,).
        blocks: settings that all layers share.
    """

    def __init__(self, code_size: int, shape: Shape, blocks: Blocks):
        super().__init__(code_size, shape, blocks)
        self.gate = nn.Parameter(torch.full((shape[0], *[1] * (len(shape) - 1)), 0.1))

    def forward(
        self, above: Float[Tensor, "n *shape"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *merged"]:
        """The gated sum.

        Args:
            above: z̃_{l+1}, (n, channels, height, width) or (n, units); None where the decoder begins.
            code: z_l, (n, code size).
            fade: how far the level has grown, in [0, 1]; v_l(z_l) is multiplied by it.
        """
        assert above is not None
        return above + self.gate * (self.embed(code) * fade)


class Modulate(Injection):
    """Modulation z̃_{l+1} ⊙ (1 + a(z_l)) + b(z_l): a scale and a shift of each channel.

    Scale and shift are set in each cell of a coarse grid, and interpolated bilinearly between the cells.

    Args:
        code_size: dimensions of the code z_l.
        shape: shape of the map from above, (channels, height, width) or (units,).
        grid: side of the grid, at least 1; not used for vectors.
    """

    enlarge: Tensor
    """The matrix of the bilinear interpolation between the cells, (height · width, grid²); not used for vectors."""

    def __init__(self, code_size: int, shape: Shape, *, grid: int):
        super().__init__()
        self.output_shape, self.grid = shape, grid
        cells = grid * grid if is_image(shape) else 1
        self.embed = nn.Linear(code_size, 2 * shape[0] * cells)
        enlarge = torch.ones(1, 1)
        if is_image(shape):
            with torch.device("cpu"):  # a constant, also of a model without memory
                each = torch.eye(cells).view(cells, 1, grid, grid)
                enlarge = functional.interpolate(each, size=shape[1:], mode="bilinear", align_corners=False)
        self.register_buffer("enlarge", enlarge.flatten(1).T, persistent=False)

    def forward(
        self, above: Float[Tensor, "n *shape"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *merged"]:
        """The scaled and shifted map.

        Args:
            above: z̃_{l+1}, (n, channels, height, width) or (n, units); None where the decoder begins.
            code: z_l, (n, code size).
            fade: how far the level has grown, in [0, 1]; v_l(z_l) is multiplied by it.
        """
        assert above is not None
        v: Tensor = self.embed(code) * fade
        if above.ndim == 2:
            scale, shift = v.chunk(2, dim=1)
            return above * (1 + scale) + shift
        enlarge = self.enlarge.to(above.device).expand(above.shape[0], -1, -1)  # len() would fix the number for ONNX
        cells = v.unflatten(1, (2, above.shape[1], -1)).transpose(2, 3)
        scale, shift = (torch.bmm(enlarge, part) for part in cells.unbind(1))
        pixels = above.permute(0, 2, 3, 1).flatten(1, 2)  # as they lie in memory
        changed = torch.addcmul(pixels + shift, pixels, scale)
        return changed.transpose(1, 2).unflatten(2, above.shape[2:])
