"""How fast `vlae encode` is beside the bare encoder in a loop, and beside what the machine can do; see README.md."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode
from train_speed import RECIPES, processor, spread

from vlae import recipes
from vlae.codes.encode import encode
from vlae.codes.encoder import Encoder
from vlae.models.inference import as_input
from vlae.runs.layout import MODEL
from vlae.runs.run import Run


def run_of(name: str, folder: Path) -> Run:
    """A run with untrained weights, which are as fast as trained ones."""
    recipe = RECIPES[name]()
    torch.manual_seed(0)
    model = recipes.build(recipe).eval()
    examples = np.zeros((1, *recipe.shape), np.uint8)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / MODEL)
    return Run(path=folder, recipe=recipe, model=model, data={"source": ""}, summary={}, examples=examples)


def bare(encoder: Encoder, values: np.ndarray, *, reconstruction: bool) -> None:
    """The shortest loop that gives every level's posterior, and the pictures of the means if asked."""
    size = encoder.batch_size
    with torch.inference_mode():
        for start in range(0, len(values), size):
            x = torch.from_numpy(values[start : start + size]).float().div_(255)
            posteriors = encoder.model.infer(x)
            if reconstruction:
                encoder.model.generate(tuple(q.mean for q in posteriors))


def timed(do: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    do()
    return clock() - start


def measure(name: str, args: argparse.Namespace, folder: Path) -> tuple[dict[str, str], dict[str, object]]:
    """A row of the table, and images a second in every round."""
    run = run_of(name, folder)
    encoder = Encoder(run.model)
    one = np.random.default_rng(0).integers(0, 256, (encoder.batch_size, *run.recipe.shape), dtype=np.uint8)
    bare(encoder, one, reconstruction=False)
    clock = time.process_time if args.processor_time else time.perf_counter
    per_batch = timed(lambda: bare(encoder, one, reconstruction=False), clock)
    num = encoder.batch_size * max(1 if args.quick else 2, round(args.seconds / per_batch))
    values = np.random.default_rng(1).integers(0, 256, (num, *run.recipe.shape), dtype=np.uint8)
    source = folder / f"{name}.npy"
    np.save(source, values)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        run.model.infer(as_input(one[:2]))
    seconds: dict[tuple[str, bool], list[float]] = {}
    for turn in range(args.rounds + 1):
        for reconstruction in (False, True):
            out = folder / f"{name}-{turn}-{reconstruction}.parquet"
            turns = {
                "bare": lambda r=reconstruction: bare(encoder, values, reconstruction=r),
                "encode": lambda r=reconstruction, out=out: encode(run, source, out, reconstruction=r),
            }
            for label, do in turns.items():
                taken = timed(do, clock)
                if turn or args.quick:  # the first round decodes into the cache and warms the memory up
                    seconds.setdefault((label, reconstruction), []).append(taken)
    speeds = {key: [num / taken for taken in all_taken] for key, all_taken in seconds.items()}

    def lost(reconstruction: bool) -> str:
        pairs = zip(seconds["bare", reconstruction], seconds["encode", reconstruction], strict=True)
        return spread([1 - bare_taken / taken for bare_taken, taken in pairs], ".1%")

    reached = median(speeds["encode", False]) * counter.get_total_flops() / 2 / 1e9
    raw = {
        f"{label}{' with decoder' if reconstruction else ''}": all_speeds
        for (label, reconstruction), all_speeds in speeds.items()
    }
    return {
        "recipe": f"{name}, {num:,} images",
        "bare encoder, images/s": spread(speeds["bare", False]),
        "encode, images/s": spread(speeds["encode", False]),
        "lost": lost(False),
        "bare encoder and decoder, images/s": spread(speeds["bare", True]),
        "encode with reconstruction error, images/s": spread(speeds["encode", True]),
        "lost then": lost(True),
        "encode, GFLOP/s": f"{reached:.0f}",
        "of convolution": f"{reached / args.limit:.0%}",
    }, {"num_images": num, "flop_per_image": counter.get_total_flops() / 2, "images_per_second": raw}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=["lean28", "lean32", "mnist"], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a round, about")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="count the processor's time, not the clock's: on a machine that is not quiet, with OMP_NUM_THREADS=1",
    )
    parser.add_argument("--quick", action="store_true", help="only see that it runs: the numbers mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 0, 0.0
    if (load := os.getloadavg()[0]) > 0.5:
        print(f"warning: load average {load:.1f}: the machine is not quiet, these numbers are noise", file=sys.stderr)
    words = [sys.executable, str(Path(__file__).with_name("train_speed.py")), "--worker", "machine"]
    about = json.loads(subprocess.check_output([*words, *(["--quick"] if args.quick else [])]))
    convolutions = {name: values for name, values in about["gflops"].items() if name.startswith("convolution fp32")}
    args.limit = max(median(values) for values in convolutions.values())
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VLAE_CACHE"] = str(Path(folder) / "cache")
        measured = {name: measure(name, args, Path(folder)) for name in args.recipes}
    rows = [row for row, _ in measured.values()]
    print(processor(), f"{about['threads']} threads", about["instructions"], f"torch {about['torch']}", sep=", ")
    if args.processor_time:
        print("seconds of processor time; the convolution's rate is by the clock, and of no use here")
    print(f"fp32; load average at start {load:.1f}; {args.rounds} rounds: median (min to max)\n")
    for name, values in convolutions.items():
        print(f"- {name}: {spread(values)} GFLOP/s")
    if args.json:
        raw = {name: figures for name, (_, figures) in measured.items()}
        args.json.write_text(json.dumps({"gflops": about["gflops"], "recipes": raw}, indent=2) + "\n")
    for line in ["", rows[0], ["---"] * len(rows[0]), *(row.values() for row in rows)]:
        print(f"| {' | '.join(line)} |" if line else "")


if __name__ == "__main__":
    main()
