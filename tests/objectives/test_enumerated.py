"""The objective of M2 and M1+M2."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from vlae.objectives.base import Batch
from vlae.objectives.elbo import distortion, rates
from vlae.objectives.enumerated import EnumeratedELBO
from vlae.recipes import adjust, build, m1_m2, m2, with_classes

LABELS = torch.tensor([1, -1, 0, -1])


def made(recipe, **settings):
    torch.manual_seed(0)
    recipe = adjust(with_classes(recipe, values=(3, 8), names=("3", "8")), scale=0.5, **settings)
    model = build(recipe).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eval()
    return recipe.objective, model


@pytest.mark.parametrize("make", [m2, m1_m2])
def test_the_loss_is_its_terms_with_their_weights(make):
    objective, model = made(make((5,), width=1), label_weight=0.3)
    x = torch.randn(4, 5)
    torch.manual_seed(1)
    loss = objective.loss(model, Batch(x=x, labels=LABELS), step=0, progress=0.0)
    torch.manual_seed(1)
    forward = model(x, torch.ones(model.num_levels), labels=LABELS)
    wrong = functional.cross_entropy(forward.posteriors[-1].inferred.logits[[0, 2]], LABELS[[0, 2]])
    features = torch.zeros(()) if forward.features_distortion is None else forward.features_distortion.mean()
    by_hand = [distortion(forward, x).mean(), features, wrong, *rates(forward).mean(1)]
    torch.testing.assert_close(loss.terms, torch.stack(by_hand))
    bound = distortion(forward, x).mean() + features + rates(forward).sum(0).mean()
    torch.testing.assert_close(loss.total, bound + 0.3 * 400 * wrong)
    assert objective.terms(model.num_levels)[:4] == ("distortion", "features_distortion", "cross_entropy", "rate_1")
    assert len(loss.terms) == len(objective.terms(model.num_levels))


def test_labels_change_the_bound_and_teach_the_classifier():
    objective, model = made(m2((5,), width=1))
    x, losses = torch.randn(4, 5), []
    for labels in (LABELS, torch.full((4,), -1)):
        torch.manual_seed(1)
        losses.append(objective.loss(model, Batch(x=x, labels=labels), step=0, progress=0.0))
    assert losses[0].terms[0] != losses[1].terms[0] and losses[0].terms[-1] > losses[1].terms[-1]
    assert losses[0].terms[2] > 0 and losses[1].terms[2] == 0


def test_classes_without_a_name_learn_from_no_label():
    torch.manual_seed(0)
    recipe = m2((5,), width=1)
    model = build(recipe)
    losses = []
    for labels in (None, torch.tensor([0, 1, 2, 3])):
        torch.manual_seed(1)
        losses.append(recipe.objective.loss(model, Batch(x=torch.ones(4, 5), labels=labels), step=0, progress=0.0))
    assert losses[0].total == losses[1].total and losses[1].terms[2] == 0


@pytest.mark.parametrize("weight", [-1.0, float("inf"), float("nan")])
def test_a_weight_out_of_range_is_refused(weight):
    with pytest.raises(ValueError, match="label_weight is"):
        EnumeratedELBO(label_weight=weight)
