import gzip
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vlae
from vlae.cli import main
from vlae.data import load
from vlae.data.images import say_skipped
from vlae.figures.kinds import KINDS
from vlae.models.priors import standard_prior
from vlae.runs import store
from vlae.runs.run import Run

VLAE = Path(sys.executable).parent / "vlae"
COMMANDS = (
    "classify",
    "compare",
    "data",
    "decode",
    "demo",
    "encode",
    "evaluate",
    "explore",
    "export",
    "figure",
    "fit-prior",
    "index",
    "merge",
    "mix",
    "odd",
    "report",
    "select",
    "share",
    "similar",
    "study gibbs",
    "study proposition-2",
    "train",
)
QUICK = ("--steps", "4", "--batch-size", "8", "--code-sizes", "1,2")


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def pictures(num=40, size=8, channels=3):
    return np.random.default_rng(0).integers(0, 256, (num, size, size, channels), dtype=np.uint8)


def write_folder(path):
    path.mkdir()
    for i, pixels in enumerate(pictures()):
        Image.fromarray(pixels).save(path / f"{i}.png")


def write_npy(path):
    np.save(path, pictures(channels=1)[..., 0])


def write_csv(path):
    rows = np.random.default_rng(0).normal(size=(40, 5))
    np.savetxt(path, rows, delimiter=",", header="a,b,c,d,e", comments="")


def write_idx(path):
    path.mkdir()
    pixels = pictures(channels=1)[..., 0]
    for part in ("train", "t10k"):
        with gzip.open(path / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(struct.pack(">HBBIII", 0, 8, 3, *pixels.shape) + pixels.tobytes())
        with gzip.open(path / f"{part}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(struct.pack(">HBBI", 0, 8, 1, len(pixels)) + bytes(len(pixels)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    write_folder(folder / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        cli_exit("train", "photos", "--out", "runs/photos", *QUICK)
    return folder / "runs" / "photos"


def cli_exit(*words):
    """Runs a command in this process and gives its exit code."""
    try:
        main.main([str(word) for word in words])
    except SystemExit as stop:
        return stop.code or 0
    return 0


def refusal(capsys, *words):
    """The one line with which a command is refused; before it may stand what was read."""
    assert cli_exit(*words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    *_, line = lines = printed.err.splitlines()
    assert sum(each.startswith("vlae: ") for each in lines) == 1 and "Traceback" not in printed.err
    assert line.startswith("vlae: ")
    return line


# Every command


def test_figures_take_a_prior_and_a_random_start(trained, tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(4)]
    run = vlae.load(shutil.copytree(trained, tmp_path / "run"))
    standard = standard_prior(run.recipe.code_sizes)
    store.write_prior(run.path / "prior.safetensors", replace(standard, means=standard.means + 2), run.identity)
    for file, words in zip(
        files, (["samples"], ["samples", "--prior", "standard"], ["levels"], ["levels", "--random"]), strict=True
    ):
        assert cli_exit("figure", run.path, *words, "--num", "2", "--out", file) == 0
    assert len({file.read_bytes() for file in files}) == 4


def test_every_command_is_known_and_has_help(capsys):
    groups = {
        name: [part for part in main.app[name] if not part.startswith("-")] for name in main.app if name[0] != "-"
    }
    known = {f"{name} {part}".strip() for name, parts in groups.items() for part in parts or [""]}
    assert known == set(COMMANDS)
    for command in COMMANDS:
        assert cli_exit(*command.split(), "--help") == 0
        text = capsys.readouterr().out
        assert f"vlae {command}" in text
        (_, found, _) = main.app.parse_commands(command.split())
        parameters = found[-1].assemble_argument_collection(parse_docstring=True)
        assert parameters
        assert all(argument.parameter.help for argument in parameters), command


def test_help_and_import_are_quick():
    code = """
        import sys, vlae
        heavy = {"torch", "numpy", "lightning", "matplotlib", "PIL"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        from vlae.cli import main
        for words in (["--help"], ["train", "--help"], ["--version"]):
            try:
                main.main(words)
            except SystemExit as stop:
                assert not stop.code
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        """
    code = "\n".join(line.removeprefix("        ") for line in code.splitlines())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert vlae.__version__ in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("train", "nosuch"),
        ("data", "nosuch"),
        ("evaluate", "run", "nosuch"),
        ("compare", "vae", "--data", "streets", "--data", "nosuch"),
        ("study", "gibbs", "--data", "nosuch"),
        ("encode", "run", "nosuch", "--out", "codes.npz"),
        ("odd", "run", "nosuch"),
        ("index", "run", "nosuch"),
    ],
)
def test_a_missing_source_is_refused_before_torch_is_imported(words):
    code = """if True:
        import sys
        from vlae.cli.main import main
        try:
            main(sys.argv[1:])
        finally:
            assert "torch" not in sys.modules
        """
    finished = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    advice = "check the path, or say hf:nosuch for a data set of the Hugging Face hub"
    assert finished.stderr == f"vlae: nosuch: no such file or folder; {advice}\n"
    assert finished.returncode == 2 and finished.stdout == ""


def test_public_names_are_sorted_and_there():
    assert vlae.__all__ == sorted(vlae.__all__, key=lambda name: (not name.isupper(), name))
    assert all(getattr(vlae, name) for name in vlae.__all__)
    assert set(vlae.__all__) <= set(dir(vlae))
    with pytest.raises(AttributeError, match="no attribute 'leran'"):
        _ = vlae.leran


def test_packages_are_there_without_an_import_of_their_own():
    code = "import vlae; assert vlae.data.load and vlae.recipes.RECIPES and not hasattr(vlae, 'leran')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "write", "shape"),
    [
        ("photos", write_folder, (3, 8, 8)),
        ("array.npy", write_npy, (1, 8, 8)),
        ("table.csv", write_csv, (5,)),
        ("idx", write_idx, (1, 8, 8)),
    ],
)
def test_trains_on_anything(tmp_path, capsys, name, write, shape):
    write(tmp_path / name)
    assert cli_exit("train", tmp_path / name, "--out", tmp_path / "my run", *QUICK) == 0
    said = capsys.readouterr().out
    for part in (
        "held-out ",
        "error",
        "nats",
        "report.html",
        "figures",
        "next",
        f"vlae figure '{tmp_path / 'my run'}'",
    ):
        assert part in said
    run = vlae.load(tmp_path / "my run")
    assert run.recipe.shape == shape
    assert run.data["source"] == str(tmp_path / name)
    assert {file.stem for file in (run.path / "figures").iterdir()} == set(KINDS) - {"classes"}
    assert (run.path / "report.html").stat().st_size > 10_000
    assert not (run.path / "checkpoint.ckpt").exists()


def test_every_setting_reaches_the_recipe(tmp_path):
    write_npy(tmp_path / "a.npy")
    words = "--minutes 5 --learning-rate 0.001 --precision fp32 --beta 0.5 --growth joint --denoise --seed 3 --limit 20"
    words += " --family laplace --scale 0.125 --size 9 --channels 3 --devices 1 --accelerator cpu"
    assert cli_exit("train", tmp_path / "a.npy", "--out", tmp_path / "run", *QUICK, *words.split()) == 0
    run = vlae.load(tmp_path / "run")
    training, objective, likelihood = run.recipe.training, run.recipe.objective, run.recipe.likelihood
    assert (training.steps, training.minutes, training.batch_size, training.seed) == (4, 5, 8, 3)
    assert (training.learning_rate, training.precision) == (0.001, "fp32")
    assert (objective.beta, objective.growth, objective.denoise) == (0.5, "joint", True)
    assert (likelihood.kind, likelihood.scale) == ("laplace", 0.125)
    assert run.recipe.shape == (3, 9, 9)
    assert run.data["limit"] == 20


def test_a_critic_is_asked_for_by_a_flag(tmp_path, capsys):
    np.save(tmp_path / "a.npy", pictures(num=60, channels=1)[..., 0])
    sharp = [*QUICK, "--sharp", "--distortion", "2"]
    assert cli_exit("train", tmp_path / "a.npy", "--out", tmp_path / "run", *sharp) == 0
    objective = vlae.load(tmp_path / "run").recipe.objective
    assert (objective.kind, objective.judged, objective.distortion) == ("elbo with critic", "pictures", 2.0)
    refused = [*sharp, "--precision", "bf16"]
    assert cli_exit("train", tmp_path / "a.npy", "--out", tmp_path / "other", *refused) != 0
    assert "give --precision fp32" in capsys.readouterr().err and not (tmp_path / "other").exists()


def test_training_lists_what_it_skips(tmp_path, capsys):
    write_folder(tmp_path / "photos")
    (tmp_path / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n")
    assert cli_exit("train", tmp_path / "photos", "--out", tmp_path / "run", *QUICK) == 0
    said = capsys.readouterr().err
    assert "skipped 1 of " in said
    assert "broken.png: " in said


def test_demo(tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr("vlae.workflows.train", lambda source, **settings: given.update(settings, source=source))
    monkeypatch.setattr("vlae.cli.training._print_done", lambda run: None)
    assert cli_exit("demo", "--minutes", "0.1", "--seed", "2") == 0
    assert given == {
        "source": "streets",
        "out": Path("runs/demo"),
        "minutes": 0.1,
        "seed": 2,
        "on_interrupt": "ask",
    }


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "classes"])
def test_figure(trained, tmp_path, capsys, kind):
    assert cli_exit("figure", trained, kind, "--out", tmp_path / "a.png") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size == Image.open(trained / "figures" / f"{kind}.png").size
    assert cli_exit("figure", trained, kind, "--out", tmp_path / "a.png") == 0
    assert "replaced" in capsys.readouterr().err


def test_figure_in_the_run_and_from_a_picture(trained, tmp_path, capsys):
    Image.fromarray(pictures(size=31)[0]).save(tmp_path / "photo.jpg")
    options = ("--from-image", tmp_path / "photo.jpg", "--num", 3, "--span", 1.5, "--seed", 4)
    assert cli_exit("figure", trained, "levels", *options) == 0
    named = trained / "figures" / "levels-num-3-span-1.5-seed-4-from-photo.png"
    assert capsys.readouterr().out.strip() == str(named) and named.exists()
    (tmp_path / "new").mkdir()
    Image.fromarray(pictures(size=31)[1]).save(tmp_path / "new" / "photo.jpg")  # of the same name
    options = ("--from-image", tmp_path / "new" / "photo.jpg", *options[2:])
    assert cli_exit("figure", trained, "levels", *options) == 0
    assert capsys.readouterr().out.strip() == str(named.with_stem(f"{named.stem}-2"))
    assert "span is nan" in refusal(capsys, "figure", trained, "levels", "--span", "nan")
    line = refusal(capsys, "figure", trained, "samples", "--from-image", tmp_path / "photo.jpg")
    assert "'levels' and 'traversal' do" in line


def test_report(trained, tmp_path, capsys):
    assert cli_exit("report", trained) == 0
    assert capsys.readouterr().out.strip() == str(trained / "report.html")
    assert cli_exit("report", trained, "--out", tmp_path / "page.html") == 0
    assert (tmp_path / "page.html").exists()


def test_data(tmp_path, capsys):
    write_folder(tmp_path / "photos")
    (tmp_path / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n")
    assert cli_exit("data", tmp_path / "photos") == 0
    said = capsys.readouterr().out
    assert "count  40" in said
    assert "shape  3, 8, 8" in said
    assert said.count("broken.png") == 1
    assert "num_skipped  1" in said and "num_clipped" not in said
    assert "skipped  broken.png: " in said
    assert cli_exit("data", tmp_path / "photos", "--json", "--size", "16") == 0
    assert json.loads(capsys.readouterr().out)["shape"] == [3, 16, 16]


def test_data_shows_the_first_of_many_classes_and_factors_and_counts_the_rest(tmp_path, capsys):
    more = {f"factor{i}": np.arange(1_500) % 7 for i in range(30)}
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(1_500, 3)), y=np.arange(1_500), **more)
    assert cli_exit("data", tmp_path / "a.npz") == 0
    said = capsys.readouterr().out
    assert "  labels  0: 1, 1: 1, " in said and "19: 1 and 1,480 more; --json lists all\n" in said
    assert " and 10 more; --json lists all\n" in said
    assert max(map(len, said.splitlines())) < 2_000


@pytest.mark.parametrize("counted", [True, False])
def test_data_says_what_is_an_estimate(tmp_path, capsys, monkeypatch, counted):
    from shard_files import write_tars

    if not counted:
        monkeypatch.setattr("vlae.data.streams.COUNTED", 0)
    folder = write_tars(tmp_path / "tars")
    assert cli_exit("data", folder) == 0
    (number,) = re.findall(r"rows of all  (.*)", capsys.readouterr().out)
    assert number == "60" if counted else number.startswith("about ")
    assert cli_exit("data", folder, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows of all are estimated"] is not counted and isinstance(told["rows of all"], int)


def test_data_says_that_numbers_are_clipped(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.arange(40 * 256, dtype=np.uint8).reshape(40, 16, 16))
    assert cli_exit("data", tmp_path / "a.npy", "--value-range", "0,100") == 0
    assert "form  6,200 numbers are outside of that range, and clipped" in capsys.readouterr().out


def test_data_tells_of_every_skipped_file(tmp_path, capsys):
    write_folder(tmp_path / "photos")
    for number in range(30):
        (tmp_path / "photos" / f"broken{number}.png").write_bytes(b"\x89PNG\r\n")
    assert cli_exit("data", tmp_path / "photos") == 0
    said = capsys.readouterr().out
    assert said.count("  skipped  broken") == 20 and "  skipped  and 10 more; --json lists all\n" in said
    assert cli_exit("data", tmp_path / "photos", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["num_skipped"] == 30 == len(listed["skipped"])


def test_data_says_which_settings_pictures_have_no_use_for(tmp_path, capsys):
    write_folder(tmp_path / "photos")
    assert cli_exit("data", tmp_path / "photos", "--layout", "NHW", "--key", "foo") == 0
    said = capsys.readouterr().out
    assert "of  layout NHW: ignored: a setting of arrays\n" in said
    assert "of  key foo: ignored: a setting of arrays and tables\n" in said


def test_a_reader_that_stops_reading_is_no_error(tmp_path):
    write_folder(tmp_path / "photos")
    unread, end = os.pipe()
    os.close(unread)
    command = [VLAE, "data", tmp_path / "photos"]
    finished = subprocess.run(command, stdout=end, stderr=subprocess.PIPE, text=True, env=environment())
    os.close(end)
    assert finished.returncode == 141 and "ipe" not in finished.stderr and "Traceback" not in finished.stderr


def test_data_says_what_became_of_each_column(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("id,width,label,note\n" + "".join(f"r{i},{i / 2},{i % 2},x\n" for i in range(20)))
    assert cli_exit("data", tmp_path / "a.csv") == 0
    said = capsys.readouterr().out
    fates = {"column width": "used", "column id": "id", "column label": "label"}
    fates["column note"] = "ignored: text, the same in every row"
    assert all(f"          of  {name}: {fate}\n" in said for name, fate in fates.items())
    assert cli_exit("data", tmp_path / "a.csv", "--json") == 0
    assert json.loads(capsys.readouterr().out)["fates"] == fates
    say_skipped(load(tmp_path / "a.csv"))
    assert capsys.readouterr().err == f"ignored in {tmp_path / 'a.csv'}:\n  column note: text, the same in every row\n"


# What cannot be had: one line that names it, exit code 2


def test_bad_sources_are_refused_and_leave_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("texts").mkdir()
    Path("texts/a.txt").write_text("words")
    Path("one").mkdir()
    Image.fromarray(pictures()[0]).save("one/a.png")
    np.save("nan.npy", np.full((20, 8, 8), np.nan))
    np.save("rank.npy", np.zeros((2, 3, 4, 5, 6), np.uint8))
    np.save("small.npy", np.zeros((20, 4, 4), np.uint8))
    Path("table.csv").write_text("a,b\n1,x\n2,y\n")
    before = sorted(Path().rglob("*"))
    for source, *words in (
        ("empty", "empty"),
        ("texts", "texts"),
        ("one", "one", "give more"),
        ("nan.npy", "nan.npy"),
        ("rank.npy", "rank.npy", "shape"),
        ("small.npy", "small.npy", "8 to 256"),
        ("nowhere.npy", "nowhere.npy"),
    ):
        line = refusal(capsys, "train", source, "--out", "out/run")
        assert all(word in line for word in words), line
        assert "Errno" not in line
    assert sorted(Path().rglob("*")) == before


def test_bad_settings_are_refused_and_leave_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_npy("a.npy")
    for options, *words in (
        (
            "--recipe leen",
            "no recipe 'leen'",
            "lean, joint, vae, hvae, lvae, infogan, implicit, mnist",
        ),
        ("--recipe mnist --code-sizes 2,2", "3 levels, 2 code sizes"),
        ("--code-sizes 2;2", "code sizes are '2;2'", "2,2,2"),
        ("--code-sizes 2,-1", "(2, -1)"),
        ("--steps 0", "steps is 0"),
        ("--steps many", "--steps", "many"),
        ("--batch-size 1", "batch_size is 1"),
        ("--learning-rate 3", "learning_rate is 3"),
        ("--minutes 0", "minutes is 0"),
        ("--scale wide", "'wide'"),
        ("--scale nan", "nan"),
        ("--precision fp8", "fp8", "bf16"),
        ("--growth sideways", "sideways", "ladder"),
        ("--stepps 4", "--stepps"),
        ("--size 4", "4"),
        ("--limit 0", "limit is 0"),
        ("--accelerator abacus", "'abacus'"),
        ("--devices many", "'many'"),
        ("--resume", "no run in out", "leave --resume out"),
    ):
        line = refusal(capsys, "train", "a.npy", "--out", "out", *options.split())
        assert all(word in line for word in words), line
    assert [file.name for file in tmp_path.iterdir()] == ["a.npy"]


def test_bad_commands_are_refused(tmp_path, capsys, trained):
    assert "trian" in refusal(capsys, "trian", "photos")
    assert "SOURCE" in refusal(capsys, "train")
    assert "there is no run folder nowhere" in refusal(capsys, "report", "nowhere")
    assert "holds no run" in refusal(capsys, "figure", tmp_path)
    assert "pie" in refusal(capsys, "figure", trained, "pie")
    assert "no option --span" in refusal(capsys, "figure", trained, "samples", "--span", "1")
    assert "num is 0" in refusal(capsys, "figure", trained, "samples", "--num", "0")
    assert "none.png" in refusal(capsys, "figure", trained, "levels", "--from-image", tmp_path / "none.png")


def test_places_that_cannot_be_written_are_refused(tmp_path, capsys, trained):
    write_npy(tmp_path / "a.npy")
    line = refusal(capsys, "train", tmp_path / "a.npy", "--out", "/dev/null/x", *QUICK)
    assert "/dev/null/x cannot be written (Not a directory); allow writing there, or choose another place" in line
    assert "exists already" in refusal(capsys, "train", tmp_path / "a.npy", "--out", trained)
    assert "/dev/null/a.png cannot be written" in refusal(capsys, "figure", trained, "--out", "/dev/null/a.png")
    assert "/dev/null/a.html cannot be written" in refusal(capsys, "report", trained, "--out", "/dev/null/a.html")


def test_a_damaged_run_is_refused(trained, tmp_path, capsys):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes()[:1000])
    assert "is damaged" in refusal(capsys, "figure", copy)
    (copy / "model.safetensors").unlink()
    assert f"has no checkpoint yet; go on with: vlae train --resume {copy}" in refusal(capsys, "report", copy)


# The real thing, from another process


@pytest.mark.slow
def test_ctrl_c_and_resume(tmp_path, capsys):
    write_folder(tmp_path / "photos")
    words = ["train", str(tmp_path / "photos"), "--out", str(tmp_path / "run"), "--code-sizes", "1,2", "--steps", "100"]
    process = subprocess.Popen(
        [VLAE, *words], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not _lines(tmp_path / "run" / "metrics.csv"):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("vlae: stopped after ")
    assert f"of 100 steps; go on with: vlae train --resume {tmp_path / 'run'}; or finish" in last
    assert "Traceback" not in err
    assert cli_exit("figure", tmp_path / "run", "samples") == 0

    assert cli_exit(*words, "--resume") == 0
    steps = [int(line.split(",")[0]) for line in _lines(tmp_path / "run" / "metrics.csv")[1:]]
    assert steps == sorted(set(steps))
    assert steps[-1] == 100
    assert cli_exit(*words[:3], str(tmp_path / "whole"), *words[4:]) == 0
    resumed, whole = (vlae.load(tmp_path / name).model.state_dict() for name in ("run", "whole"))
    assert all(torch.equal(weights, whole[name]) for name, weights in resumed.items())


def _lines(file):
    return file.read_text().splitlines() if file.exists() else []


# evaluate


def test_evaluate_measures_the_runs_own_data_and_keeps_it(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained.parent.parent)
    assert cli_exit("evaluate", trained, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == vlae.load(trained).evaluation
    assert found["num_images"] == 10 and found["not_defined"]["level_order"] == "40 pictures, 60 are needed"
    assert cli_exit("evaluate", trained) == 0
    assert "level order  not defined" in capsys.readouterr().out


def test_evaluate_on_other_data(trained, tmp_path, capsys):
    np.save(tmp_path / "other.npy", pictures(num=120))
    before = vlae.load(trained).evaluation
    assert cli_exit("evaluate", trained, tmp_path / "other.npy", "--split", "all", "--limit", "110", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["num_images"] == 110 and found["protocol"]["data"]["split"] == "all"
    assert found["levels"][0]["statistics"]["brightness"] < 0.5
    assert vlae.load(trained).evaluation == before


def test_evaluate_refuses_what_does_not_fit(trained, tmp_path, capsys):
    (tmp_path / "rows.csv").write_text("a,b\n" + "1,2\n2,5\n" * 20)
    assert "these are vectors" in refusal(capsys, "evaluate", trained, tmp_path / "rows.csv", "--split", "all")
    assert "go with a source" in refusal(capsys, "evaluate", trained, "--limit", "5")
    assert "no run folder" in refusal(capsys, "evaluate", tmp_path / "none")
    newer = tmp_path / "newer"
    shutil.copytree(trained, newer)
    record = json.loads((newer / "recipe.json").read_text())
    record["recipe"]["levels"][0]["invented_later"] = 1
    (newer / "recipe.json").write_text(json.dumps(record))
    assert "newer vlae" in refusal(capsys, "evaluate", newer)


def test_report_measures_first(trained, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(trained.parent.parent)
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "evaluation.json").unlink(missing_ok=True)
    assert cli_exit("report", tmp_path / "run") == 0
    assert "not been measured yet" not in (tmp_path / "run" / "report.html").read_text()
    assert vlae.load(tmp_path / "run").evaluation is not None


def test_report_without_its_data_says_so_and_is_written(trained, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)  # photos/ is not here
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "evaluation.json").unlink(missing_ok=True)
    assert cli_exit("report", tmp_path / "run") == 0
    assert "the levels are not measured" in capsys.readouterr().err
    assert "not been measured yet" in (tmp_path / "run" / "report.html").read_text()


# encode, decode, odd


def test_encode_decode_and_odd(trained, tmp_path, capsys):
    photos = trained.parent.parent / "photos"
    assert cli_exit("encode", trained, photos, "--out", tmp_path / "codes.parquet", "--stddev", "--sample") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'codes.parquet'}\n"
    assert cli_exit("decode", trained, tmp_path / "codes.parquet", "--out", tmp_path / "pictures") == 0
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 40
    words = ("odd", trained, photos, "--num", "3", "--out", tmp_path / "odd.png")
    capsys.readouterr()
    assert cli_exit(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == str(tmp_path / "odd.png")
    assert [line.split()[0] for line in lines[1:-1]] == ["level1"] * 3 + ["level2"] * 3 + ["whole"] * 3
    assert ".png" in lines[1]
    for wrong in (("--out", tmp_path / "odd.jpg"), ("--table", tmp_path / "odd.txt")):
        assert cli_exit("odd", trained, photos, *wrong) == 2
        assert capsys.readouterr().out == "", "it is refused before anything is computed or printed"
    assert cli_exit(*words, "--level", "2", "--table", tmp_path / "odd.csv") == 0
    assert len(_lines(tmp_path / "odd.csv")) == 7


def test_encode_and_its_company_refuse(trained, tmp_path, capsys, monkeypatch):
    photos = trained.parent.parent / "photos"
    (tmp_path / "codes.parquet").write_text("mine")
    assert "exists already" in refusal(capsys, "encode", trained, photos, "--out", tmp_path / "codes.parquet")
    assert "damaged" in refusal(capsys, "decode", trained, tmp_path / "codes.parquet", "--out", tmp_path / "pictures")
    assert "no such file" in refusal(capsys, "encode", trained, tmp_path / "none", "--out", tmp_path / "a.npz")
    monkeypatch.setattr(Run, "read", None)  # the level is refused before the source is read
    assert "level 3 has no code" in refusal(capsys, "odd", trained, photos, "--level", "3")
    assert [path.name for path in tmp_path.iterdir()] == ["codes.parquet"]


def test_encode_says_after_ctrl_c_how_to_go_on(trained, tmp_path, capsys, monkeypatch):
    def stop(*words):
        raise KeyboardInterrupt

    photos = trained.parent.parent / "photos"
    monkeypatch.setattr("vlae.codes.files.join", stop)
    assert cli_exit("encode", trained, photos, "--out", tmp_path / "codes.npz") == 130
    assert capsys.readouterr().err == "vlae: interrupted; the same command goes on from here\n"


def test_the_package_is_a_command_too():
    asked = [sys.executable, "-m", "vlae", "--version"]
    assert subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip() == vlae.__version__
