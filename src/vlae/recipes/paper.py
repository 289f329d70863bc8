"""The networks of the paper, with the settings of the authors' code.

Reference: Zhao, Song and Ermon, "Learning Hierarchical Features from Generative Models", ICML 2017, section 6.2.
"""

from collections.abc import Sequence

from vlae.models.base import check_code_sizes
from vlae.models.levels import Level
from vlae.models.likelihoods import Laplace, Likelihood
from vlae.nn.layers import Blocks
from vlae.objectives.elbo import ELBO
from vlae.recipes.lean import check_image
from vlae.recipes.recipe import Recipe, Training
from vlae.renamed import renamed
from vlae.shapes import Shape


@renamed(codes="code_sizes")
def mnist(shape: Shape = (1, 28, 28), *, code_sizes: Sequence[int] | None = None, deep_heads: bool = False) -> Recipe:
    """The paper's network for MNIST, with 3 levels.

    Reference: Zhao et al. 2017, section 6.2, and the authors' code.

    Args:
        shape: shape of one image, (channels, height, width), with 1 to 16 channels and sides from 8 to 256 pixels.
        code_sizes: dimensions of the code of each of the 3 levels, level 1 first; None: the paper's, 2 each.
        deep_heads: whether each posterior encodes h_{l-1} again with layers of its own, like the authors' code.

    Raises:
        ValueError: if there are not 3 code sizes, or the shape is not that of an image.
    """
    check_image(shape)
    sizes = _paper_codes("mnist", code_sizes, (2, 2, 2))
    convolutions = ((64, 2), (128, 2))
    levels = (
        Level(
            code_size=sizes[0],
            convolutions=convolutions,
            dense=(1024,),
            acts="add",
            head_convolutions=convolutions if deep_heads else (),
        ),
        Level(
            code_size=sizes[1],
            dense=(1024, 1024, 1024),
            acts="add",
            head_dense=(1024, 1024) if deep_heads else (),
        ),
        Level(code_size=sizes[2], dense=(1024, 1024), head_dense=(1024, 1024) if deep_heads else ()),
    )
    # Their term is 8 Σ|x - x̂| of images in [0, 1].
    return _paper("mnist", shape, levels, Laplace(scale=1 / 8), mean=0.0, stddev=1.0)


@renamed(codes="code_sizes")
def svhn(shape: Shape = (3, 32, 32), *, code_sizes: Sequence[int] | None = None, deep_heads: bool = False) -> Recipe:
    """The paper's network for SVHN, with 4 levels.

    Reference: Zhao et al. 2017, section 6.2, and the authors' code.

    Args:
        shape: shape of one image, (channels, height, width), with 1 to 16 channels and sides from 8 to 256 pixels.
        code_sizes: dimensions of the code of each of the 4 levels, level 1 first; None: the paper's, 5, 5, 5, 10.
        deep_heads: whether each posterior encodes h_{l-1} again with layers of its own, like the authors' code.

    Raises:
        ValueError: if there are not 4 code sizes, or the shape is not that of an image.
    """
    check_image(shape)
    sizes = _paper_codes("svhn", code_sizes, (5, 5, 5, 10))
    stacks = [((64, 2), (64, 1)), ((128, 2), (128, 1)), ((256, 2), (256, 1))]
    levels = _paper_levels(sizes, stacks, deep_heads)
    return _paper("svhn", shape, levels, Laplace(scale=1 / 8), mean=0.0, stddev=1.0)


@renamed(codes="code_sizes")
def celeba(shape: Shape = (3, 64, 64), *, code_sizes: Sequence[int] | None = None, deep_heads: bool = False) -> Recipe:
    """The paper's network for CelebA, with 4 levels.

    Reference: Zhao et al. 2017, section 6.2, and the authors' code.

    Args:
        shape: shape of one image, (channels, height, width), with 1 to 16 channels and sides from 8 to 256 pixels.
        code_sizes: dimensions of the code of each of the 4 levels, level 1 first; None: the paper's, 10 each.
        deep_heads: whether each posterior encodes h_{l-1} again with layers of its own, like the authors' code.

    Raises:
        ValueError: if there are not 4 code sizes, or the shape is not that of an image.
    """
    return _sixty_four("celeba", shape, _paper_codes("celeba", code_sizes, (10, 10, 10, 10)), deep_heads)


@renamed(codes="code_sizes")
def lsun(shape: Shape = (3, 64, 64), *, code_sizes: Sequence[int] | None = None, deep_heads: bool = False) -> Recipe:
    """The authors' network for LSUN bedrooms: that for CelebA with larger codes.

    Args:
        shape: shape of one image, (channels, height, width), with 1 to 16 channels and sides from 8 to 256 pixels.
        code_sizes: dimensions of the code of each of the 4 levels, level 1 first; None: the authors', 20, 20, 20, 40.
        deep_heads: whether each posterior encodes h_{l-1} again with layers of its own, like the authors' code.

    Raises:
        ValueError: if there are not 4 code sizes, or the shape is not that of an image.
    """
    return _sixty_four("lsun", shape, _paper_codes("lsun", code_sizes, (20, 20, 20, 40)), deep_heads)


def _sixty_four(name: str, shape: Shape, sizes: tuple[int, ...], deep_heads: bool) -> Recipe:
    check_image(shape)
    stacks = [((64, 2), (64, 1)), ((128, 2), (128, 1), (256, 2)), ((256, 1), (512, 2), (512, 1))]
    levels = _paper_levels(sizes, stacks, deep_heads)
    # Their term is 0.5 Σ|x - x̂| of images in [-1, 1]; the same images in [0, 1] make it Σ|x - x̂|, a scale of 1.
    return _paper(name, shape, levels, Laplace(scale=1.0), mean=0.5, stddev=0.5)


def _paper_levels(
    sizes: tuple[int, ...], stacks: Sequence[tuple[tuple[int, int], ...]], deep_heads: bool
) -> tuple[Level, ...]:
    dense = (1024, 1024)
    lower = [
        Level(code_size=size, convolutions=stack, head_convolutions=stack if deep_heads else ())
        for size, stack in zip(sizes[:-1], stacks, strict=True)
    ]
    return (*lower, Level(code_size=sizes[-1], dense=dense, head_dense=dense if deep_heads else ()))


def _paper_codes(name: str, code_sizes: Sequence[int] | None, default: tuple[int, ...]) -> tuple[int, ...]:
    sizes = check_code_sizes(default if code_sizes is None else code_sizes)
    if len(sizes) != len(default):
        raise ValueError(f"the recipe {name!r} has {len(default)} levels, {len(sizes)} code sizes are given: {sizes}")
    return sizes


def _paper(
    name: str, shape: Shape, levels: tuple[Level, ...], likelihood: Likelihood, *, mean: float, stddev: float
) -> Recipe:
    return Recipe(
        name=name,
        shape=tuple(shape),
        levels=levels,
        blocks=Blocks(kernel=4, stddev="sigmoid", weights_stddev=0.02),
        likelihood=likelihood,
        mean=mean,
        stddev=stddev,
        objective=ELBO(warmup=2000),
        training=Training(steps=20_000, batch_size=100, learning_rate=2e-4, schedule="constant"),
    )
