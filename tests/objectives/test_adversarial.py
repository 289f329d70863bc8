"""The loss and the penalties of a critic are those of their equations."""

from math import log

import pytest
import torch
from torch import nn

from vlae.nn.critic import Critic
from vlae.objectives.adversarial import frozen, gradient_penalty, lazy_penalties, relativistic_loss


def test_the_relativistic_loss_by_hand():
    higher, lower = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    by_hand = ((1 + (-higher + lower).exp()).log()).mean()
    torch.testing.assert_close(relativistic_loss(higher, lower), by_hand)
    assert relativistic_loss(higher, higher).item() == pytest.approx(log(2))


def test_the_gradient_penalty_of_a_linear_critic_is_half_its_squared_weights():
    layer = nn.Linear(3, 1)
    x, z = torch.randn(5, 3), torch.randn(5, 2)

    def critic(x, z):
        return layer(x).squeeze(1) + (2 * z).sum(1)

    penalty = gradient_penalty(critic, [x, z])
    torch.testing.assert_close(penalty, (layer.weight.square().sum() + 4 * 2) / 2)
    penalty.backward()
    torch.testing.assert_close(layer.weight.grad, layer.weight.detach())


def test_the_gradient_penalty_trains_a_critic_towards_flat():
    torch.manual_seed(0)
    critic = Critic((1, 8, 8), (2,), width=4, units=8)
    inputs = [torch.rand(16, 1, 8, 8), torch.randn(16, 2)]
    optimizer = torch.optim.Adam(critic.parameters(), 1e-2)
    first = gradient_penalty(critic, inputs).item()
    for _ in range(20):
        optimizer.zero_grad()
        gradient_penalty(critic, inputs).backward()
        optimizer.step()
    assert 0 < gradient_penalty(critic, inputs).item() < first / 4


def test_lazy_penalties_come_at_every_kth_step_times_k():
    critic = Critic((1, 8, 8), width=4, units=8)
    real, generated = [torch.rand(4, 1, 8, 8)], [torch.rand(4, 1, 8, 8)]
    each = gradient_penalty(critic, real) + gradient_penalty(critic, generated)
    values = [lazy_penalties(critic, real, generated, step=step, every=4).item() for step in range(9)]
    assert values == pytest.approx([4 * each.item(), 0, 0, 0] * 2 + [4 * each.item()])


def test_a_frozen_critic_passes_gradients_to_its_inputs_alone():
    critic, x = Critic((1, 8, 8), width=4, units=8), torch.rand(4, 1, 8, 8, requires_grad=True)
    frozen(critic, x).sum().backward()
    assert x.grad.any() and all(parameter.grad is None for parameter in critic.parameters())
