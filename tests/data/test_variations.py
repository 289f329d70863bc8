"""Variations of pictures: what they keep, what they change."""

import numpy as np
import pytest

from vlae.data.variations import VARIATIONS, vary

mirrored, shifted, nudged = (VARIATIONS[name] for name in ("mirror", "shift", "nudge"))


def pictures(num=40, side=32):
    return np.random.default_rng(0).integers(0, 256, (num, 3, side, side), np.uint8)


def test_half_of_the_pictures_are_mirrored_and_the_others_stay():
    x = pictures(400)
    seen = mirrored(x, np.random.default_rng(1))
    same = (seen == x).all((1, 2, 3))
    assert 150 < same.sum() < 250
    np.testing.assert_array_equal(seen[~same], x[~same][..., ::-1])


def test_a_shifted_picture_keeps_its_middle_and_mirrors_its_border():
    x = pictures()
    seen = shifted(x, np.random.default_rng(1))
    offsets = set()
    for before, after in zip(x, seen, strict=True):
        fits = [
            (i, j)
            for i in range(-2, 3)
            for j in range(-2, 3)
            if (after[:, 2:-2, 2:-2] == before[:, 2 + i : 30 + i, 2 + j : 30 + j]).all()
        ]
        assert len(fits) == 1
        offsets.add(fits[0])
        i, j = fits[0]
        rows, columns = (31 - np.abs(31 - np.abs(np.arange(32) + move)) for move in (i, j))
        np.testing.assert_array_equal(after, before[:, rows][:, :, columns])
    assert len(offsets) > 15 and seen.dtype == np.uint8


def test_variations_follow_one_another_and_none_changes_nothing():
    x = pictures()
    both = vary(x, "mirror,shift", np.random.default_rng(3))
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(both, shifted(mirrored(x, rng), rng))
    assert vary(x, "none", np.random.default_rng(3)) is x
    with pytest.raises(KeyError):
        vary(x, "melt", np.random.default_rng(3))
    assert tuple(VARIATIONS) == ("mirror", "shift", "nudge")


@pytest.mark.parametrize(("side", "furthest"), [(8, 1), (28, 1), (32, 1), (64, 2), (128, 4)])
def test_a_nudged_picture_is_moved_by_a_thirty_second_and_at_least_a_pixel(side, furthest):
    x = np.random.default_rng(0).integers(0, 256, (60, 1, side, side), dtype=np.uint8)
    seen = nudged(x, np.random.default_rng(1))
    middle, offsets = slice(furthest, side - furthest), set()
    for before, after in zip(x, seen, strict=True):
        moves = [(i, j) for i in range(-furthest, furthest + 1) for j in range(-furthest, furthest + 1)]
        fits = [
            move
            for move in moves
            if (after[:, middle, middle] == np.roll(before, move, (1, 2))[:, middle, middle]).all()
        ]
        offsets.update(fits)
        assert len(fits) == 1
    assert {abs(move) for offset in offsets for move in offset} == set(range(furthest + 1))
