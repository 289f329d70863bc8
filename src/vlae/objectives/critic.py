"""The ELBO with a critic beside it, or in its place: sharper pictures, codes that follow the prior, or both at once."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from math import log
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlae.models.base import Codes, ForwardPass, LatentModel
from vlae.models.likelihoods import Likelihood
from vlae.nn.critic import CodesCritic, Critic
from vlae.objectives.adversarial import COLLAPSED, DIVERGED, IDLE, check_for_critic, contest, lazy_penalties
from vlae.objectives.base import Batch, Loss, StepInputs
from vlae.objectives.constants import constant
from vlae.objectives.elbo import ELBO
from vlae.objectives.features import FeaturesELBO, explained
from vlae.objectives.schedules import PerLevel, per_level, values_of
from vlae.shapes import Shape

Judged = Literal["pictures", "codes", "both"]

READ_STDDEV = 0.5
"""The standard deviation with which a code counts as read back, in standard deviations of the prior."""

BEATEN = 0.05
"""The loss of the critic below which it tells everything apart."""


@dataclass(frozen=True, kw_only=True)
class AdversarialELBO(FeaturesELBO, kind="elbo with critic"):
    """The ELBO of pictures with a critic: w · distortion + Σ_l β_l rate_l + critic + Σ_l λ_l information_l.

    A critic learns to tell two kinds of data apart, and the model learns that it cannot. What it judges:

    - "pictures": data from their reconstructions. Beside the whole ELBO it makes pictures sharp (`--sharp`; Reference:
      Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric").
    - "codes": codes drawn from the prior from codes of data. It stands in for the rates, with β = 0 (References:
      Makhzani et al. 2016, "Adversarial Autoencoders"; Tolstikhin et al. 2018, "Wasserstein Auto-Encoders").
    - "both": data with their codes, q(x) q(z|x), from drawn codes with their pictures, p(z) p(x|z). With w = 0 and
      β = 0 this is the implicit ladder: the ladder of the recipe, without a likelihood in its loss (References: Tran et
      al. 2017, "Hierarchical Implicit Models and Likelihood-Free Variational Inference"; Dumoulin et al. 2017,
      "Adversarially Learned Inference"; Belghazi et al. 2018, "Hierarchical Adversarially Learned Inference").

    The information of a level is E log q(z_l | G(z)) - log p(z_l), with codes z from the prior, a Gaussian q around the
    posterior mean, and a standard deviation of half the prior's: a bound on what drawn pictures tell of the level's
    code (Reference: Chen et al. 2016, "InfoGAN", equation 5; Barber and Agakov 2003).

    All settings of the ELBO are there besides.

    Attributes:
        judged: what the critic sees: "pictures", "codes" or "both".
        adversarial: weight of the critic, above 0. For a critic of pictures it is the size of its gradient on them, in
            times that of the squared error's (as in Esser et al. 2021, "Taming Transformers", equation 7). A critic
            that sees codes has a plain weight.
        distortion: weight w of the distortion, from 0 up.
        information: weight λ of the information, from 0 up: one number, or one per level.
        penalty: weight γ of the critic's gradient penalties R1 and R2, above 0.
        penalty_every: the penalties are computed every so many steps, times that number; from 1 up.
        critic_width: channels of the critic's first convolution, from 1 up.
        critic_rate: learning rate of the critic, in times that of the model, above 0.
        explains_features: whether the bound has a second likelihood term, of the features of the full-size pictures.
    """

    judged: Judged = "pictures"
    adversarial: float = 0.5
    distortion: float = 1.0
    information: PerLevel = 0.0
    penalty: float = 0.02
    penalty_every: int = 4
    critic_width: int = 16
    critic_rate: float = 0.5
    explains_features: bool = False

    _PER_LEVEL: ClassVar[tuple[str, ...]] = (*ELBO._PER_LEVEL, "information")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.judged not in get_args(Judged):
            raise ValueError(f"judged is {self.judged!r}; choose one of {', '.join(get_args(Judged))}")
        for name in ("adversarial", "penalty", "critic_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}; give a number above 0")
        if not 0 <= self.distortion < float("inf"):
            raise ValueError(f"distortion is {self.distortion}; give a weight from 0 up")
        for name in ("penalty_every", "critic_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give a whole number from 1 up")

    @classmethod
    def beside(cls, objective: ELBO) -> "AdversarialELBO":
        """The same objective, with a critic of pictures beside it.

        Args:
            objective: an ELBO of pictures.
        """
        if isinstance(objective, cls):
            return objective
        kept = {field.name: getattr(objective, field.name) for field in fields(objective)}
        return cls(**kept, explains_features=isinstance(objective, FeaturesELBO))

    def with_features(self) -> "AdversarialELBO":
        """The same objective, which explains features too.

        Raises:
            ValueError: if codes are read back from drawn pictures, which have no features.
        """
        if self._reads:
            raise ValueError(
                "codes are read back from drawn pictures, of which a frozen network knows nothing; leave features out, "
                "or train with sharp in place of implicit"
            )
        return replace(self, explains_features=True)

    @property
    def _bound(self) -> type[ELBO]:
        return FeaturesELBO if self.explains_features else ELBO

    def check_data(self, shape: Shape, *, precision: str, num_data: int | None = None) -> None:
        """Checks that there are enough pictures, in full precision.

        Args:
            shape: shape of one datum, (channels, height, width) or (dimensions,).
            precision: "fp32" or "bf16".
            num_data: the number of data; None: not known yet.

        Raises:
            ValueError: if the data are vectors, or fewer than 32, or the precision is bf16.
        """
        super().check_data(shape, precision=precision, num_data=num_data)
        check_for_critic(shape, precision=precision, num_data=num_data)

    def check_likelihood(self, likelihood: Likelihood) -> None:
        """Checks that something trains how the pixels of r(x|z) depend on each other.

        Args:
            likelihood: the family of r(x|z).

        Raises:
            ValueError: if nothing does.
        """
        if likelihood.autoregressive and not self.distortion:
            raise ValueError(
                f"only the distortion trains the pixels of the family {likelihood.kind!r}, and its weight is 0; give "
                "--distortion 0.02 (distortion=0.02), or another --family (family=)"
            )

    def networks(self, model: LatentModel) -> nn.Module:
        """The critic.

        Args:
            model: the model in training, with an encoder.
        """
        model.require("encoder")
        if self.judged == "codes":
            return CodesCritic(model.code_sizes)
        return Critic(model.shape, model.code_sizes if self.judged == "both" else (), width=self.critic_width)

    def rate_factors(self) -> Mapping[str, float]:
        """The factor on the critic's learning rate."""
        return {"networks": self.critic_rate}

    def betas(self) -> tuple[float, float]:
        """Adam's decay rates; shorter averages where there is no ELBO, and the critic alone says where to go."""
        return (0.5, 0.99) if self.judged == "both" else super().betas()

    def terms(self, num_levels: int) -> tuple[str, ...]:
        """The names of the terms: those of the ELBO, and those of the critic.

        - critic_loss: log 2 = 0.69 if the critic cannot tell the two kinds apart; towards 0 if it always can.
        - gradient_penalty: R1 + R2, without their weight.
        - spread: the variance of what the model gives (pictures, or codes) over that of what it must resemble; towards
          0 if it gives always the same.
        - information_1 … information_L, in nats, if they have a weight.

        Args:
            num_levels: the number of levels L of the model.
        """
        read = [f"information_{level}" for level in range(1, num_levels + 1)] if self._reads else []
        return (*self._bound.terms(self, num_levels), "critic_loss", "gradient_penalty", "spread", *read)

    @property
    def _reads(self) -> bool:
        return any(values_of(self.information))

    def step_inputs(self, step: int, progress: float, code_sizes: Sequence[int]) -> StepInputs | None:
        """All that the loss takes from step and progress: what the ELBO takes, and whether there is a penalty.

        Args:
            step: the number of the step, from 0.
            progress: the share of the training that is done, in [0, 1].
            code_sizes: dimensions of every level's code, level 1 first.
        """
        of_bound = super().step_inputs(step, progress, code_sizes)
        assert of_bound is not None
        read = [per_level(self.information, len(code_sizes))] if self._reads else []
        return StepInputs((*of_bound.numbers, *read), branch=step % self.penalty_every == 0)

    def weighted(
        self, forward: ForwardPass, x: Float[Tensor, "n *shape"], *, step: int, progress: float, fade: tuple[float, ...]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " terms"]]:
        """The loss of a step without critic, and the terms of that, in nats per datum.

        Args:
            forward: the forward pass of the batch.
            x: the batch, (n, C, H, W).
            step: the number of the step, from 0.
            progress: the share of the training that is done, in [0, 1].
            fade: how far each level has grown, in [0, 1], level 1 first.
        """
        return self._bound.weighted(self, forward, x, step=step, progress=progress, fade=fade)

    def loss(
        self, model: LatentModel, batch: Batch, *, step: int, progress: float, networks: nn.Module | None = None
    ) -> Loss:
        """The sum of the losses of model and critic, whose gradients are kept apart.

        Args:
            model: the model in training, in training mode.
            batch: the data of this step, with features if they are explained.
            step: the number of the step, from 0.
            progress: the share of the training that is done, in [0, 1].
            networks: the critic that the method `networks` returned.
        """
        assert networks is not None
        bound = super().loss(model, batch, step=step, progress=progress)
        assert bound.forward is not None
        x, codes = batch.x, bound.forward.codes
        total = bound.total + (self.distortion - 1) * (bound.terms[0] + explained(bound.forward, x))
        reconstructed = model.picture_of(bound.forward.likelihood)
        read: list[Tensor] = []
        real: Sequence[Tensor]
        generated: Sequence[Tensor]
        if self.judged == "pictures":
            real, generated = (x,), (reconstructed,)
        if self.judged == "codes":
            real, generated = model.place(model.draw_noise(len(x))), codes
        if self.judged == "both" or self._reads:
            noise = model.draw_noise(len(x))
            placed = model.place(noise)
            with _averages_kept(model):
                drawn = model.decode(placed)
                if self._reads:
                    read = [information(model, drawn, noise)]
                    total = total - (constant(per_level(self.information, len(noise)), x.device) * read[0]).sum()
            if self.judged == "both":
                real, generated = (x, *codes), (drawn, *placed)
        fought = contest(networks, real, generated)
        weight: Tensor | float = self.adversarial
        if self.judged == "pictures":
            _, gradient = fought.pulls[0]
            weight = self.adversarial * _pull_of(reconstructed.detach() - x) / gradient.norm().clamp_min(1e-12)
        ours, theirs = ([each.detach() for each in side] for side in (generated, real))
        penalty = lazy_penalties(networks, theirs, ours, step=step, every=self.penalty_every)
        total = total + fought.critic_loss + self.penalty * penalty + fought.pull(weight)
        kept = slice(None) if self.judged == "codes" else slice(1)
        spread = _variance(ours[kept]) / _variance(theirs[kept]).clamp_min(1e-12)
        terms = [bound.terms, torch.stack([fought.critic_loss, penalty, spread]), *read]
        return Loss(total, torch.cat(terms), bound.forward)

    def warnings(self, terms: Mapping[str, float], progress: float) -> Mapping[str, str]:
        """What is wrong with model or critic, by a short name.

        Args:
            terms: the value of each term, by name, averaged over the latest 50 steps.
            progress: the share of the training that is done, in [0, 1].
        """
        found = {}
        loss, spread = terms["critic_loss"], terms["spread"]
        if spread < COLLAPSED:
            found["collapsed"] = (
                f"what the model gives varies {spread:.2f} times as much as what it must resemble: it has collapsed; "
                "try a smaller --learning-rate (learning_rate=), or a larger penalty than "
                f"{self.penalty:g}"
            )
        if loss < BEATEN:
            found["beaten"] = (
                f"the critic tells the model's {self._words} from the data's nearly always (loss {loss:.2g}), so "
                f"the model learns little from it; try a larger penalty than {self.penalty:g}, or a smaller critic_rate"
            )
        if loss > DIVERGED:
            found["diverged"] = (
                f"the critic is wrong most of the time (its loss is {loss:.2g}, and guessing gives 0.69): it "
                "diverges; try a smaller --learning-rate (learning_rate=)"
            )
        if IDLE * log(2) < loss < log(2) / IDLE:
            found["idle"] = (
                f"the critic tells the model's {self._words} from the data's no better than by chance, so it teaches "
                f"little; try a smaller adversarial than {self.adversarial:g}, or a smaller penalty than "
                f"{self.penalty:g}"
            )
        return found

    @property
    def _words(self) -> str:
        return {"pictures": "pictures", "codes": "codes", "both": "pictures with their codes"}[self.judged]


def information(model: LatentModel, drawn: Float[Tensor, "n *shape"], noise: Codes) -> Float[Tensor, " levels"]:
    """What drawn pictures tell of each level's code, in nats: E log q(z_l | G(z)) - log p(z_l), level 1 first.

    It is a bound on their mutual information. q is a Gaussian around the code that the encoder reads, in the units of
    the prior: its standard deviation is 1/2, so a dimension that is read exactly counts log 2 + 1/2 nats, and one that
    is not read, less than 0.

    Args:
        model: a model with an encoder.
        drawn: the pictures that the model draws from the noise, (n, C, H, W).
        noise: one tensor (n, code size) per level, level 1 first.
    """
    read = model.noise_of(tuple(posterior.mean for posterior in model.infer(drawn)))
    each = [
        0.5 * own.square() - 0.5 * ((own - found) / READ_STDDEV).square() - log(READ_STDDEV)
        for own, found in zip(noise, read, strict=True)
    ]
    return torch.stack([nats.sum(1).mean() for nats in each])


def _pull_of(error: Float[Tensor, "n *shape"]) -> Float[Tensor, ""]:
    """The norm of the gradient of the batch's mean Gaussian distortion of optimal scale, with respect to the means."""
    return (error.norm() / error.square().mean().clamp_min(1e-12)) / len(error)


def _variance(tensors: Sequence[Tensor]) -> Float[Tensor, ""]:
    """The variance over the batch, averaged over all dimensions."""
    return torch.cat([each.flatten(1) for each in tensors], dim=1).var(0).mean()


@contextmanager
def _averages_kept(model: nn.Module) -> Iterator[None]:
    """Keeps the running averages of batch norms, which are those of data, while the model draws from the prior."""
    norms = [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
