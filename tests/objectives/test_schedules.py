"""The order and the pace in which levels grow."""

import numpy as np
import pytest

from vlae.objectives import ELBO
from vlae.objectives.schedules import growth_order


@pytest.mark.parametrize(
    ("growth", "order"),
    [
        ("ladder", (1, 5, 4, 3, 2)),
        ("top-down", (5, 4, 3, 2, 1)),
        ("bottom-up", (1, 2, 3, 4, 5)),
        ("joint", (1, 2, 3, 4, 5)),
    ],
)
def test_the_order_of_growth(growth, order):
    assert growth_order(growth, 5) == order
    assert growth_order(growth, 1) == (1,)


@pytest.mark.parametrize("num_levels", [1, 2, 3, 6])
@pytest.mark.parametrize("until", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("growth", ["ladder", "top-down", "bottom-up", "joint"])
def test_levels_grow_one_after_the_other_and_are_grown_in_time(growth, until, num_levels):
    objective = ELBO(growth=growth, growth_until=until)
    fades = np.array([objective.fade(t, (2,) * num_levels) for t in np.linspace(0, 1, 201)])
    in_order = fades[:, [level - 1 for level in growth_order(growth, num_levels)]]
    assert (np.diff(fades, axis=0) >= 0).all() and (fades >= 0).all() and (fades <= 1).all()
    assert (in_order[:, 0] == 1).all()
    assert (fades[np.linspace(0, 1, 201) >= until] == 1).all()
    if growth != "joint" and until:
        assert (in_order[0, 1:] == 0).all()
        assert ((in_order[:, 1:] == 0) | (in_order[:, :-1] == 1)).all()  # none begins before the one before is grown
    else:
        assert (fades == 1).all()


def test_a_level_fades_in_over_half_its_share():
    objective = ELBO(growth="ladder", growth_until=0.6)
    for progress, fade in ((0.2, (1, 0, 0)), (0.25, (1, 0, 0.5)), (0.3, (1, 0, 1)), (0.45, (1, 0.5, 1))):
        assert objective.fade(progress, (2, 2, 2)) == pytest.approx(fade)


def test_a_level_without_a_code_takes_no_time_to_grow():
    assert ELBO(growth="ladder").fade(0.0, (0, 0, 8)) == (1.0, 1.0, 1.0)
    with_gap, without = (ELBO(growth="ladder").fade(0.1, sizes) for sizes in ((2, 0, 3, 4), (2, 3, 4)))
    assert (with_gap[0], *with_gap[2:]) == without
