"""How many pictures a second each of several ladders trains on, on the same data and in turn.

Runs of the same data stand beside each other. Of each, the recipe is trained anew for a few steps, in rounds; what
starting takes is left out, as the difference of a longer and a shorter training. Steps of equal time follow from it.

python benchmarks/ladder_pace.py RUN [RUN ...] --out docs/tables/pace.csv
"""

import argparse
import csv
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import this_machine

import vlae
from vlae.runs.run import Run
from vlae.training.train import fit

FEW, MANY = 5, 25
"""Steps of the shorter and the longer training."""

MOST = 2_000
"""Pictures to train on."""

OF = (np.median, np.min, np.max)
SPREAD = ("median", "least", "most")
COLUMNS = (
    "dataset",
    "system",
    "pixels",
    "batch",
    *(f"{what}, {of}" for what in ("images/s", "a step") for of in SPREAD),
)
"""A step: its time on the processor, in times that of the first run of the same data."""


def step(run: Run, values: np.ndarray) -> tuple[float, float]:
    """Seconds, and seconds of all processors, of one step of a run's recipe."""
    taken = []
    for steps in (FEW, MANY):
        recipe = replace(run.recipe, training=replace(run.recipe.training, steps=steps))
        begun, worked = time.perf_counter(), time.process_time()
        fit(values, recipe)
        taken.append((time.perf_counter() - begun, time.process_time() - worked))
    (short, short_work), (long, long_work) = taken
    return (long - short) / (MANY - FEW), (long_work - short_work) / (MANY - FEW)


def rows_of(runs: list[Run], rounds: int) -> list[list[str]]:
    """A row for each run, of rounds in turn."""
    values = np.ascontiguousarray(runs[0].part("train").values[:MOST])
    for run in runs:  # what only the first training does
        step(run, values)
    found = np.array([[step(run, values) for run in runs] for _ in range(rounds)])  # (rounds, runs, 2)
    if (found <= 0).any():
        raise SystemExit(f"{runs[0].path.parent.name}: {MANY - FEW} steps were lost in noise; stop what else runs here")
    rows = []
    for run, seconds, work in zip(runs, found[..., 0].T, found[..., 1].T, strict=True):
        batch = run.recipe.training.batch_size
        numbers = [f"{of(each):.4g}" for each in (batch / seconds, work / found[:, 0, 1]) for of in OF]
        rows.append([run.path.parent.name, run.recipe.name, "×".join(map(str, run.recipe.shape)), str(batch), *numbers])
    return rows


def main() -> None:
    """Prints the table, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="where to write the rows, a CSV file")
    asked = parser.parse_args()
    work = this_machine.Work()
    groups: dict[str, list[Run]] = {}
    for run in map(vlae.load, asked.runs):
        groups.setdefault(f"{run.path.parent.name} {run.recipe.shape}", []).append(run)
    rows = [row for group in groups.values() for row in rows_of(group, asked.rounds)]
    print("\n".join(f"| {' | '.join(row)} |" for row in [COLUMNS, ["---"] * len(COLUMNS), *rows]))
    if asked.out:
        with asked.out.open("w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *rows])
    if (others := work.of_others()) is not None:
        print(f"others kept {others:.2f} cores busy", file=sys.stderr)


if __name__ == "__main__":
    main()
