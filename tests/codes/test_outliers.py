import csv
import sys

import numpy as np
import pytest
from command_line import cli_exit, refusal
from PIL import Image
from pyarrow import parquet

from vlae.codes import nearest, outliers
from vlae.codes.files import CodesError
from vlae.data import load
from vlae.data.streets import draw
from vlae.workflows import train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_pages")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("streets:600", out=tmp_path_factory.mktemp("runs") / "a", size=16, steps=300, progress=False)


@pytest.fixture(scope="module")
def planted():
    """Street numbers, of which the last but one is bright green, and the last a chequered board."""
    values = draw(202, seed=5, size=16)[0]
    values[-2] = (
        values[-2] * np.array([0.05, 0.3, 0.05])[:, None, None] + np.array([0, 170, 0])[:, None, None]
    ).astype(np.uint8)
    values[-1] = 255 * ((np.indices((16, 16)).sum(0) // 2) % 2)
    return load(values, split="all")


@pytest.fixture(scope="module")
def result(run, planted):
    return outliers.find_outliers(run, planted)


def test_outliers_in_colour_and_in_shape_differ(result):
    assert 200 in result.top("level1", 5)
    assert 200 not in result.top("whole", 5)  # the model knows how to draw it
    assert result.top("whole", 1).tolist() == [201]


def test_scores_do_not_depend_on_the_order(run, planted, result):
    order = np.random.default_rng(0).permutation(len(planted))
    again = outliers.find_outliers(run, planted.take(order))
    for by, scores in result.scores.items():
        np.testing.assert_allclose(again.scores[by], scores[order], rtol=1e-3)


def test_a_reference_smaller_than_the_data(run, planted, result):
    some = outliers.find_outliers(run, planted, level=1, reference=100)
    assert list(some.scores) == ["level1", "whole"]
    assert np.corrcoef(some.scores["level1"], result.scores["level1"])[0, 1] > 0.8


def test_table_and_figure(run, result, tmp_path):
    rows = result.rows(3)
    assert [row["by"] for row in rows][::3] == ["level1", "level2", "level3", "whole"]
    assert [row["rank"] for row in rows[:3]] == [1, 2, 3]
    assert rows[0]["row"] == result.top("level1", 1)[0]
    outliers.write_table(rows, tmp_path / "odd.csv")
    with (tmp_path / "odd.csv").open(newline="") as file:
        assert [row["row"] for row in csv.DictReader(file)] == [str(row["row"]) for row in rows]
    outliers.write_table(rows, tmp_path / "new" / "odd.parquet")
    assert parquet.read_table(tmp_path / "new" / "odd.parquet").to_pylist() == rows
    assert outliers.as_text(rows).splitlines()[1].split()[:2] == ["level1", "1"]
    file = outliers.draw(run, result, 3)
    assert file == run.path / "figures" / "odd.png"
    assert Image.open(file).width < Image.open(outliers.draw(run, result, 6, tmp_path / "a.png")).width
    assert outliers.draw(run, result, 3) == file, "the same figure is kept once"
    other = outliers.draw(run, result, 2)
    assert other == file.with_name("odd-2.png") and Image.open(file).width > Image.open(other).width


def test_originals_names_and_scores_are_shown(run, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for i in range(14):
        pixels = rng.integers(0, 256, (30, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{i}.png")
    result = outliers.find_outliers(run, run.read(photos))
    picture, name, score = result.cells("level1", 1)[0]
    assert np.array_equal(picture, np.array(Image.open(photos / name))) and picture.shape == (30, 60, 3)
    assert float(score) == pytest.approx(result.scores["level1"].max(), abs=0.01)
    assert {row["file"] for row in result.rows(2)} <= {str(photos / f"{i}.png") for i in range(14)}
    (photos / name).unlink()
    files = [row["file"] for row in result.rows(14)]
    assert files[0] is None and len(set(files)) == 14
    outliers.write_table(result.rows(14), tmp_path / "odd.parquet")
    assert parquet.read_table(tmp_path / "odd.parquet")["file"].to_pylist() == files
    for file in photos.iterdir():
        file.unlink()
    assert "file" not in result.rows(1)[0]
    assert result.cells("level1", 1)[0][0].shape[:2] == run.recipe.shape[1:], "what is gone is drawn as the run sees it"


def test_vectors(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    run = train(vectors, out=tmp_path / "run", code_sizes=(1, 2), steps=4, progress=False)
    vectors[7] = 50
    result = outliers.find_outliers(run, load(vectors, split="all"))
    assert result.top("whole", 1).tolist() == [7]
    outliers.draw(run, result, 2)


def test_what_is_refused(run, planted, result, tmp_path):
    with pytest.raises(ValueError, match="11 are given; give at least 12"):
        outliers.find_outliers(run, planted.take(slice(0, 11)))
    with pytest.raises(ValueError, match="level 5 has no code; choose one of 1, 2, 3"):
        outliers.find_outliers(run, planted, level=5)
    with pytest.raises(ValueError, match=r"shape \(1, 16, 16\), the run in .* takes \(3, 16, 16\)"):
        outliers.find_outliers(run, load(np.zeros((20, 16, 16), np.uint8), split="all"))
    with pytest.raises(ValueError, match=r"ends in \.png"):
        outliers.draw(run, result, out=tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="num is 0"):
        outliers.draw(run, result, 0)
    with pytest.raises(CodesError, match=r"a \.csv or \.parquet file"):
        outliers.write_table(result.rows(1), tmp_path / "a.txt")
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(CodesError, match="exists already"):
        outliers.write_table(result.rows(1), tmp_path / "a.csv")


def test_the_score_by_a_level_is_the_mean_distance_to_the_ten_nearest_others(rng):
    read, again = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
    change = again - read
    points = np.hstack([(part - part.mean(0)) / part.std(0) for part in (read, change)])
    apart = np.sort(np.linalg.norm(points[:, None] - points[None], axis=2), axis=1)
    np.testing.assert_allclose(outliers.score(read, change)[0], apart[:, 1:11].mean(1))


def test_a_datum_that_is_not_in_the_reference_is_as_far_as_its_ten_nearest_in_it(rng):
    read, again = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
    points = np.hstack([(part - part.mean(0)) / part.std(0) for part in (read, again - read)])
    chosen = np.random.default_rng(0).permutation(40)[:25]
    apart = np.sort(np.linalg.norm(points[:, None] - points[chosen], axis=2), axis=1)
    itself = np.isin(np.arange(40), chosen)
    expected = np.where(itself, apart[:, 1:11].mean(1), apart[:, :10].mean(1))
    np.testing.assert_allclose(outliers.score(read, again - read, reference=25)[0], expected)


def test_recall_is_said_and_usearch_is_named_if_it_is_missing(run, planted, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(nearest, "MOST_EXACT", 100)
    np.save(tmp_path / "a.npy", np.asarray(planted.values))
    words = ("odd", run.path, tmp_path / "a.npy", "--level", 1, "--out", tmp_path / "a.png")
    assert cli_exit(*words) == 0
    assert "neighbours found by a graph: recall@10 level1 " in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    line = refusal(capsys, *words)
    assert 'pip install "vlae[search]"' in line and "--reference 100" in line
    assert "reference is 3; give a whole number from 12 up" in refusal(capsys, *words, "--reference", 3)
    assert cli_exit(*words, "--reference", 100) == 0
