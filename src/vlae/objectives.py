"""What training minimises, as functions of a `ForwardPass`; none asks which model made it. All in nats per datum."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import kl_divergence

from vlae.model import ForwardPass

Growth = Literal["ladder", "top-down", "bottom-up", "joint"]


def distortion(forward: ForwardPass, x: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
    """-log r(x | z) of each datum, summed over its dimensions; a density's may be negative."""
    return -forward.likelihood.log_prob(x)


def rates(forward: ForwardPass) -> Float[Tensor, "levels n"]:
    """The KL of every level for each datum, level 1 first: what its code costs.

    KL(q(z_l | ·) || p(z_l | ·)) in closed form where prior and posterior depend on the same draws; otherwise its
    unbiased estimate log q(z_l | ·) - log p(z_l | ·) at the drawn code.
    """
    if forward.conditioned_alike:
        pairs = zip(forward.posteriors, forward.priors, strict=True)
        return torch.stack([kl_divergence(posterior, prior).sum(1) for posterior, prior in pairs])
    triples = zip(forward.posteriors, forward.priors, forward.codes, strict=True)
    estimates = [(q.log_prob(code) - p.log_prob(code)).sum(1) for q, p, code in triples]
    return torch.stack(estimates)


def elbo(forward: ForwardPass, x: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
    """The evidence lower bound of each datum: minus the distortion and the rates of all levels.

    Reference: Zhao et al. 2017, equation 2.
    """
    return -distortion(forward, x) - rates(forward).sum(0)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """How distortion and rates are weighed, and when each level grows.

    Attributes:
        beta: weight of the rates: one number, or one per level, level 1 first.
        warmup: the rates' weight rises as 1 - exp(-step / warmup); 0: no warm-up. The authors' is 2000 steps.
        growth: the order in which levels fade in: "ladder", level 1 from the start, then the top, then downwards;
            "top-down"; "bottom-up"; or "joint", all from the start.
        growth_until: share of the training, in [0, 1], after which every level is fully grown.
        ungrown_beta: factor on the rate's weight of a level not yet grown; it rises to 1 as the level fades in
            (Reference: Li et al. 2020, "Progressive Learning and Disentanglement of Hierarchical Representations").
    """

    beta: float | tuple[float, ...] = 1.0
    warmup: float = 0.0
    growth: Growth = "joint"
    growth_until: float = 0.25
    ungrown_beta: float = 0.5

    def __post_init__(self) -> None:
        if self.growth not in get_args(Growth):
            raise ValueError(f"growth is {self.growth!r}; choose one of {', '.join(get_args(Growth))}")
        if not 0 <= self.growth_until <= 1:
            raise ValueError(f"growth_until is {self.growth_until}; give a share of the training between 0 and 1")
        betas = self.beta if isinstance(self.beta, tuple) else (self.beta,)
        weights = [("warmup", self.warmup), ("ungrown_beta", self.ungrown_beta), *(("beta", beta) for beta in betas)]
        for name, value in weights:
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} is {value}; give a number from 0 up")

    def order(self, num_levels: int) -> tuple[int, ...]:
        """The levels in the order in which they grow.

        Example:
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
        betas = self.beta if isinstance(self.beta, tuple) else (self.beta,) * len(fade)
        if len(betas) != len(fade):
            raise ValueError(f"beta has {len(betas)} values for {len(fade)} levels; give one, or one per level")
        warm = 1 - exp(-step / self.warmup) if self.warmup else 1.0
        return tuple(
            warm * b * (self.ungrown_beta + (1 - self.ungrown_beta) * f) for b, f in zip(betas, fade, strict=True)
        )


def loss(terms: Float[Tensor, " terms"], weights: Float[Tensor, " levels"]) -> Float[Tensor, ""]:
    """Distortion plus weighted rates, from their batch means: (distortion, rate of level 1, …, rate of level L)."""
    return terms[0] + (weights * terms[1:]).sum()
