import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

import vlae
from vlae.models.base import ForwardPass
from vlae.objectives import ELBO, AdversarialELBO, Batch, FeaturesELBO, distortion, rates
from vlae.recipes import build, joint, lean, with_content


def test_the_loss_is_the_elbo_and_the_distortion_of_the_features():
    recipe = with_content(lean((1, 8, 8), width=4), num_features=6, num_data=100)
    torch.manual_seed(0)
    model = build(recipe)
    model.levels[-1].components.basis.normal_()
    batch = Batch(x=torch.rand(16, 1, 8, 8), features=torch.randn(16, 6))
    kept: list[ForwardPass] = []
    model.register_forward_hook(lambda module, inputs, output: kept.append(output))
    loss = FeaturesELBO(beta=2.0).loss(model, batch, step=0, progress=1.0)
    features = kept[0].features_distortion.mean()
    pixels, rate = distortion(kept[0], batch.x).mean(), rates(kept[0]).mean(1)
    torch.testing.assert_close(loss.total, pixels + features + 2 * rate.sum())
    names = FeaturesELBO().terms(3)
    assert names == ("distortion", "features_distortion", "rate_1", "rate_2", "rate_3")
    torch.testing.assert_close(loss.terms, torch.stack([pixels, features, *rate]))


def test_settings_of_the_elbo_stay():
    assert FeaturesELBO.of(ELBO(beta=3.0, growth="joint")).as_dict() == {
        **ELBO(beta=3.0, growth="joint").as_dict(),
        "kind": "elbo of features",
    }


def test_where_no_level_explains_features_the_loss_is_the_elbo():
    recipe = joint((1, 8, 8), width=4)
    torch.manual_seed(0)
    model, batch = build(recipe).eval(), Batch(x=torch.rand(16, 1, 8, 8))
    losses = []
    for objective in (ELBO(beta=2.0), FeaturesELBO(beta=2.0)):
        torch.manual_seed(1)
        losses.append(objective.loss(model, batch, step=0, progress=1.0))
    assert losses[0].total == losses[1].total
    assert losses[1].terms.tolist() == [losses[0].terms[0], 0, *losses[0].terms[1:]]


def test_the_default_recipe_charges_for_the_gradients_of_the_picture():
    torch.manual_seed(0)
    recipe = lean((1, 8, 8), code_sizes=(4, 10), width=4)
    loss = recipe.objective.loss(build(recipe), Batch(x=torch.rand(16, 1, 8, 8)), step=0, progress=1.0)
    distorted, gradients, *rates_of_levels = loss.terms.tolist()
    assert loss.total.item() == pytest.approx(distorted + gradients + sum(rates_of_levels), rel=1e-5)
    assert 0.5 * 12 < gradients < 3 * 12  # nats of 12 standardised numbers that are not explained yet


def test_a_plain_elbo_trains_what_explains_too():
    torch.manual_seed(0)
    model = build(lean((1, 8, 8), code_sizes=(4, 10), width=4))
    batch, losses = Batch(x=torch.rand(16, 1, 8, 8)), []
    for objective in (ELBO(), FeaturesELBO(), AdversarialELBO(), AdversarialELBO(explains_features=True)):
        torch.manual_seed(1)
        networks = objective.networks(model)
        losses.append(objective.loss(model, batch, step=1, progress=1.0, networks=networks))
        assert len(losses[-1].terms) == len(objective.terms(model.num_levels))
    assert losses[0].total == losses[1].total and losses[2].total == losses[3].total
    assert losses[0].terms.tolist() == [losses[1].terms[0], *losses[1].terms[2:]]
    losses[0].total.backward()
    assert all(weights.grad is not None for weights in model.levels[-1].explainer.parameters())


class Bare(vlae.LatentModel):
    """A model that reads nothing but x."""

    def __init__(self):
        super().__init__()
        self.shape, self.code_sizes, self.middle = (5,), (5,), nn.Parameter(torch.zeros(5))

    def infer(self, x):
        return (vlae.NormalCode(x, torch.ones_like(x)),)

    def prior(self, level, above):
        return vlae.NormalCode(torch.zeros(1, 5), torch.ones(1, 5))

    def generate(self, codes):
        return Independent(Normal(codes[0] + self.middle, 1.0), 1)

    def forward(self, x, fade=None):
        codes = tuple(posterior.rsample() for posterior in self.infer(x))
        return ForwardPass(
            posteriors=self.infer(x), priors=(self.prior(1, ()),), codes=codes, likelihood=self.generate(codes)
        )


def test_a_model_gets_only_what_there_is():
    loss = FeaturesELBO().loss(Bare(), Batch(x=torch.randn(4, 5)), step=0, progress=1.0)
    assert loss.terms[1] == 0 and loss.total.isfinite()
