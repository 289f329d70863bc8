"""Polarity is hidden where nothing else in a picture tells it, and only there."""

import numpy as np
import pytest

from vlae.data import load
from vlae.evaluation import polarity
from vlae.evaluation.polarity import edges_tell_polarity, polarity_of

NUM, SIDE = 800, 16
ROWS, COLUMNS = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2


def masks(rng, num=NUM):
    """Ellipses of random size, place and slope, 1 inside, which leave the border free; and how upright each is."""
    angle, upright = rng.uniform(-0.6, 0.6, (2, num, 1, 1))
    dx, dy = rng.uniform(-1, 1, (2, num, 1, 1))
    across, down = COLUMNS - dx, ROWS - dy
    u, v = np.cos(angle) * across + np.sin(angle) * down, np.cos(angle) * down - np.sin(angle) * across
    inside = (u / (3.6 * np.exp(-upright / 2))) ** 2 + (v / (3.6 * np.exp(upright / 2))) ** 2 < 1
    return inside.astype(float), upright[:, 0, 0]


def pictures(rng, mask, is_light):
    """Masks in light ink on a dark ground, or in dark ink on a light one, (N, 3, H, W)."""
    dark, light = rng.uniform(0.1, 0.4, (len(mask), 3, 1, 1)), rng.uniform(0.6, 0.9, (len(mask), 3, 1, 1))
    ink = np.where(is_light[:, None, None, None], light, dark)
    ground = np.where(is_light[:, None, None, None], dark, light)
    drawn = ground + (ink - ground) * mask[:, None] + rng.normal(0, 0.01, (len(mask), 3, SIDE, SIDE))
    return (drawn * 255).astype(np.uint8)


@pytest.mark.parametrize(("seed", "share"), [(0, 0.5), (1, 0.5), (2, 0.5), (3, 0.2)])
def test_polarity_by_the_toss_of_a_coin_is_hidden(seed, share):
    rng = np.random.default_rng(seed)
    mask, _ = masks(rng)
    values = pictures(rng, mask, rng.random(NUM) < share)
    assert polarity_of(values) == "hidden"
    assert polarity_of(np.float32(1 - values / 255)) == "hidden"


@pytest.mark.parametrize(("seed", "noise"), [(0, 0.0), (1, 0.4), (2, 0.4)])
def test_polarity_that_the_form_tells_is_visible(seed, noise):
    """Upright ellipses are light and lying ones dark, all of them or most."""
    rng = np.random.default_rng(seed)
    mask, upright = masks(rng)
    is_light = upright + noise * rng.normal(size=NUM) > 0
    assert polarity_of(pictures(rng, mask, is_light)) == "visible"


def test_one_polarity_alone_is_visible(rng):
    mask, _ = masks(rng)
    assert polarity_of(pictures(rng, mask, np.ones(NUM, bool))) == "visible"
    assert polarity_of(pictures(rng, mask, np.zeros(NUM, bool))) == "visible"
    assert polarity_of(np.zeros((NUM, 1, 8, 8), np.uint8)) == "visible"


@pytest.mark.parametrize("num", [1, 2, 30, 59])
def test_too_few_pictures_leave_it_visible(rng, num):
    mask, _ = masks(rng, num)
    assert polarity_of(pictures(rng, mask, rng.random(num) < 0.5)) == "visible"


@pytest.mark.parametrize("num_light", [3, 4])
def test_a_handful_of_the_other_polarity_leaves_it_visible(rng, num_light):
    mask, _ = masks(rng, 80)
    assert polarity_of(pictures(rng, mask, np.arange(80) < num_light)) == "visible"


def test_a_few_more_are_asked(rng):
    mask, _ = masks(rng, 80)
    polarity_of(pictures(rng, mask, np.arange(80) < 6))  # whatever they say


def test_street_numbers_hide_it():
    assert polarity_of(load("streets:3000").values) == "hidden"


def test_a_seed_gives_the_same_answer_and_nothing_is_changed(rng):
    mask, _ = masks(rng)
    values = pictures(rng, mask, rng.random(NUM) < 0.5)
    kept = values.copy()
    values.flags.writeable = False
    assert {polarity_of(values, seed=seed) for seed in (0, 1)} == {"hidden"}
    assert np.array_equal(values, kept)


def test_copies_count_once():
    rng = np.random.default_rng(0)
    values = pictures(rng, masks(rng)[0], rng.random(NUM) < 0.5)
    near = np.concatenate([values, values ^ rng.integers(0, 2, values.shape, np.uint8)])  # as they are compressed anew
    assert polarity_of(np.repeat(values, 3, axis=0)) == "hidden"
    assert polarity_of(near, groups=-1 - np.tile(np.arange(NUM), 2)) == "hidden"
    assert edges_tell_polarity(np.repeat(values[:40], 5, axis=0)) is None


@pytest.mark.parametrize(
    ("num", "area", "answer"),
    [(80, 0.4, False), (80, 0.52, None), (80, 0.62, None), (80, 0.7, True), (NUM, 0.54, False), (NUM, 0.62, True)],
)
def test_doubt_counts_as_neither(rng, monkeypatch, num, area, answer):
    monkeypatch.setattr(polarity, "roc_auc_score", lambda *_: area)
    values = pictures(rng, masks(rng, num)[0], rng.random(num) < 0.5)
    assert edges_tell_polarity(values) is answer
    assert polarity_of(values) == ("hidden" if answer is False else "visible")
