"""The objective of InfoGAN: which part learns from what, the late start, the penalties, what it refuses and tells."""

import pytest
import torch
from torch.nn.functional import cross_entropy, softplus

from vlae.models.infogan import InfoGAN
from vlae.objectives import Batch
from vlae.objectives.infogan import InfoGANLoss
from vlae.objectives.picture_distance import PictureDistance
from vlae.recipes import adjust, build, infogan, lean


def small(**settings):
    torch.manual_seed(0)
    recipe = adjust(infogan((1, 8, 8), code_sizes=(3, 2, 4), width=4), **settings)
    model = build(recipe)
    return model, recipe.objective, recipe.objective.networks(model)


def gradients(objective, model, networks, *, step=1, progress=1.0):
    for part in (model, networks):
        part.zero_grad(set_to_none=True)
    torch.manual_seed(1)
    loss = objective.loss(model, Batch(x=torch.rand(6, 1, 8, 8)), step=step, progress=progress, networks=networks)
    loss.total.backward()
    named = [*model.named_parameters(), *networks.named_parameters("networks")]
    return loss, {name: torch.zeros(1) if p.grad is None else p.grad.clone() for name, p in named}


def by_hand(model, networks, objective):
    """The gradient of each part's own loss, one after the other."""
    torch.manual_seed(1)
    x = torch.rand(6, 1, 8, 8)
    codes = model.place(model.draw_noise(6))
    drawn = model.decode(codes)
    real, false = (networks.judge(model.trunk(each)) for each in (x, drawn))
    means, logits = model.reader(model.trunk(drawn)).split([2, 4], dim=1)
    untold = objective.continuous * 0.5 * (means - codes[1]).square().sum(1).mean()
    untold = untold + objective.category * cross_entropy(logits, codes[2].argmax(1))
    losses = {
        "trunk": softplus(false - real).mean() + untold,
        "networks": softplus(false - real).mean(),
        "reader": untold,
        "generator": softplus(real - false).mean() + untold,
    }
    expected = {}
    for part, value in losses.items():
        owner = networks if part == "networks" else model
        named = [(f"networks.{n}" if part == "networks" else n, p) for n, p in owner.named_parameters()]
        chosen = [(name, p) for name, p in named if name.startswith(part)]
        found = torch.autograd.grad(value, [p for _, p in chosen], retain_graph=True)
        expected |= dict(zip([name for name, _ in chosen], found, strict=True))
    return expected


def test_each_part_learns_from_its_own_loss():
    model, objective, networks = small(continuous=0.7, category=1.3)
    model.train()
    _, found = gradients(objective, model, networks)  # step 1: no penalty
    expected = by_hand(model, networks, objective)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert value.any(), name
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-4, msg=name)


def test_the_category_starts_late_and_the_penalties_come_every_fourth_step():
    model, objective, networks = small(category_from=0.5)
    early = gradients(objective, model, networks, progress=0.49)[1]["reader.2.weight"]
    late = gradients(objective, model, networks, progress=0.5)[1]["reader.2.weight"]
    assert not early[2:].any() and late[2:].any()
    torch.testing.assert_close(early[:2], late[:2])
    terms = [gradients(objective, model, networks, step=step)[0].terms[2].item() for step in range(5)]
    assert [value > 0 for value in terms] == [True, False, False, False, True]


def test_without_a_weight_nothing_is_learned_of_the_codes():
    model, objective, networks = small(continuous=0.0, category=0.0)
    found = gradients(objective, model, networks)[1]
    assert not any(value.any() for name, value in found.items() if name.startswith("reader"))


def test_information_is_what_the_encoder_knows():
    model, objective, networks = small()
    names = objective.terms(3)
    told = dict(zip(names, gradients(objective, model, networks)[0].terms.tolist(), strict=True))
    assert abs(told["information_3"]) < 0.3  # an untrained encoder: about log K - log K
    known = {}

    def posterior(features):  # an encoder that reads the codes from the noise of the step itself
        torch.manual_seed(1)
        torch.rand(6, 1, 8, 8)
        codes = model.place(model.draw_noise(6))
        known["codes"] = codes
        return torch.cat([codes[1] + 0.1, 50 * codes[2]], dim=1)

    model.reader.forward = posterior
    told = dict(zip(names, objective_terms(objective, model, networks), strict=True))
    assert told["information_3"] == pytest.approx(torch.tensor(4.0).log().item(), abs=1e-4)
    assert told["information_2"] == pytest.approx(-2 * 0.5 * torch.tensor(0.01).log().item(), abs=1e-3)


def objective_terms(objective, model, networks):
    torch.manual_seed(1)
    x = torch.rand(6, 1, 8, 8)
    model.reader[0].weight.requires_grad_(False)
    return objective.loss(model, Batch(x=x), step=1, progress=1.0, networks=networks).terms.tolist()


def test_the_encoder_is_of_the_model_and_the_critics_head_is_not():
    model, _, networks = small()
    parts = {name.split(".")[0] for name in model.state_dict()}
    assert parts == {"generator", "trunk", "reader", "error"}
    assert {name for name, _ in networks.named_parameters()} == {"head.weight"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "bf16"}, "a critic's gradient penalties need full precision; give --precision fp32"),
        ({"continuous": -1.0}, "continuous is -1.0; give a weight from 0 up"),
        ({"category_from": 1.0}, "category_from is 1.0; give a share of the training"),
        ({"penalty": 0.0}, "penalty is 0.0"),
        ({"penalty_every": 0}, "every 0 steps"),
        ({"beta": 2.0}, "the recipe 'infogan' does not have a setting beta"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        adjust(infogan((1, 8, 8)), **settings)


def test_data_that_no_critic_can_judge_are_refused():
    objective = InfoGANLoss()
    objective.check_data((1, 8, 8), precision="fp32", num_data=32)
    with pytest.raises(ValueError, match="there are 2 pictures to train on, which a critic would learn by"):
        objective.check_data((1, 8, 8), precision="fp32", num_data=2)
    with pytest.raises(ValueError, match="a critic is for pictures; these data are vectors of 5 numbers"):
        objective.check_data((5,), precision="fp32")
    with pytest.raises(ValueError, match="trains an InfoGAN, not a VLAE; choose recipe infogan"):
        objective.networks(build(lean((1, 8, 8))))


def test_a_collapse_and_a_critic_that_has_won_are_told_of():
    objective = InfoGANLoss()
    terms = {"critic": 0.6, "variety": 0.9}
    assert objective.warnings(terms, 0.5) == {}
    collapsed = objective.warnings(terms | {"variety": 0.05}, 0.5)
    assert list(collapsed) == ["collapse"] and "vary by 5% of what real ones do" in collapsed["collapse"]
    assert list(objective.warnings(terms | {"critic": 0.01}, 0.5)) == ["divergence"]
    assert "wrong most of the time" in objective.warnings(terms | {"critic": 3.0}, 0.5)["divergence"]
    assert list(objective.warnings(terms | {"critic": 0.6931}, 0.5)) == ["idle"]


def test_the_distance_along_the_training_is_that_of_the_latest_pictures():
    generator = torch.Generator().manual_seed(0)
    distance = PictureDistance(16)

    def real():
        return 0.5 + 0.1 * torch.randn(100, 1, 4, 4, generator=generator)

    for step in range(101):
        drawn = real() if step > 60 else torch.full((100, 1, 4, 4), 0.5)
        compared = distance(real(), drawn, step)
        if step == 0:
            assert compared.frechet > 0 and compared.variety < 1e-6
        if step == 50:
            assert compared.variety < 1e-6  # all alike
            assert compared.frechet == pytest.approx(16 * 0.01, rel=0.1)  # then it is the variance of the data
    assert compared.frechet < 3 * compared.frechet_real < 0.02 and compared.variety == pytest.approx(1, abs=0.1)
    assert isinstance(small()[0], InfoGAN)
    again = PictureDistance(16)
    again.load_state_dict(distance.state_dict())  # what it remembers is kept
    generator.manual_seed(5)
    one = distance(real(), real(), 150)
    generator.manual_seed(5)
    assert torch.stack([*again(real(), real(), 150)]).equal(torch.stack([*one]))


@pytest.mark.parametrize("begun_at", [5_000, 5_017])
def test_a_training_that_is_made_longer_compares_pictures_from_its_first_step_on(begun_at):
    generator = torch.Generator().manual_seed(0)
    distance = PictureDistance(16)
    for step in range(begun_at, begun_at + 60):
        real, drawn = torch.rand(2, 100, 1, 4, 4, generator=generator)
        compared = distance(real, drawn, step)
        assert compared.variety == pytest.approx(1, abs=0.3)
        assert 0 < compared.frechet < 0.5 and 0 < compared.frechet_real < 0.5
