"""Every likelihood is a proper density in nats, and the optimal scale is what it says."""

import math

import numpy as np
import pytest
import torch

from vlae.models.distributions import positive
from vlae.models.likelihoods import Bernoulli, Gaussian, Laplace, likelihood_of

ZERO, ONE = torch.tensor(0.0), torch.tensor(1.0)
IMAGE, VECTOR = (1, 1, 1), (1,)


def output(family, scale="optimal", shape=IMAGE):
    return likelihood_of(family, {"scale": scale}).build(shape)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("scale", [0.3, "learned", "optimal"])
@pytest.mark.parametrize("shape", [IMAGE, VECTOR])
@pytest.mark.parametrize("family", ["gaussian", "laplace"])
def test_a_density_integrates_to_one(family, shape, scale, training):
    layer = output(family, scale, shape)
    shift, stddev = (torch.tensor([2.0]), torch.tensor([0.5])) if shape == VECTOR else (ZERO, ONE)
    layer(torch.zeros(4, *shape), shift, stddev, torch.rand(4, *shape))
    density = layer.train(training)(torch.full((1, *shape), 0.7), shift, stddev, torch.full((1, *shape), 0.4))
    grid = torch.linspace(-30, 34, 640_001).reshape(-1, *shape)
    log = density.log_prob(grid).double()
    assert log.shape == (640_001,)
    assert torch.trapezoid(log.exp(), grid.flatten().double()).item() == pytest.approx(1, abs=1e-3)
    mean = torch.trapezoid(log.exp() * grid.flatten(), grid.flatten().double()).item()
    assert mean == pytest.approx(density.mean.item(), abs=2e-3)


def test_the_bernoulli_sums_to_one():
    likelihood = output("bernoulli")(torch.full((1, 1, 1, 1), 0.7), ZERO, ONE)
    nothing, all_ = (likelihood.log_prob(torch.full((1, 1, 1, 1), x)).exp().item() for x in (0.0, 1.0))
    assert nothing + all_ == pytest.approx(1)
    assert all_ == pytest.approx(1 / (1 + math.exp(-0.7))) == likelihood.mean.item()


@pytest.mark.parametrize("family", ["gaussian", "laplace", "bernoulli"])
def test_a_datum_is_the_sum_of_its_pixels(family):
    layer = output(family, 0.3, (2, 3, 4))
    decoded, x = torch.randn(5, 2, 3, 4), torch.rand(5, 2, 3, 4)
    single = output(family, 0.3)
    by_pixel = single(decoded.reshape(-1, 1, 1, 1), ZERO, ONE).log_prob(x.reshape(-1, 1, 1, 1))
    torch.testing.assert_close(layer(decoded, ZERO, ONE).log_prob(x), by_pixel.reshape(5, -1).sum(1))


def test_images_stay_in_range_and_vectors_go_anywhere():
    wide = torch.tensor([[-100.0], [0.0], [100.0]])
    assert output("gaussian")(wide[..., None, None], ZERO, ONE).mean.flatten().tolist() == [0.0, 0.5, 1.0]
    vectors = output("gaussian", shape=VECTOR)(wide, torch.tensor([3.0]), torch.tensor([2.0]))
    assert vectors.mean.flatten().tolist() == [-197.0, 3.0, 203.0]


@pytest.mark.parametrize("shape", [(2, 3, 3), (4,)])
@pytest.mark.parametrize("family", ["gaussian", "laplace"])
def test_the_optimal_scale_is_the_one_of_highest_likelihood(family, shape):
    torch.manual_seed(0)
    decoded, x = torch.randn(6, *shape), torch.rand(6, *shape)
    shift, stddev = (torch.randn(4), torch.rand(4) + 0.5) if len(shape) == 1 else (ZERO, ONE)
    layer = output(family, shape=shape)
    best = layer(decoded, shift, stddev, x).log_prob(x).sum()
    fitted = layer.scale.item()

    def at(scale):
        return likelihood_of(family, {"scale": scale}).build(shape)(decoded, shift, stddev).log_prob(x).sum()

    torch.testing.assert_close(at(fitted), best)
    assert at(0.98 * fitted) < best > at(1.02 * fitted)


@pytest.mark.parametrize(
    ("family", "estimate"), [("gaussian", lambda e: e.square().mean().sqrt()), ("laplace", lambda e: e.abs().mean())]
)
def test_the_optimal_scale_is_fitted_in_training_and_averaged_for_later(family, estimate):
    torch.manual_seed(0)
    layer, fitted = output(family, shape=(1, 4, 4)), []
    decoded = torch.randn(5, 1, 4, 4)
    for spread in (0.1, 1.0, 3.0):
        x = torch.sigmoid(decoded) + spread * torch.randn(5, 1, 4, 4)
        fitted.append(estimate(x - torch.sigmoid(decoded)))
        likelihood = layer(decoded, ZERO, ONE, x)
        own = likelihood.base_dist.scale
        torch.testing.assert_close(own, fitted[-1].expand_as(own))
        assert torch.stack(fitted).min() <= layer.scale <= torch.stack(fitted).max()
    before = layer.scale.clone()
    layer.eval()
    used = layer(decoded, ZERO, ONE, torch.zeros(5, 1, 4, 4)).base_dist.scale
    assert (used == before).all() and layer.scale == before


@pytest.mark.parametrize("steps", [20, 60, 200])
def test_a_short_training_is_not_judged_by_the_scale_of_its_beginning(steps):
    layer = Gaussian().build((1, 1, 1))
    for error in np.geomspace(1, 0.1, steps):
        layer(torch.zeros(2, 1, 1, 1), ZERO, ONE, torch.full((2, 1, 1, 1), 0.5 + error))
    assert 0.1 <= layer.scale.item() < 0.14, "a plain mean is 0.39"


def test_the_average_forgets():
    layer = Gaussian().build((1, 1, 1))
    for level in [1.0] * 150 + [0.1] * 700:
        layer(torch.zeros(2, 1, 1, 1), ZERO, ONE, torch.full((2, 1, 1, 1), 0.5 + level))
    assert layer.scale.item() == pytest.approx(0.1, rel=0.02)


def test_a_perfect_batch_leaves_the_density_finite():
    decoded = torch.zeros(2, 1, 2, 2)
    likelihood = Gaussian().build((1, 2, 2))(decoded, ZERO, ONE, torch.sigmoid(decoded))
    assert likelihood.log_prob(torch.sigmoid(decoded)).isfinite().all()


@pytest.mark.parametrize("family", ["gaussian", "laplace"])
def test_leaving_out_the_gradient_of_the_optimal_scale_changes_nothing(family):
    torch.manual_seed(0)
    x = torch.rand(6, 2, 3, 3)
    decoded = torch.randn(6, 2, 3, 3, requires_grad=True)
    output(family, shape=(2, 3, 3))(decoded, ZERO, ONE, x).log_prob(x).mean().backward()
    (ours,), decoded.grad = (decoded.grad,), None
    error = x - torch.sigmoid(decoded)
    if family == "gaussian":
        sigma = error.square().mean().sqrt()
        log = -0.5 * (error / sigma) ** 2 - sigma.log() - 0.5 * math.log(2 * math.pi)
    else:
        sigma = error.abs().mean()
        log = -error.abs() / sigma - sigma.log() - math.log(2)
    log.sum((1, 2, 3)).mean().backward()
    torch.testing.assert_close(ours, decoded.grad)


def test_a_learned_scale_is_a_parameter_that_finds_its_optimum():
    layer = output("gaussian", "learned")
    x = 0.5 + 0.2 * torch.randn(1000, 1, 1, 1)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(100):
        optimiser.zero_grad()
        (-layer(torch.zeros(1000, 1, 1, 1), ZERO, ONE, x).log_prob(x).mean()).backward()
        optimiser.step()
    assert layer.scale.item() == pytest.approx((x - 0.5).square().mean().sqrt().item(), rel=0.01)


@pytest.mark.parametrize("scale", ["learned", "optimal"])
def test_a_scale_that_is_found_starts_at_a_quarter_of_the_grey_levels_or_one_standard_deviation(scale):
    assert output("gaussian", scale).scale.item() == pytest.approx(0.25)
    assert output("gaussian", scale, VECTOR).scale.item() == pytest.approx(1)


def test_the_bernoulli_has_no_scale_to_learn():
    assert not list(output("bernoulli", "learned").parameters())


def test_the_authors_term_is_a_laplace_up_to_a_constant():
    torch.manual_seed(0)
    decoded, x = torch.randn(4, 1, 5, 5), torch.rand(4, 1, 5, 5)
    likelihood = Laplace(scale=1 / 8).build((1, 5, 5))(decoded, ZERO, ONE)
    theirs = 8 * (x - torch.sigmoid(decoded)).abs().sum((1, 2, 3))
    torch.testing.assert_close(-likelihood.log_prob(x), theirs + 25 * math.log(2 / 8))


def test_deviations_are_positive():
    raw = torch.tensor([-200.0, 0.0, 200.0])
    free, bounded = positive(raw, "softplus"), positive(raw, "sigmoid")
    assert (free > 0).all() and free[1].item() == pytest.approx(1, abs=1e-3) and free[2] > 100
    np.testing.assert_allclose(bounded, [0.001, 0.501, 1.001], rtol=1e-6)


@pytest.mark.parametrize("scale", ["best", 0.0, float("inf"), float("nan")])
@pytest.mark.parametrize("family", [Gaussian, Laplace])
def test_a_scale_that_cannot_be_is_refused(family, scale):
    with pytest.raises(ValueError, match="is unknown" if scale == "best" else "above 0"):
        family(scale=scale)


def test_a_family_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no likelihood 'poisson'; choose one of gaussian, laplace, bernoulli"):
        likelihood_of("poisson", {})


def test_bits_per_dimension_are_those_of_a_density_or_of_8_bit_values_only():
    class Pixels(Gaussian):
        num_values = 256

    image = (3, 4, 4)
    assert Gaussian().bits_per_dimension(48 * math.log(255), image) == pytest.approx(0.0)  # one value for sure
    assert Pixels().bits_per_dimension(-48 * math.log(256), image) == pytest.approx(8.0) and Pixels().discrete
    assert Pixels().bits_per_dimension(0.0, image) == pytest.approx(0.0)
    assert Bernoulli().bits_per_dimension(-1.0, image) is None and Bernoulli().discrete
    assert Gaussian().bits_per_dimension(-1.0, (5,)) is None


def test_the_probabilities_of_all_grey_levels_add_up_to_one():
    """Pixels lie at k / 255, so the interval of each is 1 / 255 wide."""
    density = torch.distributions.Normal(0.5, 0.1)
    levels = torch.arange(256, dtype=torch.float64) / 255
    bits = [Gaussian().bits_per_dimension(density.log_prob(level).item(), IMAGE) for level in levels]
    assert sum(2.0**-each for each in bits) == pytest.approx(1, abs=1e-4)


def test_how_fast_the_average_forgets():
    layer = Gaussian().build((1, 1, 1))
    for error in [1.0] * 1000 + [0.1] * 100:
        layer(torch.zeros(2, 1, 1, 1), ZERO, ONE, torch.full((2, 1, 1, 1), 0.5 + error))
    assert layer.scale.item() == pytest.approx(0.1 + 0.9 * 0.99**100, rel=0.01)
