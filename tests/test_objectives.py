"""Rates, distortion and bounds against integrals and closed forms written here, and the schedules' promises."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal

from vlae.ladder import VLAE, Level
from vlae.likelihoods import Likelihood
from vlae.model import ForwardPass
from vlae.objectives import Objective, distortion, elbo, loss, rates
from vlae.recipes import build, lean


def forward_pass(posteriors, priors, codes=None, likelihood=None, **settings):
    codes = tuple(q.mean for q in posteriors) if codes is None else codes
    likelihood = likelihood or Independent(Normal(torch.zeros(1, 1), 1.0), 1)
    return ForwardPass(posteriors=posteriors, priors=priors, codes=codes, likelihood=likelihood, **settings)


def integral_of_kl(q, p):
    """∫ q log q/p by the trapezoid rule, from (mean, stddev) of each."""
    t = np.linspace(q[0] - 12 * q[1], q[0] + 12 * q[1], 20_001)
    log_q, log_p = (-((t - m) ** 2) / (2 * s**2) - np.log(s * np.sqrt(2 * np.pi)) for m, s in (q, p))
    return np.trapezoid(np.exp(log_q) * (log_q - log_p), t)


def test_rates_are_the_integrals_they_stand_for():
    rng = np.random.default_rng(0)
    sizes, num = (2, 1, 3), 4
    drawn = [[(rng.normal(size=(num, s)), rng.uniform(0.3, 2, (num, s))) for s in sizes] for _ in "qp"]
    posteriors, priors = (tuple(Normal(*map(torch.tensor, pair)) for pair in part) for part in drawn)
    computed = rates(forward_pass(posteriors, priors))
    for level, size in enumerate(sizes):
        (qm, qs), (pm, ps) = drawn[0][level], drawn[1][level]
        for i in range(num):
            wanted = sum(integral_of_kl((qm[i, d], qs[i, d]), (pm[i, d], ps[i, d])) for d in range(size))
            assert computed[level, i].item() == pytest.approx(wanted, rel=1e-5) and wanted > 0
    assert rates(forward_pass(priors, priors)).tolist() == [[0.0] * num] * 3


def test_every_level_is_paid_for_the_top_too():
    at = [Normal(torch.full((1, 1), mean), torch.ones(1, 1)) for mean in (1.0, 2.0, 3.0)]
    prior = (Normal(torch.zeros(1, 1), torch.ones(1, 1)),) * 3
    forward = forward_pass(tuple(at), prior)
    assert rates(forward).flatten().tolist() == [0.5, 2.0, 4.5]
    x = torch.zeros(1, 1)
    assert elbo(forward, x).item() == pytest.approx(-0.5 * math.log(2 * math.pi) - 7.0)


def test_the_bound_is_minus_distortion_and_rates():
    torch.manual_seed(0)
    model, x = build(lean((1, 8, 8), codes=(2, 0, 3), width=4)), torch.rand(5, 1, 8, 8)
    forward = model(x)
    assert distortion(forward, x).equal(-forward.likelihood.log_prob(x))
    torch.testing.assert_close(elbo(forward, x), -distortion(forward, x) - rates(forward).sum(0))


@pytest.mark.parametrize("off", [(0.0, 1.0), (0.4, 1.0), (0.0, 1.7), (-0.8, 0.5)])
def test_the_bound_falls_short_of_log_p_by_exactly_the_kl_to_the_true_posterior(off):
    """x = W z + noise with orthogonal columns of W, so that the true posterior is a product over two levels."""
    w, sigma = torch.tensor([[1.0, 2.0], [2.0, -1.0], [0.5, 0.0]], dtype=torch.float64), 0.7
    x = torch.tensor([0.3, -1.2, 0.8], dtype=torch.float64)
    assert w[:, 0] @ w[:, 1] == 0
    log_p = MultivariateNormal(torch.zeros(3).double(), w @ w.T + sigma**2 * torch.eye(3)).log_prob(x).item()
    variance = 1 / (1 + w.square().sum(0) / sigma**2)
    true = [(m.item(), s.item()) for m, s in zip(variance * (w.T @ x) / sigma**2, variance.sqrt(), strict=True)]
    used = [(m + off[0], s * off[1]) for m, s in true]

    # The distortion is quadratic in z: quadrature on 3 × 3 nodes has no error.
    nodes, weights = map(torch.tensor, np.polynomial.hermite_e.hermegauss(3))
    one, two = (m + s * nodes for m, s in used)
    z = torch.cartesian_prod(one, two)
    weight = torch.outer(weights, weights).flatten() / (2 * math.pi)
    posteriors = tuple(Normal(torch.full((9, 1), m).double(), torch.full((9, 1), s).double()) for m, s in used)
    prior = Normal(torch.zeros(9, 1).double(), torch.ones(9, 1).double())
    forward = forward_pass(
        posteriors, (prior, prior), (z[:, :1], z[:, 1:]), Independent(Normal(z @ w.T, torch.tensor(sigma).double()), 1)
    )
    bound = (weight * elbo(forward, x.expand(9, 3))).sum().item()
    gap = sum(integral_of_kl(q, p) for q, p in zip(used, true, strict=True))
    assert bound == pytest.approx(log_p - gap, abs=1e-6)
    assert bound <= log_p + 1e-6


def test_rates_at_drawn_codes_are_unbiased_where_the_closed_form_is_not():
    """A chain: q(z_1) = N(m, s²), q(z_2 | z_1) = N(a z_1, t²) against p(z_2) = N(0, 1), p(z_1 | z_2) = N(b z_2, u²)."""
    m, s, a, t, b, u, num = 0.5, 0.8, 0.9, 0.6, 0.7, 0.5, 400_000
    torch.manual_seed(0)
    q1 = Normal(torch.full((num, 1), m), torch.full((num, 1), s))
    z1 = q1.sample()
    q2 = Normal(a * z1, torch.full((num, 1), t))
    z2 = q2.sample()
    p1, p2 = Normal(b * z2, torch.full((num, 1), u)), Normal(torch.zeros(num, 1), torch.ones(num, 1))
    chain = forward_pass((q1, q2), (p1, p2), (z1, z2), conditioned_alike=False)
    variance2 = a**2 * s**2 + t**2
    square = (m - b * a * m) ** 2 + s**2 - 2 * a * b * s**2 + b**2 * variance2  # E (z_1 - b z_2)²
    exact1 = -0.5 - math.log(s) + math.log(u) + square / (2 * u**2)
    exact2 = -0.5 - math.log(t) + (variance2 + (a * m) ** 2) / 2
    drawn = rates(chain).mean(1)
    assert drawn.tolist() == pytest.approx([exact1, exact2], abs=0.015)
    # The closed form forgets that z_1 and z_2 are drawn together: it misses -2 b cov(z_1, z_2) / 2u².
    closed = rates(replace(chain, conditioned_alike=True)).mean(1)
    assert closed.tolist() == pytest.approx([exact1 + a * b * s**2 / u**2, exact2], abs=0.015)


def test_losses_are_sums_over_pixels_and_means_over_the_batch():
    torch.manual_seed(0)
    x, guess = torch.rand(6, 1, 4, 4), torch.rand(6, 1, 4, 4)
    q = (Normal(torch.randn(6, 2), torch.ones(6, 2)),)
    p = (Normal(torch.zeros(6, 2), torch.ones(6, 2)),)

    def value(x, guess, q, p):
        forward = forward_pass(q, p, likelihood=Independent(Normal(guess, 0.3), 3))
        terms = torch.cat([distortion(forward, x).mean()[None], rates(forward).mean(1)])
        return loss(terms, torch.tensor([2.0])), terms

    once, terms = value(x, guess, q, p)
    torch.testing.assert_close(once, terms[0] + 2 * terms[1])
    _, twice_as_wide = value(torch.cat([x, x], 3), torch.cat([guess, guess], 3), q, p)
    torch.testing.assert_close(twice_as_wide, torch.stack([2 * terms[0], terms[1]]))
    doubled = [(Normal(part[0].mean.repeat(2, 1), part[0].stddev.repeat(2, 1)),) for part in (q, p)]
    _, twice_as_many = value(x.repeat(2, 1, 1, 1), guess.repeat(2, 1, 1, 1), *doubled)
    torch.testing.assert_close(twice_as_many, terms)


def test_the_weights_are_of_the_rates_in_order():
    assert loss(torch.tensor([100.0, 1.0, 10.0]), torch.tensor([3.0, 0.5])).item() == 108.0


@pytest.mark.parametrize(
    ("growth", "order"),
    [
        ("ladder", (1, 5, 4, 3, 2)),
        ("top-down", (5, 4, 3, 2, 1)),
        ("bottom-up", (1, 2, 3, 4, 5)),
        ("joint", (1, 2, 3, 4, 5)),
    ],
)
def test_the_order_of_growth(growth, order):
    assert Objective(growth=growth).order(5) == order
    assert Objective(growth=growth).order(1) == (1,)


@pytest.mark.parametrize("num_levels", [1, 2, 3, 6])
@pytest.mark.parametrize("until", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("growth", ["ladder", "top-down", "bottom-up", "joint"])
def test_levels_grow_one_after_the_other_and_are_grown_in_time(growth, until, num_levels):
    objective = Objective(growth=growth, growth_until=until)
    fades = np.array([objective.fade(t, (2,) * num_levels) for t in np.linspace(0, 1, 201)])
    in_order = fades[:, [level - 1 for level in objective.order(num_levels)]]
    assert (np.diff(fades, axis=0) >= 0).all() and (fades >= 0).all() and (fades <= 1).all()
    assert (in_order[:, 0] == 1).all()
    assert (fades[np.linspace(0, 1, 201) >= until] == 1).all()
    if growth != "joint" and until:
        assert (in_order[0, 1:] == 0).all()
        assert ((in_order[:, 1:] == 0) | (in_order[:, :-1] == 1)).all()  # none begins before the one before is grown
    else:
        assert (fades == 1).all()


def test_a_level_fades_in_over_half_its_share():
    objective = Objective(growth="ladder", growth_until=0.6)
    for progress, fade in ((0.2, (1, 0, 0)), (0.25, (1, 0, 0.5)), (0.3, (1, 0, 1)), (0.45, (1, 0.5, 1))):
        assert objective.fade(progress, (2, 2, 2)) == pytest.approx(fade)


def test_the_weight_of_the_rates():
    grown = (1.0, 1.0)
    assert Objective().weights(0, grown) == grown
    assert Objective(beta=3.0).weights(5, grown) == (3.0, 3.0)
    assert Objective(beta=(3.0, 0.5)).weights(5, grown) == (3.0, 0.5)
    warm = Objective(warmup=2000)
    assert warm.weights(0, grown) == (0.0, 0.0)
    assert warm.weights(1000, grown) == pytest.approx((1 - math.exp(-0.5),) * 2)
    growing = Objective(beta=2.0, ungrown_beta=0.25)
    assert growing.weights(0, (0.0, 0.5)) == pytest.approx((0.5, 1.25))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"growth": "sideways"}, "choose one of ladder, top-down, bottom-up, joint"),
        ({"growth_until": 1.5}, "growth_until is 1.5"),
        ({"warmup": -1.0}, "warmup is -1"),
        ({"ungrown_beta": float("nan")}, "ungrown_beta is nan"),
        ({"beta": -1.0}, "beta is -1"),
        ({"beta": (1.0, float("inf"))}, "beta is inf"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Objective(**settings)


def test_one_beta_or_one_per_level():
    with pytest.raises(ValueError, match="beta has 2 values for 3 levels"):
        Objective(beta=(1.0, 2.0)).weights(0, (1.0, 1.0, 1.0))


def test_the_seeded_loss_is_what_it_was():
    """Guards against a change of the maths that no one meant.

    The number may be changed only by a commit that means to change the networks of a ladder, their initial weights, the
    likelihood, the rates or their weights, and says so; a refactoring leaves it as it is.
    """
    levels = (
        Level(code_size=2, convolutions=((4, 2),), reads="pooled", acts="modulate"),
        Level(code_size=3, convolutions=((8, 1), (8, 2)), acts="add", head_convolutions=((6, 2),)),
        Level(code_size=2, dense=(16,)),
        Level(code_size=4, dense=(16, 12)),
    )
    torch.manual_seed(0)
    model = VLAE((1, 8, 8), levels, likelihood=Likelihood(family="laplace", scale=0.125))
    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    forward = model(x, torch.tensor([1.0, 0.25, 0.5, 1.0]))
    terms = torch.cat([distortion(forward, x).mean()[None], rates(forward).mean(1)])
    weights = torch.tensor(Objective(warmup=10.0).weights(5, (1.0, 0.25, 0.5, 1.0)))
    assert loss(terms, weights).item() == pytest.approx(51.37423, rel=1e-4)


def test_a_level_without_a_code_takes_no_time_to_grow():
    assert Objective(growth="ladder").fade(0.0, (0, 0, 8)) == (1.0, 1.0, 1.0)
    with_gap, without = (Objective(growth="ladder").fade(0.1, sizes) for sizes in ((2, 0, 3, 4), (2, 3, 4)))
    assert (with_gap[0], *with_gap[2:]) == without
