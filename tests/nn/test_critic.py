"""Critics judge each datum by itself, at any size, and codes act where they enter."""

import pytest
import torch

from vlae.nn.critic import CodesCritic, Critic

SHAPES = [(1, 8, 8), (3, 28, 28), (2, 9, 17), (1, 8, 40)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("code_sizes", [(), (2, 0, 3), (1, 1, 1, 1, 1, 1)])
def test_a_critic_judges_each_datum_by_itself(shape, code_sizes):
    torch.manual_seed(0)
    critic = Critic(shape, code_sizes, width=4, units=8)
    inputs = [torch.rand(5, *shape), *(torch.randn(5, size) for size in code_sizes)]
    together = critic(*inputs)
    assert together.shape == (5,) and critic.trunk(*inputs).shape == (5, critic.num_features)
    torch.testing.assert_close(torch.cat([critic(*(each[i : i + 1] for each in inputs)) for i in range(5)]), together)


def test_every_code_and_every_pixel_acts():
    torch.manual_seed(0)
    critic = Critic((1, 16, 16), (2, 3, 1, 2), width=4, units=8)
    inputs = [torch.rand(5, 1, 16, 16), *(torch.randn(5, size) for size in (2, 3, 1, 2))]
    leaves = [each.requires_grad_() for each in inputs]
    gradients = torch.autograd.grad(critic(*leaves).sum(), leaves)
    assert all((gradient != 0).all() for gradient in gradients)


def test_vectors_are_refused_with_the_reason():
    with pytest.raises(ValueError, match="for pictures; these data are vectors of 7 numbers"):
        Critic((7,))


def test_a_critic_of_codes_sees_all_levels():
    torch.manual_seed(0)
    critic, codes = CodesCritic((2, 0, 3), units=8), [torch.randn(4, size) for size in (2, 0, 3)]
    leaves = [each.requires_grad_() for each in codes]
    assert critic(*leaves).shape == (4,)
    assert all((each != 0).all() for each in torch.autograd.grad(critic(*leaves).sum(), leaves))
