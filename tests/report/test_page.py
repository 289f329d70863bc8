import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from vlae.atomic import WriteError
from vlae.data import load
from vlae.evaluation import level_card
from vlae.evaluation.text import LIKELIHOOD_CAUTION
from vlae.report import page as report
from vlae.runs.run import EVALUATION
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
        self.loads, self.words, self.open, self.images = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.loads += [value for name, value in attributes if name in ("src", "href", "data", "srcset")]
        if tag == "img":
            self.images.append(dict(attributes))
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def page(run):
    return Page((run.path / "report.html").read_text(encoding="utf-8"))


def test_the_page_is_whole_and_asks_nothing_of_any_server(trained):
    html = (trained.path / "report.html").read_text(encoding="utf-8")
    parsed = page(trained)
    assert parsed.open == []
    assert len(parsed.images) == len(parsed.loads) == 6
    for image in parsed.images:
        kind = image["alt"].split(":")[0]
        content = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
        assert content == (trained.path / "figures" / f"{kind}.png").read_bytes()
        Image.open(io.BytesIO(content)).load()
    without_images = re.sub(r"base64,[^\"]*", "", html)
    assert not re.search(r"https?:|//|<script|@import|url\(", without_images)


def test_the_page_says_what_was_measured(trained):
    words = " ".join(page(trained).words)
    assert "<b> & co" in words  # escaped, not meant
    assert "recipe lean, trained on an array (1 × 8 × 8)" in words
    for level in trained.summary["levels"]:
        assert f"{level['kl_nats']:.2f}" in words
    assert f"{trained.summary['reconstruction']['psnr']:.5g}" in words
    assert '"learning_rate"' in words
    assert LIKELIHOOD_CAUTION in words


def test_a_dead_level_is_named_and_one_without_a_code_is_not(trained):
    trained.summary["levels"][0]["kl_nats"] = 0.01
    trained.summary["levels"][2]["kl_nats"] = 3.0
    report.write(trained)
    words = " ".join(page(trained).words)
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
    assert drawn.open == []
    text = " ".join(drawn.words)
    for card in level_card.level_cards(evaluation):
        assert f"Level {card.level} · {card.title}" in text and card.sentence in text
    assert "Level 2 ·" not in text  # it has no code
    panels = [image for image in drawn.images if "changes, the others hold" in image["alt"]]
    assert len(panels) == 2 and all(image["src"].startswith("data:image/png;base64,") for image in panels)
    assert f"{evaluation['reconstruction']['mse']:.5g}" in text and "level order (simple below complex" in text
    assert evaluation["protocol"]["versions"]["scikit-learn"] in text
    assert "not been measured yet" not in text


def test_warnings_are_on_the_page(evaluated):
    run, evaluation = evaluated
    evaluation = json.loads(json.dumps(evaluation))
    evaluation["levels"][0]["kl_nats"] = 0.01
    (run.path / EVALUATION).write_text(json.dumps(evaluation))
    report.write(run)
    text = " ".join(page(run).words)
    assert "Level 1 is dead: its code costs 0.01 nats" in text
    for warning in level_card.warnings(evaluation):
        assert warning in text


def test_a_run_not_yet_evaluated_says_how(trained):
    report.write(trained)
    assert f"vlae evaluate {trained.path}" in " ".join(page(trained).words)
