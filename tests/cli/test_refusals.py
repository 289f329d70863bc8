"""What words and files tell is refused at once: before PyTorch, Lightning or a run's weights are read."""

import inspect
import json
import subprocess
import sys

import pytest
from command_line import refusal

from vlae import recipes
from vlae.cli import checks, main
from vlae.figures.kinds import KINDS
from vlae.figures.options import OPTIONS

HEAVY = ("torch", "lightning", "sklearn", "scipy", "pandas", "pyarrow", "datasets", "huggingface_hub", "matplotlib")

REFUSED = {
    "train streets --out there": "there exists already",
    "train streets --recipe nosuch": "there is no recipe 'nosuch'; choose one of lean, joint, vae",
    "train nosuch": "nosuch: no such file or folder",
    "train streets --labels nosuch.csv": "labels 'nosuch.csv' cannot be read ([Errno 2] No such file or directory",
    "classify streets streets --labels nosuch.csv": "labels 'nosuch.csv' cannot be read ([Errno 2] No such file",
    "compare vae --data streets --labels nosuch.csv": "labels 'nosuch.csv' cannot be read ([Errno 2] No such file",
    "train streets --quality best": "--quality",
    "train streets --codes 2,x": "code sizes are '2,x'",
    "train streets --beta high": "beta is 'high'",
    "demo --out there": "there exists already",
    "data ": "the source is '', no path and no name",
    "train  --labels all": "the source is '', no path and no name",
    "fit-prior streets --seed -1": "seed is -1; give a whole number from 0 to 4294967295",
    "figure streets samples --seed -1": "seed is -1; give a whole number from 0 to 4294967295",
    "encode streets streets --out a.npz --seed 4294967296": "seed is 4294967296; give a whole number from 0 to",
    "odd streets streets --seed -1": "seed is -1; give a whole number from 0 to 4294967295",
    "data nosuch": "nosuch: no such file or folder",
    "figure nosuch": "there is no run folder nosuch",
    "figure there": "there holds no run",
    "figure streets nosuch": "there is no figure 'nosuch'; choose one of levels, samples",
    "figure streets samples --span 3": "has no option --span; it has --prior, --num, --seed, --pixels",
    "figure streets traversal --num 3": "no option --num; it has --prior, --from-image, --random, --seed, --span",
    "figure streets samples --num 0": "num is 0; give a whole number from 1 up",
    "odd streets streets --num 0": "num is 0; give a whole number from 1 up",
    "odd streets streets --level 0": "level is 0; give a whole number from 1 up",
    "odd streets streets --reference 3": "reference is 3; give a whole number from 12 up",
    "similar streets a.png --num 0": "num is 0; give a whole number from 1 up",
    "similar streets a.png --level 0": "level is 0; give a whole number from 1 up",
    "evaluate streets streets --importance-samples -1": "importance-samples is -1; give a whole number from 0 up",
    "compare vae --data streets --seeds 0": "seeds is 0; give a whole number from 1 up",
    "study gibbs --data streets --seeds 0": "seeds is 0; give a whole number from 1 up",
    "figure streets samples --random": "a 'samples' figure does not start from one image; 'levels' and 'traversal' do",
    "figure streets samples --out a.jpg": "a.jpg is not called one",
    "figure streets levels --random --from-image a.png": "give one of the two",
    "figure streets levels --from-image nosuch.png": "nosuch.png: no such file or folder",
    "fit-prior nosuch": "there is no run folder nosuch",
    "evaluate nosuch": "there is no run folder nosuch",
    "evaluate streets --limit 3": "go with a source",
    "evaluate streets --limit 0": "go with a source",
    "evaluate streets --beside nosuch": "there is no run folder nosuch",
    "evaluate streets nosuch": "nosuch: no such file or folder",
    "report nosuch": "there is no run folder nosuch",
    "report streets --out file/report.html": "cannot be written",
    "report streets --out there": "there is a folder; give the name of a file to write",
    "figure streets samples --out there.png": "there.png is a folder; give the name of a file to write",
    "compare vae --data nosuch": "nosuch: no such file or folder",
    "study gibbs --data nosuch": "nosuch: no such file or folder",
    "encode nosuch streets --out a.npz": "there is no run folder nosuch",
    "encode streets nosuch --out a.npz": "nosuch: no such file or folder",
    "encode streets streets --out a.txt": "a.txt: codes are kept in a .parquet, .npz or .lance file",
    "encode streets streets --out file.npz": "file.npz exists already",
    "decode streets nosuch.npz --out a": "nosuch.npz: no such file or folder of codes",
    "decode streets file.npz --out a.txt": "a.txt: pictures are written to an .npz file, or to a folder",
    "decode streets file.npz --out there": "there exists already",
    "merge a.parquet nosuch.parquet": "nosuch.parquet: no such file or folder of codes",
    "odd nosuch streets": "there is no run folder nosuch",
    "odd streets streets --out a.jpg": "a.jpg is not called one",
    "odd streets streets --table a.txt": "a.txt: a table is a .csv or .parquet file",
    "odd streets streets --table file.csv": "file.csv exists already",
    "classify nosuch streets": "there is no run folder nosuch",
    "classify streets streets --out file.csv": "file.csv exists already",
    "index nosuch streets": "there is no run folder nosuch",
    "index streets streets --add": "there is no index",
    "similar streets a.png": "there is no index",
    "similar hf:someone/ladder a.png": "there is no index",
    "similar streets a.png --out a.jpg": "a.jpg is not called one",
    "similar streets a.png --table file.csv": "file.csv exists already",
    "mix streets --level 1 nosuch.png": "nosuch.png: no such file or folder",
    "mix streets --level x nosuch.png": "the levels are 'x'",
    "mix streets --level 1 file.csv --base file.csv --fill": "give base or fill, not both",
    "mix streets --level 1 file.csv --out a.jpg": "a.jpg is not called one",
    "share streets": "give either a repository",
    "share nosuch --out a": "there is no run folder nosuch",
    "share streets --out there": "there exists already",
    "export nosuch": "there is no run folder nosuch",
    "explore nosuch": "there is no run folder nosuch",
    "explore streets nosuch": "nosuch: no such file or folder",
    "select nosuch.csv there --out a": "nosuch.csv",
    "select file.csv there --out a": "file.csv has nothing in it",
}
"""Commands, and what each is refused with. There are a folder `there`, which is not empty, and empty ones and files."""


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """The exit code, the error and the heavy modules imported for it, of each command in a process of its own."""
    folder = tmp_path_factory.mktemp("refusals")
    (folder / "there").mkdir()
    (folder / "there.png").mkdir()
    for name in ("there/file", "file", "file.csv", "file.npz"):
        (folder / name).touch()
    code = """if True:
        import contextlib, io, json, os, sys
        import jaxtyping, numpy, PIL.Image  # of all commands, once
        from vlae.cli.main import main
        commands, names = map(json.loads, sys.argv[1:])
        for command in commands:
            if os.fork():
                os.wait()
                continue
            with contextlib.redirect_stderr(io.StringIO()) as errors:
                try:
                    main(command.split(" "))
                except SystemExit as stop:
                    code = stop.code
            print(json.dumps((command, code, errors.getvalue(), sorted(set(names) & set(sys.modules)))), flush=True)
            os._exit(0)
        """
    words = [sys.executable, "-c", code, json.dumps(list(REFUSED)), json.dumps(HEAVY)]
    finished = subprocess.run(words, capture_output=True, text=True, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    return {command: said for command, *said in lines}


@pytest.mark.parametrize("command", REFUSED)
def test_is_refused_at_once(refusals, command):
    code, errors, heavy = refusals[command]
    assert code == 2 and REFUSED[command] in errors.splitlines()[-1], errors
    assert heavy == []


def test_every_command_is_refused_at_once_for_something():
    commands = {name for name in main.app if name[0] != "-"} - {"study"}
    assert commands == {command.split()[0] for command in REFUSED} - {"study"}


def test_names_that_are_known_without_torch_are_those_that_there_are():
    assert tuple(recipes.RECIPES) == checks.RECIPES
    inputs = {"model", "x", "held_out", "known", "history"}
    assert list(OPTIONS) == list(KINDS)
    for name, kind in KINDS.items():
        parameters = inspect.signature(kind.draw).parameters
        assert OPTIONS[name] == tuple(parameter for parameter in parameters if parameter not in inputs)


@pytest.mark.parametrize("command", ["compare lean", "study gibbs", "study proposition-2"])
@pytest.mark.parametrize("seeds", ["0,1", "two"])
def test_seeds_are_a_number_of_runs(capsys, command, seeds):
    line = refusal(capsys, *command.split(), "--seeds", seeds)
    assert f"seeds is '{seeds}'; give the number of runs of each recipe, 3 for the seeds 0, 1, 2" in line
    assert "seeds is 0; give a whole number from 1 up" in refusal(capsys, *command.split(), "--seeds", "0")
