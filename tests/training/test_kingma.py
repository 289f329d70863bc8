"""M1, M2 and M1+M2 from beginning to end: training, resuming, and all that is done with a run."""

import numpy as np
import pytest
import torch
from interrupting import stop_at_step

import vlae
from vlae.codes import onnx
from vlae.codes.classify import classify
from vlae.data import Images
from vlae.report import page
from vlae.runs.opening import load
from vlae.studies import gibbs
from vlae.training.train import Stopped, train

pytestmark = pytest.mark.usefixtures("no_pages")

NAMES = ("m2", "m1+m2")


def bars(num, seed=0, labelled=True):
    """Pictures of an upright bar (class 5) or a lying one (class 2), somewhere."""
    rng = np.random.default_rng(seed)
    values, labels = np.zeros((num, 1, 8, 8), np.uint8), np.where(np.arange(num) % 2, 5, 2)
    for picture, label, at in zip(values, labels, rng.integers(0, 6, num), strict=True):
        picture[0] = rng.integers(0, 60, (8, 8))
        part = picture[0, :, at : at + 2] if label == 5 else picture[0, at : at + 2]
        part[:] = 220
    return Images(values=values, labels=labels if labelled else None, source="bars", split="all")


SETTINGS = {"steps": 150, "batch_size": 48, "augment": "none", "progress": False}


@pytest.fixture(scope="module", params=NAMES)
def run(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("few") / "run"
    return train(bars(200), out=out, recipe=request.param, labels=20, **SETTINGS)


def test_a_class_is_learned_from_few_labels(run):
    new = bars(100, seed=1)
    assert classify(run, new).error < 0.25
    assert np.array_equal(classify(load(run.path), new).probabilities, classify(run, new).probabilities)
    assert run.recipe.classes.names == ("2", "5") and run.model.class_values == (2, 5)


def test_all_is_measured_and_drawn(run):
    held_out = bars(80, seed=2)
    result = vlae.evaluate(run, held_out, importance_samples=20)
    assert result["class_error"] < 0.25 and np.isfinite(result["bits_per_dimension"])
    assert result["log_likelihood_nats"] > result["elbo_nats"] - 1
    assert [level["code_size"] for level in result["levels"]] == list(run.recipe.code_sizes)
    for kind in ("levels", "classes", "samples", "reconstructions", "mix", "traversal", "progress"):
        assert run.figure(kind).size[0] > 50
    assert "Classes" in page.write(run, run.path / "page.html").read_text()
    assert list(run.history)[4:7] == ["distortion", "features_distortion", "cross_entropy"]


def test_codes_are_written_exported_and_drawn_again(run):
    codes = run.encode(run.examples)
    assert [code.shape[1] for code in codes] == list(run.recipe.code_sizes)
    assert run.sample(3).shape == run.decode(codes)[:3].shape
    exported = onnx.export(run)
    assert len(exported["files"]) >= 2, onnx.as_text(exported)
    x = vlae.as_input(run.examples)
    with torch.inference_mode():
        assert gibbs.chain(run.model, x, levels=(1,), generator=torch.Generator().manual_seed(0)).shape == x.shape


def test_m1_is_classified_by_its_codes(tmp_path):
    source = tmp_path / "bars.npz"
    np.savez(source, images=bars(200).values[:, 0], labels=bars(200).labels)
    run = train(source, out=tmp_path / "run", recipe="m1", **SETTINGS)
    assert run.recipe.classes is None and run.recipe.name == "m1"
    assert classify(run, bars(100, seed=1), labels=40).error < 0.4


@pytest.mark.parametrize("name", NAMES)
def test_without_labels_the_classes_have_no_names(name, tmp_path):
    run = train(bars(60, labelled=False), out=tmp_path / "run", recipe=name, **(SETTINGS | {"steps": 3}))
    assert run.model.class_names == () and run.recipe.code_sizes[-1] == 10 and run.recipe.training.labelled == 0
    assert "class_error" not in vlae.evaluate(run, bars(80))


def test_all_labels_are_learned_if_no_number_is_given(tmp_path):
    run = train(bars(60), out=tmp_path / "run", recipe="m2", **(SETTINGS | {"steps": 3}))
    assert run.model.class_values == (2, 5)


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_training_resumes_exactly(name, tmp_path, monkeypatch):
    settings = SETTINGS | {"steps": 12, "recipe": name, "labels": 10}
    whole = train(bars(60), out=tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        stop_at_step(patch, 8)
        with pytest.raises(Stopped):
            train(bars(60), out=tmp_path / "run", **settings)
    resumed = train(bars(60), out=tmp_path / "run", resume=True, recipe=name, labels=10, progress=False)
    for key, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[key]), key
