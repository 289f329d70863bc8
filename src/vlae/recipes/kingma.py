"""The models of Kingma et al. 2014, "Semi-supervised Learning with Deep Generative Models", at the size of `lean`."""

from collections.abc import Sequence
from dataclasses import replace

from vlae.models.base import check_code_sizes
from vlae.models.levels import ClassLevel, Level
from vlae.models.likelihoods import Gaussian
from vlae.objectives.enumerated import EnumeratedELBO
from vlae.recipes.lean import default_codes, same_training
from vlae.recipes.recipe import Recipe
from vlae.recipes.rivals import vae
from vlae.renamed import renamed
from vlae.shapes import Shape, levels_with_code

NUM_CLASSES = 10
"""The number of classes where no label says how many there are."""


@renamed(codes="code_sizes")
def m1(shape: Shape, *, code_sizes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """The model M1: a plain VAE, whose codes a classifier reads (`vlae classify`). It learns from no label.

    Reference: Kingma et al. 2014, section 2 ("Latent-feature discriminative model"). There the networks are fully
    connected; here they are those of `vae`.

    Args:
        shape: shape of one datum: (channels, height, width) with 1 to 16 channels and sides from 8 to 256 pixels; or
            (dimensions,).
        code_sizes: dimensions of each level's code, level 1 first, all but one 0; None: chosen from the shape.
        width: channels of level 1, doubled at each level up to eight times as many. For vectors, each layer has
            8 · width units.

    Raises:
        ValueError: if more than one level has a code.
    """
    return replace(vae(shape, code_sizes=code_sizes, width=width), name="m1")


@renamed(codes="code_sizes")
def m2(shape: Shape, *, code_sizes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """The model M2: the decoder reads a code and a class, and training sums over the classes.

    The labels of the data say which classes there are; without any there are ten, which the model finds by itself.

    Args:
        shape: shape of one datum: (channels, height, width) with 1 to 16 channels and sides from 8 to 256 pixels; or
            (dimensions,).
        code_sizes: the dimensions of the code below the class, one number; None: as many as in all codes of `lean`.
        width: each layer has 16 · width units.

    Raises:
        ValueError: if there is not one code size.
    """
    (size,) = _sizes("m2", code_sizes, shape, 1)
    levels = [Level(code_size=size, dense=(16 * width, 16 * width)), ClassLevel(code_size=NUM_CLASSES)]
    recipe = same_training("m2", shape, levels, objective=EnumeratedELBO(), likelihood=Gaussian())
    return replace(recipe, model="M2")


@renamed(codes="code_sizes")
def m1_m2(shape: Shape, *, code_sizes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """The model M1+M2: M2 on the codes of M1, both in one training, in which M1 learns nothing of M2.

    The labels of the data say which classes there are; without any there are ten, which the model finds by itself.

    Args:
        shape: shape of one datum: (channels, height, width) with 1 to 16 channels and sides from 8 to 256 pixels; or
            (dimensions,).
        code_sizes: the dimensions of the code of M1 and of that of M2; None: as many as in all codes of `lean`, each.
        width: M1 has the layers of `vae` of this width; each layer of M2 has 16 · width units.

    Raises:
        ValueError: if there are not two code sizes.
    """
    below, above = _sizes("m1+m2", code_sizes, shape, 2)
    network = m1(shape, width=width)
    parts = [level for level in network.levels if isinstance(level, Level)]
    lowest = Level(
        code_size=below,
        convolutions=tuple(layer for level in parts for layer in level.convolutions),
        dense=tuple(units for level in parts for units in level.dense),
    )
    levels = [lowest, Level(code_size=above, dense=(16 * width, 16 * width)), ClassLevel(code_size=NUM_CLASSES)]
    recipe = same_training("m1+m2", shape, levels, objective=EnumeratedELBO(), likelihood=Gaussian())
    return replace(recipe, model="M1M2")


def _sizes(name: str, code_sizes: Sequence[int] | None, shape: Shape, num: int) -> tuple[int, ...]:
    sizes = check_code_sizes((sum(default_codes(shape)),) * num if code_sizes is None else code_sizes)
    if len(sizes) != num or len(levels_with_code(sizes)) != num:
        raise ValueError(f"code sizes are {sizes}; {name} has {num} below its class, of 1 or more: give so many")
    return sizes
