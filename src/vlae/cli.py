"""The command line: one thin command per library function."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

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


study = App(name="study", help="Measure what the literature claims.")
app.command(study)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Layout:
    """How an array or a table is read; options of every command that reads data."""

    layout: Literal["NHW", "NHWC", "NCHW"] | None = None
    """Of an array whose shape does not tell."""
    key: str | None = None
    """Which array of an .npz file, or column of a table."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Reading(Layout):
    """How a source is read that no run has been trained on: options of train, data, evaluate, compare and study."""

    size: int | None = None
    """Side of the images in pixels, 8 to 256."""
    crop: int | None = None
    """Cut this square out of the middle of each picture first."""
    channels: int | None = None
    """1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Part(Layout):
    """Which part of a source a trained run looks at: options of encode, odd and index."""

    split: Literal["train", "test", "all"] = "all"
    """Which part of the source."""
    limit: int | None = None
    """At most so many, chosen at random."""


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
        codes: Sizes of the levels' codes, level 1 first, as 2,2,2.
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
        **vars(reading),
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
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        kind: levels: one panel per level, which changes while the others hold. samples. reconstructions. traversal: a
            row per code dimension. mix: the lower levels of one image, the upper ones of another. progress: training
            curves.
        from_image: Start from this picture's codes instead of a random draw (levels, traversal).
        out: PNG file to write; by default figures/KIND.png in the run's folder, or below runs/ for a run that is
            not a folder of yours.
        num: How many.
        span: How far codes are swept, in standard deviations.
        seed: Of the random draws.
    """
    from vlae.runs import load

    options = {name: value for name, value in (("num", num), ("span", span), ("seed", seed)) if value is not None}
    trained = load(run)
    path = out or trained.outputs / "figures" / f"{kind}.png"
    trained.figure(kind, from_image=from_image, out=path, **options)
    print(path)


@app.command
def evaluate(
    run: Path,
    source: str | None = None,
    /,
    *,
    split: Literal["train", "test", "all"] = "test",
    reading: Reading = Reading(),
    limit: int | None = None,
    importance_samples: int = 0,
    beside: list[Path] | None = None,
    seed: int = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Measure what each level of a run costs and carries, and whether the levels are in order.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        source: Data to measure it on, as for train; by default the held-out part of what it was trained on.
        split: Which part of the source.
        reading: How the source given here is read.
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
    if source is not None:
        images = load_data(source, split=split, limit=limit, progress=True, **vars(reading))
    elif limit or split != "test" or reading != Reading():
        raise ValueError("split, limit and how data is read go with a source; give one, or leave them out")
    others = [load(other) for other in beside or ()]
    found = evaluation.evaluate(
        trained, images, importance_samples=importance_samples, beside=others, seed=seed, progress=True
    )
    print(json.dumps(found, indent=2, allow_nan=False) if as_json else evaluation.as_text(found))


@app.command
def encode(
    run: Path,
    source: str,
    /,
    *,
    out: Path,
    part: Part = Part(),
    stddev: Annotated[bool, Parameter(negative=())] = False,
    sample: Annotated[bool, Parameter(negative=())] = False,
    reconstruction: bool = True,
    seed: int = 0,
) -> None:
    """Write the codes of images to a file, one row per image and one column per level; run again, it goes on.

    Args:
        run: Folder of the run.
        source: Images, as for train; those of another size are cut and resized as in training.
        out: A .parquet or .npz file, or, without an ending, the folder of a Hugging Face data set.
        part: Which part of it, and how it is read.
        stddev: Also write how sure the codes are.
        sample: Also write a draw from each posterior.
        reconstruction: Also write how well the codes give each image back, which takes the decoder's time as well.
        seed: Of what is drawn.
    """
    from vlae import encoding
    from vlae.runs import load

    trained = load(run)
    try:
        written = encoding.encode(
            trained,
            source,
            out,
            **vars(part),
            stddev=stddev,
            sample=sample,
            reconstruction=reconstruction,
            seed=seed,
            progress=True,
        )
    except KeyboardInterrupt:
        _fail("interrupted; the same command goes on from here", 130)
    print(written)


@app.command
def decode(run: Path, file: Path, /, *, out: Path) -> None:
    """Write the pictures of a file of codes.

    Args:
        run: Folder of the run that made the codes.
        file: What encode has written, or a table with the same columns.
        out: A folder for PNG files, or an .npz file.
    """
    from vlae import encoding
    from vlae.runs import load

    print(encoding.decode(load(run), file, out, progress=True))


@app.command
def odd(
    run: Path,
    source: str,
    /,
    *,
    level: int | None = None,
    num: int = 12,
    part: Part = Part(),
    out: Path | None = None,
    table: Path | None = None,
    seed: int = 0,
) -> None:
    """List the strangest images by level, and altogether, as a table and a figure.

    Args:
        run: Folder of the run.
        source: Images, as for encode.
        level: This level alone, counted from 1.
        num: How many by each level.
        part: Which part of it, and how it is read.
        out: PNG file of the figure; by default figures/odd.png in the run's folder.
        table: Write the table to this .csv or .parquet file, instead of printing it.
        seed: Of what is chosen and drawn.
    """
    from vlae import oddities
    from vlae.runs import load

    trained = load(run)
    images = trained.read(source, seed=seed, progress=True, **vars(part))
    found = oddities.find(trained, images, level=level, seed=seed)
    rows = found.rows(num)
    if table is None:
        print(oddities.as_text(rows))
    else:
        oddities.write_table(rows, table)
        print(table)
    print(oddities.draw(trained, found, num, out))


@app.command
def report(run: Path, /, *, out: Path | None = None) -> None:
    """Write one self-contained HTML page of a run, with the card of its levels; measures them first if need be.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        out: File to write; by default report.html in the run's folder, or below runs/ for a run that is not yours.
    """
    from vlae import evaluation
    from vlae import report as page
    from vlae.runs import load, writing

    trained = load(run)
    if out is not None:  # before the measuring, which takes longer
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
    if trained.evaluation is None:
        try:
            evaluation.evaluate(trained, progress=True)
        except (ValueError, OSError) as error:
            print(f"the levels are not measured: {error}", file=sys.stderr)
    print(page.write(trained, out))


@app.command
def compare(
    *what: str,
    data: list[str] | None = None,
    preset: Literal["hierarchy"] | None = None,
    out: Path | None = None,
    seeds: int = 3,
    codes: str | None = None,
    reading: Reading = Reading(),
    limit: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
) -> None:
    """Compare recipes on the same data, with the same steps, batch and seeds; or finished runs.

    Leaves one table and one figure for each data set, and every run. The same command goes on where it was stopped.

    Args:
        what: Recipes to train (vae, hvae, lvae, joint, lean, mnist, ...), or folders of finished runs.
        data: Data to train on, as for train; may be given several times. For finished runs: data to measure them on.
        preset: hierarchy: VAE, hierarchical VAE, Ladder VAE, the paper's ladder and ours, on street numbers and MNIST.
        out: Folder for runs, tables and figures; by default runs/compare, or runs/ and the preset's name.
        seeds: How many runs of each recipe.
        codes: Sizes of the ladder's codes, level 1 first, as 2,2,2; the others get as many dimensions in all.
        reading: How the source is read.
        limit: Train on at most so many.
        steps: Optimiser steps of each run; by default the recipes' own.
        batch_size: Images per step.
        learning_rate: Of Adam, at its highest.
    """
    from vlae import comparison

    settings: dict[str, Any] = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate}
    found = comparison.compare(
        what,
        data=data or (),
        preset=preset,
        out=out,
        seeds=seeds,
        codes=_sizes(codes),
        reading=vars(reading) | {"limit": limit},
        **settings,
    )
    print("\n\n".join(each.as_text() for each in found))


@study.command
def gibbs(
    *what: str,
    data: list[str] | None = None,
    out: Path = Path("runs/gibbs"),
    seeds: int = 3,
    codes: str | None = None,
    reading: Reading = Reading(),
    limit: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
) -> None:
    """Measure whether a hierarchy needs its upper levels: the Gibbs chain on level 1 against ancestral samples.

    Leaves one table and one figure for each data set. The same command goes on where it was stopped, and takes the runs
    of vlae compare, if out is its folder.

    Args:
        what: Recipes to train (by default hvae, lvae and lean), or folders of finished runs on the same data.
        data: Data to train on, as for train; may be given several times.
        out: Folder for runs, tables and figures.
        seeds: How many runs of each recipe.
        codes: Sizes of the ladder's codes, level 1 first; the others get as many dimensions in all.
        reading: How the source is read.
        limit: Train on at most so many.
        steps: Optimiser steps of each run; by default the recipes' own.
        batch_size: Images per step.
    """
    from vlae import gibbs as chains
    from vlae.systems import PAPER_CODES

    found = chains.study(
        what or chains.RECIPES,
        data=data or (),
        out=out,
        seeds=seeds,
        codes=_sizes(codes) or PAPER_CODES,
        reading=vars(reading) | {"limit": limit},
        steps=steps,
        batch_size=batch_size,
    )
    print("\n\n".join(chains.as_text(each) for each in found))


@app.command
def index(
    run: Path,
    source: str,
    /,
    *,
    out: Path | None = None,
    add: Annotated[bool, Parameter(negative=())] = False,
    part: Part = Part(),
) -> None:
    """Index images for search by level: a LanceDB table with one vector column per level.

    Args:
        run: Folder of the run whose codes are indexed.
        source: Images, as for train; they are cut and resized as in training.
        out: Folder of the index; by default index in the run's folder.
        add: Add to the index that is there, all that is not yet in it.
        part: Which part of it, and how it is read.
    """
    from vlae.runs import load
    from vlae.search import Index

    trained = load(run)
    old = Index.open(trained, out) if add else None
    images = trained.read(source, progress=True, **vars(part))
    if old is None:
        made = Index.build(trained, images, out, progress=True)
        print(f"{len(made)} images in {made.path}")
    else:
        num = old.add(images, progress=True)
        print(f"{num} images added, {len(images) - num} were there; {len(old)} images in {old.path}")


@app.command
def similar(
    run: Path,
    image: str,
    /,
    *,
    level: list[int] | None = None,
    num: int = 10,
    where: str | None = None,
    index: Path | None = None,
    out: Path | None = None,
    table: Path | None = None,
) -> None:
    """Find the images of an index that are nearest to one by a level; by several, by each and by all together.

    Distances are in units of the level's spread: 1 is as far as two images of the index taken at random.

    Args:
        run: Folder of the run.
        image: A picture file, or the name of an image in the index.
        level: By this level, 1 nearest the pixels; may be given several times. By default by every level.
        num: How many.
        where: Only among images for which this SQL condition holds, as "label = 3".
        index: Folder of the index; by default index in the run's folder.
        out: PNG file of the figure; by default figures/similar.png in the run's folder.
        table: New CSV file for the table, with all that is known of each image.
    """
    from vlae.runs import load
    from vlae.search import Index

    trained = load(run)
    found = Index.open(trained, index).similar(image, levels=level, num=num, where=where)
    if table is not None:
        found.save_table(table)
    path = out or trained.outputs / "figures" / "similar.png"
    found.figure(path)
    print(f"{found}\n{path}")


@app.command
def mix(
    run: Path,
    /,
    *,
    level: list[tuple[str, Path]],
    base: Path | None = None,
    out: Path | None = None,
) -> None:
    """Mix a picture by example: --level 1 a.png --level 3,4 b.png: level 1 like one image, levels 3 and 4 like another.

    Args:
        run: Folder of the run.
        level: Levels, with commas between, and the picture file that gives them; may be given several times.
        base: Picture file that gives all other levels; by default the last of the examples.
        out: PNG file of the figure; by default figures/mixed.png in the run's folder.
    """
    from vlae.mixing import mix as mix_by_example
    from vlae.runs import load

    examples: dict[int | tuple[int, ...], Any] = {}
    for levels, image in level:
        chosen = _levels(levels)
        if chosen in examples:
            raise ValueError(f"levels {levels} are given twice; say of each level once what it is like")
        examples[chosen] = image
    trained = load(run)
    path = out or trained.outputs / "figures" / "mixed.png"
    mix_by_example(trained, examples, base=base).figure(path)
    print(path)


@app.command
def share(
    run: Path,
    repository: str | None = None,
    /,
    *,
    out: Path | None = None,
    examples: bool = True,
    license: str | None = None,
    private: Annotated[bool | None, Parameter(negative=("--public",))] = None,
) -> None:
    """Upload a run to the Hugging Face hub with a model card, or write what would be uploaded into a folder.

    Shared are the weights, recipe, numbers, curves and, unless you say --no-examples, up to 64 held-out data.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        repository: USER/NAME on the hub, made if it is not there. Log in first with: hf auth login.
        out: New folder to write instead.
        examples: Share the held-out examples too, which are some of your data.
        license: Of what is shared, as the hub names it: apache-2.0, cc-by-4.0.
        private: A new repository is seen by its owner alone; --public: by all.
    """
    from vlae.runs import load

    if (repository is None) == (out is None):
        raise ValueError("give either a repository, USER/NAME, or a folder, --out FOLDER")
    trained = load(run)
    if out is not None:
        trained.save_pretrained(out, examples=examples, license=license)
        place = str(out)
    else:
        place = trained.push_to_hub(str(repository), examples=examples, license=license, private=private)
    num = len(trained.examples) if examples else 0
    print(f"shared weights, recipe, numbers, curves and {num} held-out examples", file=sys.stderr)
    print(place)


@app.command
def export(
    run: Path, /, *, out: Path | None = None, quantize: Literal["int8"] | None = None, opset: int | None = None
) -> None:
    """Write a run's encoder and decoder as ONNX files, checked against the model on its held-out examples.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        out: Folder for encoder.onnx and decoder.onnx; by default onnx/ in the run's folder, or below runs/ for a run
            that is not yours. Files of an earlier export are replaced.
        quantize: int8: write encoder-int8.onnx too, and say what it loses and gains.
        opset: Version of ONNX's operators; by default 18.
    """
    from vlae import export as onnx
    from vlae.runs import load

    found = onnx.export(load(run), out, quantize=quantize, opset=opset)
    print(onnx.as_text(found), file=sys.stderr)
    for file in found["files"]:
        print(file)


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


def _levels(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(level) for level in text.split(","))
    except ValueError:
        raise ValueError(f"the levels are {text!r}; give whole numbers with commas between: 3,4") from None


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
        _fail(str(stop) or "interrupted", 130)
    except (ValueError, TypeError, ArithmeticError, OSError) as error:
        _fail(str(error), 2)


def _fail(message: str, code: int) -> NoReturn:
    print(f"vlae: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
