"""Tables, written small and read back."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from shard_files import picture, png

from vlae.data import DataError, load

pytestmark = pytest.mark.usefixtures("cache")


def test_a_column_that_is_the_same_in_every_row_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join(f"{i / 2},7" for i in range(20)))
    fates = load(tmp_path / "t.csv", split="all").fates
    assert fates == {"column a": "used", "column b": "used, though it is the same in every row"}


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
        assert rows.fates["column remark"] == "ignored: text, the same in every row"


def test_csv_without_a_line_of_names(tmp_path):
    (tmp_path / "a.csv").write_text("\n".join(f"{i},1.5,-2e-3" for i in range(30)))
    assert load(tmp_path / "a.csv", split="all").values.shape == (30, 3)


def test_infinite_numbers_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n1,inf\n" + "3,4\n" * 9)
    with pytest.raises(DataError, match="column 'b': 1 of 11 values are"):
        load(tmp_path / "a.csv")


def test_parquet_of_numbers_of_lists_and_of_pictures(tmp_path, rng, save_picture):
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


@pytest.mark.parametrize("named", ["{}.png", "./{}.png"])
def test_pictures_that_a_table_names_are_decoded_again_when_they_change(tmp_path, save_picture, named, monkeypatch):
    monkeypatch.setenv("VLAE_CACHE", str(tmp_path / "cache"))
    cells = [{"bytes": None, "path": named.format(i)} for i in range(4)]
    cells[3] = {"bytes": None, "path": "no\0file" + "x" * 300}
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    parquet.write_table(pa.table({"image": pa.array(cells, kind)}), tmp_path / "t.parquet")
    for level in (10, 100):
        for i in range(3):
            save_picture(tmp_path / f"{i}.png", np.full((16, 16), level + i))
        assert load(tmp_path / "t.parquet", split="all").values[:, 0, 0, 0].tolist() == [level, level + 1, level + 2]
    (tmp_path / "0.png").unlink()
    assert len(load(tmp_path / "t.parquet", split="all")) == 2


@pytest.mark.parametrize("num_broken", [1, 4])
def test_broken_pictures_at_the_beginning_do_not_hide_the_others(tmp_path, rng, num_broken):
    cells = [b"broken"] * num_broken + [png(rng.integers(0, 256, (16, 16, 3), np.uint8)) for _ in range(6)]
    sizes = {"width": [16.5, *range(len(cells) - 1)], "height": range(len(cells))}
    parquet.write_table(pa.table({"image": cells, **sizes}), tmp_path / "a.parquet")
    images = load(tmp_path / "a.parquet", split="all")
    assert images.shape == (3, 16, 16) and len(images) == 6 and len(images.skipped) == num_broken


def test_bytes_that_are_mostly_no_pictures_do_not_hide_the_numbers(tmp_path, rng):
    cells = [b"other", png(rng.integers(0, 256, (16, 16, 3), np.uint8)), *[b"other"] * 8]
    parquet.write_table(pa.table({"attached": cells, "a": rng.random(10)}), tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet", split="all").columns == ("a",)


def test_tables_without_numbers_and_damaged_ones(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n" + "x,y\n" * 9)
    with pytest.raises(DataError, match="no numeric column"):
        load(tmp_path / "a.csv")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "b.parquet")


def test_a_column_that_is_asked_for_names_the_rows(tmp_path):
    """Text stays as it is written, even digits; a column called id is then no name, and no feature either."""
    rows = [f"{i},{i / 2},00{i},{100 + i},2026-01-{i + 1:02}" for i in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,order,id,day", *rows]))
    images = load(tmp_path / "t.csv", split="all", id="order")
    assert images.names[:3] == ("000", "001", "002") and images.columns == ("a", "b")
    assert images.fates["column order"] == "id" and images.fates["column id"] == "factor"
    assert load(tmp_path / "t.csv", split="all", id="day").names[:2] == ("2026-01-01", "2026-01-02")
    assert load(tmp_path / "t.csv", split="all", id="b").names[:3] == ("0.0", "0.5", "1.0")
    assert load(tmp_path / "t.csv", split="all", id="b").columns == ("a", "order")
    assert load(tmp_path / "t.csv", split="all").names[:2] == ("100", "101")


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("name", ["id", "File", "", "Unnamed: 0"])
def test_a_column_that_is_found_to_name_the_rows_keeps_them_as_they_are_written(tmp_path, name, separator):
    """Zeros before a number, numbers that no float holds, and dates; plain numbers are as ever."""

    def names(cells):
        rows = [f"{cell},{i / 2}".replace(",", separator) for i, cell in enumerate(cells)]
        (tmp_path / "t.csv").write_text("\n".join([f"{name}{separator}a", *rows]))
        images = load(tmp_path / "t.csv", split="all")
        assert images.columns == ("a",) and images.fates[f"column {name}"] == "id"
        return list(images.names)

    padded = [f"{i:05}" for i in range(12)]
    assert names(padded) == padded
    assert names([*padded[:11], ""]) == [*padded[:11], ""]
    assert names([f" {cell}" for cell in padded]) == padded
    large = [str(10**20 + i) for i in range(12)]
    assert names(large) == large
    dates = [f"2026-01-{i + 1:02}" for i in range(12)]
    assert names(dates) == dates
    assert names(range(12)) == [*map(str, range(12))]
    assert names([*range(11), ""]) == [*map(str, range(11)), ""]


def test_the_names_of_rows_from_other_sources(tmp_path):
    big = 2**60 + np.arange(20)
    parquet.write_table(pa.table({"a": np.arange(20), "key": big, "v": [[1, 2]] * 20}), tmp_path / "t.parquet")
    assert load(tmp_path / "t.parquet", split="all", id="key").names[1] == str(2**60 + 1)
    with pytest.raises(DataError, match=r"t\.parquet: the column 'v' cannot name the rows \(.*\); choose another id"):
        load(tmp_path / "t.parquet", id="v", key="a")
    np.savez(tmp_path / "a.npz", images=np.zeros((20, 8, 8), np.uint8), code=np.arange(20), place=np.arange(20) / 4)
    assert load(tmp_path / "a.npz", split="all", id="code").names[:2] == ("0", "1")
    images = load(tmp_path / "a.npz", split="all", id="place")
    assert images.names[:2] == ("0", "0.25") and list(images.factors) == ["code"]


def test_a_column_of_names_that_is_not_there_is_refused(tmp_path, save_picture):
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n2,3\n" * 9)
    with pytest.raises(DataError, match=r"t\.csv: no column 'order' to name the rows; it has a, b$"):
        load(tmp_path / "t.csv", id="order")
    save_picture(tmp_path / "photos" / "p.png", np.full((16, 16, 3), 9))
    with pytest.raises(DataError, match="only tables and archives of arrays have columns"):
        load(tmp_path / "photos", split="all", id="order")


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_pictures_in_every_kind_of_bytes(rng, kind):
    cells = [png(picture(i)) for i in range(20)]
    table = pa.table({"image": pa.array(cells).cast(kind), "price": rng.random(20)})
    assert load(table, split="all").shape == (3, 8, 8)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32(), 4),
        pa.list_(pa.int64(), 4),
        pa.list_(pa.float32()),
        pa.list_(pa.list_(pa.uint8())),
    ],
)
def test_a_missing_vector_is_refused_and_not_the_whole_column_left_out(kind):
    cell = [[1, 2], [3, 4]] if hasattr(kind.value_type, "value_type") else [1, 2, 3, 4]
    cells = pa.array([None if i == 3 else cell for i in range(20)], kind)
    with pytest.raises(DataError, match="column 'v': no list in row 3, counted from 0; drop the rows that have none"):
        load(pa.table({"v": cells, "price": np.arange(20) + 0.5}))


def test_lists_that_are_no_vectors_are_no_text():
    tags = pa.array([[1], [1, 2]] * 10)
    images = load(pa.table({"tags": tags, "price": np.arange(20) + 0.5}), split="all")
    assert images.fates["column tags"] == "ignored: lists of several lengths"


@pytest.mark.parametrize(
    "cells",
    [
        [[[1, 2, 3, 4]], [[1, 2, 3, 4], [5, 6, 7, 8]]],
        [[[0.5, 1.0]], [[0.5, 1.0], [1.0, 2.0]]],
        [[[0.5], [0.5, 1.0]], [[0.5, 1.0], [2.0]]],
        [[[1, 2]], None, [], [[1, 2], [3, 4]]],
        pa.array([[[1, 2]], [[1, 2], [3, 4]]], pa.list_(pa.list_(pa.int64(), 2))),
        pa.array([None, None], pa.list_(pa.float32())),
        pa.array([[], []], pa.list_(pa.list_(pa.int64()))),
    ],
    ids=["boxes", "outlines", "ragged in a cell", "some missing", "pairs", "all missing", "empty"],
)
@pytest.mark.parametrize("beside", ["a vector", "numbers"])
def test_boxes_and_outlines_are_no_vectors(cells, beside):
    boxes = pa.chunked_array([pa.array(cells)] * (24 // len(cells)))
    values = np.arange(24) + 0.5
    column = pa.array([[v, 1.0] for v in values]) if beside == "a vector" else values
    images = load(pa.table({"boxes": boxes, "v": column}), split="all")
    assert images.values[:, 0].tolist() == values.tolist()
    assert images.fates["column boxes"].startswith("ignored: ")
    if beside == "numbers" and isinstance(cells, list) and cells[0] != [[0.5], [0.5, 1.0]]:
        assert images.fates["column boxes"] == "ignored: lists of several lengths"
