"""The validation curve, early stopping, and which data they use."""

import csv

import numpy as np
import pytest
import torch
from command_line import cli_exit
from interrupting import stop_at_step
from lightning.pytorch.callbacks import Callback

import vlae
from vlae import recipes, workflows
from vlae.data import DataError
from vlae.data.content import content_hashes
from vlae.evaluation.rates import summarise
from vlae.figures.curves import progress
from vlae.models import inference
from vlae.recipes import Training, lean
from vlae.training import loop
from vlae.training import validation as validation_module
from vlae.training.batches import Batches
from vlae.training.train import Stopped
from vlae.training.validation import COST, MOST, Validation, kept_rows


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(workflows.page, "write", lambda run: None)
    monkeypatch.setattr(loop, "LOG_EVERY", 4)
    monkeypatch.setattr(validation_module, "COST", 1.0)  # measured whenever a row is logged


def pictures(num=80, size=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num, size, size), dtype=np.uint8)


def quick(out, **settings):
    settings = {"steps": 40, "batch_size": 64, "code_sizes": (1, 2), "progress": False, **settings}
    return vlae.train(pictures(), out=out, **settings)


def rows(path):
    with (path / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class Fixed(Validation):
    """Measures what it is told."""

    script = ()

    def measure(self, step, *, grown):
        super().measure(step, grown=False)
        self.last["val_elbo"] = self.script[step // self.every - 1]
        if grown and self.patience is not None:
            self._compare(step)
        return self.last


@pytest.fixture
def worse_and_worse(monkeypatch):
    """The best is measured after step 8; then it becomes worse."""
    monkeypatch.setattr(Fixed, "script", (-9.0, -5.0, -6.0, -7.0, float("nan"), -1.0, -1.0, -1.0, -1.0, -1.0))
    monkeypatch.setattr(loop, "Validation", Fixed)


def test_it_is_off_unless_asked_for(tmp_path):
    run = quick(tmp_path / "run", steps=4)
    assert "validation" not in run.summary
    assert not [name for name in rows(run.path)[0] if name.startswith("val_")]
    assert Training().validated == 0 and Training(patience=3).validated == 0.05
    assert Training(patience=3, validation=0.2).validated == 0.2


def test_the_curve_is_that_of_the_model_on_data_it_was_not_trained_on(tmp_path, monkeypatch):
    seen = []
    original = loop.Engine.training_step

    def step(self, batch, index):
        seen.append(batch.rows.numpy())
        return original(self, batch, index)

    monkeypatch.setattr(loop.Engine, "training_step", step)
    run = quick(tmp_path / "run", validation=0.3, steps=20)
    train = run_part(run)
    kept = kept_rows(len(train), run.recipe.training)
    assert len(kept) == run.summary["validation"]["num_images"] == round(0.3 * len(train))
    assert sorted(set(np.concatenate(seen))) == sorted(set(range(len(train))) - set(kept.tolist()))
    measured = summarise(run.model, train[kept])
    last = rows(run.path)[-1]
    assert last["step"] == "20"
    # The draws of the codes differ.
    assert float(last["val_elbo"]) == pytest.approx(measured["elbo_nats"], abs=0.5)
    assert float(last["val_elbo"]) == run.summary["validation"]["elbo_nats"]
    parts = [float(last[name]) for name in ("val_distortion", "val_rate_1", "val_rate_2")]
    assert float(last["val_elbo"]) == pytest.approx(-sum(parts))


def run_part(run):
    """The training part of `pictures`, as the run had it."""
    whole = pictures()[:, None]
    return whole[~np.isin(content_hashes(whole), np.load(run.path / "held_out.npy"))]


def test_what_judges_in_the_end_is_another_part(tmp_path):
    run = quick(tmp_path / "run", validation=0.3, steps=4)
    train = run_part(run)
    kept = content_hashes(train[kept_rows(len(train), run.recipe.training)])
    assert not np.isin(kept, np.load(run.path / "held_out.npy")).any()
    assert run.summary["num_images"] == len(pictures()) - len(train)


def test_it_stops_when_patience_ends_and_keeps_the_best_weights(tmp_path, monkeypatch, worse_and_worse):
    kept = {}
    original = Fixed._compare

    def compare(self, step):
        original(self, step)
        kept[step] = {name: value.clone() for name, value in self.model.state_dict().items()}

    monkeypatch.setattr(Fixed, "_compare", compare)
    run = quick(tmp_path / "run", patience=3)
    assert run.summary["validation"] == {"num_images": 16, "elbo_nats": -5.0, "step": 8, "last_step": 20}
    assert [row["step"] for row in rows(run.path)] == ["4", "8", "12", "16", "20"]
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, kept[8][name])
    assert any(not torch.equal(value, kept[20][name]) for name, value in run.model.state_dict().items())


def test_without_patience_the_last_weights_are_kept(tmp_path, worse_and_worse):
    run = quick(tmp_path / "run", validation=0.1)
    assert run.summary["validation"]["step"] == run.summary["validation"]["last_step"] == 40


@pytest.mark.parametrize("stopped", [6, 10, 13])
def test_a_resumed_training_stops_where_an_undisturbed_one_does(tmp_path, monkeypatch, worse_and_worse, stopped):
    whole = quick(tmp_path / "whole", patience=3)
    with monkeypatch.context() as patch:
        stop_at_step(patch, stopped)
        with pytest.raises(Stopped):
            quick(tmp_path / "run", patience=3)
    run = quick(tmp_path / "run", patience=3, resume=True)
    assert run.summary == whole.summary
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, run.model.state_dict()[name])
    columns = [name for name in rows(run.path)[0] if name.startswith("val_")]
    curves = [{row["step"]: [row[name] for name in columns] for row in rows(path)} for path in (whole.path, run.path)]
    assert curves[0] == {step: values for step, values in curves[1].items() if step in curves[0]}


def test_a_stopped_training_is_finished_as_it_is_with_the_best_weights(tmp_path, monkeypatch, worse_and_worse):
    stop_at_step(monkeypatch, 13)
    with pytest.raises(Stopped):
        quick(tmp_path / "run", patience=9)
    best = torch.load(tmp_path / "run" / "checkpoint.ckpt", weights_only=True)["validation"]["weights"]
    run = vlae.train(pictures(), out=tmp_path / "run", more=0, progress=False)
    assert run.summary["validation"] == {"num_images": 16, "elbo_nats": -5.0, "step": 8, "last_step": 13}
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, best[name])


@pytest.mark.parametrize("settings", [{"validation": 0.2}, {"patience": 3, "validation": 0.2, "growth": "ladder"}])
@pytest.mark.parametrize("stopped", [2, 6])
@pytest.mark.parametrize("how", ["later", "at once"])
def test_what_was_not_measured_when_it_was_stopped_is_measured(tmp_path, monkeypatch, settings, stopped, how):
    stop_at_step(monkeypatch, stopped)
    if how == "later":
        with pytest.raises(Stopped):
            quick(tmp_path / "run", **settings)
        run = vlae.train(pictures(), out=tmp_path / "run", more=0, progress=False)
    else:
        run = quick(tmp_path / "run", on_interrupt="finish", **settings)
    train = run_part(run)
    values, recipe = train[kept_rows(len(train), run.recipe.training)], run.recipe
    own = Validation(run.model, values, None, recipe.training, interval=4).measure(stopped, grown=False)
    expected = {"num_images": 16, "elbo_nats": own["val_elbo"], "step": stopped, "last_step": stopped}
    assert run.summary["validation"] == pytest.approx(expected, rel=1e-5)


def test_a_training_that_a_callback_ends_is_measured(tmp_path):
    class Enough(Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = trainer.should_stop or trainer.global_step == 3

    run = quick(tmp_path / "run", validation=0.2, callbacks=[Enough()])
    assert run.summary["validation"]["step"] == 3 and np.isfinite(run.summary["validation"]["elbo_nats"])


def test_what_goes_on_from_a_finished_model_keeps_it_until_another_is_better(tmp_path, monkeypatch, worse_and_worse):
    before = quick(tmp_path / "run", patience=3)
    monkeypatch.setattr(Fixed, "script", (-9.0, -5.0, -6.0, -7.0, -8.0, -6.0, -7.0, -8.0, -4.0, -4.5, -6.0, -6.0))
    more = vlae.train(pictures(), out=tmp_path / "run", more=40, progress=False)
    assert more.summary["validation"] == {"num_images": 16, "elbo_nats": -5.0, "step": 8, "last_step": 32}
    for name, value in before.model.state_dict().items():
        assert torch.equal(value, more.model.state_dict()[name])
    better = vlae.train(pictures(), out=tmp_path / "run", more=16, progress=False)
    assert better.summary["validation"] == {"num_images": 16, "elbo_nats": -4.0, "step": 36, "last_step": 48}


def test_a_finished_model_is_measured_on_the_rows_that_were_kept_for_it(tmp_path, monkeypatch):
    before = quick(tmp_path / "run", patience=3, steps=20).summary["validation"]
    measured, original = [], Validation.measure

    def measure(self, step, *, grown):
        measured.append((step, original(self, step, grown=grown)["val_elbo"]))
        return self.last

    monkeypatch.setattr(Validation, "measure", measure)
    after = vlae.train(pictures(), out=tmp_path / "run", more=4, progress=False).summary["validation"]
    assert measured[0] == (before["step"], pytest.approx(before["elbo_nats"], rel=1e-5))
    assert after["elbo_nats"] == max(elbo for _, elbo in measured)


def test_levels_that_are_not_grown_are_neither_best_nor_a_miss():
    model = vlae.recipes.build(lean((1, 8, 8), code_sizes=(1, 2)))
    values = pictures(5)[:, None]
    validation = Validation(model, values, None, Training(patience=1), interval=50)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    first = validation.measure(50, grown=False)
    assert validation.best == -float("inf") and not validation.exhausted
    assert validation.measure(50, grown=True) == first  # the same noise each time
    assert validation.best == first["val_elbo"]
    validation.measure(100, grown=True)
    assert validation.exhausted and validation.best_step == 50
    assert model.training and torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_large_pictures_are_measured_in_small_batches(monkeypatch):
    monkeypatch.setattr(inference, "BATCH_PIXELS", 3 * 8 * 8)
    recipe = recipes.adjust(recipes.lean((1, 8, 8), code_sizes=(1, 2)), validation=0.2)
    model, seen = recipes.build(recipe), []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    Validation(model, np.zeros((7, 1, 8, 8), np.uint8), None, recipe.training, interval=50).measure(1, grown=True)
    assert seen == [3, 3, 1]


def test_it_takes_little_of_the_time(monkeypatch):
    monkeypatch.setattr(validation_module, "COST", COST)
    model = vlae.recipes.build(lean((1, 8, 8), code_sizes=(1, 2)))
    for num, batch_size in ((16, 128), (1_000, 128), (1_000, 16)):
        training = Training(batch_size=batch_size)
        every = Validation(model, pictures(num)[:, None], None, training, interval=50).every
        assert every % 50 == 0
        assert num / 3 <= 0.0201 * batch_size * every


def test_rows_that_are_kept():
    training = Training(validation=0.05)
    assert len(kept_rows(1_000, training)) == 50
    assert len(kept_rows(100_000, training)) == MOST
    assert len(kept_rows(1_000, Training())) == 0
    assert np.array_equal(kept_rows(1_000, training), kept_rows(1_000, training))
    assert not np.array_equal(kept_rows(1_000, training), kept_rows(1_000, Training(validation=0.05, seed=1)))
    few = np.where(np.arange(1_000) % 3, -1, 0)
    assert (few[kept_rows(1_000, training, labels=few)] == -1).all()
    most = np.where(np.arange(1_000) % 3, 0, -1)
    assert (most[kept_rows(1_000, training, labels=most)] == 0).any()
    rare = np.zeros(1_000, int)
    rare[kept_rows(1_000, training, labels=rare)[:3]] = [1, 2, 2]  # classes that would all be kept
    assert set(rare[kept_rows(1_000, training, labels=rare)]) == {0, 1, 2}
    assert set(rare[kept_rows(1_000, training, labels=rare, learned=True)]) == {0}
    groups = np.arange(1_000)
    kept = kept_rows(1_000, training, labels=rare, groups=groups)
    lone = kept[rare[kept] == 1][0]
    groups[(rare == 0).nonzero()[0][:3]] = lone  # copies of the picture that has the only label of its class
    kept = kept_rows(1_000, training, labels=rare, groups=groups, learned=True)
    assert len(kept) and not np.isin(groups[kept], lone).any()
    with pytest.raises(DataError, match="too few to keep some for validation"):
        kept_rows(1_000, training, labels=np.arange(1_000), learned=True)
    pages = np.arange(1_000) // 10
    kept = kept_rows(1_000, training, groups=pages)
    assert all(np.isin(np.flatnonzero(pages == page), kept).all() for page in pages[kept])
    with pytest.raises(DataError, match="too few to keep some for validation"):
        kept_rows(2, training)


def test_batches_leave_rows_out_and_are_else_the_same():
    class Start:
        global_step, global_rank, world_size = 0, 0, 1

    values, training = pictures(20)[:, None], Training(batch_size=4)
    none = [
        next(iter(Batches(values, None, training, Start(), left_out=kept))).rows for kept in (None, np.zeros(0, int))
    ]
    assert torch.equal(*none)
    stream = iter(Batches(values, None, training, Start(), left_out=np.array([3, 7])))
    seen = torch.cat([next(stream).rows for _ in range(40)])
    assert set(seen.tolist()) == set(range(20)) - {3, 7}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation": 0.5}, "validation is 0.5"),
        ({"validation": -0.1}, "validation is -0.1"),
        ({"patience": 0}, "patience is 0"),
        ({"patience": 2, "validation": 0.0}, "patience is 2 and validation 0"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Training(**settings)


def test_a_system_without_an_elbo_is_refused_before_it_trains(tmp_path):
    with pytest.raises(ValueError, match="validation measures an ELBO, and the model has no"):
        vlae.train(pictures(), out=tmp_path / "run", recipe="infogan", patience=2, progress=False)
    assert not (tmp_path / "run").exists()


def test_the_command_says_which_weights_it_keeps(tmp_path, capsys, worse_and_worse):
    np.save(tmp_path / "a.npy", pictures())
    asked = ["--steps", "40", "--batch-size", "64", "--code-sizes", "1,2", "--patience", "3"]
    assert cli_exit("train", tmp_path / "a.npy", "--out", tmp_path / "run", *asked) == 0
    said = capsys.readouterr().err
    assert "validation ELBO" in said
    assert "the weights after step 8 are kept: they have the best validation ELBO, -5" in said


def test_the_curves_show_both():
    history = {"step": [1, 2, 3, 4], "distortion": [5.0, 4, 3, 2], "rate_1": [1.0, 1, 1, 1]}
    val = {"val_elbo": [float("nan"), -4, float("nan"), -5], "val_distortion": [float("nan"), 4, float("nan"), 5.0]}
    alone, both = progress(history), progress({**history, **val})
    assert alone.shape != both.shape or (alone != both).any()
