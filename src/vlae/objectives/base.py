"""What training minimises, in general: an objective, the batch it is given, and the loss it returns."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from vlae.kinds import Kind
from vlae.models.base import ForwardPass, LatentModel

UNKNOWN = -1
"""The label of a datum whose class is not known."""


class Batch(NamedTuple):
    """Data of one step, as a model takes them.

    Batch number t of a training is the same whenever it is asked for, labels and rows included.
    """

    x: Float[Tensor, "n *shape"]
    """Images in [0, 1], (n, C, H, W), or vectors (n, D)."""
    labels: Int[Tensor, " n"] | None = None
    """The class of each, -1 where it is not known; None where the data have no labels."""
    rows: Int[Tensor, " n"] | None = None
    """Which rows of the training data these are."""


class Loss(NamedTuple):
    """What one step minimises, and what it is made of."""

    total: Float[Tensor, ""]
    """In nats per datum, with the weights that the objective gives."""
    terms: Float[Tensor, " terms"]
    """Its parts without weights, in the order of `Objective.terms`."""
    forward: ForwardPass | None = None
    """What the model said of the batch, if it was asked; from it, units that are active are counted."""


@dataclass(frozen=True, kw_only=True)
class Objective(Kind, ABC):
    """What training minimises; each kind of objective is a subclass, whose settings a recipe holds."""

    @abstractmethod
    def terms(self, num_levels: int) -> tuple[str, ...]:
        """The names of the terms, which the progress line, metrics.csv and the curves read.

        A term of one level ends in its number, as `rate_2`.
        """

    @abstractmethod
    def loss(
        self, model: LatentModel, batch: Batch, *, step: int, progress: float, networks: nn.Module | None = None
    ) -> Loss:
        """The loss of a batch.

        Args:
            model: which is trained, in training mode.
            batch: the data of this step.
            step: of the training, from 0.
            progress: share of the training that is done, in [0, 1].
            networks: what `networks` gave.
        """

    def networks(self, model: LatentModel) -> nn.Module | None:
        """Networks of the objective's own, as a critic; None: it has none.

        They are trained beside the model by the same optimiser, and lie in the checkpoint, never in the model's file.
        A loss that both minimise must hold back each part's gradient from the other: see
        `vlae.objectives.adversarial.frozen`.

        Args:
            model: which is trained.
        """
        return None

    def rate_factors(self) -> Mapping[str, float]:
        """Factors on the learning rate of the two groups of parameters, "model" and "networks"; 1 where not named."""
        return {}

    def fade(self, progress: float, code_sizes: Sequence[int]) -> tuple[float, ...]:
        """How far each level has grown, in [0, 1], level 1 first, when `progress` of the training is done."""
        return (1.0,) * len(code_sizes)

    def check(self, num_levels: int) -> None:
        """Says so if the settings do not fit this many levels.

        Raises:
            ValueError: if they do not.
        """
        return None


TITLES = {"rate": "KL", "mmd": "MMD"}
"""What the reader of a progress line or a curve calls a term, where its name is another."""


def split_term(name: str) -> tuple[str, int | None]:
    """A term's name without its level, and the level.

    Examples:
        >>> split_term("rate_2"), split_term("distortion")
        (('rate', 2), ('distortion', None))
    """
    match = re.fullmatch(r"(.+)_(\d+)", name)
    return (match[1], int(match[2])) if match else (name, None)


def title_of(name: str) -> str:
    """A term in words.

    Examples:
        >>> title_of("rate_2"), title_of("critic_gap")
        ('KL of level 2', 'critic gap')
    """
    what, level = split_term(name)
    words = TITLES.get(what, what.replace("_", " "))
    return words if level is None else f"{words} of level {level}"
