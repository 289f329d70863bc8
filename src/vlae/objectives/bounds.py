"""Bounds on the log-likelihood of data by importance weighting."""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from vlae.models.base import ForwardPass, LatentModel
from vlae.models.distributions import CategoryCode, NormalOfClass
from vlae.objectives.elbo import distortion


def log_importance_weights(forward: ForwardPass, x: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
    """The log importance weight log p(x, z) - log q(z|x) of each datum, at the sampled codes.

    A class y above a ladder is not drawn: its code is q(y|x), and x depends on it only through the code z_l that holds
    it. So it is summed out, with p(z_l) = Σ_y p(y) p(z_l|y) in place of p(z_l|y) p(y) / q(y|x).

    Args:
        forward: the forward pass of the batch.
        x: the batch, (n, C, H, W) or (n, D).
    """
    weight = -distortion(forward, x)
    holds_class = any(isinstance(p, NormalOfClass) for p in forward.priors)
    for q, p, code in zip(forward.posteriors, forward.priors, forward.codes, strict=True):
        if isinstance(p, NormalOfClass):
            of_class = next(other for other in forward.priors if isinstance(other, CategoryCode))
            weight = weight + p.log_marginal(code, of_class.logits) - q.log_prob(code).sum(1)
        elif not (holds_class and isinstance(p, CategoryCode)):
            weight = weight + (p.log_prob(code) - q.log_prob(code)).sum(1)
    return weight


@torch.no_grad()
def log_likelihood(
    model: LatentModel,
    x: Float[Tensor, "n *shape"],
    *,
    num_samples: int,
    chunk: int = 10,
    seed: int = 0,
    features: Float[Tensor, "n features"] | None = None,
) -> Float[Tensor, " n"]:
    """The importance-weighted bound log (1/K) Σ_k p(x, z_k) / q(z_k|x) on log p(x) of each datum, in nats.

    With K = 1 it is the ELBO at one sample; a little more if a class above a ladder is summed out. With growing K it
    rises towards log p(x).

    Reference: Burda et al. 2016, "Importance Weighted Autoencoders", equation 8.

    Args:
        model: the model, in eval mode.
        x: images in [0, 1], (n, C, H, W), or vectors (n, D).
        num_samples: K, the number of samples of each datum, from 1 up.
        chunk: the number of samples that are drawn together; memory grows with it. Another chunk changes the draws.
        seed: seed of the draws; the global generators are restored afterwards.
        features: of the full-size pictures, (n, F); None: a model that reads features computes them from x.

    Raises:
        ValueError: if `num_samples` or `chunk` is below 1.
    """
    if num_samples < 1 or chunk < 1:
        raise ValueError(f"num_samples is {num_samples} and chunk {chunk}; give whole numbers from 1 up")
    total = torch.full((len(x),), -torch.inf, device=x.device)
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        torch.manual_seed(seed)
        for start in range(0, num_samples, chunk):
            num = min(chunk, num_samples - start)
            many = x.repeat(num, *(1 for _ in x.shape[1:]))
            of_rows = {} if features is None else {"features": features.repeat(num, 1)}
            weights = log_importance_weights(model(many, **of_rows), many).reshape(num, len(x))
            total = torch.logaddexp(total, weights.logsumexp(0))
    return total - log(num_samples)
