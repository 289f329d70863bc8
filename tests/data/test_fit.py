"""How pictures of other sizes and proportions are fitted."""

import numpy as np
import pytest
from PIL import Image

from vlae.data import DataError, load


def stripes(width=120, height=60):
    """Red, then white, then blue, from left to right."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[:, : width // 4] = 255, 0, 0
    pixels[:, 3 * width // 4 :] = 0, 0, 255
    return pixels


@pytest.fixture
def wide_and_tall(tmp_path):
    Image.fromarray(stripes()).save(tmp_path / "a.png")
    Image.fromarray(stripes().swapaxes(0, 1)).save(tmp_path / "b.png")
    return tmp_path


def test_pictures_of_one_shape_keep_their_proportions(tmp_path):
    for i in range(2):
        Image.fromarray(stripes()).save(tmp_path / f"{i}.png")
    images = load(tmp_path, split="all")
    assert images.shape == (3, 32, 64)
    assert images.fitted == "resized to 64×32"
    assert (images.values[0, :, 16, 2] == (255, 0, 0)).all() and (images.values[0, :, 16, -2] == (0, 0, 255)).all()


@pytest.mark.parametrize(("fit", "left"), [(None, 255), ("crop", 255), ("pad", 0), ("squash", 0)])
def test_pictures_of_other_proportions(wide_and_tall, fit, left):
    images = load(wide_and_tall, split="all", fit=fit)
    assert images.shape == (3, 64, 64)
    assert images.values[0, 1, 32, 1] == left  # green is 0 where the red stripe is left
    assert images.fitted.split()[0] == {None: "cut", "crop": "cut", "pad": "resized,", "squash": "squashed"}[fit]


def test_padding_repeats_the_edges(wide_and_tall):
    picture = load(wide_and_tall, split="all", fit="pad").values[0]
    assert (picture[:, :16] == picture[:, 16:17]).all() and (picture[:, 48:] == picture[:, 47:48]).all()
    pixels = np.asarray(Image.fromarray(stripes()).resize((64, 32), Image.Resampling.LANCZOS, reducing_gap=3.0))
    assert (picture[:, 16:48] == pixels.transpose(2, 0, 1)).all()


def test_a_square_that_is_asked_for_of_pictures_of_one_shape(tmp_path):
    Image.fromarray(stripes()).save(tmp_path / "a.png")
    assert load(tmp_path, split="all", fit="crop").shape == (3, 64, 64)
    assert load(tmp_path, split="all", fit="pad").shape == (3, 64, 64)
    assert load(tmp_path, split="all", size=16).shape == (3, 16, 16)


def test_height_and_width_are_asked_for(wide_and_tall):
    for size in ("16x24", "16×24", "16X24"):
        images = load(wide_and_tall, split="all", size=size)
        assert images.shape == (3, 16, 24)
    cut = np.asarray(Image.fromarray(stripes()[:, 15:105]).resize((24, 16), Image.Resampling.LANCZOS, reducing_gap=3.0))
    assert (images.values[0] == cut.transpose(2, 0, 1)).all()  # 90 × 60 from the middle of 120 × 60
    assert load(np.zeros((9, 20, 20)), size="16x24").shape == (1, 16, 24)


@pytest.mark.parametrize("kind", [np.uint8, np.int16])
@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_arrays_of_any_depth_are_fitted_alike(kind, fit):
    expected = load(stripes()[None], split="all", size=32, fit=fit).values.astype(int)
    numbers = stripes()[None].astype(kind) * (10 if kind == np.int16 else 1)
    values = load(numbers, split="all", size=32, fit=fit, value_range=(0, numbers.max())).values
    assert np.abs(values * 255 - expected).max() < 3


def test_extreme_proportions_are_refused_with_advice(tmp_path):
    Image.fromarray(np.zeros((20, 1000), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"64×1 pixels.*choose a size, or a fit"):
        load(tmp_path, split="all")
    assert load(tmp_path, split="all", fit="squash").shape == (1, 64, 64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"fit": "stretch"}, "choose crop, pad, squash"), ({"size": "64x"}, "size is '64x'"), ({"size": "4x64"}, "4x64")],
)
def test_what_is_no_fit(settings, message):
    with pytest.raises(DataError, match=message):
        load(np.zeros((9, 20, 20)), **settings)
