"""IDX files, written small in every form that MNIST has, and read back."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from vlae.data import DataError, load
from vlae.memory import NotEnoughMemoryError

REAL_MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"

pytestmark = pytest.mark.usefixtures("cache")


def idx(array):
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def save_mnist(folder, pixels, labels, separator="-", ending="", pack=lambda content: content):
    for part, rows in (("train", slice(0, 20)), ("t10k", slice(20, None))):
        for kind, array in (("images-idx3", pixels[rows]), ("labels-idx1", labels[rows])):
            name = f"{part}-{kind.replace('-', separator)}-ubyte{ending}"
            (folder / name).write_bytes(pack(idx(array)))


@pytest.mark.parametrize(
    ("separator", "ending", "pack"), [("-", "", bytes), (".", "", bytes), ("-", ".gz", gzip.compress)]
)
def test_mnist_folder_and_file(tmp_path, rng, separator, ending, pack):
    pixels, labels = rng.integers(0, 256, (30, 28, 28), np.uint8), rng.integers(0, 10, 30, np.uint8)
    save_mnist(tmp_path, pixels, labels, separator, ending, pack)
    for source in (tmp_path, tmp_path / f"train-images{separator}idx3-ubyte{ending}"):
        train, test = load(source), load(source, split="test")
        assert (train.values[:, 0] == pixels[:20]).all()
        assert (train.labels == labels[:20]).all()
        assert (test.values[:, 0] == pixels[20:]).all()
        assert (test.labels == labels[20:]).all()


def test_labels_of_one_part_only_are_kept(tmp_path, rng):
    pixels, labels = rng.integers(0, 256, (30, 28, 28), np.uint8), rng.integers(0, 10, 30, np.uint8)
    save_mnist(tmp_path, pixels, labels)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert (load(tmp_path).labels == labels[:20]).all()
    assert load(tmp_path, split="test").labels.tolist() == [-1] * 10
    save_mnist(tmp_path, pixels, np.eye(10, dtype=np.uint8)[labels])
    assert (load(tmp_path).labels == labels[:20]).all()
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    assert load(tmp_path).fates["t10k-labels-idx1-ubyte"] == "ignored: no images of its part"


def test_an_idx_file_by_itself(tmp_path, rng):
    (tmp_path / "mine").write_bytes(idx(rng.integers(0, 256, (30, 10, 8), np.uint8)))
    assert load(tmp_path / "mine").shape == (1, 10, 8)


def test_damaged_idx(tmp_path, rng):
    content = idx(rng.integers(0, 256, (30, 28, 28), np.uint8))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"23519 bytes do not fill the shape \(30, 28, 28\)"):
        load(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").unlink()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content)[:-100])
    with pytest.raises(DataError, match="damaged"):
        load(tmp_path)


def test_no_more_is_unpacked_than_the_sizes_say_and_the_memory_holds(tmp_path, rng, monkeypatch):
    bomb = idx(rng.integers(0, 256, (30, 28, 28), np.uint8)) + bytes(10**7)
    (tmp_path / "a.gz").write_bytes(gzip.compress(bomb))
    with pytest.raises(DataError, match=r"a\.gz: more bytes do not fill the shape \(30, 28, 28\)"):
        load(tmp_path / "a.gz")
    (tmp_path / "b.gz").write_bytes(gzip.compress(struct.pack(">HBB3I", 0, 8, 3, 10**9, 10**4, 10**4)))
    with pytest.raises(NotEnoughMemoryError, match=r"b\.gz, unpacked, needs 100,000\.0 TB of memory"):
        load(tmp_path / "b.gz")


if REAL_MNIST.is_dir():  # too large to ship; the tests above, on files made here, are what is promised everywhere

    def test_the_real_mnist():
        train, test = load(REAL_MNIST), load(REAL_MNIST, split="test")
        assert train.values.shape == (60_000, 1, 28, 28)
        assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
        assert train.values.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
        assert len(load(REAL_MNIST, split="all")) == 70_000


def test_parts_of_other_sides_are_refused_by_name(tmp_path, rng):
    save_mnist(tmp_path, rng.integers(0, 256, (40, 9, 9), np.uint8), rng.integers(0, 10, 40).astype(np.uint8))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((40, 8, 8), np.uint8)))
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte .* and train-images-idx3-ubyte .* differ in shape"):
        load(tmp_path)


def test_labels_of_wider_numbers_are_said_to_be_left_out(tmp_path, rng):
    save_mnist(tmp_path, rng.integers(0, 256, (40, 9, 9), np.uint8), rng.integers(0, 10, 40).astype(np.uint8))
    (tmp_path / "qmnist-train-labels-idx2-int").write_bytes(b"")
    assert load(tmp_path).fates["qmnist-train-labels-idx2-int"].startswith("ignored: numbers wider than a byte")
