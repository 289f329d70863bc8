"""What training minimises, as functions of a `ForwardPass`; none asks which model made it. All in nats per datum."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log, prod
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import kl_divergence

from vlae.models.base import Codes, ForwardPass, LatentModel
from vlae.nn.layers import Shape

PerLevel = float | tuple[float, ...]
"""One number for every level, or one for each, level 1 first."""

Growth = Literal["ladder", "top-down", "bottom-up", "joint"]


def distortion(forward: ForwardPass, x: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
    """-log r(x | z) of each datum, summed over its dimensions; a density's may be negative."""
    return -forward.likelihood.log_prob(x)


def rates_per_dimension(forward: ForwardPass) -> tuple[Float[Tensor, "n _"], ...]:
    """What every dimension of a datum's codes costs, (N, code size) of each level, level 1 first.

    KL(q(z_l | ·) || p(z_l | ·)) in closed form where prior and posterior depend on the same draws; otherwise its
    unbiased estimate log q(z_l | ·) - log p(z_l | ·) at the drawn code.
    """
    if forward.conditioned_alike:
        pairs = zip(forward.posteriors, forward.priors, strict=True)
        return tuple(kl_divergence(posterior, prior) for posterior, prior in pairs)
    triples = zip(forward.posteriors, forward.priors, forward.codes, strict=True)
    return tuple(q.log_prob(code) - p.log_prob(code) for q, p, code in triples)


def rates(forward: ForwardPass) -> Float[Tensor, "levels n"]:
    """The KL of every level for each datum, level 1 first: what its code costs, summed over its dimensions."""
    return torch.stack([each.sum(1) for each in rates_per_dimension(forward)])


def elbo(forward: ForwardPass, x: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
    """The evidence lower bound of each datum: minus the distortion and the rates of all levels.

    Reference: Zhao et al. 2017, equation 2.
    """
    return -distortion(forward, x) - rates(forward).sum(0)


def noise(forward: ForwardPass) -> Codes:
    """The noise of the drawn codes under their priors, (z_l - mean) / stddev: N(0, I) where codes match the prior."""
    return tuple((code - p.mean) / p.stddev for code, p in zip(forward.codes, forward.priors, strict=True))


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


def bits_per_dimension(nats: float, shape: Shape, *, values: int = 256) -> float:
    """Bits that each number of a datum costs, from a log-likelihood (or a bound) in nats per datum.

    The density is of images in [0, 1] and taken at the grid of their `values` values, each of which stands for an
    interval of width 1 / values; no noise was added to make the grid continuous, so this is no bound on the
    probability of the 8-bit image.
    """
    return (log(values) - nats / prod(shape)) / log(2)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """How distortion and rates are weighed, and when each level grows.

    What is said to be one number, or one per level, gives level 1 first.

    Attributes:
        beta: weight of the rates: one number, or one per level.
        warmup: the rates' weight rises as 1 - exp(-step / warmup); 0: no warm-up. The authors' is 2000 steps.
        growth: the order in which levels fade in: "ladder", level 1 from the start, then the top, then downwards;
            "top-down"; "bottom-up"; or "joint", all from the start.
        growth_until: share of the training, in [0, 1], after which every level is fully grown.
        ungrown_beta: factor on the rate's weight of a level not yet grown; it rises to 1 as the level fades in
            (Reference: Li et al. 2020, "Progressive Learning and Disentanglement of Hierarchical Representations").
        free_bits: nats that a level may cost for nothing: its rate, the batch's mean, counts as max(rate, this). One
            number, or one per level (Reference: Kingma et al. 2016, "Improved Variational Inference with Inverse
            Autoregressive Flow", appendix C.8).
        capacity: nats that a level is held to: its rate counts as |rate - this|, which rises to it linearly. One
            number, or one per level; None: no such target (Reference: Burgess et al. 2018, "Understanding
            Disentangling in β-VAE", equation 8).
        capacity_until: share of the training, in [0, 1], at which the target is reached.
        mmd: weight of the discrepancy between the codes' noise and N(0, I) at every level, beside the rates: one
            number, or one per level (Reference: Zhao et al. 2017, "InfoVAE", equation 6).
    """

    beta: PerLevel = 1.0
    warmup: float = 0.0
    growth: Growth = "joint"
    growth_until: float = 0.25
    ungrown_beta: float = 0.5
    free_bits: PerLevel = 0.0
    capacity: PerLevel | None = None
    capacity_until: float = 0.5
    mmd: PerLevel = 0.0

    def __post_init__(self) -> None:
        if self.growth not in get_args(Growth):
            raise ValueError(f"growth is {self.growth!r}; choose one of {', '.join(get_args(Growth))}")
        for name in ("growth_until", "capacity_until"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give a share of the training between 0 and 1")
        for name in ("warmup", "ungrown_beta", *self._PER_LEVEL):
            for value in _all(getattr(self, name)):
                if not 0 <= value < float("inf"):
                    raise ValueError(f"{name} is {value}; give a number from 0 up")
        if self.capacity is not None and any(_all(self.free_bits)):
            raise ValueError("free_bits and capacity both say how much a level may cost; give one of them")

    _PER_LEVEL = ("beta", "free_bits", "capacity", "mmd")

    def check(self, num_levels: int) -> None:
        """Says so if what is given per level does not fit this many levels.

        Raises:
            ValueError: if it does not.
        """
        for name in self._PER_LEVEL:
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != num_levels:
                raise ValueError(f"{name} has {len(value)} values for {num_levels} levels; give one, or one per level")

    def order(self, num_levels: int) -> tuple[int, ...]:
        """The levels in the order in which they grow.

        Examples:
            >>> Objective(growth="ladder").order(4)
            (1, 4, 3, 2)
        """
        upwards = tuple(range(1, num_levels + 1))
        if self.growth == "ladder":
            return (1, *reversed(upwards[1:]))
        return upwards[::-1] if self.growth == "top-down" else upwards

    def fade(self, progress: float, code_sizes: Sequence[int]) -> tuple[float, ...]:
        """How far each level has grown, in [0, 1], level 1 first, when `progress` of the training is done.

        Each level with a code has an equal share of the growing time, fades in linearly over the first half of its
        share, and has the other half to itself before the next begins. The first is there from the start.
        """
        grown = [1.0] * len(code_sizes)
        occupied = [level for level, size in enumerate(code_sizes, start=1) if size]
        if self.growth == "joint" or self.growth_until == 0:
            return tuple(grown)
        share = self.growth_until / len(occupied)
        for turn, place in enumerate(self.order(len(occupied))):
            if turn:
                grown[occupied[place - 1] - 1] = min(1.0, max(0.0, (progress - turn * share) / (share / 2)))
        return tuple(grown)

    def weights(self, step: int, fade: tuple[float, ...]) -> tuple[float, ...]:
        """The weight of each level's rate at this step."""
        warm = 1 - exp(-step / self.warmup) if self.warmup else 1.0
        return tuple(
            warm * beta * (self.ungrown_beta + (1 - self.ungrown_beta) * grown)
            for beta, grown in zip(_each(self.beta, len(fade)), fade, strict=True)
        )

    def loss(
        self, forward: ForwardPass, x: Float[Tensor, "n *shape"], *, step: int, progress: float, fade: tuple[float, ...]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " terms"]]:
        """What this step minimises, in nats per datum, and the terms it is made of, as `terms` names them.

        Args:
            forward: what a model says of the batch.
            x: the batch.
            step: of the training.
            progress: share of the training that is done, in [0, 1].
            fade: how far each level has grown.
        """
        terms = torch.cat([distortion(forward, x).mean()[None], rates(forward).mean(1)])
        weights = torch.tensor(self.weights(step, fade), device=x.device)
        loss = terms[0] + (weights * self._charged(terms[1:], progress)).sum()
        if any(_all(self.mmd)):
            drawn = [(e, torch.randn_like(e)) for e in noise(forward)]
            discrepancies = torch.stack([mmd(e, reference) for e, reference in drawn])
            loss = loss + (torch.tensor(_each(self.mmd, len(fade)), device=x.device) * discrepancies).sum()
            terms = torch.cat([terms, discrepancies])
        return loss, terms

    def terms(self, num_levels: int) -> tuple[str, ...]:
        """The names of the terms: distortion, rate_1 … rate_L, and mmd_1 … mmd_L if they count."""
        names = ("rate", "mmd") if any(_all(self.mmd)) else ("rate",)
        return ("distortion", *(f"{name}_{level}" for name in names for level in range(1, num_levels + 1)))

    def _charged(self, rate: Float[Tensor, " levels"], progress: float) -> Float[Tensor, " levels"]:
        """What the rates count as."""
        if self.capacity is not None:
            reached = min(1.0, progress / self.capacity_until) if self.capacity_until else 1.0
            return (rate - reached * rate.new_tensor(_each(self.capacity, len(rate)))).abs()
        if any(_all(self.free_bits)):
            return torch.maximum(rate, rate.new_tensor(_each(self.free_bits, len(rate))))
        return rate


def _all(value: PerLevel | None) -> Iterable[float]:
    return () if value is None else value if isinstance(value, tuple) else (value,)


def _each(value: PerLevel, num_levels: int) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,) * num_levels
