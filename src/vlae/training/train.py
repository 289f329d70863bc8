"""Trains a recipe on data: `train` writes a run's folder, `fit` works in memory."""

import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Literal, Unpack, get_args

import numpy as np
import torch

from vlae import recipes
from vlae.atomic import WriteError
from vlae.data import DataError
from vlae.data import load as load_data
from vlae.data.account import say_found
from vlae.data.content import content_hashes, digest
from vlae.data.labels import check_every_class, check_labels, known_labels
from vlae.data.networks import remembered
from vlae.data.source import Fit, Source, as_value_range
from vlae.data.streams import is_streamed
from vlae.errors import plain
from vlae.evaluation.prior_fit import fit_prior
from vlae.evaluation.rates import alarms, summarise
from vlae.models.base import LatentModel
from vlae.models.devices import measuring_device, or_on_the_processor
from vlae.names import quoted
from vlae.nn.pretrained import FeatureNetwork
from vlae.recipes import Recipe, Settings, build
from vlae.recipes.footprint import check_training
from vlae.renamed import renamed
from vlae.runs.layout import (
    CHECKPOINT,
    PREVIEW,
    RECIPE,
    RunError,
    new_folder,
    training_in,
)
from vlae.runs.opening import NUM_EXAMPLES
from vlae.runs.run import Run
from vlae.runs.store import Results, write_recipe, write_results
from vlae.runs.undertrained import resume_command, state_of, trained_for
from vlae.training.announce import watchers_of
from vlae.training.asking import OnInterrupt, finish_or_keep
from vlae.training.batches import Batches
from vlae.training.budget import More, parsed
from vlae.training.companions import accompanied, counted, is_alone, leave
from vlae.training.going_on import (
    BEGUN_WITH,
    Reached,
    damaged,
    find_begun,
    of_new_length,
    of_others,
    place,
    read_as_begun,
    same_network,
    source_text,
)
from vlae.training.loggers import Log, loggers_of
from vlae.training.loop import Engine, Recorder, Turn, go_on_from, validation_of
from vlae.training.preparing import build_model, choose, make_recipe, network_of, statistics_of
from vlae.training.settle import settled
from vlae.training.streaming import StreamBatches, default_buffer, read_stream, seldom_seen
from vlae.training.trainer import check_devices, is_gpu, is_leader, quiet, reuse_memory, trainer_of
from vlae.training.validation import kept_rows


class Stopped(KeyboardInterrupt):
    """The user interrupted the training; a checkpoint is kept.

    Args:
        what: what was stopped, and where.
        advice: how to go on.
    """

    def __init__(self, what: str, advice: str = "go on with the same command and --resume (resume=True)"):
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
    stream: bool = False,
    buffer: int | None = None,
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
        source: a folder, a file, a name, an array or `Images`: anything that `vlae.data.load` reads; or shards, which
            `vlae.data.open_stream` reads. With `resume` or `more`, it may be the run's folder; then the data are read
            again from where they were.
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
        crop: side in pixels of the square cut from the middle of each picture before it is resized; 0: all of it; None:
            108 of CelebA, else all of it.
        channels: 1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha); None: 1 if all pictures are grey, else 3.
        value_range: the numbers that become 0 and 1: "LOW,HIGH", (low, high), or a pair for each channel; None: the
            least and the greatest of each channel, if the data have more than 8 bits. It is kept with the run.
        layout: the order of an array's axes, if its shape leaves it open: "NHW", "NHWC" or "NCHW".
        key: the name of the array in an .npz file, or of the column in a table.
        id: the column of a table that names its rows, of text or numbers; None: one with a usual name. It is kept with
            the run, which names the rows of other tables by it.
        limit: train on at most this many data; None: all.
        stream: read the source shard by shard, again in each epoch, and never hold all of it, neither in memory nor in
            the cache (`vlae.data.open_stream`). .tar shards, addresses of object storage, iterable data sets and a
            `Stream` are always read so.
        buffer: data of a stream that are in memory at a time, in which the order is shuffled; None: 16,384, or fewer
            if these took more than a quarter of the free memory.
        labels: which labels a class above the top level learns: "all" that the source has; a number of them, chosen at
            random by the seed, alike of each class; or a .csv file of names of pictures and their class
            (`vlae.data.labels.known_labels`). None: all if the recipe has a class level, else none.
        features: a frozen network whose features of the full-size pictures a level of their own, on top, reads and
            explains: a .pt, .pt2 or .onnx file, "timm:NAME" or "hf:USER/NAME". None: there is no such level.
        features_side: side in pixels to which full-size pictures are resized for that network; None: as it says.
        resume: go on with the unfinished run in `out`, with the recipe that it was begun with. It may get another
            length: `steps` and `minutes` in all.
        accelerator: the kind of device: "auto", "cpu", "gpu" or "mps".
        devices: the number of devices on each machine; the batch size is that of each. "auto": all GPUs there are, or
            one CPU; as many as torchrun or SLURM has started processes; those that the run was begun on.
        num_nodes: the number of machines; torchrun or SLURM says it, too.
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
        LostError: if another process of a training on several devices ends before its time; the last checkpoint is
            kept.
        RunError: if the folder is not empty, or there is nothing to resume, or the data have changed since.
        WriteError: if a file cannot be written, or another process trains in the folder.
        Stopped: after Ctrl-C, if the run is kept; `resume` goes on from there.
        NotFiniteError: if a term of the loss is not finite; the last checkpoint is kept.
    """
    arguments = {name: value for name, value in locals().items() if name != "settings"} | settings
    recipes.check_names(settings, others=signature(train).parameters)
    if on_interrupt not in get_args(OnInterrupt):
        raise ValueError(f"on_interrupt is {on_interrupt!r}; choose one of {', '.join(get_args(OnInterrupt))}")
    longer = None if more is None else parsed(more)
    if longer and {"steps", "minutes"} & {name for name, value in settings.items() if value is not None}:
        raise ValueError("more says how long the training goes on; leave steps and minutes out")
    resume = resume or longer is not None
    if buffer is not None and buffer < 2:
        raise ValueError(f"buffer is {buffer}; give 2 or more")
    check_labels(labels)
    path, source = place(source, out, resume=resume)
    reading: dict[str, Any] = {"size": size, "fit": fit, "crop": crop, "channels": channels}
    reading |= {"value_range": as_value_range(value_range), "layout": layout, "key": key, "id": id, "limit": limit}
    reading |= {"labels": None if labels is None else str(labels), "stream": buffer}
    reading, devices = {name: plain(value) for name, value in reading.items()}, plain(devices)
    network = network_of(features, features_side)
    with _alone_in(path, resume=resume, asked="resume" if longer is None else "more"):
        begun, reached = None, Reached()
        if resume:
            begun, reached = find_begun(path)
            chosen = of_new_length(path, begun, reached, longer, recipe, settings)
            reading = read_as_begun(path, source, reading, chosen, recipe, code_sizes, deep_heads, quality, settings)
            network = same_network(path, network, reading.pop("features", None))
        buffer = reading.pop("stream", None)
        streamed = buffer is not None if resume else stream or buffer is not None or is_streamed(source)
        if stream and not streamed:
            raise RunError(f"the run in {path} was begun without stream; leave it out, or choose another --out (out=)")
        which, begun_with = reading.pop("labels", None), {name: reading.pop(name, None) for name in BEGUN_WITH}
        said_source = source_text(source)
        begun_on, _ = reading.pop("source", said_source), reading.pop("white", None)
        shown = progress and is_leader()
        shards = None
        if streamed:
            shards, images, held_out = read_stream(source, reading, features=network, progress=shown)
            buffer = buffer or default_buffer(images)
        else:
            images = load_data(source, split="train", progress=shown, features=network, **reading)
            held_out = load_data(source, split="test", features=network, **{**reading, "limit": None})
        if network is None:  # those that came with the data are not asked for
            images, held_out = (replace(part, features=None, features_from=None) for part in (images, held_out))
        if progress and is_leader():
            say_found(images, held_out, stream=shards, buffer=buffer or 0)
        if len(images) < 2:
            raise DataError(f"{images.source}: there is 1 datum to train on; give at least 2, and some to test with")
        if not resume:
            chosen = make_recipe(
                recipe or "lean",
                images,
                code_sizes,
                deep_heads,
                quality,
                num=len(images) if shards is None else shards.num_rows[0] or None,
                batch_size=settings.get("batch_size"),
            )
        asked_labels, classes = which, chosen.classes
        if which is None and classes is not None and (classes.names or images.labels is not None):
            which = "all"
        asked_seed = None if resume else settings.get("seed")
        seed = chosen.training.seed if asked_seed is None else asked_seed
        others = (held_out.names or ()) if shards is None and reading.get("limit") is None else None
        known = None if which is None else known_labels(images, which, seed=seed, beside=others)
        if known is not None and not resume and shards is None and limit is None:
            check_every_class(images, known)
        kept_out = content_hashes(held_out.values)
        data = {"source": said_source, **reading, "value_range": images.value_range}
        if not images.is_vectors:
            data["crop"] = images.crop or 0  # what was cut, even if it was not asked for; None only in earlier runs
        data["content"] = digest(content_hashes(images.values), kept_out)
        if shards is not None:
            data |= {"stream": buffer, "content": f"{data['content']} {shards.fingerprint}"}
        if begun_with["content"] not in (None, data["content"]):
            if begun_on != said_source:
                raise of_others(path, begun_on, said_source)
            raise RunError(
                f"the data in {images.source} have changed since the run in {path} was begun; put them back as they "
                "were, or begin anew with another --out (out=), as where an earlier vlae divided equal pictures "
                "otherwise"
            )
        if resume and known is not None and known.sha256 != begun_with["labels_sha256"]:
            raise RunError(f"the labels of {images.source} are others than those that the run in {path} was begun with")
        if not resume:
            if shards is not None and seldom_seen(chosen, settings, shards):
                settings["augment"] = "none"
            alone = is_alone(devices)
            chosen = choose(chosen, images, known, settings, accelerator=accelerator, alone=alone)
        if chosen.shape != images.shape:
            raise ValueError(f"the recipe is for data of shape {chosen.shape}; this data has shape {images.shape}")
        check_training(chosen, len(images), accelerator=accelerator)

        num = len(images) if shards is None else max(0, shards.num_rows[0] - len(held_out))
        watchers = watchers_of(chosen, images, held_out, path, num=num, progress=shown, known=known)
        torch.manual_seed(chosen.training.seed)
        mean, stddev = statistics_of(images.values, images.columns) if chosen.mean is None else (None, None)
        model = build_model(chosen, images, mean=mean, stddev=stddev)
        learned = images.labels if known is None else known.labels
        kept = kept_rows(len(images), chosen.training, labels=learned, groups=images.groups, learned=known is not None)
        engine = Engine(model, chosen, validation_of(model, images.values, images.features, chosen, kept))
        recorder = Recorder(engine, path, progress=progress, watchers=watchers)
        here, nodes = counted(devices, num_nodes, begun_on=reached.devices)
        trainer = trainer_of(
            chosen,
            recorder,
            accelerator=accelerator,
            devices=here,
            num_nodes=nodes,
            callbacks=callbacks,
            path=path,
        )
        check_devices(trainer, len(images) - len(kept))
        loggers = loggers_of(logger, path, step=reached.step)
        if known is not None:
            data |= {"labels": asked_labels, "labels_sha256": known.sha256}
        if network is not None:
            data["features"] = remembered(network)
        if (not resume or begun_on != said_source or chosen != begun) and is_leader():
            write_recipe(path, chosen, data)
        log = Log(loggers).start()
        trainer.loggers = log.loggers

        checkpoint, again = path / CHECKPOINT, resume_command(path)
        with quiet(), closing(log), accompanied(trainer.num_devices, arguments, again), recorder.watching(trainer):
            reuse_memory()
            batches: Batches | StreamBatches
            if shards is None or buffer is None:
                batches = Batches(
                    images.values,
                    learned,
                    chosen.training,
                    trainer,
                    features=images.features,
                    left_out=kept,
                    pinned=is_gpu(trainer),
                )
            else:
                left_out = np.concatenate([kept_out, content_hashes(images.values[kept])])
                batches = engine.stream = StreamBatches(
                    shards, chosen.training, trainer, buffer=buffer, left_out=left_out, sample=images, known=known
                )
            begun_at = checkpoint if resume and checkpoint.exists() else None
            as_it_is = longer == More()
            if reached.model is not None and (begun_at is None or as_it_is):
                turn = Turn(1.0, reached.step, reached.seconds)
                go_on_from(trainer, engine, reached.model.state_dict(), turn, reached.validation)
            try:
                if not as_it_is:
                    trainer.fit(engine, batches, ckpt_path=begun_at, weights_only=True)
            except Exception as error:  # a damaged checkpoint raises almost anything
                if begun_at is None or recorder.started or isinstance(error, RunError) or trainer.world_size > 1:
                    raise
                raise damaged(begun_at, error) from error
            finally:
                if engine.stream is not None:
                    engine.stream.close()
            if engine.stream is not None and shown:
                engine.stream.say_skipped()
        leave()
        step = trainer.global_step
        share_done = 1.0 if recorder.ended else chosen.training.progress(step, engine.seconds)
        if recorder.interrupts.asked:
            stopped = f"stopped {state_of(chosen.training, step, share_done)}"
            if not _is_to_finish(on_interrupt, recorder, stopped, again):
                folder = quoted(path)
                raise Stopped(stopped, f"go on with: {again}; or finish it as it is with: vlae train --more 0 {folder}")

        if progress and is_leader():
            print("measuring on held-out data", file=sys.stderr, flush=True)
        if engine.validation is not None:
            engine.validation.use_best(step)
            if progress and is_leader() and (kept_weights := engine.validation.describe()):
                print(kept_weights, file=sys.stderr)
        model = engine.model.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
        measured = partial(or_on_the_processor, model, measuring_device(trainer.strategy.root_device))
        summary = measured(
            lambda model: summarise(model, held_out.values, features=held_out.features, columns=held_out.columns)
        )
        if images.columns:
            summary["column_medians"] = dict(images.medians)
            if images.decimal:
                summary["column_decimal"] = images.decimal
        summary["training"] = trained_for(chosen.training, step, share_done)
        if engine.validation is not None:
            summary["validation"] = engine.validation.summary(trainer.global_step)
        if is_leader():
            in_warm_up = chosen.objective.cut_short(step)
            for alarm in [*alarms(summary), *([in_warm_up] if in_warm_up else [])]:
                if progress:
                    print(f"! {alarm}", file=sys.stderr, flush=True)
                else:
                    warnings.warn(alarm, stacklevel=2)
        results = Results(model, summary, held_out.take(held_out.alike_of_each_class(NUM_EXAMPLES)).values)
        if is_leader():
            fitted_at = time.monotonic()
            prior = measured(
                lambda model: fit_prior(model, images.values, features=images.features, seed=chosen.training.seed)
            )
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
def _alone_in(path: Path, *, resume: bool, asked: str) -> Iterator[None]:
    """Makes the run's folder, or finds it again, and lets this process alone train there; says how to go on after."""
    if not is_leader():
        yield
        return
    if resume and not (path / RECIPE).exists():
        raise RunError(f"there is no run in {path} to resume; leave --{asked} out to begin one ({asked}=)")
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
            raise WriteError(
                f"{error}{'; the training goes on with --resume (resume=True)' * (path / RECIPE).exists()}"
            ) from error


def fit(
    values: np.ndarray,
    recipe: Recipe,
    *,
    labels: np.ndarray | None = None,
    columns: Sequence[str] = (),
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
        columns: the names of the columns of vectors, for messages; (): they have none.
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
    recipe = settled(recipe, values, labels=labels, accelerator=accelerator)
    check_training(recipe, len(values), accelerator=accelerator)
    devices = [] if accelerator == "cpu" or not torch.cuda.is_available() else [torch.cuda.current_device()]
    with torch.random.fork_rng(devices=devices), quiet():
        torch.manual_seed(recipe.training.seed)
        mean, stddev = statistics_of(values, columns) if recipe.mean is None else (None, None)
        model = build(recipe, mean=mean, stddev=stddev)
        kept = kept_rows(len(values), recipe.training, labels=labels, learned=recipe.classes is not None)
        engine = Engine(model, recipe, validation_of(model, values, None, recipe, kept))
        recorder = Recorder(engine, None, progress=progress, watchers=watchers)
        trainer = trainer_of(recipe, recorder, accelerator=accelerator)
        with recorder.watching(trainer):
            trainer.fit(
                engine, Batches(values, labels, recipe.training, trainer, left_out=kept, pinned=is_gpu(trainer))
            )
    if history is not None:
        curves = np.array(recorder.curves.rows, float).T
        history.update(zip(recorder.curves.columns, curves, strict=True))
    if recorder.interrupts.asked:
        raise Stopped(f"stopped after {trainer.global_step} of {recipe.training.steps:,} steps", "nothing is kept")
    if engine.validation is not None:
        engine.validation.use_best(trainer.global_step)
    return engine.model.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
