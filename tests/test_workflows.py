"""`vlae.evaluate` at its doors: what it takes as a run, and as data. What it measures is tested elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vlae import workflows
from vlae.data import load
from vlae.notebook.views import html_of
from vlae.web.level_words import describe_alarms


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Colour photographs, and a run that takes them at 8 × 8 pixels."""
    folder = tmp_path_factory.mktemp("workflows")
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for i in range(30):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / "photos" / f"{i}.png")
    settings = {"size": 8, "code_sizes": (1, 2), "steps": 2, "batch_size": 8}
    workflows.train_alone(folder / "photos", out=folder / "run", progress=False, **settings)
    return folder


@pytest.fixture
def measured(monkeypatch):
    """What is measured, without measuring it."""
    seen = []
    monkeypatch.setattr(workflows.measures, "evaluate", lambda model, images, **_: seen.append(images) or {})
    return seen


def test_a_warm_up_that_was_cut_short_is_told_of(tmp_path, rng, measured):
    images = rng.integers(0, 256, (60, 8, 8), dtype=np.uint8)
    with pytest.warns(UserWarning, match="Ended in its warm-up: after 3 steps the KL terms had 0.01 of their weight"):
        run = workflows.train(images, out=tmp_path / "run", recipe="lvae", steps=3, batch_size=8, progress=False)
    assert "Ended in its warm-up" in (run.path / "report.html").read_text()
    assert workflows.evaluate(run, images)["cautions"] == [run.cut_short]
    assert run.cut_short in describe_alarms(run) and run.cut_short in html_of(run)
    assert run.cut_short in (run.save_pretrained(tmp_path / "shared") / "README.md").read_text()
    short = replace(run, summary=run.summary | {"training": run.summary["training"] | {"steps": 2_000}})
    assert run.cut_short is not None and short.cut_short is None


def test_a_run_is_given_by_its_path(folder, measured):
    for run in (folder / "run", str(folder / "run")):
        workflows.evaluate(run)
    assert [images.split for images in measured] == ["test", "test"]
    with pytest.raises(FileNotFoundError, match="there is no run folder"):
        workflows.evaluate("nowhere")


def test_pictures_are_resized_and_coloured_as_in_training(folder, measured):
    grey = np.random.default_rng(0).integers(0, 256, (9, 16, 16), dtype=np.uint8)
    sources = (
        folder / "photos",
        str(folder / "photos"),
        load(folder / "photos", split="all", size=12),
        grey,
        load(grey),
    )
    for source in sources:
        workflows.evaluate(folder / "run", source)
    assert [images.shape for images in measured] == [(3, 8, 8)] * 5
    assert [len(images) for images in measured[:4]] == [30, 30, 30, 9]
    assert np.array_equal(measured[0].values, measured[1].values)


def test_pictures_that_are_compared_with_those_of_the_training_are_told_of(folder, monkeypatch):
    run = workflows.load(folder / "run")
    found = {"pictures": {"num_data": 15}, "cautions": ["Else."]}
    monkeypatch.setattr(workflows.measures, "evaluate", lambda *_, **__: dict(found))
    held_out = len(run.part("test"))
    caution, *others = workflows.evaluate(run)["cautions"][-2:]
    assert f"30 data, of which only {held_out} are held out" in caution and others == ["Else."]
    found["pictures"] = None
    assert not any("held out" in each for each in workflows.evaluate(run)["cautions"])
    found["pictures"] = {"num_data": 15}
    for other in (folder / "photos", run.part("all"), run.part("test")):
        assert not any("held out" in each for each in workflows.evaluate(run, other)["cautions"])
