"""Train a ladder, and say what a source holds."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from vlae.cli.options import Reading, number_or_word, one_or_each, sizes

if TYPE_CHECKING:
    from vlae.runs.run import Run


def demo(*, out: Path = Path("runs/demo"), minutes: float = 5.0, seed: int = 0) -> None:
    """Train a ladder on the built-in street numbers, in five minutes, and show what to do next.

    Args:
        out: Folder of the run.
        minutes: Training time at most.
        seed: Of weights, data order and codes.
    """
    from vlae.workflows import train as train_ladder

    print("reading the built-in street numbers, which are drawn once and then kept", file=sys.stderr)
    run = train_ladder("streets", out=out, minutes=minutes, seed=seed)
    _say_done(run)


def train(
    source: str,
    /,
    *,
    out: Path | None = None,
    recipe: str = "lean",
    code_sizes: Annotated[str | None, Parameter(name=["--code-sizes", "--codes"])] = None,
    deep_heads: Annotated[bool, Parameter(negative=())] = False,
    reading: Reading = Reading(),
    limit: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    precision: Literal["fp32", "bf16"] | None = None,
    beta: str | None = None,
    free_bits: str | None = None,
    capacity: str | None = None,
    mmd: str | None = None,
    growth: Literal["ladder", "top-down", "bottom-up", "joint"] | None = None,
    family: Literal["gaussian", "laplace", "bernoulli"] | None = None,
    scale: str | None = None,
    seed: int | None = None,
    resume: Annotated[bool, Parameter(negative=())] = False,
    accelerator: str = "auto",
    devices: str = "auto",
    num_nodes: int = 1,
) -> None:
    """Train a ladder on pictures, arrays or tables; leave a run folder with its figures and page.

    Args:
        source: A folder of pictures, .npy, .npz, .csv, .parquet, a Hugging Face data set, MNIST's, SVHN's or CelebA's
            own files, or "streets".
        out: Folder of the run; by default runs/ and the source's name.
        recipe: lean, mnist, svhn, celeba or lsun.
        code_sizes: Sizes of the levels' codes, level 1 first, as 2,2,2.
        deep_heads: For the paper's recipes: heads that re-encode the level below, as the authors' do.
        reading: How the source is read.
        limit: Train on at most so many.
        steps: Optimiser steps in all.
        minutes: Stop after this much training if the steps are not done by then.
        batch_size: Images per step and device.
        learning_rate: Of Adam, at its highest.
        precision: fp32, or bf16 on processors that have it.
        beta: Weight of the KL terms: a number, or one for each level with commas between, level 1 first.
        free_bits: Nats a level may cost for nothing; as beta.
        capacity: Nats a level is held to; as beta.
        mmd: Weight of the discrepancy between codes and prior; as beta.
        growth: Order in which the levels fade in.
        family: Density of the data given the codes.
        scale: Its scale: a number, "optimal" or "learned".
        seed: Of weights, data order and codes.
        resume: Go on with the unfinished run in the folder, as it was begun.
        accelerator: auto, cpu, gpu or mps.
        devices: How many of them, or auto.
        num_nodes: How many machines.
    """
    from vlae.workflows import train as train_ladder

    settings: dict[str, Any] = {
        "steps": steps,
        "minutes": minutes,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "precision": precision,
        "beta": one_or_each("beta", beta),
        "free_bits": one_or_each("free-bits", free_bits),
        "capacity": one_or_each("capacity", capacity),
        "mmd": one_or_each("mmd", mmd),
        "growth": growth,
        "family": family,
        "scale": number_or_word(scale),
        "seed": seed,
    }
    run = train_ladder(
        source,
        out=out,
        recipe=recipe,
        code_sizes=sizes(code_sizes),
        deep_heads=deep_heads,
        **vars(reading),
        limit=limit,
        resume=resume,
        accelerator=accelerator,
        devices=int(devices) if devices.isdigit() else devices,
        num_nodes=num_nodes,
        **settings,
    )
    _say_done(run)


def data(
    source: str,
    /,
    *,
    reading: Reading = Reading(),
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Say what a source holds: count, shape, value range, labels, where it is cached.

    Args:
        source: As for train.
        reading: How the source is read.
        as_json: Print JSON.
    """
    from vlae.data import load

    images = load(source, split="all", progress=True, **vars(reading))
    found = images.describe()
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        if value not in (None, {}, [], ()):
            print(f"{name:>12}  {_plain(value)}")
    for file, reason in images.skipped[:20]:
        print(f"     skipped  {file}: {reason}")


def _say_done(run: "Run") -> None:
    from vlae.evaluation.rates import number
    from vlae.training.loop import is_leader

    if not is_leader():
        return
    levels = ", ".join(number(level["kl_nats"], ".1f") for level in run.summary["levels"])
    print(
        f"held-out squared error {number(run.summary['reconstruction'].get('mse'), '.4f')} per dimension; "
        f"KL of each level, 1 first: {levels} nats\n"
        f"page      {run.path / 'report.html'}\n"
        f"figures   {run.path / 'figures'}\n"
        f"next      vlae report {run.path}    measures what each level carries, and adds it to the page\n"
        f"          vlae explore {run.path}   a web page of it\n"
        f"          vlae figure {run.path} levels --seed 1\n"
        f"          vlae figure {run.path} levels --from-image PICTURE\n"
        f"          vlae train YOUR_PICTURES --out runs/mine"
    )


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list | tuple) else str(value)
