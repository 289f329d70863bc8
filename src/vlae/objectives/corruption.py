"""Noise on the pictures that an encoder sees, as in the authors' code."""

import torch
from jaxtyping import Float
from torch import Tensor

SHARE = 0.1
"""The share of pixels that become black or white."""

STDDEV = 0.1
"""The standard deviation of the Gaussian noise on every value, for pictures in [0, 1]."""


def corrupted(x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n channels height width"]:
    """Pictures with salt and pepper on a tenth of their pixels, and Gaussian noise of standard deviation 0.1 on all.

    Half of those pixels become black and half white, in all channels. The result is not clipped. The noise is drawn
    from PyTorch's generator of the pictures' device.

    References: Vincent et al. 2008, "Extracting and Composing Robust Features with Denoising Autoencoders"; the amounts
    are those with which Zhao et al. 2017 trained.

    Args:
        x: pictures in [0, 1], (n, C, H, W).
    """
    drawn = torch.rand_like(x[:, :1])
    noisy = torch.where(drawn < SHARE / 2, 0.0, torch.where(drawn < SHARE, 1.0, x))
    return noisy + STDDEV * torch.randn_like(x)
