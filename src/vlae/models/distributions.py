"""Distributions of one level's code. Each turns standard normal noise into a code, and a code into noise.

The noise has the shape of the code.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Normal
from torch.nn import functional


class CodeDistribution(Distribution, ABC):
    """A distribution of codes, of batch shape (n, code size), or (1, code size) if all data share it.

    A subclass has `mean`, `stddev`, `rsample` and `log_prob`, like every torch distribution, and the three methods
    below. It registers a KL between two of its kind with `torch.distributions.register_kl`; the KL has the batch shape.
    """

    @abstractmethod
    def place(self, noise: Float[Tensor, "_ size"]) -> Float[Tensor, "_ size"]:
        """The code of standard normal noise.

        Args:
            noise: (n, code size).
        """

    @abstractmethod
    def noise_of(self, code: Float[Tensor, "_ size"]) -> Float[Tensor, "_ size"]:
        """The noise that `place` turns into this code.

        Args:
            code: (n, code size).
        """

    @classmethod
    @abstractmethod
    def cat(cls, parts: Sequence[Any]) -> "CodeDistribution":
        """Joins the distributions of several batches into one.

        Args:
            parts: distributions of this class, in the order of the batches.
        """


class NormalCode(Normal, CodeDistribution):
    """The Gaussian N(μ, σ²), independent in every dimension: z = μ + σ · ε.

    Args:
        mean: μ, (n, code size).
        stddev: σ, (n, code size), above 0.

    Examples:
        >>> code = NormalCode(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 1.0]]))
        >>> code.place(torch.tensor([[0.5, 0.5]]))
        tensor([[2.0000, 0.5000]])
    """

    def __init__(self, mean: Float[Tensor, "n size"], stddev: Float[Tensor, "n size"]):
        super().__init__(mean, stddev, validate_args=False)

    def place(self, noise: Float[Tensor, "_ size"]) -> Float[Tensor, "_ size"]:
        """The code z = μ + σ · ε.

        Args:
            noise: ε, (n, code size).
        """
        placed: Tensor = self.mean + self.stddev * noise
        return placed

    def noise_of(self, code: Float[Tensor, "_ size"]) -> Float[Tensor, "_ size"]:
        """The noise ε = (z - μ) / σ.

        Args:
            code: z, (n, code size).
        """
        noise: Tensor = (code - self.mean) / self.stddev
        return noise

    @classmethod
    def cat(cls, parts: Sequence[Any]) -> "NormalCode":
        """Joins the means and standard deviations of several batches.

        Args:
            parts: Gaussians, in the order of the batches.
        """
        return cls(torch.cat([part.mean for part in parts]), torch.cat([part.stddev for part in parts]))


def no_code(num: int | torch.SymInt, device: torch.device) -> NormalCode:
    """The distribution of a level without a code, of batch shape (num, 0).

    Args:
        num: the number of data.
        device: where it shall lie.
    """
    return standard_normal(num, 0, device)


def standard_normal(num: int | torch.SymInt, size: int, device: torch.device) -> NormalCode:
    """N(0, I) of batch shape (num, size).

    Args:
        num: the number of rows. Write `x.shape[0]`, not `len(x)`: an export would store `len(x)` as a constant.
        size: dimensions of the code.
        device: the device of the parameters.
    """
    zeros = torch.zeros(num, size, device=device)
    return NormalCode(zeros, torch.ones_like(zeros))


def full_precision(x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Numbers in float32 if they are in a shorter form, such as bf16; float64 stays.

    Args:
        x: the numbers.
    """
    return x if x.dtype == torch.float64 else x.float()


def positive(raw: Float[Tensor, "*any"], form: Literal["softplus", "sigmoid"]) -> Float[Tensor, "*any"]:
    """Turns any number into a standard deviation above 0.

    Args:
        raw: the numbers; 0 becomes 1 ("softplus") or 0.501 ("sigmoid").
        form: "softplus": log(1 + exp(raw + 0.54)), without upper limit. "sigmoid": sigmoid(raw) + 0.001, the form of
            the authors' code, under which a posterior is hardly ever wider than the prior.
    """
    if form == "sigmoid":
        return torch.sigmoid(raw) + 0.001
    return functional.softplus(raw + 0.5413) + 1e-4  # softplus(0.5413) = 1
