"""A recipe: all settings of a training except the data; stored as JSON with a format number."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from vlae.data.variations import VARIATIONS
from vlae.errors import check_number, check_seed, check_whole, plain
from vlae.models.base import LatentModel
from vlae.models.hierarchical import HierarchicalVAE, LadderVAE
from vlae.models.infogan import InfoGAN
from vlae.models.ladder import VLAE
from vlae.models.levels import ClassLevel, LevelSettings
from vlae.models.likelihoods import Gaussian, Likelihood
from vlae.models.m2 import M1M2, M2
from vlae.models.pixel import Pixel as Pixel  # so that its kinds are found by their names
from vlae.nn.layers import Blocks
from vlae.objectives.base import Objective
from vlae.objectives.elbo import ELBO
from vlae.recipes.formats import FORMAT, upgraded
from vlae.shapes import Shape, levels_with_code

MODELS: dict[str, Callable[..., LatentModel]] = {
    model.__name__: model for model in (VLAE, HierarchicalVAE, LadderVAE, InfoGAN, M2, M1M2)
}
"""The classes of models that a recipe may name."""

Precision = Literal["auto", "fp32", "bf16"]
Schedule = Literal["constant", "cosine"]
Optimizer = Literal["adam", "muon"]


UNBOUNDED = 10**9
"""A number of steps that no training reaches, so that its minutes end it."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model is trained, and for how long.

    Attributes:
        steps: the number of optimiser steps, from 1 up; `UNBOUNDED`: as many as the minutes allow.
        minutes: stop after this training time, above 0, if it passes before the steps are done. Growth and learning
            rate follow the time or the steps, whichever is further. None: only steps count, and a seed always gives
            the same run.
        batch_size: data per step and device, from 2 up; fewer if there are fewer data.
        learning_rate: the highest learning rate of Adam, between 0 and 1.
        optimizer: "adam"; or "muon": Adam, but Muon for the hidden dense layers (`vlae.training.muon`).
        schedule: the schedule of the learning rate. "constant". "cosine": a linear rise over the first hundredth of the
            training, then half a cosine down to 0.
        precision: "fp32"; "bf16", mixed precision; or "auto": bf16 for pictures where the device is faster in it and
            the objective bears it, else fp32 (`vlae.training.precision.fastest`).
        seed: seed of the weights, of the order of the data and of the sampled codes, from 0 to 2³² - 1.
        augment: how pictures are varied each time they are seen: "none"; "mirror", left and right exchanged in half of
            them; "shift", moved by up to a sixteenth of their sides; "nudge", by up to a thirty-second; several,
            with commas; or "auto": if a picture would be seen more than 20 times, as far as varied ones look like
            others of the data (`vlae.evaluation.variations.variations_of`). Vectors are never varied.
        labelled: how many data of each batch have a known label; 0: as many as it happens.
        validation: the share of the training part that is not trained on; the ELBO of at most 1,000 of it is measured
            while the model trains (`vlae.training.validation`). At least 0 and below 0.5. None: 0.05 with patience,
            else 0.
        patience: stop after so many measurements of that ELBO in a row that are no better than the best before, from 1
            up; the weights of the best are kept. They count once all levels are grown. None: train to the end.
    """

    steps: int = 10_000
    minutes: float | None = None
    batch_size: int = 128
    learning_rate: float = 2e-3
    optimizer: Optimizer = "adam"
    schedule: Schedule = "cosine"
    precision: Precision = "auto"
    seed: int = 0
    augment: str = "none"
    labelled: int = 0
    validation: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.augment, str):
            raise ValueError(f"augment is {self.augment!r}; give text, such as 'mirror' or 'mirror,shift'")
        unknown = sorted(set(self.augment.split(",")) - set(VARIATIONS))
        if self.augment not in ("none", "auto") and unknown:
            raise ValueError(
                f"augment is {self.augment!r}; give none, auto, or of {', '.join(VARIATIONS)}, with commas"
            )
        for name, least in (("steps", 1), ("batch_size", 2), ("labelled", 0), ("patience", 1)):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, check_whole(name, value, least))
        object.__setattr__(self, "seed", check_seed(self.seed))
        for name in ("minutes", "learning_rate", "validation"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, check_number(name, value))
        if self.labelled >= self.batch_size:
            raise ValueError(
                f"labelled is {self.labelled}; give a number from 0 to {self.batch_size - 1}, one less than batch_size"
            )
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate is {self.learning_rate}; give a number between 0 and 1")
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise ValueError(f"minutes is {self.minutes}; give a number above 0, or leave it out for no limit")
        if self.validation is not None and not 0 <= self.validation < 0.5:
            raise ValueError(f"validation is {self.validation}; give a share of the training data, from 0 to below 0.5")
        if self.patience is not None and self.validation == 0:
            raise ValueError(
                f"patience is {self.patience} and validation 0; give a validation above 0, or leave it out"
            )
        choices = ((self.schedule, Schedule), (self.precision, Precision), (self.optimizer, Optimizer))
        for choice, allowed in choices:
            if choice not in get_args(allowed):
                raise ValueError(f"{choice!r} is unknown; choose one of {', '.join(get_args(allowed))}")

    @property
    def validated(self) -> float:
        """The share of the training part that is kept for validation, in [0, 0.5)."""
        default = 0.05 if self.patience else 0.0
        return default if self.validation is None else self.validation

    def progress(self, step: int, seconds: float, *, since: tuple[int, float] = (0, 0.0)) -> float:
        """The share of the training that is done, in [0, 1]: of its steps or of its minutes, whichever is further.

        Args:
            step: the number of steps that were done.
            seconds: the training time so far.
            since: from which step, and which second, on: the share of what was still to be done then.
        """
        limit = None if self.minutes is None else 60 * self.minutes - since[1]
        timed = 0.0 if limit is None else (seconds - since[1]) / max(limit, 1e-9)
        return min(1.0, max((step - since[0]) / max(self.steps - since[0], 1), timed))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a training except the data.

    Attributes:
        name: the name of the function that made the recipe.
        shape: shape of one datum, (channels, height, width) or (dimensions,).
        levels: the settings of every level, level 1 (nearest the pixels) first.
        model: the name of the model's class: "VLAE", "HierarchicalVAE", "LadderVAE", "InfoGAN", or another
            in `MODELS`.
        blocks: settings that all layers share.
        likelihood: the family of r(x|z).
        mean: number that is subtracted from the input. None, for vectors, with that of `stddev`: the mean of each
            dimension of the training data.
        stddev: number by which the input is divided. None, for vectors, with that of `mean`: the standard deviation of
            each dimension of the training data.
        objective: what training minimises.
        training: how the model is trained, and for how long.
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
        self.objective.check_data(self.shape, precision=self.training.precision)

    @property
    def code_sizes(self) -> tuple[int, ...]:
        """Dimensions of every level's code, level 1 first; 0 for a level without a code."""
        return tuple(level.code_size for level in self.levels)

    @property
    def levels_with_code(self) -> tuple[int, ...]:
        """The numbers of the levels that have a code, counted from 1."""
        return levels_with_code(self.code_sizes)

    @property
    def classes(self) -> ClassLevel | None:
        """The settings of the level that is a class; None: there is none."""
        return next((level for level in self.levels if isinstance(level, ClassLevel)), None)

    def as_dict(self) -> dict[str, Any]:
        """The format number and all settings, ready for JSON."""
        settings: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        settings |= {
            "levels": [level.as_dict() for level in self.levels],
            "likelihood": self.likelihood.as_dict(),
            "objective": self.objective.as_dict(),
            "blocks": asdict(self.blocks),
            "training": asdict(self.training),
        }
        return {"format": FORMAT, "recipe": _plain(settings)}

    def to_json(self) -> str:
        """The format number and all settings as JSON text; `from_json` reads an equal recipe back."""
        return json.dumps(self.as_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """The recipe in a JSON text of `to_json`, of this or an earlier version of vlae.

        Args:
            text: the JSON text.

        Raises:
            ValueError: if a setting is missing or unknown, or a newer version of vlae wrote the text.
        """
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Recipe":
        """The recipe in a record of `as_dict`, of this or an earlier version of vlae.

        Args:
            record: the entries "format" and "recipe"; without "format" it has format 1. Other entries are ignored.

        Raises:
            ValueError: if a setting is missing or unknown, or a newer version of vlae made the record.
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


def _plain(value: Any) -> Any:
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else plain(value)


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def build(recipe: Recipe, *, mean: Tensor | None = None, stddev: Tensor | None = None) -> LatentModel:
    """Builds the untrained model of a recipe.

    Args:
        recipe: the settings.
        mean: mean of the training data, of the recipe's shape, used if `recipe.mean` is None. None: zeros, which the
            weights of a saved model replace.
        stddev: standard deviation of the training data, of the recipe's shape, used if `recipe.stddev` is None. None:
            ones, which the weights of a saved model replace.
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
