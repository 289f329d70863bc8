"""Likelihoods: from the output of the decoder to the distribution r(x|z) of the data.

A family is a pair of classes. The settings (`Gaussian`, `Laplace`, `Bernoulli`) build a module, which turns the
output of the decoder into a distribution. A new family subclasses `Likelihood` and `LikelihoodHead`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import log, prod
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import Distribution, Independent, Normal
from torch.distributions import Laplace as LaplaceDistribution

from vlae.errors import NotDefinedError
from vlae.kinds import Kind
from vlae.models.together import mean_over_devices
from vlae.shapes import Shape, is_image

Scale = float | Literal["optimal", "learned"]
"""The scale of a density: a number above 0, or how it is found."""


@dataclass(frozen=True, kw_only=True)
class Likelihood(Kind, ABC):
    """The settings of r(x|z); each family is a subclass, whose kind is the value of `--family`.

    Attributes:
        num_values: the number of values that each dimension of x may take, if r(x|z) is a probability: 256 for 8-bit
            pixels, 2 for binary pixels. None: r(x|z) is a density of real numbers.
        no_density: the reason why r(x|z) has no `log_prob`; empty if it has one.
    """

    num_values: ClassVar[int | None] = None
    no_density: ClassVar[str] = ""

    @abstractmethod
    def build(self, shape: Shape) -> "LikelihoodHead":
        """Builds the module that turns the output of the decoder into r(x|z).

        Args:
            shape: shape of one datum, (channels, height, width) or (dimensions,).

        Raises:
            ValueError: if the family does not fit such data.
        """

    def parameters_shape(self, shape: Shape) -> Shape:
        """The shape of the decoder's output for one datum: by default the shape of the datum.

        Args:
            shape: shape of one datum, (channels, height, width) or (dimensions,).
        """
        return shape

    def check_values(self, values: np.ndarray) -> None:
        """Checks, before a training, that the data are such that r(x|z) has a value; by default all are.

        Args:
            values: uint8 images or floats in [0, 1], (N, C, H, W); or vectors (N, D).

        Raises:
            ValueError: if they are not.
        """
        return None

    @property
    def discrete(self) -> bool:
        """Whether r(x|z) is a probability of discrete values; otherwise it is a density of real numbers."""
        return self.num_values is not None

    @property
    def autoregressive(self) -> bool:
        """Whether pixels depend on each other given z. Then a picture is whole only once its pixels are drawn."""
        return False

    def nearest(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n *shape"]:
        """The data nearest to x that r(x|z) gives a probability; x itself if it takes any numbers.

        Args:
            x: images in [0, 1], (n, C, H, W), such as pictures that were turned; or vectors (n, D).
        """
        return x

    def lacks(self) -> Mapping[Literal["encoder", "density"], str]:
        """The capabilities that a model with this likelihood lacks, each with the reason."""
        return {"density": self.no_density} if self.no_density else {}

    def bits_per_dimension(self, nats: float, shape: Shape) -> float | None:
        """Bits per dimension (per channel of each pixel) of an image.

        A density is evaluated at the 256 values k / 255 of an 8-bit image, each as an interval of width 1 / 255. No
        noise makes these values continuous, so the result is no bound on the probability of the 8-bit image.

        Args:
            nats: the log-likelihood of an image, or a bound on it, in nats.
            shape: shape of one datum, (channels, height, width) or (dimensions,).

        Returns:
            None for vectors, and if the likelihood is neither a density nor a probability of 8-bit values.
        """
        if not is_image(shape) or self.no_density or self.num_values not in (None, 256):
            return None
        interval = 0.0 if self.discrete else log(255)  # -log of its width
        return (interval - nats / prod(shape)) / log(2)


class LikelihoodHead(nn.Module, ABC):
    """The module that turns the output of the decoder into r(x|z); the mean of images lies in [0, 1]."""

    @abstractmethod
    def forward(
        self,
        output: Float[Tensor, "n *parameters"],
        mean: Tensor,
        stddev: Tensor,
        x: Float[Tensor, "n *shape"] | None = None,
    ) -> Distribution:
        """The likelihood r(x|z), of batch shape (n,), with one datum as event.

        Args:
            output: the output of the decoder, of `Likelihood.parameters_shape`.
            mean: mean of the data, one number or of the datum's shape; it shifts vectors back to their own units.
            stddev: standard deviation of the data, one number or of the datum's shape; it scales vectors back.
            x: the data in training, to which an optimal scale is fitted; None: nothing is fitted.
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
    """A Gaussian N(x̂, σ²) with one standard deviation σ for all dimensions.

    Attributes:
        scale: σ. A number above 0 is fixed: in grey levels from 0 to 1 for images, in standard deviations of each
            dimension for vectors. "learned": a parameter. "optimal": the root mean square error of the batch in
            training, which maximises the likelihood, and its running average afterwards (Reference: Rybkin et al.
            2021, "Simple and Effective VAE Training with Calibrated Decoders", section 3.2).
    """

    def build(self, shape: Shape) -> "ScaledHead":
        """Builds the module; x̂ is the output of the decoder, through a sigmoid for images.

        Args:
            shape: shape of one datum, (channels, height, width) or (dimensions,).
        """
        return GaussianDensity(self.scale, shape)


@dataclass(frozen=True, kw_only=True)
class Laplace(_Scaled, kind="laplace"):
    """A Laplace density exp(-|x - x̂| / b) / 2b with one scale b for all dimensions.

    The loss of the authors' code, ``ratio · Σ|x - x̂|``, is its negative logarithm for b = 1 / ratio, up to a constant.

    Attributes:
        scale: b. A number above 0 is fixed: in grey levels from 0 to 1 for images, in standard deviations of each
            dimension for vectors. "learned": a parameter. "optimal": the mean absolute error of the batch in training,
            which maximises the likelihood, and its running average afterwards (Reference: Rybkin et al. 2021, "Simple
            and Effective VAE Training with Calibrated Decoders", section 3.2).
    """

    def build(self, shape: Shape) -> "ScaledHead":
        """Builds the module; x̂ is the output of the decoder, through a sigmoid for images.

        Args:
            shape: shape of one datum, (channels, height, width) or (dimensions,).
        """
        return LaplaceDensity(self.scale, shape)


@dataclass(frozen=True, kw_only=True)
class Bernoulli(Likelihood, kind="bernoulli"):
    """A Bernoulli distribution of every pixel, for images in [0, 1]; grey values count as probabilities."""

    num_values: ClassVar[int | None] = 2

    def build(self, shape: Shape) -> "BernoulliProbability":
        """Builds the module; its logits are the output of the decoder.

        Args:
            shape: shape of one datum, (channels, height, width).

        Raises:
            ValueError: if the data are vectors.
        """
        if not is_image(shape):
            raise ValueError(
                "the Bernoulli likelihood is for images in [0, 1]; choose 'gaussian' or 'laplace' for vectors"
            )
        return BernoulliProbability()


@dataclass(frozen=True, kw_only=True)
class Deterministic(Likelihood, kind="deterministic"):
    """No likelihood: the picture is a function of the codes, and has no density. For models that a critic trains."""

    no_density: ClassVar[str] = "the picture is a function of the codes, so no picture has a density"

    def build(self, shape: Shape) -> "DeterministicHead":
        """Builds the module; the picture is the output of the decoder through a sigmoid.

        Args:
            shape: shape of one datum, (channels, height, width).

        Raises:
            ValueError: if the data are vectors.
        """
        if not is_image(shape):
            raise ValueError("pictures without a likelihood are in [0, 1]; choose 'gaussian' or 'laplace' for vectors")
        return DeterministicHead()


class ScaledHead(LikelihoodHead, ABC):
    """A density around x̂, with one scale for all dimensions.

    Args:
        scale: the scale, a number above 0 in grey levels (images) or standard deviations (vectors); or "learned" or
            "optimal".
        shape: shape of one datum, (channels, height, width) or (dimensions,).
    """

    density: ClassVar[type[Normal | LaplaceDistribution]]
    fitted_scale: Tensor
    num_fits: Tensor

    # A hundredth of an 8-bit grey level; it keeps the density finite if a batch is reproduced exactly.
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
        """The scale under which these errors are most likely.

        Args:
            error: x - x̂, of any shape.
        """

    @property
    def scale(self) -> Float[Tensor, ""]:
        """The current scale, in grey levels (images) or standard deviations (vectors)."""
        return self.log_scale.exp() if self.learned else self.fitted_scale

    def forward(
        self,
        output: Float[Tensor, "n *shape"],
        mean: Tensor,
        stddev: Tensor,
        x: Float[Tensor, "n *shape"] | None = None,
    ) -> Distribution:
        """The density around x̂, of batch shape (n,); in training an optimal scale is fitted to x.

        Args:
            output: the output of the decoder, of `Likelihood.parameters_shape`.
            mean: mean of the data, one number or of the datum's shape; it shifts vectors back to their own units.
            stddev: standard deviation of the data, one number or of the datum's shape; it scales vectors back.
            x: the data in training, to which an optimal scale is fitted; None: nothing is fitted.
        """
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
        # At the optimum the derivative of the loss by the scale is 0, so no gradient flows through the scale.
        best: Tensor = self.best_scale(error).clamp_min(self.smallest_scale)
        self.num_fits += 1
        # Over the last tenth of the steps, 100 at most: a short training is not judged by the scale of its beginning.
        self.fitted_scale.lerp_(best, torch.clamp(10 / (self.num_fits + 9), min=0.01))
        return best


class GaussianDensity(ScaledHead):
    """The Gaussian N(x̂, σ²).

    Args:
        scale: σ, a number above 0 in grey levels (images) or standard deviations (vectors); or "learned" or "optimal".
        shape: shape of one datum, (channels, height, width) or (dimensions,).
    """

    density = Normal

    def best_scale(self, error: Tensor) -> Float[Tensor, ""]:
        """The root mean square error.

        Args:
            error: x - x̂, of any shape.
        """
        return mean_over_devices(error.square().mean()).sqrt()


class LaplaceDensity(ScaledHead):
    """The Laplace density around x̂.

    Args:
        scale: b, a number above 0 in grey levels (images) or standard deviations (vectors); or "learned" or "optimal".
        shape: shape of one datum, (channels, height, width) or (dimensions,).
    """

    density = LaplaceDistribution

    def best_scale(self, error: Tensor) -> Float[Tensor, ""]:
        """The mean absolute error.

        Args:
            error: x - x̂, of any shape.
        """
        return mean_over_devices(error.abs().mean())


class BernoulliProbability(LikelihoodHead):
    """A Bernoulli distribution of every pixel."""

    def forward(
        self,
        output: Float[Tensor, "n *shape"],
        mean: Tensor,
        stddev: Tensor,
        x: Float[Tensor, "n *shape"] | None = None,
    ) -> Distribution:
        """The Bernoulli distribution whose logits are the output of the decoder.

        Args:
            output: the logits, (n, C, H, W).
            mean: not used.
            stddev: not used.
            x: not used.
        """
        logits = output.float()
        return Independent(
            BernoulliDistribution(logits=logits, validate_args=False), logits.ndim - 1, validate_args=False
        )


class Point(Distribution):
    """All probability at one datum.

    Args:
        datum: of each row, (n, …).
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, datum: Float[Tensor, "n *shape"]):
        super().__init__(datum.shape[:1], datum.shape[1:], validate_args=False)
        self.datum = datum

    @property
    def mean(self) -> Float[Tensor, "n *shape"]:
        """The datum, (n, …)."""
        return self.datum

    def log_prob(self, value: Tensor) -> Tensor:
        """Raises an error: there is no density.

        Args:
            value: not used.

        Raises:
            NotDefinedError: always.
        """
        raise NotDefinedError(f"{Deterministic.no_density}; an objective that needs one takes another family")


class DeterministicHead(LikelihoodHead):
    """The picture that the decoder draws, without a density."""

    def forward(
        self,
        output: Float[Tensor, "n *shape"],
        mean: Tensor,
        stddev: Tensor,
        x: Float[Tensor, "n *shape"] | None = None,
    ) -> Distribution:
        """The output of the decoder through a sigmoid.

        Args:
            output: (n, C, H, W).
            mean: not used.
            stddev: not used.
            x: not used.
        """
        return Point(torch.sigmoid(output.float()))


def likelihood_of(family: str, settings: Mapping[str, Any]) -> Likelihood:
    """A likelihood by its name; settings that the family does not have are ignored.

    Args:
        family: the kind of likelihood: "gaussian", "laplace", "bernoulli", or one defined elsewhere.
        settings: the settings by name, of this family or of others.

    Raises:
        ValueError: if there is no such family, or a setting is out of its range.

    Examples:
        >>> likelihood_of("laplace", {"scale": 0.125})
        Laplace(scale=0.125)
    """
    kind = Likelihood.of_kind(family)
    names = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in settings.items() if name in names})
