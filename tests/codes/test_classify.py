"""Training with few labels from beginning to end, and the classes it gives."""

import csv
import signal

import numpy as np
import pytest
import torch
from command_line import cli_exit, refusal
from interrupting import stop_at_step

import vlae
from vlae.codes.classify import classify
from vlae.data import DataError, Images
from vlae.data.content import content_hashes
from vlae.runs.opening import load
from vlae.training import loop
from vlae.training.train import Stopped, train


def bars(num, seed=0):
    """Pictures of an upright bar (class 5) or a lying one (class 2), somewhere."""
    rng = np.random.default_rng(seed)
    values, labels = np.zeros((num, 1, 8, 8), np.uint8), np.where(np.arange(num) % 2, 5, 2)
    for picture, label, at in zip(values, labels, rng.integers(0, 6, num), strict=True):
        picture[0] = rng.integers(0, 60, (8, 8))
        part = picture[0, :, at : at + 2] if label == 5 else picture[0, at : at + 2]
        part[:] = 220
    return Images(values=values, labels=labels, source="bars", split="all")


SETTINGS = {"steps": 60, "batch_size": 48, "code_sizes": (2, 8), "progress": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(bars(200), out=tmp_path_factory.mktemp("few") / "run", labels=20, **SETTINGS)


def test_a_caution_says_that_labels_trained_what_is_probed(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(120, 4)).astype(np.float32), labels=rng.integers(0, 2, 120))
    warned = []
    for labels in ("all", None):
        run = train(tmp_path / "data.npz", out=tmp_path / f"run-{labels}", labels=labels, steps=4, progress=False)
        cautions = vlae.evaluate(run)["cautions"]
        warned.append([caution for caution in cautions if "Labels trained this model" in caution])
    assert "of the 120 data probed only 16 are held out" in warned[0][0] and warned[1] == []
    held_out = vlae.evaluate(load(tmp_path / "run-all"), run.part("test"))
    assert not any("Labels trained" in caution for caution in held_out["cautions"])


def test_a_class_is_learned_from_few_labels(run):
    new = bars(100, seed=1)
    found = classify(run, new)
    assert found.error < 0.1
    assert (found.names, found.values) == (("2", "5"), (2, 5))
    np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-5)
    assert run.data["labels"] == "20" and run.recipe.code_sizes == (2, 8, 2)
    again = load(run.path)
    assert np.array_equal(classify(again, new).probabilities, found.probabilities)


def test_it_is_measured_drawn_and_reported(run):
    held_out = bars(60, seed=2)
    result = vlae.evaluate(run, held_out)
    assert result["class_error"] == pytest.approx(classify(run, held_out).error)
    assert run.figure("classes", num=3).size[0] > 100
    assert run.figure("levels", num=3).size[0] > 100
    from vlae.report import page

    assert "Classes" in page.write(run, run.path / "page.html").read_text()


def test_the_table_has_class_and_probabilities(run, tmp_path, capsys):
    np.savez(tmp_path / "new.npz", images=bars(20, seed=3).values[:, 0], labels=bars(20, seed=3).labels)
    assert cli_exit("classify", str(run.path), str(tmp_path / "new.npz"), "--out", str(tmp_path / "classes.csv")) == 0
    said = capsys.readouterr().out
    assert "wrong, of those with a label" in said
    with (tmp_path / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20 and set(rows[0]) == {"row", "label", "class", "probability_2", "probability_5"}
    for row in rows:
        assert float(row[f"probability_{row['class']}"]) >= 0.5
    assert "exists already" in refusal(
        capsys, "classify", str(run.path), str(tmp_path / "new.npz"), "--out", str(tmp_path / "classes.csv")
    )
    assert cli_exit("classify", str(run.path), str(tmp_path / "new.npz")) == 0
    assert "of each class  2: " in capsys.readouterr().out


def test_labels_are_not_chosen_for_a_run_that_names_its_own_classes(run):
    with pytest.raises(ValueError, match="this one names its own classes: leave labels out"):
        classify(run, bars(20), labels=10)


def test_a_run_without_classes_gets_a_classifier_on_its_codes(tmp_path):
    values = bars(200)
    np.savez(tmp_path / "bars.npz", images=values.values[:, 0], labels=values.labels)
    plain = train(tmp_path / "bars.npz", out=tmp_path / "run", **SETTINGS)
    new = bars(100, seed=1)
    found = classify(plain, new, labels=40)
    assert found.error < 0.4 and found.values == (2, 5)
    assert np.array_equal(found.probabilities, classify(plain, new, labels=40).probabilities)
    of_all = classify(plain, plain.part("all"))
    learned = len(np.unique(content_hashes(plain.part("train").values)))
    assert of_all.learned.sum() >= learned and "of which the class was learned do not count" in of_all.verdict
    of_test = classify(plain, plain.part("test"))
    assert of_all.error == of_test.error
    with pytest.raises(DataError, match="labels of"):
        classify(plain, new, labels=1)


def test_a_killed_training_with_labels_resumes_exactly(tmp_path, monkeypatch):
    settings = {**SETTINGS, "steps": 12}
    whole = train(bars(60), out=tmp_path / "whole", labels=10, **settings)
    with monkeypatch.context() as patch:
        stop_at_step(patch, 8)
        with pytest.raises(Stopped):
            train(bars(60), out=tmp_path / "run", labels=10, **settings)
    with pytest.raises(ValueError, match="begun with other settings"):
        train(bars(60), out=tmp_path / "run", resume=True, labels=12, progress=False)
    with pytest.raises(ValueError, match=r"begun with other settings \(batch_size\)"):
        train(bars(60), out=tmp_path / "run", resume=True, batch_size=17, progress=False)
    resumed = train(bars(60), out=tmp_path / "run", resume=True, labels=10, progress=False)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_classes_are_compared_by_name(tmp_path):
    first, other = bars(120), bars(40, seed=1)
    named = Images(
        values=first.values, labels=(first.labels == 5).astype(int) + 1, label_names=("", "lying", "upright")
    )
    run = train(named, out=tmp_path / "run", labels="all", **SETTINGS)
    swapped = Images(values=other.values, labels=(other.labels == 2).astype(int), label_names=("upright", "lying"))
    assert classify(run, swapped).error < 0.2
    assert vlae.evaluate(run, swapped)["class_error"] < 0.2
    numbers = Images(values=other.values, labels=other.labels)
    assert classify(run, numbers).error is None
    assert "no datum has a label" in vlae.evaluate(run, numbers)["not_defined"]["class_error"]


def test_other_labels_are_refused_in_a_resume(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 0)
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    data = bars(60)
    named = Images(values=data.values, labels=data.labels // 3, label_names=("a", "b"), source="bars")
    recipe = vlae.recipes.adjust(vlae.recipes.lean((1, 8, 8), code_sizes=(2, 4)), steps=6, batch_size=16, seed=5)

    def begin(**settings):
        with monkeypatch.context() as patch:
            original = loop.Recorder.on_train_batch_end
            patch.setattr(
                loop.Recorder,
                "on_train_batch_end",
                lambda self, *args: (signal.raise_signal(signal.SIGINT), original(self, *args)),
            )
            with pytest.raises(Stopped):
                train(named, progress=False, **settings)

    begin(out=tmp_path / "run", recipe=recipe, labels=10)
    renamed = Images(values=data.values, labels=data.labels // 3, label_names=("b", "a"), source="bars")
    with pytest.raises(ValueError, match="the labels of bars are others than those"):
        train(renamed, out=tmp_path / "run", resume=True, progress=False)
    assert train(named, out=tmp_path / "run", resume=True, progress=False).recipe.training.batch_size == 48


def test_what_cannot_learn_from_labels_is_refused(tmp_path):
    with pytest.raises(ValueError, match="labels are for a ladder that minimises an ELBO"):
        train(bars(60), out=tmp_path / "a", labels="all", recipe="hvae", progress=False)
    with pytest.raises(DataError, match="all labels are of one class"):
        one = bars(60)
        train(Images(values=one.values, labels=np.full(60, 3)), out=tmp_path / "b", labels="all", progress=False)
    assert not list(tmp_path.iterdir())
