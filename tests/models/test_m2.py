"""M2 and M1+M2: their bounds against sums and integrals by hand, and what learns from what."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from vlae.models.distributions import CategoryCode, NormalCode
from vlae.models.enumerated import ExpectedLikelihood, NormalByClass
from vlae.models.levels import ClassLevel, Level
from vlae.models.likelihoods import Gaussian
from vlae.models.m2 import M1M2, M2
from vlae.nn.layers import Blocks
from vlae.objectives.bounds import log_likelihood
from vlae.objectives.elbo import distortion, elbo, rates

CLASSES = ClassLevel(code_size=3, names=("a", "b", "c"), values=(0, 4, 7))
LABELS = torch.tensor([2, -1, 0, -1, -1, 1])
SETTINGS = {"likelihood": Gaussian(scale=0.5), "mean": 0.0, "stddev": 1.0}


def m2(**settings):
    torch.manual_seed(0)
    return M2((5,), [Level(code_size=2, dense=(16,)), CLASSES], **(SETTINGS | settings))


def m1_m2(**settings):
    torch.manual_seed(0)
    levels = [Level(code_size=4, dense=(16,)), Level(code_size=2, dense=(16,)), CLASSES]
    return M1M2((5,), levels, **(SETTINGS | settings))


def summing(model):
    """The model in training mode, with the batch norms of eval mode, so that a datum depends on itself alone."""
    for module in model.train().modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    return model


def each_class_by_hand(networks, x, noise):
    """For each class: q(z|x, y), the z that the noise gives, and y, one-hot; and the probability of each class."""
    features = networks.trunk(x)
    parts = []
    for k in range(3):
        name = torch.eye(3)[k].expand(len(x), -1)
        posterior = networks.posterior(features, name)
        parts.append((posterior, posterior.mean + posterior.stddev * noise[k::3], name))
    return parts, networks.classify(features).softmax(1)


def mixed(bounds, probabilities, labels):
    """U(x) of the data without a label and L(x, y) of the others, from L(x, y) of every class."""
    entropy = -(probabilities * probabilities.log()).sum(1)
    unknown = (probabilities * bounds).sum(1) + entropy
    return torch.where(labels >= 0, bounds.gather(1, labels.clamp_min(0)[:, None])[:, 0], unknown)


@torch.no_grad()
@pytest.mark.parametrize("labels", [LABELS, None])
def test_the_bound_of_m2_is_the_sum_over_classes(labels):
    model, x = summing(m2()), torch.randn(6, 5)
    torch.manual_seed(1)
    noise = torch.randn(18, 2)
    torch.manual_seed(1)
    forward = model(x, labels=labels)
    parts, probabilities = each_class_by_hand(model.networks, x, noise)
    bounds = torch.stack(
        [
            model.generate((z, name)).log_prob(x)
            - kl_divergence(Normal(q.mean, q.stddev), Normal(0.0, 1.0)).sum(1)
            - np.log(3)
            for q, z, name in parts
        ],
        dim=1,
    )
    by_hand = mixed(bounds, probabilities, torch.full((6,), -1) if labels is None else labels)
    torch.testing.assert_close(elbo(forward, x), by_hand, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_in_eval_mode_the_bound_is_the_same_on_average():
    model = summing(m2())
    x = torch.randn(1, 5).expand(20_000, -1)
    summed = elbo(model(x), x)
    drawn = elbo(model.eval()(x), x)
    error = (drawn.var() / len(x)).sqrt().item()
    assert drawn.mean().item() == pytest.approx(summed.mean().item(), abs=5 * error)
    assert error < 0.1


@torch.no_grad()
def test_importance_samples_of_m2_give_the_likelihood():
    model = M2((2,), [Level(code_size=1, dense=(8,)), CLASSES], **SETTINGS).eval()
    x = torch.randn(3, 2)
    grid = torch.linspace(-8, 8, 4001)[:, None]
    truth = []
    for datum in x:
        joint = [
            model.generate((grid, torch.eye(3)[k].expand(len(grid), -1))).log_prob(datum)
            + Normal(0.0, 1.0).log_prob(grid)[:, 0]
            - np.log(3)
            for k in range(3)
        ]
        truth.append(torch.cat(joint).logsumexp(0) + np.log(16 / 4000))
    bound = log_likelihood(model, x, num_samples=4_000, chunk=1_000)
    torch.testing.assert_close(bound, torch.stack(truth), atol=0.05, rtol=0)


@torch.no_grad()
def test_codes_of_m2_in_eval_mode_belong_together():
    model = m2().eval()
    forward = model(torch.randn(200, 5))
    z, y = forward.codes
    assert set(y.unique().tolist()) == {0.0, 1.0} and (y.sum(1) == 1).all()
    assert isinstance(forward.posteriors[1], CategoryCode)
    assert (((z - forward.posteriors[0].mean) / forward.posteriors[0].stddev).abs() < 6).all()


def test_a_known_class_passes_no_gradient_to_the_others():
    model, x = summing(m2()), torch.randn(6, 5)
    labels = torch.tensor([1] * 6)
    forward = model(x, labels=labels)
    torch.testing.assert_close(forward.posteriors[1].mean, torch.eye(3)[labels], atol=1e-20, rtol=0)
    distortion(forward, x).sum().backward()
    of_names = model.networks.draw[0][1].weight.grad[:, 2:]
    assert of_names[:, 1].any()
    assert of_names[:, [0, 2]].abs().max() < 1e-15 * of_names[:, 1].abs().max() + 1e-15
    assert not model.networks.classify.weight.grad.any(), "q(y|x) has no part in the bound of a known class"


@torch.no_grad()
def test_an_optimal_scale_is_fitted_to_the_likely_class_alone():
    model = summing(m2(likelihood=Gaussian()))
    x, labels = torch.randn(6, 5), torch.tensor([0, 1, 2, 0, 1, 2])
    torch.manual_seed(1)
    noise = torch.randn(18, 2)
    torch.manual_seed(1)
    model(x, labels=labels)
    parts, _ = each_class_by_hand(model.networks, x, noise)
    pictures = torch.stack([model.decode((z, name)) for _, z, name in parts])[labels, torch.arange(6)]
    assert model.likelihood.scale.item() == pytest.approx((x - pictures).square().mean().sqrt().item(), rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("labels", [LABELS, None])
def test_m1_m2_trains_the_bound_of_m1_and_that_of_m2_on_its_codes(labels):
    model, x = summing(m1_m2()), torch.randn(6, 5)
    torch.manual_seed(1)
    lowest_noise, noise = torch.randn(6, 4), torch.randn(18, 2)
    torch.manual_seed(1)
    forward = model(x, labels=labels)
    lowest = model.bottom.posterior(x, model.bottom.climb(x))
    code = lowest.mean + lowest.stddev * lowest_noise
    of_m1 = model.generate((code,)).log_prob(x) - kl_divergence(
        Normal(lowest.mean, lowest.stddev), Normal(0.0, 1.0)
    ).sum(1)
    parts, probabilities = each_class_by_hand(model.networks, code, noise)
    bounds = []
    for q, z, name in parts:
        prior = model.prior(1, (z, name))
        explained = Normal(prior.mean, prior.stddev).log_prob(code).sum(1)
        bounds.append(explained - kl_divergence(Normal(q.mean, q.stddev), Normal(0.0, 1.0)).sum(1) - np.log(3))
    of_m2 = mixed(torch.stack(bounds, 1), probabilities, torch.full((6,), -1) if labels is None else labels)
    torch.testing.assert_close(elbo(forward, x) - forward.features_distortion, of_m1 + of_m2, rtol=1e-4, atol=1e-4)


def test_m1_learns_nothing_of_m2():
    model, x = summing(m1_m2()), torch.randn(6, 5)
    forward = model(x, labels=LABELS)
    (forward.features_distortion + rates(forward)[1:].sum(0)).sum().backward()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.bottom.parameters())
    assert all(parameter.grad.any() for parameter in model.networks.parameters())
    model.zero_grad(set_to_none=True)
    forward = model(x, labels=LABELS)
    (distortion(forward, x) + rates(forward)[0]).sum().backward()
    assert all(parameter.grad.any() for parameter in model.bottom.parameters())
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.networks.parameters())


@torch.no_grad()
def test_in_eval_mode_the_bound_of_m1_m2_is_of_the_whole():
    model, x = m1_m2().eval(), torch.randn(6, 5)
    forward = model(x)
    z_1, z_2, y = forward.codes
    prior = model.prior(1, (z_2, y))
    assert forward.features_distortion is None and not forward.conditioned_alike
    torch.testing.assert_close(forward.priors[0].mean, prior.mean)
    by_hand = (
        model.generate((z_1,)).log_prob(x)
        + (prior.log_prob(z_1) - forward.posteriors[0].log_prob(z_1)).sum(1)
        + (Normal(0.0, 1.0).log_prob(z_2) - forward.posteriors[1].log_prob(z_2)).sum(1)
        + (-np.log(3) - (y * forward.posteriors[2].logits).sum(1))
    )
    torch.testing.assert_close(elbo(forward, x), by_hand, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("make", [m2, m1_m2])
def test_a_class_is_placed_uniformly_and_given_back(make):
    model = make().eval()
    codes = model.place(model.draw_noise(6_000, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(codes[-1].mean(0), torch.full((3,), 1 / 3), atol=0.03, rtol=0)
    again = model.place(model.noise_of(codes))
    for one, other in zip(again, codes, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert (model.class_names, model.class_values) == (("a", "b", "c"), (0, 4, 7))


@torch.no_grad()
@pytest.mark.parametrize("make", [m2, m1_m2])
def test_a_datum_is_inferred_the_same_in_any_company(make):
    model, x = make().eval(), torch.randn(4, 5)
    for all_q, one_q in zip(model.infer(x), model.infer(x[2:3]), strict=True):
        torch.testing.assert_close(one_q.mean, all_q.mean[2:3], atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("make", [m2, m1_m2])
def test_noise_is_seen_and_the_clean_datum_explained(make):
    model, x = make().eval(), torch.randn(4, 5)
    torch.manual_seed(0)
    one = model(x, seen=x + 1)
    torch.manual_seed(0)
    other = model(x + 1)
    torch.testing.assert_close(one.posteriors[0].mean, other.posteriors[0].mean)
    torch.testing.assert_close(one.likelihood.mean, other.likelihood.mean)


@torch.no_grad()
@pytest.mark.parametrize("make", [m2, m1_m2])
def test_a_level_not_yet_grown_leaves_no_trace(make):
    x = torch.randn(4, 5)
    for mode in (nn.Module.train, nn.Module.eval):
        model = mode(make())
        pictures = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            pictures.append(model(x, torch.zeros(model.num_levels)).likelihood.mean)
        torch.testing.assert_close(pictures[0], pictures[1])


@torch.no_grad()
def test_the_mixture_of_posteriors_has_its_mean_variance_and_expected_rate():
    classes = torch.tensor([[0.2, 0.8], [1.0, 0.0]])
    each = NormalCode(torch.tensor([[0.0], [2.0], [1.0], [5.0]]), torch.tensor([[1.0], [0.5], [0.3], [9.0]]))
    mixture = NormalByClass(classes, each)
    torch.testing.assert_close(mixture.mean, torch.tensor([[1.6], [1.0]]))
    variance = 0.2 * (1 + 1.6**2) + 0.8 * (0.25 + 0.4**2)
    torch.testing.assert_close(mixture.stddev, torch.tensor([[variance**0.5], [0.3]]))
    kl = kl_divergence(Normal(each.mean, each.stddev), Normal(0.5, 2.0))
    expected = torch.stack([0.2 * kl[0] + 0.8 * kl[1], kl[2]])
    for rows in (1, 2):
        prior = NormalCode(torch.full((rows, 1), 0.5), torch.full((rows, 1), 2.0))
        torch.testing.assert_close(kl_divergence(mixture, prior), expected)
    joined = NormalByClass.cat([mixture, mixture])
    torch.testing.assert_close(joined.mean, torch.cat([mixture.mean] * 2))


def test_an_expected_likelihood_is_that_of_every_class():
    classes = torch.tensor([[0.25, 0.75]])
    each = torch.distributions.Independent(Normal(torch.tensor([[0.0, 1.0], [2.0, 3.0]]), 1.0), 1)
    likelihood, x = ExpectedLikelihood(classes, each), torch.tensor([[1.0, 1.0]])
    by_hand = 0.25 * each.log_prob(x)[0] + 0.75 * each.log_prob(x)[1]
    torch.testing.assert_close(likelihood.log_prob(x), by_hand[None])
    torch.testing.assert_close(likelihood.mean, torch.tensor([[1.5, 2.5]]))
    assert (likelihood.batch_shape, likelihood.event_shape) == ((1,), (2,))


@pytest.mark.parametrize(
    ("kind", "levels", "message"),
    [
        (M2, [Level(code_size=2, dense=(8,))], "M2 takes 1 level below a class level; these are plain"),
        (M2, [CLASSES], "M2 takes 1 level below"),
        (M2, [Level(code_size=2, convolutions=((4, 2),)), CLASSES], "dense layers only"),
        (M1M2, [Level(code_size=2, dense=(8,)), CLASSES], "M1M2 takes 2 levels below"),
        (M1M2, [Level(code_size=2, dense=(8,)), Level(code_size=0, dense=(8,)), CLASSES], "dense layers only"),
    ],
)
def test_other_levels_are_refused(kind, levels, message):
    with pytest.raises(ValueError, match=message):
        kind((1, 8, 8), levels)


def test_pictures_without_batch_norm_are_fine():
    model = M2((1, 8, 9), [Level(code_size=2, dense=(8, 8)), CLASSES], blocks=Blocks(norm=False))
    assert model.eval()(torch.rand(2, 1, 8, 9)).likelihood.mean.shape == (2, 1, 8, 9)


def test_what_they_would_drop_is_refused():
    for setting in ({"reads": "grid"}, {"head_dense": (8,)}, {"gradients": 2}):
        level = replace(Level(code_size=2, dense=(16,)), **setting)
        for model, below in ((M2, [level]), (M1M2, [Level(code_size=4, dense=(16,)), level])):
            with pytest.raises(ValueError, match="has a code and dense layers only"):
                model((1, 8, 8), [*below, CLASSES])
    with pytest.raises(ValueError, match="give it gradients=0"):
        M1M2((1, 8, 8), [level, Level(code_size=2, dense=(16,)), CLASSES])
