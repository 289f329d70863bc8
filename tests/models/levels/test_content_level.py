"""The content level: it alone reads and explains the features, and it reads nothing else."""

import numpy as np
import pytest
import torch

from vlae.errors import NotDefinedError
from vlae.models.ladder import VLAE
from vlae.models.levels import ContentLevel, Level
from vlae.nn.components import PrincipalComponents
from vlae.recipes import build, lean, with_content


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = build(with_content(lean((3, 16, 16), code_sizes=(2, 2, 10), width=4), num_features=6, num_data=100))
    for part in made.modules():
        if isinstance(part, PrincipalComponents):
            part.fit(np.random.default_rng(0).normal(size=(50, 6)))
    return made.eval()


def test_the_levels_below_cannot_see_the_features_and_the_top_cannot_see_the_pixels(model):
    x, features = torch.rand(4, 3, 16, 16, requires_grad=True), torch.randn(4, 6, requires_grad=True)
    *below, top = model.infer(x, features)
    for q in below:
        of_x, of_features = torch.autograd.grad(
            (q.mean + q.stddev).square().sum(), (x, features), allow_unused=True, retain_graph=True
        )
        assert of_x.abs().max() > 0 and of_features is None
    of_x, of_features = torch.autograd.grad((top.mean + top.stddev).sum(), (x, features), allow_unused=True)
    assert of_x is None and of_features.abs().max() > 0


def test_the_code_of_the_top_alone_explains_the_features(model):
    codes = tuple(torch.randn(4, size, requires_grad=True) for size in model.code_sizes)
    _, targets = model._climb(torch.rand(4, 3, 16, 16), torch.randn(4, 6))
    distortion = model._explain(codes, [None, None, None, targets[3]])
    assert distortion.shape == (4,)
    *below, top = torch.autograd.grad(distortion.sum(), codes, allow_unused=True)
    assert below == [None] * 3 and top.abs().max() > 0
    # The level below it explains the gradients of the picture, as it did when it was the top.
    assert [target is None for target in targets] == [True, True, False, False]
    one, two, three, top = torch.autograd.grad(model._explain(codes, targets).sum(), codes, allow_unused=True)
    assert one is None and two is None and three.abs().max() > 0 and top.abs().max() > 0
    *_, top = torch.autograd.grad(model.decode(codes).square().sum(), codes)
    assert top.abs().max() > 0  # and it begins the decoder


def test_the_distortion_is_that_of_a_gaussian_whose_scale_is_the_error(model):
    level = model.levels[-1].train()
    code, components = torch.randn(64, 16), torch.randn(64, 6)
    level.explain(code, components)
    level.explainer.predict.eval()
    error = components - level.explainer.predict(code)
    sigma = error.square().mean().sqrt()
    wanted = -torch.distributions.Normal(0.0, sigma).log_prob(error).sum(1)
    torch.testing.assert_close(level.explain(code, components), wanted)


def test_features_that_are_not_given_come_from_the_network(model):
    x = torch.rand(4, 3, 16, 16)
    with pytest.raises(NotDefinedError, match="no network that gives features"):
        model.infer(x)
    model.network = lambda pictures: pictures.flatten(1)[:, :6]
    for given, computed in zip(model.infer(x, x.flatten(1)[:, :6]), model.infer(x), strict=True):
        assert torch.equal(given.mean, computed.mean)
    assert model(x).features_distortion.shape == (4,)


def test_where_a_content_level_cannot_be():
    content = ContentLevel(code_size=2, num_features=6, num_components=3)
    with pytest.raises(ValueError, match="the top of a ladder"):
        VLAE((3, 8, 8), [content])
    with pytest.raises(ValueError, match="the top of a ladder"):
        VLAE((5,), [Level(code_size=2, dense=(4,)), content, Level(code_size=2, dense=(4,))])
    for wrong in ({"code_size": 0}, {"num_components": 7}, {"units": 0}):
        with pytest.raises(ValueError, match="give a code and units from 1 up"):
            ContentLevel(**{"code_size": 2, "num_features": 6, "num_components": 3, **wrong})
