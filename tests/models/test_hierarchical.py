from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from vlae import objectives
from vlae.models.distributions import NormalCode
from vlae.models.hierarchical import HierarchicalVAE, LadderVAE, weighted
from vlae.models.levels import Level, MomentsLevel
from vlae.objectives.elbo import elbo as elbo_of
from vlae.recipes import build, hvae, lvae
from vlae.workflows import train

BOTH = (HierarchicalVAE, LadderVAE)
LEVELS = (Level(code_size=3, dense=(8,)), Level(code_size=2, dense=(8, 8)), Level(code_size=1, dense=(8,)))


def made(model, **settings):
    torch.manual_seed(0)
    return model((5,), LEVELS, mean=0.0, stddev=1.0, **settings).eval()


def test_weighted_is_the_product_of_two_gaussians():
    q = weighted(
        *(
            NormalCode(torch.full((1, 1), mean), torch.full((1, 1), stddev))
            for mean, stddev in ((1.0, 0.5), (-1.0, 2.0))
        )
    )
    grid = torch.linspace(-10, 10, 20001, dtype=torch.float64)
    density = (Normal(1.0, 0.5).log_prob(grid) + Normal(-1.0, 2.0).log_prob(grid)).exp()
    density /= density.sum()
    mean = (density * grid).sum()
    assert q.mean.item() == pytest.approx(mean.item(), abs=1e-5)
    assert q.variance.item() == pytest.approx((density * (grid - mean) ** 2).sum().item(), abs=1e-5)


@pytest.mark.parametrize("model", BOTH)
@torch.no_grad()
def test_a_picture_sees_the_lowest_code_alone(model):
    net = made(model)
    codes = net.place(net.draw_noise(4))
    other = (codes[0], *(torch.randn_like(code) for code in codes[1:]))
    assert net.generate(codes).mean.equal(net.generate(other).mean)
    assert not net.generate((codes[0] + 1, *codes[1:])).mean.equal(net.generate(codes).mean)


@pytest.mark.parametrize("model", BOTH)
@torch.no_grad()
def test_priors_are_a_chain(model):
    net = made(model)
    codes = net.place(net.draw_noise(4))
    assert not net.prior(1, codes[1:]).mean.equal(net.prior(1, (codes[1] + 1, codes[2])).mean)
    assert net.prior(1, codes[1:]).mean.equal(net.prior(1, (codes[1], codes[2] + 1)).mean)


@torch.no_grad()
def test_inference_of_the_hierarchical_vae_is_a_chain_upwards():
    net, x = made(HierarchicalVAE), torch.randn(6, 5)
    torch.manual_seed(1)
    forward = net(x)
    for level in (1, 2):
        q = net._gaussian(net.recognisers[level - 1](forward.codes[level - 1]))
        torch.testing.assert_close(q.mean, forward.posteriors[level].mean)
        torch.testing.assert_close(q.stddev, forward.posteriors[level].stddev)
    for level in (1, 2):
        torch.testing.assert_close(forward.priors[level - 1].mean, net.prior(level, forward.codes[level:]).mean)
    assert not forward.conditioned_alike and not forward.priors[2].mean.any()


@torch.no_grad()
def test_inference_of_the_ladder_vae_is_the_estimate_weighed_with_the_prior():
    net, x = made(LadderVAE), torch.randn(6, 5)
    forward = net(x)
    for level, estimate in enumerate(net._climb(x), start=1):
        prior = net.prior(level, forward.codes[level:])
        torch.testing.assert_close(forward.posteriors[level - 1].mean, weighted(estimate, prior).mean)
        torch.testing.assert_close(forward.priors[level - 1].mean, prior.mean)
    assert forward.conditioned_alike
    # More is known than by either alone.
    assert all((q.stddev < p.stddev).all() for q, p in zip(forward.posteriors, forward.priors, strict=True))


@pytest.mark.parametrize("model", BOTH)
@torch.no_grad()
def test_codes_that_fade_in_are_multiplied_on_their_way_down(model):
    net, x = made(model), torch.randn(6, 5)
    fade = torch.tensor([0.5, 0.25, 0.0])
    forward = net(x, fade)
    z1, z2, z3 = (grown * code for grown, code in zip(fade, forward.codes, strict=True))
    torch.testing.assert_close(forward.priors[1].mean, net.prior(2, (z3,)).mean)
    torch.testing.assert_close(forward.priors[0].mean, net.prior(1, (z2, z3)).mean)
    torch.testing.assert_close(forward.likelihood.mean, net.generate((z1, z2, z3)).mean)


@torch.no_grad()
def test_rates_of_the_ladder_vae_are_closed_forms_at_the_draws_above():
    net, x = made(LadderVAE), torch.randn(6, 5)
    forward = net(x)
    pairs = zip(forward.posteriors, forward.priors, strict=True)
    torch.testing.assert_close(objectives.rates(forward), torch.stack([kl_divergence(q, p).sum(1) for q, p in pairs]))


@pytest.mark.parametrize("model", BOTH)
@torch.no_grad()
def test_the_bound_lies_below_the_likelihood(model):
    """E[log p(x, z) - log q(z | x)] over many draws is the ELBO, and its log-mean-exp, log p(x), is no lower."""
    net, x = made(model), torch.randn(2, 5)
    torch.manual_seed(2)
    many = x.repeat_interleave(4000, 0)
    forward = net(many)
    weight = forward.likelihood.log_prob(many)
    for q, p, code in zip(forward.posteriors, forward.priors, forward.codes, strict=True):
        weight = weight + (p.log_prob(code) - q.log_prob(code)).sum(1)
    weight = weight.reshape(2, 4000)
    elbo = elbo_of(forward, many).reshape(2, 4000)
    error = 4 * (elbo.std(1) + weight.std(1)) / 4000**0.5
    assert ((elbo.mean(1) - weight.mean(1)).abs() < error).all()
    likelihood = torch.logsumexp(weight, 1) - np.log(4000)
    assert (likelihood > elbo.mean(1)).all()


@pytest.mark.parametrize("model", BOTH)
def test_levels_that_are_no_hierarchy(model):
    for levels in (LEVELS[:1], LEVELS * 2, (LEVELS[0], replace(LEVELS[1], code_size=0))):
        with pytest.raises(ValueError, match="2 to 5 levels"):
            model((5,), levels)
    with pytest.raises(ValueError, match="dense layers only"):
        model((1, 8, 8), (Level(code_size=2, convolutions=((4, 2),)), Level(code_size=1, convolutions=((4, 2),))))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [hvae, lvae])
def test_learns(recipe, tmp_path):
    """A short training beats the mean image, which no untrained model does."""
    rng = np.random.default_rng(0)
    shade, side = rng.integers(0, 200, 2000), rng.integers(0, 2, 2000)
    images = np.full((2000, 1, 8, 8), 20, np.uint8)
    for i in range(2000):
        images[i, 0, :, 4 * side[i] : 4 * side[i] + 4] = 20 + shade[i]
    run = train(
        images, out=tmp_path / "run", recipe=recipe((1, 8, 8), code_sizes=(4, 2), width=8), steps=200, progress=False
    )
    of_mean = ((images / 255 - (images / 255).mean(0)) ** 2).mean()
    assert run.summary["reconstruction"]["mse"] < 0.2 * of_mean
    assert build(run.recipe).code_sizes == (4, 2) and run.summary["levels"][0]["kl_nats"] > 1


@pytest.mark.parametrize("model", BOTH)
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("setting", [{"reads": "grid"}, {"head_dense": (8,)}, {"gradients": 2}])
def test_what_a_hierarchy_would_drop_is_refused(model, number, setting):
    levels = [Level(code_size=3, convolutions=((4, 2),), dense=(8,)), Level(code_size=2, dense=(8,))]
    model((1, 8, 8), levels)
    levels[number] = replace(levels[number], **setting)
    with pytest.raises(ValueError, match="in a hierarchy, levels are plain"):
        model((1, 8, 8), levels)
    moments = MomentsLevel(code_size=3, convolutions=((4, 2),))
    with pytest.raises(ValueError, match="in a hierarchy, levels are plain"):
        model((1, 8, 8), [moments, *LEVELS[1:]])
