import numpy as np
import pytest

from vlae.evaluation.statistics import COLOURS, statistics


def blob(x, y, radius, *, side=32, ink=255, ground=0):
    """A grey disc whose middle is at (x, y), as shares of the side."""
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side
    inside = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return np.where(inside, ink, ground).astype(np.uint8)[None, None]


def test_a_flat_image_has_a_brightness_and_nothing_else():
    found = {name: float(value[0]) for name, value in statistics(np.full((1, 1, 8, 8), 51, np.uint8)).items()}
    assert found.pop("brightness") == pytest.approx(0.2)
    assert (found.pop("x position"), found.pop("y position")) == pytest.approx((0.5, 0.5))
    assert found.pop("size") == pytest.approx(np.sqrt(2 * (1 - 1 / 64) / 12), rel=1e-3)  # all alike: the square itself
    assert found == {"contrast": pytest.approx(0, abs=1e-6), "edges": pytest.approx(0, abs=1e-6)}


def test_by_hand():
    half = np.zeros((1, 1, 4, 4), np.uint8)
    half[..., 2:] = 255
    found = statistics(half)
    assert found["brightness"] == pytest.approx(0.5)
    assert found["contrast"] == pytest.approx(0.5)
    assert found["edges"] == pytest.approx(0.25)  # slopes 0, 1/2, 1/2, 0 along each row


@pytest.mark.parametrize("ground", [0, 90, 200])
def test_place_and_size_follow_what_stands_out(ground):
    places = [(0.3, 0.6, 0.1), (0.6, 0.3, 0.1), (0.5, 0.5, 0.2), (0.5, 0.5, 0.3)]
    found = statistics(np.concatenate([blob(x, y, r, ink=140, ground=ground) for x, y, r in places]))
    assert found["x position"] == pytest.approx([0.3, 0.6, 0.5, 0.5], abs=0.02)
    assert found["y position"] == pytest.approx([0.6, 0.3, 0.5, 0.5], abs=0.02)
    assert found["size"] == pytest.approx([r / np.sqrt(2) for _, _, r in places], abs=0.01)


def test_channels(rng):
    colour = rng.integers(0, 256, (5, 3, 9, 7), dtype=np.uint8)
    found = statistics(colour)
    for channel, name in enumerate(COLOURS):
        assert found[f"mean {name}"] == pytest.approx(colour[:, channel].mean((1, 2)) / 255, rel=1e-5)
    assert found["brightness"] == pytest.approx(
        0.299 * found["mean red"] + 0.587 * found["mean green"] + 0.114 * found["mean blue"], rel=1e-5
    )
    with_alpha = np.concatenate([colour, rng.integers(0, 256, (5, 1, 9, 7), dtype=np.uint8)], axis=1)
    assert all((statistics(with_alpha)[name] == found[name]).all() for name in found)
    grey = statistics(colour[:, :1])
    assert set(found) - set(grey) == {f"mean {name}" for name in COLOURS}
    assert all((statistics(colour[:, :2])[name] == grey[name]).all() for name in grey)


def test_images_are_looked_at_one_by_one(rng):
    images = rng.integers(0, 256, (1030, 1, 8, 8), dtype=np.uint8)  # more than a chunk
    found = statistics(images)
    for name, values in found.items():
        assert values.shape == (1030,) and values.dtype == np.float32
        assert values[1027] == statistics(images[1027:1028])[name][0]
