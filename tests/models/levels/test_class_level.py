"""A class above the top of a ladder: what it touches, and what it is refused."""

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from vlae.evaluation.rates import ablate
from vlae.models.distributions import CategoryCode
from vlae.models.ladder import VLAE
from vlae.models.levels import ClassLevel, Level
from vlae.models.levels.classes import WIDTH
from vlae.models.likelihoods import Gaussian
from vlae.models.m2 import M1M2
from vlae.models.priors import complete, standard_prior
from vlae.objectives.bounds import log_importance_weights, log_likelihood
from vlae.recipes import build, lean, with_classes

THREE = {"values": (0, 1, 2), "names": ("a", "b", "c")}


def classed(shape=(1, 8, 8), code_sizes=(2, 4)):
    torch.manual_seed(0)
    return build(with_classes(lean(shape, code_sizes=code_sizes, width=4), **THREE)).eval()


@pytest.mark.parametrize("shape", [(1, 8, 8), (5,)])
def test_the_class_touches_the_top_and_nothing_else(shape):
    model = classed(shape)
    x = torch.rand(6, *shape)
    posteriors = model.infer(x)
    assert isinstance(posteriors[2], CategoryCode) and posteriors[2].mean.shape == (6, 3)
    torch.testing.assert_close(posteriors[2].mean.sum(1), torch.ones(6))
    codes = (torch.zeros(3, 2), torch.zeros(3, 4), torch.eye(3))
    drawn = model.decode(codes)
    assert drawn.equal(model.decode((*codes[:2], codes[2].roll(1, 0)))), "the decoder sees no class"
    assert model.prior(1, codes[1:]).mean.abs().max() == 0
    means = model.prior(2, codes[2:]).mean
    assert means.shape == (3, 4) and torch.cdist(means, means).fill_diagonal_(99).min() > WIDTH
    assert (model.class_names, model.class_values) == (("a", "b", "c"), (0, 1, 2))


def test_noise_holds_while_the_class_changes_and_comes_back():
    model = classed()
    noise = (torch.randn(3, 2), torch.randn(1, 4).expand(3, -1), model.prior(3, ()).noise_of(torch.eye(3)))
    codes = model.place(noise)
    assert codes[2].equal(torch.eye(3))
    offsets = codes[1] - model.prior(2, codes[2:]).mean
    torch.testing.assert_close(offsets, noise[1])
    torch.testing.assert_close(model.noise_of(codes)[1], noise[1])


@pytest.mark.parametrize("kind", ["ladder", "M1+M2"])
@torch.no_grad()
def test_codes_come_back_from_their_noise_however_unsure_the_class_is(kind):
    torch.manual_seed(0)
    dense = [Level(code_size=2, dense=(8,)), Level(code_size=4, dense=(8,)), ClassLevel(code_size=3)]
    model = classed() if kind == "ladder" else M1M2((5,), dense).eval()
    x = torch.rand(20, *model.shape)
    for codes in (tuple(q.mean for q in model.infer(x)), *model.sample_posterior(x, 2)):
        codes = (*codes[:2], torch.softmax(3 * torch.randn(20, 3), 1))
        back = model.place(model.noise_of(codes))
        for one, other in zip(back[:2], codes[:2], strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
        assert back[2].argmax(1).equal(codes[2].argmax(1)) and (back[2].max(1).values == 1).all()
        whole = {level: code for level, code in enumerate(codes, start=1) if level != 2}
        filled = complete(model, standard_prior(model.code_sizes), whole, torch.Generator().manual_seed(0))
        sure = complete(model, standard_prior(model.code_sizes), whole | {3: back[2]}, torch.Generator().manual_seed(0))
        torch.testing.assert_close(filled[1], sure[1])


@torch.no_grad()
def test_the_importance_weighted_bound_of_a_ladder_with_classes_rises_to_the_likelihood():
    torch.manual_seed(0)
    dense = [Level(code_size=1, dense=(8,)), Level(code_size=1, dense=(8,)), ClassLevel(code_size=2)]
    model = VLAE((2,), dense, likelihood=Gaussian(scale=1.0), mean=0.0, stddev=1.0).eval()
    model.levels[2].means *= 0.3  # a posterior that has learned nothing reaches these
    x, num, means = torch.randn(20, 2) / 2, 100_000, model.levels[2].means
    forward = model(x)
    (z_1, z_2, _), (q_1, q_2, _) = forward.codes, forward.posteriors
    of_each = [np.log(0.5) + Normal(mean, 1.0).log_prob(z_2).sum(1) for mean in means]
    weights = forward.likelihood.log_prob(x) + Normal(0.0, 1.0).log_prob(z_1).sum(1) + torch.logaddexp(*of_each)
    weights = weights - q_1.log_prob(z_1).sum(1) - q_2.log_prob(z_2).sum(1)
    torch.testing.assert_close(log_importance_weights(forward, x), weights)
    y = torch.eye(2)[torch.randint(0, 2, (num,))]
    drawn = model.generate((torch.randn(num, 1), y @ means + torch.randn(num, 1), y)).mean  # from the prior
    truth = (-0.5 * (x[:, None] - drawn).square().sum(2) - np.log(2 * np.pi)).logsumexp(1) - np.log(num)
    bound = log_likelihood(model, x, num_samples=20_000, chunk=500)
    torch.testing.assert_close(bound.mean(), truth.mean(), atol=0.03, rtol=0)


def test_nothing_is_lost_where_nothing_is_drawn_afresh():
    kept = ablate(classed(), np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8), np.uint8))[0]["kept_upwards"]
    assert abs(kept["distortion_nats"]) < 1e-3 and abs(kept["mse"]) < 1e-6


def test_the_rate_of_an_unknown_class_is_its_expectation():
    model = classed().train()
    torch.manual_seed(1)
    forward = model(torch.rand(5, 1, 8, 8))
    of_each = []
    for k in range(3):
        one = torch.eye(3)[k].expand(5, -1)
        of_each.append(kl_divergence(forward.posteriors[1], model.prior(2, (one,))).sum(1))
    by_hand = (forward.posteriors[2].mean * torch.stack(of_each, dim=1)).sum(1)
    torch.testing.assert_close(kl_divergence(forward.posteriors[1], forward.priors[1]).sum(1), by_hand)


def test_another_level_can_hold_the_class():
    recipe = with_classes(lean((1, 8, 8), code_sizes=(2, 4), width=4), **THREE)
    levels = (*recipe.levels[:2], ClassLevel(code_size=3, holder=1, **THREE))
    from dataclasses import replace

    model = build(replace(recipe, levels=levels))
    codes = (torch.zeros(3, 2), torch.zeros(3, 4), torch.eye(3))
    assert model.prior(1, codes[1:]).mean.abs().max() > 1
    assert model.prior(2, codes[2:]).mean.abs().max() == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"code_size": 1, "names": ("a",), "values": (0,)}, "a class level of 1 classes; give labels of at least 2"),
        ({"names": ("a",)}, "1 names for 3 classes"),
        ({"values": (1,)}, "1 values for 3 classes"),
    ],
)
def test_wrong_settings_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        ClassLevel(**{"code_size": 3, **THREE, **wrong})


def test_wrong_places_are_refused():
    classes = ClassLevel(code_size=3, **THREE)
    plain = Level(code_size=2, dense=(8,))
    with pytest.raises(ValueError, match="stands above all levels of a ladder"):
        VLAE((5,), [plain, classes, plain])
    with pytest.raises(ValueError, match="at least one of them has a code"):
        VLAE((5,), [classes])
    with pytest.raises(ValueError, match=r"level 4 has no code that could hold the class; choose one of \(1,\)"):
        VLAE((5,), [plain, ClassLevel(code_size=3, holder=4, **THREE)])
