"""Rates, distortion and the ELBO against integrals and closed forms written here, and how they are weighed."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal

from vlae import objectives
from vlae.models.base import ForwardPass
from vlae.models.distributions import CategoryCode, NormalCode
from vlae.models.ladder import VLAE
from vlae.models.levels import Level, MomentsLevel
from vlae.models.likelihoods import Laplace
from vlae.objectives import ELBO, distortion, rates
from vlae.objectives.elbo import elbo
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
    posteriors, priors = (tuple(NormalCode(*map(torch.tensor, pair)) for pair in part) for part in drawn)
    computed = rates(forward_pass(posteriors, priors))
    for level, size in enumerate(sizes):
        (qm, qs), (pm, ps) = drawn[0][level], drawn[1][level]
        for i in range(num):
            wanted = sum(integral_of_kl((qm[i, d], qs[i, d]), (pm[i, d], ps[i, d])) for d in range(size))
            assert computed[level, i].item() == pytest.approx(wanted, rel=1e-5) and wanted > 0
    assert rates(forward_pass(priors, priors)).tolist() == [[0.0] * num] * 3


def test_every_level_is_paid_for_the_top_too():
    at = [NormalCode(torch.full((1, 1), mean), torch.ones(1, 1)) for mean in (1.0, 2.0, 3.0)]
    prior = (NormalCode(torch.zeros(1, 1), torch.ones(1, 1)),) * 3
    forward = forward_pass(tuple(at), prior)
    assert rates(forward).flatten().tolist() == [0.5, 2.0, 4.5]
    x = torch.zeros(1, 1)
    assert elbo(forward, x).item() == pytest.approx(-0.5 * math.log(2 * math.pi) - 7.0)


def test_the_bound_is_minus_distortion_and_rates():
    torch.manual_seed(0)
    model, x = build(lean((1, 8, 8), code_sizes=(2, 0, 3), width=4)), torch.rand(5, 1, 8, 8)
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
    posteriors = tuple(NormalCode(torch.full((9, 1), m).double(), torch.full((9, 1), s).double()) for m, s in used)
    prior = NormalCode(torch.zeros(9, 1).double(), torch.ones(9, 1).double())
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
    q1 = NormalCode(torch.full((num, 1), m), torch.full((num, 1), s))
    z1 = q1.sample()
    q2 = NormalCode(a * z1, torch.full((num, 1), t))
    z2 = q2.sample()
    p1, p2 = NormalCode(b * z2, torch.full((num, 1), u)), NormalCode(torch.zeros(num, 1), torch.ones(num, 1))
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
    q = (NormalCode(torch.randn(6, 2), torch.ones(6, 2)),)
    p = (NormalCode(torch.zeros(6, 2), torch.ones(6, 2)),)

    def value(x, guess, q, p):
        forward = forward_pass(q, p, likelihood=Independent(Normal(guess, 0.3), 3))
        return ELBO(beta=2.0).weighted(forward, x, step=0, progress=0.0, fade=(1.0,))

    once, terms = value(x, guess, q, p)
    torch.testing.assert_close(once, terms[0] + 2 * terms[1])
    _, twice_as_wide = value(torch.cat([x, x], 3), torch.cat([guess, guess], 3), q, p)
    torch.testing.assert_close(twice_as_wide, torch.stack([2 * terms[0], terms[1]]))
    doubled = [(NormalCode(part[0].mean.repeat(2, 1), part[0].stddev.repeat(2, 1)),) for part in (q, p)]
    _, twice_as_many = value(x.repeat(2, 1, 1, 1), guess.repeat(2, 1, 1, 1), *doubled)
    torch.testing.assert_close(twice_as_many, terms)


def two_levels(rates=(1.0, 10.0), num=64):
    """A pass whose levels cost these nats for each datum, with noise that is not that of the prior; and its data."""
    means = [(2 * rate) ** 0.5 for rate in rates]
    q = tuple(NormalCode(torch.full((num, 1), mean, requires_grad=True), torch.ones(num, 1)) for mean in means)
    p = tuple(NormalCode(torch.zeros(num, 1), torch.ones(num, 1)) for _ in rates)
    torch.manual_seed(0)
    codes = tuple(level.rsample() for level in q)
    likelihood = Independent(Normal(torch.zeros(num, 5), torch.ones(num, 5)), 1)
    return forward_pass(q, p, codes, likelihood=likelihood), torch.zeros(num, 5)


DISTORTION = 2.5 * math.log(2 * math.pi)


def value(objective, *, progress=1.0, **settings):
    forward, x = two_levels(**settings)
    return objective.weighted(forward, x, step=0, progress=progress, fade=(1.0, 1.0))[0].item() - DISTORTION


def test_the_weights_are_of_the_rates_in_order():
    assert value(ELBO(beta=(3.0, 0.5))) == pytest.approx(8.0, abs=1e-4)


def test_free_bits_cost_the_same_however_few_are_used():
    assert value(ELBO(free_bits=4.0)) == pytest.approx(4 + 10, abs=1e-4)
    assert value(ELBO(free_bits=(0.5, 12.0), beta=2.0)) == pytest.approx(2 * (1 + 12), abs=1e-4)
    forward, x = two_levels()
    ELBO(free_bits=4.0).weighted(forward, x, step=0, progress=0.0, fade=(1.0, 1.0))[0].backward()
    slopes = [q.mean.grad for q in forward.posteriors]
    assert not slopes[0].any()
    torch.testing.assert_close(slopes[1], forward.posteriors[1].mean.detach() / 64)  # that of KL, a mean over the batch


def test_capacity_is_a_target_that_rises():
    objective = ELBO(capacity=(20.0, 20.0), capacity_until=0.5, beta=3.0)  # above both rates, so each target tells
    for progress, target in ((0.0, 0.0), (0.1, 4.0), (0.25, 10.0), (0.4, 16.0), (0.5, 20.0), (0.9, 20.0)):
        wanted = 3 * (abs(1 - target) + abs(10 - target))
        assert value(objective, progress=progress) == pytest.approx(wanted, abs=1e-3)
    forward, x = two_levels()
    ELBO(capacity=4.0).weighted(forward, x, step=0, progress=1.0, fade=(1.0, 1.0))[0].backward()
    low, high = (q.mean.grad for q in forward.posteriors)
    assert (low < 0).all() and (high > 0).all()  # one is to cost more, the other less
    assert value(ELBO(capacity=1.0, capacity_until=0.0), progress=0.0) == pytest.approx(9.0, abs=1e-4)


def test_mmd_counts_at_its_level():
    forward, x = two_levels(rates=(0.0, 10.0), num=400)
    assert ELBO(mmd=(0.0, 1.0)).terms(2) == ("distortion", "rate_1", "rate_2", "mmd_1", "mmd_2")
    assert ELBO().terms(2) == ("distortion", "rate_1", "rate_2")
    torch.manual_seed(3)
    loss, terms = ELBO(mmd=(0.0, 5.0), beta=0.0).weighted(forward, x, step=0, progress=0.0, fade=(1.0, 1.0))
    assert abs(terms[3]) < 0.02 < 0.5 < terms[4]
    torch.testing.assert_close(loss, terms[0] + 5 * terms[4])
    loss.backward()
    assert forward.posteriors[1].mean.grad.any() and not forward.posteriors[0].mean.grad.any()


def test_a_category_has_no_mmd():
    """Its noise does not follow N(0, I), not even if the codes follow the prior."""
    torch.manual_seed(0)
    normal, category = NormalCode(torch.zeros(500, 2), torch.ones(500, 2)), CategoryCode(torch.zeros(500, 3))
    codes = (5 + normal.sample(), torch.eye(3)[torch.randint(3, (500,))])
    forward = forward_pass((normal, category), (normal, category), codes)
    loss, terms = ELBO(mmd=(1.0, 7.0), beta=0.0).weighted(
        forward, torch.zeros(500, 1), step=0, progress=0.0, fade=(1.0, 1.0)
    )
    assert terms[3] > 0.5 and terms[4] == 0
    torch.testing.assert_close(loss, terms[0] + terms[3])


def test_mmd_is_of_the_noise_under_the_prior():
    """Codes that follow their prior exactly, far from N(0, I), match it."""
    torch.manual_seed(0)
    p = NormalCode(torch.randn(500, 2) * 9, torch.full((500, 2), 0.1))
    code = p.sample()
    forward = forward_pass((p,), (p,), (code,))
    torch.testing.assert_close(objectives.noise(forward)[0], (code - p.mean) / 0.1)
    _, terms = ELBO(mmd=1.0).weighted(forward, torch.zeros(500, 1), step=0, progress=0.0, fade=(1.0,))
    assert abs(terms[2]) < 0.02


def test_the_weight_of_the_rates():
    grown = (1.0, 1.0)
    assert ELBO().weights(0, grown) == grown
    assert ELBO(beta=3.0).weights(5, grown) == (3.0, 3.0)
    assert ELBO(beta=(3.0, 0.5)).weights(5, grown) == (3.0, 0.5)
    warm = ELBO(warmup=2000)
    assert warm.weights(0, grown) == (0.0, 0.0)
    assert warm.weights(1000, grown) == pytest.approx((1 - math.exp(-0.5),) * 2)
    growing = ELBO(beta=2.0, ungrown_beta=0.25)
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
        ({"free_bits": -0.1}, "free_bits is -0.1"),
        ({"capacity": (1.0, -2.0)}, "capacity is -2"),
        ({"capacity_until": 2.0}, "capacity_until is 2.0"),
        ({"mmd": float("nan")}, "mmd is nan"),
        ({"capacity": 3.0, "free_bits": (0.0, 1.0)}, "give one of them"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ELBO(**settings)


@pytest.mark.parametrize("name", ["beta", "free_bits", "capacity", "mmd"])
def test_one_value_or_one_per_level(name):
    ELBO(**{name: (1.0, 2.0)}).check(2)
    ELBO(**{name: 1.0}).check(3)
    with pytest.raises(ValueError, match=f"{name} has 2 values for 3 levels"):
        ELBO(**{name: (1.0, 2.0)}).check(3)


def test_the_seeded_loss_is_what_it_was():
    """Guards against a change of the maths that no one meant.

    The number may be changed only by a commit that means to change the networks of a ladder, their initial weights, the
    likelihood, the rates or their weights, and says so; a refactoring leaves it as it is.
    """
    levels = (
        MomentsLevel(code_size=2, convolutions=((4, 2),)),
        Level(code_size=3, convolutions=((8, 1), (8, 2)), acts="add", head_convolutions=((6, 2),)),
        Level(code_size=2, dense=(16,)),
        Level(code_size=4, dense=(16, 12)),
    )
    torch.manual_seed(0)
    model = VLAE((1, 8, 8), levels, likelihood=Laplace(scale=0.125))
    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    forward = model(x, torch.tensor([1.0, 0.25, 0.5, 1.0]))
    fade = (1.0, 0.25, 0.5, 1.0)
    loss, _ = ELBO(warmup=10.0).weighted(forward, x, step=5, progress=0.5, fade=fade)
    assert loss.item() == pytest.approx(52.53881, rel=1e-4)


def test_a_training_that_ends_in_its_warm_up_says_so():
    said = ELBO(warmup=500.0).cut_short(60)
    assert "after 60 steps the KL terms had 0.11 of their weight" in said and "Train for 1,152 steps or more" in said
    assert ELBO(warmup=500.0).cut_short(1_152) is None and ELBO(warmup=500.0).cut_short(1_151) is not None
    assert ELBO().cut_short(1) is None and ELBO(warmup=500.0, beta=0.0).cut_short(1) is None
