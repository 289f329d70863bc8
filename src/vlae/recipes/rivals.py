"""The systems that `lean` stands beside, at its size: the paper's ladder, a VAE, and two hierarchies."""

from collections.abc import Sequence
from dataclasses import replace

from vlae.models.base import check_code_sizes
from vlae.models.levels import Level
from vlae.models.likelihoods import Gaussian, Laplace
from vlae.objectives.elbo import ELBO
from vlae.recipes.lean import default_codes, lean, same_training, stacks_of
from vlae.recipes.recipe import Recipe
from vlae.renamed import renamed
from vlae.shapes import Shape, is_image


@renamed(codes="code_sizes")
def joint(shape: Shape, *, code_sizes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """The paper's ladder at lean's size: all of h_l is read, codes are concatenated, all levels train at once.

    Its likelihood of images is the Laplace of scale 1/8, which is the authors' L1 term for MNIST and SVHN. Beside
    `lean` it shows what structure is worth.

    Args:
        shape: (channels, height, width) with sides from 8 to 256 and 1 to 4 channels, or (dimensions,).
        code_sizes: sizes of the levels' codes, level 1 first; None: chosen from the shape.
        width: channels of level 1 (units, for vectors: eight times as many); doubled at each level up to eight times.
    """
    code_sizes = check_code_sizes(default_codes(shape) if code_sizes is None else code_sizes)
    levels = [
        Level(code_size=size, convolutions=stack.convolutions, dense=stack.dense)
        for size, stack in zip(code_sizes, stacks_of(shape, code_sizes, width), strict=True)
    ]
    likelihood = Laplace(scale=1 / 8) if is_image(shape) else Gaussian()
    return same_training("joint", shape, levels, likelihood=likelihood)


@renamed(codes="code_sizes")
def vae(shape: Shape, *, code_sizes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """A plain VAE of lean's size: the ladder whose only code is at the top, as large as all of lean's together.

    Args:
        shape: (channels, height, width) with sides from 8 to 256 and 1 to 4 channels, or (dimensions,).
        code_sizes: of the levels, all but one 0; None: chosen from the shape.
        width: channels of level 1 (units, for vectors: eight times as many); doubled at each level up to eight times.

    Raises:
        ValueError: if more than one level has a code.
    """
    code_sizes = check_code_sizes(rival_codes("vae", default_codes(shape)) if code_sizes is None else code_sizes)
    if sum(size > 0 for size in code_sizes) > 1:
        raise ValueError(
            f"code sizes are {tuple(code_sizes)}; a VAE has one code: give the other levels 0, or one size alone"
        )
    return replace(lean(shape, code_sizes=code_sizes, width=width), name="vae", objective=ELBO())


@renamed(codes="code_sizes")
def hvae(shape: Shape, *, code_sizes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """A hierarchical VAE of lean's size: lean's convolutions between x and z_1, small networks between the codes.

    Args:
        shape: (channels, height, width) with sides from 8 to 256 and 1 to 4 channels, or (dimensions,).
        code_sizes: sizes of 2 to 5 levels, level 1 first; None: z_1, which all must pass, is as large as all of lean's
            codes together, and each level above half as large.
        width: channels of level 1 (units, for vectors: eight times as many); doubled at each level up to eight times.
    """
    code_sizes = check_code_sizes(rival_codes("hvae", default_codes(shape)) if code_sizes is None else code_sizes)
    stacks = stacks_of(shape, (1,) * len(code_sizes), width)
    bottom = Level(
        code_size=code_sizes[0],
        convolutions=tuple(layer for stack in stacks for layer in stack.convolutions),
        dense=tuple(units for stack in stacks for units in stack.dense),
    )
    upper = [Level(code_size=size, dense=(8 * width, 8 * width)) for size in code_sizes[1:]]
    return replace(same_training("hvae", shape, [bottom, *upper]), model="HierarchicalVAE")


@renamed(codes="code_sizes")
def lvae(shape: Shape, *, code_sizes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """A Ladder VAE of lean's size: the networks of `hvae`, inferred from the top down, with a warm-up of the rates.

    The warm-up rises as 1 - exp(-step / 500), where its authors' rises linearly (Sønderby et al. 2016, section 2.3).

    Args:
        shape: (channels, height, width) with sides from 8 to 256 and 1 to 4 channels, or (dimensions,).
        code_sizes: sizes of 2 to 5 levels, level 1 first; None: z_1, which all must pass, is as large as all of lean's
            codes together, and each level above half as large.
        width: channels of level 1 (units, for vectors: eight times as many); doubled at each level up to eight times.
    """
    base = hvae(shape, code_sizes=code_sizes, width=width)
    return replace(base, name="lvae", model="LadderVAE", objective=ELBO(warmup=500.0))


def rival_codes(name: str, code_sizes: Sequence[int]) -> tuple[int, ...]:
    """The codes with which a recipe stands beside a ladder with these: as many dimensions where all must pass.

    Examples:
        >>> rival_codes("vae", (2, 2, 2)), rival_codes("hvae", (2, 2, 2)), rival_codes("joint", (2, 2, 2))
        ((0, 0, 6), (6, 3, 1), (2, 2, 2))
    """
    total = sum(code_sizes)
    if name == "vae":
        return (*(0 for _ in code_sizes[1:]), total)
    if name in ("hvae", "lvae"):
        return tuple(max(1, total >> level) for level in range(max(2, min(5, len(code_sizes)))))
    return tuple(code_sizes)
