"""What a training step spends its time on, by kind of work; see README.md in this folder.

    python benchmarks/step_profile.py lean28 lean32 mnist

The engine trains as in `train_speed.py`, watched by torch.profiler. Each operation's own time goes to one kind of work;
convolutions are told apart by the larger side of what they read and write. What is between operations, Python and
Lightning, is the rest of the step.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function
from train_speed import RECIPES

from vlae import recipes
from vlae.objectives.base import Batch
from vlae.recipes import Recipe
from vlae.training import loop
from vlae.training.batches import Batches
from vlae.training.settle import settled
from vlae.training.trainer import quiet, reuse_memory, trainer_of

DATA, LOGGING, LOSS = "benchmark: data", "benchmark: logging", "benchmark: loss"
NAMES = {DATA: "data", LOGGING: "logging and checkpoints"}
BETWEEN = "between operations: Python, Lightning"
DENSE = ("addmm", "mm", "bmm", "linear", "matmul", "baddbmm")
KINDS = {
    "normalisation": ("norm", "var", "std", "mean"),
    "copies and layout": (
        *("copy", "contiguous", "clone", "cat", "stack", "to", "fill", "zero", "empty", "resize", "pad", "narrow"),
        *("index", "select", "slice", "expand", "view", "reshape", "permute", "as_strided", "detach", "transpose"),
    ),
}
"""Kinds of work by parts of the names of PyTorch's operations; what is in none is elementwise."""


class Labelled(loop.Recorder):
    """The engine's own callback, whose work is told apart by the profiler; it writes no checkpoint at its end."""

    step_ends: list[float]

    def on_train_batch_end(self, *args: Any) -> None:  # noqa: D102
        with record_function(LOGGING):
            super().on_train_batch_end(*args)
        self.step_ends.append(time.perf_counter())

    def _save(self, *args: Any) -> None:
        """None: a checkpoint a minute is real use, one in these few steps is not."""


class LabelledEngine(loop.Engine):
    """The engine, whose loss is told apart from the optimiser: Lightning computes it within the optimiser's step."""

    def training_step(self, *args: Any) -> torch.Tensor:  # noqa: D102
        with record_function(LOSS):
            return super().training_step(*args)


class LabelledBatches(Batches):
    """The engine's own batches, whose work is told apart by the profiler."""

    def __iter__(self) -> Iterator[Batch]:
        stream = super().__iter__()
        while True:
            with record_function(DATA):
                batch = next(stream)
            yield batch


def trained(recipe: Recipe, values: np.ndarray, steps: int) -> tuple[float, list[FunctionEvent], int]:
    """Trains a few steps alone, then as many watched.

    Args:
        recipe: what is trained.
        values: uint8 images (N, C, H, W).
        steps: how many are watched; as many more before them are not.

    Returns:
        Seconds of a step, unwatched; what the profiler saw; the steps that it saw.
    """
    torch.manual_seed(0)
    module = LabelledEngine(recipes.build(recipe).train(), recipes.adjust(recipe, steps=2 * steps))
    watcher = profile(activities=[ProfilerActivity.CPU], record_shapes=True)
    with tempfile.TemporaryDirectory() as folder, quiet():
        recorder = Labelled(module, Path(folder), progress=False, watchers=(lambda at: switch(at, watcher, steps),))
        recorder.step_ends = []
        trainer = trainer_of(module.recipe, recorder, accelerator="cpu")
        trainer.fit(module, LabelledBatches(values, None, recipe.training, trainer))
    taken = np.diff(recorder.step_ends[: steps - 1])
    return median(taken), list(watcher.events()), steps - 1


def switch(recorder: loop.Recorder, watcher: profile, steps: int) -> None:
    """Starts the profiler when the unwatched steps are done, and stops it at the last step."""
    step = recorder.engine.global_step
    if step == steps:
        watcher.start()
    elif step == 2 * steps - 1:
        watcher.stop()


def sides(event: FunctionEvent) -> int | None:
    """The larger side of the maps that a convolution reads or writes, in pixels; None if it is none."""
    maps = [shape for shape in event.input_shapes if len(shape) == 4]
    if "convolution_backward" in event.name and len(maps) >= 3:
        return max(max(shape[2:]) for shape in maps[:2])  # the gradient of the output, and the input
    if not event.name.endswith("convolution") or len(maps) < 2:
        return None
    side, kernel = max(maps[0][2:]), max(maps[1][2:])
    settings = list(event.concrete_inputs)
    if "aten::convolution" not in event.name or len(settings) < 8 or not settings[6]:
        return side
    stride, padding, more = settings[3][0], settings[4][0], settings[7][0]
    return max(side, (side - 1) * stride - 2 * padding + kernel + more)


def kind_of(event: FunctionEvent, full: int) -> str:
    """The kind of work that an operation's own time belongs to.

    Args:
        event: what the profiler saw.
        full: the larger side of a picture, in pixels.
    """
    if event.name == LOSS or event.name.startswith("Optimizer.step"):
        return BETWEEN
    at: FunctionEvent | None = event
    side, of_loss = None, False
    while at is not None:
        if at.name in NAMES:
            return NAMES[at.name]
        of_loss = of_loss or at.name == LOSS or at.name.startswith("autograd::")
        if at.name.startswith("Optimizer.") and not of_loss:
            return "optimiser"
        side = sides(at) or side  # the outermost convolution knows all of it
        at = at.cpu_parent
    if side is not None:
        return f"convolutions at {side} pixels" + " (full size)" * (side >= full)
    name = event.name.removeprefix("aten::").lower()
    if name in DENSE:
        return "dense layers"
    kind = next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "elementwise")
    of_maps = [max(shape[2:]) for shape in event.input_shapes if len(shape) == 4]
    return kind + (" at full size" if max(of_maps, default=0) >= full else ", smaller")


def shares(events: list[FunctionEvent], steps: int, full: int) -> tuple[dict[str, float], Counter[str]]:
    """Milliseconds of a step by kind of work, the longest first; and by single operations."""
    kinds: Counter[str] = Counter()
    single: Counter[str] = Counter()
    first = min(event.time_range.start for event in events)
    last = max(event.time_range.end for event in events)
    for event in events:
        own = event.self_cpu_time_total / 1e3 / steps
        kinds[kind_of(event, full)] += own
        single[event.name] += own
    between = (last - first) / 1e3 / steps - kinds.total()
    kinds[BETWEEN] += max(0.0, between)
    return dict(kinds.most_common()), single


def profile_of(name: str, args: argparse.Namespace) -> dict[str, Any]:
    recipe = recipes.adjust(
        RECIPES[name](), precision=args.precision, batch_size=8 if args.quick else None, augment="none"
    )
    rows = max(4 * recipe.training.batch_size, 64)
    values = np.random.default_rng(0).integers(0, 256, (rows, *recipe.shape), dtype=np.uint8)
    recipe = settled(recipe, values)
    seconds, events, steps = trained(recipe, values, args.steps)
    kinds, single = shares(events, steps, max(recipe.shape[1:]))
    return {
        "recipe": name,
        "precision": recipe.training.precision,
        "batch_size": recipe.training.batch_size,
        "images_per_second_unwatched": recipe.training.batch_size / seconds,
        "milliseconds_unwatched": 1e3 * seconds,
        "milliseconds": kinds,
        "longest_operations": dict(single.most_common(12)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=["lean28", "lean32"], metavar="RECIPE", help=", ".join(RECIPES))
    parser.add_argument("--steps", type=int, default=10, help="watched; as many before them are not")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="by default, the recipe's own")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="only see that it runs: the numbers mean nothing")
    args = parser.parse_args()
    if unknown := set(args.recipes) - RECIPES.keys():
        parser.error(f"there is no recipe {', '.join(unknown)}; choose of {', '.join(RECIPES)}")
    if args.quick:
        args.steps = 3
    reuse_memory()
    results = []
    for name in args.recipes:
        results.append(result := profile_of(name, args))
        total = sum(result["milliseconds"].values())
        print(f"{name}, {result['precision']}, batch {result['batch_size']}: ", end="")
        print(f"{total:.1f} ms a step watched, {result['milliseconds_unwatched']:.1f} ms unwatched")
        for kind, milliseconds in result["milliseconds"].items():
            print(f"{milliseconds / total:7.1%} {milliseconds:9.2f} ms  {kind}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
