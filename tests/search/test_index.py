"""Search by level, against brute force on the codes themselves."""

import csv
import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import cli_exit, refusal
from PIL import Image

import vlae
from vlae.atomic import WriteError, locked
from vlae.data import DataError
from vlae.data import load as load_data
from vlae.data.images import Images
from vlae.figures import canvas
from vlae.search.index import Index, SearchError
from vlae.search.neighbours import decode_png
from vlae.workflows import train

pytestmark = pytest.mark.usefixtures("no_pages")

KINDS = ("dark", "light")


def quick(source, out, **settings):
    return train(source, out=out, steps=4, batch_size=8, progress=False, **{"code_sizes": (2, 3, 4), **settings})


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of pictures, of 20 × 20 pixels, and one that is broken."""
    folder = tmp_path_factory.mktemp("photos")
    pixels = np.random.default_rng(0).integers(0, 128, (40, 20, 20, 3), dtype=np.uint8)
    for i, picture in enumerate(pixels):
        kind = KINDS[i % 2]
        (folder / kind).mkdir(exist_ok=True)
        Image.fromarray(picture + np.uint8(127 * (i % 2))).save(folder / kind / f"{i}'s.png")
    (folder / "dark" / "broken.png").write_bytes(b"\x89PNG\r\n")
    return folder


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    return quick(photos, tmp_path_factory.mktemp("search") / "run", size=16)


@pytest.fixture(scope="module")
def index(run, photos):
    return Index.build(run, photos)


@pytest.fixture(scope="module")
def codes(run, photos):
    images = run.read(photos)
    return images.names, run.encode(images.values)


def brute(codes, spread, query, levels):
    """All names by their distance to one of them, nearest first, without that one."""
    names, all_codes = codes
    row = names.index(query)
    apart = [((code - code[row]) ** 2).sum(1) / unit**2 for code, unit in zip(all_codes, spread, strict=True)]
    squares = np.sum([apart[level - 1] for level in levels], axis=0)
    order = [i for i in np.argsort(squares) if i != row]
    return [names[i] for i in order], np.sqrt(squares[order] / len(levels))


def test_the_nearest_are_those_of_brute_force(index, codes):
    for query in codes[0][:3]:
        neighbours = index.similar(query, levels=(1, 3), num=7)
        assert list(neighbours.by) == [(1,), (3,), (1, 3)]
        for levels, rows in neighbours.by.items():
            names, distances = brute(codes, index.spread, query, levels)
            assert rows["name"].to_pylist() == names[:7]
            np.testing.assert_allclose(rows["distance"].to_pylist(), distances[:7], rtol=1e-4)


def test_distance_one_is_two_images_at_random(index, codes):
    _, all_codes = codes
    for level, spread in enumerate(index.spread, start=1):
        code = all_codes[level - 1]
        pairs = ((code[:, None] - code[None]) ** 2).sum(2).mean()
        assert spread == pytest.approx(np.sqrt(pairs), rel=1e-3)


def test_a_file_and_an_array_are_found_as_the_name_is(index, run, photos, codes):
    name = codes[0][4]
    by_name = index.similar(name, levels=2)
    value = run.read(photos / name).values
    for image in (photos / name, str(photos / name), value, value[0], value.astype(np.float32) / 255):
        again = index.similar(image, levels=2)
        assert again.table["name"].to_pylist() == by_name.table["name"].to_pylist()
        assert np.array_equal(again.query, by_name.query)
    assert np.array_equal(by_name.query, value[0].transpose(1, 2, 0))


def test_every_level_is_asked_if_none_is_named(index, codes):
    assert list(index.similar(codes[0][0]).by) == [(1,), (2,), (3,), (1, 2, 3)]


def test_pictures_and_what_is_known_are_in_the_index(index, run, photos):
    rows = index.table.search().to_arrow().to_pylist()
    assert len(rows) == len(index) == 40
    for row in rows[::10]:
        assert row["label"] == row["name"].split("/")[0]
        assert row["source"] == str(photos)
        value = run.read(photos / row["name"]).values
        assert np.array_equal(decode_png(row["picture"]), value[0].transpose(1, 2, 0))
        np.testing.assert_allclose(row["level3"], run.encode(value)[2][0], atol=1e-4)


def test_filtering(index, codes):
    neighbours = index.similar("dark/0's.png", levels=3, num=30, where="label = 'light'")
    names, _ = brute(codes, index.spread, "dark/0's.png", (3,))
    assert neighbours.table["name"].to_pylist() == [name for name in names if name.startswith("light/")]
    one = index.similar("dark/0's.png", levels=(1, 3), where="name = 'light/1''s.png'")
    assert one.table["name"].to_pylist() == ["light/1's.png"] * 3


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("lable = 'dark'", r"lable.*the columns are name, source, label"),
        ("label =", "cannot be used"),
        ("label = 'dark') OR (label = 'light'", "parentheses"),
        ("label = 'dark') nonsense", "parentheses"),
        ("label = 'grey'", "nothing is found with label = 'grey'"),
    ],
)
def test_conditions_that_cannot_be_used(index, where, words):
    with pytest.raises(SearchError, match=words):
        index.similar("dark/0's.png", levels=1, where=where)


@pytest.mark.parametrize(
    ("levels", "words"),
    [(4, "no level 4 .* choose of 1, 2, 3"), (0, "no level 0"), ((1, 1), "each at most once"), ((), "none")],
)
def test_levels_that_are_not_there(index, levels, words):
    with pytest.raises(SearchError, match=words):
        index.similar("dark/0's.png", levels=levels)


def test_images_that_cannot_be_asked_about(index, run, photos):
    with pytest.raises(FileNotFoundError, match=r"no file nowhere.png, and nothing of this name"):
        index.similar("nowhere.png")
    with pytest.raises(DataError, match="can be read"):
        index.similar(photos / "dark" / "broken.png")
    with pytest.raises(ValueError, match="this model takes"):
        index.similar(np.zeros((1, 3, 8, 8), np.uint8))
    with pytest.raises(SearchError, match="40 data are given"):
        index.similar(photos)
    for num in (0, 2.5):
        with pytest.raises(SearchError, match=f"num is {num}; give a whole number"):
            index.similar("dark/0's.png", num=num)
    with pytest.raises(FileNotFoundError, match=r"no file a{300}, and nothing of this name"):
        index.similar("a" * 300)


def test_numbers_of_numpy_and_names_that_are_folders_are_taken(index, tmp_path, monkeypatch):
    (tmp_path / "dark" / "0's.png").mkdir(parents=True)
    known = index.similar("dark/0's.png", levels=(1, 3), num=3)
    monkeypatch.chdir(tmp_path)
    found = index.similar("dark/0's.png", levels=np.array([1, 3]), num=np.int64(3))
    assert found.by.keys() == known.by.keys() and found.table.equals(known.table)
    assert index.similar("dark/0's.png", levels=np.int64(1), num=3).by[(1,)].equals(known.by[(1,)])


def test_figure(index, photos, tmp_path):
    neighbours = index.similar("dark/0's.png", levels=(1, 3), num=4)
    picture = np.array(neighbours.figure(tmp_path / "a.png"))
    assert np.array_equal(picture, np.array(Image.open(tmp_path / "a.png")))
    names = neighbours.by[(1, 3)]["name"].to_pylist()
    originals = [np.array(Image.open(photos / name)) for name in names]  # 20 pixels a side, not 16 as the run sees them
    tall = len(canvas.captioned(originals[0], ["a", "b"]))
    for i, original in enumerate(originals):  # the last row's pictures, 144 pixels each, 4 apart, flush right
        left = picture.shape[1] - (4 - i) * (canvas.CAPTIONED + 4) + 4
        seen = picture[-tall + 2 :, left + 2 :][:140, :140]
        assert np.array_equal(seen, original.repeat(7, 0).repeat(7, 1))
    (_, name, words), *_ = neighbours.cells((1, 3))
    assert name == names[0] and words == f"{neighbours.by[(1, 3)]['distance'][0].as_py():.3f}"
    assert np.array_equal(neighbours.query_cell[0], np.array(Image.open(photos / "dark/0's.png")))
    with pytest.raises(ValueError, match=r"ends in \.png"):
        neighbours.figure(tmp_path / "a.jpg")


def test_fewer_are_found_than_asked_for(index):
    neighbours = index.similar("dark/0's.png", num=100)
    assert len(neighbours.by[(1,)]) == 39
    assert neighbours.figure().width > 39 * 64


def test_words_and_table(index, photos, tmp_path):
    neighbours = index.similar("dark/0's.png", levels=2, num=2)
    header, first, _ = str(neighbours).splitlines()
    assert header.split() == ["by", "rank", "distance", "name", "label"]
    assert first.startswith("level 2  1     ")
    neighbours.save_table(tmp_path / "a.csv")
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert set(rows[0]) == {"by", "rank", "distance", "name", "source", "label", "file"}
    assert all(Path(row["file"]) == photos / row["name"] for row in rows)
    with pytest.raises(WriteError, match="exists already"):
        neighbours.save_table(tmp_path / "a.csv")


# Making, opening, adding


def test_reopened_it_gives_the_same(index, run, codes):
    again = Index.open(vlae.load(run.path))
    assert again.path == index.path == run.path / "index"
    assert again.spread == index.spread
    assert str(again.similar(codes[0][7])) == str(index.similar(codes[0][7]))


def test_adding(run, photos, tmp_path):
    images = run.read(photos)
    made = Index.build(run, images.take(range(30)), tmp_path / "index")
    assert made.add(images.take(range(20, 40))) == 10
    assert made.add(photos) == 0
    assert len(made) == len(Index.open(run, tmp_path / "index")) == 40
    assert "light/39's.png" in made.similar("dark/0's.png", num=39).table["name"].to_pylist()
    assert [file.name for file in tmp_path.iterdir()] == ["index"]


def test_what_is_added_may_know_less_or_more(run, photos, tmp_path, capsys):
    made = Index.build(run, photos, tmp_path / "index")
    plain = np.random.default_rng(1).integers(0, 256, (3, 3, 16, 16), dtype=np.uint8)
    assert made.add(plain) == 3
    assert made.table.search().where("label IS NULL").to_arrow()["name"].to_pylist() == ["0", "1", "2"]
    other = Index.build(run, plain, tmp_path / "other")
    assert other.add(photos, progress=True) == 40
    printed = capsys.readouterr().err
    assert "left out, as the index has no such column: label" in printed
    assert "broken.png" in printed


def test_labels_that_do_not_fit_are_refused_and_nothing_is_added(run, photos, tmp_path):
    numbers = load_data("streets:60", split="all", size=16)
    made = Index.build(run, numbers, tmp_path / "index")
    assert {"label", "digit", "slant"} <= set(made.columns)
    assert len(made.similar("0", where="label = 3 AND digit = 3", levels=1).table)
    with pytest.raises(SearchError, match="its label does not fit the index, where it is int64"):
        made.add(photos)
    assert len(made) == len(numbers)
    assert [file.name for file in tmp_path.iterdir()] == ["index"]


@pytest.mark.parametrize("names", [(), ("cat", "dog")])
def test_missing_labels_and_factors_have_no_value(run, tmp_path, names):
    """The first is missing, too, so it does not tell the type of the column."""
    pixels = np.random.default_rng(1).integers(0, 256, (24, 3, 16, 16), dtype=np.uint8)
    labels, height = np.tile([-1, 0, 1], 8), np.tile([np.nan, 1.5, 2], 8)
    images = Images(values=pixels, labels=labels, label_names=names, factors={"height": height})
    made = Index.build(run, images, tmp_path / "index")
    found = made.table.search().where("label IS NULL AND height IS NULL").to_arrow()["name"].to_pylist()
    assert sorted(found, key=int) == [str(i) for i in range(0, 24, 3)]
    of_class = "label = 'dog'" if names else "label = 1"
    assert set(made.similar("0", where=of_class, num=30, levels=1).table["name"].to_pylist()) == {
        str(i) for i in range(2, 24, 3)
    }
    assert "None" not in str(made.similar("1", num=30))


@pytest.mark.parametrize("names", [("a.b", "a_b"), ("label", "factor.label")])
def test_factors_that_would_become_one_column_are_refused(run, tmp_path, names):
    images = Images(values=np.zeros((4, 3, 16, 16), np.uint8), factors={name: np.arange(4.0) for name in names})
    with pytest.raises(SearchError, match=rf"{' and '.join(names)} are one column of an index, .*; rename"):
        Index.build(run, images, tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_names_of_rows_say_their_part(run, tmp_path):
    images = load_data("streets:60", split="test", size=16)
    made = Index.build(run, images, tmp_path / "index")
    assert made.add(load_data("streets:60", split="train", size=16)) == 60
    assert made.similar("test/1", levels=1).table["name"].to_pylist()[0].split("/")[0] in ("train", "test")
    made.table.add(made.table.search().where("name = 'test/1'").to_arrow())
    with pytest.raises(SearchError, match="several rows"):
        made.similar("test/1")


@pytest.mark.parametrize("adding", [False, True])
def test_one_process_at_a_time_writes_an_index(run, photos, tmp_path, adding):
    images, path = run.read(photos), tmp_path / "index"
    if adding:
        Index.build(run, images.take(range(10)), path)
    said = pytest.raises(WriteError, match=r"another process .* writes the index .*; wait until it has ended")
    with locked(tmp_path / ".index.lock", "", ""), said:
        Index.open(run, path).add(images) if adding else Index.build(run, images, path)
    assert [file.name for file in tmp_path.iterdir()] == ["index"] * adding


def test_what_another_process_has_added_meanwhile_is_not_added_again(run, photos, tmp_path):
    images = run.read(photos)
    Index.build(run, images.take(range(10)), tmp_path / "index")
    one, other = Index.open(run, tmp_path / "index"), Index.open(run, tmp_path / "index")
    assert (one.add(images), other.add(images)) == (30, 0)
    assert len(Index.open(run, tmp_path / "index")) == 40


def test_a_place_that_is_not_utf8_is_refused_before_anything_is_read(run, photos, tmp_path):
    with pytest.raises(WriteError, match="LanceDB takes no name that is not UTF-8; choose another place"):
        Index.build(run, photos / "nothing", tmp_path / os.fsdecode(b"caf\xe9"))


def test_what_is_there_is_never_overwritten(index, run, photos, tmp_path):
    with pytest.raises(SearchError, match="exists already: add to it"):
        Index.build(run, photos)
    (tmp_path / "a.txt").write_text("words")
    with pytest.raises(SearchError, match="it is no index"):
        Index.build(run, photos, tmp_path)
    with pytest.raises(SearchError, match="it is no index"):
        Index.build(run, photos, tmp_path / "a.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    with pytest.raises(WriteError, match="cannot be written"):
        Index.build(run, photos, "/dev/null/index")


def test_an_index_of_another_run_is_refused(index, run, photos, tmp_path):
    other = quick(photos, tmp_path / "other", size=16, seed=1)
    assert other.identity != run.identity == vlae.load(run.path).identity
    with pytest.raises(SearchError, match=f"was made by another run .weights {run.identity[:12]}"):
        Index.open(other, index.path)


def test_what_is_no_index_is_refused(index, run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no index .*; make one with: vlae index"):
        Index.open(run, tmp_path)
    (tmp_path / "images.lance").mkdir()
    with pytest.raises(SearchError, match="is damaged"):
        Index.open(run, tmp_path)


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_an_index_of_links_or_pipes_is_refused(run, photos, tmp_path, kind):
    made = Index.build(run, photos, tmp_path / "index")
    part = next((made.path / "images.lance" / "data").iterdir())
    part.rename(tmp_path / "elsewhere")
    os.mkfifo(part) if kind == "pipe" else part.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SearchError, match=f"{part.name} is a link or no regular file; make the index"):
        Index.open(run, made.path)


def test_a_damaged_index_is_refused(run, photos, tmp_path):
    made = Index.build(run, photos, tmp_path / "index")
    for file in (made.path / "images.lance" / "data").iterdir():
        file.unlink()
    with pytest.raises(SearchError, match="is damaged"):
        Index.open(run, made.path).similar(np.zeros((3, 16, 16), np.uint8))


def test_missing_extra(run, photos, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    assert 'pip install "vlae[search]"' in refusal(capsys, "index", run.path, photos)
    assert 'pip install "vlae[search]"' in refusal(capsys, "similar", run.path, "a.png")


def test_vectors_and_levels_without_code(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    of_vectors = quick(rows, tmp_path / "run", code_sizes=(2, 0, 1))
    made = Index.build(of_vectors, rows)
    neighbours = made.similar(rows[3], num=5)
    assert list(neighbours.by) == [(1,), (3,), (1, 3)]
    code = of_vectors.encode(rows)[2]
    order = np.argsort(np.abs(code - code[3])[:, 0])[1:6]
    assert neighbours.by[(3,)]["name"].to_pylist() == [str(i) for i in order]
    assert neighbours.figure().width > 5 * 64
    with pytest.raises(SearchError, match="no level 2 with a code; choose of 1, 3"):
        made.similar(rows[3], levels=2)


def test_grey_pictures(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (30, 16, 16), dtype=np.uint8)
    made = Index.build(quick(grey, tmp_path / "run", code_sizes=(1, 2)), grey)
    png = made.similar("4").by[(1,)]["picture"][0].as_py()
    assert Image.open(io.BytesIO(png)).mode == "L"


# The commands


def test_commands(run, photos, tmp_path, capsys):
    copy = tmp_path / "index"
    assert cli_exit("index", run.path, photos, "--out", copy, "--limit", 30) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == f"30 images in {copy}"
    assert "skipped 1 of" in printed.err
    assert "exists already" in refusal(capsys, "index", run.path, photos, "--out", copy)
    assert cli_exit("index", run.path, photos, "--out", copy, "--add") == 0
    assert capsys.readouterr().out.strip() == f"10 images added, 30 were there; 40 in {copy}"

    words = ("similar", run.path, photos / "dark" / "0's.png", "--index", copy, "--level", 1, "--level", 3)
    words += ("--num", 3, "--where", "label = 'light'", "--out", tmp_path / "a.png", "--table", tmp_path / "a.csv")
    assert cli_exit(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 3 * 3 + 1
    assert lines[-1] == str(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").height > 3 * 64
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 10
    assert "exists already" in refusal(capsys, *words)


def test_commands_refuse(run, photos, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert "no picture" in refusal(capsys, "index", run.path, tmp_path / "empty", "--out", tmp_path / "index")
    assert "there is no index" in refusal(capsys, "index", run.path, photos, "--out", tmp_path / "index", "--add")
    assert "there is no index" in refusal(capsys, "similar", run.path, "a.png", "--index", tmp_path / "index")
    np.save(tmp_path / "a.npy", np.zeros((20, 5), np.float32))
    assert "for images" in refusal(capsys, "index", run.path, tmp_path / "a.npy", "--out", tmp_path / "index")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.npy", "empty"]
