"""The distributions of codes: a category, and a Gaussian whose mean is that of a class."""

import torch
from torch.distributions import Normal, kl_divergence

from vlae.models.distributions import CategoryCode, NormalCode, NormalOfClass


def test_a_category_places_noise_with_its_own_probabilities() -> None:
    torch.manual_seed(0)
    category = CategoryCode(torch.tensor([[1.0, 0.0, -2.0, 0.5]]).expand(50_000, 4))
    code = category.place(torch.randn(50_000, 4))
    assert (code.sum(1) == 1).all() and set(code.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(code.mean(0), category.mean[0], atol=0.01, rtol=0)


def test_noise_of_a_category_gives_its_code_back() -> None:
    prior = CategoryCode(torch.tensor([[0.0, 0.5, -1.0]]))
    codes = torch.eye(3)
    noise = prior.noise_of(codes)
    assert torch.equal(prior.place(noise), codes)
    assert noise.abs().max() < 4, "a noise that N(0, 1) would hardly draw cannot be fitted by a prior"


def test_rate_and_log_probability_of_a_category_are_sums_over_its_columns() -> None:
    q, p = CategoryCode(torch.tensor([[2.0, 0.0, 1.0]])), CategoryCode(torch.zeros(1, 3))
    known = torch.distributions.Categorical(logits=q.logits), torch.distributions.Categorical(logits=p.logits)
    torch.testing.assert_close(kl_divergence(q, p).sum(1), kl_divergence(*known))
    torch.testing.assert_close(q.log_prob(torch.eye(3)[[1]]).sum(1), known[0].log_prob(torch.tensor([1])))
    torch.testing.assert_close(q.stddev, (q.mean * (1 - q.mean)).sqrt())


def test_rate_to_a_class_is_the_expectation_over_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    classes = torch.softmax(torch.randn(5, 3, generator=generator), 1)
    means = torch.randn(3, 2, generator=generator) * 2.5
    q = NormalCode(torch.randn(5, 2, generator=generator), torch.rand(5, 2, generator=generator) + 0.1)
    by_hand = sum(
        classes[:, k, None] * kl_divergence(Normal(q.mean, q.stddev), Normal(means[k], torch.tensor(0.7)))
        for k in range(3)
    )
    torch.testing.assert_close(kl_divergence(q, NormalOfClass(classes, means, 0.7)), by_hand)


def test_a_known_class_has_a_plain_gaussian() -> None:
    means = torch.tensor([[0.0, 3.0], [1.0, -2.0]])
    prior = NormalOfClass(torch.eye(2), means, 0.5)
    q = NormalCode(torch.ones(2, 2), torch.full((2, 2), 0.3))
    plain = NormalCode(means, torch.full((2, 2), 0.5))
    torch.testing.assert_close(kl_divergence(q, prior), kl_divergence(Normal(1.0, 0.3), Normal(means, 0.5)))
    noise = torch.randn(2, 2)
    torch.testing.assert_close(prior.place(noise), plain.place(noise))
    joined = NormalOfClass.cat([prior, prior])
    torch.testing.assert_close(joined.mean, torch.cat([means, means]))


def test_a_sure_category_still_has_a_standard_deviation():
    sure = CategoryCode(torch.tensor([[200.0, 0.0, 0.0]]))
    assert sure.mean.equal(torch.tensor([[1.0, 0.0, 0.0]])) and (sure.stddev > 0).all()
