"""Which rows are held out."""

import numpy as np
import pytest

from vlae.data.holdout import hold_out
from vlae.data.source import TEST


def held_out(groups, holdout=0.05, seed=0):
    groups = np.array(groups)
    return np.flatnonzero(hold_out(len(groups), holdout, np.random.default_rng(seed), groups) == TEST)


def test_groups_of_one_each_are_as_no_groups():
    for num in (2, 20, 500):
        alone = hold_out(num, 0.05, np.random.default_rng(3), np.arange(num))
        assert (alone == hold_out(num, 0.05, np.random.default_rng(3))).all()


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_whole(seed):
    groups = np.repeat(np.arange(40), [1, 2, 3, 4] * 10)
    chosen = held_out(groups, seed=seed)
    assert len(chosen) == 16
    assert np.isin(groups, groups[chosen]).sum() == 16


def test_if_no_group_is_small_enough_the_smallest_is_held_out():
    assert held_out([0] * 50 + [1] * 30 + [2] * 40).tolist() == [*range(50, 80)]


def test_copies_are_held_out_last_and_whole():
    assert (held_out([*range(60), -1, -1, -2, -2]) < 60).all()
    groups = np.array([*range(4), *np.repeat(-1 - np.arange(30), 2)])
    chosen = held_out(groups)
    assert set(range(4)) < set(chosen.tolist())
    assert len(chosen) == 16
    assert np.isin(groups, groups[chosen]).sum() == 16


def test_rows_of_a_single_group_are_chosen_one_by_one():
    assert len(held_out([7] * 40)) == 10


def test_nothing_is_held_out_if_nothing_is_asked():
    assert len(held_out([0] * 5 + [1] * 5, holdout=0)) == 0
