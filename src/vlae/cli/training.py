"""The commands that train a ladder and describe a source of data."""

import json
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from vlae.cli import checks
from vlae.cli.beginning import is_first_process, read_first, say_reading
from vlae.cli.options import AsJson, Reading, Seed, SeedIfGiven, number_or_word, one_or_each, sizes
from vlae.cli.output import print, print_json
from vlae.names import quoted

if TYPE_CHECKING:
    from vlae.runs.run import Run

MAX_LISTED = 20
"""The most classes, factors and the like that `vlae data` shows in one line."""

MAX_FATES = 20
"""The most columns, arrays or kinds of file of a source that are listed, and the most skipped files."""


def demo(*, out: Path = Path("runs/demo"), minutes: float = 5.0, seed: Seed = 0) -> None:
    """Train a ladder on the built-in street numbers for five minutes, and print what to do next.

    Args:
        out: Folder of the run.
        minutes: Longest training time, in minutes.
        seed: Seed of the weights, the order of the data and the codes.
    """
    from vlae.runs.layout import new_folder

    with new_folder(out):
        pass
    from vlae.workflows import train as train_ladder

    print("reading the built-in street numbers, which are drawn once and then kept", file=sys.stderr)
    run = train_ladder("streets", out=out, minutes=minutes, seed=seed, on_interrupt="ask")
    _print_done(run)


def train(
    source: str,
    /,
    *,
    out: Path | None = None,
    recipe: str | None = None,
    code_sizes: Annotated[str | None, Parameter(name=["--code-sizes", "--codes"])] = None,
    deep_heads: Annotated[bool, Parameter(negative=())] = False,
    quality: Literal["draft", "standard", "high"] | None = None,
    reading: Reading = Reading(),
    limit: int | None = None,
    stream: Annotated[bool, Parameter(negative=())] = False,
    buffer: int | None = None,
    labels: str | None = None,
    features: str | None = None,
    features_side: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    optimizer: Literal["adam", "muon"] | None = None,
    precision: Literal["auto", "fp32", "bf16"] | None = None,
    augment: str | None = None,
    beta: str | None = None,
    free_bits: str | None = None,
    capacity: str | None = None,
    mmd: str | None = None,
    growth: Literal["ladder", "top-down", "bottom-up", "joint"] | None = None,
    denoise: Annotated[bool, Parameter(negative=())] = False,
    sharp: Annotated[bool, Parameter(negative=())] = False,
    distortion: float | None = None,
    family: str | None = None,
    scale: str | None = None,
    masked_layers: int | None = None,
    masked_kernel: int | None = None,
    seed: SeedIfGiven = None,
    validation: float | None = None,
    patience: int | None = None,
    logger: list[Literal["auto", "tensorboard", "wandb", "mlflow", "none"]] | None = None,
    resume: Annotated[bool, Parameter(negative=())] = False,
    more: str | None = None,
    on_interrupt: Literal["ask", "finish", "keep"] = "ask",
    accelerator: str = "auto",
    devices: str = "auto",
    num_nodes: int = 1,
    quiet: Annotated[bool, Parameter(negative=())] = False,
    as_json: AsJson = False,
) -> None:
    """Train a ladder on pictures, arrays or tables, and write a run folder with figures and a report.

    Args:
        source: Data to train on: a folder of pictures; a .npy, .npz, .csv, .tsv or .parquet file; a Hugging Face data
            set; the files of MNIST, SVHN or CelebA; "streets", the built-in street numbers; or shards (--stream). With
            --resume or --more, it may be the folder of the run.
        out: Folder of the run; by default runs/ and the source's name.
        recipe: lean (the default), joint, vae, hvae, lvae, infogan, implicit, m1, m2, m1+m2, mnist, svhn, celeba or
            lsun.
        code_sizes: Code size of each level, level 1 first, separated by commas: 2,2,2. By default, the recipe's own.
        quality: How much work lean takes: draft has a fifth of the steps of standard (the default); high is for a GPU,
            with wider and deeper networks, and more steps if there are many pictures.
        deep_heads: For mnist, svhn, celeba and lsun: heads that re-encode the level below, like the authors' code.
        reading: How to read the source.
        limit: Train on at most this many images, chosen at random; by default all.
        stream: Read the source shard by shard, and never hold all of it: .tar shards as of WebDataset, Parquet files,
            Lance data sets, hf:NAME; in a folder, by a pattern, or in object storage (s3://bucket/folder). .tar shards
            and addresses are always read so.
        buffer: Images of a stream that are in memory at a time, where their order is shuffled; by default 16384, or
            fewer if memory is short.
        labels: Labels that a class above the top level learns: all that the source has; a number of them, chosen at
            random, alike of each class; or a .csv file of names of pictures and their class. By default, m2 and m1+m2,
            which have a class anyway, learn all, others none.
        features: A frozen network, trained elsewhere. A level on top reads and explains its features of the full-size
            pictures: a .pt (TorchScript), .pt2 (torch.export) or .onnx file, timm:NAME or hf:USER/NAME. Open only files
            that you trust. By default there is no such level.
        features_side: Side in pixels to which full-size pictures are resized for that network; by default as it says.
        steps: Number of optimiser steps; by default the recipe's own.
        minutes: Stop after this many minutes of training, even if steps are left; by default no limit.
        batch_size: Images per step and device; by default the recipe's own. With labels, 32 that have one come on top.
        learning_rate: Highest learning rate of Adam; by default the recipe's own.
        optimizer: adam; or muon: Adam, but Muon for dense layers, which takes longer and learns more in a step; by
            default the recipe's own, adam.
        precision: fp32, bf16, or auto: bf16 where the machine is faster in it; by default the recipe's own, auto.
        augment: How pictures are varied each time they are seen: none; mirror; shift, by up to a sixteenth of the side;
            nudge, by up to a thirty-second; several, with commas; or auto, as far as varied pictures look like others
            of the data. By default, the recipe's own.
        beta: Weight of the KL terms: one number, or one per level with a code, separated by commas, level 1 first.
            By default, the recipe's own.
        free_bits: Rate of a level, in nats, that costs nothing: one number, or one per level with a code, with commas.
            By default, the recipe's own.
        capacity: Target rate of a level, in nats: one number, or one per level with a code, with commas.
            By default, the recipe's own.
        mmd: Weight of the discrepancy between codes and prior: one number, or one per level with a code, with commas.
            By default, the recipe's own.
        growth: Order in which the levels fade in; by default the recipe's own.
        denoise: Train as a denoising autoencoder: the encoder sees noisy pictures, the decoder draws clean ones.
        sharp: Train a critic beside the ladder, which tells pictures from reconstructions: they become sharper.
        distortion: With a critic (--sharp, or the recipe implicit), the weight of the distortion beside it. By default,
            the recipe's own: implicit has 0.
        family: Likelihood of the data given the codes: gaussian, laplace, bernoulli, pixel or binary-pixel; by
            default the recipe's own. pixel: each pixel given the codes and the pixels before it, as in a PixelVAE.
        scale: Scale of the likelihood: a number, "optimal" or "learned". By default, the recipe's own.
        masked_layers: For pixel: number of masked layers, by default 1; 0: pixels do not depend on each other.
        masked_kernel: For pixel: side of the kernels in pixels, an odd number, by default 5.
        seed: Seed of the weights, the order of the data and the codes; by default 0.
        validation: Share of the training data to leave out and measure while it trains, such as 0.05; by default none,
            or 0.05 with --patience.
        patience: Stop when so many measurements in a row are no better than the best, and keep the best weights. By
            default, it trains to the end.
        logger: Where the curves are written besides metrics.csv: tensorboard, wandb, mlflow, none. Repeat for several.
            By default auto: tensorboard if it is installed.
        resume: Continue the unfinished run in the folder with its own settings; --steps and --minutes may give it
            another length.
        more: Go on with a run, finished or not, for so many steps (500), or so long (30s, 10m, 2h). A finished model
            stays until the new one replaces it. 0: finish an unfinished run as it is.
        on_interrupt: After Ctrl-C. finish: finish the run as it is. keep: keep it for --resume. ask: one key says
            which, in a terminal; elsewhere it is kept. Ctrl-C again stops at once.
        accelerator: auto, cpu, gpu or mps.
        devices: Number of devices per machine; auto: all GPUs, one CPU, as many as torchrun or SLURM has started, or
            those that the run was begun on.
        num_nodes: Number of machines; torchrun or SLURM says it, too.
        quiet: Print nothing but errors and, at the end, the run's folder.
        as_json: At the end, print one line of JSON on the standard output: the run's folder (path), the seconds that
            the command took, and the numbers of summary.json (summary).
    """
    begun = time.monotonic()
    shown = not quiet
    if quiet:
        warnings.simplefilter("ignore")
    from vlae.data.streams import is_streamed

    streamed = stream or buffer is not None or is_streamed(source)
    checks.check_source(source, streamed=streamed)
    if recipe is not None:
        checks.check_recipe(recipe)
    checks.check_labels(labels)
    levels = sizes(code_sizes)
    if shown and is_first_process():
        say_reading(source)
    settings: dict[str, Any] = {
        "steps": steps,
        "minutes": minutes,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "optimizer": optimizer,
        "precision": precision,
        "augment": augment,
        "beta": one_or_each("beta", beta),
        "free_bits": one_or_each("free-bits", free_bits),
        "capacity": one_or_each("capacity", capacity),
        "mmd": one_or_each("mmd", mmd),
        "growth": growth,
        "denoise": denoise or None,
        "sharp": sharp or None,
        "distortion": distortion,
        "family": family,
        "scale": number_or_word(scale),
        "masked_layers": masked_layers,
        "masked_kernel": masked_kernel,
        "seed": seed,
        "validation": validation,
        "patience": patience,
    }
    if shown and is_first_process() and not resume and more is None and not streamed:
        read_first(source, out, reading)
    from vlae.data.counting import waiting

    with waiting("loading PyTorch", shown):
        from vlae.workflows import train as train_ladder
    run = train_ladder(
        source,
        out=out,
        recipe=recipe,
        code_sizes=levels,
        deep_heads=deep_heads,
        quality=quality,
        **vars(reading),
        limit=limit,
        stream=stream,
        buffer=buffer,
        labels=labels,
        features=features,
        features_side=features_side,
        resume=resume,
        more=more,
        on_interrupt=on_interrupt,
        accelerator=accelerator,
        devices=int(devices) if devices.isdigit() else devices,
        num_nodes=num_nodes,
        progress=shown,
        logger=logger or "auto",
        **settings,
    )
    if is_first_process():
        _print_finished(run, time.monotonic() - begun, quiet=quiet, as_json=as_json)


def data(
    source: str,
    /,
    *,
    reading: Reading = Reading(),
    as_json: AsJson = False,
) -> None:
    """Describe a source of data: count, shape, value range, labels, place in the cache, what became of each column.

    Of what is streamed (.tar shards, addresses of object storage) it describes a sample.

    Args:
        source: Data to describe: a folder of pictures; a .npy, .npz, .csv, .tsv or .parquet file; a Hugging Face data
            set; the files of MNIST, SVHN or CelebA; or "streets", the built-in street numbers.
        reading: How to read the source.
        as_json: Print JSON instead of text.
    """
    from vlae.data.streams import is_streamed

    streamed = is_streamed(source)
    checks.check_source(source, streamed=streamed)
    from vlae.data import load, open_stream
    from vlae.data.images import forms
    from vlae.data.sampling import sample_of

    if streamed:
        stream = open_stream(source, **vars(reading))
        images = sample_of(stream, progress=True)
        num_rows, is_exact = stream.num_rows
        of_all = {"shards": len(stream.shards), "rows of all": num_rows, "rows of all are estimated": not is_exact}
    else:
        images, of_all = load(source, split="all", progress=True, **vars(reading)), {}
    description = images.describe() | of_all
    if as_json:
        print(json.dumps(description, indent=2))
        return
    if description.pop("rows of all are estimated", False) and description["rows of all"]:
        description["rows of all"] = f"about {description['rows of all']:,}"
    for name, value in description.items():
        if value and name not in ("skipped", "fates"):
            print(f"{name:>12}  {_plain(value)}")
    if images.num_clipped:
        print(f"        form  {forms(images)[-1]}")
    for file, reason in images.skipped[:MAX_FATES]:
        print(f"     skipped  {file}: {reason}")
    if (num := len(images.skipped) - MAX_FATES) > 0:
        print(f"     skipped  and {num:,} more; --json lists all")
    fates = list(images.fates.items())
    if len(fates) > MAX_FATES:
        fates.sort(key=lambda item: item[1] == "used")  # what is to be known comes first
    for name, fate in fates[:MAX_FATES]:
        print(f"          of  {name}: {fate}")
    if more := [fate for _, fate in fates[MAX_FATES:]]:
        print(f"          of  {len(more):,} more, {more.count('used'):,} of them used; --json lists all")


def _print_finished(run: "Run", seconds: float, *, quiet: bool, as_json: bool) -> None:
    """Prints what a training came to, in the form that was asked for."""
    if as_json:
        print_json({"path": run.path, "seconds": round(seconds, 1), "summary": run.summary})
    elif quiet:
        print(run.path)
    else:
        _print_done(run)


def _print_done(run: "Run") -> None:
    from vlae.runs.layout import FIGURES, REPORT
    from vlae.shapes import is_image
    from vlae.text_table import number
    from vlae.training.trainer import is_leader

    if not is_leader():
        return
    levels = ", ".join(number(level["kl_nats"], ".1f") for level in run.summary["levels"])
    start = "from-image PICTURE" if is_image(run.recipe.shape) else "random"
    path, built_in = quoted(run.path), str(run.data["source"]).partition(":")[0] == "streets"
    if run.undertrained is not None:
        print(f"! {run.undertrained}")
    print(
        f"held-out {_error(run)}; KL of each level, 1 first: {levels} nats\n"
        f"page      {run.path / REPORT}\n"
        f"figures   {run.path / FIGURES}\n"
        f"next      vlae report {path}    measures what each level carries, and adds it to the page\n"
        f"          vlae explore {path}   a web page of it\n"
        f"          vlae figure {path} samples --seed 1\n"
        f"          vlae figure {path} levels --{start}\n"
        f"          vlae train {'YOUR_DATA --out runs/mine' if built_in else f'--more 10m {path}'}"
    )


def _error(run: "Run") -> str:
    """The held-out error in words: per dimension of images, in standard deviations of vectors."""
    from vlae.text_table import number

    errors = run.summary["reconstruction"]
    if "r2" not in errors:
        return f"squared error {number(errors.get('mse'), '.4f')} per dimension"
    return f"error {number(errors['error_stddevs'], '.2f')} standard deviations, R² {number(errors['r2'], '.2f')}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return _plain([f"{key}: {_plain(item)}" for key, item in value.items()])
    if not isinstance(value, list | tuple):
        return str(value)
    more = len(value) - MAX_LISTED
    return ", ".join(map(_plain, value[:MAX_LISTED])) + f" and {more:,} more; --json lists all" * (more > 0)
