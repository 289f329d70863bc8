"""What the kinds of level build and say, in the recipe that has them all."""

from vlae.nn.features import OrientedGradients
from vlae.nn.injection import Modulate
from vlae.nn.moments import AdaINOutput, AffineInvariantConv, NormalisedConv
from vlae.recipes import build, lean


def test_the_lower_levels_of_lean_act_on_the_whole_picture_at_once():
    one, two, three, top = build(lean((3, 32, 32))).levels
    assert isinstance(one.v, AdaINOutput) and isinstance(one.g[0], NormalisedConv)
    assert [type(level.v) for level in (two, three)] == [Modulate] * 2
    assert [level.v.grid for level in (two, three)] == [level.features.grid for level in (two, three)] == [2, 4]
    assert not hasattr(top.features, "grid")
    assert [level.gradients for level in (two, three)] == [None, None]
    assert isinstance(top.gradients, OrientedGradients) and top.gradients.grid == 4


def test_what_hides_polarity_is_the_first_layer_of_level_1():
    kinds = {
        polarity: type(build(lean((1, 16, 16), width=4, polarity=polarity)).levels[0].g[0])
        for polarity in ("hidden", "visible", "auto")
    }
    assert kinds == {"hidden": AffineInvariantConv, "visible": NormalisedConv, "auto": NormalisedConv}


def test_every_level_says_what_it_is():
    described = [level.describe() for level in lean((3, 32, 32)).levels]
    assert [level.reads for level in described] == ["moments", "2 × 2 grid", "4 × 4 grid", "map"]
    assert [level.acts for level in described] == ["sets moments", "modulate", "modulate", "concatenate"]
    assert all(level.title and level.sentence for level in described)
