"""Trains several recipes alike: on the same data, for the same number of steps, with the same seeds."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from vlae import recipes
from vlae.data import Images
from vlae.data import load as load_data
from vlae.errors import check_whole
from vlae.recipes import RECIPES, Recipe, Settings, rival_codes
from vlae.runs.layout import MODEL, RECIPE, RunError, source_name
from vlae.runs.opening import load
from vlae.runs.run import Run
from vlae.runs.store import read_recipe
from vlae.shapes import Shape
from vlae.studies.forecast import forecast
from vlae.training.going_on import BEGUN_WITH, FOUND
from vlae.training.preparing import sizes_for
from vlae.training.settle import as_begun
from vlae.training.train import Stopped
from vlae.workflows import train

CodeSizes = Sequence[int] | Mapping[Shape, Sequence[int]] | None
"""Sizes of a ladder's codes, level 1 first; or these sizes by the shape of the data.

None, or a shape that is not named: the recipe's own sizes.
"""

RunsBySystem = Mapping[str, Sequence[Run]]
"""For each system, by name, its runs; they differ only in the seed."""

PAPER_CODES: Mapping[Shape, tuple[int, ...]] = {(1, 28, 28): (2, 2, 2)}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A comparison with a name, which tests one claim.

    Attributes:
        recipes: names of the recipes, in the order of the table's columns.
        sources: names of the data sets, if the caller names none.
        code_sizes: sizes of the ladder's codes, level 1 first.
    """

    recipes: tuple[str, ...]
    sources: tuple[str, ...]
    code_sizes: CodeSizes


PRESETS: Mapping[str, Preset] = {
    # Zhao et al. 2017, sections 3 and 6: a hierarchy of codes gives no hierarchy of features; a ladder does.
    "hierarchy": Preset(
        recipes=("vae", "hvae", "lvae", "joint", "lean"), sources=("streets", "hf:ylecun/mnist"), code_sizes=PAPER_CODES
    ),
}


def train_alike(
    what: Sequence[str | Path],
    *,
    data: Sequence[str],
    out: Path,
    seeds: int,
    code_sizes: CodeSizes,
    progress: bool,
    reading: Mapping[str, Any] | None = None,
    **settings: Unpack[Settings],
) -> Iterator[tuple[Path, RunsBySystem]]:
    """Trains recipes alike on each data set, or loads finished runs and groups them by recipe.

    A run that is finished already is loaded, and one that was stopped goes on.

    Args:
        what: names of recipes, or folders of finished runs. Runs of one recipe form one system.
        data: sources to train on, each a path or name that `vlae.data.load` reads. Runs are trained on each in turn.
            For finished runs: if it is empty, all must have been trained on the same data.
        out: folder for the results; runs are kept in OUT/SOURCE/RECIPE-SEED.
        seeds: number of runs of each recipe, from 1 up; the seeds are 0, 1, …
        code_sizes: sizes of the ladder's codes, level 1 first; other systems get as many dimensions in all.
        progress: print on the error output what is being done.
        reading: options for reading the data, by name: size, crop, channels, layout, key, limit, and the labels that
            a class above the top learns, of systems that can have one. None: the defaults.
        settings: settings of the training, the same for all runs, by name: steps, batch_size, learning_rate, …

    Yields:
        For each data set, the folder for its results and its runs by system. For finished runs, one such pair.

    Raises:
        ValueError: if the names are neither all recipes nor all folders, if data or seeds are missing, or if finished
            runs do not belong together.
        FileNotFoundError: if there is no such run.
        RunError: if a run's folder holds a run with other settings or data.
        Stopped: after Ctrl-C; finished runs are kept.
    """
    if not are_recipes(what):
        yield out, _grouped([load(path) for path in what], same_data=not data)
        return
    if not data:
        raise ValueError("there are no data to train on; give --data (data=)")
    seeds = check_whole("seeds", seeds, 1)
    if len(set(what)) < len(what):
        raise ValueError(f"{', '.join(map(str, what))} are given; name each recipe once")
    names = [source_name(source) for source in data]
    if len(set(names)) < len(names):
        raise ValueError(f"the data are called {', '.join(names)}; two of one name would share a folder: rename one")
    read = {name: value for name, value in (reading or {}).items() if value is not None}
    for source in data:
        folder = out / source_name(source)
        plain = {name: value for name, value in read.items() if name != "labels"}
        images = load_data(source, progress=progress, **plain)
        wanted = {str(name): _recipe(str(name), images, code_sizes, settings) for name in what}
        if progress:
            left = {
                name: sum(not (folder / f"{name}-{seed}" / MODEL).exists() for seed in range(seeds)) for name in wanted
            }
            trainings = {name: (recipe, left[name]) for name, recipe in wanted.items()}
            say(f"{source}: {forecast(trainings, images.values)}; then they are measured", progress)
        runs: dict[str, list[Run]] = {name: [] for name in wanted}
        for seed in range(seeds):  # all systems of one seed first
            for name, recipe in wanted.items():
                say(f"{source}: {name}, seed {seed}", progress)
                seeded = recipes.adjust(recipe, seed=seed)
                own = read if _learns(recipe) else plain
                runs[name].append(_run(seeded, source, folder / f"{name}-{seed}", own, progress))
        if len({run.data["content"] for alike in runs.values() for run in alike if "content" in run.data}) > 1:
            raise RunError(
                f"{source} has changed since the first of the runs in {folder}; begin anew in another --out (out=)"
            )
        yield folder, runs


def are_recipes(what: Sequence[str | Path]) -> bool:
    """Whether all names are recipes, and none is the folder of a run.

    Args:
        what: names of recipes, or folders of runs.

    Raises:
        ValueError: if there is no name, or recipes and folders are mixed.
    """
    known = [name for name in what if str(name) in RECIPES]
    if not what:
        raise ValueError(
            f"there is nothing to compare; give recipes ({', '.join(RECIPES)}), folders of runs, or a preset"
        )
    if known and len(known) < len(what):
        others = [str(name) for name in what if str(name) not in RECIPES]
        raise ValueError(
            f"{', '.join(others)}: no recipe; give recipes ({', '.join(RECIPES)}) or folders of runs, not both"
        )
    return bool(known)


def _recipe(name: str, images: Images, code_sizes: CodeSizes, settings: Settings) -> Recipe:
    ladder = code_sizes.get(images.shape) if isinstance(code_sizes, Mapping) else code_sizes
    own = sizes_for(name, images.values, images.groups) if ladder is None else rival_codes(name, ladder)
    return recipes.adjust(recipes.make(name, images.shape, code_sizes=own), **settings)


def _learns(recipe: Recipe) -> bool:
    """Whether a recipe can learn a class; another is trained without labels."""
    try:
        recipes.with_classes(recipe, values=(0, 1), names=("0", "1"))
    except ValueError:
        return False
    return True


def _run(recipe: Recipe, source: str, path: Path, reading: Mapping[str, Any], progress: bool) -> Run:
    begun = (path / RECIPE).exists()
    if begun:
        kept, data = read_recipe(path)
        kept_besides = {*BEGUN_WITH, *FOUND} - reading.keys()
        known = {name: value for name, value in data.items() if value is not None and name not in kept_besides}
        if as_begun(recipe, kept) != kept or known != {"source": source.rstrip("/"), **reading}:
            raise RunError(
                f"{path} holds a run with other settings or data; choose another --out (out=), or ask for the same"
            )
    if (path / MODEL).exists():
        return load(path)
    try:
        return train(source, out=path, recipe=recipe, resume=begun, progress=progress, **reading)
    except Stopped as stop:
        raise Stopped(f"{path} is {stop.what}", "the same command goes on from there") from stop


def _grouped(loaded: Sequence[Run], *, same_data: bool) -> RunsBySystem:
    """Groups runs by recipe.

    Args:
        loaded: the runs; no two have the same folder.
        same_data: refuse runs that were trained on different data.
    """
    if len({run.path.resolve() for run in loaded}) < len(loaded):
        raise ValueError("a run is given twice; name each once")
    shapes = {run.recipe.shape for run in loaded}
    if len(shapes) > 1:
        raise ValueError(f"the runs are of data of different shapes, {', '.join(map(str, sorted(shapes)))}")
    contents = {run.data["content"] for run in loaded if "content" in run.data}  # earlier versions kept none
    said_by_it = ("content", "white", *FOUND) if all("content" in run.data for run in loaded) else ("content", "white")
    trained_on = {
        json.dumps(run.data | dict.fromkeys(said_by_it), sort_keys=True): run.data["source"] for run in loaded
    }
    if same_data and max(len(trained_on), len(contents)) > 1:
        raise ValueError(
            f"the runs were trained on different data, or on data read differently ({', '.join(trained_on.values())}); "
            "give --data (data=) to measure them all on"
        )
    systems: dict[str, list[Run]] = {}
    for run in loaded:
        same = [name for name, runs in systems.items() if _alike(runs[0].recipe, run.recipe)]
        families = {other.recipe.likelihood.kind for other in loaded if other.recipe.name == run.recipe.name}
        name = run.recipe.name + f" ({run.recipe.likelihood.kind})" * (len(families) > 1)
        names = [name, f"{name}, {run.path.name}", f"{name}, {run.path}"]  # no two folders have the same path
        system = same[0] if same else next(free for free in names if free not in systems)
        systems.setdefault(system, []).append(run)
    return systems


def _alike(one: Recipe, other: Recipe) -> bool:
    """Whether two recipes are equal except for the seed."""
    return recipes.adjust(one, seed=0) == recipes.adjust(other, seed=0)


def say(what: str, progress: bool) -> None:
    """Prints on the error output what is being done, if progress is wanted.

    Args:
        what: the line to print.
        progress: whether to print it.
    """
    if progress:
        print(what, file=sys.stderr, flush=True)
