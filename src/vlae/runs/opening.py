"""Opens a run: from its folder, from this package, from the hub, or from the checkpoint of an unfinished training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vlae.data.networks import remembered
from vlae.errors import reason
from vlae.evaluation.rates import not_measured, summarise
from vlae.models.devices import device_of
from vlae.nn.pretrained import open_network
from vlae.recipes.recipe import Recipe
from vlae.runs import manifest, safe_load, store
from vlae.runs.layout import CHECKPOINT, EXAMPLES, MODEL, ON_HUB, RunError, check_unlinked, find_run
from vlae.runs.run import Run
from vlae.runs.store import read_recipe
from vlae.runs.undertrained import resume_command, trained_for

NUM_EXAMPLES = 64
"""How many held-out data are stored in a run's folder."""

MEASURED = 500  # held-out data, on which a run is measured that is opened from a checkpoint


def load(path: str | Path, *, features: str | Path | None = None, accelerator: str = "cpu", **options: Any) -> Run:
    """Loads a run from a folder, from this package, or from the Hugging Face hub.

    A run whose training has not ended is opened from its last checkpoint. What it holds is then measured on at most
    500 held-out data; nothing is written. `Run.undertrained` says how far it was trained.

    Nothing in a run's files is ever executed, so it is safe to load a run from a stranger.

    Args:
        path: a folder; "streets" or "mnist", small trained ladders that ship with the package; or "hf:USER/NAME".
        features: where the frozen network is whose features the run reads: a .pt, .pt2 or .onnx file, "timm:NAME" or
            "hf:USER/NAME". It is remembered. None: where it was given on this machine before.
        accelerator: where its model computes: "cpu", "gpu", "mps", or "auto" for a GPU if there is one.
        options: options of the hub: revision, token, cache_dir, local_files_only, force_download.

    Raises:
        FileNotFoundError: if there is no such folder.
        RunError: if the folder holds no run, or no checkpoint yet, or is damaged, or the hub cannot be reached; or if
            the run reads no features, or those of another network.
        TypeError: if there are options and the run is not on the hub.
        ValueError: if there is no such accelerator here.
    """
    device = device_of(accelerator)
    run = _load(path, **options)
    if features is not None:
        network = open_network(features)
        if run.network is None or run.network.sha256 != network.sha256:
            reads = "no features" if run.network is None else f"those of {run.network.sha256[:12]}…"
            raise RunError(f"{features} has the SHA-256 {network.sha256[:12]}…; the run in {run.path} reads {reads}")
        remembered(network)
    run.model.to(device)
    return run


def _load(path: str | Path, **options: Any) -> Run:
    name = str(path)
    if name.startswith(ON_HUB):
        from vlae.runs import hub

        repository = name.removeprefix(ON_HUB)
        return _open(hub.download(repository, **options), borrowed=repository)
    if options:
        raise TypeError(f"{', '.join(options)}: only a run on the hub, 'hf:USER/NAME', is loaded with options")
    place = find_run(path)
    return _open(place.path, borrowed=place.borrowed)


def _open(path: Path, *, borrowed: str | None = None) -> Run:
    if borrowed is None:  # the hub's cache is made of links of its own
        check_unlinked(path)
    recipe, data = read_recipe(path)
    if not (path / MODEL).exists() and borrowed is None:
        return _open_checkpoint(path, recipe, data)
    try:
        checksums = manifest.verify(path)
        results = store.read_results(path, recipe, with_examples=checksums is None or EXAMPLES in checksums)
    except Exception as error:  # a stranger's file raises almost anything
        raise RunError(
            f"the run in {path} is damaged ({reason(error)}); train it again into another folder, or download it again"
        ) from error
    return Run(path=path, recipe=recipe, data=data, borrowed=borrowed, **results._asdict())


def _open_checkpoint(path: Path, recipe: Recipe, data: dict[str, Any]) -> Run:
    """The run in a folder whose training has not ended, measured on held-out data if they can be read."""
    again = resume_command(path)
    if not (path / CHECKPOINT).exists():
        raise RunError(f"the run in {path} is not finished, and has no checkpoint yet; go on with: {again}")
    try:
        model, step, seconds, *_ = safe_load.read_checkpoint(path / CHECKPOINT, recipe)
    except (ValueError, OSError) as error:
        advice = f"delete it, and begin the run again with: {again}"
        raise RunError(f"{path / CHECKPOINT} is damaged ({reason(error)}); {advice}") from error
    run = Run(
        path=path,
        recipe=recipe,
        model=model,
        data=data,
        summary=not_measured(model, 0, "the data cannot be read"),
        examples=safe_load.read_examples(None, recipe),
        from_checkpoint=True,
    )
    try:
        held_out = run.part("test")
        values, features = held_out.values[:MEASURED], run.features_of(held_out)
        run = replace(
            run,
            summary=summarise(
                model, values, features=None if features is None else features[:MEASURED], columns=held_out.columns
            ),
            examples=held_out.take(held_out.alike_of_each_class(NUM_EXAMPLES)).values,
        )
    except (ValueError, OSError) as error:
        run.summary["not_defined"] |= dict.fromkeys(run.summary["not_defined"], reason(error))
    run.summary["training"] = trained_for(recipe.training, step, recipe.training.progress(step, seconds))
    return run
