"""The moments level: it alone reads and sets the moments (colour and light) of the map below it."""

from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from vlae.models.distributions import CodeDistribution, NormalCode
from vlae.models.levels.base import Description, GaussianHead, LadderLevel, LevelSettings, Place, check_layers
from vlae.models.levels.plain import Level
from vlae.nn.injection import Begin
from vlae.nn.layers import Blocks, layers_of, shapes_of, stack
from vlae.nn.moments import FLAT, AdaINOutput, AffineInvariantConv, MomentFeatures, NormalisedConv

Polarity = Literal["hidden", "visible", "auto"]


@dataclass(frozen=True, kw_only=True)
class MomentsLevel(LevelSettings, kind="moments"):
    """A level that alone reads and sets means and deviations of the map below it; the levels above can do neither.

    The posterior reads moments of each channel of h_{l-1}: mean and standard deviation. g_l gives the same for two maps
    that differ only in mean and standard deviation of their channels, as long as no channel is nearly flat. If the
    polarity is hidden, the posterior reads the contrast to the border too, and g_l gives the same for a map and its
    negative: then no level above sees whether a picture is light on dark. The code enters last: it sets means and
    standard deviations of the feature maps that z̃_l is mixed from (`vlae.nn.moments.AdaINOutput`). At the top, the
    level begins the decoder like any other, and hides nothing.

    Attributes:
        code_size: dimensions of the code z_l; 0: the level has no code, and hides nothing.
        convolutions: (channels, stride) of each convolution from h_{l-1} to h_l, at least one; the decoder mirrors
            them.
        polarity: whether the levels above can tell a map from its negative. "hidden": they cannot
            (`vlae.nn.moments.AffineInvariantConv`). "visible": they can (`vlae.nn.moments.NormalisedConv`). "auto":
            training asks the data (`vlae.evaluation.polarity.polarity_of`); a model that is built without is visible.
        flat: the variance of a flat channel, above 0, in units of the standardised input.
    """

    convolutions: tuple[tuple[int, int], ...]
    polarity: Polarity = "hidden"
    flat: float = FLAT

    def __post_init__(self) -> None:
        if self.polarity not in get_args(Polarity):
            raise ValueError(f"polarity is {self.polarity!r}; choose one of {', '.join(get_args(Polarity))}")
        if not 0 < self.flat < float("inf"):
            raise ValueError(f"flat is {self.flat}; give a variance above 0")
        check_layers(layers_of(self.convolutions, ()), self.convolutions)

    def build(self, place: Place, blocks: Blocks) -> LadderLevel:
        """Builds the networks of a moments level, or of a plain level if there is no code.

        Args:
            place: the place of the level in its ladder.
            blocks: settings that all layers of the model share.

        Raises:
            ValueError: if there is no map below, or it has one pixel.
        """
        if not self.code_size:
            return Level(code_size=0, convolutions=self.convolutions).build(place, blocks)
        return MomentsNetworks(self, place, blocks)

    def describe(self) -> Description:
        """The level in words."""
        return Description(
            reads="moments",
            acts="sets moments",
            title="colour and light",
            sentence="It sees and sets only statistics of the whole picture, which no level above can.",
        )


class MomentsNetworks(LadderLevel):
    """The networks of a level l that alone reads and sets the moments of the map below it.

    Args:
        settings: the settings of the level; its code size is at least 1.
        place: the place of the level in its ladder.
        blocks: settings that all layers of the model share.

    Raises:
        ValueError: if there is no map below, or it has one pixel.
    """

    def __init__(self, settings: MomentsLevel, place: Place, blocks: Blocks):
        super().__init__()
        shapes = shapes_of(layers_of(settings.convolutions, ()), place.below)
        if place.below[1:] == (1, 1):
            raise ValueError("a map of one pixel has no moments that a level could read; use Level(reads='map') here")
        self.code_size, self.shape = settings.code_size, shapes[-1]
        self.g = None
        hidden = settings.polarity == "hidden"
        if place.top and not place.last:  # a class above reads h_l, and nothing is hidden from it
            self.g = stack(shapes, blocks)
        elif not place.top:
            layer = AffineInvariantConv if hidden else NormalisedConv
            first = layer(
                place.below,
                shapes[1],
                kernel=blocks.kernel,
                norm=blocks.norm,
                slope=blocks.slope,
                flat=settings.flat,
            )
            self.g = nn.Sequential(first, *stack(shapes[1:], blocks))
        self.features = MomentFeatures(place.below[0], slope=blocks.slope, border=hidden, flat=settings.flat)
        self.head = GaussianHead(self.features.num_features, self.code_size, blocks.stddev)
        self.v: nn.Module
        if place.top:
            self.v = Begin(self.code_size, self.shape, blocks)
            self.u = stack([*reversed(shapes[1:]), place.drawn], blocks, linear_end=place.bottom)
        else:
            self.v = AdaINOutput(self.code_size, shapes[1], place.drawn, kernel=blocks.kernel, smooth=blocks.smooth)
            self.u = stack(list(reversed(shapes[1:])), blocks)

    def climb(self, below: Float[Tensor, "n *below"]) -> Float[Tensor, "n *here"] | None:
        """The map h_l = g_l(h_{l-1}), in which the moments of h_{l-1} cannot be seen.

        Args:
            below: h_{l-1}, (n, channels, height, width); for level 1 it is x, standardised.

        Returns:
            h_l; or None if no level stands above. If only a class does, moments can be seen.
        """
        return None if self.g is None else self.g(below)

    def posterior(self, below: Float[Tensor, "n *below"], here: Float[Tensor, "n *here"] | None) -> CodeDistribution:
        """The posterior q(z_l|x), from the moments of h_{l-1}.

        Args:
            below: h_{l-1}, (n, channels, height, width); for level 1 it is x, standardised.
            here: h_l, (n, *shape); not used.
        """
        posterior: NormalCode = self.head(self.features(below))
        return posterior

    def descend(
        self, above: Float[Tensor, "n *here"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *drawn"]:
        """The map z̃_l = v_l(u_l(z̃_{l+1}), z_l): the code enters last. At the top, z̃_L = u_L(v_L(z_L)).

        Args:
            above: z̃_{l+1}, (n, *shape); None at the top.
            code: z_l, (n, code size).
            fade: how far the level has grown, in [0, 1]; the code's effect is multiplied by it.
        """
        drawn: Tensor = self.u(self.v(None, code, fade)) if above is None else self.v(self.u(above), code, fade)
        return drawn
