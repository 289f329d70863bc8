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
        picture[:, down : down + 10, across : across + 10] = rng.integers(190, 210, (10, 10))  # no two are copies
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


def arrows(num, side=16):
    """Arrows to the left, class 0, and to the right, class 1, anywhere."""
    rng, right = np.random.default_rng(0), np.arange(num) % 2
    x = np.zeros((num, 1, side, side), np.uint8)
    for picture, is_right in zip(x[:, 0], right, strict=True):
        row, column, ink = *rng.integers(5, 11, 2), rng.integers(150, 255)
        picture[row, column - 4 : column + 5] = ink
        for k in range(4):
            at = column + 4 - k if is_right else column - 4 + k
            picture[[row - k, row + k], at] = ink
    return x, right


def test_arrows_whose_direction_is_learned_are_not_mirrored():
    x, right = arrows(400)
    assert "mirror" in variations_of(x)
    assert variations_of(x, labels=right) == tuple(name for name in variations_of(x) if name != "mirror")
    assert variations_of(x[:40]) == ("mirror", "shift")
    assert variations_of(x[:40], labels=right[:40]) == ("shift",)


def test_textures_are_mirrored_where_a_mirror_leaves_their_classes():
    x = textures()
    labels = np.arange(len(x)) % 3
    x[labels == 1] //= 2
    x[labels == 2] = np.swapaxes(x[labels == 2], 2, 3) // 2 + 100
    assert "mirror" in variations_of(x)
    coarse = x.copy()
    coarse[labels == 0] = coarse[labels == 0, :, ::2, ::2].repeat(2, 2).repeat(2, 3)
    coarse[labels == 1, :, ::2] //= 2
    assert "mirror" in variations_of(coarse, labels=labels)


def test_few_labels_and_those_that_nothing_tells_cannot_say_that_a_mirror_is_harmless():
    x = textures()
    for labels in (np.full(600, -1), np.where(np.arange(600) < 50, np.arange(600) % 2, -1), np.arange(600)):
        assert variations_of(x, labels=labels) == ("shift",)
    assert variations_of(x, labels=np.random.default_rng(0).integers(0, 2, 600)) == ("shift",)


def test_copies_count_once():
    x = textures(50)
    x[:, :, :, :4] = 255
    assert variations_of(np.repeat(x, 4, axis=0)) == ("mirror", "shift")  # too few
    x = textures() // 8
    x[:, :, 8:16, 8:16] += 150
    near = np.concatenate([x, x ^ np.random.default_rng(0).integers(0, 2, x.shape, np.uint8)])
    assert "shift" not in variations_of(np.repeat(x, 3, axis=0))
    assert "shift" not in variations_of(near, groups=-1 - np.tile(np.arange(len(x)), 2))
