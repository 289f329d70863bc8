"""The evidence lower bound (ELBO): the distortion, the rate (KL) of every level, and their weights in training.

The functions take the `ForwardPass` of any model. All results are in nats per datum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log
from typing import ClassVar, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import kl_divergence

from vlae.errors import plain
from vlae.models.base import Codes, ForwardPass, LatentModel
from vlae.models.together import mean_over_devices
from vlae.objectives.base import Batch, Loss, Objective, StepInputs
from vlae.objectives.constants import constant
from vlae.objectives.corruption import corrupted
from vlae.objectives.discrepancies import mmd
from vlae.objectives.schedules import Growth, PerLevel, fade, per_level, values_of, warm_up
from vlae.shapes import Shape, is_image

WARM = 0.9
"""The share of β from which its warm-up counts as done."""


def distortion(forward: ForwardPass, x: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
    """The distortion -log r(x|z) of each datum, summed over its dimensions; negative for a large density.

    Args:
        forward: the forward pass of the batch.
        x: the batch, (n, C, H, W) or (n, D).
    """
    return -forward.likelihood.log_prob(x)


def rates_per_dimension(forward: ForwardPass) -> tuple[Float[Tensor, "n _"], ...]:
    """The rate KL(q(z_l|·) || p(z_l|·)) of every dimension of the codes.

    It is the closed form if prior and posterior are conditioned on the same samples. Otherwise it is the unbiased
    estimate log q(z_l|·) - log p(z_l|·) at the sampled code.

    Args:
        forward: the forward pass of the batch.

    Returns:
        One tensor (n, code size) per level, level 1 first, in nats.
    """
    if forward.conditioned_alike:
        pairs = zip(forward.posteriors, forward.priors, strict=True)
        return tuple(kl_divergence(posterior, prior) for posterior, prior in pairs)
    triples = zip(forward.posteriors, forward.priors, forward.codes, strict=True)
    return tuple(q.log_prob(code) - p.log_prob(code) for q, p, code in triples)


def rates(forward: ForwardPass) -> Float[Tensor, "levels n"]:
    """The rate (KL) of every level for each datum, summed over the dimensions of the code; level 1 first.

    Args:
        forward: the forward pass of the batch.
    """
    return torch.stack([each.sum(1) for each in rates_per_dimension(forward)])


def elbo(forward: ForwardPass, x: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
    """The evidence lower bound -distortion - Σ_l rate_l of each datum.

    Reference: Zhao et al. 2017, equation 2.

    Args:
        forward: the forward pass of the batch.
        x: the batch, (n, C, H, W) or (n, D).
    """
    return -distortion(forward, x) - rates(forward).sum(0)


def noise(forward: ForwardPass) -> Codes:
    """The noise of the sampled codes under their priors; it follows N(0, I) if codes follow the prior.

    Of a category it does not: its noise is one of many, and has no gradient.

    Args:
        forward: the forward pass of the batch.
    """
    return tuple(p.noise_of(code) for code, p in zip(forward.codes, forward.priors, strict=True))


@dataclass(frozen=True, kw_only=True)
class ELBO(Objective, kind="elbo"):
    """The negative ELBO with a weight on the rate of each level: distortion + Σ_l β_l rate_l.

    A setting with one number per level is a tuple, level 1 first.

    Attributes:
        beta: weight β of the rates, from 0 up: one number, or one per level.
        warmup: number of steps t₀ in the warm-up of β, which is multiplied by 1 - exp(-step / t₀); 0: no warm-up. The
            authors use 2000.
        growth: the order in which levels fade in. "ladder": level 1 from the start, then the top, then downwards.
            "top-down". "bottom-up". "joint": all levels from the start.
        growth_until: the share of the training, in [0, 1], after which every level is fully grown.
        ungrown_beta: factor on β of a level that has not grown, from 0 up; it changes to 1 as the level fades in
            (Reference: Li et al. 2020, "Progressive Learning and Disentanglement of Hierarchical Representations").
        free_bits: nats that a level may use without cost: its rate, averaged over the batch, counts as
            max(rate, free_bits). One number, or one per level (Reference: Kingma et al. 2016, "Improved Variational
            Inference with Inverse Autoregressive Flow", appendix C.8).
        capacity: target of each level's rate in nats: the rate counts as |rate - target|. The target rises linearly
            from 0. One number, or one per level; None: no target (Reference: Burgess et al. 2018, "Understanding
            Disentangling in β-VAE", equation 8).
        capacity_until: the share of the training, in [0, 1], after which the target has its full value.
        mmd: weight of the MMD between the noise of the codes and N(0, I), from 0 up: one number, or one per level. That
            of a class is 0, since its noise does not follow N(0, I) (Reference: Zhao et al. 2017, "InfoVAE", equation
            6).
        denoise: whether the encoder sees pictures with noise in training, and the decoder must draw them without
            (`vlae.objectives.corruption`). Then the loss is no bound on log p(x).
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
    denoise: bool = False

    def __post_init__(self) -> None:
        if self.growth not in get_args(Growth):
            raise ValueError(f"growth is {self.growth!r}; choose one of {', '.join(get_args(Growth))}")
        for name in ("growth_until", "capacity_until"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give a share of the training between 0 and 1")
        for name in self._PER_LEVEL:
            object.__setattr__(self, name, plain(getattr(self, name)))
        for name in ("warmup", "ungrown_beta", *self._PER_LEVEL):
            for value in values_of(getattr(self, name)):
                if not 0 <= value < float("inf"):
                    raise ValueError(f"{name} is {value}; give a number from 0 up")
        if self.capacity is not None and any(values_of(self.free_bits)):
            raise ValueError("free_bits and capacity both set the rate of a level; give one of them")

    _PER_LEVEL: ClassVar[tuple[str, ...]] = ("beta", "free_bits", "capacity", "mmd")
    _TAKES_STEP: ClassVar[tuple[str, ...]] = ("loss", "weighted", "_charged", "_forward")

    def check(self, num_levels: int) -> None:
        """Checks that every setting with one number per level fits the number of levels.

        Args:
            num_levels: the number of levels of the model.

        Raises:
            ValueError: if one does not.
        """
        for name in self._PER_LEVEL:
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != num_levels:
                raise ValueError(f"{name} has {len(value)} values for {num_levels} levels; give one, or one per level")

    def check_data(self, shape: Shape, *, precision: str, num_data: int | None = None) -> None:
        """Checks that noise on the encoder's input is asked for pictures only.

        Args:
            shape: shape of one datum, (channels, height, width) or (dimensions,).
            precision: not used.
            num_data: not used.

        Raises:
            ValueError: if `denoise` is set and the data are vectors.
        """
        if self.denoise and not is_image(shape):
            raise ValueError(f"denoise is for pictures; these data are vectors of {shape[0]} numbers")

    def cut_short(self, step: int) -> str | None:
        """That the training ended in the warm-up of β, below 0.9 of its value; None: it did not.

        Args:
            step: the number of steps that were done.
        """
        reached = warm_up(step, self.warmup)
        if reached >= WARM or not any(values_of(self.beta)):
            return None
        return (
            f"Ended in its warm-up: after {step:,} steps the KL terms had {reached:.2f} of their weight, so its codes "
            f"cost more than they will. Train for {ceil(-self.warmup * log(1 - WARM)):,} steps or more."
        )

    def fade(self, progress: float, code_sizes: Sequence[int]) -> tuple[float, ...]:
        """How far each level has grown, in [0, 1], level 1 first.

        Args:
            progress: the share of the training that is done, in [0, 1].
            code_sizes: dimensions of every level's code, level 1 first.
        """
        return fade(self.growth, self.growth_until, progress, code_sizes)

    def with_features(self) -> "ELBO":
        """The same objective, which explains features of the pictures too.

        Raises:
            ValueError: if it is of a subclass that does not say how.
        """
        from vlae.objectives.features import FeaturesELBO  # it builds on this class

        if type(self) not in (ELBO, FeaturesELBO):
            raise ValueError(
                f"the objective {self.kind!r} does not say how it explains features; define its `with_features`, or "
                "leave features out"
            )
        return FeaturesELBO.of(self)

    def weights(self, step: int, fade: tuple[float, ...]) -> tuple[float, ...]:
        """The weight of each level's rate at this step."""
        warm = warm_up(step, self.warmup)
        return tuple(
            warm * beta * (self.ungrown_beta + (1 - self.ungrown_beta) * grown)
            for beta, grown in zip(per_level(self.beta, len(fade)), fade, strict=True)
        )

    def step_inputs(self, step: int, progress: float, code_sizes: Sequence[int]) -> StepInputs | None:
        """All that the loss takes from step and progress: growth, weights, and what else stands in for them.

        Args:
            step: the number of the step, from 0.
            progress: the share of the training that is done, in [0, 1].
            code_sizes: dimensions of every level's code, level 1 first.
        """
        grown, num = self.fade(progress, code_sizes), len(code_sizes)
        numbers = [grown, self.weights(step, grown)]
        if self.capacity is not None:
            numbers.append(self._targets(progress, num))
        elif any(values_of(self.free_bits)):
            numbers.append(per_level(self.free_bits, num))
        if any(values_of(self.mmd)):
            numbers.append(per_level(self.mmd, num))
        return StepInputs(tuple(numbers))

    def loss(
        self, model: LatentModel, batch: Batch, *, step: int, progress: float, networks: nn.Module | None = None
    ) -> Loss:
        """The weighted negative ELBO of a batch; labels are not used.

        Args:
            model: the model in training, in training mode.
            batch: the data of this step.
            step: the number of the step, from 0.
            progress: the share of the training that is done, in [0, 1].
            networks: None; the ELBO needs no networks besides the model.
        """
        grown = self.fade(progress, model.code_sizes)
        forward = self._forward(model, batch, grown)
        total, terms = self.weighted(forward, batch.x, step=step, progress=progress, fade=grown)
        return Loss(total, terms, forward)

    def _forward(
        self, model: LatentModel, batch: Batch, fade: tuple[float, ...], **settings: Tensor | None
    ) -> ForwardPass:
        """The forward pass of a batch, given what there is; the encoder sees noise if it is asked for."""
        settings |= {"features": batch.features, "seen": corrupted(batch.x) if self.denoise else None}
        given = {name: value for name, value in settings.items() if value is not None}
        forward: ForwardPass = model(batch.x, constant(fade, batch.x.device), **given)
        return forward

    def weighted(
        self, forward: ForwardPass, x: Float[Tensor, "n *shape"], *, step: int, progress: float, fade: tuple[float, ...]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " terms"]]:
        """The loss of a step, and its terms without weights, in nats per datum.

        The loss has the distortion of what the model explains besides x, too, so that nothing is left untrained.

        Args:
            forward: the forward pass of the batch.
            x: the batch, (n, C, H, W) or (n, D).
            step: the number of the step, from 0.
            progress: the share of the training that is done, in [0, 1].
            fade: how far each level has grown, in [0, 1], level 1 first.
        """
        terms = torch.cat([distortion(forward, x).mean()[None], rates(forward).mean(1)])
        weights = constant(self.weights(step, fade), x.device)
        loss = terms[0] + (weights * self._charged(terms[1:], progress)).sum()
        if any(values_of(self.mmd)):
            discrepancies = torch.stack(
                [
                    mmd(e, torch.randn_like(e)) if prior.every_code() is None else terms.new_zeros(())
                    for e, prior in zip(noise(forward), forward.priors, strict=True)
                ]
            )
            loss = loss + (constant(per_level(self.mmd, len(fade)), x.device) * discrepancies).sum()
            terms = torch.cat([terms, discrepancies])
        if forward.features_distortion is not None:
            loss = loss + forward.features_distortion.mean()
        return loss, terms

    def _targets(self, progress: float, num_levels: int) -> tuple[float, ...]:
        """The target of each level's rate at this point of the training."""
        assert self.capacity is not None
        reached = min(1.0, progress / self.capacity_until) if self.capacity_until else 1.0
        return tuple(reached * target for target in per_level(self.capacity, num_levels))

    def terms(self, num_levels: int) -> tuple[str, ...]:
        """The names of the terms: distortion, rate_1 … rate_L, and mmd_1 … mmd_L if they have a weight.

        Args:
            num_levels: the number of levels L of the model.
        """
        names = ("rate", "mmd") if any(values_of(self.mmd)) else ("rate",)
        return ("distortion", *(f"{name}_{level}" for name in names for level in range(1, num_levels + 1)))

    def _charged(self, rate: Float[Tensor, " levels"], progress: float) -> Float[Tensor, " levels"]:
        """The rates as they enter the loss: with free bits, or as distance to the capacity."""
        if self.capacity is not None:
            rate = mean_over_devices(rate)
            return (rate - constant(self._targets(progress, len(rate)), rate.device)).abs()
        if any(values_of(self.free_bits)):
            rate = mean_over_devices(rate)
            return torch.maximum(rate, constant(per_level(self.free_bits, len(rate)), rate.device))
        return rate
