"""A training goes on with the command that began it, however its settings are written."""

from dataclasses import replace

import numpy as np
import pytest
from interrupting import stop_at_step
from lightning.pytorch import Callback

import vlae
from vlae import recipes, workflows
from vlae.data import Images
from vlae.recipes import Training
from vlae.runs.layout import RunError
from vlae.training.train import Stopped

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8)
DEEP = RNG.integers(0, 4096, (40, 8, 8, 3)).astype(np.uint16)
LABELLED = Images(values=GREY[:, None], labels=np.arange(40) % 2)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(workflows.page, "write", lambda run: None)


def small(**settings):
    return recipes.adjust(recipes.lean((1, 8, 8), code_sizes=(1, 2)), steps=12, batch_size=8, **settings)


@pytest.mark.parametrize(
    ("data", "asked"),
    [
        (DEEP, {"value_range": (0, 4095), "code_sizes": (1, 2), "batch_size": 8, "steps": 12}),
        (GREY, {"value_range": "0,128", "code_sizes": (1, 2), "batch_size": 8, "steps": 12}),
        (GREY, {"recipe": small(), "seed": 4, "batch_size": 6, "beta": 2.0, "steps": 12}),
        (LABELLED, {"recipe": small(), "labels": 10, "seed": 4, "labelled": 6, "batch_size": 6, "steps": 12}),
        (LABELLED, {"recipe": small(), "labels": 10, "label_weight": 2.0, "augment": "auto", "steps": 12}),
        (LABELLED, {"labels": 10, "code_sizes": (1, 2), "batch_size": 8, "labelled": 6, "steps": 12}),
        (GREY, {"code_sizes": np.array([1, 2]), "batch_size": np.int64(8), "steps": 12.0, "seed": np.int8(3)}),
    ],
    ids=[
        "one range",
        "range of bytes",
        "recipe",
        "recipe and labels",
        "setting of labels",
        "labels",
        "numbers of numpy",
    ],
)
def test_the_same_call_goes_on(tmp_path, monkeypatch, data, asked):
    with monkeypatch.context() as patch:
        stop_at_step(patch, 7)
        with pytest.raises(Stopped):
            vlae.train(data, out=tmp_path / "run", progress=False, **asked)
    for other in ({"seed": 99}, {"batch_size": 4}):
        with pytest.raises(RunError, match=f"begun with other settings .*{next(iter(other))}"):
            vlae.train(data, out=tmp_path / "run", progress=False, resume=True, **(asked | other))
    run = vlae.train(data, out=tmp_path / "run", progress=False, resume=True, **asked)
    assert run.summary["training"]["steps"] == 12


def test_a_recipe_of_numpy_trains_stops_and_goes_on(tmp_path, monkeypatch, unchecked):
    training = Training(steps=12, batch_size=8, learning_rate=np.float32(1e-3), minutes=np.float32(5))
    recipe = replace(small(), training=training, objective=replace(small().objective, free_bits=[np.float64(0.5), 0.0]))
    with monkeypatch.context() as patch:
        stop_at_step(patch, 7)
        with pytest.raises(Stopped):
            vlae.train(GREY, out=tmp_path / "run", recipe=recipe, progress=False, limit=np.int64(30))
    run = vlae.train(
        GREY, out=tmp_path / "run", recipe=recipe, progress=False, limit=np.int64(30), resume=True, devices=np.int64(1)
    )
    assert run.summary["training"]["steps"] == 12 and run.recipe.objective.free_bits == (0.5, 0.0)


def test_a_training_of_no_step_goes_on(tmp_path):
    class Never(Callback):
        def on_train_start(self, trainer, _):
            trainer.should_stop = True

    settings = {"recipe": small(), "out": tmp_path / "run", "progress": False}
    assert vlae.train(GREY, callbacks=[Never()], **settings).summary["training"]["steps"] == 0
    assert vlae.train(GREY, resume=True, callbacks=None, **settings).summary["training"]["steps"] == 12


def test_an_export_of_earlier_weights_is_set_aside(tmp_path):
    run = vlae.train(GREY, out=tmp_path / "run", recipe=small(), progress=False)
    (run.path / "onnx").mkdir()
    (run.path / "onnx" / "encoder.onnx").write_bytes(b"")
    for steps in (2, 4):
        vlae.train(GREY, out=run.path, more=steps, progress=False)
        assert not (run.path / "onnx").exists() and (run.path / "onnx-old" / "encoder.onnx").exists()


def test_a_run_of_an_estimator_says_that_it_cannot_go_on(tmp_path):
    table = RNG.standard_normal((60, 4))
    encoder = vlae.LadderEncoder(code_sizes=(1, 1), steps=2, random_state=0).fit(table[:40])
    run = encoder.to_run(tmp_path / "run", table[:40], table[40:])
    for how in ({"more": 5}, {"resume": True}):
        with pytest.raises(RunError, match="was made of an estimator, and cannot be trained further"):
            vlae.train(table[:40], out=run.path, progress=False, **how)
    assert vlae.load(run.path).encode(table.astype(np.float32))[0].shape == (60, 1)


def test_another_recipe_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at_step(patch, 7)
        with pytest.raises(Stopped):
            vlae.train(GREY, out=tmp_path / "run", recipe=small(), progress=False)
    other = replace(small(), name="other")
    with pytest.raises(RunError, match=r"begun with other settings \(recipe\)"):
        vlae.train(GREY, out=tmp_path / "run", recipe=other, progress=False, resume=True)
