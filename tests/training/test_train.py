import csv
import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import vlae
from vlae import recipes, runs, workflows
from vlae.atomic import WriteError
from vlae.cli import main as cli
from vlae.data import DataError, Images
from vlae.evaluation.rates import summarise
from vlae.objectives import elbo
from vlae.runs import layout
from vlae.runs.layout import RunError
from vlae.training import loop
from vlae.training import train as training
from vlae.training.loop import NotFiniteError
from vlae.training.train import Stopped
from vlae.workflows import train

ROOT = Path(__file__).parents[2]


def pictures(num=60, size=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num, size, size), dtype=np.uint8)


def quick(out, source=None, **settings):
    """A run of a second."""
    settings = {"steps": 20, "batch_size": 8, "code_sizes": (1, 2), "progress": False, **settings}
    return train(pictures() if source is None else source, out=out, **settings)


def weights(run):
    return run.model.state_dict()


def assert_same(a, b):
    assert weights(a).keys() == weights(b).keys()
    different = [name for name in weights(a) if not torch.equal(weights(a)[name], weights(b)[name])]
    assert not different


def rows(path):
    with (path / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def at_step(monkeypatch, step, action):
    """Does something in the middle of a step (counted from 1) of the next training."""
    calls = []

    def rates(forward):
        calls.append(1)
        return action(original(forward)) if len(calls) == step else original(forward)

    original = elbo.rates
    monkeypatch.setattr(elbo, "rates", rates)


def raising(signal_number):
    def action(terms):
        os.kill(os.getpid(), signal_number)
        return terms

    return action


@pytest.fixture
def drawn():
    """Asked for by tests that want figures and a page, which take most of a second."""


@pytest.fixture(autouse=True)
def _quick(request, monkeypatch):
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(workflows.page, "write", lambda run: None)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return quick(tmp_path_factory.mktemp("whole") / "run")


# What a training leaves


def test_a_run_holds_everything_and_no_checkpoint(uninterrupted):
    assert {file.name for file in uninterrupted.path.iterdir()} == {
        *(
            "recipe.json",
            "model.safetensors",
            "prior.safetensors",
            "summary.json",
            "examples.npy",
            "held_out.npy",
            "metrics.csv",
            "figures",
            "report.html",
        )
    }
    record = json.loads((uninterrupted.path / "recipe.json").read_text())
    assert set(record) == {"format", "recipe", "data", "versions", "machine"} and record["format"] == 2
    assert recipes.Recipe.from_dict(record) == uninterrupted.recipe
    assert [float(row["step"]) for row in rows(uninterrupted.path)] == [20]
    assert uninterrupted.history["fade_2"].tolist() == [1.0]


def test_a_name_is_found_for_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("faces.npy", pictures())
    assert quick(None, "faces.npy").path == Path("runs/faces")
    assert quick(None).path == Path("runs/array")
    assert layout.source_name(".") == tmp_path.name
    assert layout.source_name("hf:user/name") == "name"


@pytest.mark.slow
def test_learns_what_neither_the_mean_nor_chance_nor_shuffled_pixels_teach(tmp_path):
    digits = Images(values=(load_digits().images[:, None] / 16 * 255).astype(np.uint8))
    run = train(digits, out=tmp_path / "run", steps=150, progress=False)
    held_out = vlae.data.load(digits, split="test").values
    mean = vlae.data.load(digits, split="train").values.mean(0)
    rng = np.random.default_rng(0)
    shuffled = replace(digits, values=rng.permuted(digits.values.reshape(-1, 64), axis=1).reshape(-1, 1, 8, 8))
    misled = train(shuffled, out=tmp_path / "misled", steps=150, progress=False)
    untrained = recipes.build(run.recipe)

    bound = 0.04
    assert run.summary["reconstruction"]["mse"] < bound
    assert ((held_out - mean) ** 2 / 255**2).mean() > 1.5 * bound
    assert summarise(untrained, held_out)["reconstruction"]["mse"] > 1.5 * bound
    assert summarise(misled.model, held_out)["reconstruction"]["mse"] > 1.5 * bound
    assert all(level["kl_nats"] > 0.5 for level in run.summary["levels"])


def test_vectors_are_standardised_by_the_training_data(tmp_path):
    x = np.random.default_rng(0).normal(5, 3, (100, 6)).astype(np.float32)
    x[:, 3] = 7.0
    run = quick(tmp_path / "run", x)
    seen = vlae.data.load(x, split="train").values
    np.testing.assert_allclose(run.model.mean, seen.mean(0), rtol=1e-5)
    np.testing.assert_allclose(run.model.stddev[[0, 1]], seen.std(0)[[0, 1]], rtol=1e-5)
    assert run.model.stddev[3] == 1
    assert_same(run, runs.load(run.path))


@pytest.mark.parametrize("num", [3, 4, 9])
def test_so_few_pictures_that_one_is_held_out(tmp_path, num, drawn):
    run = quick(tmp_path / "run", pictures(num), batch_size=128)
    assert run.recipe.training.batch_size == 128
    assert (run.path / "report.html").exists()


# Seeds


def test_the_same_seed_gives_the_same_bits(tmp_path, uninterrupted):
    assert_same(quick(tmp_path / "again"), uninterrupted)
    assert quick(tmp_path / "third").summary == uninterrupted.summary


def test_another_seed_gives_another_model(tmp_path, uninterrupted):
    other = weights(quick(tmp_path / "run", seed=1))
    assert not any(torch.equal(other[name], w) for name, w in weights(uninterrupted).items() if w.numel() > 500)


# Interruptions


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_ctrl_c_the_run_goes_on_to_the_very_same_weights(tmp_path, monkeypatch, uninterrupted, number):
    path, handler = tmp_path / "run", signal.getsignal(number)
    with monkeypatch.context() as patch:
        at_step(patch, 7, raising(number))
        with pytest.raises(Stopped, match="stopped after 7 of 20 steps"):
            quick(path)
    assert signal.getsignal(number) is handler
    assert {file.name for file in path.iterdir()} == {"recipe.json", "metrics.csv", "checkpoint.ckpt"}
    with pytest.raises(RunError, match="exists already"):
        quick(path)

    run = quick(path, resume=True)
    assert_same(run, uninterrupted)
    assert run.summary == uninterrupted.summary
    assert [row["step"] for row in rows(path)] == ["7", "20"]
    assert not (path / "checkpoint.ckpt").exists()
    with pytest.raises(RunError, match="is finished; there is nothing to resume"):
        quick(path, resume=True)


@pytest.mark.slow
def test_after_a_kill_the_run_goes_on_from_its_last_checkpoint(tmp_path, uninterrupted):
    np.save(tmp_path / "a.npy", pictures())
    killed = f"""
        import os, signal, sys
        from vlae.objectives import elbo
        from vlae.training import loop
        from vlae.workflows import train
        loop.CHECKPOINT_EVERY, loop.LOG_EVERY, rates, calls = 0, 5, elbo.rates, []
        def rates_until_killed(forward):
            calls.append(1)
            if len(calls) == 13:
                os.kill(os.getpid(), signal.SIGKILL)
            return rates(forward)
        elbo.rates = rates_until_killed
        keep = loop.Recorder._save
        def save_once(self, trainer, step):
            if step == 5:
                keep(self, trainer, step)
        loop.Recorder._save = save_once
        train({str(tmp_path / "a.npy")!r}, out={str(tmp_path / "run")!r}, steps=20, batch_size=8, code_sizes=(1, 2))
    """
    code = "\n".join(line.removeprefix("        ") for line in killed.splitlines())
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [row["step"] for row in rows(tmp_path / "run")] == ["5", "10"]  # of which the second is done again
    assert runs.load(tmp_path / "run").undertrained.state == "after 5 of 20 steps"

    training_rows, partial = rows, tmp_path / "run" / ".summary.json.1"
    partial.write_text("half of it")  # as a kill leaves it
    run = quick(tmp_path / "run", str(tmp_path / "a.npy"), resume=True)
    assert_same(run, uninterrupted)
    assert [row["step"] for row in training_rows(run.path)] == ["5", "20"]
    assert not [file for file in run.path.iterdir() if file.name.startswith(".")]


def test_a_run_killed_before_its_first_checkpoint_begins_again(tmp_path, monkeypatch, uninterrupted):
    with monkeypatch.context() as patch:
        patch.setattr(loop.Recorder, "on_train_start", lambda *_: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            quick(tmp_path / "run")
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["recipe.json"]
    assert_same(quick(tmp_path / "run", resume=True), uninterrupted)


def test_an_error_after_the_training_loses_none_of_it(tmp_path, monkeypatch, uninterrupted):
    with monkeypatch.context() as patch:
        patch.setattr(training, "summarise", lambda *_, **__: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            quick(tmp_path / "run")
    at_step(monkeypatch, 1, lambda terms: pytest.fail("a step was done again"))
    assert_same(quick(tmp_path / "run", resume=True), uninterrupted)


def test_a_run_is_finished_before_its_page_is_drawn(tmp_path, monkeypatch, uninterrupted):
    with monkeypatch.context() as patch:
        patch.setattr(workflows.page, "write", lambda run: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt, match="is finished; draw its figures and page with: vlae report"):
            quick(tmp_path / "run")
    assert_same(runs.load(tmp_path / "run"), uninterrupted)


def test_a_resumed_run_keeps_its_settings(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        at_step(patch, 3, raising(signal.SIGINT))
        with pytest.raises(Stopped):
            quick(tmp_path / "run")
    with pytest.raises(RunError, match=r"other settings \(limit, seed, code_sizes\)"):
        quick(tmp_path / "run", resume=True, seed=30, limit=10, code_sizes=(3, 3))
    with pytest.raises(RunError, match=r"other settings \(recipe\)"):
        quick(tmp_path / "run", resume=True, recipe="joint")
    with pytest.raises(RunError, match="begun on an array, not on streets"):
        quick(tmp_path / "run", "streets", resume=True)
    with pytest.raises(RunError, match=r"there is no run in .*nowhere to resume"):
        quick(tmp_path / "nowhere", resume=True)
    checkpoint = tmp_path / "run" / "checkpoint.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"checkpoint.ckpt is damaged"):
        quick(tmp_path / "run", resume=True)


# Time


@pytest.mark.slow
def test_minutes_are_kept_and_every_level_is_grown(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 5)
    run = quick(tmp_path / "run", steps=10**6, minutes=2 / 60, code_sizes=(1, 1, 2))
    history = run.history.to_dict("list")
    assert 2 <= history["seconds"][-1] < 60  # some steps on a machine however busy, and not a million
    for level in (1, 2, 3):
        assert history[f"fade_{level}"][-1] == 1
    assert np.mean(np.array(history["fade_2"]) == 1) > 0.3  # the last to grow, and much is left after it has
    assert history["learning_rate"][-1] < 0.05 * max(history["learning_rate"])


ANNOUNCED = ("found ", "train on ", "model ", "steps ", "few ", "time ", "preview ")
"""How lines begin that are said before a training, or when it is timed."""


def test_a_line_says_how_it_goes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, "LOG_EVERY", 10)
    quick(tmp_path / "run", progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("found ")
    lines = [line for line in lines if not line.startswith((" ", *ANNOUNCED))]
    assert lines[2] == "measuring on held-out data" and lines[4:] == ["drawing figures"]
    assert lines[3].startswith("prior of the codes: a Gaussian")
    assert "fitted to 900 codes of 45 data;" in lines[3]
    assert "45 data are too few for a mixture of 5 Gaussians (49 parameters)" in lines[3]
    assert all(part in lines[0] for part in ("step 10 (50%)", "data/s", "distortion", "KL", "nats", "0:0", " left"))
    assert len(lines[0].split("KL ")[1].split(" nats")[0].split()) == 2


@pytest.mark.slow
def test_a_level_that_says_little_is_told_of_once_while_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, "LOG_EVERY", 5)  # settled after 50 steps
    quick(tmp_path / "run", progress=True, steps=120, beta=(100.0, 0.1))
    said = [line for line in capsys.readouterr().err.splitlines() if "Level" in line]
    assert len(said) == 1 and said[0].startswith("Level 1 is dead: its code costs 0.0")
    with pytest.warns(UserWarning, match="Level 2 is dead: "):
        quick(tmp_path / "other", steps=120, beta=(0.1, 100.0))
    quick(tmp_path / "short", steps=40, beta=(100.0, 0.1), progress=True)
    assert "Level" not in capsys.readouterr().err


def test_the_noise_of_denoising_is_the_same_after_a_resume(tmp_path, monkeypatch):
    whole = quick(tmp_path / "whole", denoise=True)
    assert whole.recipe.objective.denoise
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 0)
    monkeypatch.setattr(loop, "LOG_EVERY", 5)
    with monkeypatch.context() as patch:
        at_step(patch, 8, raising(signal.SIGINT))
        with pytest.raises(Stopped):
            quick(tmp_path / "run", denoise=True)
    resumed = quick(tmp_path / "run", resume=True)
    assert_same(resumed, whole)
    clean = weights(quick(tmp_path / "clean"))
    assert not all(torch.equal(one, clean[name]) for name, one in weights(whole).items())


# What is not finite


def test_a_loss_that_is_not_finite_stops_with_step_and_term(tmp_path, monkeypatch, uninterrupted):
    monkeypatch.setattr(loop, "LOG_EVERY", 5)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 0)
    with monkeypatch.context() as patch:
        at_step(patch, 8, lambda terms: terms * torch.tensor([[1.0], [float("nan")]]))
        with pytest.raises(NotFiniteError, match="at step 8 the KL of level 2 is nan; try a lower learning rate"):
            quick(tmp_path / "run")
    assert runs.load(tmp_path / "run").from_checkpoint
    kept = torch.load(tmp_path / "run" / "checkpoint.ckpt", weights_only=True)
    assert kept["global_step"] == 5
    assert all(w.isfinite().all() for w in kept["state_dict"].values())
    assert_same(quick(tmp_path / "run", resume=True), uninterrupted)


def test_weights_that_are_not_finite_are_not_kept(tmp_path, monkeypatch):
    def spoil(terms):
        terms.register_hook(lambda gradient: gradient * float("inf"))  # the loss itself stays as it is
        return terms

    at_step(monkeypatch, 20, spoil)
    with pytest.raises(NotFiniteError, match=r"after step 20 .* is not finite"):
        quick(tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoint.ckpt").exists()


# Refusals


@pytest.mark.parametrize(
    ("source", "settings", "words"),
    [
        (pictures(1), {}, "one picture is not enough"),
        (pictures(2), {}, "there is 1 datum to train on"),
        (pictures(size=4), {}, "sides must be 8 to 256"),
        (np.full((20, 8, 8), np.nan), {}, "nan|NaN"),
        (np.zeros((20,)), {}, "shape"),
        (np.zeros((2, 3, 4, 5, 6)), {}, "shape"),
        (pictures(), {"recipe": "leen"}, "no recipe 'leen'; choose one of lean, joint, vae"),
        (pictures(), {"recipe": "mnist", "code_sizes": (2, 2)}, "has 3 levels, 2 code sizes are given"),
        (pictures(), {"code_sizes": (0, 0)}, "code sizes are"),
        (pictures(), {"deep_heads": True}, "deep heads belong"),
        (
            pictures(),
            {"recipe": recipes.lean((3, 8, 8)), "code_sizes": None},
            r"shape \(3, 8, 8\); this data has shape",
        ),
        (pictures(), {"recipe": recipes.lean((1, 8, 8))}, "the recipe has them already"),
        (pictures(), {"steps": 0}, "steps is 0"),
        (pictures(), {"stepps": 5}, "stepps"),
        (pictures(), {"beta": (1.0, 2.0, 3.0)}, "beta has 3 values for 2 levels"),
        (pictures(), {"accelerator": "abacus"}, "accelerator 'abacus' with devices 'auto' cannot be had here"),
        (pictures(), {"accelerator": "cpu", "devices": 0}, "devices 0 cannot be had here"),
        (pictures(), {"accelerator": "cpu", "devices": 2, "minutes": 1}, "minutes cannot be kept by several"),
    ],
)
def test_what_cannot_be_had_is_refused_and_leaves_no_folder(tmp_path, source, settings, words):
    with pytest.raises(ValueError, match=words):
        quick(tmp_path / "runs" / "run", source, **settings)
    assert not (tmp_path / "runs").exists()


def test_an_empty_folder_may_be_used_and_stays_when_refused(tmp_path):
    with pytest.raises(DataError):
        quick(tmp_path, pictures(1))
    assert tmp_path.exists()
    quick(tmp_path)


def test_what_exists_is_never_overwritten(tmp_path, uninterrupted):
    before = {file: file.stat().st_mtime_ns for file in uninterrupted.path.rglob("*")}
    with pytest.raises(RunError, match=r"exists already; choose another folder, or .* \(--resume, resume=True\)"):
        quick(uninterrupted.path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="exists already"):
        quick(tmp_path / "file")
    assert {file: file.stat().st_mtime_ns for file in uninterrupted.path.rglob("*")} == before
    assert (tmp_path / "file").read_text() == "mine"


# Disks


def full(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.slow
@pytest.mark.parametrize("write", ["save_checkpoint", "writerow", "write_bytes", "write_text"])
def test_a_full_disk_says_so_and_the_run_goes_on_when_there_is_room(tmp_path, monkeypatch, uninterrupted, drawn, write):
    owner, name = {
        "save_checkpoint": (lightning.Trainer, "save_checkpoint"),
        "writerow": (loop.Recorder, "_log"),
        "write_bytes": (Path, "write_bytes"),
        "write_text": (Path, "write_text"),
    }[write]
    original = getattr(owner, name)

    def log_on_a_full_disk(self, *arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "open", full)
            original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, log_on_a_full_disk if write == "writerow" else full)
        with pytest.raises(WriteError, match=r"cannot be written \(No space left on device\); make room"):
            quick(tmp_path / "run")
    if write == "write_text":  # of the recipe, so nothing began
        assert not (tmp_path / "run").exists()
        return
    assert not [file for file in (tmp_path / "run").iterdir() if file.name.startswith(".")]
    if (tmp_path / "run" / "checkpoint.ckpt").exists():
        assert runs.load(tmp_path / "run").from_checkpoint
    else:
        with pytest.raises(RunError, match="not finished"):
            runs.load(tmp_path / "run")
    assert_same(quick(tmp_path / "run", resume=True), uninterrupted)


def test_a_picture_that_cannot_be_written_is_no_error_of_the_run(tmp_path, monkeypatch, uninterrupted, drawn, capsys):
    monkeypatch.setattr(Image.Image, "save", full)
    run = quick(tmp_path / "run")
    said = capsys.readouterr().err
    assert "levels.png cannot be written (No space left on device); make room" in said
    assert f"the run in {run.path} is finished; draw its figures and page with: vlae report {run.path}" in said
    assert_same(runs.load(run.path), uninterrupted)


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="mounting takes root")
def test_a_disk_that_is_really_full(tmp_path, capsys):
    np.save(tmp_path / "a.npy", pictures())
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(SystemExit, match="2"):
            cli.main(["train", str(tmp_path / "a.npy"), "--out", str(disk / "run"), "--steps", "5"])
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("vlae:")]
        assert "checkpoint.ckpt cannot be written (No space left on device); make room" in line
        assert {file.name for file in (disk / "run").iterdir()} == {"recipe.json", "metrics.csv"}
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_two_processes_train_one_run(tmp_path):
    np.save(tmp_path / "a.npy", pictures())
    words = f"train {tmp_path}/a.npy --out {tmp_path}/run --code-sizes 1,2 --batch-size 8 --steps 20 --devices 2"
    done = subprocess.run(
        [Path(sys.executable).parent / "vlae", *words.split(), "--accelerator", "cpu"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("held-out squared error") == 1
    run = runs.load(tmp_path / "run")
    assert run.history["step"].tolist() == [20]
    assert (run.path / "report.html").exists()
    assert not (run.path / "checkpoint.ckpt").exists()


def test_examples_are_alike_of_each_class(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "NUM_EXAMPLES", 6)
    values, labels = pictures(720), np.repeat([0, 1, 2], 240)  # sorted, as folders are read
    values[:, 0, 0] = labels  # by which the class is known again
    run = quick(tmp_path / "run", (values, labels), steps=2)
    assert run.examples[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1, 2]
