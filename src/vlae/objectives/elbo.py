"""The evidence lower bound: distortion, the rate (KL) of every level, and how an objective weighs them.

The functions take a `ForwardPass`; none asks which model made it. All are in nats per datum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import kl_divergence

from vlae.models.base import Codes, ForwardPass, LatentModel
from vlae.objectives.base import Batch, Loss, Objective
from vlae.objectives.discrepancies import mmd
from vlae.objectives.schedules import Growth, PerLevel, fade, per_level, values_of, warm_up


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
    """The noise of the drawn codes under their priors, N(0, I) where codes match the prior."""
    return tuple(p.noise_of(code) for code, p in zip(forward.codes, forward.priors, strict=True))


@dataclass(frozen=True, kw_only=True)
class ELBO(Objective, kind="elbo"):
    """Distortion plus the weighted rates of all levels, and when each level grows.

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
            for value in values_of(getattr(self, name)):
                if not 0 <= value < float("inf"):
                    raise ValueError(f"{name} is {value}; give a number from 0 up")
        if self.capacity is not None and any(values_of(self.free_bits)):
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

    def fade(self, progress: float, code_sizes: Sequence[int]) -> tuple[float, ...]:
        """How far each level has grown, in [0, 1], level 1 first, when `progress` of the training is done."""
        return fade(self.growth, self.growth_until, progress, code_sizes)

    def weights(self, step: int, fade: tuple[float, ...]) -> tuple[float, ...]:
        """The weight of each level's rate at this step."""
        warm = warm_up(step, self.warmup)
        return tuple(
            warm * beta * (self.ungrown_beta + (1 - self.ungrown_beta) * grown)
            for beta, grown in zip(per_level(self.beta, len(fade)), fade, strict=True)
        )

    def loss(
        self, model: LatentModel, batch: Batch, *, step: int, progress: float, networks: nn.Module | None = None
    ) -> Loss:
        """The weighted bound on a batch; labels are not looked at.

        Args:
            model: which is trained.
            batch: the data of this step.
            step: of the training, from 0.
            progress: share of the training that is done, in [0, 1].
            networks: none.
        """
        grown = self.fade(progress, model.code_sizes)
        forward = model(batch.x, torch.tensor(grown, device=batch.x.device))
        total, terms = self.weighed(forward, batch.x, step=step, progress=progress, fade=grown)
        return Loss(total, terms, forward)

    def weighed(
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
        if any(values_of(self.mmd)):
            drawn = [(e, torch.randn_like(e)) for e in noise(forward)]
            discrepancies = torch.stack([mmd(e, reference) for e, reference in drawn])
            loss = loss + (torch.tensor(per_level(self.mmd, len(fade)), device=x.device) * discrepancies).sum()
            terms = torch.cat([terms, discrepancies])
        return loss, terms

    def terms(self, num_levels: int) -> tuple[str, ...]:
        """The names of the terms: distortion, rate_1 … rate_L, and mmd_1 … mmd_L if they count."""
        names = ("rate", "mmd") if any(values_of(self.mmd)) else ("rate",)
        return ("distortion", *(f"{name}_{level}" for name in names for level in range(1, num_levels + 1)))

    def _charged(self, rate: Float[Tensor, " levels"], progress: float) -> Float[Tensor, " levels"]:
        """What the rates count as."""
        if self.capacity is not None:
            reached = min(1.0, progress / self.capacity_until) if self.capacity_until else 1.0
            return (rate - reached * rate.new_tensor(per_level(self.capacity, len(rate)))).abs()
        if any(values_of(self.free_bits)):
            return torch.maximum(rate, rate.new_tensor(per_level(self.free_bits, len(rate))))
        return rate
