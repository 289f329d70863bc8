"""The command line: one thin command per library function."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

import vlae

if TYPE_CHECKING:
    from vlae.runs import Run

app = App(
    name="vlae",
    help="Structured features from unlabelled images, in levels from simple to complex.",
    version=vlae.__version__,
    help_format="markdown",
    suppress_keyboard_interrupt=False,  # main says how to go on
)


@app.command
def demo(*, out: Path = Path("runs/demo"), minutes: float = 5.0, seed: int = 0) -> None:
    """Train a ladder on the built-in street numbers, in five minutes, and show what to do next.

    Args:
        out: Folder of the run.
        minutes: Training time at most.
        seed: Of weights, data order and codes.
    """
    from vlae.training import train as train_ladder

    print("reading the built-in street numbers, which are drawn once and then kept", file=sys.stderr)
    run = train_ladder("streets", out=out, minutes=minutes, seed=seed)
    _say_done(run)


@app.command
def train(
    source: str,
    /,
    *,
    out: Path | None = None,
    recipe: str = "lean",
    codes: str | None = None,
    deep_heads: Annotated[bool, Parameter(negative=())] = False,
    size: int | None = None,
    crop: int | None = None,
    channels: int | None = None,
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
    key: str | None = None,
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
        codes: Sizes of the levels' codes, level 1 first, as 2,2,2.
        deep_heads: For the paper's recipes: heads that re-encode the level below, as the authors' do.
        size: Side of the images in pixels, 8 to 256.
        crop: Cut this square out of the middle of each picture first.
        channels: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha.
        layout: Of an array whose shape does not tell.
        key: Which array of an .npz file, or column of a table.
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
    from vlae.training import train as train_ladder

    settings: dict[str, Any] = {
        "steps": steps,
        "minutes": minutes,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "precision": precision,
        "beta": _one_or_each("beta", beta),
        "free_bits": _one_or_each("free-bits", free_bits),
        "capacity": _one_or_each("capacity", capacity),
        "mmd": _one_or_each("mmd", mmd),
        "growth": growth,
        "family": family,
        "scale": _number_or_word(scale),
        "seed": seed,
    }
    run = train_ladder(
        source,
        out=out,
        recipe=recipe,
        codes=_sizes(codes),
        deep_heads=deep_heads,
        size=size,
        crop=crop,
        channels=channels,
        layout=layout,
        key=key,
        limit=limit,
        resume=resume,
        accelerator=accelerator,
        devices=int(devices) if devices.isdigit() else devices,
        num_nodes=num_nodes,
        **settings,
    )
    _say_done(run)


@app.command
def data(
    source: str,
    /,
    *,
    size: int | None = None,
    crop: int | None = None,
    channels: int | None = None,
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
    key: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Say what a source holds: count, shape, value range, labels, where it is cached.

    Args:
        source: As for train.
        size: As for train.
        crop: As for train.
        channels: As for train.
        layout: As for train.
        key: As for train.
        as_json: Print JSON.
    """
    from vlae.data import load

    images = load(source, split="all", size=size, crop=crop, channels=channels, layout=layout, key=key, progress=True)
    found = images.describe()
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        if value not in (None, {}, [], ()):
            print(f"{name:>12}  {_plain(value)}")
    for file, reason in images.skipped[:20]:
        print(f"     skipped  {file}: {reason}")


@app.command
def figure(
    run: Path,
    kind: Literal["levels", "samples", "reconstructions", "traversal", "mix", "progress"] = "levels",
    /,
    *,
    from_image: Path | None = None,
    out: Path | None = None,
    num: int | None = None,
    span: float | None = None,
    seed: int | None = None,
) -> None:
    """Draw a figure of a run.

    Args:
        run: Folder of the run.
        kind: levels: one panel per level, which changes while the others hold. samples. reconstructions. traversal: a
            row per code dimension. mix: the lower levels of one image, the upper ones of another. progress: training
            curves.
        from_image: Start from this picture's codes instead of a random draw (levels, traversal).
        out: PNG file to write; by default figures/KIND.png in the run's folder.
        num: How many.
        span: How far codes are swept, in standard deviations.
        seed: Of the random draws.
    """
    from vlae.runs import load

    options = {name: value for name, value in (("num", num), ("span", span), ("seed", seed)) if value is not None}
    path = out or run / "figures" / f"{kind}.png"
    load(run).figure(kind, from_image=from_image, out=path, **options)
    print(path)


@app.command
def evaluate(
    run: Path,
    source: str | None = None,
    /,
    *,
    split: Literal["train", "test", "all"] = "test",
    size: int | None = None,
    crop: int | None = None,
    channels: int | None = None,
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
    key: str | None = None,
    limit: int | None = None,
    importance_samples: int = 0,
    beside: list[Path] | None = None,
    seed: int = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Measure what each level of a run costs and carries, and whether the levels are in order.

    Args:
        run: Folder of the run.
        source: Data to measure it on, as for train; by default the held-out part of what it was trained on.
        split: Which part of the source.
        size: As for train, of a source given here.
        crop: As for train.
        channels: As for train.
        layout: As for train.
        key: As for train.
        limit: Measure on at most so many.
        importance_samples: For a bound on the log-likelihood; 0 leaves it out.
        beside: A run of the same recipe and another seed, for UDR; may be given several times.
        seed: Of all that is drawn.
        as_json: Print JSON.
    """
    from vlae import evaluation
    from vlae.data import load as load_data
    from vlae.runs import load

    trained = load(run)
    images = None
    reading: dict[str, Any] = {"size": size, "crop": crop, "channels": channels, "layout": layout, "key": key}
    if source is not None:
        images = load_data(source, split=split, limit=limit, progress=True, **reading)
    elif limit or split != "test" or any(value is not None for value in reading.values()):
        raise ValueError("split, limit and how data is read go with a source; give one, or leave them out")
    others = [load(other) for other in beside or ()]
    found = evaluation.evaluate(
        trained, images, importance_samples=importance_samples, beside=others, seed=seed, progress=True
    )
    print(json.dumps(found, indent=2, allow_nan=False) if as_json else evaluation.as_text(found))


@app.command
def report(run: Path, /, *, out: Path | None = None) -> None:
    """Write one self-contained HTML page of a run, with the card of its levels; measures them first if need be.

    Args:
        run: Folder of the run.
        out: File to write; by default report.html in the run's folder.
    """
    from vlae import evaluation
    from vlae import report as page
    from vlae.runs import load

    trained = load(run)
    if trained.evaluation is None:
        try:
            evaluation.evaluate(trained, progress=True)
        except (ValueError, OSError) as error:
            print(f"the levels are not measured: {error}", file=sys.stderr)
    print(page.write(trained, out))


@app.command
def explore(
    run: Path,
    /,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: Annotated[bool, Parameter(negative=())] = False,
    password: Annotated[str | None, Parameter(env_var="VLAE_PASSWORD")] = None,
    open_browser: Annotated[bool, Parameter(name="--open", negative=())] = False,
) -> None:
    """Open a web page on which a run can be seen, touched and understood; only this machine can reach it.

    Args:
        run: Folder of the run.
        host: Address to listen at; 0.0.0.0 lets other machines in, and needs a password.
        port: To listen at; by default the first free one from 7860 up.
        share: Also make a public link through Gradio's servers; needs a password.
        password: Asked of every visitor, whose name is vlae; better given as VLAE_PASSWORD in the environment.
        open_browser: Open the page in this machine's browser.
    """
    from vlae import explorer
    from vlae.runs import load

    explorer.explore(load(run), host=host, port=port, share=share, password=password, open_browser=open_browser)


def _say_done(run: "Run") -> None:
    from vlae.training import leads

    if not leads():
        return
    levels = ", ".join(f"{level['kl_nats']:.1f}" for level in run.summary["levels"])
    print(
        f"held-out squared error {run.summary['reconstruction']['mse']:.4f} per dimension; "
        f"KL of each level, 1 first: {levels} nats\n"
        f"page      {run.path / 'report.html'}\n"
        f"figures   {run.path / 'figures'}\n"
        f"next      vlae report {run.path}    measures what each level carries, and adds it to the page\n"
        f"          vlae explore {run.path}   a web page of it\n"
        f"          vlae figure {run.path} levels --seed 1\n"
        f"          vlae figure {run.path} levels --from-image PICTURE\n"
        f"          vlae train YOUR_PICTURES --out runs/mine"
    )


def _sizes(codes: str | None) -> tuple[int, ...] | None:
    if codes is None:
        return None
    try:
        return tuple(int(size) for size in codes.split(","))
    except ValueError:
        raise ValueError(f"codes are {codes!r}; give whole numbers with commas between, one per level: 2,2,2") from None


def _one_or_each(name: str, text: str | None) -> float | tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(float(value) for value in text.split(","))
    except ValueError:
        raise ValueError(f"{name} is {text!r}; give a number, or one for each level with commas between") from None
    return values if len(values) > 1 else values[0]


def _number_or_word(text: str | None) -> float | str | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list | tuple) else str(value)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; what a user can mend is one line and exit code 2.

    Args:
        arguments: None: those of the process.
    """
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _fail(f"{error}; see vlae --help", 2)
    except KeyboardInterrupt as stop:
        _fail(f"{stop}; go on with the same command and --resume" if str(stop) else "interrupted", 130)
    except (ValueError, TypeError, ArithmeticError, OSError) as error:
        _fail(str(error), 2)


def _fail(message: str, code: int) -> None:
    print(f"vlae: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
