"""The class level: a category above the top, which acts only through the prior of the level that holds the class."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlae.models.distributions import CategoryCode, CodeDistribution, NormalOfClass, full_precision
from vlae.models.levels.base import Description, LadderLevel, LevelSettings, Place
from vlae.nn.layers import Blocks
from vlae.shapes import levels_with_code

WIDTH = 2.5
"""The standard deviation of the classes' means; within a class it is 1, so classes lie apart."""

TRIES = 64  # sets of means, of which the one whose nearest two lie farthest apart is kept


@dataclass(frozen=True, kw_only=True)
class ClassLevel(LevelSettings, kind="class"):
    """A class y, above the top of a ladder, with p(y) = 1/K. It touches one level: p(z_l|y) = N(μ_y, I).

    The posterior q(y|x) is linear in h below it. The decoder does not see y. The means μ_y are fixed and far apart:
    means that are learned move together, until the classes mix.

    Reference: Kingma et al. 2014, "Semi-supervised Learning with Deep Generative Models"; there y is an input of the
    decoder.

    Attributes:
        code_size: K, the number of classes, from 2 up.
        names: the name of each class; class 0 first.
        values: the label of each class in the data, an integer; class 0 first.
        holder: the number of the level that holds the class, from 1 up; 0: the highest with a code below.
    """

    draws: ClassVar[bool] = False

    names: tuple[str, ...] = ()
    values: tuple[int, ...] = ()
    holder: int = 0

    def __post_init__(self) -> None:
        if self.code_size < 2:
            raise ValueError(f"a class level of {self.code_size} classes; give labels of at least 2 classes")
        for what, given in (("names", self.names), ("values", self.values)):
            if len(given) != self.code_size:
                raise ValueError(f"a class level has {len(given)} {what} for {self.code_size} classes; give one each")

    def build(self, place: Place, blocks: Blocks) -> "ClassNetworks":
        """Builds the networks of a class level, with random weights.

        Args:
            place: the place of the level in its ladder: above all others.
            blocks: settings that all layers of the model share.

        Raises:
            ValueError: if there is no level below with a code, or one above.
        """
        held = levels_with_code(place.code_sizes_below)
        if not held or not place.last:
            raise ValueError("a class level stands above all levels of a ladder; at least one of them has a code")
        if self.holder and self.holder not in held:
            raise ValueError(f"level {self.holder} has no code that could hold the class; choose one of {held}")
        return ClassNetworks(self, place)

    def describe(self) -> Description:
        """The level in words."""
        return Description(
            reads="features of the top",
            acts="chooses a mean",
            title="which class",
            sentence=f"It is one of {self.code_size} classes, learned from the labels that were given.",
        )


class ClassNetworks(LadderLevel):
    """The posterior of a class, and the prior that it gives to the level that holds it.

    Args:
        settings: the settings of the level.
        place: the place of the level in its ladder.
    """

    means: Tensor

    def __init__(self, settings: ClassLevel, place: Place):
        super().__init__()
        self.code_size, self.shape = settings.code_size, place.below
        self.holder = settings.holder or levels_with_code(place.code_sizes_below)[-1]
        num_read = prod(place.below)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(num_read, self.code_size))
        self.register_buffer("means", _far_apart(self.code_size, place.code_sizes_below[self.holder - 1]))

    def climb(self, below: Float[Tensor, "n *below"]) -> None:
        """Nothing: there is no level above.

        Args:
            below: h_{l-1}, (n, *below); not used.
        """
        return None

    def posterior(self, below: Float[Tensor, "n *below"], here: Float[Tensor, "n *here"] | None) -> CategoryCode:
        """The posterior q(y|x), linear in h_{l-1}.

        Args:
            below: h_{l-1}, (n, *below).
            here: None.
        """
        return CategoryCode(full_precision(self.head(below)))

    def descend(
        self, above: Float[Tensor, "n *here"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> None:
        """Nothing: the class acts only through a prior.

        Args:
            above: None; there is no level above.
            code: y, (n, K); not used.
            fade: not used.
        """
        return None

    def prior(self, above: tuple[Float[Tensor, "n _"], ...], like: Tensor) -> CategoryCode:
        """The prior p(y) = 1/K, of batch shape (1, K).

        Args:
            above: (); there is no level above.
            like: a tensor on the device that the prior should have.
        """
        return CategoryCode(torch.zeros(1, self.code_size, device=like.device))

    def prior_of(self, level: int, code: Float[Tensor, "n size"]) -> CodeDistribution | None:
        """The prior p(z_l|y) = N(μ_y, I) of the level that holds the class; None for the others.

        Args:
            level: the number l of a level below.
            code: y, one-hot or the probability of each class, (n, K).
        """
        return NormalOfClass(code, self.means, 1.0) if level == self.holder else None


def _far_apart(num: int, size: int) -> Float[Tensor, "num size"]:
    """Means of classes, from N(0, WIDTH²): of some sets the one whose nearest two lie farthest apart.

    It is drawn from PyTorch's generator, like the weights.
    """
    sets = WIDTH * torch.randn(TRIES, num, size)
    apart = torch.cdist(sets, sets) + torch.full((num,), torch.inf).diag()
    best = apart.flatten(1).amin(1).argmax(keepdim=True)
    return sets.index_select(0, best)[0]
