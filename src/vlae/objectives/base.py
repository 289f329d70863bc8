"""The interface of every objective: `Objective`, the `Batch` it takes, the `Loss` it returns."""

import re
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from vlae.kinds import Kind
from vlae.models.base import ForwardPass, LatentModel
from vlae.models.likelihoods import Likelihood
from vlae.shapes import Shape


class Batch(NamedTuple):
    """The data of one training step.

    Batch number t of a training is always the same, before and after a resume.
    """

    x: Float[Tensor, "n *shape"]
    """Images in [0, 1], (n, C, H, W), or vectors (n, D), as an objective gets them.

    The stream of batches (`vlae.training.batches`) holds them as they are stored; the loop converts them.
    """
    labels: Int[Tensor, " n"] | None = None
    """The class of each datum, -1 if it is unknown; None if the data have no labels."""
    rows: Int[Tensor, " n"] | None = None
    """The row number of each datum in the training data, from 0."""
    features: Float[Tensor, "n features"] | None = None
    """The features of each full-size picture by a frozen network; None if the data have none."""


class StepInputs(NamedTuple):
    """All that a loss takes from the number of the step and the progress of the training."""

    numbers: tuple[tuple[float, ...], ...] = ()
    """The arguments of `vlae.objectives.constants.constant`, in the order of the calls."""
    branch: Hashable = None
    """Steps of another branch run other code, for example a penalty every fourth step. There are few branches: each
    takes the memory of a step."""


class Loss(NamedTuple):
    """The loss of one training step, and its terms."""

    total: Float[Tensor, ""]
    """The number to minimise."""
    terms: Float[Tensor, " terms"]
    """Its terms without weights, in the order of `Objective.terms`; distortion and rates in nats per datum."""
    forward: ForwardPass | None = None
    """The forward pass of the batch, from which active units are counted; None if there was none."""


@dataclass(frozen=True, kw_only=True)
class Objective(Kind, ABC):
    """What training minimises. Each kind of objective is a subclass; a recipe holds its settings."""

    _TAKES_STEP: ClassVar[tuple[str, ...]] = ("loss",)
    """The methods that may take step and progress; a subclass that overrides one gives `step_inputs` anew."""

    def __init_subclass__(cls, **settings: Any):
        super().__init_subclass__(**settings)
        says = next(number for number, base in enumerate(cls.__mro__) if "step_inputs" in vars(base))
        if any(name in vars(base) for base in cls.__mro__[:says] for name in cls._TAKES_STEP):
            cls.step_inputs = Objective.step_inputs  # type: ignore[method-assign]  # those were of another loss

    @abstractmethod
    def terms(self, num_levels: int) -> tuple[str, ...]:
        """The names of the terms in the progress line, in metrics.csv and in the figure of the curves.

        The name of a level's term ends in the level's number, for example `rate_2`.

        Args:
            num_levels: the number of levels of the model.
        """

    @abstractmethod
    def loss(
        self, model: LatentModel, batch: Batch, *, step: int, progress: float, networks: nn.Module | None = None
    ) -> Loss:
        """The loss of a batch.

        Args:
            model: the model in training, in training mode.
            batch: the data of this step.
            step: the number of the step, from 0.
            progress: the share of the training that is done, in [0, 1].
            networks: the networks that the method `networks` returned.
        """

    def step_inputs(self, step: int, progress: float, code_sizes: Sequence[int]) -> StepInputs | None:
        """All that the method `loss` takes from step and progress; None: it is not known.

        If it is known, a GPU runs steps from CUDA graphs (`vlae.training.graphs`). A subclass with a loss of its own
        has to say so anew.

        Args:
            step: the number of the step, from 0.
            progress: the share of the training that is done, in [0, 1].
            code_sizes: dimensions of every level's code, level 1 first.
        """
        return None

    def check_likelihood(self, likelihood: Likelihood) -> None:
        """Checks, before a training, that the objective trains all of r(x|z); by default it does.

        Args:
            likelihood: the family of r(x|z).

        Raises:
            ValueError: if it does not.
        """
        return

    def cut_short(self, step: int) -> str | None:
        """What a reader must know of a training that ended within a schedule in steps, as a sentence; None: nothing.

        Args:
            step: the number of steps that were done.
        """
        return None

    def networks(self, model: LatentModel) -> nn.Module | None:
        """Networks that the objective needs besides the model, for example a critic; None: there are none.

        The model's optimiser trains them too. They are stored in the checkpoint, but not in model.safetensors. If they
        minimise another loss than the model, `vlae.objectives.adversarial.contest` keeps the gradients apart; for a
        loss of one's own, `frozen` beside it.

        Args:
            model: the model in training.
        """
        return None

    def rate_factors(self) -> Mapping[str, float]:
        """Factors on the learning rate, by group of parameters: "model" and "networks". A missing group has 1."""
        return {}

    def betas(self) -> tuple[float, float]:
        """The decay rates β1 and β2 of Adam's averages of the gradient and of its square, in [0, 1)."""
        return (0.9, 0.999)

    def warnings(self, terms: Mapping[str, float], progress: float) -> Mapping[str, str]:
        """What is wrong with a training, by a short name; each is told once while it trains.

        Args:
            terms: the value of each term, by name, averaged over the latest 50 steps.
            progress: the share of the training that is done, in [0, 1].
        """
        return {}

    def fade(self, progress: float, code_sizes: Sequence[int]) -> tuple[float, ...]:
        """How far each level has grown, in [0, 1], level 1 first.

        Args:
            progress: the share of the training that is done, in [0, 1].
            code_sizes: dimensions of every level's code, level 1 first.
        """
        return (1.0,) * len(code_sizes)

    def check(self, num_levels: int) -> None:
        """Checks that the settings fit the number of levels.

        Args:
            num_levels: the number of levels of the model.

        Raises:
            ValueError: if they do not.
        """
        return None

    def check_data(self, shape: Shape, *, precision: str, num_data: int | None = None) -> None:
        """Checks that the objective can be trained on such data, before anything is written.

        Args:
            shape: shape of one datum, (channels, height, width) or (dimensions,).
            precision: "fp32" or "bf16".
            num_data: the number of data; None: not known yet.

        Raises:
            ValueError: if it cannot.
        """
        return None


TITLES = {
    "rate": "KL",
    "mmd": "MMD",
    "frechet": "Fréchet",
    "frechet_real": "Fréchet of real",
    "val_elbo": "validation ELBO",
}
"""The titles of terms in progress lines and figures, if they differ from the names."""

UNITS = {
    **dict.fromkeys(("frechet", "frechet_real"), "squared grey levels"),
    **dict.fromkeys(("critic", "critic_loss", "generator"), "nats of the critic"),
    **dict.fromkeys(("penalty", "gradient_penalty", "spread", "variety"), "no unit"),
    **dict.fromkeys(("cross_entropy", "disagreement"), "nats of the class"),
}
"""The units of terms that are not in nats per datum; figures draw each unit by itself."""


def split_term(name: str) -> tuple[str, int | None]:
    """The name of a term without its level, and the level, or None.

    Args:
        name: the name of a term.

    Examples:
        >>> split_term("rate_2"), split_term("distortion")
        (('rate', 2), ('distortion', None))
    """
    match = re.fullmatch(r"(.+)_(\d+)", name)
    return (match[1], int(match[2])) if match else (name, None)


def title_of(name: str) -> str:
    """The title of a term, for messages and figures.

    Args:
        name: the name of a term.

    Examples:
        >>> title_of("rate_2"), title_of("critic_gap")
        ('KL of level 2', 'critic gap')
    """
    term, level = split_term(name)
    words = TITLES.get(term, term.replace("_", " "))
    return words if level is None else f"{words} of level {level}"
