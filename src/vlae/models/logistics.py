"""Mixtures of discretised logistics: the probability of each value of a pixel, whose colours depend on each other.

Reference: Salimans et al. 2017, "PixelCNN++", sections 2.1 and 2.2.
"""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

LEAST_LOG_SCALE = -8.0  # a scale of a twelfth of an 8-bit grey level
MOST_LOG_SCALE = 40.0  # all values are as likely long before; beyond 88 the scale would be infinite
INITIAL_LOG_SCALE = -2.0  # of a number 0, for the whole range of values from 0 to 1


class LogisticMixture:
    """For each pixel a mixture of K joint distributions of its channels x_1 … x_C, with values k / (V - 1).

    In a component, channel c is a logistic of mean μ_c = m_c + b_c + Σ_{d<c} a_{cd} (x_d - m_d) and scale s_c, of which
    each value gets the interval around it; the intervals of the lowest and highest value are open. So the
    probabilities of all values add up to 1.

    Args:
        numbers: (n, K · `num_numbers(C)`, h, w); for each component a logit, b, the scales, a.
        centre: m in [0, 1], (n, C, h, w).
        num_components: K, from 1 up.
        num_values: V, from 2 up.
    """

    def __init__(
        self,
        numbers: Float[Tensor, "n numbers h w"],
        centre: Float[Tensor, "n channels h w"],
        *,
        num_components: int,
        num_values: int,
    ):
        channels = centre.shape[1]
        parts = numbers.unflatten(1, (num_components, -1)).split([1, channels, channels, count_pairs(channels)], dim=2)
        self.logits, self.coupling = parts[0][:, :, 0], parts[3]
        self.centre, self.num_values = centre[:, None], num_values
        self.mean = self.centre + parts[1] / 2
        log_scale = LEAST_LOG_SCALE + functional.softplus(parts[2] + INITIAL_LOG_SCALE - LEAST_LOG_SCALE)
        self.log_scale = log_scale.clamp_max(MOST_LOG_SCALE)

    def log_prob(self, x: Float[Tensor, "n channels h w"]) -> Float[Tensor, "n h w"]:
        """The log-probability of each pixel, all channels together, in nats.

        σ(a) - σ(b) = σ(a) σ(-b) (1 - exp(b - a)), which stays exact where both are near 0 or 1.

        Args:
            x: values k / (V - 1).
        """
        x = x[:, None]
        channels = range(x.shape[2])
        mean = torch.stack([self._mean(channel, self.mean, self.coupling, x) for channel in channels], dim=2)
        scale = self.log_scale.exp()
        place, half = (x - mean) / scale, 0.5 / (self.num_values - 1) / scale
        below, above = functional.logsigmoid(place + half), functional.logsigmoid(half - place)
        between = below + above + torch.log(-torch.expm1(-2 * half))
        margin = 0.5 / (self.num_values - 1)
        mass = torch.where(x < margin, below, torch.where(x > 1 - margin, above, between))
        return torch.logsumexp(self.logits.log_softmax(1) + mass.sum(2), dim=1)

    def place(
        self, gumbel: Float[Tensor, "n components h w"], uniform: Float[Tensor, "n channels h w"]
    ) -> Float[Tensor, "n channels h w"]:
        """The pixels of noise: Gumbel noise chooses the component, uniform noise the quantile of each channel.

        Args:
            gumbel: standard Gumbel noise.
            uniform: noise between 0 and 1, both left out.
        """
        chosen = (self.logits + gumbel).argmax(1)[:, None, None]
        mean, log_scale, coupling = (
            part.take_along_dim(chosen, dim=1) for part in (self.mean, self.log_scale, self.coupling)
        )
        logistic, top = uniform.log() - torch.log1p(-uniform), self.num_values - 1
        x = torch.zeros_like(mean)
        for channel in range(x.shape[2]):
            value = self._mean(channel, mean, coupling, x) + log_scale[:, :, channel].exp() * logistic[:, None, channel]
            x[:, :, channel] = (value * top).round().clamp(0, top) / top
        return x[:, 0]

    def _mean(self, channel: int, mean: Tensor, coupling: Tensor, x: Tensor) -> Tensor:
        """μ_c of a channel, given the channels before it."""
        first = count_pairs(channel)
        before = (coupling[:, :, first : first + channel] * (x - self.centre)[:, :, :channel]).sum(2)
        return mean[:, :, channel] + before


def count_pairs(channels: int) -> int:
    """How many channels are coupled to one before them: C (C - 1) / 2.

    Args:
        channels: C.
    """
    return channels * (channels - 1) // 2


def num_numbers(channels: int) -> int:
    """How many numbers a component of a pixel has.

    Args:
        channels: C.

    Examples:
        >>> num_numbers(1), num_numbers(3)
        (3, 10)
    """
    return 1 + 2 * channels + count_pairs(channels)


def initial_numbers(channels: int, num_components: int) -> Float[Tensor, " numbers"]:
    """Numbers to begin with: components around m, from narrow to wide.

    Args:
        channels: C.
        num_components: K.
    """
    numbers = torch.zeros(num_components, num_numbers(channels))
    log_scales = torch.linspace(-log(3), log(3), num_components)
    numbers[:, 1 + channels : 1 + 2 * channels] = (log_scales - log_scales.mean())[:, None]
    return numbers.flatten()
