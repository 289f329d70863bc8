"""The plain level: it reads and writes maps, with no restriction but its depth."""

import warnings
from dataclasses import dataclass
from typing import Any, Literal, get_args

from jaxtyping import Float
from torch import Tensor

from vlae.models.distributions import NormalCode, no_code
from vlae.models.levels.base import Description, GaussianHead, LadderLevel, LevelSettings, Place, check_layers
from vlae.models.levels.explain import Explainer
from vlae.nn.features import FullFeatures, GridFeatures, OrientedGradients
from vlae.nn.injection import Begin, Concatenate, GatedAdd, Injection, Modulate
from vlae.nn.layers import Blocks, Layer, layers_of, shapes_of, stack
from vlae.shapes import Shape, is_image

Reads = Literal["map", "grid"]
Acts = Literal["concatenate", "add", "modulate"]

EXPLAINER_UNITS = 128
"""Units of the hidden layer that predicts a level's oriented gradients from its code."""


@dataclass(frozen=True, kw_only=True)
class Level(LevelSettings, kind="plain"):
    """A plain level: the layers of g_l and u_l, how the posterior reads h_l, and how the code enters the decoder.

    Attributes:
        code_size: dimensions of the code z_l; 0: the level has no code.
        convolutions: (channels, stride) of each convolution from h_{l-1} to h_l; the decoder mirrors them.
        dense: units of each fully-connected layer after the convolutions; the decoder mirrors them.
        reads: what the posterior reads. "map": all of h_l. "grid": mean and standard deviation of each channel of h_l,
            in each cell of a `grid` × `grid` division.
        acts: how v_l(z_l) is merged with z̃_{l+1}. "concatenate": side by side. "add": a sum, with one learned gate per
            channel or unit that starts at 0.1. "modulate": a scale and a shift per channel in each cell of the grid,
            interpolated between the cells. The top level has nothing to merge with, and always fills the whole map.
        grid: side of the grid, at least 1, for "grid" and "modulate".
        head_convolutions: (channels, stride) of convolutions that encode h_{l-1} for the posterior alone: the authors'
            deep heads. Without these and `head_dense`, the posterior is linear in h_l (Reference: Zhao et al. 2017,
            equation 11).
        head_dense: units of fully-connected layers after `head_convolutions`, for the posterior alone.
        gradients: side of the grid of cells whose oriented gradients the level reads besides h_l, and must explain by
            its code alone (`vlae.nn.features.OrientedGradients`); 0: none. The level ends in a vector.
    """

    convolutions: tuple[tuple[int, int], ...] = ()
    dense: tuple[int, ...] = ()
    reads: Reads = "map"
    acts: Acts = "concatenate"
    grid: int = 2
    head_convolutions: tuple[tuple[int, int], ...] = ()
    head_dense: tuple[int, ...] = ()
    gradients: int = 0

    def __new__(cls, **settings: Any) -> "Level":
        """Makes a level; `Level(reads="pooled", acts="modulate")`, an earlier spelling, makes a `MomentsLevel`."""
        if settings.get("reads") == "pooled":
            return _from_pooled(settings)  # type: ignore[return-value]
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, value, allowed in (("reads", self.reads, Reads), ("acts", self.acts, Acts)):
            if value not in get_args(allowed):
                raise ValueError(f"{name} is {value!r}; choose one of {', '.join(get_args(allowed))}")
        check_layers(self.layers, (*self.convolutions, *self.head_convolutions))
        if self.grid < 1:
            raise ValueError(f"grid is {self.grid}; give a whole number from 1 up")
        if self.gradients < 0:
            raise ValueError(f"gradients is {self.gradients}; give the side of a grid from 1 up, or 0")
        if self.gradients and (not self.dense or self.reads != "map" or self.head_layers or not self.code_size):
            raise ValueError("a level with gradients has a code and dense layers, reads='map', and no head layers")

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of g_l, from h_{l-1} to h_l."""
        return layers_of(self.convolutions, self.dense)

    @property
    def head_layers(self) -> tuple[Layer, ...]:
        """The layers from h_{l-1} that only the posterior has; empty if it reads h_l."""
        return layers_of(self.head_convolutions, self.head_dense)

    @property
    def bare(self) -> bool:
        """Whether the posterior reads all of h_l and nothing else, as in the models that are no ladders."""
        return self.reads == "map" and not self.head_layers and not self.gradients

    def build(self, place: Place, blocks: Blocks) -> "PlainNetworks":
        """Builds the networks of a plain level, with random weights.

        Args:
            place: the place of the level in its ladder.
            blocks: settings that all layers of the model share.

        Raises:
            ValueError: if a convolution or a grid has no map to read.
        """
        return PlainNetworks(self, place, blocks)

    def describe(self) -> Description:
        """The level in words; they follow from what the posterior reads."""
        if self.reads == "grid":
            reads, title = f"{self.grid} × {self.grid} grid", "large patches"
            sentence = "It sees means and deviations in the cells of a coarse grid, and scales and shifts there."
        else:
            reads, title = "map", "form and content"
            sentence = "It sees the whole picture in full, and may hold anything."
        return Description(reads, self.acts, title, sentence)


class PlainNetworks(LadderLevel):
    """The networks of a plain level l: its posterior reads h_l, or encodes h_{l-1} again.

    Args:
        settings: the settings of the level.
        place: the place of the level in its ladder.
        blocks: settings that all layers of the model share.

    Raises:
        ValueError: if a convolution or a grid has no map to read.
    """

    def __init__(self, settings: Level, place: Place, blocks: Blocks):
        super().__init__()
        shapes = shapes_of(settings.layers, place.below)
        head_shapes = shapes_of(settings.head_layers, place.below)
        self.code_size, self.shape = settings.code_size, shapes[-1]
        encodes_again = len(head_shapes) > 1
        read_shape = head_shapes[-1] if encodes_again else self.shape
        if settings.reads != "map" and not is_image(read_shape):
            raise ValueError(
                f"reads={settings.reads!r} needs a map (channels, height, width); h_l has shape {read_shape}: "
                "choose reads='map'"
            )
        self.g = None if place.last and encodes_again else stack(shapes, blocks)
        self.gradients = OrientedGradients(settings.gradients) if settings.gradients else None
        self.explainer: Explainer | None = None
        self.v: Injection | None = None  # v_l, and its merge with z̃_{l+1}; v_l alone is `v.embed`
        if self.code_size:
            self.encode_again = stack(head_shapes, blocks) if encodes_again else None
            self.features = (
                GridFeatures(read_shape, settings.grid) if settings.reads == "grid" else FullFeatures(read_shape)
            )
            num_read = self.features.num_features
            if self.gradients is not None:
                num_read += self.gradients.num_features
                self.explainer = Explainer(self.code_size, self.gradients.num_features, EXPLAINER_UNITS, blocks)
            self.head = GaussianHead(num_read, self.code_size, blocks.stddev)
            self.v = _injection(settings, self.shape, place, blocks)
        merged = self.shape if self.v is None else self.v.output_shape
        self.u = stack([merged, *reversed(shapes[1:-1]), place.drawn], blocks, linear_end=place.bottom)

    def climb(self, below: Float[Tensor, "n *below"]) -> Float[Tensor, "n *here"] | None:
        """The map h_l = g_l(h_{l-1}).

        Args:
            below: h_{l-1}, (n, *below); for level 1 it is x, standardised.

        Returns:
            h_l; or None at the top, if the posterior encodes h_{l-1} again.
        """
        return None if self.g is None else self.g(below)

    def target(
        self, x: Float[Tensor, "n *shape"], features: Float[Tensor, "n features"] | None
    ) -> Float[Tensor, "n target"] | None:
        """The oriented gradients of the pictures, if the level has `gradients`.

        Args:
            x: h_0, the standardised pictures, (n, C, H, W).
            features: not used.

        Raises:
            ValueError: if the level has `gradients`, and the data are vectors.
        """
        if self.gradients is None:
            return None
        if x.ndim != 4:
            raise ValueError(
                "oriented gradients are of pictures; these data are vectors: build the level with gradients=0"
            )
        gradients: Tensor = self.gradients(x)
        return gradients

    def explain(self, code: Float[Tensor, "n size"], target: Float[Tensor, "n target"]) -> Float[Tensor, " n"]:
        """The distortion of the oriented gradients given the code, in nats.

        Args:
            code: z_l, (n, code size).
            target: the gradients, (n, target).
        """
        assert self.explainer is not None
        distortion: Tensor = self.explainer(code, target)
        return distortion

    def posterior(self, below: Float[Tensor, "n *below"], here: Float[Tensor, "n *here"] | None) -> NormalCode:
        """The posterior q(z_l|x) = N(μ_l(h_l), σ_l(h_l)²).

        Args:
            below: h_{l-1}, (n, *below); for level 1 it is x, standardised.
            here: h_l, (n, *shape); None if `climb` returned None.
        """
        if not self.code_size:
            return no_code(below.shape[0], below.device)
        posterior: NormalCode = self.head(
            self.features(here if self.encode_again is None else self.encode_again(below))
        )
        return posterior

    def descend(
        self, above: Float[Tensor, "n *here"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *drawn"]:
        """The map z̃_l = u_l([z̃_{l+1}; v_l(z_l)]).

        Args:
            above: z̃_{l+1}, (n, *shape); None at the top.
            code: z_l, (n, code size).
            fade: how far the level has grown, in [0, 1]; v_l(z_l) is multiplied by it.
        """
        drawn: Tensor = self.u(above if self.v is None else self.v(above, code, fade))
        return drawn


def _injection(settings: Level, shape: Shape, place: Place, blocks: Blocks) -> Injection:
    """v_l and the merge [z̃_{l+1}; v_l(z_l)]."""
    if place.top:
        return Begin(settings.code_size, shape, blocks)
    if settings.acts == "modulate":
        return Modulate(settings.code_size, shape, grid=settings.grid)
    return (Concatenate if settings.acts == "concatenate" else GatedAdd)(settings.code_size, shape, blocks)


def _from_pooled(settings: dict[str, Any]) -> LevelSettings:
    """The level that `Level(reads="pooled", acts="modulate")` used to be."""
    warnings.warn("Level(reads='pooled') is deprecated; write MomentsLevel(...)", DeprecationWarning, stacklevel=3)
    others = [settings.get(name) for name in ("dense", "head_convolutions", "head_dense")]
    if settings.get("acts") != "modulate" or any(others):
        raise ValueError(
            "a level with reads='pooled' needs acts='modulate', and has no dense or head layers; "
            "write MomentsLevel(code_size=…, convolutions=…)"
        )
    moments = {"kind": "moments", "code_size": settings["code_size"], "convolutions": settings.get("convolutions", ())}
    return LevelSettings.from_dict(moments)
