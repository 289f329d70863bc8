"""Every kind of source is written here as its owners write it, small, and read back."""

import gzip
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from scipy.io import savemat

from vlae.data import DataError, load

REAL_MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"

pytestmark = pytest.mark.usefixtures("cache")


def save_picture(path, pixels, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels, np.uint8))
    (image.convert(mode) if mode else image).save(path, **options)


# Street numbers


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


# Arrays


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
        (np.full((9, 8, 8), 255.0), "floats from 255 to 255, expected 0 to 1; divide by 255"),
        (np.full((9, 8, 8), -1), "whole numbers from -1 to -1"),
        (np.full((9, 8, 8), 256), "256, expected 0 to 255"),
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


@pytest.mark.parametrize("shape", [(9, 8, 8), (9, 5)])
def test_values_that_are_not_finite_are_counted_and_found(shape):
    array = np.zeros(shape)
    array[2, 3], array[4, 0] = np.nan, -np.inf
    with pytest.raises(
        DataError, match=f"{array[0, 0].size + array[4, 0].size} values are NaN or infinite, the first at \\(2, 3"
    ):
        load(array)


def test_layout_that_does_not_fit():
    with pytest.raises(DataError, match="expected NHWC"):
        load(np.zeros((9, 8, 8)), layout="NHWC")
    with pytest.raises(DataError, match="8 channels"):
        load(np.zeros((9, 8, 8, 8)), layout="NHWC")


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


# IDX


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


@pytest.mark.skipif(not REAL_MNIST.is_dir(), reason="the real MNIST is not here")
def test_the_real_mnist():
    train, test = load(REAL_MNIST), load(REAL_MNIST, split="test")
    assert train.values.shape == (60_000, 1, 28, 28)
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert train.values.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert len(load(REAL_MNIST, split="all")) == 70_000


# SVHN


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


# Tables


def test_csv_with_labels_names_and_a_text_column(tmp_path):
    lines = ["id,height,width,Label,remark"] + [f"r{i},{i},{i / 2},{'cat' if i % 2 else 'dog'},nice" for i in range(30)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    (tmp_path / "a.tsv").write_text("\n".join(lines).replace(",", "\t"))
    for source in (tmp_path / "a.csv", tmp_path / "a.tsv"):
        rows = load(source, split="all")
        assert rows.is_vectors
        assert rows.values.dtype == np.float32
        assert rows.values[3].tolist() == [3, 1.5]
        assert rows.label_names == ("cat", "dog")
        assert rows.labels[:3].tolist() == [1, 0, 1]
        assert rows.names[:2] == ("r0", "r1")
        assert rows.skipped == (("column remark", "string, not numbers"),)


def test_csv_without_a_line_of_names(tmp_path):
    (tmp_path / "a.csv").write_text("\n".join(f"{i},1.5,-2e-3" for i in range(30)))
    assert load(tmp_path / "a.csv", split="all").values.shape == (30, 3)


@pytest.mark.parametrize("hole", ["", "nan", "inf"])
def test_missing_numbers_are_refused(tmp_path, hole):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n" + f"1,{hole}\n" + "3,4\n" * 9)
    with pytest.raises(DataError, match="column 'b': 1 of 11 values are"):
        load(tmp_path / "a.csv")


def test_parquet_of_numbers_of_lists_and_of_pictures(tmp_path, rng):
    table = pa.table({"a": np.arange(30), "b": rng.random(30), "y": np.arange(30) % 3})
    parquet.write_table(table, tmp_path / "a.parquet")
    rows = load(tmp_path / "a.parquet", split="all")
    assert rows.shape == (2,)
    assert rows.labels.tolist() == (np.arange(30) % 3).tolist()

    vectors = rng.random((30, 5)).astype(np.float32)
    parquet.write_table(pa.table({"v": list(vectors)}), tmp_path / "b.parquet")
    assert (load(tmp_path / "b.parquet", split="all").values == vectors).all()
    parquet.write_table(pa.table({"v": [[1.0], [1.0, 2.0]] * 9}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match="different lengths"):
        load(tmp_path / "c.parquet")

    save_picture(tmp_path / "p.png", np.full((16, 16, 3), 9))
    cell = {"bytes": (tmp_path / "p.png").read_bytes(), "path": None}
    parquet.write_table(pa.table({"image": [cell] * 20, "label": np.arange(20)}), tmp_path / "d.parquet")
    images = load(tmp_path / "d.parquet", split="all")
    assert (images.values == 9).all()
    assert images.shape == (3, 16, 16)
    assert images.labels.tolist() == list(range(20))


def test_tables_without_numbers_and_damaged_ones(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n" + "x,y\n" * 9)
    with pytest.raises(DataError, match="no numeric column"):
        load(tmp_path / "a.csv")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "b.parquet")


# Hugging Face


def test_saved_dataset_of_pictures(tmp_path, rng):
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
    from datasets import Image as ImageFeature

    features = Features({"img": ImageFeature(), "kind": ClassLabel(names=["cat", "dog"]), "age": Value("int64")})
    pixels = rng.integers(0, 256, (20, 16, 16, 3), np.uint8)
    pictures = [Image.fromarray(one) for one in pixels]
    whole = Dataset.from_dict({"img": pictures, "kind": [0, 1] * 10, "age": list(range(20))}, features=features)
    whole.save_to_disk(tmp_path / "one")
    DatasetDict({"train": whole.select(range(15)), "test": whole.select(range(15, 20))}).save_to_disk(tmp_path / "two")

    images = load(tmp_path / "one", split="all")
    assert (images.values == pixels.transpose(0, 3, 1, 2)).all()
    assert images.labels.tolist() == [0, 1] * 10
    assert images.label_names == ("cat", "dog")
    assert images.factors["age"].tolist() == list(range(20))
    assert (load(tmp_path / "two", split="test").values == pixels[15:].transpose(0, 3, 1, 2)).all()


def test_saved_dataset_of_numbers(tmp_path):
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"a": Value("float32"), "b": Value("int32"), "label": ClassLabel(names=["cat", "dog"])})
    Dataset.from_dict({"a": [0.5] * 20, "b": list(range(20)), "label": [0, 1] * 10}, features=features).save_to_disk(
        tmp_path
    )
    rows = load(tmp_path, split="all")
    assert rows.values[3].tolist() == [0.5, 3]
    assert rows.label_names == ("cat", "dog")


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch):
    import huggingface_hub

    def unreachable(*_, **__):
        raise ConnectionError("no network\nand more")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    for source in ("hf:ylecun/mnist", "ylecun/no-such-set", "photoz"):
        with pytest.raises(DataError, match=r"no such file or folder, and not to be had .*\(no network\)") as caught:
            load(source)
        assert "\n" not in str(caught.value)


def test_a_hub_data_set_is_read_and_kept(monkeypatch):
    import datasets
    import huggingface_hub

    rows = datasets.Dataset.from_dict({"a": [0.5] * 20, "b": list(range(20))})
    parts = datasets.DatasetDict(train=rows, test=rows.select(range(4)))
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: None)
    monkeypatch.setattr(datasets, "load_dataset", lambda name: parts)
    assert load("hf:me/mine").values.shape == (20, 2)
    monkeypatch.delattr(datasets, "load_dataset")
    assert load("hf:me/mine", split="test").values.shape == (4, 2)


# Folders


def test_parts_and_classes_by_folder(tmp_path):
    for part, num in (("Train", 3), ("val", 2), ("test", 4)):
        for animal in ("dog", "cat"):
            for i in range(num):
                save_picture(tmp_path / part / animal / f"{i}.png", np.zeros((16, 16)))
    train, test = load(tmp_path), load(tmp_path, split="test")
    assert len(train) == 6
    assert len(test) == 8
    assert len(load(tmp_path, split="all")) == 18
    assert train.label_names == ("cat", "dog")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert train.names[0] == "Train/cat/0.png"


def test_val_is_the_test_part_where_there_is_no_other(tmp_path):
    for part in ("train", "val"):
        save_picture(tmp_path / part / "0.png", np.zeros((16, 16)))
    assert load(tmp_path, split="test").names == ("val/0.png",)
    assert load(tmp_path).labels is None


def test_lsun_exported_is_a_deep_nest_of_webp(tmp_path):
    for i in range(4):
        save_picture(tmp_path / "a" / str(i) / "f" / "b" / f"{i}.webp", np.full((256, 300, 3), 60 * i), lossless=True)
    images = load(tmp_path, split="all")
    assert images.shape == (3, 64, 64)
    assert images.values[:, 0, 0, 0].tolist() == [0, 60, 120, 180]
    assert images.labels is None


def test_lmdb_is_refused_with_advice(tmp_path):
    (tmp_path / "church_train_lmdb").mkdir()
    (tmp_path / "church_train_lmdb" / "data.mdb").write_bytes(b"x")
    with pytest.raises(DataError, match="export its pictures"):
        load(tmp_path / "church_train_lmdb")


def test_folder_without_pictures(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.txt").write_text("x")
    (tmp_path / ".hidden.png").write_text("x")
    with pytest.raises(DataError, match=r"no picture among 2 files \(2 \.txt\); accepted are \.bmp \.gif .*") as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_links_are_followed_but_not_in_circles(tmp_path):
    for i in range(3):
        save_picture(tmp_path / "real" / f"{i}.png", np.zeros((16, 16)))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "back").symlink_to(tmp_path / "folder")
    assert len(load(tmp_path / "folder", split="all")) == 3


def test_files_of_unknown_kind_and_missing_ones(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="unknown kind; give a folder of pictures"):
        load(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError, match=r"nothing\.npy: no such file or folder"):
        load(tmp_path / "nothing.npy")
    with pytest.raises(FileNotFoundError):
        load("nothing.npy")
    (tmp_path / "a.zip").write_bytes(b"")
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"x")
    with pytest.raises(DataError, match="unpack it"):
        load(tmp_path / "a.zip")


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes among files there")
def test_a_pipe_called_like_a_picture_is_not_opened(tmp_path):
    for i in range(3):
        save_picture(tmp_path / f"{i}.png", np.zeros((16, 16)))
    os.mkfifo(tmp_path / "pipe.png")
    assert len(load(tmp_path, split="all")) == 3


# CelebA


def save_celeba(folder, num=6, where="img_align_celeba"):
    for i in range(num):
        pixels = np.zeros((218, 178, 3), np.uint8)
        pixels[55:163, 35:143] = 200  # exactly the 108 pixels of the crop
        pixels[55:109, 35:89] = 10 * i
        save_picture(folder / where / f"{i + 1:06}.png", pixels)


def test_celeba_crop_attributes_and_parts(tmp_path):
    save_celeba(tmp_path)
    names = [f"{i + 1:06}.png" for i in range(6)]
    attributes = ["6", "Male Smiling", *(f"{name} {'-1' if i % 2 else ' 1'} -1" for i, name in enumerate(names))]
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(attributes) + "\n")
    (tmp_path / "list_eval_partition.txt").write_text("\n".join(f"{name} {i // 2}" for i, name in enumerate(names)))
    for source in (tmp_path, tmp_path / "img_align_celeba"):
        images = load(source, split="all")
        assert images.shape == (3, 64, 64)
        assert images.values[:, 0, 10, 10].tolist() == [0, 10, 20, 30, 40, 50]
        assert (images.values[:, :, 40:, :] == 200).all()  # nothing of the black border, to the last row and column
        assert (images.values[:, :, :, 40:] == 200).all()
        assert images.factors["Male"].tolist() == [1, 0, 1, 0, 1, 0]
        assert images.factors["Smiling"].tolist() == [0] * 6
        assert images.labels is None
        assert len(load(source)) == 2
        assert [name.rpartition("/")[2] for name in load(source, split="test").names] == names[4:]


def test_celeba_from_kaggle(tmp_path):
    save_celeba(tmp_path, where="img_align_celeba/img_align_celeba")
    names = [f"{i + 1:06}.png" for i in range(6)]
    lines = ["image_id,Male,Smiling", *(f"{name},{(-1) ** i},-1" for i, name in enumerate(names))]
    (tmp_path / "list_attr_celeba.csv").write_text("\n".join(lines))
    assert load(tmp_path, split="all").factors["Male"].tolist() == [1, 0, 1, 0, 1, 0]


def test_celeba_list_of_other_pictures(tmp_path):
    save_celeba(tmp_path)
    (tmp_path / "list_eval_partition.txt").write_text("000001.png 0\n")
    with pytest.raises(DataError, match=r"says nothing of the picture 000002\.png"):
        load(tmp_path)


def test_a_folder_that_only_lies_beside_celeba(tmp_path):
    (tmp_path / "list_eval_partition.txt").write_text("000001.png 0\n")
    for i in range(3):
        save_picture(tmp_path / "mine" / f"{i}.png", np.zeros((16, 16)))
    assert load(tmp_path / "mine", split="all").shape == (1, 16, 16)
