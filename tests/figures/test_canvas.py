"""Pictures as arrays, by their pixels."""

import numpy as np
import pytest

from vlae.figures import canvas


def one(height, width, value):
    return np.full((height, width, 3), value, np.uint8)


def test_a_grid_centres_its_tiles_on_white():
    drawn = canvas.grid([one(2, 2, 0), one(4, 2, 50), one(2, 6, 100)], 2, gap=1)
    assert drawn.shape == (4 + 1 + 2, 6 + 1 + 2, 3)
    assert (drawn[1:3, 2:4] == 0).all() and (drawn[:4, 7:] == 50).all() and (drawn[5:, :6] == 100).all()
    painted = 4 + 8 + 12
    assert (drawn == 255).all(2).sum() == drawn[..., 0].size - painted


def test_a_sheet_enlarges_small_pictures_by_a_whole_factor_and_takes_words():
    drawn = canvas.sheet([["", one(5, 3, 50)], ["word", one(20, 20, 100)]], least=12)
    word = canvas.text("word")
    for value, size in ((50, 15 * 9), (100, 20 * 20)):
        assert (drawn == value).all(2).sum() == size + (word == value).all(2).sum()
    assert (word == 0).any() and (drawn == 0).sum() == (word == 0).sum()
    with pytest.raises(ValueError, match="equally many"):
        canvas.sheet([["a"], ["a", "b"]])


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = canvas.save(np.zeros((2, 2, 3), np.uint8), tmp_path / "a.png")
    before = path.read_bytes()
    with pytest.raises((TypeError, OSError)):
        canvas.save(np.zeros((2, 2, 3), np.complex64), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
