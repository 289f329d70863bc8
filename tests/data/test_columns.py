"""Columns beside the values: labels, factors, names, and what became of each, the same from every kind of source."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from vlae.data import DataError, load
from vlae.data.labels import known_labels

pytestmark = pytest.mark.usefixtures("cache")
ROWS = np.arange(24)
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 8, 8), np.uint8)


def npz(folder, **arrays):
    np.savez(folder / "a.npz", **arrays)
    return load(folder / "a.npz", split="all")


def table(folder, **columns):
    parquet.write_table(pa.table(columns), folder / "a.parquet")
    return load(folder / "a.parquet", split="all")


def cells(path=lambda i: None):
    def cell(i):
        file = io.BytesIO()
        Image.fromarray(PIXELS[i]).save(file, "PNG")
        return {"bytes": file.getvalue(), "path": path(i)}

    return [cell(i) for i in ROWS]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, bool])
def test_one_hot_labels_are_the_number_of_their_column(tmp_path, dtype):
    hot = np.eye(10, dtype=dtype)[ROWS % 10]
    assert npz(tmp_path, images=PIXELS, labels=hot).labels.tolist() == (ROWS % 10).tolist()
    hot[5] = 0
    assert npz(tmp_path, images=PIXELS, y=hot).labels[4:7].tolist() == [4, -1, 6]
    images = table(tmp_path, v=list(np.ones((24, 3))), label=list(np.eye(10)[ROWS % 10]))
    assert images.labels.tolist() == (ROWS % 10).tolist() and images.shape == (3,)


def test_one_hot_labels_of_keras(tmp_path):
    hot = np.eye(10)[ROWS % 10]
    np.savez(tmp_path / "a.npz", x_train=PIXELS, y_train=hot, x_test=PIXELS[:8], y_test=hot[:8], x_val=PIXELS)
    assert load(tmp_path / "a.npz").labels.tolist() == (ROWS % 10).tolist()
    test = load(tmp_path / "a.npz", split="test")
    assert test.labels.tolist() == list(range(8)) and test.fates["array x_val"].startswith("ignored: not of both parts")


def test_a_column_of_labels_is_labels(tmp_path):
    for labels in (ROWS[:, None] % 3, ROWS % 3 * 1.0, (ROWS % 3)[None].astype(np.uint8)):
        assert npz(tmp_path, images=PIXELS, y=labels).labels.tolist() == (ROWS % 3).tolist()
    for labels in (np.array(["a", "b", "c"]), np.array([b"a", b"b", b"c"])):
        images = npz(tmp_path, images=PIXELS, y=labels[ROWS % 3])
        assert images.labels.tolist() == (ROWS % 3).tolist() and images.label_names == ("a", "b", "c")
    images = npz(tmp_path, images=PIXELS, y=ROWS * 1.5)
    assert images.labels is None and images.factors["y"].tolist() == (ROWS * 1.5).tolist()


@pytest.mark.parametrize("one_hot_like", [True, False])
def test_lists_of_labels_are_a_factor_for_each_label(tmp_path, one_hot_like):
    """Lists of different lengths; and 0 and 1 for each label in rows of one length."""
    if one_hot_like:
        several = np.stack([ROWS % 2, ROWS % 3 == 0, ROWS > 3], axis=1)
        for images in (npz(tmp_path, images=PIXELS, labels=several), table(tmp_path, v=ROWS, labels=list(several))):
            assert images.labels is None and list(images.factors) == ["labels_0", "labels_1", "labels_2"]
            assert (np.stack(list(images.factors.values()), axis=1) == several).all()
        return
    lists = [["dog"], ["cat", "dog"], [], None] * 6
    for images in (table(tmp_path, v=ROWS, labels=lists), table(tmp_path, image=cells(), labels=lists)):
        assert images.labels is None and len(images) == 24
        assert images.factors["labels_cat"][:4] == pytest.approx([0, 1, 0, np.nan], nan_ok=True)
        assert images.factors["labels_dog"][:4] == pytest.approx([1, 1, 0, np.nan], nan_ok=True)
        assert images.fates["column labels"] == "factor: 2 of them, 1 where the label is in the list"
    images = table(tmp_path, image=cells(), labels=[[3, 70], [3]] * 12)
    assert {name: factor[:2].tolist() for name, factor in images.factors.items()} == {
        "labels_3": [1, 1],
        "labels_70": [1, 0],
    }


def test_lists_that_are_too_many_factors_or_none_are_said(tmp_path):
    images = table(tmp_path, image=cells(), labels=[[*range(i, i * 5 + 1)] for i in range(24)])
    assert images.factors == {} and images.labels is None
    assert images.fates["column labels"] == "ignored: lists of 116 different labels, more than 100 factors"
    images = table(tmp_path, image=cells(), boxes=[[0.5], [0.5, 1.0]] * 12, big=list(np.ones((24, 101))))
    assert images.factors == {}
    assert images.fates["column boxes"] == "ignored: lists of different lengths"
    assert images.fates["column big"] == "ignored: 101 numbers a row, more than 100 factors"


def test_factors_and_names_of_arrays(tmp_path):
    places = np.random.default_rng(0).normal(size=(24, 3))
    images = npz(
        tmp_path, images=PIXELS, place=places, filenames=np.array([f"p{i}" for i in ROWS]), note=np.array(["x"] * 24),
        odd=np.arange(3), emb=np.ones((24, 300)), meta=np.array([{}] * 24),
    )  # fmt: skip
    assert images.factors["place_2"].tolist() == places[:, 2].tolist() and list(images.factors)[-1] == "place_2"
    assert images.names == tuple(f"p{i}" for i in ROWS)
    assert images.fates == {
        "array images": "used",
        "array place": "factor: 3 of them",
        "array filenames": "id",
        "array note": "ignored: text",
        "array odd": "ignored: of shape (3,), not one for each of 24 rows",
        "array emb": "ignored: 300 numbers a row, more than 100 factors",
        "array meta": "ignored: Python objects; save it as numbers",
    }


def test_what_is_beside_pictures_of_a_table(tmp_path):
    images = table(
        tmp_path, image=cells(), label=["b", None, "a", ""] * 6, age=ROWS * 1.5, size=[1, None] * 12, flag=[True] * 24,
        file_name=[f"x{i}" for i in ROWS], caption=["x"] * 24, other=cells(), made=[{"by": 1}] * 24, none=[None] * 24,
    )  # fmt: skip
    assert (images.values[:, 0] == PIXELS).all()
    assert images.labels[:4].tolist() == [1, -1, 0, -1] and images.label_names == ("a", "b")
    assert images.names[:2] == ("x0", "x1")
    assert images.factors["age"].tolist() == (ROWS * 1.5).tolist() and images.factors["flag"].tolist() == [1] * 24
    assert images.factors["size"][:2] == pytest.approx([1, np.nan], nan_ok=True)
    assert {name.removeprefix("column "): fate for name, fate in images.fates.items()} == {
        "image": "used",
        "label": "label",
        "age": "factor",
        "size": "factor",
        "flag": "factor",
        "file_name": "id",
        "caption": "ignored: text",
        "made": "ignored: struct<by: int64>, not numbers",
        "none": "ignored: no values",
        "other": "ignored: pictures, too; key chooses others",
    }
    assert load(tmp_path / "a.parquet", split="all").fates == images.fates  # from the cache


def test_pictures_are_named_by_their_paths_unless_a_column_names_them(tmp_path):
    assert table(tmp_path, image=cells(lambda i: f"p{i}.png"), label=ROWS).names[:2] == ("p0.png", "p1.png")
    assert table(tmp_path, image=cells(lambda i: "same.png")).names is None
    assert table(tmp_path, image=cells(lambda i: f"p{i}.png"), id=ROWS).names[:2] == ("0", "1")


@pytest.mark.parametrize("labels", [[0, None, 2], [0.0, np.nan, 2.0], [0, -1, 2], [0.0, None, 2.0]])
@pytest.mark.parametrize("pictures", [True, False])
def test_missing_labels_are_minus_one(tmp_path, labels, pictures):
    images = table(tmp_path, **({"image": cells()} if pictures else {"a": ROWS}), label=labels * 8)
    assert images.labels.tolist() == [0, -1, 2] * 8
    assert images.describe()["labels"] == {"unknown": 8, "0": 8, "2": 8}


def test_missing_classes_of_a_data_set(tmp_path):
    from datasets import ClassLabel, Dataset, Features, List, Value
    from datasets import Image as ImageFeature

    features = {"image": ImageFeature(), "kind": ClassLabel(names=["cat", "dog"]), "age": Value("float32")}
    features |= {"weather": ClassLabel(names=["sun", "rain"]), "tags": List(ClassLabel(names=["u", "v"]))}
    rows = {"kind": [0, None, 1, -1] * 6, "age": [1.5] * 24, "tags": [[0, 1], [1], [], [0]] * 6}
    rows |= {"image": [Image.fromarray(pixels) for pixels in PIXELS], "weather": [0, 1, None, -1] * 6}
    Dataset.from_dict(rows, features=Features(features)).save_to_disk(tmp_path / "d")
    images = load(tmp_path / "d", split="all")
    assert images.labels[:4].tolist() == [0, -1, 1, -1] and images.label_names == ("cat", "dog")
    assert images.factors["weather"][:4] == pytest.approx([0, 1, np.nan, np.nan], nan_ok=True)
    assert images.factors["tags_u"][:4].tolist() == [1, 0, 0, 1] and images.factors["tags_v"][:4].tolist() == [
        1,
        1,
        0,
        0,
    ]
    assert images.factors["age"].tolist() == [1.5] * 24


def test_numbers_beside_a_column_of_vectors_are_factors(tmp_path):
    rows = table(tmp_path, v=list(np.ones((24, 4))), age=ROWS, tags=[[1], [1, 2]] * 12)
    assert rows.shape == (4,) and rows.factors["age"].tolist() == ROWS.tolist()
    assert rows.factors["tags_2"][:2].tolist() == [0, 1]
    parquet.write_table(pa.table({"a": ROWS, "b": ROWS * 2}), tmp_path / "b.parquet")
    rows = load(tmp_path / "b.parquet", key="b", split="all")
    assert rows.values[3].tolist() == [6] and rows.factors["a"].tolist() == ROWS.tolist()


def test_nested_lists_are_images(tmp_path):
    assert (table(tmp_path, a=[pixels.tolist() for pixels in PIXELS], label=ROWS).values[:, 0] == PIXELS).all()


def test_the_index_of_pandas_is_no_feature(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"a": ROWS * 1.0, "b": ROWS * 2.0, "label": pd.Categorical(["x", "y"] * 12)}).iloc[
        [0, 2, 4, 8, 20]
    ]
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv")
    pd.read_csv(tmp_path / "a.csv").to_csv(tmp_path / "b.csv")
    frame.rename_axis("number").to_parquet(tmp_path / "c.parquet")
    columns = {"a.parquet": "__index_level_0__", "a.csv": "", "b.csv": "", "c.parquet": "number"}
    for file, index in columns.items():
        rows = load(tmp_path / file, split="all")
        assert rows.values[1].tolist() == [2, 4] and rows.label_names == ("x",), file
        assert rows.names[1] == ("1" if file == "b.csv" else "2")
        assert rows.fates[f"column {index}"] == "id"
    assert rows.shape == (2,) and load(tmp_path / "b.csv").fates["column Unnamed: 0"].startswith("ignored: the index")


def test_two_columns_of_one_name_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,a\n" + "1,2\n" * 9)
    with pytest.raises(ValueError, match=r"a\.csv: 2 columns are called 'a'; give each a name of its own"):
        load(tmp_path / "a.csv")
    both = pa.Table.from_arrays([pa.array(ROWS), pa.array(ROWS)], names=["a", "a"])
    parquet.write_table(both, tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="2 columns are called 'a'"):
        load(tmp_path / "a.parquet")


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 255), (0, 0.5)])
def test_one_hot_of_other_numbers(tmp_path, low, high):
    hot = np.where(np.eye(10)[ROWS % 10] > 0, high, low).astype(np.float32)
    hot[3] = np.nan
    expected = (ROWS % 10).tolist()
    expected[3] = -1
    assert npz(tmp_path, images=PIXELS, labels=hot).labels.tolist() == expected


def test_two_labels_a_row_are_a_set(tmp_path):
    rows = table(tmp_path, f=ROWS * 0.5, labels=[[i % 3, 7] for i in ROWS])
    assert rows.columns == ("f",) and rows.labels is None
    assert sorted(rows.factors) == ["labels_0", "labels_1", "labels_2", "labels_7"]
    assert rows.factors["labels_1"].tolist() == (ROWS % 3 == 1).astype(int).tolist()


def test_labels_beyond_what_numbers_hold_are_not_negative(tmp_path):
    rows = npz(tmp_path, images=PIXELS, y=np.full(24, 2**63 + 5, np.uint64))
    assert rows.labels is None and (rows.factors["y"] == 2.0**63).all()


@pytest.mark.parametrize("first", [0, 2**60])
def test_ids_with_gaps_are_no_feature(tmp_path, first):
    rows = table(tmp_path, f=ROWS * 0.5, id=[None, *(first + ROWS[1:]).tolist()])
    assert rows.columns == ("f",) and rows.names[:3] == ("", str(first + 1), str(first + 2))


def test_bytes_of_pictures_are_pictures(tmp_path):
    rows = table(tmp_path, image=[cell["bytes"] for cell in cells()], label=(ROWS % 2).tolist(), f=ROWS * 0.5)
    assert (rows.values[:, 0] == PIXELS).all() and rows.labels.tolist() == (ROWS % 2).tolist()
    assert sorted(rows.factors) == ["f"]


def test_other_bytes_are_not(tmp_path):
    rows = table(tmp_path, blob=[b"x"] * 24, f=ROWS * 0.5)
    assert rows.columns == ("f",) and rows.fates["column blob"] == "ignored: binary, not numbers"


@pytest.mark.parametrize("kind", ["table", "floats", "pair", "list", "npz", "items"])
def test_minus_one_among_two_classes_is_said_to_count_as_unknown(tmp_path, kind):
    values, labels = np.random.default_rng(0).normal(size=(30, 3)), np.where(np.arange(30) % 2, 1, -1)

    def source(labels):
        if kind in ("table", "floats"):
            written = [f"{label:+}" if kind == "floats" else str(label) for label in labels.tolist()]
            rows = [",".join([*map(str, row), label]) for row, label in zip(values.tolist(), written, strict=True)]
            (tmp_path / "a.csv").write_text("\n".join(["a,b,c,label", *rows]))
            return tmp_path / "a.csv"
        if kind == "npz":
            np.savez(tmp_path / "a.npz", x=values, y=labels)
            return tmp_path / "a.npz"
        if kind == "items":
            return list(zip(values.astype(np.float32), labels.tolist(), strict=True))
        return values, labels if kind == "pair" else labels.tolist()

    read = load(source(labels), split="all")
    said = "-1 counts as unknown; if it is a class, write the classes as 0 and 1, or as names"
    assert f"label; {said}" in read.fates.values()
    with pytest.raises(DataError, match=f"all labels are of one class, 1 \\({said}\\); give labels"):
        known_labels(read, "all")
    assert "label" in load(source(np.where(labels < 0, -2, 1)), split="all").fates.values()
    assert "label" in load(source(np.abs(labels)), split="all").fates.values()
