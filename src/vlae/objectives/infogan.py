"""The objective of InfoGAN: a critic, and the information that a picture gives about its codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vlae.models.base import LatentModel
from vlae.models.infogan import SMALLEST_ERROR, InfoGAN
from vlae.objectives.adversarial import COLLAPSED, DIVERGED, IDLE, check_for_critic, lazy_penalties, relativistic_loss
from vlae.objectives.base import Batch, Loss, Objective, StepInputs
from vlae.objectives.picture_distance import EVERY, Compared, PictureDistance
from vlae.shapes import Shape

LOST = 0.1
"""The least loss of the critic; below, it tells nearly every picture, and the generator has lost."""


class InfoGANNetworks(nn.Module):
    """What the objective needs besides the model: the critic's head, and the record of the distance.

    Args:
        model: the model in training.
    """

    def __init__(self, model: InfoGAN):
        super().__init__()
        self.head = nn.Linear(model.trunk.num_features, 1, bias=False)  # a bias drops out of the difference
        self.distance = PictureDistance(prod(model.shape))

    def judge(self, features: Float[Tensor, "n features"]) -> Float[Tensor, " n"]:
        """The critic's judgement of each picture: larger for real ones.

        Args:
            features: of the model's trunk, (n, features).
        """
        judged: Tensor = self.head(features).squeeze(1)
        return judged


@dataclass(frozen=True, kw_only=True)
class InfoGANLoss(Objective, kind="infogan"):
    """The loss of critic, generator and encoder of an InfoGAN.

    min_{G,Q} max_D V(D, G) - λ (E log q(z|G(z)) + H(z)). V is the relativistic loss with zero-centred gradient
    penalties on real and generated pictures. The critic D is linear in the features of the model's trunk, which the
    encoder Q reads too; the information term trains the trunk as well. In the loss, q(z_2|x) has standard deviation 1:
    a learned one would let the term run away.

    References: Chen et al. 2016, "InfoGAN", equations 5 and 6; Huang et al. 2025, "The GAN is dead; long live the GAN!"
    (arXiv 2501.05441), for V.

    Attributes:
        continuous: weight λ of the information of the continuous codes, from 0 up.
        category: weight λ of the information of the category, from 0 up.
        category_from: the share of the training, in [0, 1), from which the category's weight counts: before pictures
            look like the data, the category would settle on another shape.
        penalty: weight γ of the gradient penalties, above 0.
        penalty_every: the penalties are computed every so many steps, times that number; from 1 up.
    """

    continuous: float = 0.2
    category: float = 0.5
    category_from: float = 0.4
    penalty: float = 0.3
    penalty_every: int = 4

    def __post_init__(self) -> None:
        for name in ("continuous", "category"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}; give a weight from 0 up")
        if not 0 <= self.category_from < 1:
            raise ValueError(f"category_from is {self.category_from}; give a share of the training from 0, below 1")
        if not 0 < self.penalty < float("inf") or self.penalty_every < 1:
            raise ValueError(
                f"penalty is {self.penalty}, every {self.penalty_every} steps; give a weight above 0 and a whole "
                "number from 1 up"
            )

    def terms(self, num_levels: int) -> tuple[str, ...]:
        """The names of the terms.

        Args:
            num_levels: 3.
        """
        return ("critic", "generator", "penalty", *Compared._fields, "information_2", "information_3")

    def betas(self) -> tuple[float, float]:
        """The decay rates of Adam: no momentum, as for critics with both penalties (arXiv 2501.05441, appendix)."""
        return (0.0, 0.99)

    def check_data(self, shape: Shape, *, precision: str, num_data: int | None = None) -> None:
        """Checks that there are enough pictures for a critic, in a precision that gradient penalties bear.

        Args:
            shape: shape of one datum, (channels, height, width) or (dimensions,).
            precision: "fp32" or "bf16".
            num_data: the number of data; None: not known yet.

        Raises:
            ValueError: if they do not fit.
        """
        check_for_critic(shape, precision=precision, num_data=num_data)

    def warnings(self, terms: Mapping[str, float], progress: float) -> Mapping[str, str]:
        """Tells of pictures that are all alike, and of a critic that has won, guesses or is mostly wrong.

        Args:
            terms: the value of each term, by name, averaged over the latest 50 steps.
            progress: not used.
        """
        told = {}
        if terms["variety"] < COLLAPSED:
            told["collapse"] = (
                f"The pictures have collapsed: they vary by {terms['variety']:.0%} of what real ones do. If that does "
                "not rise soon, train again with a lower learning rate or a larger penalty."
            )
        if terms["critic"] < LOST:
            told["divergence"] = (
                f"The training diverges: the critic tells nearly every picture (loss {terms['critic']:.3f}; 0.69 is "
                "not at all), so the generator learns nothing. Train again with a lower learning rate or a larger "
                "penalty."
            )
        if terms["critic"] > DIVERGED:
            told["divergence"] = (
                f"The training diverges: the critic is wrong most of the time (loss {terms['critic']:.2f}; guessing "
                "gives 0.69). Train again with a lower learning rate."
            )
        if IDLE * log(2) < terms["critic"] < log(2) / IDLE:
            told["idle"] = (
                "The critic tells pictures no better than by chance, so it teaches little. If that stays, train again "
                f"with a smaller penalty than {self.penalty:g}."
            )
        return told

    def networks(self, model: LatentModel) -> nn.Module:
        """The critic's head, and the record of the distance.

        Args:
            model: the model in training, an `InfoGAN`.

        Raises:
            ValueError: if it is another model.
        """
        if not isinstance(model, InfoGAN):
            raise ValueError(f"this objective trains an InfoGAN, not a {type(model).__name__}; choose recipe infogan")
        return InfoGANNetworks(model)

    def step_inputs(self, step: int, progress: float, code_sizes: Sequence[int]) -> StepInputs | None:
        """All that the loss takes from step and progress; None where pictures are compared, by the processor.

        Args:
            step: the number of the step, from 0.
            progress: the share of the training that is done, in [0, 1].
            code_sizes: not used.
        """
        if step % EVERY == 0:
            return None
        return StepInputs(branch=(step % self.penalty_every == 0, progress >= self.category_from))

    def loss(
        self, model: LatentModel, batch: Batch, *, step: int, progress: float, networks: nn.Module | None = None
    ) -> Loss:
        """A number whose gradient is that of the critic's and encoder's loss, and for the generator that of its own.

        Args:
            model: an `InfoGAN`, in training mode.
            batch: the data of this step.
            step: the number of the step, from 0.
            progress: the share of the training that is done, in [0, 1].
            networks: what the method `networks` returned.
        """
        assert isinstance(model, InfoGAN) and isinstance(networks, InfoGANNetworks)
        judge = networks.judge
        codes = model.place(model.draw_noise(len(batch.x)))
        drawn = model.decode(codes)
        given = drawn.detach().requires_grad_()  # what the critic's part sees: the generator's own part ends here
        real, features = judge(model.trunk(batch.x)), model.trunk(given)
        judged = judge(features)
        critic, generator = relativistic_loss(real, judged), relativistic_loss(judged, real)
        penalty = lazy_penalties(
            lambda x: judge(model.trunk(x)), [batch.x], [given], step=step, every=self.penalty_every
        )
        means, logits = model.reader(features).split(list(model.code_sizes[1:]), dim=1)
        error = (means - codes[1]).square().mean(0)
        unknown = cross_entropy(logits, codes[2]) if model.code_sizes[2] else drawn.new_zeros(())
        category = self.category if progress >= self.category_from else 0.0
        untold = self.continuous * 0.5 * error.sum() + category * unknown

        (pull,) = torch.autograd.grad(generator + untold, given, retain_graph=True)
        total = critic + self.penalty * penalty + untold + (drawn * pull).sum()
        model.remember(error.detach())
        told = [-0.5 * error.clamp_min(SMALLEST_ERROR).log().sum(), log(max(1, model.code_sizes[2])) - unknown]
        compared = networks.distance(batch.x, given.detach(), step)
        return Loss(total, torch.stack([critic, generator, penalty, *compared, *told]))
