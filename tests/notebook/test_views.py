"""What a notebook shows of runs, data, outliers and neighbours."""

import re

import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from PIL import Image

import vlae
from vlae.codes.classify import classify
from vlae.codes.outliers import find_outliers
from vlae.data import load
from vlae.notebook.views import html_of
from vlae.workflows import train

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes; a name that is HTML, and one that would steer a terminal; a broken file."""
    folder = tmp_path_factory.mktemp("views") / "photos"
    rng = np.random.default_rng(0)
    for name, num in (("<b>cats", 12), ("dogs", 30)):
        (folder / name).mkdir(parents=True)
        for i in range(num):
            Image.fromarray(rng.integers(0, 256, (10, 20, 3), dtype=np.uint8)).save(folder / name / f"{i}.png")
    (folder / "dogs" / "0.png").rename(folder / "dogs" / "<img src=x onerror=alert(1)>\x1b[2J.png")
    (folder / "dogs" / "broken.png").write_bytes(b"\x89PNG\r\n")
    return folder


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("views") / HOSTILE.replace("/", "")
    return train(photos, out=out, size=8, code_sizes=(1, 0, 3), steps=4, batch_size=8, progress=False)


@pytest.fixture(scope="module")
def images(run, photos):
    return run.read(photos)


@pytest.fixture(scope="module")
def outliers(run, images):
    return find_outliers(run, images)


@pytest.fixture(scope="module")
def neighbours(run, images, tmp_path_factory):
    pytest.importorskip("lancedb")
    return vlae.Index.build(run, images, tmp_path_factory.mktemp("views") / "index").similar(images.names[0], num=5)


@pytest.fixture(scope="module")
def classified(run, images):
    return classify(run, images)


@pytest.fixture(scope="module")
def mixed(run):
    return vlae.mix(run, {1: run.examples[0]}, base=run.examples[1])


@pytest.fixture(params=["run", "images", "outliers", "neighbours", "classified", "mixed"])
def thing(request):
    return request.getfixturevalue(request.param)


def test_the_html_stands_alone_and_is_harmless(thing):
    html = thing._repr_html_()
    tags = set(re.findall(r"<(\w+)", html))
    assert tags <= {"div", "style", "p", "img", "figure", "figcaption", "b", "br", "table", "tr", "th", "td"}
    assert html.count("<b>") == html.count("</b>") == html.count('vlae-card"')
    assert not re.search(r"src=(?!\"data:image/)", html) and "http" not in html and "\x1b" not in html
    assert len(html) < 300_000


def test_the_repr_is_one_line(thing):
    assert len(repr(thing).splitlines()) == 1 and len(repr(thing)) < 400 and "\x1b" not in repr(thing)


def test_jupyter_shows_it(thing):
    shown, _ = DisplayFormatter().format(thing)
    assert shown["text/html"] == thing._repr_html_() and shown["text/plain"] == repr(thing)


def test_a_figure_is_shown_inline(run):
    shown, _ = DisplayFormatter().format(run.figure("levels"))
    assert shown["image/png"]


def test_a_run_tells_what_it_is(run):
    for words in ("lean", "1, 0, 3", str(run.data["source"]), "squared error 0.", str(run.path)):
        assert words in repr(run)
    html = run._repr_html_()
    assert html.count('class="vlae-card"') == 2 and "Level 1: " in html and "Level 3: " in html
    assert "has not been measured yet" in html
    measured = vlae.load("streets")
    assert "has not been measured" not in measured._repr_html_() and "Level 4: " in measured._repr_html_()


def test_a_run_of_vectors_and_one_without_examples(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    run = train(rows, out=tmp_path / "run", code_sizes=(1, 2), steps=4, progress=False)
    assert "vlae-wide" in run._repr_html_() and "standard deviations" in repr(run)
    alone = vlae.load(run.save_pretrained(tmp_path / "shared", examples=False))
    assert len(alone.examples) == 0 and alone._repr_html_().count("<img") == 2


def test_data_tell_their_counts_and_show_each_class(images):
    html = images._repr_html_()
    assert "42 images of 3×8×8" in html and "&lt;b&gt;cats 12, dogs 30" in html
    captions = re.findall("<figcaption>(.*?)</figcaption>", html)
    assert captions == ["&lt;b&gt;cats", "dogs"] * 6
    assert "1 file or column not read: dogs/broken.png" in html


def test_vectors_are_a_table_of_columns():
    table = pd.DataFrame({"a": [0.0, 1, 5], "b": [2.0, 2, 2]} | {f"c{i}": [0.0, 1, 2] for i in range(20)})
    html = load(table, split="all")._repr_html_()
    assert "3 rows of 22" in html and "<td>a</td><td>0</td><td>1</td><td>5</td>" in html and "and 10 more" in html


def test_outliers_and_neighbours_have_names_and_numbers(outliers, neighbours):
    names = outliers.images.names
    html = outliers._repr_html_()
    assert "by level 1" in html and "by level 3" in html and "by whole" in html
    top = int(outliers.top("level1", 1)[0])
    assert f"{outliers.scores['level1'][top]:.2f}" in html
    near = neighbours._repr_html_()
    assert near.count("<figure>") == 1 + 3 * 5 and "by levels 1, 3" in near
    first = neighbours.by[(1,)].to_pylist()[0]
    assert f"{first['distance']:.3f}" in near and first["name"] in names


def test_classes_and_mixes_are_told(classified, mixed):
    html = classified._repr_html_()
    first = classified.names[classified.probabilities[0].argmax()].replace("<b>", "&lt;b&gt;")
    assert f"{first}<br>{classified.probabilities[0].max():.0%}" in html and "wrong, of those with a label" in html
    assert repr(mixed) == "Mixed(level 1 of picture 1; levels 2, 3 of picture 2)"


def test_of_anything_else_there_is_nothing_to_show():
    assert html_of(object()) is None


def test_the_history_is_a_dataframe(run):
    assert isinstance(run.history, pd.DataFrame)
    assert run.history["step"].tolist() == [4] and {"distortion", "rate_1"} <= set(run.history)
