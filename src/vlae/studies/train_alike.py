"""Several systems under the same conditions: recipes trained on the same data, for as long, with the same seeds."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlae import recipes
from vlae.data import load as load_data
from vlae.recipes import RECIPES, Recipe, rival_codes
from vlae.runs.layout import MODEL, RECIPE, RunError
from vlae.runs.run import Run, load, read_recipe
from vlae.shapes import Shape
from vlae.training.train import Stopped, source_name
from vlae.workflows import train

CodeSizes = Sequence[int] | Mapping[Shape, Sequence[int]] | None
"""Sizes of a ladder's codes, level 1 first, perhaps by the shape of the data; None or not named: the recipe's own."""

Systems = Mapping[str, Sequence[Run]]
"""Of every system its runs, which differ in the seed alone."""

PAPER_CODES: Mapping[Shape, tuple[int, ...]] = {(1, 28, 28): (2, 2, 2)}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A comparison that argues something.

    Attributes:
        recipes: the systems, in the order of the argument.
        sources: the data, if none are given.
        code_sizes: of the ladder.
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


def systems_of(
    what: Sequence[str | Path],
    *,
    data: Sequence[str],
    out: Path,
    seeds: int,
    code_sizes: CodeSizes,
    progress: bool,
    reading: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Iterator[tuple[Path, Systems]]:
    """The runs that `compare` measures, and the folder for what it finds: one for each data set.

    Args:
        what: as for `compare`, as are all the others.
        data: as for `compare`.
        out: as for `compare`.
        seeds: as for `compare`.
        code_sizes: as for `compare`.
        progress: as for `compare`.
        reading: as for `compare`.
        settings: as for `compare`.
    """
    if not are_recipes(what):
        yield out, _grouped([load(path) for path in what], same_data=not data)
        return
    if not data:
        raise ValueError("there are no data to train on; give --data")
    if seeds < 1 or len(set(what)) < len(what):
        raise ValueError(
            f"{seeds} seeds of {', '.join(map(str, what))}; name each recipe once, and give at least 1 seed"
        )
    names = [source_name(source) for source in data]
    if len(set(names)) < len(names):
        raise ValueError(f"the data are called {', '.join(names)}; two of one name would share a folder: rename one")
    read = {name: value for name, value in (reading or {}).items() if value is not None}
    for source in data:
        folder = out / source_name(source)
        shape = load_data(source, progress=progress, **read).shape
        wanted = {str(name): _recipe(str(name), shape, code_sizes, settings) for name in what}
        systems: dict[str, list[Run]] = {name: [] for name in wanted}
        for seed in range(seeds):  # all systems of one seed first
            for name, recipe in wanted.items():
                say(f"{source}: {name}, seed {seed}", progress)
                seeded = recipes.adjust(recipe, seed=seed)
                systems[name].append(_run(seeded, source, folder / f"{name}-{seed}", read, progress))
        yield folder, systems


def are_recipes(what: Sequence[str | Path]) -> bool:
    """Whether recipes are named, and not folders of runs."""
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


def _recipe(name: str, shape: Shape, code_sizes: CodeSizes, settings: Mapping[str, Any]) -> Recipe:
    ladder = code_sizes.get(shape) if isinstance(code_sizes, Mapping) else code_sizes
    own = None if ladder is None else rival_codes(name, ladder)
    return recipes.adjust(recipes.make(name, shape, code_sizes=own), **settings)


def _run(recipe: Recipe, source: str, path: Path, reading: Mapping[str, Any], progress: bool) -> Run:
    begun = (path / RECIPE).exists()
    if begun:
        kept, data = read_recipe(path)
        known = {name: value for name, value in data.items() if value is not None}
        if kept != recipe or known != {"source": source.rstrip("/"), **reading}:
            raise RunError(f"{path} holds a run with other settings or data; choose another --out, or ask for the same")
    if (path / MODEL).exists():
        return load(path)
    try:
        return train(source, out=path, recipe=recipe, resume=begun, progress=progress, **reading)
    except Stopped as stop:
        raise Stopped(f"{path} is {stop.what}", "the same command goes on from there") from stop


def _grouped(loaded: Sequence[Run], *, same_data: bool) -> Systems:
    """Runs of one recipe together; all were trained on the same data, if they must."""
    if len({run.path.resolve() for run in loaded}) < len(loaded):
        raise ValueError("a run is given twice; name each once")
    shapes = {run.recipe.shape for run in loaded}
    if len(shapes) > 1:
        raise ValueError(f"the runs are of data of different shapes, {', '.join(map(str, sorted(shapes)))}")
    trained_on = {json.dumps(run.data, sort_keys=True): run.data["source"] for run in loaded}
    if same_data and len(trained_on) > 1:
        raise ValueError(
            f"the runs were trained on different data, or on data read differently ({', '.join(trained_on.values())}); "
            "give --data to measure them all on"
        )
    systems: dict[str, list[Run]] = {}
    for run in loaded:
        same = [name for name, of_it in systems.items() if _alike(of_it[0].recipe, run.recipe)]
        name = run.recipe.name if run.recipe.name not in systems else f"{run.recipe.name}, {run.path.name}"
        systems.setdefault(same[0] if same else name, []).append(run)
    return systems


def _alike(one: Recipe, other: Recipe) -> bool:
    """Whether two recipes differ in the seed alone."""
    return recipes.adjust(one, seed=0) == recipes.adjust(other, seed=0)


def say(what: str, progress: bool) -> None:
    """Says on the error output what is being done, if progress is wanted."""
    if progress:
        print(what, file=sys.stderr, flush=True)
