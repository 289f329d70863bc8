"""Distributions of one level's code: each places its own noise, so nothing else needs to know its form.

Noise is standard normal in every kind of level: one number for each entry of the code.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Normal


class CodeDistribution(Distribution, ABC):
    """A distribution of codes of batch shape (n, code size), or (1, code size) where it is the same for every datum.

    A kind of its own brings the density and the draws that every torch distribution has (`mean`, `stddev`, `rsample`,
    `log_prob`), a KL between two of it for `torch.distributions.kl_divergence`, with one entry per entry of the code,
    and these three.
    """

    @abstractmethod
    def place(self, noise: Float[Tensor, "_ size"]) -> Float[Tensor, "_ size"]:
        """The code that standard normal noise stands for."""

    @abstractmethod
    def noise_of(self, code: Float[Tensor, "_ size"]) -> Float[Tensor, "_ size"]:
        """Noise that `place` would turn into this code."""

    @classmethod
    @abstractmethod
    def cat(cls, parts: Sequence[Any]) -> "CodeDistribution":
        """The distributions of several batches as one, in order; all are of this class."""


class NormalCode(Normal, CodeDistribution):
    """N(mean, stddev²), independent in every entry; z = mean + stddev · ε."""

    def __init__(self, mean: Float[Tensor, "n size"], stddev: Float[Tensor, "n size"]):
        super().__init__(mean, stddev, validate_args=False)

    def place(self, noise: Float[Tensor, "_ size"]) -> Float[Tensor, "_ size"]:
        """Mean + stddev · ε."""
        placed: Tensor = self.mean + self.stddev * noise
        return placed

    def noise_of(self, code: Float[Tensor, "_ size"]) -> Float[Tensor, "_ size"]:
        """(z - mean) / stddev."""
        noise: Tensor = (code - self.mean) / self.stddev
        return noise

    @classmethod
    def cat(cls, parts: Sequence[Any]) -> "NormalCode":
        """Means and standard deviations of all parts."""
        return cls(torch.cat([part.mean for part in parts]), torch.cat([part.stddev for part in parts]))


def standard_normal(num: int | torch.SymInt, size: int, device: torch.device) -> NormalCode:
    """N(0, I) of batch shape (num, size); give `x.shape[0]`, not `len(x)`, which an export takes for a constant."""
    zeros = torch.zeros(num, size, device=device)
    return NormalCode(zeros, torch.ones_like(zeros))
