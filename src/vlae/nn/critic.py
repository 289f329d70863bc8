"""Critics: networks that tell two kinds of data apart, with a number that is larger for the first kind."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlae.nn.injection import Modulate
from vlae.nn.layers import block
from vlae.shapes import Shape, is_image

SLOPE = 0.2
"""The negative slope of the leaky ReLU in critics."""

CODE_GRID = 4
"""Most cells on a side of the grid in which a code acts on the critic's maps."""


class Trunk(nn.Module):
    """The convolutions of a critic of pictures and, if asked, of their codes; another network may read its features.

    Each convolution halves the sides, down to 4 pixels; the code z_l scales and shifts the map after the l-th one. If
    there are more levels than halvings, further convolutions keep the size. There is no batch norm, because a critic
    with gradient penalties must judge each datum by itself.

    References: Huang et al. 2025, "The GAN is dead; long live the GAN!" (arXiv 2501.05441), for the critic without
    norm; Belghazi et al. 2018, "Hierarchical Adversarially Learned Inference", for codes that enter at several depths.

    Args:
        shape: shape of one picture, (channels, height, width).
        code_sizes: dimensions of every level's code, level 1 first; (): the critic sees pictures alone. A level of
            size 0 is left out of its maps, but not of its arguments.
        width: channels of the first convolution, doubled at each one up to four times as many.
        units: number of features of each datum.

    Attributes:
        num_features: number of features of each datum.

    Raises:
        ValueError: if the data are vectors.
    """

    def __init__(self, shape: Shape, code_sizes: Sequence[int] = (), *, width: int = 32, units: int = 128):
        super().__init__()
        if not is_image(shape):
            raise ValueError(
                f"a critic with convolutions is for pictures; these data are vectors of {shape[0]} numbers"
            )
        self.num_features = units
        convolutions: list[nn.Module] = []
        codes: list[nn.Module] = []
        below, number = shape, 0
        while max(below[1:]) > 4 or number < max(1, len(code_sizes)):
            number += 1
            sides = [-(-side // 2) for side in below[1:]] if max(below[1:]) > 4 else below[1:]
            here = (width * min(2 ** (number - 1), 4), *sides)
            size = code_sizes[number - 1] if number <= len(code_sizes) else 0
            convolutions.append(block(below, here, kernel=4 if here[1:] != below[1:] else 3, norm=False, slope=None))
            codes.append(Modulate(size, here, grid=min(CODE_GRID, *sides)) if size else nn.Identity())
            below = here
        self.convolutions, self.codes = nn.ModuleList(convolutions), nn.ModuleList(codes)
        self.activation = nn.LeakyReLU(SLOPE)
        self.dense = block(below, (units,), kernel=1, norm=False, slope=SLOPE)

    def forward(self, x: Float[Tensor, "n *shape"], *codes: Float[Tensor, "n _"]) -> Float[Tensor, "n units"]:
        """The features that the critic judges by.

        Args:
            x: pictures in [0, 1], (n, C, H, W).
            codes: the code of every level, (n, code size) each, level 1 first; none if the critic sees pictures alone.
        """
        h = 2 * x - 1
        for number, (convolution, enter) in enumerate(zip(self.convolutions, self.codes, strict=True)):
            h = convolution(h)
            if isinstance(enter, Modulate):
                h = enter(h, codes[number], 1.0)
            h = self.activation(h)
        features: Tensor = self.dense(h)
        return features


class Critic(nn.Module):
    """A convolutional critic of pictures and, if asked, of their codes: linear in the features of its trunk.

    Args:
        shape: shape of one picture, (channels, height, width).
        code_sizes: dimensions of every level's code, level 1 first; (): the critic sees pictures alone. A level of
            size 0 is left out of its maps, but not of its arguments.
        width: channels of the first convolution, doubled at each one up to four times as many.
        units: number of features at the end of the trunk.

    Attributes:
        num_features: number of features of each datum that the trunk gives.

    Raises:
        ValueError: if the data are vectors.
    """

    def __init__(self, shape: Shape, code_sizes: Sequence[int] = (), *, width: int = 32, units: int = 128):
        super().__init__()
        self.trunk = Trunk(shape, code_sizes, width=width, units=units)
        self.num_features = units
        self.head = nn.Linear(units, 1)

    def forward(self, x: Float[Tensor, "n *shape"], *codes: Float[Tensor, "n _"]) -> Float[Tensor, " n"]:
        """The judgement of each datum: a number of any size, larger for data of the first kind.

        Args:
            x: pictures in [0, 1], (n, C, H, W).
            codes: the code of every level, (n, code size) each, level 1 first; none if the critic sees pictures alone.
        """
        judged: Tensor = self.head(self.trunk(x, *codes)).squeeze(1)
        return judged


class CodesCritic(nn.Module):
    """A dense critic of codes alone, all levels together.

    Args:
        code_sizes: dimensions of every level's code, level 1 first; at least one is above 0.
        units: units of each of the two layers.
    """

    def __init__(self, code_sizes: Sequence[int], *, units: int = 128):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(sum(code_sizes), units),
            nn.LeakyReLU(SLOPE),
            nn.Linear(units, units),
            nn.LeakyReLU(SLOPE),
            nn.Linear(units, 1),
        )

    def forward(self, *codes: Float[Tensor, "n _"]) -> Float[Tensor, " n"]:
        """The judgement of each row of codes: a number of any size, larger for codes of the first kind.

        Args:
            codes: the code of every level, (n, code size) each, level 1 first.
        """
        judged: Tensor = self.layers(torch.cat(codes, dim=1)).squeeze(1)
        return judged
