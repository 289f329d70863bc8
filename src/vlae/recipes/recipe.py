"""A recipe: everything that decides what a training gives, beside the data; kept as JSON with a format number."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from vlae.models.base import LatentModel
from vlae.models.hierarchical import HierarchicalVAE, LadderVAE
from vlae.models.ladder import VLAE
from vlae.models.levels import LevelSettings
from vlae.models.likelihoods import Gaussian, Likelihood, likelihood_of
from vlae.nn.layers import Blocks
from vlae.objectives.base import Objective
from vlae.objectives.elbo import ELBO
from vlae.recipes.formats import FORMAT, upgraded
from vlae.shapes import Shape, levels_with_code

MODELS: dict[str, Callable[..., LatentModel]] = {model.__name__: model for model in (VLAE, HierarchicalVAE, LadderVAE)}
"""Every class of model that a recipe may name."""

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
        blocks: what all layers share.
        likelihood: the family of r(x | z).
        mean: subtracted from the networks' input; None: the training data's own, per dimension.
        stddev: the input is divided by it; None: the training data's own, per dimension.
        objective: what is minimised.
        training: how long, and how.
    """

    name: str
    shape: Shape
    levels: tuple[LevelSettings, ...]
    model: str = "VLAE"
    blocks: Blocks = Blocks()
    likelihood: Likelihood = Gaussian()
    mean: float | None = 0.5
    stddev: float | None = 0.25
    objective: Objective = ELBO()
    training: Training = Training()

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"there is no model {self.model!r}; choose one of {', '.join(MODELS)}")
        self.objective.check(len(self.levels))

    @property
    def code_sizes(self) -> tuple[int, ...]:
        """Dimensions of every level's code, level 1 first."""
        return tuple(level.code_size for level in self.levels)

    @property
    def levels_with_code(self) -> tuple[int, ...]:
        """The numbers of the levels that have a code, counted from 1."""
        return levels_with_code(self.code_sizes)

    def as_dict(self) -> dict[str, Any]:
        """The format's number and all settings, as JSON can hold them."""
        settings: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        settings |= {
            "levels": [level.as_dict() for level in self.levels],
            "likelihood": self.likelihood.as_dict(),
            "objective": self.objective.as_dict(),
            "blocks": asdict(self.blocks),
            "training": asdict(self.training),
        }
        return {"format": FORMAT, "recipe": settings}

    def to_json(self) -> str:
        """All settings, as text that `from_json` reads back to an equal recipe."""
        return json.dumps(self.as_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """The recipe that `to_json` wrote, now or in an earlier format.

        Raises:
            ValueError: if a setting is missing or unknown, or the format is of a newer vlae.
        """
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Recipe":
        """The recipe that `as_dict` gave, now or in an earlier format.

        Args:
            record: with "format" and "recipe"; without "format" it is of the first format. Other entries are passed
                over.

        Raises:
            ValueError: if a setting is missing or unknown, or the format is of a newer vlae.
        """
        try:
            settings = _tuples(upgraded(record))
            settings["levels"] = tuple(LevelSettings.from_dict(level) for level in settings["levels"])
            settings["likelihood"] = Likelihood.from_dict(settings["likelihood"])
            settings["objective"] = Objective.from_dict(settings["objective"])
            settings["blocks"] = Blocks(**settings["blocks"])
            settings["training"] = Training(**settings["training"])
            return cls(**settings)
        except (KeyError, TypeError, AttributeError) as error:
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
        stddev: of the training data, (dimensions,), where the recipe leaves it to the data; ones if not given.
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


def adjust(recipe: Recipe, *, family: str | None = None, **settings: Any) -> Recipe:
    """The recipe with some settings replaced; None leaves one as it is.

    Args:
        recipe: what to start from.
        family: of the likelihood: "gaussian", "laplace", "bernoulli", or the kind of one defined elsewhere. It keeps
            those settings that it has too.
        settings: any field of `Training`, of the recipe's objective, or of a likelihood, by its name. What another
            family has and the recipe's has not, as the scale of a Bernoulli, is passed over.

    Raises:
        ValueError: if no part of a recipe has such a field.

    Examples:
        >>> from vlae.recipes import lean
        >>> adjust(lean((1, 28, 28)), steps=100, beta=2.0).training.steps
        100
    """
    settings = {name: value for name, value in settings.items() if value is not None or name not in _known(recipe)}
    for part in ("training", "objective"):
        held = getattr(recipe, part)
        own = {field.name: settings.pop(field.name) for field in fields(held) if field.name in settings}
        if own:
            recipe = replace(recipe, **{part: replace(held, **own)})
    of_families = {name: settings.pop(name) for name in _of_families() if name in settings}
    if family is not None or of_families:
        present = {field.name: getattr(recipe.likelihood, field.name) for field in fields(recipe.likelihood)}
        recipe = replace(recipe, likelihood=likelihood_of(family or recipe.likelihood.kind, present | of_families))
    if settings:
        raise ValueError(f"no recipe has a setting {', '.join(sorted(settings))}")
    return recipe


def _of_families() -> set[str]:
    """The settings that any family of likelihoods has."""
    return {field.name for family in Likelihood.kinds().values() for field in fields(family)}


def _known(recipe: Recipe) -> set[str]:
    return _of_families() | {field.name for part in (recipe.training, recipe.objective) for field in fields(part)}
