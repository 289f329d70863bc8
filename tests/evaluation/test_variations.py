"""Which variations look like other pictures of the data."""

import numpy as np
from scipy.ndimage import gaussian_filter

from vlae.data.variations import VARIATIONS
from vlae.evaluation import variations
from vlae.evaluation.variations import variations_of


def textures(num=600, side=24):
    """Smooth noise: wherever it is cut, and mirrored, it is the same kind of picture."""
    noise = np.random.default_rng(0).normal(size=(num, 1, side + 16, side + 16))
    smooth = gaussian_filter(noise, (0, 0, 3, 3))[:, :, 8:-8, 8:-8]
    return (128 + 100 * smooth / np.abs(smooth).max()).astype(np.uint8)


def test_textures_may_be_mirrored_and_shifted():
    assert variations_of(textures()) == ("mirror", "shift")


def test_what_stands_in_one_place_is_not_shifted():
    x = textures() // 8
    x[:, :, 8:16, 8:16] += 150
    assert "shift" not in variations_of(x)


def test_what_stands_nearly_in_one_place_is_moved_a_little():
    x, rng = np.zeros((2_000, 1, 28, 28), np.uint8), np.random.default_rng(0)
    corners = np.rint(rng.normal(9, 2.1, (len(x), 2))).astype(int).clip(0, 18)
    for picture, (down, across) in zip(x, corners, strict=True):
        picture[:, down : down + 10, across : across + 10] = 200
    assert variations_of(x) == ("mirror", "nudge")


def test_a_nudge_is_asked_only_where_it_is_nearer_than_a_shift_that_is_told(monkeypatch):
    asked = []

    def counted(name, vary):
        return lambda x, rng: asked.append(name) or vary(x, rng)

    monkeypatch.setattr(variations, "VARIATIONS", {name: counted(name, vary) for name, vary in VARIATIONS.items()})
    for x in (textures(side=16), textures()):  # of 16 pixels, both move by one; a shift of textures is not told
        variations_of(x)
        assert asked == ["mirror", "shift"]
        asked.clear()


def test_what_is_lit_from_the_left_is_not_mirrored():
    light = np.linspace(120, 0, 24).astype(np.uint8)
    assert "mirror" not in variations_of(textures() // 4 + light)


def test_too_few_pictures_cannot_tell():
    x = textures(40)
    x[:, :, :, :4] = 255
    assert variations_of(x) == ("mirror", "shift")
