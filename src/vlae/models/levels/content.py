"""The content level: it reads and explains the features that a frozen network gives of the full-size picture."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from vlae.models.distributions import NormalCode
from vlae.models.levels.base import Description, GaussianHead, LadderLevel, LevelSettings, Place
from vlae.models.levels.explain import Explainer
from vlae.nn.components import PrincipalComponents
from vlae.nn.injection import Begin
from vlae.nn.layers import Blocks


@dataclass(frozen=True, kw_only=True)
class ContentLevel(LevelSettings, kind="content"):
    """The top level of a ladder of photographs, which holds what they are *of*.

    A frozen network, trained elsewhere, takes the place of g_L: h_L is the vector of its features f of the full-size
    picture. The posterior is linear in their principal components, and reads nothing else. The code has two tasks. It
    begins the decoder, like the code of any top level. And it alone must explain the components: they have a likelihood
    of their own, log N(f | f̂(z_L), σ²), which the bound adds to that of the picture. σ is the root mean square error,
    under which the features are most likely, so no weight is chosen (Reference: Rybkin et al. 2021, "Simple and
    Effective VAE Training with Calibrated Decoders", section 3.2).

    Attributes:
        code_size: dimensions of the code z_L, from 1 up.
        num_features: F, the dimensions of the network's features.
        num_components: K, the principal components of the features that are read and explained, from 1 to F.
        units: units of the hidden layer that explains the components.
    """

    num_features: int
    num_components: int
    units: int = 256

    def __post_init__(self) -> None:
        if self.code_size < 1 or not 1 <= self.num_components <= self.num_features or self.units < 1:
            raise ValueError(
                f"a content level of code size {self.code_size}, {self.num_components} components of "
                f"{self.num_features} features and {self.units} units; give a code and units from 1 up, and 1 to "
                f"{self.num_features} components"
            )

    def build(self, place: Place, blocks: Blocks) -> "ContentNetworks":
        """Builds the networks of a content level, with random weights.

        Args:
            place: the place of the level in its ladder: the top, above another level.
            blocks: settings that all layers of the model share.

        Raises:
            ValueError: if the level is not the highest with a code, or is the only one.
        """
        if not place.top or place.bottom:
            raise ValueError("a content level is the top of a ladder, above at least one other level")
        return ContentNetworks(self, place, blocks)

    def describe(self) -> Description:
        """The level in words."""
        return Description(
            reads="features",
            acts="begins",
            title="what it is of",
            sentence="It sees only what a network that has seen the world says of the full-size picture.",
        )


class ContentNetworks(LadderLevel):
    """The networks of a content level L.

    Args:
        settings: the settings of the level.
        place: the place of the level in its ladder, the top.
        blocks: settings that all layers of the model share.
    """

    def __init__(self, settings: ContentLevel, place: Place, blocks: Blocks):
        super().__init__()
        components, units, size = settings.num_components, settings.units, settings.code_size
        self.code_size, self.num_features, self.shape = size, settings.num_features, (components,)
        self.components = PrincipalComponents(settings.num_features, components)
        self.head = GaussianHead(components, size, blocks.stddev)
        self.v = Begin(size, place.drawn, blocks)
        self.explainer = Explainer(size, components, units, blocks)

    def climb(self, below: Float[Tensor, "n *below"]) -> None:
        """Nothing: the frozen network takes the place of g_L, and its features that of h_L.

        Args:
            below: h_{L-1}, (n, *below); not used.
        """
        return None

    def target(
        self, x: Float[Tensor, "n *shape"], features: Float[Tensor, "n features"] | None
    ) -> Float[Tensor, "n components"]:
        """The principal components of the features.

        Args:
            x: pictures, standardised; not used, so that pixels cannot be seen.
            features: the features f, (n, F), as the network gives them.
        """
        assert features is not None  # the ladder gives them, or has none and says so
        components: Tensor = self.components(features)
        return components

    def posterior(self, below: Float[Tensor, "n *below"], here: Float[Tensor, "n components"] | None) -> NormalCode:
        """The posterior q(z_L|f), from the principal components of the features.

        Args:
            below: h_{L-1}, (n, *below); not used.
            here: the components, (n, K).
        """
        posterior: NormalCode = self.head(here)
        return posterior

    def explain(self, code: Float[Tensor, "n size"], target: Float[Tensor, "n components"]) -> Float[Tensor, " n"]:
        """The distortion of the components, -log N(f | f̂(z_L), σ²), in nats.

        Args:
            code: z_L, (n, code size).
            target: the components, (n, K).
        """
        distortion: Tensor = self.explainer(code, target)
        return distortion

    def descend(
        self, above: Float[Tensor, "n *here"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *drawn"]:
        """The map z̃_L = v_L(z_L), with which the decoder begins.

        Args:
            above: None; there is no level above.
            code: z_L, (n, code size).
            fade: how far the level has grown, in [0, 1]; v_L(z_L) is multiplied by it.
        """
        drawn: Tensor = self.v(above, code, fade)
        return drawn
