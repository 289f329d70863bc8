"""Arrays, and numpy's files, written small and read back."""

import numpy as np
import pytest

from vlae.data import DataError, load

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((20, 10, 12), None, (1, 10, 12)),
        ((20, 10, 12, 3), None, (3, 10, 12)),
        ((20, 3, 10, 12), None, (3, 10, 12)),
        ((20, 3, 10, 4), "NCHW", None),
        ((20, 4, 12, 4), "NHWC", None),
        ((20, 7), None, (7,)),
    ],
)
def test_layout_is_inferred_or_said(rng, shape, layout, expected):
    array = rng.random(shape)
    if expected is None:  # sides under 8 pixels: the layout was understood, the size is refused
        with pytest.raises(DataError, match="sides must be 8 to 256"):
            load(array, layout=layout)
    else:
        assert load(array, layout=layout).shape == expected


def test_channels_go_where_they_belong(rng):
    array = rng.integers(0, 256, (5, 8, 9, 3), np.uint8)
    assert (load(array, split="all").values == array.transpose(0, 3, 1, 2)).all()
    assert (load(array.transpose(0, 3, 1, 2), split="all").values == array.transpose(0, 3, 1, 2)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_byte_survives_as_a_float(dtype):
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert (load((pixels / 255).astype(dtype), split="all").values[:, 0] == pixels).all()


def test_whole_numbers_and_booleans_are_pixels():
    pixels = np.arange(256).reshape(1, 16, 16)
    assert (load(pixels, split="all").values[:, 0] == pixels).all()
    for binary in (pixels > 9, (pixels > 9).astype(np.uint8), (pixels > 9).astype(np.int64)):
        assert (load(binary, split="all").values[:, 0] == 255 * (pixels > 9)).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((9, 3, 8, 3)), "say layout='NHWC' or 'NCHW'"),
        (np.zeros((9, 8, 8, 8)), "say layout='NHWC' or 'NCHW'"),
        (np.zeros(9), "does not fit"),
        (np.zeros((9, 1, 1, 8, 8)), "does not fit"),
        (np.zeros((0, 8, 8)), "empty"),
        (np.zeros((9, 16, 32, 16)), "say layout='NHWC' or 'NCHW'"),
        (np.zeros((9, 8, 8), complex), "complex128"),
        (np.array([None] * 9), "object"),
        (np.zeros((9, 7, 9)), "sides must be 8 to 256"),
        (np.zeros((9, 257, 9)), "sides must be 8 to 256"),
    ],
)
def test_arrays_that_are_no_images(array, message):
    with pytest.raises(DataError, match=message) as caught:
        load(array)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "where"), [((9, 8, 8), r"16 .*, the first at \(2, 3"), ((9, 5), "2 .*, the first in row 2, column 3, c")]
)
def test_values_that_are_not_finite_are_counted_and_found(shape, where):
    array = np.zeros(shape)
    array[2, 3], array[4, 0] = np.nan, -np.inf
    with pytest.raises(DataError, match=where.replace(" .*", " values are NaN or infinite")):
        load(array)


def test_layout_that_does_not_fit():
    with pytest.raises(DataError, match="expected NHWC"):
        load(np.zeros((9, 8, 8)), layout="NHWC")
    with pytest.raises(DataError, match="17 channels"):
        load(np.zeros((9, 8, 8, 17)), layout="NHWC")


def test_npy_and_npz_files(tmp_path, rng):
    pixels = rng.integers(0, 256, (30, 10, 8), np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    assert (load(tmp_path / "a.npy", split="all").values[:, 0] == pixels).all()
    np.savez_compressed(
        tmp_path / "b.npz", faces=pixels, y=np.arange(30) % 3, drawer=np.arange(30), names=np.array(["a", "b"])
    )
    images = load(tmp_path / "b.npz", split="all")
    assert (images.values[:, 0] == pixels).all()
    assert (images.labels == np.arange(30) % 3).all()
    assert list(images.factors) == ["drawer"]


def test_npz_with_several_arrays(tmp_path, rng):
    one, two = rng.random((30, 8, 8)), rng.random((30, 9, 9))
    np.savez(tmp_path / "a.npz", one=one, two=two)
    with pytest.raises(DataError, match=r"one \(30, 8, 8\), two \(30, 9, 9\); say key=NAME"):
        load(tmp_path / "a.npz")
    assert load(tmp_path / "a.npz", key="two").shape == (1, 9, 9)
    with pytest.raises(DataError, match="no array 'three'"):
        load(tmp_path / "a.npz", key="three")
    np.savez(tmp_path / "b.npz", one=one, images=two)
    assert load(tmp_path / "b.npz").shape == (1, 9, 9)


def test_images_go_before_vectors_of_a_usual_name(tmp_path, rng):
    vectors, images = rng.random((20, 2)), rng.integers(0, 256, (20, 16, 16), np.uint8)
    np.savez(tmp_path / "a.npz", x=vectors, frames=images)
    assert np.array_equal(load(tmp_path / "a.npz", split="all").values[:, 0], images)
    np.savez(tmp_path / "a.npz", imgs=images, x=vectors, frames=images[:, ::-1])
    assert np.array_equal(load(tmp_path / "a.npz", split="all").values[:, 0], images)
    for others in (
        {"points": rng.random((20, 68, 2))},
        {"turns": rng.random((20, 3, 3))},
        {"kernels": rng.random((5, 9, 9))},
        {"one": images, "two": images},
    ):
        np.savez(tmp_path / "a.npz", x=vectors, **others)
        assert load(tmp_path / "a.npz", split="all").shape == (2,)


def test_keras_npz_has_its_own_parts(tmp_path, rng):
    pixels = rng.integers(0, 256, (30, 8, 8), np.uint8)
    np.savez(
        tmp_path / "mnist.npz", x_train=pixels[:20], y_train=np.arange(20), x_test=pixels[20:], y_test=np.arange(10)
    )
    train, test = load(tmp_path / "mnist.npz"), load(tmp_path / "mnist.npz", split="test")
    assert (train.values[:, 0] == pixels[:20]).all()
    assert (test.values[:, 0] == pixels[20:]).all()
    assert test.labels.tolist() == list(range(10))


def test_dsprites_npz(tmp_path):
    latents = np.stack([np.arange(30) % 3, np.arange(30)], axis=1)
    metadata = np.array({"author": "x"}, dtype=object)
    np.savez(tmp_path / "d.npz", imgs=np.ones((30, 64, 64), np.uint8), latents_classes=latents, metadata=metadata)
    images = load(tmp_path / "d.npz", split="all")
    assert images.values.max() == 255
    assert images.factors["latents_classes_1"].tolist() == list(range(30))


def test_pickled_and_damaged_files_are_refused(tmp_path, rng):
    np.save(tmp_path / "a.npy", np.array([{}] * 9), allow_pickle=True)
    with pytest.raises(DataError, match="Python objects"):
        load(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", rng.random((30, 8, 8)))
    content = (tmp_path / "b.npy").read_bytes()
    (tmp_path / "b.npy").write_bytes(content[:5000])
    with pytest.raises(DataError, match="damaged"):
        load(tmp_path / "b.npy")
    np.savez(tmp_path / "c.npz", images=np.array([{}] * 9))
    with pytest.raises(DataError, match="object"):
        load(tmp_path / "c.npz")


def test_factors_of_an_npz_file_are_kept_as_they_are(tmp_path, rng):
    """Real numbers, with gaps, one or a few a row; dSprites states its factors twice, and the classes are taken."""
    heights = rng.normal(size=30).astype(np.float64)
    heights[3] = np.nan
    places = rng.normal(size=(30, 2)).astype(np.float32)
    np.savez(tmp_path / "f.npz", images=np.ones((30, 8, 8), np.uint8), height=heights, place=places, kind=np.arange(30))
    images = load(tmp_path / "f.npz", split="all")
    assert list(images.factors) == ["height", "place_0", "place_1", "kind"]
    assert images.factors["height"] == pytest.approx(heights, nan_ok=True)
    assert images.factors["place_1"] == pytest.approx(places[:, 1]) and images.factors["kind"].dtype == np.int64
    assert images.describe()["factors"]["height"]["range"] == pytest.approx([np.nanmin(heights), np.nanmax(heights)])
    twice = {"latents_classes": rng.integers(0, 3, (30, 2)), "latents_values": places}
    np.savez(tmp_path / "d.npz", imgs=np.ones((30, 8, 8), np.uint8), **twice)
    assert list(load(tmp_path / "d.npz").factors) == ["latents_classes_0", "latents_classes_1"]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (("x_train", "y_train"), ("x_test", "y_test")),
        (("X_train", "y_train"), ("X_val", "y_val")),
        (("train_images", "train_labels"), ("test_images", "test_labels")),
        (("train_x", "train_y"), ("test_x", "test_y")),
    ],
)
def test_parts_of_an_npz_file(tmp_path, train, test):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 8, 8), np.uint8)
    labels = np.arange(24)[:, None] % 3
    arrays = {train[0]: pixels[:18], train[1]: labels[:18], test[0]: pixels[18:], test[1]: labels[18:]}
    np.savez(tmp_path / "a.npz", **arrays, val_images=pixels[:2])
    part = load(tmp_path / "a.npz", split="test")
    assert (part.values[:, 0] == pixels[18:]).all() and part.labels.tolist() == labels[18:, 0].tolist()
    assert part.fates["array val_images"] == "ignored: not of both parts, train and test"
