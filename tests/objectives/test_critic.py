"""An ELBO with a critic: gradients of model and critic are kept apart, and its settings are what they say."""

from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch

from vlae.models.distributions import NormalCode
from vlae.models.levels import Level
from vlae.objectives import ELBO, AdversarialELBO, Batch, FeaturesELBO, frozen
from vlae.objectives.adversarial import contest, relativistic_loss
from vlae.objectives.critic import information
from vlae.recipes import Recipe, adjust, build, hvae, implicit, joint, lean, mnist, with_content

SHAPE = (1, 8, 8)


def parts(judged="pictures", **settings):
    """A small ladder, an objective with its critic, and a batch."""
    torch.manual_seed(0)
    levels = (Level(code_size=2, convolutions=((4, 2),)), Level(code_size=3, dense=(16,)))
    objective = AdversarialELBO(judged=judged, critic_width=4, **settings)
    model = build(replace(lean(SHAPE), levels=levels, objective=objective))
    return model, objective, objective.networks(model), Batch(x=torch.rand(16, *SHAPE))


def loss_of(model, objective, critic, batch, step=0):
    torch.manual_seed(1)
    return objective.loss(model, batch, step=step, progress=0.0, networks=critic)


@pytest.mark.parametrize("judged", ["pictures", "codes", "both"])
def test_a_contest_gives_what_a_frozen_critic_would(judged):
    model, _, critic, batch = parts(judged)
    forward = model(batch.x)
    drawn, codes = model.picture_of(forward.likelihood), forward.codes
    real, generated = {
        "pictures": ((batch.x,), (drawn,)),
        "codes": (model.place(model.draw_noise(16)), codes),
        "both": ((batch.x, *codes), (drawn, *(torch.randn_like(code) for code in codes))),
    }[judged]
    fought = contest(critic, real, generated)
    parameters = list(model.parameters())
    found = torch.autograd.grad(fought.pull(3.0), parameters, retain_graph=True, allow_unused=True)
    by_hand = 3 * relativistic_loss(frozen(critic, *generated), frozen(critic, *real))
    expected = torch.autograd.grad(by_hand, parameters, retain_graph=True, allow_unused=True)
    assert fought.pull(3.0).item() == pytest.approx(by_hand.item())
    assert any(each is not None for each in found)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)
    assert not [p for p in torch.autograd.grad(fought.critic_loss, parameters, allow_unused=True) if p is not None]


@pytest.mark.parametrize("judged", ["pictures", "codes", "both"])
def test_the_critic_learns_its_own_loss_and_the_penalty_alone(judged):
    model, objective, critic, batch = parts(judged, information=0.5, penalty=0.3)
    loss = loss_of(model, objective, critic, batch)
    terms = dict(zip(objective.terms(2), loss.terms, strict=True))
    own = terms["critic_loss"] + 0.3 * terms["gradient_penalty"]
    of_all = torch.autograd.grad(loss.total, list(critic.parameters()), retain_graph=True)
    of_own = torch.autograd.grad(own, list(critic.parameters()))
    for one, other in zip(of_all, of_own, strict=True):
        torch.testing.assert_close(one, other)


def test_beside_the_elbo_the_critic_pulls_as_hard_as_it_is_told_to():
    model, objective, critic, batch = parts(adversarial=0.5)
    seen, gradients = [], []
    model.register_forward_hook(lambda _, __, out: seen.append(out.likelihood.mean.retain_grad() or out))
    for one in (ELBO(), objective):
        torch.manual_seed(1)
        one.loss(model, batch, step=1, progress=0.0, networks=critic).total.backward()
        gradients.append(seen[-1].likelihood.mean.grad)
    elbo, both = gradients
    assert (both - elbo).norm() == pytest.approx(0.5 * elbo.norm().item(), rel=1e-3)


def test_without_distortion_and_rates_the_likelihood_does_not_matter():
    model, objective, critic, batch = parts("both", distortion=0.0, beta=0.0)
    of_bound = loss_of(model, replace(objective, distortion=0.0, beta=0.0), critic, batch).total
    gradients = torch.autograd.grad(of_bound, list(model.parameters()))
    model.likelihood.learned = model.likelihood.fits = False
    model.likelihood.fitted_scale.fill_(1e-3)  # a distortion a hundred times as steep
    again = torch.autograd.grad(loss_of(model, objective, critic, batch).total, list(model.parameters()))
    for one, other in zip(gradients, again, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)
    assert all(gradient.any() for gradient in gradients if gradient.numel() > 8)


def test_information_is_highest_where_codes_are_read_back(monkeypatch):
    model, *_ = parts()
    noise = tuple(torch.randn(20_000, size) for size in (2, 3))
    read = tuple(NormalCode(mean, torch.ones_like(mean)) for mean in (noise[0], torch.zeros(20_000, 3)))
    monkeypatch.setattr(model, "infer", lambda drawn: read)
    exact, none = information(model, torch.zeros(20_000, *SHAPE), noise).tolist()
    assert exact == pytest.approx(2 * (log(2) + 0.5), abs=0.02)
    assert none == pytest.approx(3 * (log(2) + 0.5 - 2), abs=0.1)


def test_terms_follow_the_settings():
    base = ("distortion", "rate_1", "rate_2")
    of_critic = ("critic_loss", "gradient_penalty", "spread")
    assert AdversarialELBO().terms(2) == (*base, *of_critic)
    features = AdversarialELBO(explains_features=True, information=(0.0, 1.0)).terms(2)
    assert features == ("distortion", "features_distortion", *base[1:], *of_critic, "information_1", "information_2")


def test_running_averages_of_batch_norm_are_those_of_data():
    model, objective, critic, batch = parts("both", information=1.0)
    loss_of(model, objective, critic, batch)
    after = {name: value for name, value in model.state_dict().items() if "running" in name}
    again, *_ = parts("both")
    torch.manual_seed(1)
    again(batch.x)
    assert after
    for name, value in again.state_dict().items():
        if name in after:
            torch.testing.assert_close(value, after[name])
    assert all(norm.momentum == 0.1 for norm in model.modules() if isinstance(norm, torch.nn.BatchNorm2d))


@pytest.mark.parametrize("make", [lean, joint, mnist, hvae])
def test_sharp_stands_beside_the_elbo_of_any_recipe(make):
    recipe = make((3, 32, 32))
    sharp = adjust(recipe, sharp=True, beta=2.0)
    objective = sharp.objective
    assert objective.judged == "pictures" and objective.distortion == 1 and objective.beta == 2.0
    assert objective.explains_features == isinstance(recipe.objective, FeaturesELBO)
    assert replace(sharp, objective=recipe.objective) == recipe
    assert Recipe.from_json(sharp.to_json()) == sharp == adjust(sharp, sharp=True)
    assert adjust(recipe, sharp=False) == adjust(recipe, sharp=None) == recipe


def test_sharp_keeps_its_critic_beside_a_content_level():
    content = with_content(adjust(joint((3, 32, 32)), sharp=True), num_features=40, num_data=100)
    assert content.objective == AdversarialELBO(explains_features=True)
    assert content == adjust(with_content(joint((3, 32, 32)), num_features=40, num_data=100), sharp=True)


def test_what_cannot_be_trained_is_refused_with_what_to_do():
    with pytest.raises(
        ValueError, match=r"critic is for pictures; these data are vectors of 5 .* choose lean, without"
    ):
        adjust(lean((5,)), sharp=True)
    with pytest.raises(ValueError, match="vectors of 5 dimensions choose 'lean'"):
        implicit((5,))
    for recipe in (implicit(SHAPE), adjust(lean(SHAPE), sharp=True)):
        with pytest.raises(ValueError, match="need full precision; give --precision fp32"):
            adjust(recipe, precision="bf16")
        with pytest.raises(ValueError, match=r"there are 2 pictures to train on, .* give 32 or more"):
            recipe.objective.check_data(SHAPE, precision="fp32", num_data=2)
    assert adjust(adjust(lean(SHAPE), precision="bf16"), sharp=True, precision="fp32").objective.judged == "pictures"
    with pytest.raises(ValueError, match="'implicit' has a critic of its own; leave sharp out"):
        adjust(implicit(SHAPE), sharp=True)
    with pytest.raises(ValueError, match="the recipe 'lean' does not have a setting distortion"):
        adjust(lean(SHAPE), distortion=1.0)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("judged", "labels", "choose one of pictures, codes, both"),
        ("adversarial", 0.0, "give a number above 0"),
        ("penalty", -1.0, "give a number above 0"),
        ("distortion", float("nan"), "give a weight from 0 up"),
        ("information", -1.0, "give a number from 0 up"),
        ("penalty_every", 0, "give a whole number from 1 up"),
    ],
)
def test_settings_out_of_range(setting, value, message):
    with pytest.raises(ValueError, match=message):
        AdversarialELBO(**{setting: value})
    with pytest.raises(ValueError, match="information has 3 values for 2 levels"):
        AdversarialELBO(information=(1.0, 1.0, 1.0)).check(2)


def test_a_failing_critic_is_told_of():
    objective = AdversarialELBO()

    def told(loss, spread=0.9):
        return set(objective.warnings({"critic_loss": loss, "spread": spread}, 0.3))

    assert told(0.5) == set() == told(0.68)
    assert told(0.5, 0.1) == {"collapsed"} and told(0.01) == {"beaten"}
    assert told(3.0) == {"diverged"} and told(log(2)) == {"idle"}


def test_a_collapsed_model_and_a_critic_that_knows_all_are_measured():
    model, objective, critic, batch = parts()
    for parameter in model.parameters():
        parameter.data.zero_()  # it draws one picture
    terms = dict(zip(objective.terms(2), loss_of(model, objective, critic, batch).terms.tolist(), strict=True))
    assert terms["spread"] < 0.01 and "collapsed" in objective.warnings(terms, 0.5)
    assert np.isfinite(list(terms.values())).all()


@pytest.mark.parametrize("judged", ["pictures", "codes", "both"])
@pytest.mark.parametrize("recipe", [lean((1, 16, 16), code_sizes=(0, 2, 0, 3), width=4), hvae((1, 16, 16), width=4)])
def test_levels_without_a_code_and_conditional_priors(recipe, judged):
    torch.manual_seed(0)
    objective = AdversarialELBO(judged=judged, information=1.0, critic_width=4)
    model = build(replace(recipe, objective=objective))
    loss = loss_of(model, objective, objective.networks(model), Batch(x=torch.rand(8, 1, 16, 16)))
    loss.total.backward()
    assert loss.terms.isfinite().all() and len(loss.terms) == len(objective.terms(model.num_levels))
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
