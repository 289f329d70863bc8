"""Ladders with a critic train, go on to the same bits, tell of what fails, and do all that other runs do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import vlae
from vlae import recipes
from vlae.objectives import critic
from vlae.runs.layout import RunError
from vlae.training import loop

pytestmark = pytest.mark.usefixtures("no_pages")

KINDS = {
    "sharp": {"sharp": True},
    "implicit": {"recipe": "implicit"},
    "with distortion": {"recipe": "implicit", "distortion": 1.0},
    "codes alone": {"sharp": True, "judged": "codes", "beta": 0.0},
}


def images(num=80):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (num, 1, 8, 8), dtype=np.uint8)
    return vlae.Images(values=values, labels=rng.integers(0, 3, num))


def quick(out, **settings):
    settings = {"steps": 20, "batch_size": 8, "code_sizes": (2, 3), "critic_width": 4, "progress": False, **settings}
    return vlae.train(images(), out=out, **settings)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("critics")
    return {name: quick(folder / name.replace(" ", "-"), **settings) for name, settings in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_does_all_that_others_do(runs, kind):
    run = vlae.load(runs[kind].path)
    assert run.recipe == runs[kind].recipe and run.recipe.objective.kind == "elbo with critic"
    assert {"critic_loss", "gradient_penalty", "spread", "distortion", "rate_2"} <= set(run.history)
    assert not [name for name in run.model.state_dict() if "critic" in name or "networks" in name]
    codes = run.encode(images())
    assert [code.shape for code in codes] == [(80, 2), (80, 3)] and run.decode(codes).shape == (80, 1, 8, 8)
    assert run.sample(3).shape == (3, 1, 8, 8)
    for name in ("levels", "mix", "progress", "traversal", "samples"):
        assert run.figure(name).size[0] > 50


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sharp", "implicit"])
def test_after_a_kill_it_goes_on_to_the_same_bits(runs, tmp_path, kind):
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_critic as cases
from vlae.objectives import critic
from vlae.training import loop
cases.torch.set_num_threads(1)
loop.CHECKPOINT_EVERY, loop.LOG_EVERY = 0, 5
contest, calls = critic.contest, []
def killing(*arguments):
    calls.append(1)
    if len(calls) == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return contest(*arguments)
critic.contest = killing
cases.quick({str(tmp_path / "run")!r}, **cases.KINDS[{kind!r}])
"""
    path = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == -signal.SIGKILL
    checkpoint = torch.load(tmp_path / "run" / "checkpoint.ckpt", weights_only=False)
    assert checkpoint["global_step"] == 10
    assert any(name.startswith("networks.") for name in checkpoint["state_dict"])
    again, whole = vlae.train(images(), out=tmp_path / "run", resume=True, progress=False), runs[kind]
    assert again.recipe == whole.recipe
    assert again.model.state_dict().keys() == whole.model.state_dict().keys()
    assert all(torch.equal(again.model.state_dict()[name], value) for name, value in whole.model.state_dict().items())


def test_what_fails_is_told_of_once_while_it_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 2)  # told from step 20 on
    monkeypatch.setattr(critic, "COLLAPSED", 1e9)
    with pytest.warns(UserWarning, match="it has collapsed; try") as told:
        quick(tmp_path / "run", sharp=True, steps=30)
    assert sum("collapsed" in str(warning.message) for warning in told) == 1


def test_pixels_that_nothing_trains_are_refused_and_leave_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="only the distortion trains the pixels of the family 'pixel'"):
        quick(tmp_path / "run", recipe="implicit", family="pixel")
    assert not (tmp_path / "run").exists()


def test_two_pictures_are_refused_and_leave_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="a critic would learn by heart; give 32 or more"):
        vlae.train(images(10), out=tmp_path / "run", sharp=True, progress=False)
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_keeps_its_critic(tmp_path, runs):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text((runs["sharp"].path / "recipe.json").read_text())
    with pytest.raises(RunError, match=r"with other settings \(adversarial\)"):
        vlae.train(images(), out=tmp_path / "run", resume=True, sharp=True, adversarial=9.0, progress=False)
    again = vlae.train(images(), out=tmp_path / "run", resume=True, sharp=True, progress=False)
    assert torch.equal(again.model.state_dict()["levels.0.v.embed.weight"], _v(runs["sharp"]))


def _v(run):
    return run.model.state_dict()["levels.0.v.embed.weight"]


def test_codes_that_are_read_back_from_drawn_pictures_go_without_features():
    with pytest.raises(ValueError, match="leave features out"):
        recipes.with_content(recipes.implicit((1, 16, 16)), num_features=5, num_data=60)
