"""The ELBO with few labels: its bound by hand, its views, and what flows where."""

from dataclasses import replace
from math import log

import pytest
import torch
from torch.distributions import kl_divergence

from vlae.objectives import Batch, FewLabels
from vlae.objectives.few_labels import with_labels
from vlae.objectives.views import noisy_view, varied_view
from vlae.recipes import adjust, build, implicit, lean, m1, with_classes, with_content

RECIPE = with_classes(lean((1, 8, 8), code_sizes=(2, 4), width=4), values=(0, 1, 2), names="abc")


def model():
    torch.manual_seed(0)
    return build(RECIPE)


def test_labels_replace_the_posterior_where_they_are_known():
    ladder = model()
    x = torch.rand(4, 1, 8, 8)
    torch.manual_seed(1)
    plain = ladder(x)
    labels = torch.tensor([2, -1, 0, -1])
    known = with_labels(ladder, plain, labels)
    rates = [kl_divergence(q, p).sum(1) for q, p in zip(known.posteriors, known.priors, strict=True)]
    torch.testing.assert_close(rates[2][[0, 2]], torch.full((2,), log(3)))  # -log p(y)
    for row, label in ((0, 2), (2, 0)):
        one = torch.eye(3)[[label]]
        by_hand = kl_divergence(known.posteriors[1], ladder.prior(2, (one,))).sum(1)
        torch.testing.assert_close(rates[1][row], by_hand[row])
    unknown = [1, 3]
    for level in (1, 2):
        before = kl_divergence(plain.posteriors[level], plain.priors[level]).sum(1)
        torch.testing.assert_close(rates[level][unknown], before[unknown])


def test_the_loss_is_the_bound_plus_the_cross_entropies():
    ladder, objective = model().eval(), replace(RECIPE.objective, views=False, label_weight=0.5)
    x, labels = torch.rand(6, 1, 8, 8), torch.tensor([0, 1, 2, -1, -1, -1])
    torch.manual_seed(2)
    loss = objective.loss(ladder, Batch(x, labels), step=0, progress=1.0)
    names = dict(zip(objective.terms(3), loss.terms.tolist(), strict=True))
    torch.manual_seed(2)
    forward = with_labels(ladder, ladder(x, torch.ones(3)), labels)
    rates = sum(kl_divergence(q, p).sum(1) for q, p in zip(forward.posteriors, forward.priors, strict=True))
    bound = (-forward.likelihood.log_prob(x) + rates).mean()
    other = ladder.infer(noisy_view(x))[-1]
    wrong = -torch.stack([ladder.infer(x)[-1].logits, other.logits])[:, range(3), [0, 1, 2]].mean()
    assert names["cross_entropy"] == pytest.approx(wrong.item(), rel=1e-5)
    expected = bound + 0.5 * 400 * (wrong + names["disagreement"])
    assert loss.total.item() == pytest.approx(expected.item(), rel=1e-5)


def test_only_a_class_of_which_one_view_is_sure_teaches_the_other():
    ladder = model().eval()
    x, labels = torch.rand(6, 1, 8, 8), torch.full((6,), -1)
    never = replace(RECIPE.objective, sure=1.0)
    always = replace(RECIPE.objective, sure=0.5)
    with torch.no_grad():
        ladder.levels[-1].head[1].bias += torch.tensor([3.0, 0.0, 0.0])
    at = never.terms(3).index("disagreement")
    assert never.loss(ladder, Batch(x, labels), step=0, progress=1.0).terms[at] == 0
    assert always.loss(ladder, Batch(x, labels), step=0, progress=1.0).terms[at] > 0


def test_without_any_label_there_is_no_cross_entropy():
    ladder = model()
    loss = RECIPE.objective.loss(ladder, Batch(torch.rand(4, 1, 8, 8), torch.full((4,), -1)), step=0, progress=0.5)
    assert loss.terms[RECIPE.objective.terms(3).index("cross_entropy")] == 0
    assert torch.isfinite(loss.total)


def test_views_vary_pictures_a_little_and_by_the_seed():
    x = torch.zeros(64, 1, 28, 28)
    x[:, :, 10:18, 10:18] = 1
    torch.manual_seed(0)
    views = varied_view(x)
    torch.manual_seed(0)
    assert views.equal(varied_view(x))
    assert views.shape == x.shape and views.min() >= 0 and views.max() <= 1 + 1e-6
    assert (views - x).abs().flatten(1).sum(1).min() > 1  # every picture changes
    assert (views.flatten(1).sum(1) / 64 - 1).abs().max() < 0.5  # and keeps most of its size
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    weight = views[:, 0] / views[:, 0].sum((1, 2), keepdim=True)
    centres = torch.stack([(weight * rows).sum((1, 2)), (weight * columns).sum((1, 2))])
    assert (centres - 13.5).abs().max() < 3.2 and (centres - 13.5).std() > 0.5


@pytest.mark.parametrize("turned", [False, True])
def test_views_slant_wide_and_tall_pictures_no_more_than_square_ones(turned):
    x = torch.zeros(200, 1, 16, 64)
    x[..., 30:34] = 1  # a bar, upright
    torch.manual_seed(0)
    views = varied_view(x.mT)[:, 0].mT if turned else varied_view(x)[:, 0]
    columns, rows = torch.arange(64.0), torch.arange(16.0) - 7.5
    middle = (views * columns).sum(2) / views.sum(2)  # of each row
    slants = (middle * rows).sum(1) / rows.square().sum()
    assert 0.2 < slants.abs().max() < 0.6


def test_noise_hides_and_blurs():
    torch.manual_seed(0)
    noisy = noisy_view(torch.ones(50, 3, 8, 8))
    assert noisy.mean().item() == pytest.approx(0.5, abs=0.03)
    hidden = noisy.mean(1) < 0.5
    assert 0.4 < hidden.float().mean() < 0.6


@pytest.mark.parametrize(("wrong", "words"), [({"label_weight": -1.0}, "label_weight"), ({"sure": 0.2}, "sure is 0.2")])
def test_settings_out_of_range_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        FewLabels(**wrong)


def test_labels_go_with_features_of_a_frozen_network_and_not_with_a_critic():
    recipe = with_content(lean((3, 16, 16), code_sizes=(2, 2, 4), width=4), num_features=5, num_data=60)
    recipe = with_classes(recipe, values=(0, 1), names="ab")
    ladder = build(recipe)
    ladder.levels[-2].components.fit(torch.randn(60, 5).numpy())
    batch = Batch(torch.rand(6, 3, 16, 16), torch.tensor([0, 1, -1, -1, -1, -1]), features=torch.randn(6, 5))
    loss = recipe.objective.loss(ladder, batch, step=0, progress=1.0)
    loss.total.backward()
    assert ladder.levels[-1].head[1].weight.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="sharp puts a critic beside an ELBO without labels"):
        adjust(RECIPE, sharp=True)
    with pytest.raises(ValueError, match="labels are for a ladder that minimises an ELBO"):
        with_classes(implicit((1, 16, 16)), values=(0, 1), names="ab")
    with pytest.raises(ValueError, match="m1 learns without labels"):
        with_classes(m1((1, 16, 16)), values=(0, 1), names="ab")
