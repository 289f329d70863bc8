"""Discrepancies: distances between the distributions of two samples, of codes or of features of pictures."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vlae.errors import NotDefinedError


def mmd(one: Float[Tensor, "n d"], other: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """The squared maximum mean discrepancy (MMD) of two samples.

    It is 0 on average if both samples have the same distribution, and above 0 otherwise. This is the unbiased
    estimate, which may fall below 0, with the kernel k(a, b) = exp(-|a - b|² / 2d) in d dimensions.

    Reference: Gretton et al. 2012, "A Kernel Two-Sample Test", equation 3; Zhao et al. 2017, "InfoVAE", section 3.2.

    Args:
        one: the first sample, (n, d), n at least 2.
        other: the second sample, (m, d), m at least 2.

    Raises:
        NotDefinedError: if a sample has fewer than two rows.
    """
    if min(len(one), len(other)) < 2:
        raise NotDefinedError(
            f"the MMD of {len(one)} and {len(other)} data is not defined; give each sample two or more"
        )
    d = max(1, one.shape[1])

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-(a[:, None] - b[None]).square().sum(2) / (2 * d))

    def mean_within(a: Tensor) -> Tensor:
        return (kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1))

    return mean_within(one) + mean_within(other) - 2 * kernel(one, other).mean()


def frechet(one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "m d"]) -> float:
    """The Fréchet distance of two samples, as if they were Gaussian: |μ - ν|² + tr(A + B - 2 (AB)^½).

    Few rows bias it upwards. Compare only distances between samples of the same size.

    Reference: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", equation 6, with another feature
    space.

    Args:
        one: a sample of a row per datum and a column per feature, (n, d), in any unit; n is at least 2.
        other: another sample of the same features, (m, d); m is at least 2.

    Returns:
        The distance in squared units of the features, from 0 up.
    """
    a, b = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    values, vectors = np.linalg.eigh(np.atleast_2d(a))
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ np.atleast_2d(b) @ root).clip(0)).sum()
    return float(((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(np.atleast_2d(a + b)) - 2 * cross)
