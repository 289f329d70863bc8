"""The mesh of drawn pictures: a pattern of the strides' period stands out from the spectrum."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import vlae
from vlae.data import load
from vlae.evaluation.mesh import mesh


def smooth(num=300, side=(32, 40)):
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(num, 1, *side)), (0, 0, 1.5, 1.5), mode="wrap")
    return 0.5 + 0.1 * noise / noise.std()


def test_pictures_without_a_mesh_have_none():
    one, other = mesh(smooth(600)[:300]), mesh(smooth(600)[300:])
    assert one.keys() == {2, 4, 8}
    assert all(0.75 < one[period] / other[period] < 1.33 for period in one)


@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_mesh_stands_out_at_its_own_period(period):
    x, rows = smooth(), np.arange(32)[:, None] % period == 0
    before = mesh(x)
    after = mesh(x + 0.02 * period * (rows | (np.arange(40) % period == 0)))
    assert after[period] > 2 * before[period]
    for longer in {4, 8} - {period}:
        if longer > period:
            assert after[longer] == pytest.approx(before[longer], rel=0.05)


@pytest.mark.parametrize("period", [2, 4, 8])
def test_borders_that_differ_hide_no_mesh(period):
    weave = 0.0005 * period**3 * (np.arange(32)[:, None] % period == 0) * np.ones((32, 40))
    ramp = np.linspace(0, 1, 32)[:, None] + np.linspace(0, 2, 40)  # dark on one side, light on the other
    for x in (smooth(), smooth() + ramp):
        assert mesh(x + weave)[period] > 1.5 * mesh(x)[period]
    assert mesh(smooth() + ramp)[period] == pytest.approx(mesh(smooth())[period], rel=0.1)


def test_small_pictures_have_few_periods():
    assert mesh(np.random.default_rng(0).random((10, 1, 8, 8))).keys() == {2, 4}
    assert mesh(np.random.default_rng(0).random((10, 3, 28, 20))).keys() == {2, 4, 8}


def test_the_ladder_that_ships_draws_no_mesh():
    run, images = vlae.load("streets"), load("streets:2000", split="all").values
    real = mesh(images / 255)
    for drawn in (run.decode(run.encode(images)), run.sample(2_000)):
        for period, strength in mesh(drawn).items():
            assert 0.9 * real[period] < strength < 1.1 * real[period], period
