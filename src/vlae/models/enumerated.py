"""Expectations over a class y that are sums over all its values: of a posterior, and of a likelihood."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution, kl_divergence, register_kl
from torch.nn import functional

from vlae.models.distributions import CategoryCode, NormalCode

CERTAIN = 60.0  # the log-probability of all other classes, below that of a known one; e^-60 leaves sums exact


class PartlyKnown(CategoryCode):
    """The posterior q(y|x), replaced by the label where that is known.

    Args:
        logits: of q(y|x), (n, K); log-probabilities up to a constant in each row.
        labels: the class of each datum, from 0 to K - 1; -1 where it is unknown.
    """

    def __init__(self, logits: Float[Tensor, "n values"], labels: Int[Tensor, " n"]):
        self.inferred = CategoryCode(logits)
        certain = CERTAIN * (functional.one_hot(labels.clamp_min(0), logits.shape[1]) - 1.0)
        super().__init__(torch.where((labels >= 0)[:, None], certain, self.inferred.logits))


class NormalByClass(NormalCode):
    """The Gaussians q(z|x, y) of all classes y, with the probability of each class.

    The KL of it to a Gaussian p is the expectation Σ_y π_y KL(q(z|x, y) || p). All else is that of the Gaussian with
    the mean and variance of the mixture.

    Args:
        classes: π, the probability of each class, (n, K).
        each: q(z|x, y), of batch shape (n · K, code size); all classes of a datum follow each other.
    """

    def __init__(self, classes: Float[Tensor, "n values"], each: NormalCode):
        def mean_of(values: Tensor) -> Tensor:
            return torch.einsum("nk,nkd->nd", classes, values.unflatten(0, (-1, classes.shape[1])))

        mean = mean_of(each.mean)
        variance = mean_of(each.variance + each.mean.square()) - mean.square()
        super().__init__(mean, variance.clamp_min(1e-12).sqrt())
        self.classes, self.each = classes, each

    @classmethod
    def cat(cls, parts: Sequence[Any]) -> "NormalByClass":
        """Joins the Gaussians of several batches.

        Args:
            parts: of the same classes, in the order of the batches.
        """
        return cls(torch.cat([part.classes for part in parts]), NormalCode.cat([part.each for part in parts]))


@register_kl(NormalByClass, NormalCode)  # type: ignore[untyped-decorator]
def _kl_by_class(q: NormalByClass, p: NormalCode) -> Tensor:
    num_classes = q.classes.shape[1]
    mean, stddev = (part.repeat_interleave(num_classes, 0) if len(part) > 1 else part for part in (p.mean, p.stddev))
    kl = kl_divergence(q.each, NormalCode(mean, stddev)).unflatten(0, (-1, num_classes))
    return torch.einsum("nk,nkd->nd", q.classes, kl)


class ExpectedLikelihood(Distribution):
    """The likelihoods r(x|z_y, y) of all classes y; its `log_prob` is Σ_y π_y log r(x|z_y, y), the expectation.

    It is that part of the bound in which y is summed over, and no distribution of its own. Its mean is that of the
    mixture Σ_y π_y r(x|z_y, y).

    Args:
        classes: π, the probability of each class, (n, K).
        each: r(x|z_y, y), of batch shape (n · K,); all classes of a datum follow each other.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, classes: Float[Tensor, "n values"], each: Distribution):
        self.classes, self.each = classes, each
        super().__init__(classes.shape[:1], each.event_shape, validate_args=False)

    def log_prob(self, value: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
        """The expectation of the log-likelihood of each datum, (n,), in nats.

        Args:
            value: x, (n, *shape).
        """
        repeated = value.repeat_interleave(self.classes.shape[1], 0)
        return expected(self.classes, self.each.log_prob(repeated))

    @property
    def mean(self) -> Float[Tensor, "n *shape"]:
        """The mean of the mixture, (n, *shape)."""
        each = self.each.mean.unflatten(0, (-1, self.classes.shape[1]))
        return torch.einsum("nk,nk...->n...", self.classes, each)


def expected(classes: Float[Tensor, "n values"], each: Float[Tensor, " all"]) -> Float[Tensor, " n"]:
    """The expectation of a number over the class of each datum.

    Args:
        classes: the probability of each class, (n, K).
        each: the number of each datum and class, (n · K,); all classes of a datum follow each other.
    """
    return (classes * each.reshape(classes.shape)).sum(1)
