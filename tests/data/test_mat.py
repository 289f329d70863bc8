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
