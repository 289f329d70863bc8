"""The model of InfoGAN: its three levels, what it reads, what it draws, and what it has not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch.distributions import kl_divergence

from vlae.errors import NotDefinedError
from vlae.evaluation.rates import is_dead, shortage, summarise
from vlae.models.distributions import CategoryCode
from vlae.models.infogan import InfoGAN, InfoGANLevel
from vlae.models.likelihoods import Gaussian
from vlae.recipes import build, infogan, lean


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build(infogan((1, 16, 12), code_sizes=(5, 2, 4), width=4)).eval()


@torch.no_grad()
def test_it_has_a_level_of_each_kind(model):
    x = torch.rand(3, 1, 16, 12)
    noise, continuous, category = model.infer(x)
    assert [tuple(q.mean.shape) for q in (noise, continuous, category)] == [(3, 5), (3, 2), (3, 4)]
    assert isinstance(category, CategoryCode)
    torch.testing.assert_close(category.mean.sum(1), torch.ones(3))
    assert not kl_divergence(noise, model.prior(1, ())).any()  # the posterior of noise is its prior
    forward = model(x)
    assert forward.likelihood.batch_shape == (3,) and forward.likelihood.event_shape == (1, 16, 12)
    assert forward.likelihood.mean.min() >= 0 and forward.likelihood.mean.max() <= 1


@torch.no_grad()
def test_the_generator_draws_from_uniform_codes(model):
    seen = []
    model.generator.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    codes = model.place(model.draw_noise(2000, torch.Generator().manual_seed(1)))
    model.decode(codes)
    _, uniform, category = seen[0].split([5, 2, 4], dim=1)
    for column in uniform.T:
        assert kstest(column.numpy(), "uniform", args=(-1, 2)).pvalue > 1e-3
    np.testing.assert_allclose(category.mean(0), 0.25, atol=0.04)
    assert ((category == 0) | (category == 1)).all() and (category.sum(1) == 1).all()


@torch.no_grad()
def test_of_probabilities_the_likeliest_category_is_drawn(model):
    noise, continuous = torch.randn(1, 5), torch.randn(1, 2)
    likely, sure = torch.tensor([[0.2, 0.5, 0.1, 0.2]]), torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    other = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    draw = lambda category: model.decode((noise, continuous, category))  # noqa: E731
    assert draw(likely).equal(draw(sure)) and not draw(likely).equal(draw(other))


@torch.no_grad()
def test_noise_and_codes_lead_to_each_other(model):
    codes = model.place(model.draw_noise(50, torch.Generator().manual_seed(2)))
    again = model.place(model.noise_of(codes))
    for code, back in zip(codes, again, strict=True):
        torch.testing.assert_close(back, code)


@torch.no_grad()
def test_the_stddev_is_the_error_of_reading_back(model):
    for _ in range(2000):
        model.remember(torch.tensor([0.04, 0.25]))
    torch.testing.assert_close(model.infer(torch.rand(1, 1, 16, 12))[1].stddev, torch.tensor([[0.2, 0.5]]))


def test_it_has_no_density_and_says_why(model):
    with pytest.raises(NotDefinedError, match="no density: the picture is a function of the codes"):
        model.require("density")
    model.require("encoder")
    x = torch.rand(4, 1, 16, 12)
    with pytest.raises(NotDefinedError, match="an objective that needs one takes another family"):
        model(x).likelihood.log_prob(x)
    summary = summarise(model, (x.numpy() * 255).astype(np.uint8))
    assert summary["elbo_nats"] is None and "function of the codes" in summary["not_defined"]["elbo_nats"]
    assert summary["reconstruction"]["mse"] > 0


def test_a_level_that_is_noise_by_design_is_not_told_of_as_dead(model):
    noise, _, category = summarise(model, np.zeros((4, 1, 16, 12), np.uint8))["levels"]
    assert noise["kl_nats"] == 0 and not is_dead(noise) and shortage(noise) is None
    assert category["kl_nats"] < 0.1 and is_dead(category)  # an untrained encoder knows nothing


@pytest.mark.parametrize("sizes", [(0, 2, 4), (5, 0, 4), (5, 2, 0)])
@torch.no_grad()
def test_any_one_level_may_be_without_a_code(sizes):
    model = build(infogan((3, 8, 8), code_sizes=sizes, width=4)).eval()
    assert model.sample(2).mean.shape == (2, 3, 8, 8)
    assert [tuple(q.mean.shape) for q in model.infer(torch.rand(2, 3, 8, 8))] == [(2, size) for size in sizes]
    summary = summarise(model, np.zeros((4, 3, 8, 8), np.uint8))
    assert [level["code_size"] for level in summary["levels"]] == list(sizes)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((5, 2), "infogan has 3 levels, 2 code sizes are given"),
        ((5, 2, 1), "level of category is 1; give 0, or from 2 up"),
        ((5, -1, 3), "level of continuous is -1; give from 0 up"),
        ((5, 0, 0), "give the continuous codes or the category a size"),
    ],
)
def test_code_sizes_that_make_no_infogan_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        build(infogan((1, 8, 8), code_sizes=sizes))


def test_what_does_not_belong_together_is_refused():
    recipe = infogan((1, 8, 8))
    with pytest.raises(ValueError, match="infogan draws pictures; these data are vectors of 5 numbers: choose lean"):
        infogan((5,))
    with pytest.raises(ValueError, match="draws pictures; these data are vectors"):
        InfoGAN((5,), recipe.levels)
    with pytest.raises(ValueError, match="so the likelihood 'gaussian' does not fit it; leave family out"):
        build(replace(recipe, likelihood=Gaussian()))
    with pytest.raises(ValueError, match="has three levels, noise, continuous, category, in this order"):
        build(replace(recipe, levels=recipe.levels[::-1]))
    with pytest.raises(ValueError, match="cannot stand in a ladder; choose the recipe infogan"):
        build(replace(lean((1, 8, 8)), levels=recipe.levels))
    with pytest.raises(ValueError, match="role is 'sound'"):
        InfoGANLevel(code_size=2, role="sound")
