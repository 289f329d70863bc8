"""The pace of ladders: each run's images a second, and its step in times that of the first of the same data."""

import csv
import sys

import ladder_pace
import pytest

from vlae.workflows import train


@pytest.mark.slow
def test_runs_of_the_same_data_stand_beside_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(ladder_pace, "FEW", 1)
    monkeypatch.setattr(ladder_pace, "MANY", 3)
    paths = [tmp_path / "streets" / recipe for recipe in ("joint", "lean")]
    for path in paths:
        train("streets:60", out=path, recipe=path.name, steps=1, batch_size=8, size=8, progress=False)
    out = tmp_path / "pace.csv"
    monkeypatch.setattr(sys, "argv", ["ladder_pace.py", *map(str, paths), "--rounds", "2", "--out", str(out)])
    ladder_pace.main()
    with out.open(newline="") as stream:
        joint, lean = csv.DictReader(stream)
    assert (joint["dataset"], joint["system"], joint["batch"]) == ("streets", "joint", "8")
    assert float(joint["a step, median"]) == 1 and float(lean["a step, median"]) != 1
    assert float(lean["images/s, least"]) <= float(lean["images/s, median"]) <= float(lean["images/s, most"])
