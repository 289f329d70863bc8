"""Bounds on the log-likelihood of data, by importance weights."""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from vlae.models.base import ForwardPass, LatentModel
from vlae.objectives.elbo import distortion


def importance_weights(forward: ForwardPass, x: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
    """The log of p(x, z) / q(z | x) of each datum at the drawn codes: what a bound on log p(x) averages."""
    weight = -distortion(forward, x)
    for q, p, code in zip(forward.posteriors, forward.priors, forward.codes, strict=True):
        weight = weight + (p.log_prob(code) - q.log_prob(code)).sum(1)
    return weight


@torch.no_grad()
def log_likelihood(
    model: LatentModel, x: Float[Tensor, "n *shape"], *, num_samples: int, chunk: int = 10, seed: int = 0
) -> Float[Tensor, " n"]:
    """The importance-weighted bound on log p(x) of each datum in nats: log 1/K Σ_k p(x, z_k) / q(z_k | x).

    With one sample it is the ELBO at that sample; it rises to log p(x) with their number.

    Reference: Burda et al. 2016, "Importance Weighted Autoencoders", equation 8.

    Args:
        model: in eval mode.
        x: as the model takes it.
        num_samples: K, exactly.
        chunk: samples at a time; memory grows with it, the result does not depend on it but for the draws.
        seed: of the draws; what is drawn elsewhere stays as it was.

    Raises:
        ValueError: if there is no sample to draw.
    """
    if num_samples < 1 or chunk < 1:
        raise ValueError(f"num_samples is {num_samples} and chunk {chunk}; give whole numbers from 1 up")
    total = torch.full((len(x),), -torch.inf, device=x.device)
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        torch.manual_seed(seed)
        for start in range(0, num_samples, chunk):
            num = min(chunk, num_samples - start)
            many = x.repeat(num, *(1 for _ in x.shape[1:]))
            weights = importance_weights(model(many), many).reshape(num, len(x))
            total = torch.logaddexp(total, weights.logsumexp(0))
    return total - log(num_samples)
