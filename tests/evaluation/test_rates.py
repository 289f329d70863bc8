import json

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import r2_score
from torch.distributions import Independent, Normal, kl_divergence

from vlae import recipes
from vlae.evaluation.rates import (
    _mixed,
    _noise_of_data,
    ablate,
    absurdities,
    alarms,
    as_input,
    count_active,
    elbos_of,
    rates_of,
    summarise,
)
from vlae.models.base import ForwardPass, LatentModel
from vlae.models.distributions import NormalCode, standard_normal
from vlae.models.inference import decode, encode
from vlae.objectives.elbo import elbo
from vlae.training.train import fit


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return recipes.build(recipes.lean((1, 8, 8), code_sizes=(1, 3), width=8))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (23, 1, 8, 8), dtype=np.uint8)


def levels(summary, name):
    return [level[name] for level in summary["levels"]]


def test_agrees_with_the_definitions(model, images):
    summary = summarise(model, images)
    model.eval()
    x = images.astype(np.float64) / 255
    with torch.no_grad():
        posteriors = [(q.mean.double().numpy(), q.stddev.double().numpy()) for q in model.infer(as_input(images))]
        mean = model.generate(tuple(torch.tensor(mean).float() for mean, _ in posteriors)).mean.double().numpy()
    mse, mae = ((mean - x) ** 2).mean(), np.abs(mean - x).mean()
    kl = [((m**2 + s**2 - 1) / 2 - np.log(s)).sum(1).mean() for m, s in posteriors]

    assert summary["num_images"] == 23
    assert summary["reconstruction"] == pytest.approx({"mse": mse, "mae": mae, "psnr": -10 * np.log10(mse)}, rel=1e-4)
    assert levels(summary, "kl_nats") == pytest.approx(kl, rel=1e-4)
    assert levels(summary, "active_units") == [(m.var(0, ddof=1) > 0.01).sum() for m, _ in posteriors]
    assert levels(summary, "level") == [1, 2]
    assert levels(summary, "code_size") == [1, 3]
    assert summary["elbo_nats"] == pytest.approx(-summary["distortion_nats"] - sum(kl), rel=1e-4)


def test_means_that_are_known_are_those_that_are_reconstructed(model, images):
    means = [mean for mean, _ in encode(model, images, batch_size=7)]
    assert summarise(model, images, means=means, batch_size=7) == summarise(model, images, batch_size=7)
    nothing = summarise(model, images, means=[np.zeros_like(mean) for mean in means])
    assert levels(nothing, "active_units") == [0, 0]


def test_distortion_is_that_of_sampled_codes(model, images):
    model.eval()
    x = images.astype(np.float64).reshape(23, -1) / 255
    torch.manual_seed(5)
    with torch.no_grad():
        mean = model(as_input(images)).likelihood.mean.double().numpy().reshape(23, -1)
    scale = model.likelihood.scale.item()
    by_hand = ((x - mean) ** 2 / (2 * scale**2) + np.log(scale) + np.log(2 * np.pi) / 2).sum(1).mean()
    assert summarise(model, images, seed=5)["distortion_nats"] == pytest.approx(by_hand, rel=1e-4)


def test_all_but_the_drawn_codes_is_the_same_in_batches(model, images):
    many = np.concatenate([images] * 40)
    whole, parts = summarise(model, many), summarise(model, many, batch_size=170)
    assert parts["reconstruction"] == pytest.approx(whole["reconstruction"], rel=1e-5)
    assert levels(parts, "kl_nats") == pytest.approx(levels(whole, "kl_nats"), rel=1e-5)
    assert parts["distortion_nats"] == pytest.approx(whole["distortion_nats"], rel=0.05)


def test_seeded_and_leaves_modes_and_draws_as_they_were(model, images):
    model.train()
    model.levels[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    torch.manual_seed(1)
    first, drawn = summarise(model, images), torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), drawn)
    assert summarise(model, images) == first
    assert summarise(model, images, seed=1)["distortion_nats"] != first["distortion_nats"]
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_that_fails_is_left_as_it_was(model):
    model.train()
    with pytest.raises(Exception, match=r"."):
        summarise(model, np.zeros((3, 2, 8, 8), np.uint8))
    assert model.training


def test_errors_of_vectors_are_shares_of_each_columns_variance():
    x = np.random.default_rng(0).normal(100, 50, (30, 4)).astype(np.float32)
    recipe = recipes.lean((4,), code_sizes=(2, 1), width=4)
    model = recipes.build(recipe, mean=torch.tensor(x.mean(0)), stddev=torch.tensor(x.std(0)))
    x[:, 3] = 7  # does not vary
    summary = summarise(model, x, columns=("a", "b", "c", "d"))
    again = decode(model, [mean for mean, _ in encode(model, x)])
    r2 = r2_score(x[:, :3], again[:, :3], multioutput="raw_values")
    assert [column["name"] for column in summary["columns"]] == ["a", "b", "c", "d"]
    assert [column["r2"] for column in summary["columns"]] == [*(pytest.approx(value, abs=1e-5) for value in r2), None]
    error = np.sqrt(np.mean(((again - x)[:, :3] / x[:, :3].std(0)) ** 2))
    assert summary["reconstruction"] == pytest.approx({"r2": r2.mean(), "error_stddevs": error}, rel=1e-4)
    assert summarise(model, x[:1])["reconstruction"] == {"r2": None, "error_stddevs": None}


def test_one_datum_has_no_active_units(model, images):
    assert levels(summarise(model, images[:1]), "active_units") == [0, 0]


def test_a_level_without_a_code_costs_nothing(images):
    model = recipes.build(recipes.lean((1, 8, 8), code_sizes=(0, 3), width=8))
    summary = summarise(model, images)
    assert levels(summary, "kl_nats")[0] == 0
    assert levels(summary, "active_units")[0] == 0


def test_input_is_scaled_once_and_never_written_to(images):
    images = images.copy()
    images.setflags(write=False)
    assert torch.equal(as_input(images), torch.tensor(images).float() / 255)
    assert torch.equal(as_input(torch.tensor(images)), as_input(images))
    vectors = np.ones((2, 3), np.float32)
    as_input(vectors).zero_()
    assert (vectors == 1).all()


def test_what_is_lost_without_a_level_by_hand():
    """Level 1 is the first number, level 2 the other."""

    class Known(LatentModel):
        def __init__(self):
            super().__init__()
            self.shape, self.code_sizes = (2,), (1, 1)
            self.nothing = torch.nn.Parameter(torch.zeros(1))

        def infer(self, x):
            return tuple(NormalCode(x[:, i : i + 1], torch.full((len(x), 1), 1e-4)) for i in (0, 1))

        def generate(self, codes):
            return Independent(Normal(torch.cat(codes, 1), 1.0), 1)

        def prior(self, level, above):
            return standard_normal(1, 1, self.device)

        def forward(self, x, fade=None):
            posteriors = self.infer(x)
            codes = tuple(q.sample() for q in posteriors)
            priors = tuple(standard_normal(len(x), 1, self.device) for _ in posteriors)
            return ForwardPass(posteriors=posteriors, priors=priors, codes=codes, likelihood=self.generate(codes))

    values = np.random.default_rng(0).normal(size=(20_000, 2)).astype(np.float32)
    first, second = ablate(Known(), values)
    # A fresh z ~ N(0, 1) misses x ~ N(0, 1) by E(z - x)² = 2, twice the variance of the column.
    assert first["without_it"]["columns"] == pytest.approx([1, 0], abs=0.05)
    assert second["without_it"]["columns"] == pytest.approx([0, 1], abs=0.05)
    assert first["without_it"]["explained"] == pytest.approx(0.5, rel=0.05)
    assert first["without_it"]["distortion_nats"] == pytest.approx(1, rel=0.05)
    assert first["kept_upwards"]["explained"] == pytest.approx(0, abs=1e-6)
    assert second["kept_upwards"]["columns"] == pytest.approx([1, 0], abs=0.05)  # level 1 is what lies below
    values[:, 1] = 3  # does not vary, so nothing of its variance is explained
    assert ablate(Known(), values)[0]["without_it"]["columns"][1] is None


class Line(LatentModel):
    """x | z ~ N(z, 1) and z | x ~ N(x / 2, .6²)."""

    independent_posteriors = True

    def __init__(self):
        super().__init__()
        self.shape, self.code_sizes = (1,), (1,)
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def infer(self, x):
        return (NormalCode(0.5 * x, torch.full_like(x, 0.6)),)

    def generate(self, codes):
        return Independent(Normal(codes[0], 1.0), 1)

    def prior(self, level, above):
        return standard_normal(1, 1, self.device)

    def forward(self, x, fade=None):
        raise AssertionError


def bounds(x, **settings):
    return elbos_of(Line(), x, Line().infer(x), **settings)


def mean_square_of_the_draws(x, num_draws):
    """Solved for from the bound, which over draws and their opposites has no term that is odd in them."""
    kl = 0.5 * (0.25 * x.square() + 0.36 - 1) - np.log(0.6)
    square = -2 * (bounds(x, num_draws=num_draws)[:, None] + kl) - np.log(2 * np.pi)
    return ((square - (x - 0.5 * x).square()) / 0.36)[:, 0].numpy()


@pytest.mark.parametrize("num_draws", [2, 8])
def test_the_bound_is_that_of_normal_draws_and_their_opposites(num_draws):
    x = torch.linspace(2, 4, 5_000, dtype=torch.float64)[:, None]
    squares = mean_square_of_the_draws(x, num_draws)
    half = num_draws // 2
    assert stats.kstest(half * squares, stats.chi2(half).cdf).pvalue > 0.01
    assert len(np.unique(squares)) == 5_000  # every datum has draws of its own
    assert abs(np.corrcoef(squares[1:], squares[:-1])[0, 1]) < 0.05


def test_the_bound_of_a_datum_depends_on_no_other_datum_and_not_on_its_place():
    x = torch.randn(50, 1, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    assert torch.equal(bounds(x[order]), bounds(x)[order])
    assert torch.equal(bounds(x[7:8]), bounds(x)[7:8])
    assert torch.equal(bounds(x), bounds(x)) and not torch.equal(bounds(x, seed=1), bounds(x))


@pytest.mark.parametrize(("recipe", "steep"), [(recipes.hvae, 1.2), (recipes.lvae, 3.0)])
@torch.no_grad()
def test_the_bound_of_a_hierarchy_is_that_of_its_forward_pass(recipe, steep):
    torch.manual_seed(0)
    model = recipes.build(recipe((4,), code_sizes=(3, 2), width=8), mean=torch.zeros(4), stddev=torch.ones(4)).eval()
    for parameter in model.priors.parameters():
        parameter *= steep  # so that it matters at which code the prior is taken
    x = torch.randn(30, 4)
    bounds = elbos_of(model, x, model.infer(x), num_draws=400)
    drawn = torch.stack([elbo(model(x), x) for _ in range(400)])
    assert abs(bounds.mean() - drawn.mean()) < 4 * (drawn.mean(1).std() * (2 / 400) ** 0.5)
    order = torch.randperm(30)
    again = elbos_of(model, x[order], model.infer(x[order]), num_draws=400)
    torch.testing.assert_close(again, bounds[order])
    torch.testing.assert_close(elbos_of(model, x[7:8], model.infer(x[7:8]), num_draws=400), bounds[7:8])
    assert not elbos_of(model, x, model.infer(x), seed=1).allclose(elbos_of(model, x, model.infer(x)))
    torch.manual_seed(1)
    wanted = torch.rand(2)
    torch.manual_seed(1)
    elbos_of(model, x, model.infer(x))
    assert torch.rand(2).equal(wanted)


def test_the_mean_bound_is_more_exact_the_more_data_there_are():
    def error(num):
        x = torch.linspace(-1, 1, num)[:, None]
        return np.std([float(bounds(x, seed=seed).double().mean()) for seed in range(100)])

    one = error(1)
    assert one == pytest.approx(0.18 * np.sqrt(2 / 4), rel=0.25)  # of -.36 / 2 times the mean square of four draws
    assert error(100) == pytest.approx(one / 10, rel=0.35)
    assert error(2_500) == pytest.approx(one / 50, rel=0.35)


def test_noise_is_a_function_of_the_numbers_of_a_datum():
    x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [-0.0, 1.0]])
    noise = _noise_of_data(x, 6, 0)
    assert np.array_equal(noise[0], noise[2]) and not np.isclose(noise[0], noise[1]).any()
    assert np.array_equal(_noise_of_data(x.double(), 6, 0), noise)
    assert np.array_equal(_noise_of_data(x.view(3, 2, 1), 6, 0), noise)
    assert not np.isclose(_noise_of_data(x, 6, 1), noise).any()
    pixels = torch.arange(256)[:, None] / 255
    assert stats.kstest(_noise_of_data(pixels, 40, 0).ravel(), "norm").pvalue > 0.01


def test_words_are_mixed_as_published():
    """The first three numbers of SplitMix64 from 1234567, as S. Vigna's splitmix64.c prints them."""
    counters = 1234567 + np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert _mixed(counters).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_a_unit_is_active_from_a_variance_of_a_hundredth():
    wave = torch.tensor([-1.0, 1.0]).repeat(500)
    assert count_active(torch.stack([wave * variance**0.5 for variance in (0.005, 0.0095, 0.0105, 0.02)], 1)) == 2


def test_rates_of_a_datum_are_those_at_the_means_of_the_codes_above():
    torch.manual_seed(0)
    hierarchy = recipes.build(recipes.hvae((1, 8, 8), code_sizes=(3, 2), width=4)).eval()
    with torch.no_grad():
        low, high = posteriors = hierarchy.infer(torch.rand(6, 1, 8, 8))
        rates = rates_of(hierarchy, posteriors)
        expected = kl_divergence(low, hierarchy.prior(1, (high.mean,))).sum(1)
    torch.testing.assert_close(rates[0], expected)
    torch.testing.assert_close(rates[1], kl_divergence(high, standard_normal(1, 2, high.mean.device)).sum(1))


# Numbers that cannot be


def test_a_datum_whose_numbers_are_not_finite_is_named_and_left_out(tmp_path):
    recipe = recipes.vae((5,), code_sizes=(3,), width=8)
    model = recipes.build(recipe, mean=torch.zeros(5), stddev=torch.ones(5)).eval()
    values = np.zeros((1_200, 5), np.float32)
    values[700, 2] = values[900, 1] = 3e38
    summary = summarise(model, values)
    [alarm] = alarms(summary)
    assert alarm.startswith("2 of 1,200 data, the first in row 700, give numbers that are not finite, and are left out")
    json.dumps(summary, allow_nan=False)
    without = summarise(model, np.delete(values, [700, 900], axis=0))
    assert summary["num_images"] == 1_200 and levels(summary, "kl_nats") == pytest.approx(levels(without, "kl_nats"))
    values[:] = 3e38
    summary = summarise(model, values)
    assert summary["reconstruction"] == {} and summary["elbo_nats"] is None and levels(summary, "kl_nats") == [None]
    assert alarms(summary) == ["Nothing was measured: all 1,200 data give numbers that are not finite"]
    values[:] = 0
    assert alarms(summarise(model, values[:700])) == []


def test_numbers_that_no_working_model_has_are_told(model, images):
    summary = summarise(model, images)
    assert "absurd" not in summary and alarms(summary) == []
    summary["levels"][1]["kl_nats"] = 1e12
    summary["reconstruction"]["mse"] = 7.0
    one, two = absurdities(summary, model.shape)
    assert one.startswith(f"Level 2 costs 1e+12 nats, and {np.prod(model.shape) * np.log(256):,.0f} would write")
    assert two.startswith("The squared error is 7 per dimension, and pictures lie in [0, 1]")


def test_reconstructions_worse_than_the_mean_of_the_data_are_told(model):
    grey = np.random.default_rng(0).integers(120, 136, (23, 1, 8, 8), dtype=np.uint8)
    far = np.where(np.arange(23)[:, None, None, None] < 20, 0, grey).astype(np.uint8)
    (told,) = alarms(summarise(model, far))
    error = np.square(far / 255 - model_pictures(model, far)).mean()
    of_mean = (far / 255).var(0).mean()
    assert told.startswith(f"Reconstructions, of an error of {error:.3g}, are worse than the mean of these data")
    assert f", of {of_mean:.3g}: " in told
    for equal in (0, 100, 255):  # their mean has no error at all
        assert "worse than the mean" in alarms(summarise(model, np.full((23, 1, 8, 8), equal, np.uint8)))[0]
    assert "lower --learning-rate" in told and alarms(summarise(model, far[:9])) == []
    torch.manual_seed(0)
    of_rows = recipes.build(recipes.lean((3,), code_sizes=(1, 3), width=8), mean=torch.ones(3), stddev=torch.ones(3))
    rows = np.random.default_rng(0).normal(1, 1, (50, 3)).astype(np.float32)
    assert alarms(summarise(of_rows, rows)) == [] and "worse than the mean" in alarms(summarise(of_rows, rows + 9))[0]


def model_pictures(model, values):
    codes = tuple(mean for mean, _ in encode(model, values))
    return decode(model, codes)


def test_pictures_that_are_unlike_nearly_constant_training_data_do_not_explode():
    """A channel that was constant in training grew a hundredfold in each layer: 10^20 nats were seen."""
    rng = np.random.default_rng(0)
    recipe = recipes.adjust(recipes.lean((1, 16, 16), code_sizes=(2, 2), width=8), steps=60, batch_size=16)
    model = fit(np.zeros((100, 1, 16, 16), np.uint8), recipe)
    held_out = np.zeros((20, 1, 16, 16), np.uint8)
    held_out[3] = rng.integers(0, 256, (1, 16, 16))
    assert max(levels(summarise(model, held_out), "kl_nats")) < 1e5
