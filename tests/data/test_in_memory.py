"""What is in memory: each kind of source gives the same images as the array it was made from."""

import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image

import vlae
from vlae.codes.encode import encode
from vlae.data import DataError, load

pytestmark = pytest.mark.usefixtures("cache")
ROWS = np.arange(24)
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 8, 9, 3), np.uint8)
PICTURES = [Image.fromarray(pixels) for pixels in PIXELS]
TENSOR = torch.tensor(PIXELS).permute(0, 3, 1, 2)


class Items(torch.utils.data.Dataset):
    """A map-style data set."""

    def __init__(self, item, **more):
        self.item, self.__dict__ = item, self.__dict__ | more | {"item": item}

    def __len__(self):
        return len(ROWS)

    def __getitem__(self, i):
        return self.item(i)


@pytest.mark.parametrize(
    "source",
    [
        PIXELS,
        TENSOR,
        TENSOR / 255,
        (TENSOR / 255).requires_grad_(),
        PICTURES,
        tuple(PICTURES),
        list(PIXELS),
        list(TENSOR),
        PIXELS.tolist(),
        Items(lambda i: TENSOR[i]),
        Items(lambda i: PICTURES[i]),
        Items(lambda i: PIXELS[i]),
        torch.utils.data.TensorDataset(TENSOR),
    ],
)
def test_pictures(source):
    assert (load(source, split="all").values == PIXELS.transpose(0, 3, 1, 2)).all()
    assert len(load(source)) == 18 and len(load(source, split="test")) == 6


@pytest.mark.parametrize(
    "source",
    [
        (PIXELS, ROWS % 3),
        (PIXELS, (ROWS % 3).tolist()),
        (PIXELS, pd.Series(ROWS % 3)),
        (PICTURES, (ROWS % 3).tolist()),
        [(picture, i % 3) for i, picture in enumerate(PICTURES)],
        [{"image": picture, "label": i % 3} for i, picture in enumerate(PICTURES)],
        (TENSOR, torch.tensor(ROWS % 3)),
        (PIXELS, np.eye(3)[ROWS % 3]),
        torch.utils.data.TensorDataset(TENSOR, torch.tensor(ROWS % 3)),
        Items(lambda i: (TENSOR[i], i % 3)),
        Items(lambda i: [PICTURES[i], torch.tensor(i % 3)]),
        Items(lambda i: (PICTURES[i], torch.eye(3)[i % 3])),
        Items(lambda i: {"label": np.int64(i % 3), "image": PICTURES[i]}),
    ],
)
def test_pictures_with_labels(source):
    images = load(source, split="all")
    assert (images.values == PIXELS.transpose(0, 3, 1, 2)).all()
    assert images.labels.tolist() == (ROWS % 3).tolist()
    assert images.fates["column label"] == "label"


def test_what_else_a_data_set_says():
    item = lambda i: (PICTURES[i], i % 2 if i else None, i / 2, f"p{i}", {"a": i})  # noqa: E731
    images = load(Items(item, classes=["cat", "dog"]), split="all")
    assert images.labels[:3].tolist() == [-1, 1, 0] and images.label_names == ("cat", "dog")
    assert images.factors["item 2"].tolist() == (ROWS / 2).tolist()
    assert images.fates["column item 3"] == "ignored: text" and images.fates["column item 4"].startswith("ignored")
    named = load(Items(lambda i: {"pic": PICTURES[i], "y": "ab"[i % 2], "name": f"p{i}"}), key="pic", split="all")
    assert named.label_names == ("a", "b") and named.names[3] == "p3"
    assert load(torch.utils.data.Subset(Items(lambda i: (TENSOR[i], i)), [5, 7]), split="all").labels.tolist() == [5, 7]


def frame(**more):
    return pd.DataFrame({"a": ROWS * 1.5, "b": ROWS, "label": ["x", "y"] * 12, "note": "z", **more})


@pytest.mark.parametrize(
    "table",
    [
        frame(),
        frame().convert_dtypes(),
        frame(label=pd.Categorical(["x", "y"] * 12)),
        pa.Table.from_pandas(frame()),
        frame().iloc[::-1].iloc[::-1].astype({"a": np.float32, "b": np.int8}),
    ],
)
def test_tables(table):
    rows = load(table, split="all")
    assert (rows.values == np.stack([ROWS * 1.5, ROWS], axis=1)).all()
    assert rows.label_names == ("x", "y") and rows.labels.tolist() == [0, 1] * 12
    assert rows.fates["column note"] == "ignored: text, the same in every row"
    assert rows.source == "a table"
    assert load(table, key="b", split="all").shape == (1,)


def test_a_table_without_names_and_one_whose_rows_have_names():
    numbers = np.random.default_rng(0).normal(size=(24, 3))
    assert (load(pd.DataFrame(numbers), split="all").values == numbers.astype(np.float32)).all()
    chosen = frame().iloc[[3, 5, 9, 20]]
    rows = load(chosen, split="all")
    assert rows.names == ("3", "5", "9", "20") and rows.shape == (2,)


class Frame:
    """A table of another library, as polars gives it to Arrow."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def test_tables_of_other_libraries():
    kinds = pa.DictionaryArray.from_arrays(pa.array(ROWS % 2, pa.uint32()), pa.array(["x", "y"], pa.string_view()))
    rows = load(Frame(pa.table({"a": ROWS * 1.5, "label": kinds})), split="all")
    assert rows.label_names == ("x", "y") and rows.labels.tolist() == [0, 1] * 12 and rows.shape == (1,)


def test_paths(tmp_path, save_picture):
    files = [tmp_path / f"{i}.png" for i in ROWS]
    for file, pixels in zip(files, PIXELS, strict=True):
        save_picture(file, pixels)
    for source in (files, list(map(str, files)), [Image.open(file) for file in files]):
        assert (load(source, split="all").values == PIXELS.transpose(0, 3, 1, 2)).all()
    assert load(files, split="all").names[2] == files[2].as_posix()
    files[5].write_bytes(b"\x89PNG\r\n")
    assert [name for name, _ in load(files).skipped] == [files[5].as_posix()]
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png: no such file; check the paths"):
        load([files[0], tmp_path / "nowhere.png"])


def test_data_sets_of_datasets():
    from datasets import Dataset, DatasetDict

    rows = Dataset.from_dict({"img": PICTURES, "label": (ROWS % 2).tolist()})
    assert load(rows, split="all").labels.tolist() == (ROWS % 2).tolist()
    parts = DatasetDict(train=rows.select(range(20)), test=rows.select(range(20, 24)))
    assert (load(parts, split="test").values == PIXELS[20:].transpose(0, 3, 1, 2)).all()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "the list is empty"),
        ([PIXELS[0], PIXELS[1][:7]], r"item 1 is of shape \(7, 9, 3\), item 0 of \(8, 9, 3\)"),
        ([PICTURES[0], "a.png"], "the list holds Image, str; give pictures, or paths, or arrays, of one kind"),
        ([[1, 2], [[3], 4]], "the list: .*inhomogeneous.*; give arrays, pictures or paths"),
        ((PIXELS, ROWS[:-1]), "the pair: 24 data, but 23 labels; give one label for each"),
        ((PICTURES, ["a"]), "the pair: 24 data, but 1 labels"),
        (np.ma.masked_less(PIXELS, 3), "values are NaN or infinite"),
        (
            pd.DataFrame({"a": [1, "x"] * 9}),
            "the table: .*'x'.*column a.*; give each column a name of its own and values of one type",
        ),
        (Items(lambda i: {"pic": TENSOR[i]}), "which of pic is the picture"),
    ],
)
def test_what_cannot_be_read_is_one_line(source, message):
    with pytest.raises(DataError, match=message) as caught:
        load(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", [7, None, [1, 2], {"a": 1}, iter([1]), torch.utils.data.DataLoader(Items(None))])
def test_other_types_are_refused(source):
    with pytest.raises(TypeError, match=f"{type(source).__name__} is no source of images"):
        load(source)


def test_wherever_a_source_goes(tmp_path):
    run = vlae.train(PICTURES, out=tmp_path / "run", size=8, steps=2, batch_size=8, progress=False, code_sizes=(2, 3))
    values = run.read(PICTURES).values
    assert values.shape == (24, 3, 8, 8)
    for source in (TENSOR, Items(lambda i: (PICTURES[i], i))):
        assert (run.read(source).values == run.read(PIXELS).values).all()
    for one in (PICTURES[:1], PICTURES[0], TENSOR[:1]):
        assert run.noise_of(values[:1])[0].shape == run.noise_of(run.read(one))[0].shape
    assert all(torch.equal(a, b) for a, b in zip(run.noise_of(PICTURES[0]), run.noise_of(values[:1]), strict=True))
    table = frame()[["a", "b", "label"]]
    rows = vlae.train(table, out=tmp_path / "rows", steps=2, batch_size=8, progress=False, code_sizes=(1, 1))
    assert rows.read(table).labels.tolist() == [0, 1] * 12
    encode(rows, table, tmp_path / "codes.parquet")


def test_labels_beside_a_table_and_labels_that_are_missing():
    table = pd.DataFrame({"a": ROWS * 0.5, "b": ROWS % 5})
    rows = load((table, pd.Series(["x", None, "y"] * 8)), split="all")
    assert rows.columns == ("a", "b") and rows.labels[:3].tolist() == [0, -1, 1] and rows.label_names == ("x", "y")


def test_sparse_and_matrix_are_arrays():
    from scipy.sparse import csr_array, csr_matrix

    values = np.eye(24, dtype=np.float32)
    for source in (csr_array(values), csr_matrix(values), torch.eye(24).to_sparse(), np.matrix(values)):
        assert (load(source, split="all").values == values).all()


def test_a_pair_whose_labels_are_one_hot(rng):
    images = load((rng.random((30, 9)), np.eye(9)[np.arange(30) % 9]), split="all")
    assert images.shape == (9,) and images.labels.tolist() == [i % 9 for i in range(30)]
    assert load([np.zeros((9, 9)), np.ones((9, 9))], split="all").shape == (1, 9, 9)  # a list is pictures


def test_names_that_are_not_utf8_can_be_written(tmp_path, save_picture):
    file = tmp_path / os.fsdecode(b"caf\xe9.png")
    save_picture(file, np.zeros((8, 8)))
    assert load([file], split="all").names[0].endswith(r"caf\xe9.png")


def test_two_grey_pictures_are_no_pair(rng):
    pictures = rng.integers(0, 256, (2, 28, 28), np.uint8)
    assert (load(tuple(pictures), split="all").values[:, 0] == pictures).all()
    assert load((pictures[0] / 255, np.zeros((28, 28))), split="all").shape == (1, 28, 28)
    images = load((rng.random((9, 9)), torch.eye(9)), split="all")
    assert images.shape == (9,) and images.labels.tolist() == list(range(9))
