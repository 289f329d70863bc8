"""Complete settings as functions of the data's shape: `lean`, our default; its rivals; and those of the paper."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import ceil, log2, prod
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from vlae.models.base import LatentModel, check_code_sizes
from vlae.models.hierarchical import HierarchicalVAE, LadderVAE
from vlae.models.ladder import VLAE, Blocks, Level
from vlae.models.likelihoods import Likelihood
from vlae.nn.layers import Shape
from vlae.objectives import Objective

MODELS: Mapping[str, Callable[..., LatentModel]] = {
    model.__name__: model for model in (VLAE, HierarchicalVAE, LadderVAE)
}
Precision = Literal["fp32", "bf16"]
Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long and how a model is trained.

    Attributes:
        steps: optimiser steps in all.
        minutes: stop after this much training time, if the steps are not done by then; growth and learning rate follow
            whichever of the two is further on. None: only steps count, and the same seed gives the same run.
        batch_size: data per step and device; fewer where there are fewer.
        learning_rate: of Adam, at its highest.
        schedule: "constant", or "cosine": a linear rise over the first hundredth of the training, then half a cosine.
        precision: "fp32", or "bf16" (mixed; for processors that have it in hardware).
        seed: of the weights, the order of the data and the sampled codes.
    """

    steps: int = 10_000
    minutes: float | None = None
    batch_size: int = 128
    learning_rate: float = 2e-3
    schedule: Schedule = "cosine"
    precision: Precision = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("batch_size", self.batch_size)):
            least = 2 if name == "batch_size" else 1
            if value < least:
                raise ValueError(f"{name} is {value}; give a whole number from {least} up")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate is {self.learning_rate}; give a number between 0 and 1")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"minutes is {self.minutes}; give a number above 0")
        for given, allowed in ((self.schedule, Schedule), (self.precision, Precision)):
            if given not in get_args(allowed):
                raise ValueError(f"{given!r} is unknown; choose one of {', '.join(get_args(allowed))}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what a training gives, beside the data.

    Attributes:
        name: of the function that made it.
        shape: of one datum.
        levels: level 1, nearest the pixels, first.
        model: the class that is built: one of `MODELS`.
        blocks: what the networks share.
        likelihood: the density of data given codes.
        mean: subtracted from the networks' input; None: the training data's own, per dimension.
        stddev: the input is divided by it; None: likewise.
        objective: what is minimised.
        training: how.
    """

    name: str
    shape: Shape
    levels: tuple[Level, ...]
    model: str = "VLAE"
    blocks: Blocks = Blocks()
    likelihood: Likelihood = Likelihood()
    mean: float | None = 0.5
    stddev: float | None = 0.25
    objective: Objective = Objective()
    training: Training = Training()

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"there is no model {self.model!r}; choose one of {', '.join(MODELS)}")
        self.objective.check(len(self.levels))

    @property
    def code_sizes(self) -> tuple[int, ...]:
        """Dimensions of every level's code, level 1 first."""
        return tuple(level.code_size for level in self.levels)

    def to_json(self) -> str:
        """All settings, as text that `from_json` reads back to an equal recipe."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """The recipe that `to_json` wrote.

        Raises:
            ValueError: if a setting is missing or unknown.
        """
        settings = _tuples(json.loads(text))
        parts = {"blocks": Blocks, "likelihood": Likelihood, "objective": Objective, "training": Training}
        try:
            settings["levels"] = tuple(Level(**level) for level in settings["levels"])
            for name, part in parts.items():
                settings[name] = part(**settings[name])
            return cls(**settings)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the recipe of a run, or one of a newer vlae: {error}") from error


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def build(recipe: Recipe, *, mean: Tensor | None = None, stddev: Tensor | None = None) -> LatentModel:
    """The recipe's model, untrained.

    Args:
        recipe: the settings.
        mean: of the training data, (dimensions,), where the recipe leaves it to the data; zeros if not given, as when
            a saved model's own is loaded over it.
        stddev: likewise; ones if not given.
    """
    if recipe.mean is not None and recipe.stddev is not None:
        mean, stddev = torch.tensor(recipe.mean), torch.tensor(recipe.stddev)
    return MODELS[recipe.model](
        recipe.shape,
        recipe.levels,
        blocks=recipe.blocks,
        likelihood=recipe.likelihood,
        mean=torch.zeros(recipe.shape) if mean is None else mean,
        stddev=torch.ones(recipe.shape) if stddev is None else stddev,
    )


def lean(shape: Shape, *, codes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """Our default: small networks whose lower levels are simple by structure, and whose first owns what it holds.

    Images: level 1 reads mean, standard deviation and border contrast of each colour, which no level above can see, and
    sets the mean and standard deviation of the maps that a picture's colours are mixed from, which no level above can
    set; the next ones read the former two on grids of 2 × 2, then 4 × 4, and scale and shift there; whatever stands
    above these, and always the top, is unrestricted. All train at once. Vectors, and images whose level 1 has no code:
    levels grow one after the other, level 1 first, then the top, then downwards.

    Args:
        shape: (channels, height, width) with sides from 8 to 256 and 1 to 4 channels, or (dimensions,).
        codes: sizes of the levels' codes, level 1 first; None: chosen from the shape.
        width: channels of level 1 (units, for vectors: eight times as many); doubled at each level up to eight times.
    """
    codes = check_code_sizes(_default_codes(shape) if codes is None else codes)
    if len(shape) == 1:
        levels = [Level(code_size=size, dense=(8 * width,)) for size in codes]
        return _ours("lean", shape, levels, objective=Objective(growth="ladder"))
    objective = Objective() if codes[0] else Objective(growth="ladder")
    return _ours("lean", shape, _lean_levels(shape, codes, width), objective=objective)


def joint(shape: Shape, *, codes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """The paper's ladder at lean's size: all of h_l is read, codes are concatenated, all levels train at once.

    Its likelihood of images is the Laplace of scale 1/8, which is the authors' L1 term for MNIST and SVHN. Beside
    `lean` it shows what structure is worth.

    Args:
        shape: as for `lean`.
        codes: as for `lean`.
        width: as for `lean`.
    """
    base = lean(shape, codes=codes, width=width)
    levels = [replace(level, reads="map", acts="concatenate", grid=2) for level in base.levels]
    likelihood = Likelihood(family="laplace", scale=1 / 8) if len(shape) == 3 else Likelihood()
    return _ours("joint", shape, levels, likelihood=likelihood)


def vae(shape: Shape, *, codes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """A plain VAE of lean's size: the ladder whose only code is at the top, as large as all of lean's together.

    Args:
        shape: as for `lean`.
        codes: of the levels, all but one 0; None: chosen from the shape.
        width: as for `lean`.

    Raises:
        ValueError: if more than one level has a code.
    """
    codes = check_code_sizes(rival_codes("vae", _default_codes(shape)) if codes is None else codes)
    if sum(size > 0 for size in codes) > 1:
        raise ValueError(f"codes are {tuple(codes)}; a VAE has one code: give the other levels 0, or one size alone")
    return replace(lean(shape, codes=codes, width=width), name="vae", objective=Objective())


def hvae(shape: Shape, *, codes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """A hierarchical VAE of lean's size: lean's convolutions between x and z_1, small networks between the codes.

    Args:
        shape: as for `lean`.
        codes: sizes of 2 to 5 levels, level 1 first; None: z_1, which all must pass, is as large as all of lean's
            codes together, and each level above half as large.
        width: as for `lean`.
    """
    codes = check_code_sizes(rival_codes("hvae", _default_codes(shape)) if codes is None else codes)
    ladder = lean(shape, codes=(1,) * len(codes), width=width).levels
    bottom = Level(
        code_size=codes[0],
        convolutions=tuple(layer for level in ladder for layer in level.convolutions),
        dense=tuple(units for level in ladder for units in level.dense),
    )
    upper = [Level(code_size=size, dense=(8 * width, 8 * width)) for size in codes[1:]]
    return replace(_ours("hvae", shape, [bottom, *upper]), model="HierarchicalVAE")


def lvae(shape: Shape, *, codes: Sequence[int] | None = None, width: int = 32) -> Recipe:
    """A Ladder VAE of lean's size: the networks of `hvae`, inferred from the top down, with a warm-up of the rates.

    The warm-up rises as 1 - exp(-step / 500), where its authors' rises linearly (Sønderby et al. 2016, section 2.3).

    Args:
        shape: as for `lean`.
        codes: as for `hvae`.
        width: as for `lean`.
    """
    base = hvae(shape, codes=codes, width=width)
    return replace(base, name="lvae", model="LadderVAE", objective=Objective(warmup=500.0))


def rival_codes(name: str, codes: Sequence[int]) -> tuple[int, ...]:
    """The codes with which a recipe stands beside a ladder with these: as many dimensions where all must pass.

    Examples:
        >>> rival_codes("vae", (2, 2, 2)), rival_codes("hvae", (2, 2, 2)), rival_codes("joint", (2, 2, 2))
        ((0, 0, 6), (6, 3, 1), (2, 2, 2))
    """
    total = sum(codes)
    if name == "vae":
        return (*(0 for _ in codes[1:]), total)
    if name in ("hvae", "lvae"):
        return tuple(max(1, total >> level) for level in range(max(2, min(5, len(codes)))))
    return tuple(codes)


def _ours(
    name: str,
    shape: Shape,
    levels: Sequence[Level],
    *,
    objective: Objective = Objective(),
    likelihood: Likelihood = Likelihood(),
) -> Recipe:
    """A recipe with the training that lean and its rivals share."""
    if len(shape) == 1:
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


def _default_codes(shape: Shape) -> tuple[int, ...]:
    if len(shape) == 1:
        return (4, 8)
    side = max(shape[1:])
    return (4, 8) if side < 16 else (4, 4, 8) if side < 32 else (6, 4, 4, 10) if side < 64 else (8, 8, 8, 16)


def _lean_levels(shape: Shape, codes: Sequence[int], width: int) -> list[Level]:
    _check_image(shape)
    halvings = max(1, ceil(log2(max(shape[1:]) / 4)))
    highest = max(number for number, size in enumerate(codes, start=1) if size)
    side = min(shape[1:])
    levels = []
    for number, size in enumerate(codes, start=1):
        top = number >= highest
        strides = [2] * (halvings // len(codes) + (number <= halvings % len(codes))) or ([] if top else [1])
        channels = min(width * 2 ** (number - 1), 8 * width)
        side = ceil(side / prod(strides))
        restricted = number <= 3 and not top
        levels.append(
            Level(
                code_size=size,
                convolutions=tuple((channels, stride) for stride in strides),
                dense=(8 * width,) * 3 if top else (),
                reads="pooled" if restricted and number == 1 else "grid" if restricted else "map",
                acts="modulate" if restricted else "concatenate",
                grid=min(2 ** (number - 1), side) if restricted else 1,
            )
        )
    return levels


def _check_image(shape: Shape) -> None:
    if len(shape) != 3 or not 1 <= shape[0] <= 4 or not all(8 <= side <= 256 for side in shape[1:]):
        raise ValueError(f"images are of shape {tuple(shape)}; a ladder takes 1 to 4 channels and sides from 8 to 256")


def mnist(shape: Shape = (1, 28, 28), *, codes: Sequence[int] | None = None, deep_heads: bool = False) -> Recipe:
    """The paper's network for MNIST, 3 levels of 2 dimensions (Reference: section 6.2 and the authors' code)."""
    _check_image(shape)
    sizes = _paper_codes("mnist", codes, (2, 2, 2))
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
    return _paper("mnist", shape, levels, Likelihood(family="laplace", scale=1 / 8), mean=0.0, stddev=1.0)


def svhn(shape: Shape = (3, 32, 32), *, codes: Sequence[int] | None = None, deep_heads: bool = False) -> Recipe:
    """The paper's network for SVHN, 4 levels (Reference: section 6.2 and the authors' code)."""
    _check_image(shape)
    sizes = _paper_codes("svhn", codes, (5, 5, 5, 10))
    stacks = [((64, 2), (64, 1)), ((128, 2), (128, 1)), ((256, 2), (256, 1))]
    levels = _paper_levels(sizes, stacks, deep_heads)
    return _paper("svhn", shape, levels, Likelihood(family="laplace", scale=1 / 8), mean=0.0, stddev=1.0)


def celeba(shape: Shape = (3, 64, 64), *, codes: Sequence[int] | None = None, deep_heads: bool = False) -> Recipe:
    """The paper's network for CelebA, 4 levels of 10 (Reference: section 6.2 and the authors' code)."""
    return _sixty_four("celeba", shape, _paper_codes("celeba", codes, (10, 10, 10, 10)), deep_heads)


def lsun(shape: Shape = (3, 64, 64), *, codes: Sequence[int] | None = None, deep_heads: bool = False) -> Recipe:
    """The authors' network for LSUN bedrooms: that of CelebA with larger codes."""
    return _sixty_four("lsun", shape, _paper_codes("lsun", codes, (20, 20, 20, 40)), deep_heads)


def _sixty_four(name: str, shape: Shape, sizes: tuple[int, ...], deep_heads: bool) -> Recipe:
    _check_image(shape)
    stacks = [((64, 2), (64, 1)), ((128, 2), (128, 1), (256, 2)), ((256, 1), (512, 2), (512, 1))]
    levels = _paper_levels(sizes, stacks, deep_heads)
    # Their term is 0.5 Σ|x - x̂| of images in [-1, 1]; the same images in [0, 1] make it Σ|x - x̂|, a scale of 1.
    return _paper(name, shape, levels, Likelihood(family="laplace", scale=1.0), mean=0.5, stddev=0.5)


def _paper_levels(
    sizes: tuple[int, ...], stacks: Sequence[tuple[tuple[int, int], ...]], deep_heads: bool
) -> tuple[Level, ...]:
    dense = (1024, 1024)
    lower = [
        Level(code_size=size, convolutions=stack, head_convolutions=stack if deep_heads else ())
        for size, stack in zip(sizes[:-1], stacks, strict=True)
    ]
    return (*lower, Level(code_size=sizes[-1], dense=dense, head_dense=dense if deep_heads else ()))


def _paper_codes(name: str, codes: Sequence[int] | None, default: tuple[int, ...]) -> tuple[int, ...]:
    sizes = check_code_sizes(default if codes is None else codes)
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
        objective=Objective(warmup=2000),
        training=Training(steps=20_000, batch_size=100, learning_rate=2e-4, schedule="constant"),
    )


_PAPER = {recipe.__name__: recipe for recipe in (mnist, svhn, celeba, lsun)}

RECIPES: Mapping[str, Callable[..., Recipe]] = {
    **{recipe.__name__: recipe for recipe in (lean, joint, vae, hvae, lvae)},
    **_PAPER,
}


def make(name: str, shape: Shape, *, codes: Sequence[int] | None = None, deep_heads: bool = False) -> Recipe:
    """The recipe of that name for data of that shape.

    Raises:
        ValueError: if there is no such recipe, or it cannot be had with these settings.
    """
    if name not in RECIPES:
        raise ValueError(f"there is no recipe {name!r}; choose one of {', '.join(RECIPES)}")
    if name not in _PAPER:
        if deep_heads:
            raise ValueError(f"deep heads belong to the paper's recipes; {name!r} has none")
        return RECIPES[name](shape, codes=codes)
    if len(shape) == 1:
        raise ValueError(f"the recipe {name!r} is for images; for vectors of {shape[0]} dimensions choose 'lean'")
    return RECIPES[name](shape, codes=codes, deep_heads=deep_heads)


def adjust(recipe: Recipe, **settings: Any) -> Recipe:
    """The recipe with some settings replaced; None leaves one as it is.

    Args:
        recipe: what to start from.
        settings: any field of `Training`, `Objective` or `Likelihood`, by its name.

    Raises:
        ValueError: if no part of a recipe has such a field.

    Examples:
        >>> adjust(lean((1, 28, 28)), steps=100, beta=2.0).training.steps
        100
    """
    for part in ("training", "objective", "likelihood"):
        held = getattr(recipe, part)
        own = {field.name: settings.pop(field.name) for field in fields(held) if field.name in settings}
        own = {name: value for name, value in own.items() if value is not None}
        if own:
            recipe = replace(recipe, **{part: replace(held, **own)})
    if settings:
        raise ValueError(f"no recipe has a setting {', '.join(sorted(settings))}")
    return recipe
