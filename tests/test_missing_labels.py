"""Missing labels and factors are missing everywhere: in evaluation, codes, index, outliers, map, classes and card."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from pyarrow import parquet

import vlae
from vlae.codes import classify, outliers
from vlae.codes.encode import encode
from vlae.data import Images
from vlae.evaluation.text import as_text
from vlae.search.index import Index
from vlae.web.session import Session

NUM = 120
KINDS = np.arange(NUM) % 2
VALUES = (np.random.default_rng(0).normal(size=(NUM, 4)) + 3 * KINDS[:, None]).astype(np.float32)
MISSING = np.arange(NUM) % 3 == 0  # the first row, too


def data(labels, **known):
    return Images(values=VALUES, labels=labels, source="plants", split="test", **known)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("missing")
    np.save(folder / "plants.npy", VALUES)
    return vlae.train(folder / "plants.npy", out=folder / "run", code_sizes=(2, 2), steps=30, progress=False)


@pytest.fixture(params=["numbers", "names"])
def images(request):
    labels = np.where(MISSING, -1, KINDS)
    names = ("oak", "elm") if request.param == "names" else ()
    factors = {
        "height": np.where(MISSING, np.nan, VALUES[:, 0]),
        "soil": np.where(MISSING, None, "clay").astype(object),
    }
    return data(labels, label_names=names, factors=factors)


@pytest.fixture
def expected(images):
    names = images.label_names or (0, 1)
    return [None if missing else names[kind] for missing, kind in zip(MISSING, KINDS, strict=True)]


def test_the_label_of_each_row_is_its_name_or_number_or_none(images, expected):
    assert images.label_of_each() == expected
    assert data(None).label_of_each() is None


def test_probes_are_fitted_and_scored_on_the_rows_whose_label_is_known(run, images):
    evaluation = vlae.evaluate(run, images)
    known = ~MISSING
    alone = vlae.evaluate(run, images.take(np.flatnonzero(known)))
    assert evaluation["num_known"] == {"height": 80, "label": 80}
    assert 0 < evaluation["label_commonest"] == alone["label_commonest"] < 1
    assert evaluation["label_probe_accuracy"] == alone["label_probe_accuracy"] > 0.8
    assert evaluation["not_defined"]["soil"] == "it is the same in all the data"
    assert "the class is known of 80 of 120 data" in as_text(evaluation)


@pytest.mark.parametrize("num_known", [0, 1, 6])
def test_too_few_labels_are_not_defined_and_the_reason_is_said(run, num_known):
    evaluation = vlae.evaluate(run, data(np.where(np.arange(NUM) < num_known, KINDS, -1)))
    reason = {
        0: "it is not known of any of the data",
        1: "it is the same in all the data",
        6: "fewer than two of its 2 classes have 5 data each",
    }[num_known]
    assert evaluation["not_defined"]["label"] == reason
    assert reason in evaluation["not_defined"]["told"]
    assert "label_probe_accuracy" not in evaluation


def test_codes_have_an_empty_cell_for_a_missing_label(run, images, tmp_path):
    labels = [None if missing else int(kind) for missing, kind in zip(MISSING, KINDS, strict=True)]
    assert parquet.read_table(encode(run, images, tmp_path / "codes.parquet"))["label"].to_pylist() == labels
    with np.load(encode(run, images, tmp_path / "codes.npz")) as arrays:
        assert arrays["label"].dtype == np.int64 and np.array_equal(arrays["label"], images.labels)
    import datasets

    assert datasets.load_from_disk(str(encode(run, images, tmp_path / "codes")))["label"][:] == labels


def test_an_index_has_nulls_and_finds_neighbours(run, images, expected, tmp_path):
    index = Index.build(run, images, tmp_path / "index")
    rows = {row["name"]: row for row in index.table.search().limit(NUM).to_arrow().to_pylist()}
    assert [rows[f"test/{i}"]["label"] for i in range(NUM)] == expected
    assert [rows[f"test/{i}"]["soil"] for i in range(NUM)] == [None if missing else "clay" for missing in MISSING]
    assert rows["test/0"]["height"] is None
    found = index.similar("test/1", num=NUM).table
    assert set(found["label"].to_pylist()) == set(expected) and "-1" not in str(index.similar("test/1"))
    assert len(index.similar("test/1", where="label IS NULL", num=NUM, levels=1).table) == MISSING.sum()


def test_an_index_of_labels_that_are_all_missing_has_no_column_for_them(run, tmp_path):
    index = Index.build(run, data(np.full(NUM, -1)), tmp_path / "index")
    assert "label" not in index.columns and len(index.similar("test/0").table)


def test_outliers_have_an_empty_cell_for_a_missing_label(run, images, expected, tmp_path):
    rows = outliers.find_outliers(run, images).rows(NUM)
    assert all(row["label"] == expected[row["row"]] for row in rows)
    assert "None" not in outliers.as_text(rows) and "-1" not in outliers.as_text(rows)
    outliers.write_table(sorted(rows, key=lambda row: row["label"] is not None), tmp_path / "odd.csv")
    with (tmp_path / "odd.csv").open() as file:
        written = list(csv.DictReader(file))
    assert {row["label"] for row in written} == {"" if label is None else str(label) for label in expected}


def test_classes_are_compared_where_the_label_is_known(run, images, tmp_path):
    classified = classify.Classified(
        images=images,
        names=tuple(map(str, images.label_names or (0, 1))),
        values=(0, 1),
        probabilities=np.eye(2)[KINDS],
    )
    assert classified.error == 0 and classified.rows()[0]["label"] is None
    assert "wrong, of those with a label  0.00%" in classify.as_text(classified)


def test_the_map_says_unknown(run, images):
    session = Session(run)
    collection = session.collection
    rows = replace(collection._rows, images=images, order=np.arange(len(images)), hashes=np.arange(len(images)))
    collection.__dict__["_rows"] = rows
    names, classes = collection.labels
    assert set(names) == set(map(str, images.label_names or (0, 1)))
    assert np.array_equal(classes < 0, MISSING)


def test_a_shared_run_with_missing_labels_has_a_card(run, images, tmp_path):
    from vlae.workflows import keep_evaluation

    keep_evaluation(run, vlae.evaluate(run, images))
    card = (run.save_pretrained(tmp_path / "shared") / "README.md").read_text()
    assert "names the class of" in card and "-1" not in card and "nan " not in card
