"""The recipes that `lean` is compared with, at the same size: the paper's ladder, a VAE, two hierarchies."""

from collections.abc import Sequence
from dataclasses import replace

from vlae.models.base import check_code_sizes
from vlae.models.levels import Level
from vlae.models.likelihoods import Gaussian, Laplace
from vlae.objectives.elbo import ELBO
from vlae.recipes.infogan import infogan_codes
from vlae.recipes.lean import default_codes, same_training, stacks_of
from vlae.recipes.recipe import Recipe
from vlae.renamed import renamed
from vlae.shapes import Shape, is_image


@renamed(codes="code_sizes")
def joint(shape: Shape, *, code_sizes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """The paper's ladder at the size of `lean`: posteriors read all of h_l, and codes are concatenated.

    All levels train at once. The likelihood of images is a Laplace of scale 1/8, the authors' L1 term for MNIST and
    SVHN. A comparison with `lean` shows the effect of its restricted levels.

    Args:
        shape: shape of one datum: (channels, height, width) with 1 to 16 channels and sides from 8 to 256 pixels; or
            (dimensions,).
        code_sizes: dimensions of each level's code, level 1 first; None: chosen from the shape.
        width: channels of level 1, doubled at each level up to eight times as many. For vectors, each layer has
            8 · width units.
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
    """A plain VAE at the size of `lean`: the ladder whose only code is at the top, as large as all codes of `lean`.

    Args:
        shape: shape of one datum: (channels, height, width) with 1 to 16 channels and sides from 8 to 256 pixels; or
            (dimensions,).
        code_sizes: dimensions of each level's code, level 1 first, all but one 0; None: chosen from the shape.
        width: channels of level 1, doubled at each level up to eight times as many. For vectors, each layer has
            8 · width units.

    Raises:
        ValueError: if more than one level has a code.
    """
    code_sizes = check_code_sizes(rival_codes("vae", default_codes(shape)) if code_sizes is None else code_sizes)
    if sum(size > 0 for size in code_sizes) > 1:
        raise ValueError(
            f"code sizes are {tuple(code_sizes)}; a VAE has one code: give the other levels 0, or one size alone"
        )
    return replace(joint(shape, code_sizes=code_sizes, width=width), name="vae", likelihood=Gaussian())


@renamed(codes="code_sizes")
def hvae(shape: Shape, *, code_sizes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """A hierarchical VAE at the size of `lean`: its convolutions between x and z_1, dense layers between the codes.

    Args:
        shape: shape of one datum: (channels, height, width) with 1 to 16 channels and sides from 8 to 256 pixels; or
            (dimensions,).
        code_sizes: dimensions of the codes of 2 to 5 levels, level 1 first. None: z_1 is as large as all codes of
            `lean` together, because all information passes through it; each level above is half as large.
        width: channels of level 1, doubled at each level up to eight times as many. For vectors, each layer has
            8 · width units.
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
    """A Ladder VAE at the size of `lean`: the layers of `hvae`, top-down inference, a warm-up of the rates.

    The weight of the rates is 1 - exp(-step / 500); that of its authors rises linearly (Reference: Sønderby et al.
    2016, section 2.3).

    Args:
        shape: shape of one datum: (channels, height, width) with 1 to 16 channels and sides from 8 to 256 pixels; or
            (dimensions,).
        code_sizes: dimensions of the codes of 2 to 5 levels, level 1 first. None: z_1 is as large as all codes of
            `lean` together, because all information passes through it; each level above is half as large.
        width: channels of level 1, doubled at each level up to eight times as many. For vectors, each layer has
            8 · width units.
    """
    base = hvae(shape, code_sizes=code_sizes, width=width)
    return replace(base, name="lvae", model="LadderVAE", objective=ELBO(warmup=500.0))


def rival_codes(name: str, code_sizes: Sequence[int]) -> tuple[int, ...]:
    """The code sizes of a recipe in a comparison with a ladder: as many dimensions in the code that x depends on.

    An InfoGAN has them in its continuous codes and its category, and noise besides.

    Args:
        name: the name of the recipe.
        code_sizes: dimensions of each level's code in the ladder, level 1 first.

    Examples:
        >>> rival_codes("vae", (2, 2, 2)), rival_codes("hvae", (2, 2, 2)), rival_codes("joint", (2, 2, 2))
        ((0, 0, 6), (6, 3, 1), (2, 2, 2))
        >>> rival_codes("infogan", (4, 4, 8))
        (62, 6, 10)
    """
    total = sum(code_sizes)
    if name in ("vae", "m1"):
        return (*(0 for _ in code_sizes[1:]), total)
    if name in ("m2", "m1+m2"):  # the class comes with the data
        return (total,) * name.count("m")
    if name == "infogan":
        return infogan_codes(code_sizes)
    if name in ("hvae", "lvae"):
        return tuple(max(1, total >> level) for level in range(max(2, min(5, len(code_sizes)))))
    return tuple(code_sizes)
