"""Our default: small networks whose lower levels are simple by structure."""

from collections.abc import Sequence
from math import ceil, log2, prod
from typing import NamedTuple

from vlae.models.base import check_code_sizes
from vlae.models.levels import Level, LevelSettings, MomentsLevel
from vlae.models.likelihoods import Gaussian, Likelihood
from vlae.objectives.elbo import ELBO
from vlae.recipes.recipe import Recipe, Training
from vlae.renamed import renamed
from vlae.shapes import MAX_CHANNELS, MAX_SIDE, MIN_SIDE, Shape, is_image


@renamed(codes="code_sizes")
def lean(shape: Shape, *, code_sizes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """Our default: small networks whose lower levels are simple by structure, and whose first owns what it holds.

    Images: level 1 reads mean, standard deviation and border contrast of each colour, which no level above can see. It
    sets the mean and standard deviation of the maps that a picture's colours are mixed from, which no level above can
    set. The next ones read mean and deviation on grids of 2 × 2, then 4 × 4, and scale and shift there. Whatever
    stands above these, and always the top, is unrestricted. All train at once. Vectors, and images whose level 1 has no
    code: levels grow one after the other, level 1 first, then the top, then downwards.

    Args:
        shape: (channels, height, width) with sides from 8 to 256 and 1 to 4 channels, or (dimensions,).
        code_sizes: sizes of the levels' codes, level 1 first; None: chosen from the shape.
        width: channels of level 1 (units, for vectors: eight times as many); doubled at each level up to eight times.
    """
    code_sizes = check_code_sizes(default_codes(shape) if code_sizes is None else code_sizes)
    stacks = stacks_of(shape, code_sizes, width)
    if len(shape) == 1:
        levels: list[LevelSettings] = [
            Level(code_size=size, dense=stack.dense) for size, stack in zip(code_sizes, stacks, strict=True)
        ]
        return same_training("lean", shape, levels, objective=ELBO(growth="ladder"))
    objective = ELBO() if code_sizes[0] else ELBO(growth="ladder")
    return same_training("lean", shape, _image_levels(code_sizes, stacks), objective=objective)


class Stack(NamedTuple):
    """The networks from one level to the next, and the level's place."""

    convolutions: tuple[tuple[int, int], ...]
    dense: tuple[int, ...]
    side: int
    """The shorter side of h_l; 0 of a vector."""
    top: bool
    """Whether it is the highest level with a code, or above it."""


def stacks_of(shape: Shape, code_sizes: Sequence[int], width: int) -> list[Stack]:
    """The networks of every level of `lean`, which the rivals at its size have too.

    Args:
        shape: of one datum.
        code_sizes: of every level, level 1 first.
        width: channels of level 1.

    Raises:
        ValueError: if images have more channels or pixels than a ladder takes, or fewer.
    """
    if len(shape) == 1:
        return [Stack((), (8 * width,), 0, False) for _ in code_sizes]
    check_image(shape)
    halvings = max(1, ceil(log2(max(shape[1:]) / 4)))
    highest = max(number for number, size in enumerate(code_sizes, start=1) if size)
    side = min(shape[1:])
    stacks = []
    for number in range(1, len(code_sizes) + 1):
        top = number >= highest
        strides = [2] * (halvings // len(code_sizes) + (number <= halvings % len(code_sizes))) or ([] if top else [1])
        channels = min(width * 2 ** (number - 1), 8 * width)
        side = ceil(side / prod(strides))
        dense = (8 * width,) * 3 if top else ()
        stacks.append(Stack(tuple((channels, stride) for stride in strides), dense, side, top))
    return stacks


def _image_levels(code_sizes: Sequence[int], stacks: Sequence[Stack]) -> list[LevelSettings]:
    levels: list[LevelSettings] = []
    for number, (size, stack) in enumerate(zip(code_sizes, stacks, strict=True), start=1):
        restricted = number <= 3 and not stack.top
        if restricted and number == 1:
            levels.append(MomentsLevel(code_size=size, convolutions=stack.convolutions))
            continue
        levels.append(
            Level(
                code_size=size,
                convolutions=stack.convolutions,
                dense=stack.dense,
                reads="grid" if restricted else "map",
                acts="modulate" if restricted else "concatenate",
                grid=min(2 ** (number - 1), stack.side) if restricted else 1,
            )
        )
    return levels


def same_training(
    name: str,
    shape: Shape,
    levels: Sequence[LevelSettings],
    *,
    objective: ELBO = ELBO(),
    likelihood: Likelihood = Gaussian(),
) -> Recipe:
    """A recipe with the training that lean and its rivals share."""
    if not is_image(shape):
        training = Training(steps=5_000)
        mean = stddev = None
    else:
        # Larger images are more work: these keep 28, 32 and 64 pixels to some ten minutes on two cores.
        side = max(shape[1:])
        training = Training(steps=10_000 if side < 32 else 6_500 if side < 64 else 2_500, batch_size=64)
        mean, stddev = 0.5, 0.25
    return Recipe(
        name=name,
        shape=tuple(shape),
        levels=tuple(levels),
        likelihood=likelihood,
        mean=mean,
        stddev=stddev,
        objective=objective,
        training=training,
    )


def default_codes(shape: Shape) -> tuple[int, ...]:
    """The sizes of the levels' codes, chosen from the shape of a datum."""
    if not is_image(shape):
        return (4, 8)
    side = max(shape[1:])
    return (4, 8) if side < 16 else (4, 4, 8) if side < 32 else (6, 4, 4, 10) if side < 64 else (8, 8, 8, 16)


def check_image(shape: Shape) -> None:
    """Says so if a ladder cannot be had on images of this shape.

    Raises:
        ValueError: if it cannot.
    """
    sides_fit = is_image(shape) and all(MIN_SIDE <= side <= MAX_SIDE for side in shape[1:])
    if not sides_fit or not 1 <= shape[0] <= MAX_CHANNELS:
        raise ValueError(
            f"images are of shape {tuple(shape)}; a ladder takes 1 to {MAX_CHANNELS} channels and sides from "
            f"{MIN_SIDE} to {MAX_SIDE}"
        )
