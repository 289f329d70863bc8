"""Trains a recipe on data: `train` writes a run's folder, `fit` works in memory."""

import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any, Literal, NamedTuple, Unpack, get_args

import numpy as np
import torch
from torch import Tensor

from vlae import recipes
from vlae.atomic import WriteError
from vlae.data import DataError, Images
from vlae.data import load as load_data
from vlae.data.account import say_found
from vlae.data.content import content_hashes, digest
from vlae.data.labels import Known, known_labels
from vlae.data.networks import recalled, remembered
from vlae.data.source import Fit, Source, as_value_range
from vlae.errors import reason
from vlae.evaluation.columns import names_or_numbers
from vlae.evaluation.prior_fit import fit_prior
from vlae.evaluation.rates import alarms, summarise
from vlae.models.base import LatentModel
from vlae.names import some_of
from vlae.nn.components import PrincipalComponents
from vlae.nn.pretrained import FeatureNetwork, open_network
from vlae.recipes import Recipe, Settings, build
from vlae.recipes.footprint import check_training
from vlae.renamed import renamed
from vlae.runs import safe_load
from vlae.runs.layout import (
    CHECKPOINT,
    MANIFEST,
    MODEL,
    PREVIEW,
    RECIPE,
    SUMMARY,
    RunError,
    check_unlinked,
    default_folder,
    new_folder,
    training_in,
)
from vlae.runs.run import NUM_EXAMPLES, Run, load
from vlae.runs.store import Results, read_curves, read_recipe, write_recipe, write_results
from vlae.runs.undertrained import is_as_planned, resume_command, state_of, trained_for
from vlae.training.announce import watchers_of
from vlae.training.asking import OnInterrupt, finish_or_keep
from vlae.training.batches import Batches
from vlae.training.budget import More, changed, extended, parsed
from vlae.training.loggers import Log, loggers_of
from vlae.training.loop import (
    Engine,
    Recorder,
    Turn,
    go_on_from,
    is_leader,
    quiet,
    reuse_memory,
    trainer_of,
    validation_of,
)
from vlae.training.settle import as_begun, own_code_sizes, qualities_of, settled
from vlae.training.validation import kept_rows

LEAST_STDDEV, MOST_STDDEV = 1e-14, 1e16
"""Of a column of vectors: beyond these, the square of a small error is 0, or that of a large one infinite."""

BEGUN_WITH = ("content", "labels_sha256")
"""What recipe.json says of the data besides how they are read: hashes, by which changed data are known."""


class Reached(NamedTuple):
    """What a training has left, from which it goes on."""

    step: int = 0
    """The number of steps that were done."""
    seconds: float = 0.0
    """The training time."""
    model: LatentModel | None = None
    """The model at that step; None: there is nothing yet."""


class Stopped(KeyboardInterrupt):
    """The user interrupted the training; a checkpoint is kept.

    Args:
        what: what was stopped, and where.
        advice: how to go on.
    """

    def __init__(self, what: str, advice: str = "go on with the same command and --resume"):
        super().__init__(f"{what}; {advice}")
        self.what = what


@renamed(codes="code_sizes")
def train(
    source: Source,
    *,
    out: str | Path | None = None,
    recipe: str | Recipe | None = None,
    code_sizes: Sequence[int] | None = None,
    deep_heads: bool = False,
    quality: recipes.Quality | None = None,
    size: int | str | None = None,
    fit: Fit | None = None,
    crop: int | None = None,
    channels: int | None = None,
    value_range: str | Sequence[Any] | None = None,
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
    key: str | None = None,
    id: str | None = None,
    limit: int | None = None,
    labels: str | int | None = None,
    features: str | Path | FeatureNetwork | None = None,
    features_side: int | None = None,
    resume: bool = False,
    accelerator: str = "auto",
    devices: int | str = "auto",
    num_nodes: int = 1,
    progress: bool = True,
    on_interrupt: OnInterrupt = "keep",
    more: int | str | None = None,
    callbacks: Sequence[Any] = (),
    logger: Any = "auto",
    **settings: Unpack[Settings],
) -> Run:
    """Trains a ladder and writes a run's folder with weights and curves; `vlae.train` adds figures and the page.

    Args:
        source: a folder, a file, a name, an array or `Images`: anything that `vlae.data.load` reads. With `resume` or
            `more`, it may be the run's folder; then the data are read again from where they were.
        out: the run's folder, new or empty; None: runs/ and the name of the source.
        recipe: the name of a recipe, or a recipe for data of this shape; None: lean, or that of the run to resume.
        code_sizes: dimensions of each level's code, level 1 first; None: the default of the recipe.
        deep_heads: whether each posterior encodes h_{l-1} again with layers of its own, like the authors' code; only
            for the paper's recipes.
        quality: "draft", "standard" or "high", of lean: width and depth of the networks, and steps; None: standard.
        size: side of the square images, 8 to 256 pixels, or "HEIGHTxWIDTH"; None: pictures of one size keep it, or
            their proportions with 64 pixels on the longer side; others become 64 × 64.
        fit: what is done with pictures of other proportions: "crop", "pad" (the edges are repeated) or "squash";
            None: "crop", but pictures of one size keep their proportions.
        crop: side in pixels of the square cut from the middle of each picture before it is resized; None: all of it.
        channels: 1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha); None: 1 if all pictures are grey, else 3.
        value_range: the numbers that become 0 and 1: "LOW,HIGH", (low, high), or a pair for each channel; None: the
            least and the greatest of each channel, if the data have more than 8 bits. It is kept with the run.
        layout: the order of an array's axes, if its shape leaves it open: "NHW", "NHWC" or "NCHW".
        key: the name of the array in an .npz file, or of the column in a table.
        id: the column of a table that names its rows, of text or numbers; None: one with a usual name. It is kept with
            the run, which names the rows of other tables by it.
        limit: train on at most this many data; None: all.
        labels: which labels a class above the top level learns: "all" that the source has; a number of them, chosen at
            random by the seed, alike of each class; or a .csv file of names of pictures and their class
            (`vlae.data.labels.known_labels`). None: all if the recipe has a class level, else none.
        features: a frozen network whose features of the full-size pictures a level of their own, on top, reads and
            explains: a .pt, .pt2 or .onnx file, "timm:NAME" or "hf:USER/NAME". None: there is no such level.
        features_side: side in pixels to which full-size pictures are resized for that network; None: as it says.
        resume: go on with the unfinished run in `out`, with the recipe that it was begun with. It may get another
            length: `steps` and `minutes` in all.
        accelerator: the kind of device: "auto", "cpu", "gpu" or "mps".
        devices: the number of devices, or "auto".
        num_nodes: the number of machines.
        progress: show a progress bar.
        on_interrupt: what follows on Ctrl-C, after the step. "keep": a checkpoint is kept, and Stopped is raised.
            "finish": the run is finished as it is. "ask": one key says which, in a terminal; elsewhere as "keep". A
            second Ctrl-C stops at once and keeps the last checkpoint; SIGTERM always keeps one.
        more: go on with the run in `out`, finished or not, for so many steps (500), or so long ("30s", "10m", "2h").
            A finished model stays until the new one replaces it. 0: finish an unfinished run as it is.
        callbacks: callbacks of Lightning, called at every step; trainer.callback_metrics has the latest row of
            metrics.csv for them.
        logger: what the rows of metrics.csv and the recipe are written to, besides: "tensorboard" (in the run's
            folder), "wandb", "mlflow", "none", a logger of Lightning, or a list of these. "auto": what $VLAE_LOGGER
            names; without it, TensorBoard if it is installed.
        settings: any of `vlae.recipes.Settings`: a field of the training (steps, minutes, batch_size, learning_rate,
            schedule, precision, seed, validation, patience …), of the objective (of the ELBO: beta, warmup, growth,
            growth_until, ungrown_beta, free_bits, capacity, capacity_until, mmd; with labels: label_weight, views,
            sure), or of the likelihood (family, scale); sharp: a critic beside the ELBO makes pictures sharper
            (`vlae.objectives.AdversarialELBO`).

    Returns:
        The finished run.

    Raises:
        DataError: if the source cannot be read, or holds too little.
        ValueError: if the recipe does not fit the data, or the machine lacks the devices or the memory.
        RunError: if the folder is not empty, or there is nothing to resume, or the data have changed since.
        WriteError: if a file cannot be written, or another process trains in the folder.
        Stopped: after Ctrl-C, if the run is kept; `resume` goes on from there.
        NotFiniteError: if a term of the loss is not finite; the last checkpoint is kept.
    """
    recipes.check_names(settings, others=signature(train).parameters)
    if on_interrupt not in get_args(OnInterrupt):
        raise ValueError(f"on_interrupt is {on_interrupt!r}; choose one of {', '.join(get_args(OnInterrupt))}")
    longer = None if more is None else parsed(more)
    if longer and {"steps", "minutes"} & {name for name, value in settings.items() if value is not None}:
        raise ValueError("more says how long the training goes on; leave steps and minutes out")
    resume = resume or longer is not None
    path, source = _place(source, out, resume=resume)
    reading: dict[str, Any] = {"size": size, "fit": fit, "crop": crop, "channels": channels}
    reading |= {"value_range": as_value_range(value_range), "layout": layout, "key": key, "id": id, "limit": limit}
    reading["labels"] = None if labels is None else str(labels)
    network = _network(features, features_side)
    with _alone_in(path, resume=resume):
        begun, reached = None, Reached()
        if resume:
            begun, reached = _begun(path)
            chosen = _of_new_length(path, begun, reached, longer, recipe, settings)
            reading = _reading(path, source, reading, chosen, recipe, code_sizes, deep_heads, quality, settings)
            network = _same_network(path, network, reading.pop("features", None))
        which, begun_with = reading.pop("labels", None), {name: reading.pop(name, None) for name in BEGUN_WITH}
        source_text = _source_text(source)
        begun_on = reading.pop("source", source_text)
        shown = progress and is_leader()
        images = load_data(source, split="train", progress=shown, features=network, **reading)
        held_out = load_data(source, split="test", features=network, **{**reading, "limit": None})
        if network is None:  # those that came with the data are not asked for
            images, held_out = (replace(part, features=None, features_from=None) for part in (images, held_out))
        if progress and is_leader():
            say_found(images, held_out)
        if len(images) < 2:
            raise DataError(f"{images.source}: there is 1 datum to train on; give at least 2, and some to test with")
        if not resume:
            chosen = _made(recipe or "lean", images, code_sizes, deep_heads, quality, settings)
        asked_labels, classes = which, chosen.classes
        if which is None and classes is not None and (classes.names or images.labels is not None):
            which = "all"
        asked_seed = None if resume else settings.get("seed")
        seed = chosen.training.seed if asked_seed is None else asked_seed
        known = None if which is None else known_labels(images, which, seed=seed)
        kept_out = content_hashes(held_out.values)
        data = {"source": source_text, **reading, "value_range": images.value_range}
        data["content"] = digest(content_hashes(images.values), kept_out)
        if begun_with["content"] not in (None, data["content"]):
            if begun_on != source_text:
                raise _of_others(path, begun_on, source_text)
            raise RunError(
                f"the data in {images.source} have changed since the run in {path} was begun; put them back as they "
                "were, or begin anew with another --out"
            )
        if resume and known is not None and known.sha256 != begun_with["labels_sha256"]:
            raise RunError(f"the labels of {images.source} are others than those that the run in {path} was begun with")
        if not resume:
            chosen = _choose(chosen, images, known, settings)
        if chosen.shape != images.shape:
            raise ValueError(f"the recipe is for data of shape {chosen.shape}; this data has shape {images.shape}")
        check_training(chosen, len(images), accelerator=accelerator)

        watchers = watchers_of(chosen, images, held_out, path, progress=shown)
        torch.manual_seed(chosen.training.seed)
        mean, stddev = _statistics(images.values, images.columns) if chosen.mean is None else (None, None)
        model = _built(chosen, images, mean=mean, stddev=stddev)
        learned = images.labels if known is None else known.labels
        kept = kept_rows(len(images), chosen.training, labels=learned, groups=images.groups)
        engine = Engine(model, chosen, validation_of(model, images.values, images.features, chosen, kept))
        recorder = Recorder(engine, path, progress=progress, watchers=watchers)
        trainer = trainer_of(
            chosen,
            recorder,
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            callbacks=callbacks,
        )
        loggers = loggers_of(logger, path, step=reached.step)
        if known is not None:
            data |= {"labels": asked_labels, "labels_sha256": known.sha256}
        if network is not None:
            data["features"] = remembered(network)
        if (not resume or begun_on != source_text or chosen != begun) and is_leader():
            write_recipe(path, chosen, data)
        trainer.loggers = Log(loggers).start().loggers

        checkpoint = path / CHECKPOINT
        with quiet(), recorder.watching():
            reuse_memory()
            batches = Batches(images.values, learned, chosen.training, trainer, features=images.features, left_out=kept)
            begun_at = checkpoint if resume and checkpoint.exists() else None
            as_it_is = longer == More()
            if reached.model is not None and (begun_at is None or as_it_is):
                go_on_from(trainer, engine, reached.model.state_dict(), Turn(1.0, reached.step, reached.seconds))
            try:
                if not as_it_is:
                    trainer.fit(engine, batches, ckpt_path=begun_at, weights_only=True)
            except Exception as error:  # a damaged checkpoint raises almost anything
                if begun_at is None or recorder.started:
                    raise
                raise _damaged(begun_at, error) from error
        step, again = trainer.global_step, resume_command(path)
        share_done = 1.0 if recorder.ended else chosen.training.progress(step, engine.seconds)
        if recorder.interrupts.asked:
            stopped = f"stopped {state_of(chosen.training, step, share_done)}"
            if not _is_to_finish(on_interrupt, recorder, stopped, again):
                raise Stopped(stopped, f"go on with: {again}; or finish it as it is with: vlae train --more 0 {path}")

        if progress and is_leader():
            print("measuring on held-out data", file=sys.stderr, flush=True)
        if engine.validation is not None:
            engine.validation.use_best()
            if progress and is_leader() and (kept_weights := engine.validation.describe()):
                print(kept_weights, file=sys.stderr)
        model = engine.model.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
        summary = summarise(model, held_out.values, features=held_out.features, columns=held_out.columns)
        if images.columns:
            summary["column_medians"] = dict(images.medians)
        summary["training"] = trained_for(chosen.training, step, share_done)
        if engine.validation is not None:
            summary["validation"] = engine.validation.summary(trainer.global_step)
        if is_leader():
            for alarm in alarms(summary):
                if progress:
                    print(f"! {alarm}", file=sys.stderr, flush=True)
                else:
                    warnings.warn(alarm, stacklevel=2)
        results = Results(model, summary, held_out.take(held_out.alike_of_each_class(NUM_EXAMPLES)).values)
        if is_leader():
            fitted_at = time.monotonic()
            prior = fit_prior(model, images.values, features=images.features, seed=chosen.training.seed)
            if progress:
                print(f"prior of the codes: {prior.describe()} ({time.monotonic() - fitted_at:.0f} s)", file=sys.stderr)
            write_results(path, results, prior, kept_out)
            if share_done >= 1:
                checkpoint.unlink(missing_ok=True)
            (path / PREVIEW).unlink(missing_ok=True)
    return Run(path=path, recipe=chosen, data=data, **results._asdict())


def _is_to_finish(on_interrupt: OnInterrupt, recorder: Recorder, stopped: str, resume: str) -> bool:
    """Whether a training that was interrupted is to be finished as it is."""
    if recorder.interrupts.terminated or on_interrupt == "keep":
        return False
    if on_interrupt == "finish":
        return True
    return recorder.is_alone and finish_or_keep(stopped, resume) == "finish"


@contextmanager
def _alone_in(path: Path, *, resume: bool) -> Iterator[None]:
    """Makes the run's folder, or finds it again, and lets this process alone train there; says how to go on after."""
    if not is_leader():
        yield
        return
    if resume and not (path / RECIPE).exists():
        raise RunError(f"there is no run in {path} to resume; leave --resume out to begin one")
    with training_in(path) if resume else new_folder(path):
        try:
            yield
        except Stopped:
            raise
        except KeyboardInterrupt as stop:
            if not (path / RECIPE).exists():
                raise
            raise Stopped(str(stop) or "interrupted", f"go on with: {resume_command(path)}") from stop
        except WriteError as error:
            raise WriteError(f"{error}{'; the training goes on with --resume' * (path / RECIPE).exists()}") from error


def fit(
    values: np.ndarray,
    recipe: Recipe,
    *,
    labels: np.ndarray | None = None,
    accelerator: str = "cpu",
    progress: bool = False,
    history: dict[str, np.ndarray] | None = None,
    watchers: Sequence[Callable[[Recorder], None]] = (),
) -> LatentModel:
    """Trains a recipe on data in memory. It writes no file and restores the global seeds.

    Args:
        values: uint8 images or floats in [0, 1], (N, C, H, W); or float32 vectors (N, D). N is at least 2.
        recipe: a recipe for data of this shape.
        labels: the class of each datum, int64 (N,), -1 if it is unknown; for an objective that uses labels.
        accelerator: the kind of device: "auto", "cpu", "gpu" or "mps".
        progress: show a progress bar.
        history: gets the training curves, the columns of metrics.csv by their names.
        watchers: called after every step.

    Returns:
        The model, on the CPU and in eval mode.

    Raises:
        Stopped: after Ctrl-C.
        NotFiniteError: if a term of the loss is not finite.
    """
    recipe = settled(recipe, values)
    check_training(recipe, len(values), accelerator=accelerator)
    devices = [] if accelerator == "cpu" or not torch.cuda.is_available() else [torch.cuda.current_device()]
    with torch.random.fork_rng(devices=devices), quiet():
        torch.manual_seed(recipe.training.seed)
        mean, stddev = _statistics(values) if recipe.mean is None else (None, None)
        model = build(recipe, mean=mean, stddev=stddev)
        kept = kept_rows(len(values), recipe.training, labels=labels)
        engine = Engine(model, recipe, validation_of(model, values, None, recipe, kept))
        recorder = Recorder(engine, None, progress=progress, watchers=watchers)
        trainer = trainer_of(recipe, recorder, accelerator=accelerator)
        with recorder.watching():
            trainer.fit(engine, Batches(values, labels, recipe.training, trainer, left_out=kept))
    if history is not None:
        columns = np.array(recorder.curves.rows, float).T
        history.update(zip(recorder.curves.columns, columns, strict=True))
    if recorder.interrupts.asked:
        raise Stopped(f"stopped after {trainer.global_step} of {recipe.training.steps:,} steps", "nothing is kept")
    if engine.validation is not None:
        engine.validation.use_best()
    return engine.model.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]


def _source_text(source: Any) -> str:
    """The source as recipe.json records it."""
    if isinstance(source, Images):
        return source.source
    return str(source).rstrip("/") or "/" if isinstance(source, str | Path) else "an array"


def _place(source: Any, out: str | Path | None, *, resume: bool) -> tuple[Path, Any]:
    """The run's folder and the source of its data, where the source may be the folder of the run that goes on."""
    if out is not None:
        return Path(out), source
    if not resume or not isinstance(source, str | Path) or not (Path(source) / RECIPE).exists():
        return default_folder(source), source
    path = Path(source)
    check_unlinked(path)
    _, data = read_recipe(path)
    if data["source"] == "an array":
        raise RunError(f"the run in {path} was trained on an array; give it again, with out={str(path)!r}")
    return path, data["source"]


def _begun(path: Path) -> tuple[Recipe, Reached]:
    """The recipe of a run, and what is there to go on from: its checkpoint, else its finished model, else nothing."""
    check_unlinked(path)
    recipe, _ = read_recipe(path)
    if (path / MANIFEST).exists():
        raise RunError(
            f"the run in {path} was shared, and its files are checked; delete {MANIFEST} to train it further"
        )
    checkpoint = path / CHECKPOINT
    if checkpoint.exists():
        try:
            model, step, seconds = safe_load.read_checkpoint(checkpoint, recipe)
        except (ValueError, OSError) as error:
            raise _damaged(checkpoint, error) from error
        return recipe, Reached(step, seconds, model)
    if not (path / MODEL).exists():
        return recipe, Reached()
    run, curves = load(path), read_curves(path)
    step = run.summary["training"]["steps"] if "training" in run.summary else int(curves["step"][-1])
    seconds = max(second for at, second in zip(curves["step"], curves["seconds"], strict=True) if at <= step)
    return recipe, Reached(step, seconds, run.model)


def _of_new_length(
    path: Path,
    begun: Recipe,
    reached: Reached,
    longer: More | None,
    asked: str | Recipe | None,
    settings: Mapping[str, Any],
) -> Recipe:
    """The recipe of a run that goes on, with the length that is now asked for; refused if there is nothing to do."""
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
                f"vlae train --more 10m {path}"
            )
    return replace(begun, training=training)


def _reading(
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
    """How the data of a run that goes on are read; other settings than those it was begun with are refused."""
    _, data = read_recipe(path)
    if (begun_on := data["source"]) != _source_text(source) and "content" not in data:
        raise _of_others(path, begun_on, _source_text(source))
    data["value_range"] = as_value_range(data.get("value_range"))
    other_than = [name for name, value in reading.items() if value not in (None, data.get(name))]
    given: dict[str, Any] = dict(settings)
    if given.get("batch_size") is not None:
        given["batch_size"] += recipe.training.labelled
    other = {name: recipes.adjust(recipe, **{name: value}) for name, value in given.items()}
    other_than += [name for name, asked_for in other.items() if as_begun(asked_for, recipe) != recipe]
    if isinstance(asked, Recipe):
        steps, minutes = recipe.training.steps, recipe.training.minutes
        asked = as_begun(replace(asked, training=replace(asked.training, steps=steps, minutes=minutes)), recipe)
    if asked not in (None, recipe.name, recipe):
        other_than.append("recipe")
    own_sizes = own_code_sizes(recipe)
    if deep_heads and recipe.name in recipes.RECIPES:
        deep = recipes.make(recipe.name, recipe.shape, code_sizes=own_sizes, deep_heads=True)
        if as_begun(deep, recipe).levels != recipe.levels:
            other_than.append("deep_heads")
    if quality is not None and quality not in qualities_of(recipe):
        other_than.append("quality")
    if code_sizes is not None and tuple(code_sizes) != own_sizes:
        other_than.append("code_sizes")
    if other_than:
        raise RunError(
            f"the run in {path} was begun with other settings ({', '.join(other_than)}) and keeps them; "
            "leave these out, or choose another --out"
        )
    return data


def _of_others(path: Path, begun_on: str, given: str) -> RunError:
    return RunError(f"the run in {path} was begun on {begun_on}, not on {given}; give that, or another --out")


def _damaged(checkpoint: Path, error: Exception) -> RunError:
    return RunError(f"{checkpoint} is damaged ({reason(error)}); delete it, and --resume begins the run again")


def _made(
    recipe: str | Recipe,
    images: Images,
    code_sizes: Sequence[int] | None,
    deep_heads: bool,
    quality: recipes.Quality | None,
    settings: Settings,
) -> Recipe:
    """The recipe that was asked for, before the data and the settings change it."""
    if isinstance(recipe, str):
        recipe = recipes.make(recipe, images.shape, code_sizes=code_sizes, deep_heads=deep_heads, quality=quality)
        if quality == "high" and torch.cuda.is_available() and not settings.get("sharp"):
            recipe = recipes.adjust(recipe, precision="bf16")
    elif code_sizes is not None or deep_heads or quality is not None:
        raise ValueError(
            "code_sizes, deep_heads and quality choose a recipe's levels; here the recipe has them already"
        )
    return recipe


def _choose(recipe: Recipe, images: Images, known: Known | None, settings: Settings) -> Recipe:
    """The recipe with the levels that the data bring, and with the settings."""
    if images.features is not None:
        recipe = recipes.with_content(recipe, num_features=images.features.shape[1], num_data=len(images))
    if known is not None:
        settings = settings.copy()  # the batch size is that of all data; those with a label come on top
        recipe = recipes.adjust(recipe, batch_size=settings.pop("batch_size", None))
        recipe = recipes.with_classes(recipe, values=known.values, names=known.names)
    recipe = settled(recipes.adjust(recipe, **settings), images.values)
    if recipe.training.precision == "bf16" and not torch.cuda.is_available() and lacks_bf16():
        warnings.warn("this processor has no bf16 arithmetic: bf16 will be many times slower than fp32", stacklevel=3)
    return recipe


def _network(features: str | Path | FeatureNetwork | None, side: int | None) -> FeatureNetwork | None:
    """The network that was asked for."""
    if features is None or isinstance(features, FeatureNetwork):
        if side is not None:
            raise ValueError("features_side is the side of a feature network's pictures; give its file or name, too")
        return features
    return open_network(features, side=side)


def _same_network(path: Path, given: FeatureNetwork | None, record: Mapping[str, Any] | None) -> FeatureNetwork | None:
    """The network that an unfinished run was begun with; another is refused."""
    begun = None if record is None else recalled(record)
    if given is None or (begun is not None and (begun.sha256, begun.side) == (given.sha256, given.side)):
        return given or begun
    name = "without features" if begun is None else f"with the features of {begun.short_name}"
    raise RunError(f"the run in {path} was begun {name} and keeps them; leave features out, or choose another --out")


def _built(recipe: Recipe, images: Images, *, mean: Tensor | None, stddev: Tensor | None) -> LatentModel:
    """The untrained model, which knows the mean and the components of the data's features."""
    model = build(recipe, mean=mean, stddev=stddev)
    if model.num_features:
        if images.features is None:
            raise ValueError("the recipe reads features of pictures; give the network that it was made for as features")
        for part in model.modules():
            if isinstance(part, PrincipalComponents):
                part.fit(images.features)
    return model


def lacks_bf16() -> bool:
    """Whether the processor has no bf16 arithmetic of its own, so that bf16 is far slower than fp32."""
    has = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return platform.machine() in ("x86_64", "AMD64") and not has


def _statistics(values: np.ndarray, columns: Sequence[str] = ()) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each dimension; 1 for one that does not vary, which is not scaled."""
    varies = values.max(0) > values.min(0)
    values = np.asarray(values, np.float64)
    stddev = np.where(varies, values.std(0), 1.0)
    far = (stddev < LEAST_STDDEV) | (stddev > MOST_STDDEV)
    if far.any():
        names = [name for name, is_far in zip(names_or_numbers(columns, far.size), far.ravel(), strict=True) if is_far]
        raise DataError(
            f"the standard deviation of column {some_of(names)} is {stddev[far].flat[0]:.0e}, and single precision "
            f"holds {LEAST_STDDEV:.0e} to {MOST_STDDEV:.0e}; scale it, or leave it out"
        )
    return torch.as_tensor(values.mean(0), dtype=torch.float32), torch.as_tensor(stddev, dtype=torch.float32)
