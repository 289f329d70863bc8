import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from vlae.atomic import WriteError
from vlae.data import load
from vlae.evaluation import level_card
from vlae.evaluation.text import LIKELIHOOD_CAUTION
from vlae.names import quoted
from vlae.report import numbers
from vlae.report import page as report
from vlae.report.glossary import TERMS
from vlae.report.levels import levels_of
from vlae.runs.layout import EVALUATION
from vlae.workflows import evaluate, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    pictures = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    path = tmp_path_factory.mktemp("runs") / "<b> & co"
    return train(pictures, out=path, steps=4, code_sizes=(1, 0, 2), progress=False)


class Page(HTMLParser):
    """What a page loads, what it says, and whether its elements close."""

    def __init__(self, html):
        super().__init__()
        self.html, self.loads, self.words, self.open, self.images = html, [], [], [], []
        self.ids, self.links, self.headings, self.folded = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.loads += [value for name, value in attributes if name in ("src", "data", "srcset")]
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        if tag == "img":
            self.images.append(given | {"folded": "details" in self.open})
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def page(run):
    return Page((run.path / "report.html").read_text(encoding="utf-8"))


def check(parsed, *, size):
    """What holds for every report."""
    assert parsed.open == []
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert all(link.startswith("#") and link[1:] in parsed.ids for link in parsed.links)  # contents and glossary
    assert parsed.headings[0] == 1 and parsed.headings.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(parsed.headings))
    assert parsed.images and all(image["alt"].strip() for image in parsed.images)
    assert all(load.startswith("data:image/") for load in parsed.loads)
    for image in parsed.images:
        _, _, content = image["src"].partition(";base64,")
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            picture.load()
            assert picture.size == (int(image["width"]), int(image["height"]))
    without_images = re.sub(r"base64,[^\"]*", "", parsed.html)
    assert not re.search(r"https?:|//|<script|@import|url\(", without_images)
    assert len(parsed.html) < size
    levels = re.findall(r"<h3>Level \d+ · ([^<]*)</h3>", parsed.html)
    assert levels and len(set(levels)) == len(levels)


def test_the_page_is_whole_and_asks_nothing_of_any_server(trained):
    parsed = page(trained)
    check(parsed, size=1_000_000)
    for section in ("short", "levels", "dimensions", "samples", "reconstructions", "mix", "progress", "glossary"):
        assert f"report-{section}" in parsed.ids and f"#report-{section}" in parsed.links
    rows = [image for image in parsed.images if "from its low end to its high end" in image["alt"]]
    assert len(rows) == 3 and all(image["folded"] for image in rows)
    chart = next(image for image in parsed.images if image["class"] == "chart")
    assert chart["alt"].startswith("progress: ")


def test_tiles_have_clear_gaps_and_whole_pictures(trained):
    (start,) = (image for image in page(trained).images if image["alt"].startswith("the picture they start from"))
    with Image.open(io.BytesIO(base64.b64decode(start["src"].partition(";base64,")[2]))) as picture:
        opacity = np.asarray(picture)[..., 3]
    assert opacity.shape == (48, 98)
    assert (opacity[:, 48:50] == 0).all() and (np.delete(opacity, [48, 49], 1) == 255).all()


def test_every_word_that_is_linked_is_in_the_glossary():
    keys = {term.key for term in TERMS}
    assert len(keys) == len(TERMS)
    linked = [term for term, _ in (*numbers.EXPLAINED.values(), *numbers.SCORES.values())]
    templates = "".join(file.read_text() for file in files("vlae.report").joinpath("templates").iterdir())
    linked += re.findall(r'term\("([a-z0-9-]+)"', templates)
    assert len(linked) > 20 and set(linked) <= keys


def test_the_page_says_what_was_learned_first_and_what_was_measured(trained):
    words = page(trained).text
    assert "<b> & co" in words  # escaped, not meant
    assert "recipe lean, trained on an array (1 × 8 × 8)" in words
    first = words.index("an array, vlae learned two levels.")
    assert words.index("Level 1 holds") > first and words.index("Level 3 holds") > first
    assert first < words.index("PSNR (dB)") < words.index("The unit of information")  # in the glossary
    for level in trained.summary["levels"]:
        assert f"{level['kl_nats']:.2f}" in words
    assert f"{trained.summary['reconstruction']['psnr']:.5g}" in words
    assert "20 is coarse, 30 is good" in words
    assert '"learning_rate"' in words
    assert LIKELIHOOD_CAUTION in words


def test_a_report_shows_the_users_own_pictures_at_the_ends_of_what_a_level_does(tmp_path):
    light = np.linspace(10, 240, 90)[:, None, None]
    pictures = (light + np.random.default_rng(0).normal(0, 4, (90, 8, 8))).clip(0, 255).astype(np.uint8)
    run = train(pictures, out=tmp_path / "run", steps=60, code_sizes=(1,), progress=False, seed=0)
    _, (level,) = levels_of(run)
    assert {level.ends.low, level.ends.high} == {"darker", "lighter"}
    means = {}
    for end in ("lowest", "highest"):
        content = getattr(level.ends, end).src.partition(";base64,")[2]
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            pixels = np.asarray(picture).astype(float)
        means[getattr(level.ends, {"lowest": "low", "highest": "high"}[end])] = pixels[pixels[..., 3] == 255].mean()
    assert means["darker"] + 50 < means["lighter"]
    assert "yours that are darker" in page(run).text


def test_a_report_of_a_table_escapes_the_names_of_its_columns(tmp_path):
    rows = np.random.default_rng(0).normal(size=(80, 3)) * (1, 2, 3)
    lines = ['<i>a</i>,"b",<script>c</script>', *(",".join(f"{value:.3f}" for value in row) for row in rows)]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    run = train(tmp_path / "rows.csv", out=tmp_path / "run", steps=4, code_sizes=(1, 1), progress=False)
    parsed = page(run)
    check(parsed, size=4_000_000)
    assert "<i>a" not in parsed.html and "<script" not in parsed.html
    assert "rows of" in parsed.text and "your rows" in parsed.text
    assert all(image["class"] == "chart" for image in parsed.images)


def test_a_report_of_classes_escapes_their_names(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (80, 8, 8), dtype=np.uint8)
    for number, name in enumerate(("<img src=x>", "b&w")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for place in range(40):
            Image.fromarray(pictures[40 * number + place]).save(tmp_path / "data" / name / f"{place}.png")
    run = train(tmp_path / "data", out=tmp_path / "run", steps=4, labels="all", size=8, progress=False)
    parsed = page(run)
    check(parsed, size=1_500_000)
    assert "report-classes" in parsed.ids and "b&w" in parsed.text
    assert "<img src=x>" in parsed.text and "<img src=x>" not in parsed.html


def test_a_run_without_examples_has_a_report_too(trained):
    without = replace(trained, examples=trained.examples[:0])
    html = report.content(without)
    assert "yours that are" not in html and "report-reconstructions" not in html
    assert "vlae learned two levels" in html and "report-samples" in html


def test_a_dead_level_is_named_and_one_without_a_code_is_not(trained):
    trained.summary["levels"][0]["kl_nats"] = 0.01
    trained.summary["levels"][2]["kl_nats"] = 3.0
    report.write(trained)
    words = page(trained).text
    assert re.findall(r"Level (\d) is dead: its code costs 0.01 nats", words) == ["1"]


def test_the_page_goes_where_it_is_asked_to(trained, tmp_path):
    assert report.write(trained, tmp_path / "new" / "page.html") == tmp_path / "new" / "page.html"
    assert (tmp_path / "new" / "page.html").stat().st_size > 10_000
    with pytest.raises(WriteError, match=r"/dev/null/page.html cannot be written"):
        report.write(trained, "/dev/null/page.html")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    pictures = np.random.default_rng(0).integers(0, 256, (2400, 3, 8, 8), dtype=np.uint8)
    pictures[:1200] //= 3
    path = tmp_path_factory.mktemp("runs") / "evaluated"
    run = train(pictures, out=path, steps=30, code_sizes=(1, 0, 2), progress=False)
    evaluation = evaluate(run, load(pictures, split="test"))
    (path / EVALUATION).write_text(json.dumps(evaluation))
    report.write(run)
    return run, evaluation


def test_the_level_card(evaluated):
    run, evaluation = evaluated
    drawn = page(run)
    check(drawn, size=2_000_000)
    text = drawn.text
    for card in level_card.level_cards(evaluation):
        assert card.sentence in text
        if card.title not in level_card.NAMELESS:
            assert f"Level {card.level} · {card.title}" in text
    assert "Level 2 ·" not in text  # it has no code
    panels = [image for image in drawn.images if "in which only level" in image["alt"]]
    assert len(panels) == 2
    assert f"{evaluation['reconstruction']['mse']:.5g}" in text and "simple below complex" in text
    assert evaluation["protocol"]["versions"]["scikit-learn"] in text
    assert "not been measured yet" not in text


def test_warnings_are_on_the_page(evaluated):
    run, evaluation = evaluated
    evaluation = json.loads(json.dumps(evaluation))
    evaluation["levels"][0]["kl_nats"] = 0.01
    (run.path / EVALUATION).write_text(json.dumps(evaluation))
    report.write(run)
    text = page(run).text
    assert "Level 1 is dead: its code costs 0.01 nats" in text
    for warning in level_card.warnings(evaluation):
        assert warning in text


def test_a_run_not_yet_evaluated_says_how(trained):
    report.write(trained)
    assert f"vlae evaluate {quoted(trained.path)}" in page(trained).text
