"""numpy's files are opened without pickle, and what is unpacked is bounded by the memory."""

import io
import zipfile

import numpy as np
import pytest

from vlae import memory
from vlae.numpy_files import NumpyFileError, npz_shapes, open_npy, read_npz


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(shape, version=(1, 0)):
    stream = io.BytesIO()
    write = np.lib.format.write_array_header_1_0 if version == (1, 0) else np.lib.format.write_array_header_2_0
    write(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def test_arrays_are_read(tmp_path):
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.array(["x", "yz"]), "c": np.zeros((0, 3)), "d": np.array(1.5)}
    np.save(tmp_path / "a.npy", arrays["a"])
    assert (open_npy(tmp_path / "a.npy") == arrays["a"]).all()
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    read, unreadable = read_npz(tmp_path / "a.npz")
    assert not unreadable and read.keys() == arrays.keys()
    assert all(np.array_equal(read[name], array) and read[name].dtype == array.dtype for name, array in arrays.items())
    assert read_npz(tmp_path / "a.npz", ["b"])[0].keys() == {"b"}
    assert npz_shapes(tmp_path / "a.npz") == {name: array.shape for name, array in arrays.items()}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        header((10**12, 1000)),  # terabytes in a header
        header((10**12, 1000), (2, 0)),
        header((-1, 4)) + bytes(64),
        npy(np.zeros(9))[:-1],
        npy(np.zeros(9)).replace(b"'descr'", b"'descr("),  # tokenize.TokenError in numpy
        npy(np.zeros(9)).replace(b"<f8", b"\xff\xfe8"),
        npy(np.zeros(9)).replace(b"(9,)", b"(9.)"),
    ],
)
def test_a_damaged_array_is_named_in_one_line(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(NumpyFileError, match=r"^[^\n]*a\.npy: cannot be read \([^\n]*\); the file is damaged[^\n]*$"):
        open_npy(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("good.npy", npy(np.arange(3)))
        archive.writestr("bad.npy", content)
    arrays, unreadable = read_npz(tmp_path / "a.npz")
    assert arrays.keys() == {"good"} and unreadable.keys() == {"bad"}
    assert "\n" not in unreadable["bad"]
    with pytest.raises(NumpyFileError, match=r"^[^\n]*a\.npz: cannot be read"):
        npz_shapes(tmp_path / "a.npz")


def test_objects_are_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "a.npz", a=np.array([{}]))
    with pytest.raises(NumpyFileError, match="an array of Python objects; save it again as numbers"):
        open_npy(tmp_path / "a.npy")
    assert read_npz(tmp_path / "a.npz")[1] == {"a": "Python objects"}


def test_a_zip_that_fills_the_memory_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((1000, 1000)), y=np.zeros(3))
    assert (tmp_path / "bomb.npz").stat().st_size < 20_000
    monkeypatch.setattr(memory, "available", lambda: 10**6)
    with pytest.raises(memory.NotEnoughMemoryError, match=r"bomb\.npz, unpacked, needs 8\.0 MB of memory, and 1\.0 MB"):
        read_npz(tmp_path / "bomb.npz")
    assert read_npz(tmp_path / "bomb.npz", ["y"])[0].keys() == {"y"}  # takes 24 bytes


def test_the_free_memory_is_known():
    free = memory.available()
    assert free is not None and 2**20 < free < 2**50
