"""The last step of a decoder: from its output to the likelihood r(x | z) of the data, in nats.

A family is a pair: settings (`Gaussian`, `Laplace`, `Bernoulli`), and the module they build, which turns the decoder's
output into a distribution. A new family is a pair of its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import log, prod
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import Distribution, Independent, Normal
from torch.distributions import Laplace as LaplaceDistribution
from torch.nn import functional

from vlae.kinds import Kind
from vlae.shapes import Shape, is_image

Scale = float | Literal["optimal", "learned"]


@dataclass(frozen=True, kw_only=True)
class Likelihood(Kind, ABC):
    """Which family r(x | z) is; each family is a subclass, whose kind is the name that `--family` takes.

    Attributes:
        num_values: how many values each number of a datum may take, where r(x | z) is a probability of them: 256 for
            8-bit pixels, 2 for pixels that are on or off; None: r(x | z) is a density of numbers.
        no_density: why r(x | z) has no `log_prob` at all; empty where it has one.
    """

    num_values: ClassVar[int | None] = None
    no_density: ClassVar[str] = ""

    @abstractmethod
    def build(self, shape: Shape) -> "LikelihoodHead":
        """The module that makes the distribution of data of this shape.

        Raises:
            ValueError: if the family is not for such data.
        """

    def parameters_shape(self, shape: Shape) -> Shape:
        """What the decoder has to draw for data of this shape: as much as one datum, unless the family says more."""
        return shape

    @property
    def discrete(self) -> bool:
        """Whether r(x | z) is a probability of whole values, and not a density of numbers."""
        return self.num_values is not None

    def lacks(self) -> Mapping[Literal["encoder", "density"], str]:
        """What a model with this likelihood lacks, as `LatentModel.lacks` says it."""
        return {"density": self.no_density} if self.no_density else {}

    def bits_per_dimension(self, nats: float, shape: Shape) -> float | None:
        """Bits that each number of an image costs, from a log-likelihood (or a bound) in nats per image.

        A density is of images in [0, 1] and taken at the grid of their 256 values, each of which stands for an
        interval of width 1 / 256; no noise was added to make the grid continuous, so that is no bound on the
        probability of the 8-bit image.

        Returns:
            None for vectors, and for a likelihood that is neither a density nor a probability of 8-bit values.
        """
        if not is_image(shape) or self.no_density or self.num_values not in (None, 256):
            return None
        width = 0.0 if self.discrete else log(256)
        return (width - nats / prod(shape)) / log(2)


class LikelihoodHead(nn.Module, ABC):
    """Turns the decoder's output into r(x | z); the mean of images lies in [0, 1]."""

    @abstractmethod
    def forward(
        self,
        output: Float[Tensor, "n *parameters"],
        mean: Tensor,
        stddev: Tensor,
        x: Float[Tensor, "n *shape"] | None = None,
    ) -> Distribution:
        """The likelihood, one event per datum.

        Args:
            output: of the decoder, of `Likelihood.parameters_shape`.
            mean: by which vectors are standardised: one number, or one per dimension.
            stddev: by which vectors are standardised: one number, or one per dimension.
            x: the data, in training, where something is fitted to them; else None.
        """


@dataclass(frozen=True, kw_only=True)
class _Scaled(Likelihood):
    scale: Scale = "optimal"

    def __post_init__(self) -> None:
        if isinstance(self.scale, str) and self.scale not in ("optimal", "learned"):
            raise ValueError(f"scale {self.scale!r} is unknown; give a number above 0, 'optimal' or 'learned'")
        if not isinstance(self.scale, str) and not 0 < self.scale < float("inf"):
            raise ValueError(f"scale is {self.scale}; give a number above 0, 'optimal' or 'learned'")


@dataclass(frozen=True, kw_only=True)
class Gaussian(_Scaled, kind="gaussian"):
    """A Gaussian of one standard deviation σ for all dimensions.

    Attributes:
        scale: σ in units of the data: a fixed number above 0; "learned", a parameter; or "optimal", its
            maximum-likelihood value: the root mean square error of the batch in training, and a running average of it
            afterwards (Reference: Rybkin et al. 2021, "Simple and Effective VAE Training with Calibrated Decoders",
            section 3.2).
    """

    def build(self, shape: Shape) -> "ScaledHead":
        """Its mean is the decoder's output, through a sigmoid for images."""
        return GaussianLikelihood(self.scale, shape)


@dataclass(frozen=True, kw_only=True)
class Laplace(_Scaled, kind="laplace"):
    """A Laplace density of one scale b for all dimensions.

    The authors' ``ratio · Σ|x - x̂|`` is, up to a constant, that of scale ``1 / ratio``.

    Attributes:
        scale: b in units of the data: a fixed number above 0; "learned", a parameter; or "optimal", its
            maximum-likelihood value: the mean absolute error of the batch in training, and a running average of it
            afterwards (Reference: Rybkin et al. 2021, "Simple and Effective VAE Training with Calibrated Decoders",
            section 3.2).
    """

    def build(self, shape: Shape) -> "ScaledHead":
        """Its mean is the decoder's output, through a sigmoid for images."""
        return LaplaceLikelihood(self.scale, shape)


@dataclass(frozen=True, kw_only=True)
class Bernoulli(Likelihood, kind="bernoulli"):
    """A Bernoulli of every pixel, of images in [0, 1] whose grey values are taken as probabilities."""

    num_values: ClassVar[int | None] = 2

    def build(self, shape: Shape) -> "BernoulliLikelihood":
        """Its logits are the decoder's output."""
        if not is_image(shape):
            raise ValueError(
                "the Bernoulli likelihood is for images in [0, 1]; choose 'gaussian' or 'laplace' for vectors"
            )
        return BernoulliLikelihood()


class ScaledHead(LikelihoodHead, ABC):
    """A density around the decoder's output, of one scale for all dimensions.

    Args:
        scale: as its settings give it.
        shape: of one datum.

    Attributes:
        scale: the present scale, in units of the data's own (standardised) scale.
    """

    density: ClassVar[type[Normal | LaplaceDistribution]]
    fitted_scale: Tensor
    num_fits: Tensor

    # Keeps the density finite where a batch is reproduced exactly: a hundredth of a grey level.
    smallest_scale = 1e-2 / 255

    def __init__(self, scale: Scale, shape: Shape):
        super().__init__()
        self.shape = shape
        self.learned, self.fits = scale == "learned", scale == "optimal"
        initial = scale if not isinstance(scale, str) else 0.25 if is_image(shape) else 1.0
        if self.learned:
            self.log_scale = nn.Parameter(torch.tensor(float(initial)).log())
        else:
            self.register_buffer("fitted_scale", torch.tensor(float(initial)))
            self.register_buffer("num_fits", torch.tensor(0.0))

    @abstractmethod
    def best_scale(self, error: Tensor) -> Float[Tensor, ""]:
        """The maximum-likelihood scale of these errors."""

    @property
    def scale(self) -> Float[Tensor, ""]:
        """The scale in force."""
        return self.log_scale.exp() if self.learned else self.fitted_scale

    def forward(
        self,
        output: Float[Tensor, "n *shape"],
        mean: Tensor,
        stddev: Tensor,
        x: Float[Tensor, "n *shape"] | None = None,
    ) -> Distribution:
        """The density; in training the optimal scale is fitted to `x`."""
        output = output.float()
        images = is_image(self.shape)
        centre = torch.sigmoid(output) if images else output * stddev + mean
        unit = torch.ones_like(stddev) if images else stddev
        scale = self.scale
        if self.fits and self.training and x is not None:
            scale = self._fit((x - centre) / unit)
        spread = (scale * unit).expand_as(centre)
        return Independent(self.density(centre, spread, validate_args=False), len(self.shape), validate_args=False)

    @torch.no_grad()
    def _fit(self, error: Tensor) -> Tensor:
        # At the optimum the loss is flat in the scale, so its gradient is left out and changes nothing.
        best: Tensor = self.best_scale(error).clamp_min(self.smallest_scale)
        self.num_fits += 1
        self.fitted_scale.lerp_(best, torch.clamp(1 / self.num_fits, min=0.01))
        return best


class GaussianLikelihood(ScaledHead):
    """A Gaussian around the decoder's output."""

    density = Normal

    def best_scale(self, error: Tensor) -> Float[Tensor, ""]:
        """The root mean square error."""
        return error.square().mean().sqrt()


class LaplaceLikelihood(ScaledHead):
    """A Laplace density around the decoder's output."""

    density = LaplaceDistribution

    def best_scale(self, error: Tensor) -> Float[Tensor, ""]:
        """The mean absolute error."""
        return error.abs().mean()


class BernoulliLikelihood(LikelihoodHead):
    """A Bernoulli of every pixel."""

    def forward(
        self,
        output: Float[Tensor, "n *shape"],
        mean: Tensor,
        stddev: Tensor,
        x: Float[Tensor, "n *shape"] | None = None,
    ) -> Distribution:
        """The decoder's output as logits."""
        logits = output.float()
        return Independent(
            BernoulliDistribution(logits=logits, validate_args=False), logits.ndim - 1, validate_args=False
        )


def likelihood_of(family: str, settings: Mapping[str, Any]) -> Likelihood:
    """The family of that name, with those of the settings that it has.

    Raises:
        ValueError: if there is no such family, or a setting is out of its range.

    Examples:
        >>> likelihood_of("laplace", {"scale": 0.125})
        Laplace(scale=0.125)
    """
    kind = Likelihood.of_kind(family)
    own = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in settings.items() if name in own})


def positive(raw: Float[Tensor, "*any"], how: Literal["softplus", "sigmoid"]) -> Float[Tensor, "*any"]:
    """A standard deviation from a free number.

    "softplus" starts near 1 and has no upper limit. "sigmoid" is the authors' sigmoid(·) + 0.001, with which a
    posterior is never wider than the prior.
    """
    if how == "sigmoid":
        return torch.sigmoid(raw) + 0.001
    return functional.softplus(raw + 0.5413) + 1e-4  # softplus(0.5413) = 1
