"""The moments level: what the levels above it cannot see or set."""

import torch

from vlae.models.ladder import VLAE
from vlae.models.levels import ClassLevel, Level, MomentsLevel
from vlae.nn.layers import Blocks


def ladder_of_moments(*, code_size=2):
    """A ladder whose level 1 alone reads and sets the moments of the colours."""
    one = MomentsLevel(code_size=code_size, convolutions=((4, 2),))
    two = Level(code_size=2, convolutions=((6, 2),), reads="grid", acts="modulate")
    torch.manual_seed(0)
    return VLAE((3, 8, 8), [one, two, Level(code_size=3, dense=(8,))], blocks=Blocks(norm=False))


def painted(ground, ink):
    """A cross in the middle, in colours given as (3,)."""
    mask = torch.zeros(8, 8)
    mask[2:6, 3] = mask[4, 2:6] = 1
    return torch.lerp(torch.tensor(ground)[:, None, None], torch.tensor(ink)[:, None, None], mask)


def test_above_a_level_of_moments_pictures_that_differ_in_colour_alone_are_the_same():
    grounds, inks = (
        ((0.1, 0.2, 0.3), (0.9, 0.8, 0.1), (0.2, 0.9, 0.5)),
        ((0.9, 0.9, 0.9), (0.1, 0.2, 0.9), (1.0, 0.0, 0.1)),
    )
    x = torch.stack([painted(*colours) for colours in zip(grounds, inks, strict=True)])
    one, *above = (q.mean for q in ladder_of_moments().infer(x))
    assert torch.pdist(one).min() > 0.01
    for mean in above:
        assert torch.pdist(mean).max() < 0.01 * mean.norm(dim=1).min()
    # but where level 1 has no code, nothing is kept from them
    assert torch.pdist(ladder_of_moments(code_size=0).infer(x)[2].mean).min() > 0.01


def test_a_level_of_moments_alone_sets_the_mean_of_its_map():
    model = ladder_of_moments()
    z, others = torch.randn(1, 2).expand(16, 2), (torch.randn(16, 2), 300 * torch.randn(16, 3))
    drawn = model.generate((z, *others)).mean.logit()
    assert drawn.std(0).min() > 0.01  # the levels above move every pixel,
    assert drawn.mean((2, 3)).std(0).max() < 1e-4  # but no colour's mean, before the sigmoid,
    moved = model.generate((torch.randn(16, 2), *others)).mean.logit()
    assert moved.mean((2, 3)).std(0).min() > 0.01  # as level 1 does


def test_a_class_may_stand_above_a_level_of_moments_that_begins_the_decoder():
    one = MomentsLevel(code_size=2, convolutions=((4, 2),))
    model = VLAE((3, 8, 8), [one, ClassLevel(code_size=3)])
    assert model(torch.rand(4, 3, 8, 8)).posteriors[1].mean.shape == (4, 3)
