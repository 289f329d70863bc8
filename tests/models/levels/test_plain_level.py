"""The plain level: its settings, and an earlier spelling."""

import pytest
import torch

from vlae.models.ladder import VLAE
from vlae.models.levels import Level, MomentsLevel
from vlae.nn.features import oriented_gradients
from vlae.objectives import Batch, FeaturesELBO
from vlae.recipes import build, lean


def test_what_cannot_be_is_refused_when_a_level_is_made():
    for settings, message in (
        ({"reads": "glob"}, "reads is 'glob'; choose one of map, grid"),
        ({"acts": "multiply"}, "acts is 'multiply'; choose one of concatenate, add, modulate"),
        ({"grid": 0}, "grid is 0"),
        ({"reads": "pooled"}, "needs acts='modulate'"),
        ({"reads": "pooled", "acts": "modulate"}, "no dense or head layers"),
        ({"dense": ()}, "at least one convolution or dense layer"),
        ({"convolutions": ((8, 0),)}, "stride of a convolution is a whole number from 1 up"),
        ({"gradients": -1}, "gradients is -1; give the side of a grid from 1 up, or 0"),
        ({"gradients": 2, "dense": (), "convolutions": ((8, 2),)}, "a level with gradients has a code and dense"),
        ({"gradients": 2, "code_size": 0}, "a level with gradients has a code"),
        ({"gradients": 2, "reads": "grid", "convolutions": ((8, 2),)}, "a level with gradients has .* reads='map'"),
        ({"gradients": 2, "head_dense": (8,)}, "a level with gradients has .* no head layers"),
    ):
        with pytest.raises(ValueError, match=message):
            Level(**{"code_size": 2, "dense": (8,), **settings})


def test_the_former_way_to_ask_for_moments_gives_the_level_of_moments():
    with pytest.deprecated_call(match="MomentsLevel"):
        former = Level(code_size=2, convolutions=((4, 2),), reads="pooled", acts="modulate")
    assert former == MomentsLevel(code_size=2, convolutions=((4, 2),))


# Oriented gradients


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build(lean((3, 16, 20), code_sizes=(2, 3, 10), width=4)).eval()


def test_the_code_of_the_level_alone_explains_the_gradients(model):
    codes = tuple(torch.randn(4, size, requires_grad=True) for size in model.code_sizes)
    _, targets = model._climb(torch.rand(4, 3, 16, 20), None)
    assert [target is None for target in targets] == [True, True, False]
    assert targets[2].shape == (4, 3 * 4 * 4)  # cells of four pixels and more
    distortion = model._explain(codes, targets)
    assert distortion.shape == (4,)
    one, two, top = torch.autograd.grad(distortion.sum(), codes, allow_unused=True)
    assert one is None and two is None and top.abs().max() > 0
    assert all(slope.abs().max() > 0 for slope in torch.autograd.grad(model.decode(codes).square().sum(), codes))


def test_their_distortion_moves_the_top_and_what_it_reads(model):
    """In a forward pass it reaches no posterior but that of the top."""
    model.train()
    model(torch.rand(8, 3, 16, 20)).features_distortion.sum().backward()
    moved = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    parts = {name.split(".")[2] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"0", "1", "2"}  # h_L, from which the code is read, is above g_1 and g_2
    assert parts == {"g", "head", "explainer"}
    heads = [model.levels[i].head.linear.weight.grad for i in (0, 1, 2)]
    assert heads[0] is None and heads[1] is None and heads[2].any()


def test_the_levels_below_do_not_see_the_gradients(model):
    x = torch.rand(4, 3, 16, 20)
    before = model.infer(x)
    model.levels[2].gradients.forward = lambda x: torch.full((len(x), 48), 7.0)
    *below, top = ((a.mean - b.mean).abs().max() for a, b in zip(model.infer(x), before, strict=True))
    assert below == [0, 0] and top > 0


def test_the_gradients_are_those_of_the_picture_whatever_lies_below(model):
    x = torch.rand(8, 3, 16, 20)
    standard = (x - model.mean) / model.stddev
    model.train()
    target = model._climb(x, None)[1][2]
    found = oriented_gradients(standard, 4)
    wanted = (found - found.mean(0)) / (found.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(target, wanted, atol=1e-4, rtol=1e-4)


def test_explaining_them_is_learnt():
    """The code of the top comes to tell how slanted stripes are, with the picture left out of the loss."""
    torch.manual_seed(0)
    model = build(lean((1, 16, 16), code_sizes=(2, 10), width=4)).train()
    angle = torch.rand(256, 1, 1) * torch.pi
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    x = 0.5 + 0.4 * torch.sin(torch.cos(angle) * columns + torch.sin(angle) * rows)[:, None]
    adam, losses = torch.optim.Adam(model.parameters(), lr=5e-3), []
    for _ in range(60):
        adam.zero_grad()
        loss = model(x).features_distortion.mean()
        loss.backward()
        adam.step()
        losses.append(loss.item() / (3 * 16))
    assert losses[-1] < losses[0] - 0.3  # nats a number: the unexplained deviation has fallen by a quarter and more


def test_gradients_need_pictures():
    vectors = VLAE((5,), [Level(code_size=2, dense=(4,)), Level(code_size=2, dense=(4,), gradients=2)])
    with pytest.raises(ValueError, match=r"gradients are of pictures; these data are vectors: .* gradients=0"):
        FeaturesELBO().loss(vectors, Batch(x=torch.randn(4, 5)), step=0, progress=1.0)
