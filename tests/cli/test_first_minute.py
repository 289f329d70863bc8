"""The first minute of `vlae train`, what a program can read, and the completion of a shell."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import cli_exit, refusal
from PIL import Image

import vlae
from vlae.cli import beginning
from vlae.cli import main as cli
from vlae.cli.options import Reading
from vlae.cli.output import print_json
from vlae.runs.layout import RunError

QUICK = ("--steps", "4", "--batch-size", "8", "--code-sizes", "1,2")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first") / "photos"
    rng = np.random.default_rng(0)
    for i in range(40):
        kind = folder / ("cat" if i % 2 else "dog")
        kind.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(kind / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def trained(photos):
    assert cli_exit("train", photos, "--out", photos.parent / "run", "--quiet", *QUICK) == 0
    return photos.parent / "run"


# What is said first


def test_a_source_is_read_and_told_of_before_torch_is_imported(photos, tmp_path):
    code = """if True:
        import sys
        from pathlib import Path
        from vlae.cli import beginning, options
        beginning.say_reading(sys.argv[1])
        beginning.read_first(sys.argv[1], Path(sys.argv[2]), options.Reading())
        assert not {"torch", "lightning", "sklearn", "matplotlib"} & set(sys.modules)
        """
    words = [sys.executable, "-c", code, photos, tmp_path / "run"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert lines[0] == f"reading   {photos} …" and done.stdout == ""
    assert lines[1:] == ["found     40 pictures of 8×8 pixels (40 .png)", "classes   2: cat 20, dog 20"]
    assert not (tmp_path / "run").exists()


def test_training_says_what_it_reads_finds_and_does(photos, tmp_path, capsys):
    assert cli_exit("train", photos, "--size", "16", "--out", tmp_path / "run", *QUICK) == 0
    said = capsys.readouterr().err
    first = [line.split()[0] for line in said.splitlines()][:7]
    assert first == ["reading", "found", "classes", "form", "train", "model", "steps"]
    assert said.count("found ") == 1


def test_a_folder_that_cannot_be_used_is_refused_before_anything_is_read(photos, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("vlae.data.load", None)
    with pytest.raises(RunError, match="exists already"):
        beginning.read_first(str(photos), trained, Reading())
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="cannot be written"):
        beginning.read_first(str(photos), tmp_path / "file" / "run", Reading())


def test_a_cache_that_cannot_be_written_is_told_of_in_one_line(photos, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("VLAE_CACHE", str(tmp_path / "file" / "cache"))
    line = refusal(capsys, "train", photos, "--size", "24", "--out", tmp_path / "run")
    assert "cannot keep decoded images" in line and "set VLAE_CACHE to a folder" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("rank", ["0", "1"])
def test_one_of_many_processes_speaks(monkeypatch, rank):
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert beginning.is_first_process() == (rank == "0")


# What a program can read


def test_quiet_prints_the_folder_and_nothing_else(photos, tmp_path, capsys):
    assert cli_exit("train", photos, "--out", tmp_path / "run", "--quiet", *QUICK) == 0
    assert capsys.readouterr() == (f"{tmp_path / 'run'}\n", "")


def test_an_error_is_not_quiet(tmp_path, capsys):
    assert "no such file" in refusal(capsys, "train", tmp_path / "none", "--quiet")


def test_train_ends_with_json(photos, tmp_path, capsys):
    assert cli_exit("train", photos, "--out", tmp_path / "run", "--json", *QUICK) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)  # nothing else is there
    assert told["path"] == str(tmp_path / "run") and told["seconds"] > 0
    assert told["summary"] == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert "train on" in printed.err


def told(capsys, *words):
    capsys.readouterr()
    assert cli_exit(*words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_codes_and_odd_ones_as_json(photos, trained, tmp_path, capsys):
    assert told(capsys, "encode", trained, photos, "--out", tmp_path / "a.npz") == {"path": str(tmp_path / "a.npz")}
    odd = told(capsys, "odd", trained, photos, "--num", "2", "--level", "1", "--out", tmp_path / "odd.png")
    assert [row["rank"] for row in odd["outliers"]] == [1, 2] * 2 and odd["outliers"][0]["name"].endswith(".png")
    assert odd["figure"] == str(tmp_path / "odd.png") and odd["table"] is None
    classes = told(capsys, "classify", trained, photos, "--out", tmp_path / "classes.csv")
    assert len(classes["classes"]) == 40 and {row["class"] for row in classes["classes"]} <= {"cat", "dog"}
    assert classes["table"] == str(tmp_path / "classes.csv") and (tmp_path / "classes.csv").exists()


def test_what_writes_one_file_prints_its_path_as_json(photos, trained, tmp_path, capsys):
    run = shutil.copytree(trained, tmp_path / "run")
    for words in (("figure", run, "samples"), ("report", run), ("mix", run, "--level", "1", photos / "cat" / "1.png")):
        path = tmp_path / f"{words[0]}{'.html' if words[0] == 'report' else '.png'}"
        assert told(capsys, *words, "--out", path) == {"path": str(path)} and path.exists()
    fitted = told(capsys, "fit-prior", run)
    assert fitted["path"] == str(run / "prior.safetensors") and fitted["prior"]
    assert told(capsys, "share", run, "--out", tmp_path / "shared") == {
        "path": str(tmp_path / "shared"),
        "examples": len(np.load(run / "examples.npy")),
    }


def test_an_export_as_json(trained, tmp_path, capsys):
    pytest.importorskip("onnxscript")
    exported = told(capsys, "export", trained, "--out", tmp_path / "onnx")
    assert str(tmp_path / "onnx" / "encoder.onnx") in exported["files"] and max(exported["differences"].values()) < 1e-4


def test_an_index_and_neighbours_as_json(photos, trained, tmp_path, capsys):
    pytest.importorskip("lancedb")
    made = told(capsys, "index", trained, photos / "cat", "--out", tmp_path / "index")
    assert made == {"path": str(tmp_path / "index"), "images": 20, "added": 20, "recall": {}}
    assert told(capsys, "index", trained, photos / "dog", "--add", "--out", tmp_path / "index")["added"] == 20
    words = ("similar", trained, photos / "cat" / "1.png", "--index", tmp_path / "index", "--num", "3", "--level", "1")
    found = told(capsys, *words, "--out", tmp_path / "similar.png")
    assert [row["rank"] for row in found["neighbours"]] == [1, 2, 3]
    assert found["figure"] == str(tmp_path / "similar.png")


def test_a_comparison_as_json(photos, trained, tmp_path, capsys):
    other = shutil.copytree(trained, tmp_path / "other")
    (compared,) = told(capsys, "compare", trained, other, "--out", tmp_path / "compared")
    assert "measures" in compared and "protocol" in compared


def test_json_has_no_nan(capsys):
    print_json({"path": Path("a"), "numbers": [1.5, float("nan"), (float("inf"),)]})
    assert json.loads(capsys.readouterr().out) == {"path": "a", "numbers": [1.5, None, [None]]}


# Completion


def test_a_shell_completes_commands_and_options(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli_exit("--install-completion", "--shell", "bash") == 0
    script = tmp_path / ".local/share/bash-completion/completions/vlae"
    assert str(script) in (tmp_path / ".bashrc").read_text()
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    ask = """
        source "$1"; shift
        complete=$(complete -p vlae); complete=${complete#*-F }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; ${complete%% *} vlae "${@: -1}" ""; printf '%s\\n' "${COMPREPLY[@]}"
        """

    def offered(*words):
        done = subprocess.run(["bash", "-c", ask, "bash", script, *words], capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert offered("vlae", "tra") == ["train"]
    assert set(offered("vlae", "train", "--q")) == {"--quality", "--quiet"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_completion_that_knows_every_command(shell):
    script = cli.app.generate_completion(shell=shell)
    assert all(name in script for name in ("train", "evaluate", "explore", "--quality"))


def test_help_tells_of_it(capsys):
    assert cli_exit("--help") == 0
    assert "--install-completion" in capsys.readouterr().out and vlae.__version__
