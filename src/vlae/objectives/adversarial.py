"""Tools for objectives with a critic: one optimiser for model and critic, the relativistic loss, gradient penalties."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vlae.shapes import Shape, is_image

LEAST_DATA = 32
"""The fewest data with which a critic is trained: it would learn a few by heart."""

COLLAPSED = 0.3
"""The share of the data's variance below which drawn pictures, or codes, are said to be all alike."""

DIVERGED = 2.0
"""The loss of the critic above which it is wrong most of the time."""

IDLE = 0.999
"""The share of log 2, the loss of a critic that knows nothing, above which it is said to be idle."""


def check_for_critic(shape: Shape, *, precision: str, num_data: int | None = None) -> None:
    """Checks that a critic with gradient penalties can be trained on data.

    Args:
        shape: shape of one datum, (channels, height, width) or (dimensions,).
        precision: "fp32" or "bf16".
        num_data: the number of data; None: not known yet.

    Raises:
        ValueError: if the data are vectors or fewer than 32, or the precision is bf16.
    """
    if not is_image(shape):
        raise ValueError(
            f"a critic is for pictures; these data are vectors of {shape[0]} numbers: choose lean, without --sharp "
            "(sharp=)"
        )
    if precision == "bf16":
        raise ValueError('a critic\'s gradient penalties need full precision; give --precision fp32 (precision="fp32")')
    if num_data is not None and num_data < LEAST_DATA:
        raise ValueError(
            f"there are {num_data} pictures to train on, which a critic would learn by heart; give {LEAST_DATA} or "
            "more, or leave the critic out: choose lean"
        )


def frozen(network: nn.Module, *inputs: Any) -> Any:
    """The output of a network; gradients flow to its inputs, but not to its parameters.

    With it, one loss can be the sum of the critic's loss and the model's loss. The model's part calls the critic
    through `frozen`. The critic's part takes detached outputs of the model.

    Args:
        network: the network, for example a critic.
        inputs: the arguments of its forward pass.
    """
    constants = {name: value.detach() for name, value in (*network.named_parameters(), *network.named_buffers())}
    return torch.func.functional_call(network, constants, inputs)


def relativistic_loss(higher: Float[Tensor, " n"], lower: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """The mean of softplus(lower - higher): small if each datum of one kind is judged above its partner of the other.

    The critic minimises it with real data as `higher`; the generator, with its own data as `higher`. At log 2 the
    critic cannot tell the two kinds apart.

    Reference: Huang et al. 2025, "The GAN is dead; long live the GAN!" (arXiv 2501.05441), equation 2, after
    Jolicoeur-Martineau 2019.

    Args:
        higher: the critic's judgements of data that shall be judged higher.
        lower: its judgements of as many data that shall be judged lower.
    """
    return functional.softplus(lower - higher).mean()


def gradient_penalty(critic: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Half the squared norm of the gradient of a critic with respect to all its inputs, averaged over the batch.

    On real data it is R1, on generated data R2, without their weight γ.

    References: Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", equation 9; Huang et al.
    2025 (arXiv 2501.05441), equation 3.

    Args:
        critic: judges each row of its inputs by itself, so it has no batch norm.
        inputs: the arguments of the critic, (n, …) each.
    """
    leaves = [each.detach().requires_grad_() for each in inputs]
    gradients = torch.autograd.grad(critic(*leaves).sum(), leaves, create_graph=True, allow_unused=True)
    norms = [each.square().flatten(1).sum(1) for each in gradients if each is not None]
    return torch.stack(norms).sum(0).mean() / 2


def lazy_penalties(
    critic: Callable[..., Tensor], real: Sequence[Tensor], generated: Sequence[Tensor], *, step: int, every: int
) -> Float[Tensor, ""]:
    """R1 + R2 at every k-th step, times k, and 0 at the other steps.

    Reference: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 3.1, for the lazy
    steps.

    Args:
        critic: judges each row of its inputs by itself, so it has no batch norm.
        real: the arguments of the critic for the data of the first kind, (n, …) each.
        generated: its arguments for the data of the second kind, (n, …) each.
        step: the number of the step, from 0.
        every: k, from 1 up.
    """
    if step % every:
        return real[0].new_zeros(())
    return every * (gradient_penalty(critic, real) + gradient_penalty(critic, generated))


class Contest(NamedTuple):
    """What one step of a critic against a model gives (`contest`)."""

    critic_loss: Float[Tensor, ""]
    """The loss of the critic; its gradient reaches the critic alone."""
    model_loss: Float[Tensor, ""]
    """The loss of the model, a number without gradient."""
    pulls: tuple[tuple[Tensor, Tensor], ...]
    """Each tensor of the model that the critic judged, with the gradient of the model's loss with respect to it."""

    def pull(self, weight: Float[Tensor, ""] | float = 1.0) -> Float[Tensor, ""]:
        """The model's loss times a weight; its gradient reaches the model alone.

        Args:
            weight: the weight, without gradient.
        """
        pulled = torch.stack([(tensor * gradient).sum() for tensor, gradient in self.pulls]).sum()
        return weight * (self.model_loss + pulled - pulled.detach())


def contest(critic: Callable[..., Tensor], real: Sequence[Tensor], generated: Sequence[Tensor]) -> Contest:
    """The relativistic losses of critic and model from a single call of the critic for each kind of data.

    The model's loss has the signs exchanged, and gradients flow to the inputs that have one: generated pictures, or
    codes on either side. It is what `frozen` would give, for half the work.

    Args:
        critic: judges data of the first kind higher.
        real: its arguments for the data of the first kind, (n, …) each.
        generated: its arguments for the data of the second kind, (n, …) each.
    """
    leaves = [[each.detach().requires_grad_(each.requires_grad) for each in side] for side in (real, generated)]
    higher, lower = (critic(*side) for side in leaves)
    loss = relativistic_loss(lower, higher)
    moved = [(each, leaf) for each, leaf in zip((*real, *generated), (*leaves[0], *leaves[1]), strict=True)]
    moved = [(each, leaf) for each, leaf in moved if each.requires_grad]
    gradients = torch.autograd.grad(loss, [leaf for _, leaf in moved], retain_graph=True, allow_unused=True)
    pulls = [(each, gradient) for (each, _), gradient in zip(moved, gradients, strict=True) if gradient is not None]
    return Contest(relativistic_loss(higher, lower), loss.detach(), tuple(pulls))
