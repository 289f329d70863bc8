"""How a code enters the map that comes from above: v_l(z_l) and the merge [z̃_{l+1} ; v_l(z_l)] in one module."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vlae.nn.layers import Blocks, block
from vlae.shapes import Shape, is_image


class Injection(nn.Module, ABC):
    """Lets a code act on the map from above.

    Attributes:
        output_shape: of what comes out.
    """

    output_shape: Shape

    @abstractmethod
    def forward(
        self, above: Float[Tensor, "n *shape"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *merged"]:
        """The map with the code in it, which counts by `fade` in [0, 1]; nothing is above where a decoder begins."""


class Begin(Injection):
    """Starts a decoder: v(z) fills the whole map, and there is nothing to merge it with."""

    def __init__(self, code_size: int, shape: Shape, blocks: Blocks):
        super().__init__()
        self.output_shape = shape
        self.embed = block((code_size,), shape, kernel=1, norm=blocks.norm, slope=blocks.slope)

    def forward(
        self, above: Float[Tensor, "n *shape"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *merged"]:
        """v(z)."""
        begun: Tensor = self.embed(code) * fade
        return begun


class Concatenate(Begin):
    """[z̃ ; v(z)]: the code fills a map of its own, so it can place anything anywhere."""

    def __init__(self, code_size: int, shape: Shape, blocks: Blocks):
        super().__init__(code_size, shape, blocks)
        self.output_shape = (2 * shape[0], *shape[1:])

    def forward(
        self, above: Float[Tensor, "n *shape"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *merged"]:
        """Both side by side."""
        assert above is not None
        return torch.cat([above, self.embed(code) * fade], dim=1)


class GatedAdd(Begin):
    """z̃ + gate ⊙ v(z), with one learned gate per channel or unit that starts at 0.1, as in the authors' MNIST net."""

    def __init__(self, code_size: int, shape: Shape, blocks: Blocks):
        super().__init__(code_size, shape, blocks)
        self.gate = nn.Parameter(torch.full((shape[0], *[1] * (len(shape) - 1)), 0.1))

    def forward(
        self, above: Float[Tensor, "n *shape"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *merged"]:
        """The sum."""
        assert above is not None
        return above + self.gate * (self.embed(code) * fade)


class Modulate(Injection):
    """z̃ ⊙ (1 + a(z)) + b(z): a scale and a shift per channel, in each cell of a coarse grid and smooth between."""

    def __init__(self, code_size: int, shape: Shape, *, grid: int):
        super().__init__()
        self.output_shape, self.grid = shape, grid
        cells = grid * grid if is_image(shape) else 1
        self.embed = nn.Linear(code_size, 2 * shape[0] * cells)

    def forward(
        self, above: Float[Tensor, "n *shape"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *merged"]:
        """Scales and shifts."""
        assert above is not None
        v: Tensor = self.embed(code) * fade
        if above.ndim == 4:
            v = v.unflatten(1, (-1, self.grid, self.grid))
            if self.grid > 1:
                v = functional.interpolate(v, size=above.shape[2:], mode="bilinear", align_corners=False)
        scale, shift = v.chunk(2, dim=1)
        return above * (1 + scale) + shift
