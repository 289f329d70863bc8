import pytest
import torch

from vlae.models.base import ForwardPass
from vlae.objectives import ELBO, Batch, FeaturesELBO, distortion, rates
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
