"""Features of full-size pictures: each beside its own picture, computed once."""

import numpy as np
import pyarrow
import pytest
import torch
from imagecodecs import png_encode
from networks import SIDE, Detail, Maps, Scaled, save
from pyarrow import parquet

from vlae.data import DataError, load, originals
from vlae.nn.network_formats import Opened
from vlae.nn.pretrained import FeatureNetwork, open_network

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return open_network(save(Detail(), tmp_path_factory.mktemp("networks") / "net.pt2"), side=SIDE)


@pytest.fixture
def calls(network, monkeypatch):
    """How many pictures go through a network."""
    seen = []
    true = FeatureNetwork.__call__
    monkeypatch.setattr(FeatureNetwork, "__call__", lambda self, x: seen.append(len(x)) or true(self, x))
    return seen


@pytest.fixture
def folder(tmp_path, save_picture, rng):
    """Pictures of 32 pixels of random noise, and one file that cannot be read."""
    for i in range(40):
        save_picture(tmp_path / "photos" / f"{i:02d}.png", rng.integers(0, 256, (SIDE, SIDE, 3)))
    (tmp_path / "photos" / "05-broken.png").write_bytes(b"no picture")
    return tmp_path / "photos"


def expected(pictures):
    """What the network says of uint8 pictures at its own side."""
    return Detail()(torch.from_numpy(np.ascontiguousarray(pictures)).float() / 255).numpy()


@pytest.mark.parametrize(
    "part", [{"split": "train"}, {"split": "test"}, {"split": "all"}, {"split": "train", "limit": 7, "seed": 3}]
)
def test_each_picture_has_its_own_features_in_every_part(folder, network, part):
    small = load(folder, size=8, features=network, **part)
    full = load(folder, size=SIDE, **part)
    assert small.names == full.names and small.features.dtype == np.float16
    assert small.features == pytest.approx(expected(full.values), abs=2e-3)
    assert small.take([3, 1]).features == pytest.approx(small.features[[3, 1]])
    assert len(small.skipped) == 1 and small.features_from == network.sha256


def test_rows_of_one_name_have_their_own_features(tmp_path, network, rng):
    pictures = rng.integers(0, 256, (20, SIDE, SIDE, 3), np.uint8)
    encoded = [png_encode(pixels) for pixels in pictures]
    encoded[3] = b"no picture"
    table = pyarrow.table({"image": encoded, "id": ["a", "b"] * 10})
    parquet.write_table(table, tmp_path / "a.parquet")
    for _ in range(2):  # the second is from the cache
        images = load(tmp_path / "a.parquet", size=8, split="all", features=network)
        assert images.left_out == (3,)
        good = np.delete(pictures, 3, axis=0).transpose(0, 3, 1, 2)
        assert images.features == pytest.approx(expected(good), abs=2e-3)


def test_pictures_of_sixteen_bits_have_the_features_of_their_range(tmp_path, network, rng):
    pixels = rng.integers(0, 256, (20, SIDE, SIDE, 3), np.uint16)
    pixels[0, 0, :2] = [[0], [255]]
    for i, numbers in enumerate(pixels):
        (tmp_path / f"{i:02}.png").write_bytes(png_encode(16 * numbers + 100))
    array = 16 * pixels.astype(np.int16) + 100
    for source in (tmp_path, array, load(array, split="all")):
        images = load(source, size=SIDE, split="all", features=network)
        assert images.features == pytest.approx(expected(pixels.transpose(0, 3, 1, 2)), abs=2e-3)


def test_features_are_computed_once_for_images_of_any_size(folder, network, calls):
    for settings in ({"size": 8}, {"size": 8, "split": "test"}, {"size": 16}, {"channels": 1}):
        load(folder, features=network, **settings)
    assert sum(calls) == 40
    gone = FeatureNetwork(network.name, sha256=network.sha256, side=SIDE, find=lambda: pytest.fail("it is opened"))
    assert load(folder, features=gone, split="all").features.shape == (40, 15)
    load(folder, features=FeatureNetwork("other", sha256="0" * 64, side=SIDE, find=network.open))
    load(folder, crop=16, features=network)
    assert sum(calls) == 120  # another network and another crop say other things


def test_features_of_changed_or_damaged_files_are_computed_again(folder, network, calls, save_picture, cache):
    load(folder, features=network)
    save_picture(folder / "00.png", np.zeros((SIDE, SIDE, 3)))
    assert load(folder, split="all", features=network).features[0] == pytest.approx(0)
    (kept,) = (file for file in (cache / "features").iterdir() if np.load(file)[0].max() == 0)
    kept.write_bytes(b"damaged")
    assert load(folder, split="all", features=network).features.shape == (40, 15)
    assert sum(calls) == 120


def test_detail_that_only_the_full_size_shows_is_seen(tmp_path, save_picture, network):
    grey = np.full((SIDE, SIDE, 3), 128)
    fine = np.indices((SIDE, SIDE)).sum(0)[:, :, None].repeat(3, 2) % 2 * 255
    save_picture(tmp_path / "photos" / "fine.png", fine)
    save_picture(tmp_path / "photos" / "flat.png", grey)
    images = load(tmp_path / "photos", split="all", size=8, features=network)
    assert np.abs(images.values[0].astype(int) - images.values[1]).max() < 10  # the small copies look alike
    assert images.features[0, 12:].min() > 0.9 and images.features[1, 12:].max() < 0.01


def test_the_pictures_of_an_array_are_its_full_size(network, rng):
    pictures = rng.integers(0, 256, (50, SIDE, SIDE, 3), dtype=np.uint8)
    images = load(pictures, size=8, split="test", features=network)
    again = load(load(pictures, split="test"), split="all", features=network)
    assert images.values.shape[2:] == (8, 8) and again.values.shape[2:] == (SIDE, SIDE)
    assert images.features == pytest.approx(expected(again.values), abs=2e-3)
    assert again.features == pytest.approx(images.features, abs=2e-3)
    smaller = load(images, split="all", size=16, features=network)
    assert np.array_equal(smaller.features, images.features)  # those of the full-size pictures stay
    grey = load(pictures[..., 0], split="all", features=network)
    assert grey.features == pytest.approx(expected(grey.values.repeat(3, 1)), abs=2e-3)


def test_networks_that_do_not_fit_are_refused(folder, network, tmp_path):
    def refused(module, side=SIDE):
        return open_network(save(module, tmp_path / "other.pt2"), side=side)

    with pytest.raises(DataError, match="one vector of each"):
        load(folder, features=refused(Maps()))
    with pytest.raises(DataError, match="a row of finite numbers"):
        load(folder, features=refused(Scaled(float("nan"))))
    with pytest.raises(DataError, match="kept in 16 bits"):
        load(folder, features=refused(Scaled(1e6)))
    with pytest.raises(DataError, match=r"does not take pictures \(32, 3, 20, 20\).*give the side it needs"):
        load(folder, features=refused(Detail(), side=20))
    with pytest.raises(DataError, match="these are vectors"):
        load(np.zeros((20, 4)), features=network)
    assert load(folder, split="all").features is None


def test_a_picture_that_is_gone_between_two_reads_is_named(folder, network, monkeypatch):
    load(folder)
    true = originals.identify

    def identify(source, settings):
        fingerprint, read = true(source, settings)

        def read_fewer():
            (folder / "07.png").unlink(missing_ok=True)
            return read()

        return fingerprint, read_fewer

    monkeypatch.setattr(originals, "identify", identify)
    with pytest.raises(DataError, match=r"07\.png: cannot be read again|changed while it was being read"):
        load(folder, features=network)


def test_features_too_small_for_sixteen_bits_are_refused(folder, tmp_path):
    tiny = open_network(save(Scaled(1e-6), tmp_path / "tiny.pt2"), side=SIDE)
    with pytest.raises(DataError, match=r"tiny.pt2 gives numbers up to .*e-07; .*let the network multiply them"):
        load(folder, size=8, features=tiny)
    dark = np.zeros((20, SIDE, SIDE, 3), np.uint8)
    assert not load(dark, features=tiny).features.any()  # nothing is lost of what is 0


@pytest.mark.parametrize("channels", [2, 4])
def test_floats_with_opacity_have_the_features_of_their_colours_on_white(network, rng, channels):
    pictures = rng.random((20, channels, SIDE, SIDE)).astype(np.float32)
    images = load(pictures, layout="NCHW", split="all", features=network)
    colours = np.repeat(pictures[:, :1], 3, axis=1) if channels == 2 else pictures[:, :3]
    colours = colours * pictures[:, -1:] + 1 - pictures[:, -1:]
    assert images.features == pytest.approx(Detail()(torch.from_numpy(colours)).numpy(), abs=2e-3)


def test_pictures_of_more_channels_than_a_network_takes_are_refused(tmp_path, rng):
    colour = open_network(save(Detail(), tmp_path / "net.pt2"), side=SIDE)
    given = FeatureNetwork("net", sha256=colour.sha256, side=SIDE, find=lambda: colour.open()._replace(channels=3))
    many = rng.integers(0, 256, (20, 5, SIDE, SIDE), np.uint8)
    with pytest.raises(DataError, match=r"takes pictures of 3 channels, and these have 5"):
        load(many, features=given)


@pytest.mark.parametrize("fit", ["crop", "pad", "squash", None])
def test_pictures_that_are_not_square_show_the_network_what_the_images_show(tmp_path, save_picture, network, fit):
    for i, size in enumerate([(64, 128), (64, 128), (128, 128)][: 3 if fit else 2]):
        pixels = np.full((*size, 3), 100)
        pixels[:, :30] = 255 * (i % 2)  # which the middle square does not show
        save_picture(tmp_path / "photos" / f"{i}.png", pixels)
    images = load(tmp_path / "photos", split="all", size="32x64", fit=fit, features=network)
    own = network(torch.from_numpy(np.ascontiguousarray(images.values)).float() / 255).numpy()
    assert images.features[:, :12] == pytest.approx(own[:, :12], abs=0.02)
    square = load(tmp_path / "photos", split="all", size=32, fit=fit, features=network)  # not those of the cache
    own = network(torch.from_numpy(np.ascontiguousarray(square.values)).float() / 255).numpy()
    assert square.features[:, :12] == pytest.approx(own[:, :12], abs=0.02)
    again = load(images, split="all", size=32, fit=fit, features=network)  # of what the images show
    own = network(torch.from_numpy(np.ascontiguousarray(again.values)).float() / 255).numpy()
    assert again.features[:, :12] == pytest.approx(own[:, :12], abs=0.02)


def test_features_of_another_side_are_computed_anew(network, rng):
    pictures = rng.integers(0, 256, (20, SIDE, SIDE, 3), dtype=np.uint8)
    free = FeatureNetwork("net", sha256=network.sha256, side=None, find=lambda: Opened(detail, None, None, "0" * 64))
    small = FeatureNetwork("net", sha256=network.sha256, side=8, find=free.open)
    first = load(pictures, split="all", features=small)
    assert first.features_side == 8
    again = load(first, split="all", features=network)
    assert again.features == pytest.approx(expected(again.values), abs=2e-3) and again.features_side == SIDE


def detail(x):
    return Detail()(x).numpy()


def test_floats_of_other_channels_have_their_own_features(tmp_path, network, rng):
    pictures = rng.random((20, SIDE, SIDE, 3), np.float32)
    np.save(tmp_path / "a.npy", pictures)
    for channels in (1, 3):
        images = load(tmp_path / "a.npy", split="all", channels=channels, features=network)
        seen = torch.from_numpy(np.ascontiguousarray(images.values)).expand(-1, 3, -1, -1)
        assert images.features == pytest.approx(Detail()(seen).numpy(), abs=2e-3)
