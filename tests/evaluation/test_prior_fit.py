"""The prior that is fitted to codes: the right kind, from enough data, better pictures, the same for the same seed."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import vlae
from vlae.evaluation import prior_fit
from vlae.evaluation.prior_fit import draw_codes, fit_prior
from vlae.models.distributions import NormalCode
from vlae.models.inference import noise_of_values
from vlae.models.levels import ClassLevel
from vlae.models.priors import MixturePrior


class Codes(vlae.VLAE):
    """A model of two numbers, whose posteriors are nearly the data themselves."""

    def _climb(self, x, features, seen=None):
        posteriors = tuple(NormalCode(part, torch.full_like(part, 0.01)) for part in x[:, :2].split(1, dim=1))
        return posteriors, [None, None]


@pytest.fixture
def model():
    return Codes((3,), [vlae.Level(code_size=1, dense=(4,)), vlae.Level(code_size=1, dense=(4,))], mean=0.0, stddev=1.0)


def ring(num, seed=0):
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, num)
    return np.stack([np.cos(angle), np.sin(angle), angle], axis=1).astype(np.float32)


def line(num, seed=0):
    first = np.random.default_rng(seed).normal(size=(num, 1))
    second = 0.9 * first + 0.1 * np.random.default_rng(seed + 1).normal(size=(num, 1))
    return np.concatenate([first, second, first], axis=1).astype(np.float32)


def test_a_ring_takes_a_mixture_and_a_line_a_gaussian(model):
    prior = fit_prior(model, ring(4_000))
    assert prior.num_components >= 10 and prior.fit.gain > 1 and prior.fit.reason == ""
    drawn = torch.cat(prior.draw(1_000, torch.Generator().manual_seed(0)), dim=1)
    assert (drawn.norm(dim=1) - 1).abs().mean() < 0.1
    assert fit_prior(model, line(4_000)).name == "a Gaussian"


def test_codes_of_the_prior_keep_n01(model):
    values = np.random.default_rng(0).normal(size=(3_000, 3)).astype(np.float32)
    prior = fit_prior(model, values)
    assert prior.num_components == 1 and abs(prior.fit.gain or 0) < 0.01


@pytest.mark.parametrize(
    ("num", "expected", "reason"),
    [
        (3, "N(0, I)", r"3 data are too few for a Gaussian without correlations \(4 parameters\)"),
        (9, "a Gaussian without correlations", r"9 data are too few for a Gaussian \(5 parameters\)"),
        (30, "a Gaussian", r"30 data are too few for a mixture of 5 Gaussians \(29 parameters\)"),
        (100, "a mixture of 5 Gaussians", r"100 data are too few for a mixture of 10 Gaussians \(59 parameters\)"),
    ],
)
def test_few_data_give_a_simpler_prior_that_says_why(model, num, expected, reason, monkeypatch):
    monkeypatch.setattr(prior_fit, "LEAST_GAIN", -np.inf)
    monkeypatch.setattr(prior_fit, "KERNELS", ())
    monkeypatch.setattr(prior_fit, "_standard_score", lambda codes: -1e9)  # so that the largest that may be tried wins
    prior = fit_prior(model, ring(num) if "mixture" in expected else line(num))
    assert (prior.name, prior.fit.num_data) == (expected, num)
    assert prior.fit.reason == reason.replace("\\", "")


def test_copies_of_a_datum_are_on_one_side(model):
    """Of data that are several copies each, a candidate that learns the others by heart must not win."""
    few = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    copies = fit_prior(model, np.repeat(few[:70], 14, axis=0))
    assert copies.num_components == 1 and (copies.fit.gain or 0) < 0.1
    rows = np.random.default_rng(0).permutation(1_500)
    held_out = prior_fit._held_out(np.repeat(few, 5, axis=0), rows)
    assert held_out.sum() == 300 and not set(rows[held_out] // 5) & set(rows[~held_out] // 5)
    uneven = np.concatenate([np.repeat(few[:1], 400, axis=0), few])
    held_out = prior_fit._held_out(uneven, rows[rows < 700])
    assert held_out.sum() == 140 and not (held_out & (rows[rows < 700] < 401)).any()
    pictures = np.random.default_rng(0).integers(0, 256, (4, 1, 2, 2), dtype=np.uint8)
    for sizes, num in (((240, 760), 240), ((400, 600), 400), ((700, 300), 300), ((250,) * 4, 250), ((1, 999), 1)):
        repeated = np.repeat(pictures[: len(sizes)], sizes, axis=0)
        assert prior_fit._held_out(repeated, np.arange(1_000)).sum() == num
    assert np.array_equal(prior_fit._held_out(few, rows[rows < 300]), np.arange(300) < 60)  # without copies as ever
    assert prior_fit._held_out(few[:0], rows[:0]).shape == (0,)


def test_data_are_held_back_whole_not_code_by_code(model):
    """Many codes of each datum: a candidate that learns the data by heart must not win."""
    prior = fit_prior(model, np.random.default_rng(0).normal(size=(150, 3)).astype(np.float32))
    assert prior.fit.num_codes == 20 * 150 and prior.num_components == 1


def clusters(num, size, seed=0):
    """Data around twelve points, which no Gaussian fits; too few for a mixture."""
    points = np.random.default_rng(1).normal(size=(12, size))
    rng = np.random.default_rng(seed)
    return (points[rng.integers(0, 12, num)] + rng.normal(scale=0.3, size=(num, size))).astype(np.float32)


def codes_of(values, draws=1):
    """Codes that are the data themselves."""
    return lambda model, given, rows, **how: np.repeat(values[rows][None].astype(float), draws, axis=0)


def test_few_data_that_are_not_gaussian_take_a_kernel_density(monkeypatch):
    size, num = 20, 200
    wide = Codes((size,), [vlae.Level(code_size=size, dense=(4,))], mean=0.0, stddev=1.0)
    values, others = clusters(num, size), clusters(2_000, size, seed=2).astype(float)
    monkeypatch.setattr(prior_fit, "draw_codes", codes_of(values, draws=2))
    prior = fit_prior(wide, values)
    assert prior.name == "a kernel density of 200 codes" and prior.factors.shape == (1, size, size)
    assert prior.fit.reason == "200 data are too few for a mixture of 5 Gaussians (1,154 parameters)"
    monkeypatch.setattr(prior_fit, "KERNELS", ())
    gaussian = fit_prior(wide, values)
    assert gaussian.name == "a Gaussian"
    assert likelihood(prior, others) > likelihood(gaussian, others) + 0.1
    # It has the mean and the covariance of the codes.
    drawn = torch.cat(prior.draw(50_000, torch.Generator().manual_seed(0)), dim=1).numpy()
    np.testing.assert_allclose(drawn.mean(0), values.mean(0), atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(values.T), atol=0.1)


def likelihood(prior, x):
    """The mean log-likelihood of rows, by scipy."""
    each = [
        multivariate_normal(mean, factor @ factor.T).logpdf(x)
        for mean, factor in zip(
            prior.means.numpy(), prior.factors.expand(len(prior.means), -1, -1).numpy(), strict=True
        )
    ]
    return float(logsumexp(np.array(each) + prior.weights.log().numpy()[:, None], axis=0).mean())


@pytest.mark.parametrize("size", [1, 2, 30, 60])
def test_a_kernel_density_scores_as_scipy_does(size):
    values = np.random.default_rng(0).normal(size=(3, 100, size)) * np.arange(1, size + 1)
    x = values[0] + 0.1
    fitted = prior_fit._Kernels(0.7).fit(values, seed=0)
    prior = MixturePrior(
        code_sizes=(size,),
        weights=torch.from_numpy(fitted.weights),
        means=torch.from_numpy(fitted.means),
        factors=torch.from_numpy(fitted.factors),
    )
    assert fitted.score(x) == pytest.approx(likelihood(prior, x), abs=1e-6)


def test_the_same_seed_gives_the_same_prior(model):
    one, again, other = (fit_prior(model, ring(500), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.factors, again.factors) and torch.equal(one.weights, again.weights)
    assert one.factors.shape != other.factors.shape or not torch.equal(one.factors, other.factors)


def test_codes_are_drawn_not_means(model):
    values = line(50)
    codes = draw_codes(model, values, np.arange(50))
    assert codes.shape == (20, 50, 2)
    assert np.std(codes, axis=0).mean() == pytest.approx(0.01, rel=0.1)
    np.testing.assert_allclose(codes.mean(0), values[:, :2], atol=0.02)


def test_codes_that_are_not_finite_and_a_model_without_encoder_keep_n01(model):
    values = line(500)
    values[7] = np.inf
    assert fit_prior(model, values).describe() == "N(0, I); some codes are not finite"
    model.lacks = {"encoder": "it only generates"}
    assert fit_prior(model, line(10)).describe() == "N(0, I); the model has no encoder: it only generates"


@pytest.mark.parametrize("name", ["mnist", "streets"])
def test_pictures_of_the_shipped_ladders_are_far_nearer_to_real_ones(name):
    from vlae.evaluation.feature_spaces import components
    from vlae.evaluation.samples import frechet

    run = vlae.load(name)
    assert not run.prior.is_standard
    features = components(run.examples, num=8)
    real = features(run.examples)
    fitted, standard = (frechet(features(run.sample(400, prior=prior)), real) for prior in ("fitted", "standard"))
    assert fitted < 0.5 * standard


def test_a_category_that_tells_of_nothing_gains_nothing():
    """Its noise takes as many values as there are classes, so its density would be a gain of its own."""
    levels = [vlae.Level(code_size=2, dense=(4,)), ClassLevel(code_size=3, names=("a", "b", "c"), values=(0, 1, 2))]
    model = vlae.VLAE((3,), levels, mean=0.0, stddev=1.0)
    rng = np.random.default_rng(0)
    noises = noise_of_values(model, 2).numpy()

    def fit(numbers_of):
        classes = rng.integers(0, 3, 4_000)
        codes = np.concatenate([numbers_of(classes), noises[classes]], axis=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(prior_fit, "draw_codes", codes_of(codes))
            return fit_prior(model, codes.astype(np.float32))

    alone = fit(lambda classes: rng.normal(size=(4_000, 2)))
    assert abs(alone.fit.gain or 0) < 0.02
    means = np.array([[-3, 0], [3, 0], [0, 3]])
    told = fit(lambda classes: means[classes] + 0.5 * rng.normal(size=(4_000, 2)))
    exact = 2 * np.log(2) + 0.5 * (np.square(means).sum(1).mean() + 2 * 0.25) - 1
    assert told.num_components >= 5 and told.fit.gain == pytest.approx(exact, abs=0.3)
    least = prior_fit._Fitted(told.weights.numpy(), told.means.numpy(), told.factors.numpy(), lambda codes: 0.0)
    x = rng.normal(size=(9, 5))
    assert prior_fit._score_of(least, x, range(5)) == pytest.approx(likelihood(told, x))
