"""How the reader of a source is found."""

import zipfile

import pytest

from vlae.data import DataError, load

pytestmark = pytest.mark.usefixtures("cache")


def test_streets_have_factors_labels_and_their_own_test_part():
    train, test = load("streets:60"), load("streets:60", split="test")
    assert train.values.shape == (60, 3, 32, 32)
    assert len(test) == 6
    assert (train.labels == train.factors["digit"]).all()
    assert train.label_names == tuple("0123456789")
    assert not (train.values[:6] == test.values).all()
    assert load("streets:20", size=16, channels=1).shape == (1, 16, 16)


def test_no_streets_is_an_error():
    with pytest.raises(DataError, match="at least 1"):
        load("streets:0")


def test_files_of_unknown_kind_and_missing_ones(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="unknown kind; give a folder of pictures"):
        load(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError, match=r"nothing\.npy: no such file or folder"):
        load(tmp_path / "nothing.npy")
    with pytest.raises(FileNotFoundError):
        load("nothing.npy")
    (tmp_path / "a.zip").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"x")
    with pytest.raises(DataError, match="unpack it"):
        load(tmp_path / "a.zip")
