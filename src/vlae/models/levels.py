"""The levels of a ladder: settings that say what a level is, and the networks they build.

`LevelSettings` and `LadderLevel` are the abstract pair. `Level` builds a `PlainLevel`; `MomentsLevel` builds a
`MomentsLadderLevel`, which owns the moments of the map beneath it. A new kind of level is a pair of its own.
"""

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from jaxtyping import Float
from torch import Tensor, nn

from vlae.kinds import Kind
from vlae.models.distributions import CodeDistribution, NormalCode, standard_normal
from vlae.models.likelihoods import positive
from vlae.nn.features import FullFeatures, GridFeatures
from vlae.nn.injection import Begin, Concatenate, GatedAdd, Injection, Modulate
from vlae.nn.layers import Blocks, Layer, layers_of, shapes_of, stack
from vlae.nn.moments import AdaINOutput, AffineInvariantConv, MomentFeatures
from vlae.shapes import Shape, is_image

Reads = Literal["map", "grid"]
Acts = Literal["concatenate", "add", "modulate"]


class Description(NamedTuple):
    """A level in words, for the report and the page."""

    reads: str
    """What its posterior sees, as "map"."""
    acts: str
    """How its code acts, as "concatenate"."""
    title: str
    """Two or three words on what it can hold."""
    sentence: str
    """A sentence on the same."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a level stands in its ladder.

    Attributes:
        below: shape of h_{l-1}, which it climbs from.
        drawn: shape of z̃_l, which it draws: that of h_{l-1}, but at the bottom that of the likelihood's parameters.
        bottom: whether it is level 1, whose last layer is linear.
        top: whether it is the highest level with a code, which starts the decoder.
    """

    below: Shape
    drawn: Shape
    bottom: bool
    top: bool


@dataclass(frozen=True, kw_only=True)
class LevelSettings(Kind, ABC):
    """What a level of a ladder is; each kind of level is a subclass.

    Attributes:
        code_size: dimensions of z_l; 0 leaves the level without a code.
    """

    code_size: int

    @abstractmethod
    def build(self, place: Place, blocks: Blocks) -> "LadderLevel":
        """The level's networks, with fresh weights.

        Raises:
            ValueError: if they cannot be built at this place.
        """

    def describe(self) -> Description:
        """The level in words; a kind that says nothing is called by its name."""
        return Description(reads=self.kind, acts=self.kind, title=f"a level of kind {self.kind}", sentence="")


class LadderLevel(nn.Module, ABC):
    """The networks of one level l: g_l and the posterior's head on the way up, v_l and u_l on the way down.

    Attributes:
        code_size: dimensions of z_l.
        shape: of h_l, and of z̃_{l+1}, which comes from above.
    """

    code_size: int
    shape: Shape

    @abstractmethod
    def climb(self, below: Float[Tensor, "n *below"]) -> Float[Tensor, "n *here"] | None:
        """h_l = g_l(h_{l-1}); None at the top, where nothing reads h_l."""

    @abstractmethod
    def posterior(self, below: Float[Tensor, "n *below"], here: Float[Tensor, "n *here"] | None) -> CodeDistribution:
        """q(z_l | x), from h_l or from h_{l-1}."""

    @abstractmethod
    def descend(
        self, above: Float[Tensor, "n *here"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *drawn"] | None:
        """z̃_l = u_l([z̃_{l+1} ; v_l(z_l)]), at the top z̃_L = u_L(v_L(z_L)); the code counts by `fade` in [0, 1].

        None, where the code acts through the prior of the level below alone, as a class does.
        """

    def prior(self, above: tuple[Float[Tensor, "n _"], ...], like: Tensor) -> CodeDistribution:
        """p(z_l | z_{l+1}, …): N(0, I) of batch shape (1, code size), whatever is above.

        Args:
            above: the codes of the levels above, the next one first; none where they are not known, or at the top.
            like: a tensor on the device where the distribution shall lie.
        """
        return standard_normal(1, self.code_size, like.device)


class GaussianHead(nn.Module):
    """Features → N(μ, σ²), linear in the features."""

    def __init__(self, num_features: int, code_size: int, stddev: Literal["softplus", "sigmoid"]):
        super().__init__()
        self.linear = nn.Linear(num_features, 2 * code_size)
        self.stddev: Literal["softplus", "sigmoid"] = stddev

    def forward(self, features: Float[Tensor, "n features"]) -> NormalCode:
        """One Gaussian per row."""
        mean, raw = self.linear(features).float().chunk(2, dim=1)
        return NormalCode(mean, positive(raw, self.stddev))


# The plain level -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Level(LevelSettings, kind="plain"):
    """A plain level: its code, the networks that lead to it, how the code is read and how it acts.

    Attributes:
        code_size: dimensions of z_l; 0 leaves the level without a code.
        convolutions: (channels, stride) of each convolution from h_{l-1} to h_l; the decoder mirrors them.
        dense: units of each fully-connected layer after them.
        reads: what the posterior sees: "map", all of h_l; or "grid", mean and standard deviation of h_l per channel in
            each cell of a `grid` × `grid` division.
        acts: how v_l(z_l) joins z̃_{l+1}: "concatenate"; "add", through one learned gate per channel or unit that starts
            at 0.1; or "modulate", a scale and a shift per channel, in each cell of the grid and smooth between. The top
            level starts the decoder, so it has nothing to join and always embeds its code in full.
        grid: side of the grid, for "grid" and "modulate".
        head_convolutions: convolutions of the posterior's own, which encode h_{l-1} again (the authors' deep heads).
            With neither these nor `head_dense`, the head is linear in h_l, as in the paper's equations.
        head_dense: fully-connected layers of the posterior's own, after them.
    """

    convolutions: tuple[tuple[int, int], ...] = ()
    dense: tuple[int, ...] = ()
    reads: Reads = "map"
    acts: Acts = "concatenate"
    grid: int = 2
    head_convolutions: tuple[tuple[int, int], ...] = ()
    head_dense: tuple[int, ...] = ()

    def __new__(cls, **settings: Any) -> "Level":
        """A level; `Level(reads="pooled", acts="modulate")`, the former way, gives a `MomentsLevel`."""
        if settings.get("reads") == "pooled":
            return _former_pooled_level(settings)  # type: ignore[return-value]
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, value, allowed in (("reads", self.reads, Reads), ("acts", self.acts, Acts)):
            if value not in get_args(allowed):
                raise ValueError(f"{name} is {value!r}; choose one of {', '.join(get_args(allowed))}")
        _check_layers(self.layers, (*self.convolutions, *self.head_convolutions))
        if self.grid < 1:
            raise ValueError(f"grid is {self.grid}; its side is a whole number from 1 up")

    @property
    def layers(self) -> tuple[Layer, ...]:
        """From h_{l-1} to h_l."""
        return layers_of(self.convolutions, self.dense)

    @property
    def head_layers(self) -> tuple[Layer, ...]:
        """The posterior's own, from h_{l-1}; empty where it reads h_l."""
        return layers_of(self.head_convolutions, self.head_dense)

    def build(self, place: Place, blocks: Blocks) -> "PlainLevel":
        """The networks of a plain level."""
        return PlainLevel(self, place, blocks)

    def describe(self) -> Description:
        """What a plain level can hold follows from how it reads."""
        if self.reads == "grid":
            reads, title = f"{self.grid} × {self.grid} grid", "large patches"
            sentence = "It sees and sets averages over the cells of a coarse grid."
        else:
            reads, title = "map", "form and content"
            sentence = "It sees the whole picture in full, and may hold anything."
        return Description(reads, self.acts, title, sentence)


class PlainLevel(LadderLevel):
    """A level that reads h_l, or encodes h_{l-1} again, and acts on the map from above.

    Args:
        settings: of the level.
        place: where it stands.
        blocks: what all its layers share.
    """

    def __init__(self, settings: Level, place: Place, blocks: Blocks):
        super().__init__()
        shapes = shapes_of(settings.layers, place.below)
        again = shapes_of(settings.head_layers, place.below)
        self.code_size, self.shape = settings.code_size, shapes[-1]
        encodes_again = len(again) > 1
        seen = again[-1] if encodes_again else self.shape
        if settings.reads != "map" and not is_image(seen):
            raise ValueError(
                f"what is read has shape {seen}, no map: it cannot be read {settings.reads!r}; choose 'map'"
            )
        self.g = None if place.top and encodes_again else stack(shapes, blocks)
        self.v: Injection | None = None
        if self.code_size:
            self.encode_again = stack(again, blocks) if encodes_again else None
            self.features = GridFeatures(seen, settings.grid) if settings.reads == "grid" else FullFeatures(seen)
            self.head = GaussianHead(self.features.num_features, self.code_size, blocks.stddev)
            self.v = _injection(settings, self.shape, place, blocks)
        joined = self.shape if self.v is None else self.v.output_shape
        self.u = stack([joined, *reversed(shapes[1:-1]), place.drawn], blocks, linear_end=place.bottom)

    def climb(self, below: Float[Tensor, "n *below"]) -> Float[Tensor, "n *here"] | None:
        """h_l = g_l(h_{l-1})."""
        return None if self.g is None else self.g(below)

    def posterior(self, below: Float[Tensor, "n *below"], here: Float[Tensor, "n *here"] | None) -> NormalCode:
        """q(z_l | x) = N(μ_l(h_l), σ_l(h_l)²)."""
        if not self.code_size:
            return standard_normal(below.shape[0], 0, below.device)
        posterior: NormalCode = self.head(
            self.features(here if self.encode_again is None else self.encode_again(below))
        )
        return posterior

    def descend(
        self, above: Float[Tensor, "n *here"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *drawn"]:
        """z̃_l = u_l([z̃_{l+1} ; v_l(z_l)])."""
        drawn: Tensor = self.u(above if self.v is None else self.v(above, code, fade))
        return drawn


def _injection(settings: Level, shape: Shape, place: Place, blocks: Blocks) -> Injection:
    if place.top:
        return Begin(settings.code_size, shape, blocks)
    if settings.acts == "modulate":
        return Modulate(settings.code_size, shape, grid=settings.grid)
    return (Concatenate if settings.acts == "concatenate" else GatedAdd)(settings.code_size, shape, blocks)


# The level of moments ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class MomentsLevel(LevelSettings, kind="moments"):
    """A level that owns the moments of the map beneath it: no level above can see them, or set them.

    Its posterior reads three moments of h_{l-1} per channel: mean, standard deviation, and contrast to the border. Its
    g_l cannot tell apart maps that differ in these alone, nor light on dark from dark on light
    (`vlae.nn.moments.AffineInvariantConv`). Its code acts last: z̃_l is mixed from a few maps of its size whose means
    and standard deviations the code alone sets (`vlae.nn.moments.AdaINOutput`). As the top level it starts the decoder
    like any other, and hides nothing.

    Attributes:
        code_size: dimensions of z_l; 0 leaves the level without a code, and then nothing is hidden either.
        convolutions: (channels, stride) of each convolution from h_{l-1} to h_l; the decoder mirrors them.
    """

    convolutions: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        _check_layers(layers_of(self.convolutions, ()), self.convolutions)

    def build(self, place: Place, blocks: Blocks) -> LadderLevel:
        """The networks of a level of moments; those of a plain one where it has no code."""
        if not self.code_size:
            return Level(code_size=0, convolutions=self.convolutions).build(place, blocks)
        return MomentsLadderLevel(self, place, blocks)

    def describe(self) -> Description:
        """It can hold statistics of the whole picture, and these alone."""
        return Description(
            reads="moments",
            acts="sets moments",
            title="colour and light",
            sentence="It sees and sets only statistics of the whole picture, which no level above can.",
        )


class MomentsLadderLevel(LadderLevel):
    """A level that reads and sets the moments of the map beneath it, and hides them from the levels above.

    Args:
        settings: of the level, which has a code.
        place: where it stands.
        blocks: what all its layers share.
    """

    def __init__(self, settings: MomentsLevel, place: Place, blocks: Blocks):
        super().__init__()
        shapes = shapes_of(layers_of(settings.convolutions, ()), place.below)
        if place.below[1:] == (1, 1):
            raise ValueError("a map of one place has no moments: a level above it cannot read them; choose reads='map'")
        self.code_size, self.shape = settings.code_size, shapes[-1]
        self.g = None
        if not place.top:
            first = AffineInvariantConv(
                place.below, shapes[1], kernel=blocks.kernel, norm=blocks.norm, slope=blocks.slope
            )
            self.g = nn.Sequential(first, *stack(shapes[1:], blocks))
        self.features = MomentFeatures(place.below[0], slope=blocks.slope)
        self.head = GaussianHead(self.features.num_features, self.code_size, blocks.stddev)
        self.v: nn.Module
        if place.top:
            self.v = Begin(self.code_size, self.shape, blocks)
            self.u = stack([*reversed(shapes[1:]), place.drawn], blocks, linear_end=place.bottom)
        else:
            self.v = AdaINOutput(self.code_size, shapes[1], place.drawn, kernel=blocks.kernel)
            self.u = stack(list(reversed(shapes[1:])), blocks)

    def climb(self, below: Float[Tensor, "n *below"]) -> Float[Tensor, "n *here"] | None:
        """h_l = g_l(h_{l-1}), which sees no moments."""
        return None if self.g is None else self.g(below)

    def posterior(self, below: Float[Tensor, "n *below"], here: Float[Tensor, "n *here"] | None) -> CodeDistribution:
        """q(z_l | x) from the moments of h_{l-1}."""
        posterior: NormalCode = self.head(self.features(below))
        return posterior

    def descend(
        self, above: Float[Tensor, "n *here"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *drawn"]:
        """z̃_l = v_l(u_l(z̃_{l+1}), z_l): the code acts last."""
        drawn: Tensor = self.u(self.v(None, code, fade)) if above is None else self.v(self.u(above), code, fade)
        return drawn


def _check_layers(layers: tuple[Layer, ...], convolutions: tuple[tuple[int, int], ...]) -> None:
    if not layers:
        raise ValueError("a level needs at least one convolution or dense layer between it and the level below")
    if any(stride < 1 for _, stride in convolutions):
        raise ValueError("a convolution's stride is a whole number from 1 up; for fully-connected layers use dense")


def _former_pooled_level(settings: dict[str, Any]) -> MomentsLevel:
    """What `Level(reads="pooled", acts="modulate")` meant."""
    warnings.warn("Level(reads='pooled') is deprecated; write MomentsLevel(...)", DeprecationWarning, stacklevel=3)
    others = [settings.get(name) for name in ("dense", "head_convolutions", "head_dense")]
    if settings.get("acts") != "modulate" or any(others):
        raise ValueError(
            "a level that reads 'pooled' acts by 'modulate', and has no dense layers and no head of its own: it "
            "reads the moments of h_{l-1}, and sets those of a map"
        )
    return MomentsLevel(code_size=settings["code_size"], convolutions=settings.get("convolutions", ()))
