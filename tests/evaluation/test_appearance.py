import numpy as np
import pytest

from vlae.evaluation.appearance import HUES, WORDS, appearance, hue_of

SIDE = 16


def blob(x=8.0, y=8.0, *, width=2.0, height=2.0, slant=0.0, colour=(1.0, 1.0, 1.0)):
    """A soft spot of one colour on black: (3, 16, 16)."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    across = columns - x - slant * (y - rows)
    form = np.exp(-((across / width) ** 2 + ((rows - y) / height) ** 2))
    return np.stack([form * part for part in colour]).astype(np.float32)


def waves(num):
    """So many waves across a picture."""
    return np.broadcast_to(0.5 + 0.4 * np.sin(np.arange(SIDE) / SIDE * 2 * np.pi * num), (3, SIDE, SIDE)).copy()


@pytest.mark.parametrize(
    ("name", "less", "more"),
    [
        ("brightness", blob() * 0.5, blob()),
        ("contrast", np.float32(0.4) + blob() * 0.1, blob()),
        ("saturation", blob(), blob(colour=(1.0, 0.2, 0.2))),
        ("detail", waves(1), waves(4)),
        ("light across", blob(x=4), blob(x=12)),
        ("light down", blob(y=4), blob(y=12)),
        ("light inside", np.float32(1) - blob(), blob()),
        ("size", blob(width=1, height=1), blob(width=3, height=3)),
        ("x position", blob(x=4), blob(x=12)),
        ("y position", blob(y=4), blob(y=12)),
        ("slant", blob(slant=-0.5, height=4), blob(slant=0.5, height=4)),
        ("width", blob(height=4), blob(width=4)),
        ("redness", blob(colour=(0.0, 1.0, 0.0)), blob(colour=(1.0, 0.0, 0.0))),
        ("yellowness", blob(colour=(0.0, 0.0, 1.0)), blob(colour=(1.0, 1.0, 0.0))),
    ],
)
def test_each_number_grows_with_what_it_names(name, less, more):
    before, after = appearance(np.stack([less, more]))[name]
    assert after > before + 0.005


def test_every_number_has_words_and_grey_pictures_have_no_colour():
    pictures = np.stack([blob(), blob(x=4)])
    assert set(appearance(pictures)) == set(WORDS) | {"redness", "yellowness"}
    assert set(appearance(pictures[:, :1])) == set(WORDS) - {"saturation"}


def test_a_leaning_form_leans_as_far_as_it_was_sheared_and_an_upright_one_does_not():
    upright, leaning = appearance(np.stack([blob(height=4), blob(slant=0.5, height=4)]))["slant"]
    assert abs(upright) < 0.01 and leaning == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    "shape", [(1, 2, 2), (3, 2, 2), (2, 2, 5), (5, 3, 9), (4, 64, 2), (1, 1, 9), (3, 9, 1), (1, 1, 1)]
)
def test_pictures_of_any_shape_and_one_colour_are_measured(shape):
    for values in (np.zeros((3, *shape), np.uint8), np.ones((3, *shape), np.float32)):
        assert all(np.isfinite(value).all() and value.shape == (3,) for value in appearance(values).values())


@pytest.mark.parametrize(
    ("colour", "word"),
    [((1, 0, 0), "redder"), ((1, 0.5, 0), "more orange"), ((1, 1, 0), "yellower"), ((0, 1, 0), "greener"),
     ((0, 1, 1), "more turquoise"), ((0, 0, 1), "bluer"), ((1, 0, 1), "pinker")],
)  # fmt: skip
def test_a_change_towards_a_colour_has_its_word(colour, word):
    red, green, blue = colour
    assert hue_of(red - green, (red + green) / 2 - blue) == word
    assert word in HUES
