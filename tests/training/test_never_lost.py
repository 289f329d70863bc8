"""What stops a training, runs beside it or changes its data never loses the run, nor mixes it with another."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from command_line import cli_exit, refusal
from interrupting import stop_at_step
from PIL import Image

import vlae
from vlae import atomic, workflows
from vlae.atomic import WriteError
from vlae.data import DataError
from vlae.data import load as load_data
from vlae.data.content import content_hashes
from vlae.runs import hub
from vlae.runs.layout import RunError
from vlae.training import loop
from vlae.training.train import Stopped
from vlae.workflows import train

BYTES = os.fsdecode(b"caf\xe9")
"""A name that is not UTF-8."""


@pytest.fixture(autouse=True)
def _no_page(request, monkeypatch):
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(workflows.page, "write", lambda run: None)


@pytest.fixture
def drawn():
    """Asked for by tests that want figures and a page."""


def quick(source, out, **settings):
    return train(source, out=out, **{"steps": 6, "batch_size": 8, "code_sizes": (1, 2), "progress": False, **settings})


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)


def save(folder, *seeds):
    folder.mkdir(exist_ok=True, parents=True)
    for seed in seeds:
        Image.fromarray(picture(seed)).save(folder / f"{seed:03d}.png")
    return folder


@pytest.fixture
def photos(tmp_path):
    return save(tmp_path / "photos", *range(20, 60))


def stopped(monkeypatch, source, out):
    with monkeypatch.context() as patch:
        stop_at_step(patch, 4)
        with pytest.raises(Stopped):
            quick(source, out)
    return out


# Two at once


@pytest.fixture
def training(photos, tmp_path):
    """A training in another process, which has begun and does not end."""
    code = f"""
import time
from vlae.training import loop
from vlae.workflows import train
def begin(self, *args):
    print("begun", flush=True)
    time.sleep(100)
loop.Recorder.on_train_start = begin
train({str(photos)!r}, out={str(tmp_path / "run")!r}, steps=6, batch_size=8, code_sizes=(1, 2), progress=False)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    yield process
    process.kill()
    process.wait()


@pytest.mark.slow
def test_the_second_training_in_a_folder_is_told_of_the_first(training, photos, tmp_path, capsys):
    run = tmp_path / "run"
    words = f"another process (pid {training.pid} on {os.uname().nodename}) trains in {run}; wait until it has ended"
    for more in ((), ("--resume",)):
        assert words in refusal(capsys, "train", photos, "--out", run, *more)
    before = {file.name for file in run.iterdir()}
    assert before == {".lock", "recipe.json"}
    training.send_signal(signal.SIGKILL)
    training.wait()
    quick(str(photos), run, resume=True)
    assert not (run / ".lock").exists() and vlae.load(run).history["step"].tolist() == [6]


# A kill at the very beginning


@pytest.mark.parametrize("left", [(".recipe.json.123.ab",), (".lock",), (".recipe.json.123", ".lock"), ()])
def test_a_folder_of_a_training_killed_before_its_recipe_starts(photos, tmp_path, left):
    run = tmp_path / "run"
    run.mkdir()
    for name in left:
        (run / name).write_text('{"ha')
    with pytest.raises(RunError, match=r"there is no run in .* to resume; leave --resume out to begin one"):
        quick(str(photos), run, resume=True)
    for again in ({"resume": True}, {"more": 5}):  # the run's folder is named, as messages of a stopped training do
        with pytest.raises(RunError, match=rf"no run in {run} yet, nor in runs/run, .* begins it again, without --res"):
            train(str(run), **again)
    quick(str(photos), run)
    assert not [file for file in run.iterdir() if file.name.startswith(".")]


def test_a_run_that_was_never_begun_is_named(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"no run in k/r5\.0 yet, nor in runs/r5\.0, to go on with"):
        train("k/r5.0", resume=True)
    with pytest.raises(RunError, match=r"no run in runs/\w+ to resume; leave --more out to begin one"):
        train(str(photos), more=5)  # a folder of data


def test_what_is_the_users_is_no_leftover(photos, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".hidden.123").write_text("mine")
    with pytest.raises(RunError, match="exists already"):
        quick(str(photos), tmp_path / "run")
    assert [file.name for file in (tmp_path / "run").iterdir()] == [".hidden.123"]


# Data that change


def add(folder):
    save(folder, *range(5))


def remove(folder):
    (folder / "030.png").unlink()


def edit(folder):
    Image.fromarray(picture(999)).save(folder / "030.png")


def reorder(folder):
    (folder / "030.png").rename(folder / "000.png")


@pytest.mark.parametrize("change", [add, remove, edit, reorder])
def test_data_that_have_changed_are_not_resumed(photos, tmp_path, monkeypatch, change):
    run = stopped(monkeypatch, str(photos), tmp_path / "run")
    shutil.copytree(photos, tmp_path / "kept")
    change(photos)
    with pytest.raises(RunError, match=f"the data in {photos} have changed since the run in {run} was begun; put them"):
        quick(str(photos), run, resume=True)
    shutil.rmtree(photos)
    shutil.copytree(tmp_path / "kept", photos)  # with other times
    assert quick(str(photos), run, resume=True).history["step"].iloc[-1] == 6


def test_data_that_were_moved_are_known_by_their_content(photos, tmp_path, monkeypatch):
    run = stopped(monkeypatch, str(photos), tmp_path / "run")
    moved = photos.rename(tmp_path / "moved")
    shutil.copytree(moved, tmp_path / "other")
    edit(tmp_path / "other")
    with pytest.raises(RunError, match=f"was begun on {photos}, not on {tmp_path / 'other'}; give that"):
        quick(str(tmp_path / "other"), run, resume=True)
    resumed = quick(str(moved), run, resume=True)
    assert resumed.history["step"].iloc[-1] == 6
    assert len(vlae.load(run).part("test")) == 10  # it is read where the data are now


def test_an_array_is_known_by_its_content(tmp_path, monkeypatch):
    values = np.stack([picture(seed) for seed in range(40)])
    run = stopped(monkeypatch, values, tmp_path / "run")
    other = values.copy()
    other[7, 0, 0] ^= 1
    with pytest.raises(RunError, match="the data in an array have changed"):
        quick(other, run, resume=True)
    quick(values, run, resume=True)


def test_an_unfinished_run_that_does_not_know_its_data_goes_on(photos, tmp_path, monkeypatch):
    run = stopped(monkeypatch, str(photos), tmp_path / "run")
    record = json.loads((run / "recipe.json").read_text())
    del record["data"]["content"]  # as earlier versions wrote it
    (run / "recipe.json").write_text(json.dumps(record))
    quick(str(photos), run, resume=True)


def hashes(images):
    return set(content_hashes(images.values).tolist())


@pytest.mark.parametrize("change", [add, remove, edit, reorder])
def test_what_was_held_out_stays_held_out(photos, tmp_path, change):
    run = quick(str(photos), tmp_path / "run")
    trained, held_out = hashes(run.part("train")), hashes(run.part("test"))
    assert len(trained) == 30 and len(held_out) == 10
    change(photos)
    assert hashes(load_data(photos, split="test")) & trained or change is edit  # what chance would hold out now
    run = vlae.load(run.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for test in (
            run.part("test"),
            run.read(photos, split="test"),
            run.read(os.path.relpath(photos), split="test"),
        ):
            assert hashes(test) <= held_out and len(test) >= 9
        assert not hashes(run.part("train")) & held_out
        assert hashes(run.part("all")) == hashes(load_data(photos, split="all"))


def test_it_is_said_when_they_are_no_longer_all_there(photos, tmp_path, capsys):
    run = quick(str(photos), tmp_path / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is said of data that are as they were
        run.part("test")
    gone = run.part("test").names[:3]
    for name in gone:
        (photos / name).unlink()
    with pytest.warns(UserWarning, match="of the 10 data that were held out 7 are left, and these alone are its test"):
        assert len(vlae.load(run.path).part("test")) == 7
    capsys.readouterr()
    with pytest.warns(UserWarning, match="has changed since the run was trained"):
        assert cli_exit("evaluate", run.path, photos, "--json") == 0
    assert json.loads(capsys.readouterr().out)["protocol"]["data"]["num_images"] == 7
    shutil.rmtree(photos)
    save(photos, *range(100, 140))
    with pytest.raises(DataError, match=r"10 data that were held out none is left, .*; give other data to measure on"):
        vlae.load(run.path).part("test")
    assert len(vlae.load(run.path).part("all")) == 40


def test_a_picture_moved_from_the_train_folder_is_not_tested_on(tmp_path):
    photos = tmp_path / "photos"
    save(photos / "train", *range(30)), save(photos / "test", *range(100, 110))
    run = quick(str(photos), tmp_path / "run")
    (photos / "train" / "003.png").rename(photos / "test" / "003.png")
    save(photos / "test", 200)
    with pytest.warns(UserWarning, match="10 are left"):
        assert hashes(vlae.load(run.path).part("test")) == {
            *content_hashes(np.stack([picture(i)[None] for i in range(100, 110)]))
        }


def test_another_key_of_the_file_is_other_data(tmp_path):
    values = np.stack([picture(seed) for seed in range(80)])
    np.savez(tmp_path / "a.npz", a=values[:40], b=values[40:])
    run = quick(str(tmp_path / "a.npz"), tmp_path / "run", key="a")
    assert len(run.read(tmp_path / "a.npz", split="test", key="b")) == 10


# Names that are not UTF-8


@pytest.mark.slow
def test_names_that_are_not_utf8_lose_nothing(tmp_path, monkeypatch, drawn):
    photos = tmp_path / BYTES
    try:
        save(photos, *range(40))
    except OSError:
        pytest.skip("this file system has no such names")
    run = stopped(monkeypatch, str(photos), tmp_path / "runs" / BYTES)
    run = quick(str(photos), run, resume=True)
    page = (run.path / "report.html").read_text()
    assert r"caf\xe9 · vlae" in page and rf"trained on {tmp_path}/caf\xe9 (1 × 8 × 8)" in page
    run = vlae.load(run.path)
    assert len(run.part("test")) == 10 and not run.prior.is_standard
    card = (run.save_pretrained(tmp_path / BYTES / "shared") / "README.md").read_text()
    assert r"# caf\xe9" in card
    assert vlae.load(tmp_path / BYTES / "shared").summary == run.summary


@pytest.mark.slow
def test_a_name_that_is_not_utf8_is_printed_with_escapes(photos, tmp_path):
    code = "from vlae.cli.main import main; main()"
    run = quick(str(photos), tmp_path / "run")
    words = [sys.executable, "-c", code, "figure", run.path, "samples", "--num", "2", "--out"]
    out = os.fsencode(tmp_path) + b"/caf\xe9.png"
    done = subprocess.run([*words, out], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, os.fsencode(tmp_path) + b"/caf\\xe9.png\n"), done.stderr
    assert Path(os.fsdecode(out)).exists()
    done = subprocess.run(
        [*words, tmp_path / "→.png"], capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert (done.returncode, done.stdout) == (0, os.fsencode(tmp_path) + b"/\\u2192.png\n"), done.stderr


# A full disk


def full_at(patch, moment):
    """Makes the disk full at the n-th file that is written, 1 first, and says what was to be written."""
    written, original = [], atomic.replacing

    @contextmanager
    def replacing(path):
        with original(path) as partial:
            yield partial
            written.append(path.name)
            if len(written) == moment:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patch.setattr(atomic, "replacing", replacing)
    return written


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_moment_loses_nothing(photos, tmp_path, monkeypatch):
    expected = quick(str(photos), tmp_path / "undisturbed").identity
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 0)
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    stopped_at = []
    for moment in range(1, 100):
        run = tmp_path / f"run{moment}"
        with monkeypatch.context() as patch:
            written = full_at(patch, moment)
            try:
                quick(str(photos), run)
            except WriteError as error:
                stopped_at.append(written[-1])
                resumes = (run / "recipe.json").exists()
                assert f"{written[-1]} cannot be written (No space left on device); make room" in str(error)
                assert str(error).endswith("the training goes on with --resume (resume=True)") == resumes
            else:
                break
        assert not run.exists() or not [file for file in run.iterdir() if file.name.startswith(".")]
        assert quick(str(photos), run, resume=resumes).identity == expected
    files = ["recipe.json", "metrics.csv", *["checkpoint.ckpt"] * 3, "examples.npy", "held_out.npy", "summary.json"]
    assert stopped_at == [*files, "prior.safetensors", "model.safetensors"]  # ten moments, and the last decides


@pytest.mark.parametrize("write", ["copyfile", "replacing"])
def test_a_disk_full_while_sharing_leaves_no_half_folder(photos, tmp_path, monkeypatch, write):
    run = quick(str(photos), tmp_path / "run")
    with monkeypatch.context() as patch:
        if write == "copyfile":
            patch.setattr(hub.shutil, "copyfile", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        else:
            full_at(patch, 2)
        with pytest.raises(WriteError, match=r"cannot be written \(.*\); make room, then do the same again$"):
            run.save_pretrained(tmp_path / "shared")
    assert not [file.name for file in tmp_path.iterdir() if "shared" in file.name]
    assert vlae.load(run.save_pretrained(tmp_path / "shared")).identity == run.identity


# What comes after the training


@pytest.mark.parametrize("error", [ValueError("no"), RuntimeError(), MemoryError(), WriteError("full")])
def test_whatever_stops_the_page_the_run_is_finished(photos, tmp_path, monkeypatch, capsys, error):
    monkeypatch.setattr(workflows.page, "write", lambda run: (_ for _ in ()).throw(error))
    run = quick(str(photos), tmp_path / "run")
    assert f"draw its figures and page with: vlae report {run.path}" in capsys.readouterr().err
    assert vlae.load(run.path).summary == run.summary
