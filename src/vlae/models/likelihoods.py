"""The last step of a decoder: from its output to a proper density of the data, in nats."""

from dataclasses import dataclass
from math import prod
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Laplace, Normal
from torch.nn import functional

from vlae.nn.layers import Shape

Family = Literal["gaussian", "laplace", "bernoulli"]
Scale = float | Literal["optimal", "learned"]


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Which density r(x | z) is.

    Attributes:
        family: "gaussian", "laplace" or "bernoulli" (of data in [0, 1], grey values taken as probabilities).
        scale: σ of the Gaussian or b of the Laplace, one for all dimensions, in units of the data: a fixed number;
            "learned", a parameter; or "optimal", its maximum-likelihood value, which is the (root mean square or mean
            absolute) error of the batch in training and a running average of it afterwards
            (Reference: Rybkin et al. 2021, "Simple and Effective VAE Training with Calibrated Decoders", section 3.2).
            The Bernoulli has none.

    The authors' ``ratio · Σ|x - x̂|`` is, up to a constant, the Laplace of scale ``1 / ratio``.
    """

    family: Family = "gaussian"
    scale: Scale = "optimal"

    def __post_init__(self) -> None:
        if self.family not in get_args(Family):
            raise ValueError(f"likelihood {self.family!r} is unknown; choose one of {', '.join(get_args(Family))}")
        if isinstance(self.scale, str) and self.scale not in ("optimal", "learned"):
            raise ValueError(f"scale {self.scale!r} is unknown; give a number above 0, 'optimal' or 'learned'")
        if not isinstance(self.scale, str) and not 0 < self.scale < float("inf"):
            raise ValueError(f"scale is {self.scale}; give a number above 0, 'optimal' or 'learned'")


class Output(nn.Module):
    """Turns a decoder's output into the likelihood; the mean of images passes a sigmoid, that of vectors does not.

    Attributes:
        scale: the present scale, in units of the data's own (standardised) scale.
    """

    fitted_scale: Tensor
    num_fits: Tensor

    # Keeps the density finite where a batch is reproduced exactly: a hundredth of a grey level.
    smallest_scale = 1e-2 / 255

    def __init__(self, settings: Likelihood, shape: Shape):
        """A likelihood of data of this shape."""
        super().__init__()
        if settings.family == "bernoulli" and len(shape) == 1:
            raise ValueError(
                "the Bernoulli likelihood is for images in [0, 1]; choose 'gaussian' or 'laplace' for vectors"
            )
        self.settings = settings
        self.shape = shape
        self.learned = settings.scale == "learned" and settings.family != "bernoulli"
        initial = settings.scale if isinstance(settings.scale, float | int) else 0.25 if len(shape) == 3 else 1.0
        if self.learned:
            self.log_scale = nn.Parameter(torch.tensor(float(initial)).log())
        else:
            self.register_buffer("fitted_scale", torch.tensor(float(initial)))
            self.register_buffer("num_fits", torch.tensor(0.0))

    @property
    def scale(self) -> Float[Tensor, ""]:
        """The scale in force."""
        return self.log_scale.exp() if self.learned else self.fitted_scale

    def forward(
        self,
        output: Float[Tensor, "n *shape"],
        shift: Tensor,
        stddev: Tensor,
        x: Float[Tensor, "n *shape"] | None = None,
    ) -> Distribution:
        """The likelihood; in training the optimal scale is fitted to `x`.

        `shift` and `stddev` standardise vectors: one number, or one per dimension.
        """
        output = output.float()
        if self.settings.family == "bernoulli":
            return Independent(Bernoulli(logits=output, validate_args=False), len(self.shape), validate_args=False)
        images = len(self.shape) == 3
        mean = torch.sigmoid(output) if images else output * stddev + shift
        unit = torch.ones_like(stddev) if images else stddev
        scale = self.scale
        if self.settings.scale == "optimal" and self.training and x is not None:
            scale = self._fit((x - mean) / unit)
        density = Normal if self.settings.family == "gaussian" else Laplace
        spread = (scale * unit).expand_as(mean)
        return Independent(density(mean, spread, validate_args=False), len(self.shape), validate_args=False)

    @torch.no_grad()
    def _fit(self, error: Tensor) -> Tensor:
        # At the optimum the loss is flat in the scale, so its gradient is left out and changes nothing.
        gaussian = self.settings.family == "gaussian"
        best = error.square().mean().sqrt() if gaussian else error.abs().mean()
        best = best.clamp_min(self.smallest_scale)
        self.num_fits += 1
        self.fitted_scale.lerp_(best, torch.clamp(1 / self.num_fits, min=0.01))
        return best


def positive(raw: Float[Tensor, "*any"], how: Literal["softplus", "sigmoid"]) -> Float[Tensor, "*any"]:
    """A standard deviation from a free number.

    "softplus" starts near 1 and has no upper limit. "sigmoid" is the authors' sigmoid(·) + 0.001, with which a
    posterior is never wider than the prior.
    """
    if how == "sigmoid":
        return torch.sigmoid(raw) + 0.001
    return functional.softplus(raw + 0.5413) + 1e-4  # softplus(0.5413) = 1


def num_dimensions(shape: Shape) -> int:
    """How many numbers one datum has."""
    return prod(shape)
