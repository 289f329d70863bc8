"""Distributions of one level's code. Each turns standard normal noise into a code, and a code into noise.

The noise has the shape of the code.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import log, pi
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Normal, register_kl
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

    def settled(self, code: Float[Tensor, "_ size"]) -> Float[Tensor, "_ size"]:
        """The code that `place` gives for the noise of this code: of a category one-hot, of numbers the code itself.

        Args:
            code: (n, code size).
        """
        return code

    def every_code(self) -> Float[Tensor, "values size"] | None:
        """Every code that there is, of a category; None of a distribution of numbers."""
        return None

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


class CategoryCode(CodeDistribution):
    """A category of K values; its code is one-hot, or the probabilities themselves.

    All quantities have a column per value, so that a sum over the columns is that of the whole code: of `log_prob`, and
    of the KL. `rsample` returns the probabilities: an expectation over the category is then a sum, without noise.
    `place` returns a one-hot code, that of the largest of the log-probabilities with Gumbel noise.

    Args:
        logits: (n, K); log-probabilities up to a constant in each row.

    Examples:
        >>> code = CategoryCode(torch.tensor([[0.0, 0.0]]))
        >>> code.mean, code.place(torch.tensor([[0.5, 0.0]]))
        (tensor([[0.5000, 0.5000]]), tensor([[1., 0.]]))
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, logits: Float[Tensor, "n values"]):
        self.logits = functional.log_softmax(logits, dim=1)
        super().__init__(self.logits.shape, validate_args=False)

    @property
    def mean(self) -> Float[Tensor, "n values"]:
        """The probability of each value, (n, K)."""
        return self.logits.exp()

    @property
    def stddev(self) -> Float[Tensor, "n values"]:
        """The standard deviation of each column of the one-hot code, (n, K), at least 1e-6."""
        probabilities = self.mean
        return (probabilities * (1 - probabilities)).clamp_min(1e-12).sqrt()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Float[Tensor, "n values"]:
        """The probabilities, (n, K): the expectation of the one-hot code.

        Args:
            sample_shape: not used.
        """
        return self.mean

    def log_prob(self, value: Float[Tensor, "n values"]) -> Float[Tensor, "n values"]:
        """The log-probability of a one-hot code, or its expectation under probabilities, by column.

        Args:
            value: a code, (n, K).
        """
        return value * self.logits

    def place(self, noise: Float[Tensor, "_ size"]) -> Float[Tensor, "_ size"]:
        """The one-hot code of the largest log-probability plus Gumbel noise (the Gumbel-max trick).

        Args:
            noise: (n, K), standard normal; its quantiles give the Gumbel noise.
        """
        log_cumulative = torch.special.log_ndtr(noise)
        gumbel = -torch.log(-log_cumulative.clamp(max=-1e-30))
        best = (self.logits + gumbel).argmax(1)
        return functional.one_hot(best, noise.shape[1]).to(noise.dtype)

    def noise_of(self, code: Float[Tensor, "_ size"]) -> Float[Tensor, "_ size"]:
        """A noise under which the largest value of a code wins; `place` then gives its one-hot code.

        Many noises do. This one leads by a margin in the logits: 2 above the others in the chosen column.

        Args:
            code: one-hot codes or probabilities, (n, K).
        """
        chosen = self.settled(code)
        own = (self.logits * chosen).sum(1, keepdim=True)
        lead = (self.logits - own).amax(1, keepdim=True).clamp_min(0) + 2.0
        gumbel = chosen * lead
        return torch.special.ndtri(torch.exp(-torch.exp(-gumbel)).clamp(1e-6, 1 - 1e-6))

    def settled(self, code: Float[Tensor, "_ size"]) -> Float[Tensor, "_ size"]:
        """The one-hot code of the largest value.

        Args:
            code: one-hot codes or probabilities, (n, K).
        """
        return functional.one_hot(code.argmax(1), code.shape[1]).to(code.dtype)

    def every_code(self) -> Float[Tensor, "values values"]:
        """The one-hot code of each value, (K, K)."""
        return torch.eye(self.logits.shape[1], device=self.logits.device)

    @classmethod
    def cat(cls, parts: Sequence[Any]) -> "CategoryCode":
        """Joins the log-probabilities of several batches.

        Args:
            parts: categories, in the order of the batches.
        """
        return cls(torch.cat([part.logits for part in parts]))


@register_kl(CategoryCode, CategoryCode)  # type: ignore[untyped-decorator]
def _kl_of_categories(q: CategoryCode, p: CategoryCode) -> Tensor:
    return q.mean * (q.logits - p.logits)


class NormalOfClass(NormalCode):
    """The Gaussian N(μ_y, σ²) of a class y, or, under probabilities of classes, what stands for their expectation.

    The KL of a Gaussian q to it is the expectation Σ_y π_y KL(q || N(μ_y, σ²)) (Reference: Kingma et al. 2014,
    "Semi-supervised Learning with Deep Generative Models", equation 7). For a one-hot π all is that of N(μ_y, σ²).
    `place` and `noise_of` use the mean Σ_y π_y μ_y.

    Args:
        classes: π, the probability of each class, (n, K).
        means: μ, the mean of each class, (K, code size).
        stddev: σ, above 0.
    """

    def __init__(self, classes: Float[Tensor, "n values"], means: Float[Tensor, "values size"], stddev: float):
        mean = classes @ means
        super().__init__(mean, torch.full_like(mean, stddev))
        self.classes, self.means = classes, means

    @property
    def spread(self) -> Float[Tensor, "n size"]:
        """The variance of the classes' means under π, (n, code size); 0 if π is one-hot."""
        return self.classes @ self.means.square() - self.mean.square()

    def log_marginal(self, code: Float[Tensor, "n size"], log_shares: Float[Tensor, "_ values"]) -> Float[Tensor, " n"]:
        """The log-density of a code whose class is not known: log Σ_y p(y) N(code; μ_y, σ²), whatever π is.

        Args:
            code: (n, code size).
            log_shares: log p(y), (n, K) or (1, K).
        """
        offsets = (code[:, None] - self.means) / self.stddev[:, None]
        of_each = -0.5 * (offsets.square() + log(2 * pi)) - self.stddev[:, None].log()
        return torch.logsumexp(log_shares + of_each.sum(2), dim=1)

    @classmethod
    def cat(cls, parts: Sequence[Any]) -> "NormalOfClass":
        """Joins the classes of several batches.

        Args:
            parts: Gaussians of the same classes, in the order of the batches.
        """
        return cls(torch.cat([part.classes for part in parts]), parts[0].means, float(parts[0].stddev[0, 0]))


@register_kl(NormalCode, NormalOfClass)  # type: ignore[untyped-decorator]
def _kl_to_class(q: NormalCode, p: NormalOfClass) -> Tensor:
    own = torch.log(p.stddev / q.stddev) + (q.variance + (q.mean - p.mean).square()) / (2 * p.variance) - 0.5
    return own + p.spread / (2 * p.variance)


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
