"""The importance-weighted bound against a likelihood known in closed form."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal

from vlae import objectives
from vlae.models.base import ForwardPass, LatentModel
from vlae.models.distributions import NormalCode
from vlae.objectives.elbo import elbo

# Likelihood


class LinearGaussian(LatentModel):
    """z ~ N(0, 1), x | z ~ N(w z, σ²) in three dimensions, with a posterior that is a little off; log p(x) is known."""

    def __init__(self):
        super().__init__()
        self.shape, self.code_sizes, self.drawn = (3,), (1,), 0
        self.w = torch.nn.Parameter(torch.tensor([1.0, -0.5, 2.0]))
        self.stddev = 0.6

    def infer(self, x):
        precision = 1 + (self.w**2).sum() / self.stddev**2
        mean = (x @ self.w)[:, None] / self.stddev**2 / precision
        return (NormalCode(mean + 0.1, (precision**-0.5 * 1.3).expand_as(mean)),)

    def generate(self, codes):
        return Independent(Normal(codes[0] * self.w, self.stddev), 1)

    def prior(self, level, above):
        raise AssertionError

    def forward(self, x, fade=None):
        self.drawn += len(x)
        (q,) = self.infer(x)
        code = q.rsample()
        p = NormalCode(torch.zeros_like(code), torch.ones_like(code))
        return ForwardPass(posteriors=(q,), priors=(p,), codes=(code,), likelihood=self.generate((code,)))

    def true(self, x):
        covariance = torch.outer(self.w, self.w) + self.stddev**2 * torch.eye(3)
        return torch.distributions.MultivariateNormal(torch.zeros(3), covariance).log_prob(x)


@torch.no_grad()
def test_the_importance_weighted_bound_rises_to_the_likelihood():
    model, x = LinearGaussian(), torch.randn(200, 3)
    bounds = [objectives.log_likelihood(model, x, num_samples=k).mean() for k in (1, 5, 2000)]
    assert bounds[0] < bounds[1] < bounds[2]
    torch.testing.assert_close(
        objectives.log_likelihood(model, x, num_samples=2000, chunk=500), model.true(x), atol=0.05, rtol=0
    )
    torch.manual_seed(0)
    elbos = torch.stack([elbo(model(x), x) for _ in range(500)]).mean()
    ones = torch.stack([objectives.log_likelihood(model, x, num_samples=1, seed=s) for s in range(500)]).mean()
    assert ones.item() == pytest.approx(elbos.item(), abs=0.02)


@torch.no_grad()
def test_as_many_samples_as_were_asked_for_however_they_are_cut():
    x = torch.randn(2, 3)
    for num_samples, chunk in ((1, 10), (7, 3), (10, 10), (13, 5), (4, 1)):
        model = LinearGaussian()
        bound = objectives.log_likelihood(model, x, num_samples=num_samples, chunk=chunk, seed=4)
        assert model.drawn == 2 * num_samples
        torch.manual_seed(4)
        weights = []
        for start in range(0, num_samples, chunk):
            many = x.repeat(min(chunk, num_samples - start), 1)
            weights.append(objectives.log_importance_weights(model(many), many).reshape(-1, 2))
        torch.testing.assert_close(bound, torch.cat(weights).logsumexp(0) - math.log(num_samples))


@torch.no_grad()
def test_the_bound_is_seeded_and_leaves_other_draws_alone():
    model, x = LinearGaussian(), torch.randn(4, 3)
    torch.manual_seed(1)
    wanted = torch.rand(2)
    torch.manual_seed(1)
    one = objectives.log_likelihood(model, x, num_samples=3, seed=5)
    assert torch.rand(2).equal(wanted)
    assert objectives.log_likelihood(model, x, num_samples=3, seed=5).equal(one)
    assert not objectives.log_likelihood(model, x, num_samples=3, seed=6).equal(one)
    for bad in ({"num_samples": 0}, {"num_samples": 3, "chunk": 0}):
        with pytest.raises(ValueError, match="from 1 up"):
            objectives.log_likelihood(model, x, **bad)
