"""The columns of a table → the dimensions of vectors: one-hot text, missing numbers, ids; those a run knows."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from vlae.data import DataError, load
from vlae.data.source import KnownColumns

pytestmark = pytest.mark.usefixtures("cache")
COLOURS = ["red", "blue", " red ", ""]
KNOWN = KnownColumns(names=("age", "colour=blue", "colour=red"), medians={"age": 30.0})


def csv(folder, header, rows):
    (folder / "t.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))
    return folder / "t.csv"


def table(folder, **columns):
    parquet.write_table(pa.table(columns), folder / "t.parquet")
    return load(folder / "t.parquet", split="all")


def fate(images, name):
    return images.fates[f"column {name}"]


def test_text_of_few_values_becomes_one_hot_in_sorted_order(tmp_path):
    rows = csv(tmp_path, "age,colour,size,label", [(20 + i, COLOURS[i % 4], i / 2, "ab"[i % 2]) for i in range(20)])
    images = load(rows, split="all")
    assert images.columns == ("age", "colour=blue", "colour=red", "size")
    assert images.values[:4].tolist() == [[20, 0, 1, 0], [21, 1, 0, 0.5], [22, 0, 1, 1], [23, 0, 0, 1.5]]
    assert fate(images, "colour") == "one-hot: 2 values; 5 missing, 0 in all of them"
    assert images.label_names == ("a", "b") and images.medians == {"age": 29.5, "size": 4.75}
    assert load(rows, split="all").medians == images.medians  # from the cache
    assert load(images, split="all").medians == images.medians


def test_which_text_is_one_hot(tmp_path):
    images = table(
        tmp_path, a=np.arange(40) / 2, flag=[True, False] * 20, kind=[f"k{i % 20}" for i in range(40)],
        many=[f"k{i % 21}" for i in range(40)], same=["x"] * 40, none=["none", "some"] * 20,
        few=pa.array(["u", "v"] * 20).dictionary_encode(), rare=["u"] + [None] * 39,
    )  # fmt: skip
    kinds = sorted(f"kind=k{i}" for i in range(20))
    assert images.columns == ("a", "flag", *kinds, "none=some", "few=u", "few=v")
    assert images.values[:2, 1].tolist() == [1, 0] and images.values[:2, -2:].tolist() == [[1, 0], [0, 1]]
    assert fate(images, "many") == (
        "ignored: text of 21 values, and at most 20 become one-hot; group them, or say --id many if they name the rows"
    )
    assert fate(images, "same") == "ignored: text, the same in every row"
    assert fate(images, "rare") == "ignored: 39 of 40 values are missing"


def test_text_of_which_more_than_half_differs_is_no_category(tmp_path):
    images = table(tmp_path, a=np.arange(10) / 2, b=[f"k{i % 6}" for i in range(10)], c=list("vwxyz") * 2)
    assert images.columns == ("a", "c=v", "c=w", "c=x", "c=y", "c=z")
    assert fate(images, "b") == (
        "ignored: text of 6 values, and at most 5 become one-hot; group them, or say --id b if they name the rows"
    )


def test_a_table_of_nothing_but_categories_is_read(tmp_path):
    images = load(csv(tmp_path, "a,b", [("xy"[i % 2], "uvw"[i % 3]) for i in range(12)]), split="all")
    assert images.columns == ("a=x", "a=y", "b=u", "b=v", "b=w") and (images.values.sum(1) == 2).all()


def test_classes_beside_the_label_are_categories_by_name():
    from datasets import ClassLabel, Dataset, Features, Value

    rows = {"a": np.arange(12) / 2, "label": [0, 1] * 6, "weather": [0, 2, -1] * 4}
    features = {"a": Value("float32"), "label": ClassLabel(names=["x", "y"])}
    features["weather"] = ClassLabel(names=["sun", "fog", "rain"])
    images = load(Dataset.from_dict(rows, features=Features(features)), split="all")
    assert images.columns == ("a", "weather=rain", "weather=sun") and images.label_names == ("x", "y")
    assert images.values[:3, 1:].tolist() == [[0, 1], [1, 0], [0, 0]]


@pytest.mark.parametrize("hole", ["", "NA", "nan", "null", "None", "?"])
def test_missing_numbers_become_the_median(tmp_path, hole):
    rows = [(hole if i % 5 == 0 else i, i / 2, hole if i < 11 else i, hole) for i in range(20)]
    images = load(csv(tmp_path, "age,b,c,d", rows), split="all")
    assert images.columns == ("age", "b") and images.medians == {"age": 10, "b": 4.75}
    assert images.values[:6, 0].tolist() == [10, 1, 2, 3, 4, 10]
    assert fate(images, "age") == "used; 4 missing values filled with the median 10"
    assert fate(images, "c") == "ignored: 11 of 20 values are missing"
    assert fate(images, "d") == "ignored: no values" and "c" not in images.factors


def test_missing_numbers_of_every_type(tmp_path):
    images = table(
        tmp_path, a=[1, None, 3, 8] * 3, b=[True, None, True, False] * 3, c=np.array([1, np.nan, 3, 9] * 3, np.float32)
    )
    assert images.values[1].tolist() == [3, 1, 3] and images.values.dtype == np.float32
    assert images.columns == ("a", "b", "c")


def test_columns_that_look_like_ids_are_named(tmp_path):
    big = [(7 * i) % 100 + 100 for i in range(20)]
    images = table(tmp_path, n=np.arange(20), order_no=big, people=big, x=np.arange(20) / 2)
    assert images.columns == ("n", "order_no", "people", "x")
    said = "used, though it is another in every row; if it names them, say --id {}"
    assert fate(images, "n") == said.format("n") and fate(images, "order_no") == said.format("order_no")
    assert fate(images, "people") == fate(images, "x") == "used"
    floats = table(tmp_path, n=np.arange(20.0), order_no=np.array(big, float), at=1.7e12 + np.arange(20) ** 2 * 1e9)
    assert [fate(floats, name) for name in floats.columns] == [said.format(name) for name in floats.columns]
    gaps = table(tmp_path, order_no=[None, *big[1:]], mass=np.linspace(1, 9, 20) * 1e20, cents=np.arange(20) * 2.0)
    filled = "; 1 missing value filled with the median "
    assert fate(gaps, "order_no").startswith(said.format("order_no") + filled)
    assert fate(gaps, "mass") == fate(gaps, "cents") == "used"


def known(folder, header, *rows):
    return load(csv(folder, header, rows), split="all", columns=KNOWN)


def test_the_columns_that_a_run_knows_are_made_of_any_number_of_rows(tmp_path):
    assert known(tmp_path, "colour,age", ("red", 41)).values.tolist() == [[41, 0, 1]]
    assert known(tmp_path, "colour,age", ("", 41)).values.tolist() == [[41, 0, 0]]
    images = known(tmp_path, "age,colour,price", ("", "violet", 1), ("", "red", 2), (7, "", 3), (8, "green", 4))
    assert images.columns == KNOWN.names and images.medians == KNOWN.medians
    assert images.values.tolist() == [[30, 0, 0], [30, 0, 1], [7, 0, 0], [8, 0, 0]]
    assert images.fates == {
        "column age": "used; 2 missing values filled with the run's median 30",
        "column colour": "one-hot: 2 values; 1 missing, 0 in all of them; 2 that the run does not know (green, violet),"
        " 0 in all of them",
        "column price": "ignored: the run was not trained on it",
    }
    images = known(tmp_path, "age,colour", ("", "red"))  # nothing but missing values
    assert images.values.tolist() == [[30, 0, 1]]


def test_categories_that_look_like_numbers_stay_as_they_are_written(tmp_path):
    columns = KnownColumns(names=("zip=01", "zip=7", "zip=A", "a=b"), medians={"a=b": 1.0})
    images = load(csv(tmp_path, "zip,a=b", [("01", 5), ("7", 6)]), split="all", columns=columns)
    assert images.values.tolist() == [[1, 0, 0, 5], [0, 1, 0, 6]]
    parquet.write_table(pa.table({"zip": [7, None], "a=b": [1.0, 2.0]}), tmp_path / "t.parquet")
    images = load(tmp_path / "t.parquet", split="all", columns=columns)
    assert images.values.tolist() == [[0, 1, 0, 1], [0, 0, 0, 2]]


@pytest.mark.parametrize("header", ["age,tint", "years,colour", "age,colour=red"])
def test_columns_that_are_not_there_are_left_to_the_run_to_refuse(tmp_path, header):
    images = known(tmp_path, header, *[(i / 2, "red") for i in range(4)], *[(i / 2, "blue") for i in range(4)])
    with pytest.raises(DataError, match="give the columns that the run was trained on"):
        images.in_columns(KNOWN.names)


@pytest.mark.parametrize("cell", ["?", "none", "<NA>", ""])
def test_a_known_number_that_is_missing_in_every_row_is_the_median(tmp_path, cell):
    trained = load(csv(tmp_path, "a,b", [(i, i / 2) for i in range(21)]), split="all")
    columns = KnownColumns(names=trained.columns, medians=trained.medians)
    one = csv(tmp_path, "a,b", [(cell, 3)])
    assert load(one, split="all", columns=columns).values.tolist() == [[10, 3]]
    frame = pa.table({"a": [cell], "b": [3]})
    assert load(frame, split="all", columns=columns).values.tolist() == [[10, 3]]
