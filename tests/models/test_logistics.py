"""The probabilities of a pixel add up to 1, and pixels are drawn with these probabilities."""

import itertools

import pytest
import torch

from vlae.models.logistics import LogisticMixture, count_pairs, initial_numbers, num_numbers

K = 3


def numbers(channels, spread=2.0, pixels=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(pixels, K * num_numbers(channels), 1, 1, dtype=torch.float64, generator=generator)


def mixture(raw, m, num_values):
    return LogisticMixture(raw, m, num_components=K, num_values=num_values)


def all_values(channels, num_values):
    grid = torch.tensor(list(itertools.product(range(num_values), repeat=channels)), dtype=torch.float64)
    return (grid / (num_values - 1))[..., None, None]


@pytest.mark.parametrize("spread", [0.0, 2.0, 30.0])
@pytest.mark.parametrize(("channels", "num_values"), [(1, 256), (2, 256), (3, 16), (4, 6), (1, 2), (3, 2)])
def test_the_probabilities_of_all_values_add_up_to_one(channels, num_values, spread):
    x = all_values(channels, num_values)
    m = torch.rand(1, channels, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    each = mixture(numbers(channels, spread).expand(len(x), -1, -1, -1), m.expand(len(x), -1, -1, -1), num_values)
    log = each.log_prob(x)
    assert log.isfinite().all()
    assert log.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_each_channel_sums_to_one_given_those_before_it():
    """Of 256 values each: with the colours before it fixed, the sum over a colour takes that colour away."""
    raw, m = numbers(3), torch.rand(1, 3, 1, 1, dtype=torch.float64)
    before = torch.tensor([0.2, 0.6], dtype=torch.float64)
    x = torch.cat([before.expand(256, 2), torch.arange(256.0)[:, None] / 255], dim=1)[..., None, None].double()
    all_three = mixture(raw.expand(256, -1, -1, -1), m.expand(256, -1, -1, -1), 256).log_prob(x).exp().sum()
    per = raw.view(1, K, num_numbers(3))
    first_two = torch.cat([per[..., 0:3], per[..., 4:6], per[..., 7:8]], dim=2).flatten(1)[..., None, None]
    two = mixture(first_two, m[:, :2], 256).log_prob(x[:1, :2]).exp()
    assert all_three.item() == pytest.approx(two.item(), rel=1e-9)


def test_float32_is_exact_enough_at_the_tails():
    x = torch.arange(256.0)[:, None, None, None] / 255
    raw = torch.zeros(256, K * 3, 1, 1)
    raw[:, 2::3] = -50.0  # the smallest scale
    log = mixture(raw, torch.full((256, 1, 1, 1), 0.5), 256).log_prob(x)
    assert log.isfinite().all() and log.exp().sum().item() == pytest.approx(1, abs=1e-4)
    assert log.min() < -1000 and log.argmax() in (127, 128)


def test_values_are_drawn_as_often_as_they_are_probable():
    torch.manual_seed(0)
    num, num_values = 40_000, 4
    raw, m = numbers(2, seed=4).expand(num, -1, -1, -1), torch.rand(1, 2, 1, 1).double().expand(num, -1, -1, -1)
    uniform = torch.rand(num, K + 2, 1, 1, dtype=torch.float64)
    drawn = mixture(raw, m, num_values).place(-(-uniform[:, :K].log()).log(), uniform[:, K:])
    x = all_values(2, num_values)
    wanted = mixture(raw[: len(x)], m[: len(x)], num_values).log_prob(x).exp().flatten()
    counts = torch.stack([(drawn == value).flatten(1).all(1).sum() for value in x]) / num
    torch.testing.assert_close(counts.double(), wanted, atol=0.01, rtol=0)
    assert wanted.max() < 0.7 and (wanted > 0.02).sum() > 4  # there was something to draw


def test_a_component_begins_around_the_picture():
    raw = initial_numbers(3, K)[None, :, None, None].expand(1, -1, 256, 1)
    x = torch.arange(256.0)[None, None, :, None].expand(1, 3, -1, -1) / 255
    log = mixture(raw, torch.full((1, 3, 256, 1), 0.5), 256).log_prob(x)[0, :, 0]
    torch.testing.assert_close(log, log.flip(0), atol=1e-4, rtol=0)
    assert log[1:-1].argmax() + 1 in (127, 128)  # the intervals of 0 and 255 are open
    assert count_pairs(4) == 6 and initial_numbers(1, 1).tolist() == [0, 0, 0]


def test_gradients_of_a_huge_scale_are_finite():
    numbers = torch.full((1, 2 * num_numbers(1), 2, 2), 1e3).requires_grad_()
    mixture = LogisticMixture(numbers, torch.zeros(1, 1, 2, 2), num_components=2, num_values=256)
    mixture.log_prob(torch.full((1, 1, 2, 2), 100 / 255)).sum().backward()
    assert numbers.grad.isfinite().all()
