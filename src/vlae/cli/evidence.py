"""Draw, measure and compare runs."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from vlae.cli.options import Reading, sizes


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
    from vlae.runs.run import load

    options = {name: value for name, value in (("num", num), ("span", span), ("seed", seed)) if value is not None}
    trained = load(run)
    path = out or trained.outputs / "figures" / f"{kind}.png"
    trained.figure(kind, from_image=from_image, out=path, **options)
    print(path)


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
    from vlae import workflows
    from vlae.data import load as load_data
    from vlae.evaluation.text import as_text
    from vlae.runs.run import load

    trained = load(run)
    images = None
    if source is not None:
        images = load_data(source, split=split, limit=limit, progress=True, **vars(reading))
    elif limit or split != "test" or reading != Reading():
        raise ValueError("split, limit and how data is read go with a source; give one, or leave them out")
    others = [load(other) for other in beside or ()]
    found = workflows.evaluate(
        trained, images, importance_samples=importance_samples, beside=others, seed=seed, progress=True
    )
    print(json.dumps(found, indent=2, allow_nan=False) if as_json else as_text(found))


def report(run: Path, /, *, out: Path | None = None) -> None:
    """Write one self-contained HTML page of a run, with the card of its levels; measures them first if need be.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        out: File to write; by default report.html in the run's folder, or below runs/ for a run that is not yours.
    """
    from vlae import workflows
    from vlae.atomic import writing
    from vlae.report import page as page
    from vlae.runs import load

    trained = load(run)
    if out is not None:  # before the measuring, which takes longer
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
    if trained.evaluation is None:
        try:
            workflows.evaluate(trained, progress=True)
        except (ValueError, OSError) as error:
            print(f"the levels are not measured: {error}", file=sys.stderr)
    print(page.write(trained, out))


def compare(
    *what: str,
    data: list[str] | None = None,
    preset: Literal["hierarchy"] | None = None,
    out: Path | None = None,
    seeds: int = 3,
    code_sizes: Annotated[str | None, Parameter(name=["--code-sizes", "--codes"])] = None,
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
        code_sizes: Sizes of the ladder's codes, level 1 first, as 2,2,2; the others get as many dimensions in all.
        reading: How the source is read.
        limit: Train on at most so many.
        steps: Optimiser steps of each run; by default the recipes' own.
        batch_size: Images per step.
        learning_rate: Of Adam, at its highest.
    """
    from vlae.studies import compare

    settings: dict[str, Any] = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate}
    found = compare.compare(
        what,
        data=data or (),
        preset=preset,
        out=out,
        seeds=seeds,
        code_sizes=sizes(code_sizes),
        reading=vars(reading) | {"limit": limit},
        **settings,
    )
    print("\n\n".join(each.as_text() for each in found))


def gibbs(
    *what: str,
    data: list[str] | None = None,
    out: Path = Path("runs/gibbs"),
    seeds: int = 3,
    code_sizes: Annotated[str | None, Parameter(name=["--code-sizes", "--codes"])] = None,
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
        code_sizes: Sizes of the ladder's codes, level 1 first; the others get as many dimensions in all.
        reading: How the source is read.
        limit: Train on at most so many.
        steps: Optimiser steps of each run; by default the recipes' own.
        batch_size: Images per step.
    """
    from vlae.studies import gibbs as chains
    from vlae.studies.train_alike import PAPER_CODES

    found = chains.study(
        what or chains.RECIPES,
        data=data or (),
        out=out,
        seeds=seeds,
        code_sizes=sizes(code_sizes) or PAPER_CODES,
        reading=vars(reading) | {"limit": limit},
        steps=steps,
        batch_size=batch_size,
    )
    print("\n\n".join(chains.as_text(each) for each in found))
