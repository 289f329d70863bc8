"""How fast training is on this machine's processor, beside what the machine can do; see README.md in this folder."""

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from this_machine import processor
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vlae import recipes
from vlae.objectives import ELBO
from vlae.training import loop
from vlae.training.batches import Batches
from vlae.training.precision import lacks_bf16
from vlae.training.trainer import quiet, reuse_memory, trainer_of

RECIPES: dict[str, Callable[[], recipes.Recipe]] = {
    "lean28": lambda: recipes.lean((1, 28, 28), code_sizes=(2, 2, 2)),
    "lean32": lambda: recipes.lean((3, 32, 32)),
    "lean64": lambda: recipes.lean((3, 64, 64)),
    "mnist": recipes.mnist,
    "svhn": recipes.svhn,
    "celeba": recipes.celeba,
    "mnist-deep": partial(recipes.mnist, deep_heads=True),
    "svhn-deep": partial(recipes.svhn, deep_heads=True),
    "celeba-deep": partial(recipes.celeba, deep_heads=True),
}
"""-deep: with heads that re-encode the level below, like the authors' code."""
TURNS = {"bare": ("fast", "loop"), "engine": ("fast", "engine"), "plain": ("plain", "loop")}
"""What is measured in turns: in which process, by which method."""
DATA_BYTES = 2**25  # of random images, all in memory
WARM = 2 * loop.LOG_EVERY  # steps left out at the start of a round, or a quarter of a shorter round's


def usage() -> resource.struct_rusage:
    return resource.getrusage(resource.RUSAGE_SELF)


class Timed(loop.Recorder):
    """The engine's own callback, which also notes when each step ended, and what a checkpoint costs."""

    checkpoint = True  # in the first run alone: one a minute is real use, one a round is not
    checkpoint_seconds = 0.0
    marks: list[tuple[float, int]]  # (seconds, page faults) after each step of the latest run

    def on_train_batch_end(self, *args: Any) -> None:  # noqa: D102
        super().on_train_batch_end(*args)
        Timed.marks.append((time.perf_counter(), usage().ru_minflt))

    def _save(self, *args: Any) -> None:
        if Timed.checkpoint:
            start = time.perf_counter()
            super()._save(*args)
            Timed.checkpoint_seconds = time.perf_counter() - start


class Worker:
    """One recipe's measurements in a process of its own, so that the allocator's settings stay in it."""

    def __init__(self, name: str, args: argparse.Namespace, *, plain: bool):
        recipe = RECIPES[name]()
        batch_size = 8 if args.quick else None
        self.recipe = recipes.adjust(recipe, precision=args.precision, batch_size=batch_size, augment="none")
        self.plain = plain
        shape = self.recipe.shape
        num = max(DATA_BYTES // prod(shape), self.recipe.training.batch_size)
        self.values = np.random.default_rng(0).integers(0, 256, (num, *shape), dtype=np.uint8)
        torch.manual_seed(0)
        self.model = recipes.build(self.recipe).train()
        self.optimiser: torch.optim.Optimizer | None = None
        if not plain:
            reuse_memory()
            self.model.to(memory_format=torch.channels_last)

    def loss(self, x: Tensor) -> Tensor:
        """Of a batch, every level fully grown."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.training.precision == "bf16"):
            forward = self.model(x)
            fade = (1.0,) * self.model.num_levels
            return ELBO().weighted(forward, x, step=0, progress=0.0, fade=fade)[0]

    def facts(self) -> dict[str, float]:
        """Size, operations, and memory after a short run of the engine, before anything else is measured."""
        first = self.engine(2, 1)
        Timed.checkpoint = False
        x = torch.from_numpy(self.values[:2]).float().div_(255)
        with FlopCounterMode(display=False) as counter:  # operations grow with the batch, so two images tell
            self.loss(x).backward()
        return {
            "batch_size": self.recipe.training.batch_size,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "flop_per_image": counter.get_total_flops() / 2,
            "seconds_per_step": (first["seconds"] - Timed.checkpoint_seconds) / 2,
            "peak_mib": first["peak_mib"],
            "checkpoint_seconds": Timed.checkpoint_seconds,
        }

    def engine(self, steps: int, warm: int) -> dict[str, float]:
        """The library's own training, without its start-up."""
        recipe = recipes.adjust(self.recipe, steps=warm + steps)
        module = loop.Engine(self.model, recipe)
        Timed.marks = []
        with tempfile.TemporaryDirectory() as folder, quiet():
            recorder = Timed(module, Path(folder), progress=False)
            trainer = trainer_of(recipe, recorder, accelerator="cpu", devices=1, num_nodes=1)
            trainer.fit(module, Batches(self.values, None, recipe.training, trainer))
        return self._result(Timed.marks[-steps - 1], steps, Timed.marks[-1])

    def loop(self, steps: int, warm: int) -> dict[str, float]:
        """The shortest loop that trains the same net on the same images: plain PyTorch, or with the fast settings."""
        if self.optimiser is None:
            fused = None if self.plain else True
            self.optimiser = torch.optim.Adam(self.model.parameters(), self.recipe.training.learning_rate, fused=fused)
        data, size = torch.from_numpy(self.values), self.recipe.training.batch_size
        for step in range(warm + steps):
            if step == warm:
                start = (time.perf_counter(), usage().ru_minflt)
            first = step * size % (len(data) - size + 1)
            x = data[first : first + size].float().div_(255)
            value = self.loss(x)
            self.optimiser.zero_grad()
            value.backward()
            self.optimiser.step()
        return self._result(start, steps, (time.perf_counter(), usage().ru_minflt))

    def _result(self, start: tuple[float, int], steps: int, end: tuple[float, int]) -> dict[str, float]:
        gc.collect()
        seconds, faults = (after - before for before, after in zip(start, end, strict=True))
        return {
            "seconds": seconds,
            "images_per_second": steps * self.recipe.training.batch_size / seconds,
            "faults_per_step": faults / steps,
            "peak_mib": usage().ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
        }

    def serve(self) -> None:
        """Answers each line `method arguments…` of standard input with a line of JSON."""
        for line in sys.stdin:
            method, *numbers = line.split()
            print(json.dumps(getattr(self, method)(*map(int, numbers))), flush=True)


def machine(args: argparse.Namespace) -> None:
    """Prints what the processor can do, in GFLOP/s, as JSON."""
    reuse_memory()
    side, batch = (256, 2) if args.quick else (2048, 64)
    gflops: dict[str, list[float]] = {}

    def measure(name: str, run: Callable[[], object], flop: float) -> None:
        for repeat in range(6):
            start = time.perf_counter()
            run()
            if repeat >= 1:
                gflops.setdefault(name, []).append(flop / (time.perf_counter() - start) / 1e9)

    kind, dtype = args.precision, torch.bfloat16 if args.precision == "bf16" else torch.float32
    a, b = torch.randn(2, side, side).to(dtype)
    measure(f"product {kind}", partial(torch.mm, a, b), 2 * side**3)
    for name, layout in (("NHWC", torch.channels_last), ("NCHW", torch.contiguous_format)):
        convolution = nn.Conv2d(128, 128, 3, padding=1, bias=False).to(dtype).to(memory_format=layout)
        x = torch.randn(batch, 128, 32, 32).to(dtype).contiguous(memory_format=layout).requires_grad_()
        both_ways = partial(lambda net, x, towards: net(x).backward(towards), convolution, x, torch.randn_like(x))
        measure(f"convolution {kind} {name}", both_ways, 3 * 2 * batch * 32 * 32 * 128 * 128 * 9)
    versions = {"torch": torch.__version__, "instructions": torch.backends.cpu.get_cpu_capability()}
    print(json.dumps({**versions, "threads": torch.get_num_threads(), "gflops": gflops}), flush=True)


class Process:
    """A worker, seen from outside."""

    def __init__(self, *words: str, huge_pages: bool = True):
        environment = {**os.environ, "THP_MEM_ALLOC_ENABLE": str(int(huge_pages))}  # read when torch is imported
        command = [sys.executable, __file__, *sys.argv[1:], "--worker", *words]
        self.words, pipe = words, subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def ask(self, *words: object) -> dict[str, Any]:
        """Its answer to a line, or what it says unasked."""
        if words:
            print(*words, file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"the worker {self.words} ended with code {self.process.wait()}; what it said is above")

    def end(self) -> None:
        """Waits until it is gone, so that its time counts as this process's own."""
        self.process.communicate()


def rates_of_machine() -> dict[str, Any]:
    process = Process("machine")
    rates = process.ask()
    process.end()
    return rates


def measure_recipe(name: str, args: argparse.Namespace) -> dict[str, Any]:
    fast = Process("fast", name)
    facts = fast.ask("facts")
    processes = {"fast": fast}
    if "plain" in args.turns:
        processes["plain"] = Process("plain", name, huge_pages=False)
    steps = max(2, round(args.seconds / facts["seconds_per_step"]))
    warm = min(WARM, max(1, steps // 4))
    for process in processes.values():  # a step that is not counted makes the optimiser's state
        process.ask("loop", 1, 0)
    rounds: dict[str, list[dict[str, float]]] = {turn: [] for turn in args.turns}
    for _ in range(args.rounds):
        for turn in args.turns:
            process, method = TURNS[turn]
            rounds[turn].append(processes[process].ask(method, steps, warm))
    for process in processes.values():
        process.end()
    pairs = zip(rounds["bare"], rounds["engine"], strict=True)
    overhead = [1 - engine["images_per_second"] / bare["images_per_second"] for bare, engine in pairs]
    return {"recipe": name, **facts, "steps": steps, "warm": warm, "overhead": overhead, "rounds": rounds}


def spread(values: list[float], form: str = "") -> str:
    form = form or (",.1f" if median(values) < 100 else ",.0f")
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def cells(result: dict[str, Any], limits: dict[str, float]) -> dict[str, str]:
    speeds = {label: [r["images_per_second"] for r in rounds] for label, rounds in result["rounds"].items()}
    missed = [f"{median(r['faults_per_step'] for r in rounds):,.0f}" for rounds in result["rounds"].values()]
    reached = median(speeds["engine"]) * result["flop_per_image"] / 1e9
    plain: dict[str, str] = {}
    peaks = {"engine": result["peak_mib"]}
    if "plain" in speeds:
        plain = {
            "plain PyTorch, images/s": spread(speeds["plain"]),
            "engine / plain": f"{median(speeds['engine']) / median(speeds['plain']):.2f}",
        }
        peaks["plain"] = result["rounds"]["plain"][-1]["peak_mib"]
    return {
        "recipe": f"{result['recipe']}, {result['parameters'] / 1e6:.1f} M, batch {result['batch_size']}",
        "bare loop, images/s": spread(speeds["bare"]),
        "engine, images/s": spread(speeds["engine"]),
        **plain,
        "engine's overhead": spread(result["overhead"], ".1%"),
        "MFLOP an image": f"{result['flop_per_image'] / 1e6:,.0f}",
        "engine, GFLOP/s": f"{reached:.0f}",
        "of convolution / product": " / ".join(f"{reached / limits[kind]:.0%}" for kind in ("convolution", "product")),
        f"page faults a step: {' / '.join(speeds)}": " / ".join(missed),
        f"peak MiB: {' / '.join(peaks)}": " / ".join(f"{peak:,.0f}" for peak in peaks.values()),
        "checkpoint, s": f"{result['checkpoint_seconds']:.2f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES)[:6], metavar="NAME")
    parser.add_argument("--no-plain", action="store_true", help="leave plain PyTorch out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round, about; at least 2 steps")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of bare loop, engine and plain")
    parser.add_argument("--quick", action="store_true", help="only see that it runs: the numbers mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.turns = [turn for turn in TURNS if turn != "plain" or not args.no_plain]
    if args.quick:
        args.rounds, args.seconds = 1, 0.1
    if args.precision == "bf16" and lacks_bf16():
        parser.error("no bf16 arithmetic on this processor; leave --precision out")
    if args.worker:
        kind, *name = args.worker
        return machine(args) if kind == "machine" else Worker(*name, args, plain=kind == "plain").serve()

    begun, load = time.perf_counter(), os.getloadavg()[0]
    if load > 0.5:
        print(f"warning: load average {load:.1f}: the machine is not quiet, these numbers are noise", file=sys.stderr)
    about = rates_of_machine()
    results = []
    for name in args.recipes:
        print(f"{time.perf_counter() - begun:4.0f} s: {name}", file=sys.stderr, flush=True)
        results.append(measure_recipe(name, args))
    gflops = about["gflops"]
    if not args.quick:
        gflops = {name: gflops[name] + more for name, more in rates_of_machine()["gflops"].items()}
    about |= {"processor": processor(), "load": load, "precision": args.precision, "gflops": gflops}
    # The convolution's limit is that of the better memory layout.
    limits = dict.fromkeys(("convolution", "product"), 0.0)
    for name, values in gflops.items():
        kind, precision, *_ = name.split()
        if precision == args.precision:
            limits[kind] = max(limits[kind], median(values))
    print(about["processor"], f"{about['threads']} threads", about["instructions"], f"torch {about['torch']}", sep=", ")
    print(f"{args.precision}; load average at start {load:.1f}; {args.rounds} rounds: median (min to max)\n")
    for name, values in gflops.items():
        print(f"- {name}: {spread(values)} GFLOP/s")
    rows = [cells(result, limits) for result in results]
    for line in ["", rows[0], ["---"] * len(rows[0]), *(row.values() for row in rows)]:
        print(f"| {' | '.join(line)} |" if line else "")
    if args.json:
        args.json.write_text(json.dumps({"machine": about, "recipes": results}, indent=2) + "\n")
    print(f"{time.perf_counter() - begun:4.0f} s in all", file=sys.stderr)


if __name__ == "__main__":
    main()
