import numpy as np
import pytest

from vlae.evaluation.statistics import COLOURS, statistics


def blob(x, y, radius, *, side=32, ink=255, ground=0):
    """A grey disc whose middle is at (x, y), as shares of the side."""
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side
    inside = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return np.where(inside, ink, ground).astype(np.uint8)[None, None]


def test_a_flat_image_has_a_brightness_and_nothing_else():
    measured = {name: float(value[0]) for name, value in statistics(np.full((1, 1, 8, 8), 51, np.uint8)).items()}
    assert measured.pop("brightness") == pytest.approx(0.2)
    assert (measured.pop("x position"), measured.pop("y position")) == pytest.approx((0.5, 0.5))
    assert measured.pop("size") == pytest.approx(
        np.sqrt(2 * (1 - 1 / 64) / 12), rel=1e-3
    )  # all alike: the square itself
    assert measured == {"contrast": pytest.approx(0, abs=1e-6), "edges": pytest.approx(0, abs=1e-6)}


def test_by_hand():
    half = np.zeros((1, 1, 4, 4), np.uint8)
    half[..., 2:] = 255
    measured = statistics(half)
    assert measured["brightness"] == pytest.approx(0.5)
    assert measured["contrast"] == pytest.approx(0.5)
    assert measured["edges"] == pytest.approx(0.25)  # slopes 0, 1/2, 1/2, 0 along each row


@pytest.mark.parametrize("ground", [0, 90, 200])
def test_place_and_size_follow_what_stands_out(ground):
    places = [(0.3, 0.6, 0.1), (0.6, 0.3, 0.1), (0.5, 0.5, 0.2), (0.5, 0.5, 0.3)]
    measured = statistics(np.concatenate([blob(x, y, r, ink=140, ground=ground) for x, y, r in places]))
    assert measured["x position"] == pytest.approx([0.3, 0.6, 0.5, 0.5], abs=0.02)
    assert measured["y position"] == pytest.approx([0.6, 0.3, 0.5, 0.5], abs=0.02)
    assert measured["size"] == pytest.approx([r / np.sqrt(2) for _, _, r in places], abs=0.01)


def test_an_object_may_touch_the_border():
    image = blob(0.1, 0.5, 0.2)
    measured = statistics(image)
    x = ((np.arange(32) + 0.5) / 32)[image[0, 0].nonzero()[1]]
    assert measured["x position"] == pytest.approx(x.mean(), abs=1e-3) and x.mean() < 0.2


def test_channels(rng):
    colour = rng.integers(0, 256, (5, 3, 9, 7), dtype=np.uint8)
    measured = statistics(colour)
    for channel, name in enumerate(COLOURS):
        assert measured[f"mean {name}"] == pytest.approx(colour[:, channel].mean((1, 2)) / 255, rel=1e-5)
    assert measured["brightness"] == pytest.approx(
        0.299 * measured["mean red"] + 0.587 * measured["mean green"] + 0.114 * measured["mean blue"], rel=1e-5
    )
    with_alpha = np.concatenate([colour, rng.integers(0, 256, (5, 1, 9, 7), dtype=np.uint8)], axis=1)
    assert all((statistics(with_alpha)[name] == measured[name]).all() for name in measured)
    grey = statistics(colour[:, :1])
    assert set(measured) - set(grey) == {f"mean {name}" for name in COLOURS}
    assert all((statistics(colour[:, :2])[name] == grey[name]).all() for name in grey)


def test_images_are_looked_at_one_by_one(rng):
    images = rng.integers(0, 256, (1030, 1, 8, 8), dtype=np.uint8)  # more than a chunk
    measured = statistics(images)
    for name, values in measured.items():
        assert values.shape == (1030,) and values.dtype == np.float32
        assert values[1027] == statistics(images[1027:1028])[name][0]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_floats_have_the_statistics_of_their_bytes(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (9, channels, 8, 8), np.uint8)
    of_bytes, of_floats = statistics(pixels), statistics((pixels / 255).astype(np.float32))
    assert of_bytes.keys() == of_floats.keys()
    assert all(np.allclose(of_bytes[name], of_floats[name], atol=1e-5) for name in of_bytes)


def test_many_channels_are_no_colours():
    pixels = np.zeros((1, 5, 8, 8), np.uint8)
    pixels[:, 4] = 255
    measured = statistics(pixels)
    assert measured["mean channel 5"] == 1 and measured["mean channel 1"] == 0 and "mean red" not in measured
    assert np.isclose(measured["brightness"], 0.2)


@pytest.mark.parametrize("channels", [2, 4])
def test_the_last_of_two_or_four_channels_counts_unless_it_is_opacity(channels, rng):
    pixels = rng.integers(0, 256, (9, channels, 8, 8), np.uint8)
    pixels[:, :-1] = 100
    measured = statistics(pixels, opacity=False)
    assert {f"mean channel {i}" for i in range(1, channels + 1)} < set(measured) and "mean red" not in measured
    assert measured["brightness"] == pytest.approx(pixels.mean((1, 2, 3)) / 255, rel=1e-5)
    assert np.ptp(measured["edges"]) > 0 and np.ptp(statistics(pixels)["edges"]) == 0


@pytest.mark.parametrize("shape", [(1, 1, 16), (3, 16, 1), (2, 1, 1), (5, 1, 2)])
def test_a_side_may_be_one_pixel(shape, rng):
    pixels = rng.integers(0, 256, (9, *shape), np.uint8)
    measured = statistics(pixels)
    assert all(np.isfinite(value).all() for value in measured.values())
    if shape == (1, 1, 16):
        slopes = np.abs(np.gradient(pixels[:, 0, 0] / 255.0, axis=1)).mean(1)
        assert measured["edges"] == pytest.approx(slopes, rel=1e-4)
