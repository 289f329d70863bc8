"""Trains a recipe on data: `train` writes a run's folder, `fit` works in memory."""

import platform
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import torch
from torch import Tensor

from vlae import recipes
from vlae.atomic import WriteError
from vlae.data import DataError, Images
from vlae.data import load as load_data
from vlae.data.content import content_hashes, digest
from vlae.data.images import say_form, say_skipped
from vlae.data.labels import Known, known_labels
from vlae.data.networks import recalled, remembered
from vlae.data.source import Fit, Source, as_value_range
from vlae.errors import reason
from vlae.evaluation.columns import names_or_numbers, some_of
from vlae.evaluation.prior_fit import fit_prior
from vlae.evaluation.rates import alarms, summarise
from vlae.models.base import LatentModel
from vlae.nn.components import PrincipalComponents
from vlae.nn.pretrained import FeatureNetwork, open_network
from vlae.recipes import Recipe, Settings, build
from vlae.recipes.footprint import check_training
from vlae.renamed import renamed
from vlae.runs import safe_load
from vlae.runs.layout import CHECKPOINT, MODEL, RECIPE, RunError, check_unlinked, new_folder, training_in
from vlae.runs.run import Run
from vlae.runs.store import Results, read_recipe, write_recipe, write_results
from vlae.training.batches import Batches
from vlae.training.loggers import Log, loggers_of
from vlae.training.loop import Engine, Recorder, is_leader, quiet, reuse_memory, trainer_of, validation_of
from vlae.training.settle import as_begun, own_code_sizes, qualities_of, settled
from vlae.training.validation import kept_rows

LEAST_STDDEV, MOST_STDDEV = 1e-14, 1e16
"""Of a column of vectors: beyond these, the square of a small error is 0, or that of a large one infinite."""

NUM_EXAMPLES = 64
"""How many held-out data are stored in a run's folder."""

BEGUN_WITH = ("content", "labels_sha256")
"""What recipe.json says of the data besides how they are read: hashes, by which changed data are known."""


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
    limit: int | None = None,
    labels: str | int | None = None,
    features: str | Path | FeatureNetwork | None = None,
    features_side: int | None = None,
    resume: bool = False,
    accelerator: str = "auto",
    devices: int | str = "auto",
    num_nodes: int = 1,
    progress: bool = True,
    callbacks: Sequence[Any] = (),
    logger: Any = "auto",
    **settings: Unpack[Settings],
) -> Run:
    """Trains a ladder and writes a run's folder with weights and curves; `vlae.train` adds figures and the page.

    Args:
        source: a folder, a file, a name, an array or `Images`: anything that `vlae.data.load` reads.
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
        limit: train on at most this many data; None: all.
        labels: which labels a class above the top level learns: "all" that the source has; a number of them, chosen at
            random by the seed, alike of each class; or a .csv file of names of pictures and their class
            (`vlae.data.labels.known_labels`). None: all if the recipe has a class level, else none.
        features: a frozen network whose features of the full-size pictures a level of their own, on top, reads and
            explains: a .pt, .pt2 or .onnx file, "timm:NAME" or "hf:USER/NAME". None: there is no such level.
        features_side: side in pixels to which full-size pictures are resized for that network; None: as it says.
        resume: go on with the unfinished run in `out`, with the recipe that it was begun with.
        accelerator: the kind of device: "auto", "cpu", "gpu" or "mps".
        devices: the number of devices, or "auto".
        num_nodes: the number of machines.
        progress: show a progress bar.
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
        Stopped: after Ctrl-C; `resume` goes on from there.
        NotFiniteError: if a term of the loss is not finite; the last checkpoint is kept.
    """
    recipes.check_names(settings, others=signature(train).parameters)
    path = Path(out) if out is not None else Path("runs") / source_name(source)
    reading: dict[str, Any] = {"size": size, "fit": fit, "crop": crop, "channels": channels}
    reading |= {"value_range": as_value_range(value_range), "layout": layout, "key": key, "limit": limit}
    reading["labels"] = None if labels is None else str(labels)
    network = _network(features, features_side)
    with _alone_in(path, resume=resume):
        if resume:
            chosen, reading = _unfinished(path, source, reading, recipe, code_sizes, deep_heads, quality, settings)
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
            say_skipped(images)
            say_form(images)
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

        torch.manual_seed(chosen.training.seed)
        mean, stddev = _statistics(images.values, images.columns) if chosen.mean is None else (None, None)
        model = _built(chosen, images, mean=mean, stddev=stddev)
        learned = images.labels if known is None else known.labels
        kept = kept_rows(len(images), chosen.training, labels=learned, groups=images.groups)
        engine = Engine(model, chosen, validation_of(model, images.values, images.features, chosen, kept))
        recorder = Recorder(engine, path, progress=progress)
        begun_at = path / CHECKPOINT if resume and (path / CHECKPOINT).exists() else None
        trainer = trainer_of(
            chosen,
            recorder,
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            callbacks=callbacks,
        )
        loggers = loggers_of(logger, path, step=0 if begun_at is None else _step_of(begun_at))
        if known is not None:
            data |= {"labels": asked_labels, "labels_sha256": known.sha256}
        if network is not None:
            data["features"] = remembered(network)
        if (not resume or begun_on != source_text) and is_leader():
            write_recipe(path, chosen, data)
        trainer.loggers = Log(loggers).start().loggers

        checkpoint = path / CHECKPOINT
        with quiet(), recorder.watching():
            reuse_memory()
            batches = Batches(images.values, learned, chosen.training, trainer, features=images.features, left_out=kept)
            try:
                trainer.fit(engine, batches, ckpt_path=begun_at, weights_only=True)
            except Exception as error:  # a damaged checkpoint raises almost anything
                if begun_at is None or recorder.started:
                    raise
                raise _damaged(begun_at, error) from error
        if recorder.interrupts.asked:
            raise Stopped(f"stopped at step {trainer.global_step} of {chosen.training.steps}")

        if progress and is_leader():
            print("measuring on held-out data", file=sys.stderr, flush=True)
        if engine.validation is not None:
            engine.validation.use_best()
            if progress and is_leader() and (kept_weights := engine.validation.describe()):
                print(kept_weights, file=sys.stderr)
        model = engine.model.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
        summary = summarise(model, held_out.values, features=held_out.features, columns=held_out.columns)
        if engine.validation is not None:
            summary["validation"] = engine.validation.summary(trainer.global_step)
        if is_leader():
            for alarm in alarms(summary):
                print(f"! {alarm}", file=sys.stderr, flush=True)
        results = Results(model, summary, np.array(held_out.values[:NUM_EXAMPLES]))
        if is_leader():
            begun = time.monotonic()
            prior = fit_prior(model, images.values, features=images.features, seed=chosen.training.seed)
            if progress:
                print(f"prior of the codes: {prior.describe()} ({time.monotonic() - begun:.0f} s)", file=sys.stderr)
            write_results(path, results, prior, kept_out)
            checkpoint.unlink(missing_ok=True)
    return Run(path=path, recipe=chosen, data=data, **results._asdict())


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
) -> LatentModel:
    """Trains a recipe on data in memory. It writes no file and restores the global seeds.

    Args:
        values: uint8 images or floats in [0, 1], (N, C, H, W); or float32 vectors (N, D). N is at least 2.
        recipe: a recipe for data of this shape.
        labels: the class of each datum, int64 (N,), -1 if it is unknown; for an objective that uses labels.
        accelerator: the kind of device: "auto", "cpu", "gpu" or "mps".
        progress: show a progress bar.
        history: gets the training curves, the columns of metrics.csv by their names.

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
        recorder = Recorder(engine, None, progress=progress)
        trainer = trainer_of(recipe, recorder, accelerator=accelerator)
        with recorder.watching():
            trainer.fit(engine, Batches(values, labels, recipe.training, trainer, left_out=kept))
    if history is not None:
        columns = np.array(recorder.curves.rows, float).T
        history.update(zip(recorder.curves.columns, columns, strict=True))
    if recorder.interrupts.asked:
        raise Stopped(f"stopped at step {trainer.global_step} of {recipe.training.steps}")
    if engine.validation is not None:
        engine.validation.use_best()
    return engine.model.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]


def _step_of(checkpoint: Path) -> int:
    """The number of steps that a checkpoint has done; 0 if it cannot be read, which is told of later."""
    try:
        return int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"])
    except Exception:  # a damaged checkpoint raises almost anything
        return 0


def source_name(source: Any) -> str:
    """The name of a source, for the name of a run's folder.

    Args:
        source: a folder, a file, a name, an array or `Images`.
    """
    if not isinstance(source, str | Path):
        return "array"
    path = Path(source)
    return path.resolve().stem or "data" if path.exists() else path.name.replace(":", "-")


def _source_text(source: Any) -> str:
    """The source as recipe.json records it."""
    if isinstance(source, Images):
        return source.source
    return str(source).rstrip("/") or "/" if isinstance(source, str | Path) else "an array"


def _unfinished(
    path: Path,
    source: Any,
    reading: Mapping[str, Any],
    asked: str | Recipe | None,
    code_sizes: Sequence[int] | None,
    deep_heads: bool,
    quality: recipes.Quality | None,
    settings: Settings,
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of an unfinished run and how its data is read; other settings than these are refused."""
    check_unlinked(path)
    recipe, data = read_recipe(path)
    if (path / MODEL).exists():
        raise RunError(f"the run in {path} is finished; there is nothing to resume")
    if (begun_on := data["source"]) != _source_text(source) and "content" not in data:
        raise _of_others(path, begun_on, _source_text(source))
    data["value_range"] = as_value_range(data.get("value_range"))
    changed = [name for name, value in reading.items() if value not in (None, data.get(name))]
    given: dict[str, Any] = dict(settings)
    if given.get("batch_size") is not None:
        given["batch_size"] += recipe.training.labelled
    other = {name: recipes.adjust(recipe, **{name: value}) for name, value in given.items()}
    changed += [name for name, asked_for in other.items() if as_begun(asked_for, recipe) != recipe]
    if asked is not None and asked != recipe.name and (isinstance(asked, str) or as_begun(asked, recipe) != recipe):
        changed.append("recipe")
    own_sizes = own_code_sizes(recipe)
    if deep_heads and recipe.name in recipes.RECIPES:
        deep = recipes.make(recipe.name, recipe.shape, code_sizes=own_sizes, deep_heads=True)
        if as_begun(deep, recipe).levels != recipe.levels:
            changed.append("deep_heads")
    if quality is not None and quality not in qualities_of(recipe):
        changed.append("quality")
    if code_sizes is not None and tuple(code_sizes) != own_sizes:
        changed.append("code_sizes")
    if changed:
        raise RunError(
            f"the run in {path} was begun with other settings ({', '.join(changed)}) and keeps them; "
            "leave these out, or choose another --out"
        )
    checkpoint = path / CHECKPOINT
    if checkpoint.exists():
        try:
            safe_load.check_checkpoint(checkpoint)
        except (ValueError, OSError) as error:
            raise _damaged(checkpoint, error) from error
    return recipe, data


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
