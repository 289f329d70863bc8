"""The table of speed: what the page says is what was measured, and what is noise does not get there."""

import gzip
import io
import json
import os
import runpy
import struct
import sys
from argparse import Namespace
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import quoted
import step_profile
import table
import table_page
import this_machine
import time_to_quality
from PIL import Image
from table_parts import PARTS, from_lines

from vlae import recipes
from vlae.training.train import fit

SCRIPT = Path(table.__file__)


def training(net: str, *, bare: list[float], engine: list[float], plain: list[float]) -> dict:
    speeds = {"bare": bare, "engine": engine, "plain": plain}
    rounds = {turn: [{"images_per_second": speed} for speed in of_turn] for turn, of_turn in speeds.items() if of_turn}
    overhead = [1 - ours / other for ours, other in zip(engine, bare, strict=True)]
    return {"recipe": net, "flop_per_image": 2e8, "overhead": overhead, "rounds": rounds}


def part(figures: dict, *, quick: bool = False, others: float = 0.0) -> dict:
    machine = {"processor": "a processor", "cores": 2, "flags": ["avx512_bf16"], "versions": {"torch": "9.9"}}
    return {
        "date": "2026-11-26",
        "machine": {**machine, "commit": "abc"},
        "others": others,
        "seconds": 12.3,
        "quick": quick,
        "commands": ["train_speed.py --recipes mnist-deep"],
        "figures": figures,
    }


def mnist_figures(engine: list[float]) -> dict:
    rates = {"convolution fp32 NHWC": [400.0, 410.0], "convolution fp32 NCHW": [300.0], "product fp32": [500.0]}
    result = training("mnist-deep", bare=[1250.0, 1000.0], engine=engine, plain=[500.0, 1000.0])
    return {"fp32": {"machine": {"gflops": rates}, "recipes": [result]}}


def section(kept: dict, place: str) -> table_page.Section:
    return next(each for each in table_page.sections(kept) if each.place == place)


@pytest.fixture
def run(monkeypatch):
    """Runs the table's command in this process, with one thread: other tests run beside."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def command(*words: object) -> None:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
        table.main()

    return command


def printed_here(words: list[str]) -> str:
    """What a script of a part prints, run in this process: loading the libraries takes longer than most of them."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.setenv("VLAE_CACHE", os.environ["VLAE_CACHE"])  # which some set
        patch.setattr(sys, "argv", [str(table.HERE / words[0]), *words[1:]])
        runpy.run_path(sys.argv[0], run_name="__main__")
    return out.getvalue()


def test_the_page_has_the_figures_of_the_kept_file():
    kept = json.loads(table.FIGURES.read_text())
    assert table.PAGE.read_text() == table_page.page(kept), "write it again: python benchmarks/table.py --page"
    assert set(kept) <= PARTS.keys() and not any(each["quick"] for each in kept.values())


def test_ratios_are_those_of_the_rounds():
    (row,) = section({"train-mnist": part(mnist_figures([1000.0, 1000.0]))}, "training").rows
    assert row[0] == "`mnist`, deep heads, fp32"
    assert row[1] == "1,000 (1,000 to 1,000)"
    assert row[2] == "0.900 (0.800 to 1.00)"  # in turns: 1000 / 1250 and 1000 / 1000
    assert row[3] == "1.50 (1.00 to 2.00)"
    # Not in turns: the median of the authors' two figures; least and most of all pairs.
    assert row[5] == f"2.46 ({1000 / 415:.2f} to {1000 / 399:.2f}), of 399 and 415"
    assert row[6] == f"{1000 / 502:.2f} ({1000 / 502:.2f} to {1000 / 502:.2f}), of 502"


def test_the_limit_is_the_convolution_in_its_better_layout():
    (row,) = section({"train-mnist": part(mnist_figures([1000.0, 1000.0]))}, "limit").rows
    assert row[1:4] == ("200", "49% (49% to 50%)", "40% (40% to 40%)")


@pytest.mark.parametrize(("speed", "reached"), [(1200.0, "**no**"), (1300.0, "yes")])
def test_a_goal_is_reached_or_not(speed, reached):
    profile = [{"recipe": "mnist-deep", "milliseconds": {"dense layers": 6.0, "optimiser": 4.0}}]
    profile[0]["milliseconds_unwatched"] = 9.0
    kept = {"train-mnist": part(mnist_figures([speed, speed])), "profile": part({"figures": profile})}
    row = next(row for row in section(kept, "goals").rows if "the authors' images/s" in row[0])
    assert row[3] == reached
    assert row[4] == ("dense layers 60%, optimiser 40%" if reached == "**no**" else "")  # why


def test_quoted_figures_are_called_quoted():
    header = section({}, "training").header
    assert [column for column in header if "authors" in column or "earlier" in column] == [
        "to the authors' code (quoted)",
        "to earlier vlae (quoted)",
    ]
    assert quoted.AUTHORS["mnist-deep"] == (399.0, 415.0) and set(quoted.AUTHORS) == {
        "mnist-deep",
        "svhn-deep",
        "celeba-deep",
    }


def test_what_was_not_measured_says_how_to():
    text = table_page.page({"train-mnist": part(mnist_figures([1000.0, 1000.0]))})
    assert "Not measured yet: `python benchmarks/table.py --only start`" in text
    assert "{{" not in text


def test_work_of_others_is_said():
    quiet, busy = (table_page.machines({"train-mnist": part({}, others=others)}).rows[0][-1] for others in (0.05, 0.8))
    assert (quiet, busy) == ("0.05", "0.80 **busy**")


def test_the_whole_command_takes_at_most_45_minutes():
    whole = table.chosen(table.options().parse_args(["--mnist", "m", "--photos", "p", "--pythae-python", "o"]))
    assert sum(PARTS[name].seconds for name in whole) <= 45 * 60
    assert set(PARTS) - set(whole) == {"ten-million"}
    assert table.chosen(table.options().parse_args(["--only", "ten-million"])) == ["ten-million"]


def test_what_a_benchmark_prints_is_read():
    printed = "load average 0.1\nsimilar, level 1              14.1 (13.9 to 1,015.0)\nnumpy, both   3.0 (2.0 to 4.0)\n"
    assert from_lines(printed, Path()) == {"similar, level 1": [14.1, 13.9, 1015.0], "numpy, both": [3.0, 2.0, 4.0]}


def test_parts_are_chosen_by_name(capsys):
    asked = table.options().parse_args(["--only", "train-*", "pythae", "start"])
    assert table.chosen(asked) == ["train-lean", "train-mnist", "train-svhn", "train-celeba", "start"]
    assert "pythae is left out: give --mnist" in capsys.readouterr().err
    asked = table.options().parse_args(["--only", "trian-lean"])
    with pytest.raises(SystemExit, match="there is no part 'trian-lean'"):
        table.chosen(asked)


def test_bf16_is_left_out_where_it_is_slow():
    asked = Namespace(quick=False, bf16=False)
    assert list(PARTS["train-lean"].commands(asked)) == ["fp32"]
    assert list(PARTS["train-lean"].commands(Namespace(quick=False, bf16=True))) == ["fp32", "bf16"]


def test_paths_of_the_machine_are_not_kept():
    asked = table.options().parse_args(["--mnist", "/home/me/mnist", "--pythae-python", "/home/me/bin/python"])
    words = PARTS["pythae"].commands(asked)["figures"].words
    assert table.without_paths(words, asked) == ["beside_pythae.py", "MNIST", "--pythae-python", "PYTHON"]


def test_a_busy_machine_is_not_measured(monkeypatch):
    monkeypatch.setattr(this_machine, "busy_now", lambda: 0.9)
    with pytest.raises(SystemExit, match=r"others keep 0\.9 cores of this machine busy"):
        table.wait_until_quiet(0.0)
    monkeypatch.setattr(this_machine, "busy_now", lambda: 0.05)
    table.wait_until_quiet(0.0)


def test_own_work_is_not_that_of_others(monkeypatch):
    clocks = {"all": 100.0, "own": 10.0, "now": 0.0}
    monkeypatch.setattr(this_machine, "all_seconds", lambda: clocks["all"])
    monkeypatch.setattr(this_machine, "own_seconds", lambda: clocks["own"])
    monkeypatch.setattr(this_machine.time, "monotonic", lambda: clocks["now"])
    work = this_machine.Work()
    clocks.update(all=115.0, own=22.0, now=10.0)
    assert work.of_others() == pytest.approx(0.3)


def test_the_page_again_without_measuring(run, tmp_path, capsys):
    figures, page = tmp_path / "speed.json", tmp_path / "speed.md"
    figures.write_text(json.dumps({"train-mnist": part(mnist_figures([1000.0, 1000.0]))}))
    run("--page", "--json", figures, "--markdown", page)
    assert "0.900 (0.800 to 1.00)" in page.read_text() and "0.900 (0.800 to 1.00)" in capsys.readouterr().out


def test_quick_figures_write_no_page(run, tmp_path, capsys):
    figures, page = tmp_path / "speed.json", tmp_path / "speed.md"
    figures.write_text(json.dumps({"train-mnist": part(mnist_figures([1.0, 1.0]), quick=True)}))
    run("--page", "--json", figures, "--markdown", page)
    assert not page.exists() and "these numbers mean nothing" in capsys.readouterr().err


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, Path]:
    """Digits in the files of MNIST, and some photographs: of noise, and few."""
    rng = np.random.default_rng(0)
    mnist, photos = tmp_path_factory.mktemp("mnist"), tmp_path_factory.mktemp("photos")
    for name, num in (("train", 600), ("t10k", 60)):
        for kind, magic, shape in (("images-idx3", 2051, (num, 28, 28)), ("labels-idx1", 2049, (num,))):
            values = rng.integers(0, 256 if len(shape) > 1 else 10, shape, dtype=np.uint8)
            with gzip.open(mnist / f"{name}-{kind}-ubyte.gz", "wb") as file:
                file.write(struct.pack(f">{1 + len(shape)}i", magic, *shape) + values.tobytes())
    for number in range(30):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(photos / f"{number}.png")
    return {"mnist": mnist, "photos": photos}


ALIKE = ("train-mnist", "train-svhn", "train-celeba", "ten-million")
"""Parts that run the command of `train-lean`, or of `million`, on more."""
PROCESS = "demo"
"""The part whose script has a process of its own here, as every part has: it loads the least."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PARTS if name not in ALIKE])
def test_every_part_runs_and_its_figures_are_shown(name, run, sources, tmp_path, monkeypatch):
    if name != PROCESS:
        monkeypatch.setattr(table, "printed", printed_here)
    figures = tmp_path / "speed.json"
    figures.write_text(json.dumps({"onnx" if name != "onnx" else "search": part({"figures": {}}, quick=True)}))
    places = [word for source, path in sources.items() for word in (f"--{source}", str(path))]
    run("--quick", "--no-bf16", "--only", name, "--json", figures, *places)
    kept = json.loads(figures.read_text())
    assert len(kept) == 2 and kept[name]["quick"]  # merged with what was there
    assert str(sources["mnist"]) not in json.dumps(kept)
    shown = [each for each in table_page.sections({name: kept[name]}) if each.parts != tuple(PARTS) and each.rows]
    assert shown and all(len(row) == len(each.header) for each in shown for row in each.rows)


def test_measuring_the_error_is_off_the_clock(monkeypatch):
    clock = {"now": 0.0}
    monkeypatch.setattr(time_to_quality.time, "monotonic", lambda: clock["now"])

    def measure(model, values):
        clock["now"] += 5.0
        return {"drawn": 0.04 - 0.01 * clock["now"] / 5, "mean": 0.02}

    monkeypatch.setattr(time_to_quality, "squared_error", measure)
    watcher = time_to_quality.Watcher(np.zeros(0), every=2, last=8, target=0.02)
    recorder = SimpleNamespace(engine=SimpleNamespace(global_step=0, model=None, seconds=0.0), at=0.0)
    with pytest.raises(time_to_quality.Reached):
        for step in range(1, 9):
            recorder.engine.global_step, recorder.engine.seconds = step, float(step)
            watcher(recorder)
    assert [row["step"] for row in watcher.rows] == [4, 6]  # from half of the plan on; .03, then .02
    assert recorder.at == 10.0  # the two measurements


def test_an_attempt_stops_at_the_error():
    values = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    recipe = recipes.adjust(recipes.lean((1, 8, 8), width=2), steps=6, batch_size=8, augment="none")
    reached = time_to_quality.attempt(recipe, values, values, every=1, target=1.0)
    assert reached["reached"] and [row["step"] for row in reached["rows"]] == [3]
    missed = time_to_quality.attempt(recipe, values, values, every=1, target=0.0)
    assert not missed["reached"] and [row["step"] for row in missed["rows"]] == [3, 4, 5, 6]
    assert time_to_quality.first(reached["rows"], "drawn", 1.0) == reached["rows"][0]["seconds"]


def test_the_error_is_that_of_the_means_and_of_draws():
    values = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    recipe = recipes.adjust(recipes.vae((1, 8, 8), width=2), steps=2, batch_size=8, augment="none")
    model = fit(values, recipe)
    errors = time_to_quality.squared_error(model, values)
    codes = tuple(q.mean for q in model.infer(time_to_quality.as_input(values)))
    expected = (model.generate(codes).mean - time_to_quality.as_input(values)).square().mean().item()
    assert errors["mean"] == pytest.approx(expected, rel=1e-4)
    assert errors["drawn"] != errors["mean"]


def event(name: str, shapes: list, *, inputs: list | None = None, parent: SimpleNamespace | None = None):
    return SimpleNamespace(name=name, input_shapes=shapes, concrete_inputs=inputs or [], cpu_parent=parent)


def test_work_is_told_apart_by_kind_and_size():
    loss = event(step_profile.LOSS, [])
    step = event("Optimizer.step#Adam.step", [])
    loss.cpu_parent = step  # Lightning computes the loss within the optimiser's step
    settings = [None, None, None, [2, 2], [1, 1], [1, 1], True, [1, 1], 1]
    up = event("aten::convolution", [[4, 8, 14, 14], [8, 1, 3, 3], [1]], inputs=settings, parent=loss)
    inner = event("aten::_convolution", [[4, 8, 14, 14], [8, 1, 3, 3]], parent=up)
    down = event("aten::convolution_backward", [[4, 8, 7, 7], [4, 1, 14, 14], [8, 1, 3, 3]], parent=loss)
    kinds = {
        "convolutions at 28 pixels (full size)": inner,  # transposed, from 14 to 28
        "convolutions at 14 pixels": down,
        "elementwise at full size": event("aten::mul", [[4, 8, 28, 28]], parent=loss),
        "normalisation, smaller": event("aten::native_batch_norm", [[4, 8, 14, 14]], parent=loss),
        "dense layers": event("aten::addmm", [[4, 8], [8, 8]], parent=loss),
        "optimiser": event("aten::_fused_adam_", [], parent=step),
        "data": event("aten::copy_", [[4, 1, 28, 28]], parent=event(step_profile.DATA, [])),
        step_profile.BETWEEN: loss,
    }
    assert {kind: step_profile.kind_of(each, 28) for kind, each in kinds.items()} == {kind: kind for kind in kinds}


def collection(num: int, *, seconds: float, gigabytes: float, recall: float = 1.0) -> dict:
    search = {"p50_ms": 2.0, "p95_ms": 20.0, "recall": recall}
    return {
        "num": num,
        "index": {"seconds": seconds, "gb": gigabytes / 10},
        "search": {"level 1": search, "all levels": {**search, "p95_ms": 40.0}},
        "odd": {f"level {level}": {"seconds": seconds, "recall": 1.0} for level in (1, 2)},
        "peak_gb": gigabytes,
    }


def test_ten_million_are_extrapolated_from_what_two_sizes_show():
    sizes = [collection(10**5, seconds=1, gigabytes=1), collection(10**6, seconds=20, gigabytes=1.9)]
    far = table_page.at_ten_million(sizes)
    assert far["index, s"] == pytest.approx(400)  # twenty times for ten times as many
    assert far["most memory of all, GB"] == pytest.approx(10.9)  # .1 GB for each 100,000
    assert table_page.at_ten_million(sizes[:1]) == {}
    goals = {goal.what: goal.reached for goal in table_page.goals({"million": part({"figures": sizes})})}
    assert goals["search in 1,000,000 pictures"] and goals["`odd` among ten million, all levels, extrapolated"]
    assert not goals["memory with ten million, extrapolated"]
    far = part({"figures": [collection(10**7, seconds=300, gigabytes=7)]})
    measured = table_page.goals({"million": part({"figures": sizes}), "ten-million": far})
    assert [goal.what for goal in measured if goal.reached] == [
        "search in 10,000,000 pictures",
        "`odd` among ten million, all levels",
        "memory with ten million",
    ]
    (table_of,) = table_page.million({"million": part({"figures": sizes}), "ten-million": far})
    assert table_of.header[1:] == ("100,000 pictures", "1,000,000 pictures", "10,000,000 pictures")
    missed = [collection(10**6, seconds=1, gigabytes=1, recall=0.98)]
    assert not table_page.goals({"million": part({"figures": missed})})[0].reached


def workers(num: int, *, killed: bool, rows: int, names: int) -> dict:
    speed = {"images a second": 300.0 * num, "efficiency per core": 1.0}
    return {"workers": num, "killed": killed, "rows": rows, "different names": names, **speed}


def test_what_a_killed_worker_loses_or_writes_twice_is_shown():
    results = [workers(1, killed=False, rows=100, names=100), workers(2, killed=True, rows=101, names=98)]
    about = {"num": 100, "cores": 2, "recipe": "lean32", "processor": "a processor", "bytes a row": 100.0}
    about |= {"side": 350, "kilobytes": 30.0}
    kept = {"cluster": part({"figures": {**about, "results": results}})}
    assert section(kept, "cluster").rows[1][-2:] == ("2", "3")
    assert not table_page.goals(kept)[0].reached
    planned = dict(section(kept, "billion").rows)
    assert planned["core hours"].startswith("1,157,") and planned["written"].startswith("100.0 GB")
