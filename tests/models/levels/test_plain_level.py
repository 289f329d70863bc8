"""The plain level: its settings, and an earlier spelling."""

import pytest

from vlae.models.levels import Level, MomentsLevel


def test_what_cannot_be_is_refused_when_a_level_is_made():
    for settings, message in (
        ({"reads": "glob"}, "reads is 'glob'; choose one of map, grid"),
        ({"acts": "multiply"}, "acts is 'multiply'; choose one of concatenate, add, modulate"),
        ({"grid": 0}, "grid is 0"),
        ({"reads": "pooled"}, "needs acts='modulate'"),
        ({"reads": "pooled", "acts": "modulate"}, "no dense or head layers"),
        ({"dense": ()}, "at least one convolution or dense layer"),
        ({"convolutions": ((8, 0),)}, "stride of a convolution is a whole number from 1 up"),
    ):
        with pytest.raises(ValueError, match=message):
            Level(**{"code_size": 2, "dense": (8,), **settings})


def test_the_former_way_to_ask_for_moments_gives_the_level_of_moments():
    with pytest.deprecated_call(match="MomentsLevel"):
        former = Level(code_size=2, convolutions=((4, 2),), reads="pooled", acts="modulate")
    assert former == MomentsLevel(code_size=2, convolutions=((4, 2),))
