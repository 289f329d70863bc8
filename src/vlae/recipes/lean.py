"""The default recipe: a small ladder whose lower levels can hold only simple features."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil, log2, prod
from typing import Literal, NamedTuple

from vlae.models.base import check_code_sizes
from vlae.models.levels import Level, LevelSettings, MomentsLevel, Polarity
from vlae.models.likelihoods import Gaussian, Likelihood
from vlae.nn.layers import Blocks
from vlae.objectives.elbo import ELBO
from vlae.objectives.features import FeaturesELBO
from vlae.recipes.recipe import Recipe, Training
from vlae.renamed import renamed
from vlae.shapes import MAX_CHANNELS, MAX_SIDE, MIN_SIDE, Shape, is_image, levels_with_code

Quality = Literal["draft", "standard", "high"]


class _Effort(NamedTuple):
    """What a quality costs: width and depth of the networks, and steps in times those of "standard"."""

    width: int
    residual: int
    steps: float


EFFORTS: Mapping[Quality, _Effort] = {
    "draft": _Effort(width=32, residual=0, steps=0.2),
    "standard": _Effort(width=32, residual=0, steps=1.0),
    "high": _Effort(width=64, residual=2, steps=4.0),
}

FLAT_CHANNEL = 1e-3
"""The variance of a flat channel in the standardised input: a standard deviation of 2 grey levels of 255."""

ROUGH_SIDE = 64
"""Pixels on the longer side up to which enlarged maps are not smoothed: few enlargements weave no cloth."""

GRADIENTS = 8
"""Most cells on a side of the grid whose oriented gradients the top level explains; a cell has 4 pixels or more."""

LEAST_EXPLAINING = 10
"""Dimensions of the smallest code that has room to explain oriented gradients."""


@renamed(codes="code_sizes")
def lean(
    shape: Shape,
    *,
    code_sizes: Sequence[int] | None = None,
    width: int | None = None,
    quality: Quality = "standard",
    polarity: Polarity = "auto",
) -> Recipe:
    """The default recipe: a small ladder whose lower levels can hold only simple features.

    Level 1 of images reads mean and standard deviation of each colour. It sets mean and standard deviation of the
    feature maps that the colours are mixed from. No other level can read or set them. Level 2 reads means and standard
    deviations on a 2 × 2 grid, level 3 on a 4 × 4 grid; their codes scale and shift maps in the same cells. Higher
    levels, and always the top, are unrestricted. The top reads and explains oriented gradients besides. All levels
    train at once.

    For vectors, and for images whose level 1 has no code, levels grow one after the other: level 1, then the top, then
    downwards.

    Args:
        shape: shape of one datum: (channels, height, width) with 1 to 16 channels and sides from 8 to 256 pixels; or
            (dimensions,).
        code_sizes: dimensions of each level's code, level 1 first; None: chosen from the shape.
        width: channels of level 1, doubled at each level up to eight times as many. For vectors, each layer has
            8 · width units. None: by the quality.
        quality: "draft", "standard" or "high": width and depth of the networks, and the number of steps. "draft" has a
            fifth of the steps of "standard"; "high" is for a GPU.
        polarity: whether the levels above level 1 can tell a picture from its negative: "visible"; "hidden", where
            light on dark and dark on light are the same to them; "auto": as the data ask.

    Raises:
        ValueError: if an image has too many or too few channels or pixels, or there is no such quality.
    """
    if quality not in EFFORTS:
        raise ValueError(f"there is no quality {quality!r}; choose one of {', '.join(EFFORTS)}")
    effort = EFFORTS[quality]
    code_sizes = check_code_sizes(default_codes(shape) if code_sizes is None else code_sizes)
    stacks = stacks_of(shape, code_sizes, effort.width if width is None else width)
    if len(shape) == 1:
        levels: list[LevelSettings] = [
            Level(code_size=size, dense=stack.dense) for size, stack in zip(code_sizes, stacks, strict=True)
        ]
        recipe = same_training("lean", shape, levels, objective=ELBO(growth="ladder"))
    else:
        levels = _image_levels(shape, code_sizes, stacks, polarity)
        explains = any(isinstance(level, Level) and level.gradients for level in levels)
        objective = (FeaturesELBO if explains else ELBO)(growth="joint" if code_sizes[0] else "ladder")
        recipe = same_training("lean", shape, levels, objective=objective)
        smooth = max(shape[1:]) > ROUGH_SIDE
        recipe = replace(recipe, blocks=Blocks(even=True, smooth=smooth, residual=effort.residual))
    steps = round(effort.steps * recipe.training.steps)
    return replace(recipe, training=replace(recipe.training, steps=steps))


class Stack(NamedTuple):
    """The layers from one level to the next."""

    convolutions: tuple[tuple[int, int], ...]
    dense: tuple[int, ...]
    side: int
    """The shorter side of h_l in pixels; 0 for vectors."""
    top: bool
    """Whether the level is the highest with a code, or above it."""


def stacks_of(shape: Shape, code_sizes: Sequence[int], width: int) -> list[Stack]:
    """The layers of every level of `lean`, which its rivals share.

    Args:
        shape: shape of one datum: (channels, height, width) with 1 to 16 channels and sides from 8 to 256 pixels; or
            (dimensions,).
        code_sizes: dimensions of each level's code, level 1 first; 0 for a level without a code.
        width: channels of level 1, doubled at each level up to eight times as many. For vectors, each layer has
            8 · width units.

    Raises:
        ValueError: if an image has too many or too few channels or pixels.
    """
    if len(shape) == 1:
        return [Stack((), (8 * width,), 0, False) for _ in code_sizes]
    check_image(shape)
    halvings = max(1, ceil(log2(max(shape[1:]) / 4)))
    highest = levels_with_code(code_sizes)[-1]
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


def _image_levels(
    shape: Shape, code_sizes: Sequence[int], stacks: Sequence[Stack], polarity: Polarity
) -> list[LevelSettings]:
    levels: list[LevelSettings] = []
    for number, (size, stack) in enumerate(zip(code_sizes, stacks, strict=True), start=1):
        restricted = number <= 3 and not stack.top
        if restricted and number == 1:
            levels.append(
                MomentsLevel(code_size=size, convolutions=stack.convolutions, polarity=polarity, flat=FLAT_CHANNEL)
            )
            continue
        levels.append(
            Level(
                code_size=size,
                convolutions=stack.convolutions,
                dense=stack.dense,
                reads="grid" if restricted else "map",
                acts="modulate" if restricted else "concatenate",
                grid=min(2 ** (number - 1), stack.side) if restricted else 1,
                gradients=_cells(shape, size) if stack.top else 0,
            )
        )
    return levels


def _cells(shape: Shape, code_size: int) -> int:
    """The side of the grid whose oriented gradients a code explains: half its dimensions, as a power of two."""
    if code_size < LEAST_EXPLAINING:
        return 0
    return min(GRADIENTS, min(shape[1:]) // 4, 2 ** int(log2(code_size)) // 2)


BUDGETS = ((31, 10_000, 64), (63, 6_500, 64), (95, 2_500, 64), (159, 1_600, 32), (MAX_SIDE, 800, 16))
"""Steps and batch size for images whose longer side has at most so many pixels."""


def same_training(
    name: str,
    shape: Shape,
    levels: Sequence[LevelSettings],
    *,
    objective: ELBO = ELBO(),
    likelihood: Likelihood = Gaussian(),
) -> Recipe:
    """A recipe with the training that `lean` and its rivals share.

    Args:
        name: the name of the recipe.
        shape: shape of one datum, (channels, height, width) or (dimensions,).
        levels: the settings of every level, level 1 first.
        objective: what training minimises.
        likelihood: the family of r(x|z).
    """
    if not is_image(shape):
        training = Training(steps=5_000)
        mean = stddev = None
    else:
        # Larger images take longer per step and more memory, so they get fewer steps and smaller batches.
        side = max(shape[1:])
        steps, batch_size = next(budget for largest, *budget in BUDGETS if side <= largest)
        training = Training(steps=steps, batch_size=batch_size, augment="auto")
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


def default_codes(shape: Shape, *, rich: bool = False) -> tuple[int, ...]:
    """The dimensions of each level's code, level 1 first, for data of a shape.

    Level 1 of a grey picture has two: it reads no more than a mean and a standard deviation.

    Args:
        shape: shape of one datum, (channels, height, width) or (dimensions,).
        rich: whether pictures are rich, like photographs; then the top is larger from 32 pixels on.
    """
    if not is_image(shape):
        return (4, 8)
    side = max(shape[1:])
    if side < 32:
        first, *middle, top = (4, 8) if side < 16 else (4, 4, 8)
    else:
        first, *middle, top = (6, 4, 4, 10) if side < 64 else (8, 8, 8, 16)
        top = 32 if rich else top
    return (2 if shape[0] == 1 else first, *middle, top)


def check_image(shape: Shape) -> None:
    """Checks that a ladder can be built for images of this shape.

    Args:
        shape: shape of one image, (channels, height, width).

    Raises:
        ValueError: if there are not 1 to 16 channels, or the sides are not from 8 to 256 pixels.
    """
    sides_fit = is_image(shape) and all(MIN_SIDE <= side <= MAX_SIDE for side in shape[1:])
    if not sides_fit or not 1 <= shape[0] <= MAX_CHANNELS:
        raise ValueError(
            f"images are of shape {tuple(shape)}; a ladder takes 1 to {MAX_CHANNELS} channels and sides from "
            f"{MIN_SIDE} to {MAX_SIDE}"
        )
