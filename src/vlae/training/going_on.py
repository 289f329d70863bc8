"""What a training goes on from: the folder of a run that was begun, its recipe, its data, and what may change."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from vlae import recipes
from vlae.data import Images, Stream
from vlae.data.depths import of_channels
from vlae.data.in_memory import IN_MEMORY
from vlae.data.networks import recalled
from vlae.data.source import as_value_range
from vlae.errors import reason
from vlae.models.base import LatentModel
from vlae.names import quoted
from vlae.nn.pretrained import FeatureNetwork
from vlae.recipes import Recipe, Settings
from vlae.recipes.classes import LABELLED
from vlae.runs import safe_load
from vlae.runs.layout import (
    CHECKPOINT,
    MANIFEST,
    MODEL,
    RECIPE,
    SUMMARY,
    RunError,
    check_unlinked,
    default_folder,
    is_unbegun,
)
from vlae.runs.opening import load
from vlae.runs.store import read_curves, read_recipe
from vlae.runs.undertrained import is_as_planned, resume_command
from vlae.training.budget import More, changed, extended
from vlae.training.settle import as_begun, own_code_sizes, qualities_of

BEGUN_WITH = ("content", "labels_sha256")
"""What recipe.json says of the data besides how they are read: hashes, by which changed data are known."""

FOUND = ("crop", "value_range")
"""How data were read by what was found in them, where it was not asked for. The content says the same."""


class Reached(NamedTuple):
    """What a training has left, from which it goes on."""

    step: int = 0
    """The number of steps that were done."""
    seconds: float = 0.0
    """The training time."""
    model: LatentModel | None = None
    """The model at that step; None: there is nothing yet."""
    devices: int | None = None
    """The number of devices in all that it goes on with; None: any."""
    validation: Mapping[str, Any] = {}
    """What early stopping knew, or a part of it (`vlae.training.validation.Validation.state`)."""


def source_text(source: Any) -> str:
    """The source as recipe.json records it.

    Args:
        source: a folder, a file, a name, an array, `Images` or a `Stream`.
    """
    if isinstance(source, Images):
        return source.source
    if isinstance(source, Stream) and source.is_stored:
        return source.source
    return str(source).rstrip("/") or "/" if isinstance(source, str | Path) else "an array"


def place(source: Any, out: str | Path | None, *, resume: bool) -> tuple[Path, Any]:
    """The run's folder and the source of its data, where the source may be the folder of the run that goes on.

    Args:
        source: a path, a name, an array, `Images`, or shards.
        out: the folder that was asked for; None: none was.
        resume: whether a run goes on.

    Raises:
        RunError: if the source is the folder of a run that was trained on an array, or a folder where none was begun.
    """
    if out is not None:
        return Path(out), source
    if not resume or not isinstance(source, str | Path) or not (Path(source) / RECIPE).exists():
        path = default_folder(source)
        if resume and isinstance(source, str | Path) and not (path / RECIPE).exists() and is_unbegun(Path(source)):
            raise RunError(
                f"there is no run in {source} yet, nor in {path}, to go on with; give the command that begins it "
                "again, without --resume and --more (resume=, more=)"
            )
        return path, source
    path = Path(source)
    check_unlinked(path)
    _, data = read_recipe(path)
    if data["source"] in IN_MEMORY:
        raise RunError(f"the run in {path} was trained on {data['source']}; give it again, with out={str(path)!r}")
    return path, data["source"]


def find_begun(path: Path) -> tuple[Recipe, Reached]:
    """The recipe of a run, and what is there to go on from: its checkpoint, else its finished model, else nothing.

    Args:
        path: the run's folder.

    Raises:
        RunError: if it was shared, or made of an estimator, or its checkpoint is damaged.
    """
    check_unlinked(path)
    recipe, data = read_recipe(path)
    if data.get("estimator"):
        raise RunError(
            f"the run in {path} was made of an estimator, and cannot be trained further; train one on the same data "
            "with vlae.train, or fit the estimator with more steps"
        )
    if (path / MANIFEST).exists():
        raise RunError(
            f"the run in {path} was shared, and its files are checked; delete {MANIFEST} to train it further"
        )
    checkpoint = path / CHECKPOINT
    if checkpoint.exists():
        try:
            model, step, seconds, devices, known = safe_load.read_checkpoint(checkpoint, recipe)
        except (ValueError, OSError) as error:
            raise damaged(checkpoint, error) from error
        return recipe, Reached(step, seconds, model, devices, known)
    if not (path / MODEL).exists():
        return recipe, Reached()
    run, curves = load(path), read_curves(path)
    step = run.summary["training"]["steps"] if "training" in run.summary else int(curves["step"][-1])
    seconds = max(
        (second for at, second in zip(curves["step"], curves["seconds"], strict=True) if at <= step), default=0.0
    )
    known = {"step": run.summary["validation"]["step"]} if "validation" in run.summary else {}
    return recipe, Reached(step, seconds, run.model, validation=known)


def of_new_length(
    path: Path,
    begun: Recipe,
    reached: Reached,
    longer: More | None,
    asked: str | Recipe | None,
    settings: Mapping[str, Any],
) -> Recipe:
    """The recipe of a run that goes on, with the length that is now asked for.

    Args:
        path: the run's folder.
        begun: its recipe.
        reached: what there is to go on from.
        longer: how much longer it is trained; None: `asked` and `settings` say how long in all.
        asked: the recipe that was asked for; None: none was.
        settings: the settings that were asked for.

    Raises:
        RunError: if there is nothing to do, or nothing to go on from.
    """
    training = begun.training
    if longer is None:
        if isinstance(asked, Recipe):
            training = changed(training, steps=asked.training.steps, minutes=asked.training.minutes)
        training = changed(training, steps=settings.get("steps"), minutes=settings.get("minutes"))
    elif longer != More():
        training = extended(training, longer, step=reached.step, seconds=reached.seconds)
    elif reached.model is None:
        raise RunError(f"the run in {path} has no checkpoint yet; go on with: {resume_command(path)}")
    if training == begun.training and (path / MODEL).exists():
        whole = is_as_planned(training, safe_load.read_json(path / SUMMARY))
        if whole or (whole is None and not (path / CHECKPOINT).exists()):
            raise RunError(
                f"the run in {path} is finished; there is nothing to resume; train it further with: "
                f"vlae train --more 10m {quoted(path)}"
            )
    return replace(begun, training=training)


def read_as_begun(
    path: Path,
    source: Any,
    reading: Mapping[str, Any],
    recipe: Recipe,
    asked: str | Recipe | None,
    code_sizes: Sequence[int] | None,
    deep_heads: bool,
    quality: recipes.Quality | None,
    settings: Settings,
) -> dict[str, Any]:
    """How the data of a run that goes on are read.

    Args:
        path: the run's folder.
        source: a path, a name, an array, `Images`, or shards.
        reading: how the data were asked to be read.
        recipe: of the run, with the length that is now asked for.
        asked: the recipe that was asked for; None: none was.
        code_sizes: those that were asked for; None: none were.
        deep_heads: whether they were asked for.
        quality: that was asked for; None: none was.
        settings: the settings that were asked for.

    Raises:
        RunError: if the run was begun with other settings, or on other data.
    """
    begun, data = read_recipe(path)
    if (begun_on := data["source"]) != source_text(source) and "content" not in data:
        raise of_others(path, begun_on, source_text(source))
    data["value_range"] = as_value_range(data.get("value_range"))
    if (pairs := reading.get("value_range")) is not None:
        reading = {**reading, "value_range": of_channels(pairs, recipe.shape[0])}
    other_than = [name for name, value in reading.items() if value not in (None, data.get(name))]
    given: dict[str, Any] = dict(settings)
    named = isinstance(asked, Recipe) and asked.classes is not None and asked.classes.names
    if given.get("batch_size") is not None and recipe.classes is not None and recipe.classes.names and not named:
        given["batch_size"] += LABELLED
    other = {name: recipes.adjust(recipe, **{name: value}) for name, value in given.items()}
    other_than += [name for name, asked_for in other.items() if as_begun(asked_for, recipe) != recipe]
    if isinstance(asked, Recipe):
        own: dict[str, Any] = {**settings, "steps": recipe.training.steps, "minutes": None, "batch_size": None}
        own = {name: value for name, value in own.items() if value != "auto"}  # which is settled by then
        asked = as_begun(recipes.adjust(asked, batch_size=settings.get("batch_size")), recipe)  # as `choose` does
        asked = recipes.adjust(asked, **own)
        asked = replace(asked, training=replace(asked.training, minutes=recipe.training.minutes))
    if asked not in (None, recipe.name, recipe):
        other_than.append("recipe")
    own_sizes = own_code_sizes(recipe)
    if deep_heads and recipe.name in recipes.RECIPES:
        deep = recipes.make(recipe.name, recipe.shape, code_sizes=own_sizes, deep_heads=True)
        if as_begun(deep, recipe).levels != recipe.levels:
            other_than.append("deep_heads")
    own_steps = settings.get("steps") is None and recipe.training.steps == begun.training.steps
    if quality is not None and quality not in qualities_of(recipe, own_steps=own_steps):
        other_than.append("quality")
    if code_sizes is not None and tuple(code_sizes) != own_sizes:
        other_than.append("code_sizes")
    if other_than:
        raise RunError(
            f"the run in {path} was begun with other settings ({', '.join(other_than)}) and keeps them; "
            "leave these out, or choose another --out (out=)"
        )
    return data


def same_network(path: Path, given: FeatureNetwork | None, record: Mapping[str, Any] | None) -> FeatureNetwork | None:
    """The network that an unfinished run was begun with.

    Args:
        path: the run's folder.
        given: the network that was asked for; None: none was.
        record: what recipe.json says of the run's network; None: it has none.

    Raises:
        RunError: if another was given.
    """
    begun = None if record is None else recalled(record)
    if given is None or (begun is not None and (begun.sha256, begun.side) == (given.sha256, given.side)):
        return given or begun
    name = "without features" if begun is None else f"with the features of {begun.short_name}"
    raise RunError(
        f"the run in {path} was begun {name} and keeps them; leave features out, or choose another --out (out=)"
    )


def of_others(path: Path, begun_on: str, given: str) -> RunError:
    """The error that a run was begun on another source.

    Args:
        path: the run's folder.
        begun_on: its source.
        given: the source that was given.
    """
    return RunError(f"the run in {path} was begun on {begun_on}, not on {given}; give that, or another --out (out=)")


def damaged(checkpoint: Path, error: Exception) -> RunError:
    """The error that a checkpoint is damaged.

    Args:
        checkpoint: its file.
        error: what went wrong.
    """
    return RunError(
        f"{checkpoint} is damaged ({reason(error)}); delete it, and --resume begins the run again (resume=True)"
    )
