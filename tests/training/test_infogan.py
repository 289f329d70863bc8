"""InfoGAN through all that a run goes through: training, a kill, figures, page, evaluation, export, comparison."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import vlae
from vlae.codes import onnx
from vlae.evaluation.text import as_text
from vlae.models.infogan import InfoGAN
from vlae.recipes import adjust, infogan, rival_codes
from vlae.report import page
from vlae.training import loop

REASON = "the picture is a function of the codes, so no picture has a density"


def images(num=200):
    """Squares, bright or dark, at a place of their own."""
    rng = np.random.default_rng(0)
    values = np.full((num, 1, 8, 8), 20, np.uint8)
    for picture, (row, column, ink) in zip(values, rng.integers(0, [4, 4, 2], (num, 3)), strict=True):
        picture[0, row : row + 4, column : column + 4] = (120, 250)[ink]
    return vlae.Images(values=values, labels=rng.integers(0, 3, num))


def recipe(**settings):
    return adjust(infogan((1, 8, 8), code_sizes=(3, 2, 4), width=4), **{"steps": 20, "batch_size": 16, **settings})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return vlae.train(images(), out=tmp_path_factory.mktemp("infogan") / "run", recipe=recipe(), progress=False)


@pytest.mark.slow
def test_the_run_opens_and_everything_is_drawn_and_said(run, tmp_path):
    opened = vlae.load(run.path)
    assert opened.recipe == run.recipe and opened.summary == run.summary
    assert {"critic", "frechet", "frechet_real", "variety", "information_2", "information_3"} <= set(opened.history)
    assert all(opened.model.state_dict()[name].equal(value) for name, value in run.model.state_dict().items())
    assert [code.shape[1] for code in opened.encode(opened.examples)] == [3, 2, 4]
    for kind in ("levels", "mix", "progress", "traversal", "samples", "reconstructions"):
        assert opened.figure(kind).size[0] > 50
    result = vlae.evaluate(opened, images(), importance_samples=3)
    assert result["elbo_nats"] is None and result["not_defined"]["elbo_nats"] == REASON
    assert "bits_per_dimension" not in result and "log_likelihood_nats" not in result
    assert result["pictures"]["frechet"]["samples_standard"] > 0 and "not defined" in as_text(result)
    written = page.write(opened).read_text()
    assert "not defined" in written and "Level 1 is dead" not in written and "Level 1: dead" not in written
    exported = onnx.export(opened, out=tmp_path / "onnx")
    assert max(exported["differences"].values()) < 1e-3
    assert (tmp_path / "onnx" / "decoder.onnx").exists()


@pytest.mark.slow
def test_after_a_kill_it_goes_on_to_the_same_bits(run, tmp_path):
    code = f"""
import importlib.util, os, signal, torch, vlae
from vlae.objectives.infogan import InfoGANLoss
from vlae.training import loop
spec = importlib.util.spec_from_file_location("here", {__file__!r})
here = importlib.util.module_from_spec(spec)
spec.loader.exec_module(here)
torch.set_num_threads(1)
loop.CHECKPOINT_EVERY, loop.LOG_EVERY = 0, 5
loss, calls = InfoGANLoss.loss, []
def killed(self, *arguments, **settings):
    calls.append(1)
    if len(calls) == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return loss(self, *arguments, **settings)
InfoGANLoss.loss = killed
vlae.train(here.images(), out={str(tmp_path / "run")!r}, recipe=here.recipe(), progress=False)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    checkpoint = torch.load(tmp_path / "run" / "checkpoint.ckpt", weights_only=False)
    assert {"networks.head.weight", "networks.distance.real", "model.error"} <= set(checkpoint["state_dict"])
    assert checkpoint["global_step"] == 10 and len(checkpoint["optimizer_states"]) == 1
    again = vlae.train(images(), out=tmp_path / "run", resume=True, progress=False)
    expected = run.model.state_dict()
    assert not [name for name in expected if name.startswith("networks") or "distance" in name]
    assert again.model.state_dict().keys() == expected.keys()
    assert all(torch.equal(again.model.state_dict()[name], value) for name, value in expected.items())
    assert _last(again.path)["frechet"] == _last(run.path)["frechet"]


def _last(path: Path) -> dict[str, str]:
    with (path / "metrics.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))[-1]


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (images(4), {}, "there are 3 pictures to train on, which a critic would learn by heart; give 32"),
        (images(), {"precision": "bf16"}, "a critic's gradient penalties need full precision; give --precision fp32"),
        (np.zeros((40, 5), np.float32), {}, "infogan draws pictures; these data are vectors of 5 numbers: choose lean"),
        (images(), {"family": "gaussian"}, "so the likelihood 'gaussian' does not fit it; leave family out"),
        (images(), {"denoise": True}, "the recipe 'infogan' does not have a setting denoise"),
        (images(), {"beta": 4.0}, "the recipe 'infogan' does not have a setting beta"),
    ],
)
def test_what_it_cannot_be_trained_on_is_refused_and_nothing_is_left(data, settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        vlae.train(data, out=tmp_path / "run", recipe="infogan", steps=2, progress=False, **settings)
    assert not (tmp_path / "run").exists()


def test_a_collapse_is_told_of_while_it_trains(tmp_path, monkeypatch):
    original = InfoGAN.generate
    same = lambda self, codes: original(self, tuple(torch.zeros_like(code) for code in codes))  # noqa: E731
    monkeypatch.setattr(InfoGAN, "generate", same)  # it draws one picture
    monkeypatch.setattr(loop, "LOG_EVERY", 2)  # told from step 20 on
    with pytest.warns(UserWarning, match="The pictures have collapsed: they vary by 0% of what real ones do"):
        vlae.train(images(), out=tmp_path / "run", recipe=recipe(steps=24), progress=False)


def test_beside_a_ladder_it_has_as_many_dimensions_and_noise_besides():
    assert rival_codes("infogan", (4, 4, 8)) == (62, 6, 10)
    assert rival_codes("infogan", (6, 4, 4, 10)) == (62, 14, 10)
    assert rival_codes("infogan", (2, 2, 2)) == (62, 3, 3)
    assert rival_codes("infogan", (1,)) == (62, 0, 2)
