"""Commands that show what a run, or several, came to: figure, evaluate, report, compare, study."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from vlae.cli import checks
from vlae.cli.options import AsJson, Reading, Seed, SeedIfGiven, Seeds, sizes
from vlae.cli.output import print, print_json, print_path


def figure(
    run: Path,
    kind: str = "levels",
    /,
    *,
    from_image: Path | None = None,
    random: Annotated[bool, Parameter(negative=())] = False,
    prior: Literal["fitted", "standard"] | None = None,
    pixels: Annotated[bool, Parameter(negative=())] = False,
    out: Path | None = None,
    num: int | None = None,
    span: float | None = None,
    seed: SeedIfGiven = None,
    as_json: AsJson = False,
) -> None:
    """Draw a figure of a run.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        kind: levels: a panel per level, in which only that level changes. samples: random images. reconstructions:
            held-out images and their reconstructions. traversal: a row per code dimension. mix: the lower levels of
            one image with the upper levels of another. classes: a row per class, of a run with labels. progress:
            training curves.
        from_image: Start from this picture; by default from a held-out one. For levels and traversal.
        random: Start from a random draw, and no picture. For levels and traversal.
        prior: What codes are drawn from. fitted: the prior that is fitted to the codes of the training data (the
            default). standard: N(0, I). For levels, samples, traversal and classes.
        pixels: Draw the pixels too, from the likelihood. For samples, above all of runs with --family pixel.
        out: PNG file to write, which may replace another. By default figures/KIND.png in the run's folder, or below
            runs/ for a run that has no folder here; with options a name that tells them, such as levels-seed-3.png.
        num: Number of images, per row where there are rows; by default the figure's own choice.
        span: Largest code of a sweep, in standard deviations under the prior; by default the figure's own choice.
        seed: Seed of the random draws; by default 0.
        as_json: Print JSON, one line, instead of text.
    """
    given = {"num": num, "span": span, "seed": seed, "prior": prior, "start": "random" if random else None}
    given["pixels"] = pixels or None
    options = {name: value for name, value in given.items() if value is not None}
    checks.check_run(run)
    checks.check_from(1, num=num)
    checks.check_figure(kind, options, from_image, out)
    from vlae.runs.opening import load

    replaced = out is not None and out.exists()
    drawn = load(run).figure(kind, from_image=from_image, out=out, **options)
    if replaced:
        print("replaced what had this name:", file=sys.stderr)
    print_path(drawn.filename, as_json=as_json)


def fit_prior(run: Path, /, *, seed: Seed = 0, as_json: AsJson = False) -> None:
    """Fit a prior to the codes of a run's training data, which samples, figures and mixes then draw from.

    vlae train does this at its end. Use this command for a run that has no fitted prior, or to fit it again.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        seed: Seed of the choice of data, the drawn codes and the fits.
        as_json: Print JSON, one line, instead of text.
    """
    checks.check_run(run)
    from vlae.runs.layout import PRIOR
    from vlae.runs.opening import load

    trained = load(run)
    prior = trained.fit_prior(seed=seed)
    if as_json:
        print_json({"path": trained.outputs / PRIOR, "prior": prior.describe()})
        return
    print(prior.describe(), file=sys.stderr)
    print(trained.outputs / PRIOR)


def evaluate(
    run: Path,
    source: str | None = None,
    /,
    *,
    split: Literal["train", "test", "all"] = "test",
    reading: Reading = Reading(),
    limit: int | None = None,
    features: str | None = None,
    features_side: int | None = None,
    importance_samples: int = 0,
    beside: list[Path] | None = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure the rate and the content of each level of a run, whether the levels are in order, and the pictures.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        source: Data to measure on: a folder of pictures; a .npy, .npz, .csv, .tsv or .parquet file; a Hugging Face data
            set; the files of MNIST, SVHN or CelebA; or "streets", the built-in street numbers. Images of another size
            are cropped and resized like the training images. By default, the held-out part of the training data.
        split: Part of the source to use; only with a source.
        reading: How to read the source; only with a source.
        limit: Use at most this many images of the source, chosen at random; by default at most 5,000. Only
            with a source.
        features: A network in whose outputs pictures are compared: a .pt (TorchScript), .pt2 (torch.export) or .onnx
            file that takes images in [0, 1], timm:NAME or hf:USER/NAME. Open only files that you trust. By default,
            principal components.
        features_side: Side in pixels to which pictures are resized for that network.
        importance_samples: Samples per image for the importance-weighted bound on the log-likelihood; 0: no bound.
        beside: A run of the same recipe with another seed, to compute UDR. Repeat for several runs.
        seed: Seed of all random choices.
        as_json: Print JSON instead of text.
    """
    checks.check_from(0, importance_samples=importance_samples)
    checks.check_source(source)
    checks.check_run(run, *(beside or ()))
    if source is None and (limit is not None or split != "test" or reading != Reading()):
        raise ValueError("split, limit and how data is read go with a source; give one, or leave them out")
    from vlae import workflows
    from vlae.evaluation.text import as_text
    from vlae.runs.opening import load

    trained = load(run)
    images = None
    if source is not None:
        given = {name: value for name, value in vars(reading).items() if value is not None}
        images = trained.read(source, split=split, limit=limit, progress=True, **given)
    others = [load(other) for other in beside or ()]
    evaluation = workflows.evaluate(
        trained,
        images,
        features=features,
        features_side=features_side,
        importance_samples=importance_samples,
        beside=others,
        seed=seed,
        progress=True,
    )
    print(json.dumps(evaluation, indent=2, allow_nan=False) if as_json else as_text(evaluation))


def report(run: Path, /, *, out: Path | None = None, as_json: AsJson = False) -> None:
    """Write a report on a run as one HTML page, with a description of each level.

    Levels that have not been measured are measured first.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        out: File to write; by default report.html in the run's folder, or below runs/ for a run that has no folder
            here.
        as_json: Print JSON, one line, instead of text.
    """
    from vlae.atomic import writing

    checks.check_run(run)
    checks.check_out(page=out)
    if out is not None:  # fail before the slow measurements
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
    from vlae import workflows
    from vlae.report import page as page
    from vlae.runs import load

    trained = load(run)
    if trained.evaluation is None:
        try:
            workflows.evaluate(trained, progress=True)
        except (ValueError, OSError) as error:
            print(f"the levels are not measured: {error}", file=sys.stderr)
    print_path(page.write(trained, out), as_json=as_json)


def compare(
    *what: str,
    data: list[str] | None = None,
    preset: Literal["hierarchy"] | None = None,
    out: Path | None = None,
    seeds: Seeds = 3,
    code_sizes: Annotated[str | None, Parameter(name=["--code-sizes", "--codes"])] = None,
    reading: Reading = Reading(),
    limit: int | None = None,
    labels: str | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    as_json: AsJson = False,
) -> None:
    """Compare recipes on the same data with the same steps, batch size and seeds; or compare finished runs.

    The command writes all runs, and one table and one figure per data set. If the command is stopped, the same command
    continues where it stopped.

    Args:
        what: Recipes to train (vae, hvae, lvae, joint, lean, mnist, ...), or folders of finished runs.
        data: Data to train on, or to measure finished runs on: a folder of pictures; a .npy, .npz, .csv, .tsv or
            .parquet file; a Hugging Face data set; the files of MNIST, SVHN or CelebA; or "streets", the built-in
            street numbers. Repeat for several data sets.
        preset: hierarchy: VAE, hierarchical VAE, Ladder VAE, the paper's ladder and ours, on street numbers and MNIST.
        out: Folder for runs, tables and figures; by default runs/compare, or runs/ and the preset's name.
        seeds: Number of runs of each recipe; their seeds are 0, 1, …
        code_sizes: Code size of each level of the ladders, level 1 first: 2,2,2. The other models get as many
            dimensions in all. By default, the recipes' own.
        reading: How to read the data.
        limit: Train on at most this many images, chosen at random; by default all.
        labels: Labels that a class above the top of each system learns, if it can have one: all, or a number of them,
            chosen at random by the seed. By default, m2 and m1+m2, which have a class anyway, learn all, others none.
        steps: Optimiser steps of each run; by default the recipes' own.
        batch_size: Images per step; by default the recipes' own.
        learning_rate: Highest learning rate of Adam; by default the recipes' own.
        as_json: Print JSON, one line, instead of text: a list with the numbers of each comparison.
    """
    checks.check_from(1, seeds=seeds)
    checks.check_source(*(data or ()))
    checks.check_labels(labels)
    from vlae.studies import compare

    settings: dict[str, Any] = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate}
    out = out or Path("runs") / (preset or "compare")
    comparisons = compare.compare(
        what,
        data=data or (),
        preset=preset,
        out=out,
        seeds=seeds,
        code_sizes=sizes(code_sizes),
        reading=vars(reading) | {"limit": limit, "labels": labels},
        **settings,
    )
    if as_json:
        print_json([json.loads(comparison.to_json()) for comparison in comparisons])
    else:
        print("\n\n".join(comparison.as_text() for comparison in comparisons))
        print(f"\ntables and figures  {out}")


def gibbs(
    *what: str,
    data: list[str] | None = None,
    out: Path = Path("runs/gibbs"),
    seeds: Seeds = 3,
    code_sizes: Annotated[str | None, Parameter(name=["--code-sizes", "--codes"])] = None,
    reading: Reading = Reading(),
    limit: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
) -> None:
    """Measure whether a hierarchy needs its upper levels: compare the Gibbs chain on level 1 with ancestral samples.

    The command writes one table and one figure per data set. If the command is stopped, the same command continues
    where it stopped. If --out is a folder of vlae compare, its runs are used.

    Args:
        what: Recipes to train (by default hvae, lvae and lean), or folders of finished runs on the same data.
        data: Data to train on: a folder of pictures; a .npy, .npz, .csv, .tsv or .parquet file; a Hugging Face data
            set; the files of MNIST, SVHN or CelebA; or "streets", the built-in street numbers. Repeat for several data
            sets.
        out: Folder for runs, tables and figures.
        seeds: Number of runs of each recipe; their seeds are 0, 1, …
        code_sizes: Code size of each level of the ladder, level 1 first; by default 2,2,2 for images of 28 × 28
            pixels, else the recipe's own. The other models get as many dimensions in all.
        reading: How to read the data.
        limit: Train on at most this many images, chosen at random; by default all.
        steps: Optimiser steps of each run; by default the recipes' own.
        batch_size: Images per step; by default the recipes' own.
    """
    checks.check_from(1, seeds=seeds)
    checks.check_source(*(data or ()))
    from vlae.studies import gibbs as chains
    from vlae.studies.train_alike import PAPER_CODES

    results = chains.study(
        what or chains.RECIPES,
        data=data or (),
        out=out,
        seeds=seeds,
        code_sizes=sizes(code_sizes) or PAPER_CODES,
        reading=vars(reading) | {"limit": limit},
        steps=steps,
        batch_size=batch_size,
    )
    print("\n\n".join(chains.as_text(result) for result in results))


def proposition_2(*, out: Path = Path("runs/proposition-2"), seeds: Seeds = 3, steps: int = 1_500) -> None:
    """Show on toy data what factorised Gaussian conditionals deny a hierarchy, and what it then does.

    The command writes two tables and one figure. It needs no data; it takes about ten seconds for each training.

    Args:
        out: Folder for the tables, the figure and the numbers.
        seeds: Number of trainings of the hierarchy and of the ladder.
        steps: Optimiser steps of each training.
    """
    checks.check_from(1, seeds=seeds)
    from vlae.studies import proposition_2 as toys

    print(toys.as_text(toys.study(out=out, seeds=seeds, steps=steps)))
