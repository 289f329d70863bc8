"""How the reader of a source is found."""

import os
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["a.npy", "a.csv", "a.parquet", "a.png", "a"])
def test_a_pipe_or_a_device_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}: no file and no folder, but a pipe or a device; write its content"):
        load(tmp_path / name)
    with pytest.raises(DataError, match="zero: no file and no folder"):
        load("/dev/zero")
