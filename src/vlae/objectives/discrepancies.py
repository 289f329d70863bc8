"""How far two samples of codes lie apart, as a number that training can make smaller."""

import torch
from jaxtyping import Float
from torch import Tensor


def mmd(one: Float[Tensor, "n d"], other: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """The squared maximum mean discrepancy of two samples: 0 on average where their laws agree, above it elsewhere.

    The unbiased estimate, which may fall below 0, with the kernel k(a, b) = exp(-|a - b|² / 2d), whose width follows
    the d dimensions.

    Reference: Gretton et al. 2012, "A Kernel Two-Sample Test", equation 3; Zhao et al. 2017, "InfoVAE", section 3.2.
    """
    d = max(1, one.shape[1])

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-(a[:, None] - b[None]).square().sum(2) / (2 * d))

    def among(a: Tensor) -> Tensor:
        return (kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1))

    return among(one) + among(other) - 2 * kernel(one, other).mean()
