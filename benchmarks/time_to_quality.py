"""How long the default recipe trains until its test error is that of the authors' code; see README.md.

    python benchmarks/time_to_quality.py mnist/

Trainings of a planned length, the shortest first, until one reaches the error: the learning rate falls to 0 at the end
of a plan, so a longer plan reaches less error, later. The error is measured every few steps, outside of the clock.
Then the command `vlae train` runs with the plan that reached it, from start to figures.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from vlae import recipes
from vlae.data import load
from vlae.models.base import LatentModel
from vlae.models.inference import as_input, evaluating
from vlae.recipes import Recipe
from vlae.training.loop import Recorder
from vlae.training.settle import settled
from vlae.training.train import fit
from vlae.training.trainer import reuse_memory

TARGET = 0.0305
"""Squared error per pixel of MNIST's test pictures, in [0, 1]; the authors' code has it after some 250 to 300 s."""
CODE_SIZES = (2, 2, 2)
"""Those of the paper's MNIST, so that ours and theirs tell a picture in as many numbers."""


def squared_error(model: LatentModel, values: np.ndarray, *, batch_size: int = 500) -> dict[str, float]:
    """Mean squared error per pixel of what is drawn from a picture's codes.

    Args:
        model: in train or eval mode; it is measured in eval mode and left as it was.
        values: uint8 images (N, C, H, W).
        batch_size: images at a time.

    Returns:
        "drawn": of codes drawn from the posterior, as the authors' code measures it; "mean": of the codes' means.
    """
    sums = {"drawn": 0.0, "mean": 0.0}
    with evaluating(model, seed=0):
        for start in range(0, len(values), batch_size):
            posteriors = model.infer(x := as_input(values[start : start + batch_size]))
            ways = {"drawn": [q.sample() for q in posteriors], "mean": [q.mean for q in posteriors]}
            for way, codes in ways.items():
                sums[way] += (model.generate(tuple(codes)).mean - x).square().sum().item()
    return {way: total / values.size for way, total in sums.items()}


PLANS = [300, 450, 600, 800, 1200]


class Reached(Exception):  # noqa: N818
    """The error is reached; nothing is wrong."""


class Watcher:
    """Measures the error at intervals, and takes the time of it off the training's clock.

    Args:
        test: uint8 images (N, C, H, W).
        every: steps between two measurements, in the second half of the training.
        last: the number of the last step.
        target: the error at which the training stops.
    """

    def __init__(self, test: np.ndarray, *, every: int, last: int, target: float):
        self.test, self.every, self.last, self.target = test, every, last, target
        self.rows: list[dict[str, float]] = []

    def __call__(self, recorder: Recorder) -> None:  # noqa: D102
        step = recorder.engine.global_step
        if step < self.last / 2 or (step % self.every and step != self.last):
            return
        begun = time.monotonic()
        errors = squared_error(recorder.engine.model, self.test)
        self.rows.append({"step": step, "seconds": recorder.engine.seconds, **errors})
        recorder.at += time.monotonic() - begun
        if errors["drawn"] <= self.target:
            raise Reached


def attempt(recipe: Recipe, train: np.ndarray, test: np.ndarray, *, every: int, target: float) -> dict[str, Any]:
    """Trains once, until the error is reached or the plan is done."""
    watcher = Watcher(test, every=every, last=recipe.training.steps, target=target)
    reached = False
    try:
        fit(train, recipe, watchers=(watcher,))
    except Reached:
        reached = True
    return {"planned_steps": recipe.training.steps, "reached": reached, "rows": watcher.rows}


def first(rows: list[dict[str, float]], way: str, target: float) -> float | None:
    """Seconds of training at the first measurement with the error; None if it was not reached."""
    return next((row["seconds"] for row in rows if row[way] <= target), None)


def whole_command(source: str, steps: int, *, limit: int | None) -> dict[str, float]:
    """Seconds of `vlae train`, from start to figures, with a plan; and the error that it says, of the codes' means."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["-m", "vlae", "train", source, "--code-sizes", ",".join(map(str, CODE_SIZES)), "--steps", str(steps)]
        words += ["--out", str(Path(folder) / "run"), "--quiet", "--json"]
        words += [] if limit is None else ["--limit", str(limit)]
        begun = time.monotonic()
        said = subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True).stdout
        seconds = time.monotonic() - begun
    return {"seconds": seconds, "steps": steps, "mean": json.loads(said)["summary"]["reconstruction"]["mse"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="mnist/", help="the four files of MNIST")
    parser.add_argument("--plans", type=int, nargs="+", default=PLANS, help="lengths of the trainings, in steps")
    parser.add_argument("--every", type=int, default=25, help="steps between two measurements")
    parser.add_argument("--target", type=float, default=TARGET, help="squared error per pixel")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="only see that it runs: the numbers mean nothing")
    args = parser.parse_args()
    limit = None
    if args.quick:
        args.plans, args.every, args.target, limit = [2, 4], 2, 0.2, 100
    train, test = (load(args.source, split=split, limit=limit).values for split in ("train", "test"))
    train, test = np.array(train), np.array(test)  # in memory: the clock is for the training
    reuse_memory()
    recipe = settled(recipes.lean(train.shape[1:], code_sizes=CODE_SIZES), train)
    attempts: list[dict[str, Any]] = []
    for steps in args.plans:
        planned = recipes.adjust(recipe, steps=steps)
        attempts.append(attempt(planned, train, test, every=args.every, target=args.target))
        row = attempts[-1]["rows"][-1]
        print(
            f"planned {steps:5,} steps: {row['drawn']:.4f} (codes drawn), {row['mean']:.4f} (means) after "
            f"{row['seconds']:.1f} s and {row['step']:,} steps",
            flush=True,
        )
        if attempts[-1]["reached"]:
            break
    result: dict[str, Any] = {
        "target": args.target,
        "pictures": [len(train), len(test)],
        "batch_size": recipe.training.batch_size,
        "precision": recipe.training.precision,
        "attempts": attempts,
        "training_seconds": first(attempts[-1]["rows"], "drawn", args.target),
        "training_seconds_of_means": min(
            (at for each in attempts if (at := first(each["rows"], "mean", args.target)) is not None), default=None
        ),
        "command": None,
    }
    if attempts[-1]["reached"]:
        result["command"] = whole_command(args.source, attempts[-1]["planned_steps"], limit=limit)
        print(
            f"{args.target:g} is reached after {result['training_seconds']:.1f} s of training; the whole command takes "
            f"{result['command']['seconds']:.1f} s"
        )
    else:
        print(f"{args.target:g} is not reached in {args.plans[-1]:,} steps")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
