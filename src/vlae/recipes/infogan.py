"""The recipe of InfoGAN."""

from collections.abc import Sequence
from math import ceil, log2

from vlae.models.infogan import ROLES, InfoGANLevel
from vlae.models.likelihoods import Deterministic
from vlae.nn.layers import Blocks
from vlae.objectives.infogan import InfoGANLoss
from vlae.recipes.lean import check_image
from vlae.recipes.recipe import Recipe, Training
from vlae.shapes import Shape, is_image

CODE_SIZES = (62, 2, 10)
"""Noise, continuous codes and values of the category, as for MNIST in the paper."""


def infogan_codes(code_sizes: Sequence[int]) -> tuple[int, int, int]:
    """The code sizes of an InfoGAN beside a ladder: continuous codes and a category with as many dimensions in all.

    The category has 10 values, or half of the dimensions if there are fewer than 12. The noise is added to these.

    Args:
        code_sizes: dimensions of each level's code in the ladder, level 1 first.
    """
    total = sum(code_sizes)
    category = CODE_SIZES[2] if total >= CODE_SIZES[1] + CODE_SIZES[2] else max(2, total // 2)
    return CODE_SIZES[0], max(0, total - category), category


def infogan(shape: Shape, *, code_sizes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """An InfoGAN: noise at level 1, continuous codes at level 2, one category at level 3.

    Args:
        shape: shape of one picture: (channels, height, width) with 1 to 16 channels and sides from 8 to 256 pixels.
        code_sizes: dimensions of the noise, number of continuous codes, and number of values of the category; None: 62,
            2 and 10.
        width: channels of the generator's last map, doubled at each one before up to four times as many.

    Raises:
        ValueError: if the data are vectors, or there are not three code sizes.
    """
    if not is_image(shape):
        raise ValueError(f"infogan draws pictures; these data are vectors of {shape[0]} numbers: choose lean")
    check_image(shape)
    sizes = CODE_SIZES if code_sizes is None else tuple(code_sizes)
    if len(sizes) != len(ROLES):
        raise ValueError(
            f"infogan has 3 levels, {len(sizes)} code sizes are given: {sizes}; give the sizes of the noise, of the "
            "continuous codes and of the category: 62,2,10"
        )
    halvings = max(1, ceil(log2(max(shape[1:]) / 4)))
    convolutions = tuple((width * min(2**number, 4), 2) for number in range(halvings))
    noise, continuous, category = sizes
    levels = (
        InfoGANLevel(code_size=noise, role="noise", convolutions=convolutions, dense=(256,)),
        InfoGANLevel(code_size=continuous, role="continuous"),
        InfoGANLevel(code_size=category, role="category"),
    )
    return Recipe(
        name="infogan",
        shape=tuple(shape),
        levels=levels,
        model="InfoGAN",
        blocks=Blocks(kernel=4),
        likelihood=Deterministic(),
        objective=InfoGANLoss(),
        training=Training(steps=5_000, batch_size=64, learning_rate=2e-3, schedule="cosine"),
    )
