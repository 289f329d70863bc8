"""The folder of a run that a stranger made: no link is followed, no pipe waited for, no missing number assumed."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from interrupting import stop_at_step
from torch.utils._pytree import tree_leaves

import vlae
from vlae.report.page import content
from vlae.runs import layout
from vlae.runs.layout import RunError
from vlae.training.train import Stopped
from vlae.workflows import train

SETTINGS = {"steps": 20, "batch_size": 8, "code_sizes": (1, 2), "progress": False}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    file = tmp_path_factory.mktemp("data") / "a.npy"
    np.save(file, np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8))
    return file


@pytest.fixture(scope="module")
def made(tmp_path_factory, pictures):
    run = train(pictures, out=tmp_path_factory.mktemp("runs") / "run", **SETTINGS)
    vlae.evaluate(run)
    return run


@pytest.fixture
def strange(made, tmp_path):
    return shutil.copytree(made.path, tmp_path / "strange")


FILES = ("recipe.json", "model.safetensors", "summary.json", "evaluation.json", "examples.npy", "metrics.csv")


@pytest.mark.parametrize("name", [*FILES, "prior.safetensors", "report.html", "checkpoint.ckpt", "config.json"])
def test_a_link_to_a_file_is_refused(strange, tmp_path, name):
    (tmp_path / "secret").write_text("secret")
    (strange / name).unlink(missing_ok=True)
    (strange / name).symlink_to(tmp_path / "secret")
    with pytest.raises(RunError, match=rf"{name} is a link; copy the folder with what its links lead to"):
        vlae.load(strange)


@pytest.mark.parametrize("name", ["figures", "index"])
def test_nothing_is_written_through_a_link_to_a_folder(strange, tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    shutil.rmtree(strange / name, ignore_errors=True)
    (strange / name).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(RunError, match=rf"{name} is a link"):
        vlae.load(strange)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_that_is_a_link_itself_opens(strange, tmp_path):
    (tmp_path / "mine").symlink_to(strange, target_is_directory=True)
    assert vlae.load(tmp_path / "mine").figure("samples", num=1)


@pytest.mark.parametrize("name", [*FILES, "prior.safetensors"])
def test_a_pipe_is_not_waited_for(strange, name):
    (strange / name).unlink()
    os.mkfifo(strange / name)
    with pytest.raises(RunError, match=rf"{name} is no regular file"):
        run = vlae.load(strange)
        assert len(run.history) and run.evaluation and run.prior


@pytest.fixture
def unfinished(tmp_path, pictures, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_at_step(patch, 7)
        train(pictures, out=tmp_path / "unfinished", **SETTINGS)
    return tmp_path / "unfinished"


def test_what_a_training_goes_on_from_is_checked(unfinished, pictures, tmp_path):
    checkpoint, curves = unfinished / layout.CHECKPOINT, unfinished / layout.METRICS
    whole, rows = checkpoint.read_bytes(), curves.read_bytes()

    def refused(words):
        with pytest.raises(RunError, match=words):
            train(pictures, out=unfinished, resume=True, **SETTINGS)

    curves.write_bytes(rows + b"\xff\xfe")
    refused(r"metrics\.csv cannot be read \(.*\); move it away, and --resume goes on without earlier curves")
    curves.write_bytes(rows)
    for damaged in (whole[:1000], whole[:500] + b"\x00" * 500 + whole[1000:], b""):
        checkpoint.write_bytes(damaged)
        refused(r"checkpoint\.ckpt is damaged \(.*\); delete it, and --resume begins the run again")
    for part in ("state_dict", "optimizer_states"):
        checkpoint.write_bytes(whole)
        content = torch.load(checkpoint, weights_only=True)
        numbers = [each for each in tree_leaves(content[part]) if isinstance(each, torch.Tensor) and each.ndim]
        numbers[0][(0,) * numbers[0].ndim] = float("inf")
        torch.save(content, checkpoint)
        refused(r"checkpoint\.ckpt is damaged \(numbers of .* are NaN or infinite\); delete it, and --resume begins")
    checkpoint.unlink()
    os.mkfifo(checkpoint)
    refused(r"checkpoint\.ckpt is damaged \(checkpoint\.ckpt is no regular file\)")
    checkpoint.unlink()
    (tmp_path / "other").write_bytes(whole)
    checkpoint.symlink_to(tmp_path / "other")
    refused(r"checkpoint\.ckpt is a link")
    checkpoint.unlink()
    checkpoint.write_bytes(whole)
    assert train(pictures, out=unfinished, resume=True, **SETTINGS).summary["num_images"] > 0


# Numbers that are missing


def paths(record, at=()):
    """Every place in a JSON object, but the protocol's inner ones, which nothing reads."""
    items = record.items() if isinstance(record, dict) else enumerate(record)
    for key, value in items:
        yield (*at, key)
        if isinstance(value, dict | list) and key != "protocol":
            yield from paths(value, (*at, key))


OTHER = (None, "text", [], {}, True)


def changes(record):
    """The object without one value, and with two others in its place, which take turns; for each place."""
    for turn, path in enumerate(paths(record)):
        for value in ("missing", OTHER[turn % 5], OTHER[(turn + 2) % 5]):
            changed = json.loads(json.dumps(record))
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            if value == "missing":
                del inner[path[-1]]
            else:
                inner[path[-1]] = value
            yield path, changed


@pytest.mark.slow
def test_a_summary_or_evaluation_is_whole_or_refused(strange, made, monkeypatch):
    """Whatever is missing: the file is refused in a line that names it, or everything is shown."""
    levels, examples = vlae.report.levels, vlae.as_input(made.examples)
    same = {  # what is drawn is the same for all
        "level_tiles": levels.level_tiles(made.model, made.prior, examples),
        "traversal_tiles": levels.traversal_tiles(made.model, made.prior, examples, steps=3, max_rows=1),
    }
    for drawing, result in same.items():
        monkeypatch.setattr(levels, drawing, lambda *args, result=result, **settings: result)
    monkeypatch.setattr(type(made), "dimension_names", made.dimension_names)
    monkeypatch.setattr(vlae.report.page, "figures_of", lambda *args: [])
    refused = shown = 0
    run = vlae.load(strange)
    for name in ("summary.json", "evaluation.json"):
        whole = json.loads((strange / name).read_text())
        for path, changed in changes(whole):
            (strange / name).write_text(json.dumps(changed))
            try:
                run = vlae.load(strange) if name == "summary.json" else run
                content(run)
                run._shared(examples=False, license=None).generate_model_card()
                shown += 1
            except RunError as error:
                assert name in str(error) and "\n" not in str(error), path
                refused += 1
        (strange / name).write_text(json.dumps(whole))
        run = vlae.load(strange)
    assert shown > 50 and refused > 200


def test_an_evaluation_of_a_table_is_read_again(tmp_path):
    table = tmp_path / "a.csv"
    np.savetxt(table, np.random.default_rng(0).normal(size=(60, 3)), delimiter=",", header="a,b,c", comments="")
    run = train(table, out=tmp_path / "run", **SETTINGS)
    vlae.evaluate(run)
    assert "explains of the columns" in content(vlae.load(run.path))


def test_a_number_of_unknown_name_is_refused(strange):
    summary = json.loads((strange / "summary.json").read_text())
    summary["reconstruction"]["psr\x1b"] = 1.0
    (strange / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(RunError, match=r"summary.json is incomplete.*reconstruction has 'psr\\\\x1b', which is not"):
        vlae.load(strange)
