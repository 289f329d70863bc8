"""A training that is stopped becomes a run now or goes on later, for shorter or longer; an unfinished run opens."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from command_line import cli_exit, refusal
from interrupting import stop_at_step
from safetensors.numpy import load_file

import vlae
from vlae import workflows
from vlae.data import load
from vlae.recipes.recipe import UNBOUNDED
from vlae.report import page
from vlae.runs.layout import RunError
from vlae.training import loop
from vlae.training.loop import rise_and_fall
from vlae.training.train import Stopped
from vlae.workflows import train

FINISHED = {
    *("recipe.json", "model.safetensors", "prior.safetensors", "summary.json", "examples.npy", "held_out.npy"),
    "metrics.csv",
}
WORDS = ("--code-sizes", "1,2", "--batch-size", "8", "--accelerator", "cpu")


def pictures(num=60, size=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num, size, size), dtype=np.uint8)


@pytest.fixture
def data(tmp_path):
    np.save(tmp_path / "a.npy", pictures())
    return str(tmp_path / "a.npy")


@pytest.fixture(autouse=True)
def _no_page(request, monkeypatch):
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(workflows.page, "write", lambda run: None)


@pytest.fixture
def drawn():
    """Asked for by tests that want figures and a page."""


def quick(source, out, **settings):
    return train(source, out=out, **{"steps": 20, "batch_size": 8, "code_sizes": (1, 2), "progress": False, **settings})


def stopped(monkeypatch, data, out, step=6, **settings):
    """A run that was stopped, and that is kept unless the settings say otherwise."""
    with monkeypatch.context() as patch:
        stop_at_step(patch, step)
        if settings.get("on_interrupt") == "finish":
            return quick(data, out, **settings)
        with pytest.raises(Stopped):
            quick(data, out, **settings)
    return out


def column(run, name):
    """A column of metrics.csv."""
    return list(run.history[name])


def names(path):
    return {file.name for file in path.iterdir()}


def weights(run):
    return run.model.state_dict()


def assert_same(a, b):
    assert not [name for name in weights(a) if not torch.equal(weights(a)[name], weights(b)[name])]


# Finish now


def test_a_training_that_is_finished_now_is_a_run_and_goes_on(data, tmp_path, monkeypatch):
    run = stopped(monkeypatch, data, tmp_path / "run", on_interrupt="finish")
    assert names(run.path) == FINISHED | {"checkpoint.ckpt"}
    assert run.undertrained.state == "after 6 of 20 steps"
    assert run.undertrained.mend == f"vlae train --resume {run.path}"
    loaded = vlae.load(run.path)
    assert_same(loaded, run)
    assert loaded.undertrained == run.undertrained and not loaded.prior.is_standard and not loaded.from_checkpoint

    resumed = train(run.path, resume=True, progress=False)  # the folder says where the data are
    assert_same(resumed, quick(data, tmp_path / "undisturbed"))
    assert resumed.undertrained is None and names(run.path) == FINISHED
    with pytest.raises(RunError, match=f"nothing to resume; train it further with: vlae train --more 10m {run.path}"):
        train(run.path, resume=True, progress=False)


def test_an_unfinished_run_is_finished_as_it_is(data, tmp_path, monkeypatch, capsys):
    path = stopped(monkeypatch, data, tmp_path / "run")
    (path / "recipe.json").rename(tmp_path / "recipe.json")
    assert "there is no run in" in refusal(capsys, "train", "--more", "0", path)
    (tmp_path / "recipe.json").rename(path / "recipe.json")
    was = vlae.load(path)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Engine, "training_step", lambda *_: pytest.fail("a step was done"))
        assert cli_exit("train", "--more", "0", path) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"! Undertrained: after 6 of 20 steps. Go on with: vlae train --resume {path}"
    run = vlae.load(path)
    assert_same(run, was)
    assert was.from_checkpoint and not run.from_checkpoint
    (path / "checkpoint.ckpt").unlink()
    (path / "model.safetensors").unlink()
    assert "has no checkpoint yet" in refusal(capsys, "train", "--more", "0", path)


def test_what_an_interrupt_does_is_checked_first(data, tmp_path):
    with pytest.raises(ValueError, match="on_interrupt is 'stop'; choose one of ask, finish, keep"):
        quick(data, tmp_path / "run", on_interrupt="stop")
    assert not (tmp_path / "run").exists()


def test_sigterm_always_keeps(data, tmp_path, monkeypatch):
    monkeypatch.setattr(signal, "raise_signal", lambda _, real=signal.raise_signal: real(signal.SIGTERM))
    with monkeypatch.context() as patch:
        stop_at_step(patch, 6)
        with pytest.raises(
            Stopped, match=r"stopped after 6 of 20 steps; go on with: vlae train --resume .*run; or fin"
        ):
            quick(data, tmp_path / "run", on_interrupt="finish")
    assert names(tmp_path / "run") == {"recipe.json", "metrics.csv", "checkpoint.ckpt"}


def test_a_second_ctrl_c_stops_at_once_and_keeps_the_checkpoint(data, tmp_path, monkeypatch):
    whole = quick(data, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at_step(patch, 10)
        original = loop.Recorder.on_train_batch_end

        def twice(self, *args):
            original(self, *args)
            if self.interrupts.asked:
                pytest.fail("it did not stop at once")

        def save(self, trainer, step, real=loop.Recorder._save):
            if self.interrupts.asked:
                signal.raise_signal(signal.SIGINT)  # before it is written
            real(self, trainer, step)

        patch.setattr(loop.Recorder, "on_train_batch_end", twice)
        patch.setattr(loop.Recorder, "_save", save)
        with pytest.raises(Stopped, match=r"stopped at once; go on with: vlae train --resume"):
            quick(data, tmp_path / "run", on_interrupt="finish")
    assert vlae.load(tmp_path / "run").undertrained.state == "after 8 of 20 steps"
    assert_same(quick(data, tmp_path / "run", resume=True), whole)


def test_ctrl_c_while_it_is_finished_keeps_the_checkpoint(data, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vlae.training.train.fit_prior", stop)
        with pytest.raises(Stopped, match="interrupted; go on with: vlae train --resume"):
            quick(data, tmp_path / "run")
    assert vlae.load(tmp_path / "run").from_checkpoint
    assert train(tmp_path / "run", resume=True, progress=False).undertrained is None


# In a terminal


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, *words):
        self.pid, self.master = pty.fork()
        if not self.pid:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120", "TERM": "xterm"}
            os.execve(sys.executable, [sys.executable, "-c", STARTED, *words], environment)
        self.said = ""

    def until(self, text, seconds=120):
        end = time.monotonic() + seconds
        while not re.search(text, self.said):
            assert time.monotonic() < end, self.said
            if select.select([self.master], [], [], 1)[0]:
                try:
                    self.said += os.read(self.master, 10_000).decode(errors="replace")
                except OSError:  # the process has ended
                    assert re.search(text, self.said), self.said
        return self

    def press(self, keys):
        os.write(self.master, keys)

    def ended(self):
        """The exit code."""
        while True:
            try:
                if not (more := os.read(self.master, 10_000)):
                    break
            except OSError:
                break
            self.said += more.decode(errors="replace")
        os.close(self.master)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


STARTED = """
from vlae import workflows
from vlae.cli.main import main
from vlae.training import loop
workflows.page.write = lambda run: None
loop.LOG_EVERY = 5
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "flag", "finished"),
    [
        (b"f", "ask", True),
        (b"xk", "ask", False),
        (b"\r", "ask", False),
        (b"\x03", "ask", False),
        (b"", "finish", True),
        (b"", "keep", False),
    ],
)
def test_in_a_terminal_one_key_or_a_flag_says_what_follows(data, tmp_path, keys, flag, finished):
    run = tmp_path / "run"
    command = Terminal("train", data, "--out", str(run), "--steps", "1000000", *WORDS, "--on-interrupt", flag)
    command.until("left")
    command.press(b"\x03")
    if flag == "ask":
        command.until(r"f or k \(k after 60 seconds\)\? ")
        assert f"k  to keep it for later: vlae train --resume {run}" in command.said
        command.press(keys)
    assert command.ended() == (0 if finished else 130)
    assert (run / "model.safetensors").exists() == finished and (run / "checkpoint.ckpt").exists()
    assert vlae.load(run).undertrained.state.endswith(" of 1,000,000 steps")
    if finished:
        assert "! Undertrained: after " in command.said
    else:
        assert "vlae: stopped after " in command.said


@pytest.mark.slow
def test_without_a_terminal_it_is_kept(data, tmp_path):
    words = ["train", data, "--out", str(tmp_path / "run"), "--steps", "1000000", *WORDS]
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED, *words], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    until = time.monotonic() + 120
    while not (tmp_path / "run" / "metrics.csv").exists() or b"\n" not in (tmp_path / "run/metrics.csv").read_bytes():
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and b"f or k" not in said and b"vlae: stopped after " in said
    assert names(tmp_path / "run") == {"recipe.json", "metrics.csv", "checkpoint.ckpt"}


# Another length


@pytest.mark.parametrize("steps", [10, 30])
def test_a_resumed_run_may_become_shorter_or_longer(data, tmp_path, monkeypatch, steps):
    path = stopped(monkeypatch, data, tmp_path / "run")
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    run = quick(data, path, resume=True, steps=steps)
    assert column(run, "step")[-1] == steps and run.undertrained is None
    assert vlae.load(path).recipe.training.steps == steps == run.recipe.training.steps
    rates = dict(zip(column(run, "step"), column(run, "learning_rate"), strict=True))
    for at in range(8, steps + 1):  # the rate is that of the new length, after it has risen
        assert rates[at] == pytest.approx(
            run.recipe.training.learning_rate * rise_and_fall((at - 1) / steps, "cosine", 1)
        )


def test_a_run_may_be_ended_by_a_length_that_it_has_already(data, tmp_path, monkeypatch):
    path = stopped(monkeypatch, data, tmp_path / "run")
    run = quick(data, path, resume=True, steps=3)
    assert column(run, "step")[-1] == 6 and run.undertrained is None and names(path) == FINISHED


@pytest.mark.slow
def test_minutes_may_be_given_later(data, tmp_path, monkeypatch):
    path = stopped(monkeypatch, data, tmp_path / "run")
    run = quick(data, path, resume=True, steps=10**6, minutes=2 / 60)
    assert 2 <= column(run, "seconds")[-1] < 60 and run.recipe.training.minutes == 2 / 60
    assert run.undertrained.state.endswith("of 1,000,000 steps, in the 0.0333333 minutes that it was given")
    assert run.undertrained.mend == f"vlae train --more 10m {path}"


def test_levels_that_have_grown_stay_grown(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(0, 1, (60, 6)).astype(np.float32)
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    run = quick(x, tmp_path / "run", code_sizes=(1, 2))
    assert column(run, "fade_2")[-1] == 1
    longer = quick(x, tmp_path / "run", more=60, steps=None)
    assert all(grown == 1 for grown in column(longer, "fade_2")[19:]) and len(column(longer, "step")) == 80
    path = stopped(monkeypatch, x, tmp_path / "half", step=7, steps=40)
    half = column(vlae.load(path), "fade_2")
    assert 0 < half[-1] < 1
    grown = column(quick(x, path, resume=True, steps=200), "fade_2")
    assert grown == sorted(grown) and grown[-1] == 1 and grown[len(half)] - half[-1] < 0.1


# More


def test_a_finished_run_goes_on(data, tmp_path, monkeypatch):
    before = quick(data, tmp_path / "run")
    (before.path / "evaluation.json").write_text('{"old": true}')
    with monkeypatch.context() as patch:
        patch.setattr(loop.Recorder, "on_train_batch_end", lambda *_: pytest.fail("it has begun"))
        with pytest.raises(ValueError, match="more is '5 days'; give a number of steps"):
            train(before.path, more="5 days")
        with pytest.raises(ValueError, match="leave steps and minutes out"):
            train(before.path, more=5, steps=30)
        with pytest.raises(RunError, match="there is no run in runs/a to resume"):
            train(data, more=5)
        with pytest.raises(RunError, match=r"other settings \(seed\)"):
            train(before.path, more=5, seed=3)
    monkeypatch.setattr(loop, "LOG_EVERY", 4)
    run = train(before.path, more=12, progress=False)
    assert column(run, "step") == [20, 24, 28, 32] and run.recipe.training.steps == 32
    assert column(run, "seconds") == sorted(column(run, "seconds"))
    assert run.undertrained is None and run.identity != before.summary and not run.prior.is_standard
    assert names(run.path) == FINISHED | {"evaluation-old.json"}
    assert run.evaluation is None
    np.testing.assert_array_equal(run.examples, before.examples)
    moved = [name for name in weights(run) if not torch.equal(weights(run)[name], weights(before)[name])]
    assert moved
    assert_same(vlae.load(run.path), run)


def test_more_goes_on_for_a_time(data, tmp_path):
    run = quick(data, tmp_path / "run")
    for _ in range(2):
        step, seconds = column(run, "step")[-1], column(run, "seconds")[-1]
        run = train(run.path, more="1s", progress=False)
        assert 0.99 <= column(run, "seconds")[-1] - seconds < 60  # minutes are rounded to four digits
        assert run.recipe.training.minutes == pytest.approx((seconds + 1) / 60, abs=1e-4)
        assert run.recipe.training.steps == UNBOUNDED and column(run, "step")[-1] > step and run.undertrained is None


def test_more_minutes_are_given_whole_where_steps_have_become_quicker(data, tmp_path):
    """Those before were slow: the machine was busy, or had no GPU."""
    path = quick(data, tmp_path / "run").path
    curves = pd.read_csv(path / "metrics.csv")
    curves["seconds"] *= 1_000
    curves.to_csv(path / "metrics.csv", index=False)
    before = list(curves["seconds"])[-1]
    assert 0.99 <= column(train(path, more="1s", progress=False), "seconds")[-1] - before < 60


def test_a_run_of_an_earlier_version_goes_on(data, tmp_path):
    path = quick(data, tmp_path / "run").path
    summary = json.loads((path / "summary.json").read_text())
    del summary["training"]
    (path / "summary.json").write_text(json.dumps(summary))
    assert vlae.load(path).undertrained is None
    with pytest.raises(RunError, match="is finished"):
        train(path, resume=True)
    assert column(train(path, more=4, progress=False), "step") == [20, 24]


def test_an_array_is_given_again(tmp_path):
    for number, (given, what) in enumerate([(pictures(), "an array"), (load(list(pictures()), split="all"), "a list")]):
        path = quick(given, tmp_path / str(number)).path
        with pytest.raises(RunError, match=rf"was trained on {what}; give it again, with out="):
            train(path, more=4)
        assert column(train(given, out=path, more=4, progress=False), "step") == [20, 24]


def test_data_that_have_changed_are_not_trained_on(data, tmp_path):
    path = quick(data, tmp_path / "run").path
    np.save(data, pictures(seed=1))
    with pytest.raises(RunError, match="have changed since the run in"):
        train(path, more=4, progress=False)
    assert names(path) == FINISHED


@pytest.mark.parametrize("moment", range(1, 9))
def test_a_run_that_goes_on_loses_nothing_when_it_is_killed(data, tmp_path, monkeypatch, moment):
    """Whatever file is being written when it is killed, the finished model stays, or the new one is whole."""
    from vlae import atomic

    path = quick(data, tmp_path / "run").path
    was, prior = load_file(path / "model.safetensors"), vlae.load(path).prior.describe()
    undisturbed = shutil.copytree(path, tmp_path / "undisturbed")
    expected = train(undisturbed, more=8, progress=False)

    class Killed(BaseException):
        pass

    calls, real = [], atomic.replacing
    with monkeypatch.context() as patch:

        def replacing(file):
            calls.append(file.name)
            if len(calls) == moment:
                raise Killed
            return real(file)

        patch.setattr(atomic, "replacing", replacing)
        patch.setattr(loop, "CHECKPOINT_EVERY", 0)
        patch.setattr(loop, "LOG_EVERY", 4)
        with pytest.raises(Killed):
            train(path, more=8, progress=False)
    run = vlae.load(path)
    assert all(np.array_equal(was[name], value) for name, value in load_file(path / "model.safetensors").items())
    assert run.prior.describe() == prior and run.summary["training"]["steps"] == 20
    if moment > 1:  # its new length is written
        assert run.undertrained.state == "after 20 of 28 steps"
        again = train(path, resume=True, progress=False)
    else:
        again = train(path, more=8, progress=False)
    assert_same(again, expected)


@pytest.mark.parametrize(
    "name", ["examples.npy", "evaluation-old.json", "prior.safetensors", "model.safetensors", "summary.json"]
)
def test_a_run_killed_while_its_files_are_replaced_is_finished_by_resume(data, tmp_path, monkeypatch, name):
    path = quick(data, tmp_path / "run").path
    (path / "evaluation.json").write_text("{}")
    expected = train(shutil.copytree(path, tmp_path / "undisturbed"), more=4, progress=False)

    class Killed(BaseException):
        pass

    def replace(self, target, real=Path.replace):
        if Path(target).name == name:
            raise Killed
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(Killed):
            train(path, more=4, progress=False)
    assert vlae.load(path).undertrained.state == "after 20 of 24 steps"
    monkeypatch.setattr(loop.Engine, "training_step", lambda *_: pytest.fail("a step was done again"))
    run = train(path, resume=True, progress=False)
    assert_same(run, expected)
    assert run.summary == expected.summary and not run.prior.is_standard and run.undertrained is None
    assert names(path) == FINISHED | {"evaluation-old.json"}


@pytest.mark.slow
def test_a_kill_while_it_goes_on_loses_nothing(data, tmp_path):
    path = quick(data, tmp_path / "run").path
    was = vlae.load(path)
    process = subprocess.Popen([sys.executable, "-c", STARTED, "train", "--more", "1000000", str(path)])
    until = time.monotonic() + 120
    while not (path / "checkpoint.ckpt").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert vlae.load(path).summary == was.summary  # while it is trained
    with pytest.raises(ValueError, match=f"another process .pid {process.pid} on .* trains in"):
        train(path, more=4)
    process.kill()
    process.wait()
    run = vlae.load(path)
    assert_same(run, was)
    assert run.undertrained.state == "after 20 of 1,000,020 steps"
    assert column(train(path, resume=True, steps=24, progress=False), "step")[-1] >= 20


# An unfinished run opens


def test_an_unfinished_run_opens_from_its_checkpoint(data, tmp_path, monkeypatch, capsys, drawn):
    path = stopped(monkeypatch, data, tmp_path / "run")
    before = names(path)
    run = vlae.load(path)
    assert run.from_checkpoint and names(path) == before
    assert run.undertrained.state == "after 6 of 20 steps" and run.prior.is_standard
    finished = stopped(monkeypatch, data, tmp_path / "finished", on_interrupt="finish")
    assert_same(run, finished)
    assert run.identity == finished.identity and run.summary["training"] == finished.summary["training"]
    assert run.summary["elbo_nats"] == pytest.approx(finished.summary["elbo_nats"])
    np.testing.assert_array_equal(run.examples, finished.examples)
    assert [codes.shape for codes in run.encode(pictures(3)[:, None])] == [(3, 1), (3, 2)]

    assert cli_exit("figure", path, "samples") == 0
    plain = vlae.load(path)
    object.__setattr__(plain, "summary", {**run.summary, "training": {**run.summary["training"], "progress": 1.0}})
    assert plain.undertrained is None
    noted = run.figure("samples")
    assert noted.height > plain.figure("samples").height  # by a line of text
    monkeypatch.setattr(workflows.page, "write", page.write)
    assert cli_exit("evaluate", path) == 0
    said = capsys.readouterr().out
    text = f"Undertrained: after 6 of 20 steps. Go on with: vlae train --resume {path}"
    assert f"! {text}" in said
    html = page.write(run).read_text()
    assert html.count(f'<p class="warning">{text}</p>') == 1
    assert cli_exit("encode", path, data, "--out", tmp_path / "codes.npz") == 0
    assert "is not finished; finish it as it is with: vlae train --more 0" in refusal(
        capsys, "share", path, "--out", tmp_path / "shared"
    )
    resumed = quick(data, path, resume=True)
    assert resumed.evaluation is None  # it was of other weights
    assert "Undertrained" not in page.write(resumed).read_text()


def test_an_unfinished_run_opens_without_its_data(data, tmp_path, monkeypatch):
    path = stopped(monkeypatch, data, tmp_path / "run")
    Path(data).unlink()
    run = vlae.load(path)
    assert run.summary["levels"][0]["kl_nats"] is None and len(run.examples) == 0
    assert "a.npy" in run.summary["not_defined"]["elbo_nats"]
    assert run.undertrained.state == "after 6 of 20 steps" and run.sample(2).shape == (2, 1, 8, 8)
    assert page.content(run)


def test_a_run_without_a_checkpoint_or_with_a_damaged_one_says_so(data, tmp_path, monkeypatch):
    path = stopped(monkeypatch, data, tmp_path / "run")
    checkpoint = path / "checkpoint.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"checkpoint.ckpt is damaged .* delete it, and begin the run again with: vlae"):
        vlae.load(path)
    checkpoint.unlink()
    with pytest.raises(RunError, match=r"not finished, and has no checkpoint yet; go on with: vlae train --resume"):
        vlae.load(path)


def test_a_checkpoint_that_does_not_fit_is_refused(data, tmp_path, monkeypatch):
    path = stopped(monkeypatch, data, tmp_path / "run")
    other = stopped(monkeypatch, data, tmp_path / "other", code_sizes=(2, 2))
    shutil.copyfile(other / "checkpoint.ckpt", path / "checkpoint.ckpt")
    with pytest.raises(RunError, match="does not fit the recipe"):
        vlae.load(path)
    with pytest.raises(RunError, match="does not fit the recipe"):
        quick(data, path, resume=True)


def test_a_checkpoint_runs_no_code(data, tmp_path, monkeypatch):
    path = stopped(monkeypatch, data, tmp_path / "run")

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "evil"),))

    torch.save({"global_step": 1, "seconds": 1.0, "state_dict": Evil()}, path / "checkpoint.ckpt")
    with pytest.raises(RunError, match="is damaged"):
        vlae.load(path)
    assert not (tmp_path / "evil").exists()
