"""The conditionals of a planted mixture against other ways to compute them; missing levels of every kind of model."""

from dataclasses import replace
from math import log, pi

import numpy as np
import pytest
import torch
from model_cases import CASES, made

from vlae.models import priors
from vlae.models.inference import evaluating
from vlae.models.priors import MixturePrior, PriorFit, complete, standard_prior

SIZES = (2, 0, 1, 3)


def planted(num=3, sizes=SIZES, seed=0):
    rng = np.random.default_rng(seed)
    size = sum(sizes)
    factors = np.tril(rng.normal(size=(num, size, size)))
    factors[:, range(size), range(size)] = 0.2 + rng.random((num, size))
    weights = rng.random(num) + 0.2
    arrays = weights / weights.sum(), 2 * rng.normal(size=(num, size)), factors
    weights, means, factors = map(torch.from_numpy, arrays)
    return MixturePrior(code_sizes=sizes, weights=weights, means=means, factors=factors)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def joined(noise):
    return torch.cat(noise, dim=1).double().numpy()


def log_density(prior, x):
    """The log density of each row and component, from covariances, by the textbook formula."""
    parts = []
    for weight, mean, factor in zip(prior.weights.numpy(), prior.means.numpy(), prior.factors.numpy(), strict=True):
        covariance = factor @ factor.T
        away = x - mean
        squared = (away @ np.linalg.inv(covariance) * away).sum(1)
        parts.append(log(weight) - 0.5 * (squared + np.linalg.slogdet(2 * pi * covariance)[1]))
    return np.stack(parts, axis=1)


def test_draws_have_the_moments_of_the_mixture():
    prior = planted()
    drawn = joined(prior.draw(200_000, seeded()))
    weights, means = prior.weights.numpy(), prior.means.numpy()
    covariances = (prior.factors @ prior.factors.mT).numpy()
    mean = weights @ means
    covariance = np.einsum("k,kij->ij", weights, covariances + np.einsum("ki,kj->kij", means - mean, means - mean))
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.1)
    marginal = [prior.level_moments(level) for level in range(1, 5)]
    np.testing.assert_allclose(joined([m for m, _ in marginal])[0], mean, atol=1e-5)
    np.testing.assert_allclose(joined([s for _, s in marginal])[0], covariance.diagonal() ** 0.5, atol=1e-5)


def test_one_gaussian_given_a_level_is_the_textbooks():
    prior = planted(1)
    noise = prior.draw(5, seeded(1))
    x, mean = joined(noise), prior.means[0].numpy()
    covariance = (prior.factors[0] @ prior.factors[0].T).numpy()
    a, b = [0, 1], [2, 3, 4, 5]
    gain = covariance[np.ix_(a, b)] @ np.linalg.inv(covariance[np.ix_(b, b)])
    given, spread = prior.level_moments(1, noise)
    np.testing.assert_allclose(given, mean[a] + (x[:, b] - mean[b]) @ gain.T, atol=1e-4)
    rest = covariance[np.ix_(a, a)] - gain @ covariance[np.ix_(b, a)]
    np.testing.assert_allclose(spread, np.tile(rest.diagonal() ** 0.5, (5, 1)), atol=1e-5)


@pytest.mark.parametrize("level", [1, 3])
def test_moments_given_the_others_are_those_of_the_density_on_a_grid(level):
    prior, columns = planted(), {1: [0, 1], 3: [2]}[level]
    noise = prior.draw(1, seeded(2))
    line = np.linspace(-12, 12, 401)
    points = np.stack(np.meshgrid(*[line] * len(columns), indexing="ij"), axis=-1).reshape(-1, len(columns))
    x = np.repeat(joined(noise), len(points), axis=0)
    x[:, columns] = points
    density = np.exp(np.logaddexp.reduce(log_density(prior, x), axis=1))
    density /= density.sum()
    mean = density @ points
    got, spread = prior.level_moments(level, noise)
    np.testing.assert_allclose(got[0], mean, atol=1e-3)
    np.testing.assert_allclose(spread[0], np.sqrt(density @ (points - mean) ** 2), atol=1e-3)


def test_a_level_drawn_given_the_others_follows_its_conditional():
    prior = planted()
    noise = tuple(level.expand(100_000, -1) for level in prior.draw(1, seeded(3)))
    drawn = prior.redraw([4], noise, seeded(4))
    assert all(torch.equal(drawn[i], noise[i]) for i in range(3))
    mean, spread = prior.level_moments(4, tuple(level[:1] for level in noise))
    np.testing.assert_allclose(drawn[3].mean(0), mean[0], atol=0.03)
    np.testing.assert_allclose(drawn[3].std(0), spread[0], atol=0.03)


def test_drawing_level_by_level_gives_the_joint_distribution():
    """Gibbs sampling from exact draws must stay at the distribution."""
    prior = planted()
    noise = prior.draw(100_000, seeded(5))
    once = prior.redraw([1, 3], noise, seeded(6))
    again = prior.redraw([4], once, seeded(7))
    before, after = joined(noise), joined(again)
    np.testing.assert_allclose(after.mean(0), before.mean(0), atol=0.04)
    np.testing.assert_allclose(np.cov(after.T), np.cov(before.T), atol=0.15)


def test_a_factor_that_all_share_is_as_one_for_each():
    """A kernel density, and what it would be as a mixture."""
    each = planted()
    one = MixturePrior(code_sizes=SIZES, weights=each.weights, means=each.means, factors=each.factors[:1])
    each = MixturePrior(code_sizes=SIZES, weights=each.weights, means=each.means, factors=one.factors.repeat(3, 1, 1))
    noise = each.draw(50, seeded(1))
    pairs = [
        (one.draw(50, seeded(1)), noise),
        (one.redraw([1, 3], noise, seeded(2)), each.redraw([1, 3], noise, seeded(2))),
        (one.level_moments(4, noise), each.level_moments(4, noise)),
        (one.level_moments(4), each.level_moments(4)),
    ]
    for ours, other in pairs:
        torch.testing.assert_close(ours, other)
    assert one.name == "a kernel density of 3 codes"


def test_without_codes_a_kernel_density_is_the_gaussian_of_its_moments():
    each = planted()
    density = MixturePrior(code_sizes=SIZES, weights=each.weights, means=each.means, factors=each.factors[:1])
    gaussian = density.without_codes()
    assert gaussian.name == "a Gaussian" and gaussian.describe().endswith("the codes of a kernel density are left out")
    for level in range(1, 5):
        torch.testing.assert_close(gaussian.level_moments(level), density.level_moments(level))
    drawn = joined(density.draw(200_000, seeded()))
    covariance = (gaussian.factors[0] @ gaussian.factors[0].T).numpy()
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.1)
    assert each.without_codes() is each


def test_many_rows_are_drawn_some_at_a_time(monkeypatch):
    prior = planted()
    noise = prior.draw(7, seeded(1))
    monkeypatch.setattr(priors, "MAX_NUMBERS", 2 * prior.means.numel())
    generator = seeded(2)
    parts = [prior.redraw([4], tuple(level[i : i + 2] for level in noise), generator) for i in range(0, 7, 2)]
    torch.testing.assert_close(prior.redraw([4], noise, seeded(2)), tuple(map(torch.cat, zip(*parts, strict=True))))


def test_moments_of_many_rows_are_taken_some_at_a_time(monkeypatch):
    prior, given = planted(), []
    noise = prior.draw(7, seeded(1))
    expected, real = prior.level_moments(3, noise), MixturePrior._given
    monkeypatch.setattr(priors, "MAX_NUMBERS", 2 * prior.means.numel())
    monkeypatch.setattr(MixturePrior, "_given", lambda *args: given.append(len(args[2][0])) or real(*args))
    torch.testing.assert_close(prior.level_moments(3, noise), expected)
    assert given == [2, 2, 2, 1]


def test_a_code_far_away_still_has_a_conditional():
    prior = planted()
    noise = tuple(torch.full((2, size), 1e4) for size in SIZES)
    mean, spread = prior.level_moments(1, noise)
    assert mean.isfinite().all() and (spread > 0).all()
    assert joined(prior.redraw([1], noise, seeded())).all()


def test_all_levels_given_nothing_are_a_plain_draw():
    prior = planted()
    noise = tuple(torch.zeros(6, size) for size in SIZES)
    for one, other in zip(prior.redraw([1, 2, 3, 4], noise, seeded(8)), prior.draw(6, seeded(8)), strict=True):
        torch.testing.assert_close(one, other)


def test_the_standard_prior_is_the_models_own():
    model = made("lean hole inside")
    prior = standard_prior(model.code_sizes)
    for one, other in zip(prior.draw(7, seeded()), model.draw_noise(7, seeded()), strict=True):
        assert torch.equal(one, other)
    noise = tuple(torch.full((2, size), 3.0) for size in model.code_sizes)
    mean, spread = prior.level_moments(3, noise)
    assert torch.equal(mean, torch.zeros(2, 3)) and torch.equal(spread, torch.ones(2, 3))
    assert prior.is_standard and prior.describe() == prior.name == "N(0, I)" and not planted().is_standard


def test_a_prior_says_what_it_is():
    prior, two = planted(), torch.eye(2, dtype=torch.float64)[None] * 2
    assert prior.name == "a mixture of 3 Gaussians"
    assert planted(1).name == "a Gaussian"
    one = {"code_sizes": (2,), "weights": torch.ones(1).double(), "means": torch.ones(1, 2).double()}
    fit = PriorFit(num_data=1_000, num_codes=4_000, gain=2.25, reason="too few")
    assert MixturePrior(**one, factors=two, fit=fit).describe() == (
        "a Gaussian without correlations, fitted to 4,000 codes of 1,000 data; "
        "2.2 nats per datum better than N(0, I) on held-out codes; too few"
    )
    worse = MixturePrior(**one, factors=two, fit=replace(fit, gain=-0.5))
    assert "0.5 nats per datum worse than N(0, I)" in worse.describe()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"means": torch.zeros(3, 5).double()}, r"\(3, 6\)"),
        ({"weights": torch.tensor([0.5, 0.5, 0.5]).double()}, "sum 1"),
        ({"weights": torch.tensor([0.5, 0.6, -0.1]).double()}, "above 0"),
        ({"means": torch.full((3, 6), torch.nan).double()}, "finite"),
        ({"factors": torch.ones(3, 6, 6).double()}, "lower triangles"),
        ({"factors": -torch.eye(6).double().expand(3, 6, 6)}, "diagonal above 0"),
    ],
)
def test_arrays_that_make_no_mixture_are_refused(changed, message, unchecked):
    prior = planted()
    arrays = {"code_sizes": SIZES, "weights": prior.weights, "means": prior.means, "factors": prior.factors}
    with pytest.raises(ValueError, match=message):
        MixturePrior(**(arrays | changed))


@pytest.mark.parametrize(
    "case", ["lean six levels", "lean hole inside", "hvae of five levels", "lvae 5", "vae 5", "joint 3x17x12"]
)
def test_missing_levels_are_drawn_and_the_given_ones_stay(case):
    assert case in CASES
    model = made(case)
    prior = planted(2, model.code_sizes)
    with evaluating(model):
        codes = model.place(prior.draw(4, seeded(9)))
        for missing in [*([level] for level in model.levels_with_code), model.levels_with_code[1:]]:
            given = {level: codes[level - 1] for level in model.levels_with_code if level not in missing}
            if not given:
                continue
            whole = complete(model, prior, given, seeded(10))
            assert [code.shape for code in whole] == [code.shape for code in codes]
            for level in model.levels_with_code:
                assert torch.equal(whole[level - 1], codes[level - 1]) == (level not in missing)
                assert whole[level - 1].isfinite().all()


def test_a_missing_level_follows_the_ones_that_are_given():
    """Two levels that are nearly equal: the missing one must come out near the other."""
    factor = torch.tensor([[1.0, 0.0], [1.0, 0.01]]).double()[None]
    prior = MixturePrior(
        code_sizes=(1, 1), weights=torch.ones(1).double(), means=torch.zeros(1, 2).double(), factors=factor
    )
    from vlae import recipes

    model = recipes.build(recipes.lean((1, 8, 8), code_sizes=(1, 1), width=4))
    with evaluating(model):
        for given, missing in ((1, 2), (2, 1)):
            code = torch.linspace(-2, 2, 9)[:, None]
            whole = complete(model, prior, {given: code}, seeded())
            torch.testing.assert_close(whole[missing - 1], code, atol=0.05, rtol=0)
