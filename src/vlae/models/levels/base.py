"""What every kind of level has: its settings, its networks, its place in the ladder."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from vlae.kinds import Kind
from vlae.models.distributions import CodeDistribution, NormalCode, full_precision, positive, standard_normal
from vlae.nn.layers import Blocks, Layer
from vlae.shapes import Shape


class Description(NamedTuple):
    """A level in words, for the report and the page."""

    reads: str
    """What the posterior reads, for example "map"."""
    acts: str
    """How the code enters the decoder, for example "concatenate"."""
    title: str
    """What the code can describe, in two or three words."""
    sentence: str
    """What the code can describe, in one sentence."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The place of a level l in its ladder.

    Attributes:
        below: shape of h_{l-1}, the input of g_l.
        drawn: shape of z̃_l, the output of u_l: the shape of h_{l-1}; for level 1, of the likelihood's parameters.
        bottom: whether the level is level 1, whose last layer is linear.
        top: whether the level is the highest with a code that the decoder reads, with which it begins.
        last: whether no level stands above, so that nothing reads h_l.
        code_sizes_below: dimensions of the codes of the levels below, level 1 first.
    """

    below: Shape
    drawn: Shape
    bottom: bool
    top: bool
    last: bool
    code_sizes_below: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class LevelSettings(Kind, ABC):
    """The settings of a level; each kind of level is a subclass.

    Attributes:
        code_size: dimensions of the code z_l; 0: the level has no code.
        draws: whether the decoder reads the code; otherwise it acts only through the prior of a level below.
    """

    draws: ClassVar[bool] = True

    code_size: int

    @abstractmethod
    def build(self, place: Place, blocks: Blocks) -> "LadderLevel":
        """Builds the level's networks, with random weights.

        Args:
            place: the place of the level in its ladder.
            blocks: settings that all layers of the model share.

        Raises:
            ValueError: if these networks cannot stand at this place.
        """

    def describe(self) -> Description:
        """The level in words; the default is the name of its kind."""
        return Description(reads=self.kind, acts=self.kind, title=f"a level of kind {self.kind}", sentence="")


class LadderLevel(nn.Module, ABC):
    """The networks of one level l: g_l and the posterior on the way up, v_l and u_l on the way down.

    Attributes:
        code_size: dimensions of the code z_l.
        shape: shape of h_l, and of z̃_{l+1}.
        num_features: F, the features of a frozen network that the level needs of each picture; 0: it needs none.
    """

    code_size: int
    shape: Shape
    num_features: int = 0

    @abstractmethod
    def climb(self, below: Float[Tensor, "n *below"]) -> Float[Tensor, "n *here"] | None:
        """The map h_l = g_l(h_{l-1}).

        Args:
            below: h_{l-1}, (n, *below); for level 1 it is x, standardised.

        Returns:
            h_l; or None at the top, if nothing reads it.
        """

    @abstractmethod
    def posterior(self, below: Float[Tensor, "n *below"], here: Float[Tensor, "n *here"] | None) -> CodeDistribution:
        """The posterior q(z_l|x), of batch shape (n, code size).

        Args:
            below: h_{l-1}, (n, *below); for level 1 it is x, standardised.
            here: h_l, (n, *shape); None if `climb` returned None.
        """

    @abstractmethod
    def descend(
        self, above: Float[Tensor, "n *here"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *drawn"] | None:
        """The map z̃_l = u_l([z̃_{l+1}; v_l(z_l)]); at the top z̃_L = u_L(v_L(z_L)).

        Args:
            above: z̃_{l+1}, (n, *shape); None at the top.
            code: z_l, (n, code size).
            fade: how far the level has grown, in [0, 1]; v_l(z_l) is multiplied by it.

        Returns:
            z̃_l, (n, *drawn); or None if the code acts only through the prior of the level below (a class label).
        """

    def target(
        self, x: Float[Tensor, "n *shape"], features: Float[Tensor, "n features"] | None
    ) -> Float[Tensor, "n target"] | None:
        """What the level reads besides h_l, and must explain by its code alone; None: nothing.

        `posterior` gets [h_l; target] in place of h_l, or the target alone if there is no h_l.

        Args:
            x: h_0, the standardised data, (n, *shape).
            features: of the full-size pictures by a frozen network, (n, F); None: the model reads none.
        """
        return None

    def explain(self, code: Float[Tensor, "n size"], target: Float[Tensor, "n target"]) -> Float[Tensor, " n"]:
        """The distortion -log r(target|z_l) of each datum, in nats; only asked of a level that has a target.

        Args:
            code: z_l, (n, code size).
            target: what `target` returned, (n, target).
        """
        raise NotImplementedError(f"{type(self).__name__} has a target; define `explain`, too")

    def prior(self, above: tuple[Float[Tensor, "n _"], ...], like: Tensor) -> CodeDistribution:
        """The prior p(z_l|z_{l+1}, …, z_L): N(0, I) of batch shape (1, code size). A subclass may use the codes above.

        Args:
            above: the codes of the levels above, (n, code size) each, level l+1 first; () at the top, or if unknown.
            like: a tensor on the device that the prior should have.
        """
        return standard_normal(1, self.code_size, like.device)

    def prior_of(self, level: int, code: Float[Tensor, "n size"]) -> CodeDistribution | None:
        """The prior that this level's code gives to a level below, instead of its own; None: it keeps its own.

        Args:
            level: the number of the level below, from 1 up.
            code: the code of this level, (n, code size).
        """
        return None


class GaussianHead(nn.Module):
    """The last layer of a posterior: from features to N(μ, σ²), linear in the features.

    Args:
        num_features: the number of features.
        code_size: dimensions of the code.
        stddev: how σ is computed from the output of the layer: "softplus", or "sigmoid" (the authors', plus 0.001).
    """

    def __init__(self, num_features: int, code_size: int, stddev: Literal["softplus", "sigmoid"]):
        super().__init__()
        self.linear = nn.Linear(num_features, 2 * code_size)
        self.stddev: Literal["softplus", "sigmoid"] = stddev

    def forward(self, features: Float[Tensor, "n features"]) -> NormalCode:
        """The Gaussian of each datum, of batch shape (n, code size).

        Args:
            features: (n, features).
        """
        mean, raw = full_precision(self.linear(features)).chunk(2, dim=1)
        return NormalCode(mean, positive(raw, self.stddev))


def check_layers(layers: tuple[Layer, ...], convolutions: tuple[tuple[int, int], ...]) -> None:
    """Checks the layers of a level.

    Args:
        layers: all layers from h_{l-1} to h_l, at least one.
        convolutions: (channels, stride) of every convolution; strides are at least 1.

    Raises:
        ValueError: if there is no layer, or a stride below 1.
    """
    if not layers:
        raise ValueError("a level needs at least one convolution or dense layer above the level below")
    if any(stride < 1 for _, stride in convolutions):
        raise ValueError(
            "the stride of a convolution is a whole number from 1 up; use dense for fully-connected layers"
        )
