"""SVHN's MATLAB files, written small and read back."""

import numpy as np
import pytest
from scipy.io import savemat

from vlae.data import DataError, load

pytestmark = pytest.mark.usefixtures("cache")


def save_svhn(path, pixels, labels):
    savemat(path, {"X": pixels.transpose(2, 3, 1, 0), "y": labels[:, None]})  # N C H W to H W C N


def test_svhn(tmp_path, rng):
    pixels, labels = rng.integers(0, 256, (30, 3, 32, 32), np.uint8), 1 + np.arange(30, dtype=np.uint8) % 10
    save_svhn(tmp_path / "train_32x32.mat", pixels[:20], labels[:20])
    save_svhn(tmp_path / "extra_32x32.mat", pixels[:25], labels[:25])
    save_svhn(tmp_path / "test_32x32.mat", pixels[20:], labels[20:])
    for source, num in ((tmp_path, 20), (tmp_path / "train_32x32.mat", 20), (tmp_path / "extra_32x32.mat", 25)):
        train, test = load(source), load(source, split="test")
        assert (train.values == pixels[:num]).all()
        assert train.labels[:11].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
        assert (test.values == pixels[20:]).all()


@pytest.mark.parametrize("name", ["signs.mat", "train_32x32.mat"])
def test_labels_of_other_files_stay_as_they_are(tmp_path, rng, name):
    pixels, labels = rng.integers(0, 256, (86, 3, 32, 32), np.uint8), 1 + np.arange(86, dtype=np.uint8) % 43
    save_svhn(tmp_path / name, pixels, labels)
    images = load(tmp_path / name, split="all")
    assert images.labels.tolist() == labels.tolist() and images.label_names == ()
    save_svhn(tmp_path / "ten.mat", pixels, labels % 10 + 1)
    assert load(tmp_path / "ten.mat", split="all").labels.tolist() == (labels % 10 + 1).tolist()


def test_other_variables_are_factors_names_or_said(tmp_path, rng):
    pixels = rng.integers(0, 256, (30, 8, 9), np.uint8)
    kinds, names = np.empty((30, 1), object), np.array([f"p{i:02}" for i in range(30)])
    kinds[:, 0] = ["cat", "dog"] * 15
    beside = {"label": kinds, "age": np.arange(30)[None], "box": rng.random((30, 4)), "name": names}
    savemat(tmp_path / "a.mat", {"X": pixels.transpose(1, 2, 0), "info": {"by": 1}, "odd": np.ones((3, 4)), **beside})
    images = load(tmp_path / "a.mat", split="all")
    assert (images.values[:, 0] == pixels).all()
    assert images.label_names == ("cat", "dog") and images.labels[:3].tolist() == [0, 1, 0]
    assert images.factors["age"].tolist() == list(range(30)) and "box_3" in images.factors
    assert images.names[7] == "p07"
    assert images.fates["array info"].startswith("ignored") and images.fates["array odd"].startswith(
        "ignored: of shape"
    )


def test_matlab_files_that_are_not_svhn(tmp_path):
    savemat(tmp_path / "a.mat", {"ff": np.zeros((3, 4))})
    with pytest.raises(DataError, match=r"found ff; save other arrays as \.npz"):
        load(tmp_path / "a.mat")
    (tmp_path / "train_32x32.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DataError, match="-v7"):
        load(tmp_path)
    (tmp_path / "train_32x32.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(600, b"\x01"))
    with pytest.raises(DataError, match="damaged"):
        load(tmp_path)


def test_both_parts_are_scaled_alike(tmp_path, rng):
    pixels, labels = rng.random((30, 3, 32, 32)), 1 + np.arange(30) % 10
    save_svhn(tmp_path / "train_32x32.mat", 200 * pixels[:20], labels[:20])
    save_svhn(tmp_path / "test_32x32.mat", pixels[20:], labels[20:])
    whole = load(tmp_path, split="all")
    own = whole.values * (whole.value_range[0][1] - whole.value_range[0][0]) + whole.value_range[0][0]
    assert np.allclose(own[20:, 0], pixels[20:, 0], atol=1e-4)  # the darker part is dark
    save_svhn(tmp_path / "test_32x32.mat", (255 * pixels[20:]).astype(np.uint8), labels[20:])
    with pytest.raises(DataError, match=r"train_32x32\.mat \(20, .* and test_32x32\.mat .* differ in shape or type"):
        load(tmp_path)


def test_the_memory_of_floats_is_counted_in_bytes(tmp_path, rng, monkeypatch):
    savemat(tmp_path / "a.mat", {"X": rng.random((8, 8, 30)), "y": np.ones(30, np.uint8)})
    needed = []
    monkeypatch.setattr("vlae.memory.require", lambda num, *more: needed.append(num))
    load(tmp_path / "a.mat")
    assert needed[0] == 8 * 8 * 30 * 8 + 30
