"""The figure of a model that is still being trained."""

import time
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vlae import recipes
from vlae.models.inference import as_input
from vlae.recipes import build
from vlae.runs.layout import PREVIEW
from vlae.training import preview as previews
from vlae.training.preview import FIRST, RENEWED, SHARE, Preview, preview
from vlae.workflows import train


def pictures(num=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num, 1, 8, 8), dtype=np.uint8)


def model_of(name="lean", **settings):
    torch.manual_seed(0)
    return build(recipes.make(name, (1, 8, 8), **settings))


class Watched:
    """A recorder of a training that has come to some second."""

    def __init__(self, model):
        self.engine = SimpleNamespace(model=model, global_step=1, seconds=0.0)
        self.said = []

    def say(self, what):
        self.said.append(what)


def rows_of(model, monkeypatch, nats):
    monkeypatch.setattr(previews, "rates_of", lambda *_: torch.tensor(nats)[:, None].expand(-1, 3))
    titles = []
    monkeypatch.setattr(previews, "rows", lambda model, titled: titles.extend(titled) or np.zeros((9, 9, 3), np.uint8))
    preview(model, as_input(pictures(3)), step=7)
    return dict(titles)


def test_a_level_has_a_row_once_it_carries_something(monkeypatch):
    drawn = rows_of(model_of(code_sizes=(1, 2)), monkeypatch, [0.2, 4.0])
    assert list(drawn) == ["held out", "reconstructed", "level 2 anew"]
    assert torch.equal(drawn["held out"], as_input(pictures(3)))
    assert not torch.equal(drawn["reconstructed"], drawn["level 2 anew"])


def test_only_the_level_of_a_row_is_drawn_anew(monkeypatch):
    model = model_of(code_sizes=(1, 2))
    decoded, decode = [], type(model).decode
    monkeypatch.setattr(type(model), "decode", lambda self, codes: decoded.append(codes) or decode(self, codes))
    rows_of(model, monkeypatch, [3.0, 3.0])
    first, second = (codes.split(3) for codes in decoded[0])  # reconstructed, level 1 anew, level 2 anew
    assert torch.equal(first[0], first[2]) and not torch.equal(first[0], first[1])
    assert torch.equal(second[0], second[1]) and not torch.equal(second[0], second[2])


def test_a_model_without_an_encoder_shows_samples(monkeypatch):
    model = model_of(code_sizes=(1, 2))
    model.lacks = {"encoder": "it is left out"}
    titles = []
    monkeypatch.setattr(previews, "rows", lambda model, titled: titles.extend(titled) or np.zeros((9, 9, 3), np.uint8))
    preview(model, as_input(pictures(3)), step=7)
    assert [title for title, _ in titles] == ["drawn anew"]


def test_a_preview_is_drawn_soon_and_then_at_growing_intervals(tmp_path):
    recorder = Watched(model_of(code_sizes=(1, 2)))
    watcher = Preview(pictures(), None, tmp_path, None)
    drawn = []
    for second in np.arange(0, 200, 0.5):
        recorder.engine.seconds = float(second)
        before = watcher.due
        watcher(recorder)
        if watcher.due != before:
            drawn.append(float(second))
    assert drawn[0] == FIRST
    assert len(drawn) >= 3 and all(b >= RENEWED * a for a, b in pairwise(drawn))
    assert recorder.said == [f"preview   {tmp_path / PREVIEW}, renewed as it trains"]
    assert Image.open(tmp_path / PREVIEW).size[0] > 300
    assert [file.name for file in tmp_path.iterdir()] == [PREVIEW]


def test_previews_that_take_long_are_rare(tmp_path, monkeypatch):
    monkeypatch.setattr(Preview, "_draw", lambda self, recorder: time.sleep(0.2))
    recorder = Watched(None)
    recorder.engine.seconds = FIRST
    watcher = Preview(pictures(), None, tmp_path, None)
    watcher(recorder)
    assert watcher.due >= FIRST + 0.2 / SHARE


def test_a_preview_that_fails_is_told_of_once_and_stops_nothing(tmp_path):
    recorder = Watched(model_of(code_sizes=(1, 2)))
    recorder.engine.seconds = 1e6
    (tmp_path / "file").write_text("x")
    watcher = Preview(pictures(), None, tmp_path / "file", None)  # no folder
    watcher(recorder)
    watcher(recorder)
    assert len(recorder.said) == 1 and recorder.said[0].startswith("preview   none: ")


def test_a_preview_is_shown_on_a_screen_less_often_than_it_is_drawn(tmp_path):
    recorder, shown = Watched(model_of(code_sizes=(1, 2))), []
    watcher = Preview(pictures(), None, tmp_path, lambda picture: shown.append(picture.shape) or "a picture")
    for second in (FIRST, 2 * FIRST, 3 * FIRST, 5 * FIRST):
        watcher.due, recorder.engine.seconds = 0, second
        watcher(recorder)
    assert len(shown) == 2 and recorder.said.count("a picture") == 2


def test_previews_leave_the_training_as_it_is_and_nothing_behind(tmp_path, monkeypatch):
    settings = {"steps": 12, "batch_size": 8, "code_sizes": (1, 2), "progress": False}
    without = train(pictures(), out=tmp_path / "without", **settings)
    monkeypatch.setattr(previews, "FIRST", 0.0)
    monkeypatch.setattr(previews, "RENEWED", 0.0)
    monkeypatch.setattr(previews, "SHARE", 1e9)
    drawn, save = [], previews.canvas.save
    monkeypatch.setattr(previews.canvas, "save", lambda picture, path: drawn.append(path) or save(picture, path))
    run = train(pictures(), out=tmp_path / "run", **settings)
    assert drawn.count(tmp_path / "run" / PREVIEW) == 12
    assert not (tmp_path / "run" / PREVIEW).exists()
    mine, theirs = run.model.state_dict(), without.model.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("name", ["joint", "vae", "hvae", "lvae", "infogan"])
def test_other_models_are_previewed_too(name):
    torch.manual_seed(0)
    model = build(recipes.make(name, (1, 28, 28)))
    picture = preview(model, torch.rand(3, 1, 28, 28), step=3)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
