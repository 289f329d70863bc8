"""The pace of ladders: each run's images a second, and its step in times that of the first of the same data."""

import csv
import sys

import ladder_pace
import pytest

from vlae.workflows import train


@pytest.fixture
def paths(tmp_path):
    """Two finished runs of the same data."""
    made = [tmp_path / "streets" / recipe for recipe in ("joint", "lean")]
    for path in made:
        train("streets:60", out=path, recipe=path.name, steps=1, batch_size=8, size=8, progress=False)
    return made


def measured(monkeypatch, paths, out):
    monkeypatch.setattr(sys, "argv", ["ladder_pace.py", *map(str, paths), "--rounds", "3", "--out", str(out)])
    ladder_pace.main()
    with out.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_runs_of_the_same_data_stand_beside_each_other(tmp_path, monkeypatch, paths):
    seconds = {"joint": iter([9.0, 0.1, 0.2, 0.1]), "lean": iter([9.0, 0.2, 0.2, 0.4])}  # the first of each warms up
    monkeypatch.setattr(ladder_pace, "step", lambda run, values: 2 * (next(seconds[run.recipe.name]),))
    joint, lean = measured(monkeypatch, paths, tmp_path / "pace.csv")
    assert (joint["dataset"], joint["system"], joint["pixels"], joint["batch"]) == ("streets", "joint", "3×8×8", "8")
    assert [joint[f"images/s, {of}"] for of in ("median", "least", "most")] == ["80", "40", "80"]
    assert [lean[f"images/s, {of}"] for of in ("median", "least", "most")] == ["40", "20", "40"]
    assert [joint[f"a step, {of}"] for of in ("median", "least", "most")] == ["1", "1", "1"]
    assert [lean[f"a step, {of}"] for of in ("median", "least", "most")] == ["2", "1", "4"]
    monkeypatch.setattr(ladder_pace, "step", lambda run, values: (-0.1, 0.1))
    with pytest.raises(SystemExit, match="streets: 20 steps were lost in noise"):
        measured(monkeypatch, paths, tmp_path / "other.csv")


@pytest.mark.slow
def test_a_step_is_timed(monkeypatch, tmp_path, paths):
    monkeypatch.setattr(ladder_pace, "MANY", 60)
    joint, lean = measured(monkeypatch, paths, tmp_path / "pace.csv")
    assert float(joint["images/s, least"]) > 0 and float(lean["images/s, least"]) > 0
