import itertools

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifier

from vlae.data.streets import CONTRAST, FONTS, LUMINANCE, draw

RANGES = {
    "digit": (0, 9),
    "font": (0, len(FONTS) - 1),
    "slant": (-0.3, 0.3),
    "scale": (0.55, 0.85),
    "x_offset": (-0.07, 0.07),
    "y_offset": (-0.07, 0.07),
    "light_strength": (0, 0.35),
    "light_angle": (0, 2 * np.pi),
    "blur": (0.3, 1.1),
    "left_digit": (-1, 9),
    "right_digit": (-1, 9),
    "noise": (0, 0.04),
    **{f"{what}_{channel}": (0, 1) for what in ("ink", "background") for channel in ("red", "green", "blue")},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Two threads wait for each other four times longer than they work when the machine has other things to do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def streets(one_thread):
    return draw(3000, seed=7)


def colours(factors, what):
    return np.stack([factors[f"{what}_{channel}"] for channel in ("red", "green", "blue")], axis=1)


def coverage(images, factors):
    """How far each pixel is from background to ink, read back from the picture by the true colours."""
    background, ink = colours(factors, "background"), colours(factors, "ink")
    to_ink = (ink - background)[:, :, None, None]
    return ((images / 255 - background[:, :, None, None]) * to_ink).sum(1) / (to_ink**2).sum(1)


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


@pytest.mark.parametrize("num", [1, 10, 64, 65, 130])
def test_longer_draw_begins_with_shorter(num):
    images, factors = draw(200, seed=3)
    fewer, fewer_factors = draw(num, seed=3)
    assert fewer.tobytes() == images[:num].tobytes()
    assert list(fewer_factors) == list(factors)
    for name, values in fewer_factors.items():
        np.testing.assert_array_equal(values, factors[name][:num])


@pytest.mark.parametrize("size", [32, 128])
def test_threads_change_nothing(size):
    alone, _ = draw(20, size=size)
    torch.set_num_threads(2)
    together, _ = draw(20, size=size)
    torch.set_num_threads(1)
    assert together.tobytes() == alone.tobytes()


def test_seeds_and_images_differ():
    (one, _), (other, _) = draw(130, seed=0), draw(130, seed=1)
    assert len({image.tobytes() for image in [*one, *other]}) == 260


@pytest.mark.parametrize("size", [8, 20, 32, 64, 256])
def test_sizes_show_the_same_things(size):
    images, factors = draw(3, size=size)
    assert images.shape == (3, 3, size, size) and images.dtype == np.uint8
    for name, values in draw(3)[1].items():
        np.testing.assert_array_equal(values, factors[name])


def test_sizes_are_enlargements():
    small, large = draw(100, size=32)[0] / 255, draw(100, size=64)[0] / 255
    assert np.abs(large.reshape(100, 3, 32, 2, 32, 2).mean((3, 5)) - small).mean() < 0.03


def test_factors_fill_their_ranges(streets):
    _, factors = streets
    assert factors.keys() == RANGES.keys()
    for name, (low, high) in RANGES.items():
        values = factors[name].astype(float)
        assert values.shape == (3000,)
        assert low - 1e-6 <= values.min() and values.max() <= high + 1e-6, name
        assert values.max() - values.min() > 0.9 * (high - low), name
    for name in ("digit", "font", "left_digit", "right_digit"):
        assert factors[name].dtype == np.int64
        assert len(np.unique(factors[name])) == RANGES[name][1] - RANGES[name][0] + 1
    for name in ("left_digit", "right_digit"):
        assert np.mean(factors[name] < 0) == pytest.approx(0.5, abs=0.04)


def test_ink_contrasts_with_background(streets):
    _, factors = streets
    differences = np.abs((colours(factors, "ink") - colours(factors, "background")) @ LUMINANCE)
    assert differences.min() >= CONTRAST - 1e-6


def test_factors_are_independent(streets):
    _, factors = streets
    for one, other in itertools.combinations(factors, 2):
        if not all(name.startswith(("ink", "background")) for name in (one, other)):
            assert abs(correlation(factors[one], factors[other])) < 0.08, (one, other)


def test_background_is_true(streets):
    images, factors = streets
    plain = (factors["light_strength"] < 0.1) & (factors["left_digit"] < 0) & (factors["right_digit"] < 0)
    corners = images[plain][:, :, [0, 0, -1, -1], [0, -1, 0, -1]].mean(2) / 255
    background = colours(factors, "background")[plain]
    assert correlation(corners.ravel(), background.ravel()) > 0.99
    assert np.abs(corners - background).mean() < 0.02


def test_ink_is_true(streets):
    images, factors = streets
    bold = np.isin(factors["font"], [FONTS.index("DejaVuSans-Bold"), FONTS.index("DejaVuSerif-Bold")])
    plain = bold & (factors["light_strength"] < 0.1) & (factors["blur"] < 0.6)
    ink = colours(factors, "ink")[plain]
    nearest = np.abs(images[plain] / 255 - ink[:, :, None, None]).max(1).min((1, 2))
    assert nearest.mean() < 0.05


def test_place_scale_and_slant_are_true():
    images, factors = draw(1500, seed=2, size=64)
    plain = (factors["light_strength"] < 0.15) & (factors["left_digit"] < 0) & (factors["right_digit"] < 0)
    factors = {name: values[plain] for name, values in factors.items()}
    ink = coverage(images[plain], factors).clip(0, 1)
    rows = ink.max(2) > 0.5
    top, bottom = rows.argmax(1), 64 - rows[:, ::-1].argmax(1)
    np.testing.assert_allclose((bottom - top) / 64, factors["scale"], atol=0.12)
    assert correlation(bottom - top, factors["scale"]) > 0.9
    assert correlation((bottom + top) / 128 - 0.5, factors["y_offset"]) > 0.95

    zeros = factors["digit"] == 0  # they are symmetric, so their middle and their shear can be measured
    ink, factors = np.where(ink > 0.3, ink, 0)[zeros], {name: values[zeros] for name, values in factors.items()}
    points = (np.arange(64) + 0.5) / 64 - 0.5
    mass = ink.sum((1, 2))
    x, y = (ink * points).sum((1, 2)) / mass, (ink * points[:, None]).sum((1, 2)) / mass
    assert correlation(x, factors["x_offset"]) > 0.95
    across, up = points - x[:, None, None], y[:, None, None] - points[:, None]
    assert correlation((ink * across * up).sum((1, 2)) / (ink * up**2).sum((1, 2)), factors["slant"]) > 0.95


def test_neighbours_are_true(streets):
    images, factors = streets
    even = factors["light_strength"] < 0.15
    ink = coverage(images[even], {name: values[even] for name, values in factors.items()})
    for name, border in (("left_digit", ink[:, :, :4]), ("right_digit", ink[:, :, -4:])):
        shown = factors[name][even] >= 0
        amount = border.max((1, 2)) > 0.5
        assert amount[shown].mean() > 0.75
        assert amount[~shown].mean() < 0.25


def test_light_blur_and_noise_are_true(streets):
    images, factors = streets
    pixels = images / 255
    x, y = (factors["light_strength"] * turn(factors["light_angle"]) for turn in (np.cos, np.sin))
    brightness = pixels.mean(1) / pixels.mean((1, 2, 3))[:, None, None]
    assert correlation(brightness[:, :, -4:].mean((1, 2)) - brightness[:, :, :4].mean((1, 2)), x) > 0.5
    assert correlation(brightness[:, -3:].mean((1, 2)) - brightness[:, :3].mean((1, 2)), y) > 0.5

    # Neighbouring pixels of a bare wall, where it is neither too dark nor too bright to show it, differ by noise.
    background = colours(factors, "background")
    bare = (factors["left_digit"] < 0) & (background.min(1) > 0.15) & (background.max(1) < 0.7)
    steps = np.diff(pixels[bare][:, :, :, :3], axis=2).std((1, 2, 3)) / np.sqrt(2)
    assert correlation(steps, factors["noise"][bare]) > 0.95
    assert np.median(np.abs(steps - factors["noise"][bare])) < 0.005

    calm = factors["noise"] < 0.015
    ink = coverage(images[calm], {name: values[calm] for name, values in factors.items()})
    edges = np.abs(np.diff(ink, axis=1)).max((1, 2))
    assert correlation(edges, factors["blur"][calm]) < -0.5


def test_digits_can_be_read(streets):
    images, factors = streets
    pixels = coverage(images, factors)[:, ::2, 4:28:2].reshape(3000, -1)
    reader = RidgeClassifier(alpha=10).fit(pixels[:2400], factors["digit"][:2400])
    assert reader.score(pixels[2400:], factors["digit"][2400:]) > 0.7
    shuffled = np.random.default_rng(0).permutation(factors["digit"][:2400])
    assert RidgeClassifier(alpha=10).fit(pixels[:2400], shuffled).score(pixels[2400:], factors["digit"][2400:]) < 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num": 0}, "num is 0: ask for at least 1"),
        ({"num": 1, "seed": -1}, "seed is -1: choose 0 or more"),
        ({"num": 1, "size": 7}, "size is 7: choose 8 to 256"),
        ({"num": 1, "size": 257}, "size is 257: choose 8 to 256"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw(**arguments)
