"""Trains a recipe on data: the only file that knows the training engine."""

import csv
import ctypes
import logging
import platform
import signal
import sys
import threading
import time
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from math import cos, isfinite, pi
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from vlae import card, recipes, report, runs
from vlae.data import DataError, Images
from vlae.data import load as load_data
from vlae.images import say_skipped
from vlae.information import as_input, count_active, summarise
from vlae.model import LatentModel
from vlae.recipes import Recipe, build
from vlae.runs import Run, RunError

LOG_EVERY = 50  # steps between two rows of metrics.csv, and between two looks at the device
CHECKPOINT_EVERY = 60.0  # seconds
SETTLED = 0.5  # share of the training (of 500 steps at least) after which a level that says little is told of
NUM_EXAMPLES = 64


class Stopped(KeyboardInterrupt):
    """Training was interrupted by the user; what is done is kept."""

    def __init__(self, what: str, advice: str = "go on with the same command and --resume"):
        """Says what was stopped, and how to go on."""
        super().__init__(f"{what}; {advice}")
        self.what = what


class NotFiniteError(ArithmeticError):
    """A term of the loss, or a weight, is NaN or infinite."""


def train(
    source: str | Path | np.ndarray | Images,
    *,
    out: str | Path | None = None,
    recipe: str | Recipe = "lean",
    codes: Sequence[int] | None = None,
    deep_heads: bool = False,
    size: int | None = None,
    crop: int | None = None,
    channels: int | None = None,
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
    key: str | None = None,
    limit: int | None = None,
    resume: bool = False,
    accelerator: str = "auto",
    devices: int | str = "auto",
    num_nodes: int = 1,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Trains a ladder and leaves a run folder with its weights, curves, figures and page.

    Args:
        source: anything `vlae.data.load` takes.
        out: the run's folder; None: runs/ and the source's name.
        recipe: the name of a recipe, or one made before for data of this shape.
        codes: sizes of the levels' codes, level 1 first; None: the recipe's own.
        deep_heads: for the paper's recipes, heads that re-encode the level below, as the authors' do.
        size: side of the images, as in `vlae.data.load`.
        crop: as in `vlae.data.load`.
        channels: as in `vlae.data.load`.
        layout: as in `vlae.data.load`.
        key: as in `vlae.data.load`.
        limit: train on at most so many.
        resume: go on with the unfinished run in `out`, which keeps the recipe it has.
        accelerator: of the engine: "auto", "cpu", "gpu", "mps".
        devices: how many, or "auto".
        num_nodes: how many machines.
        progress: show a progress bar.
        settings: any field of `Training`, `Objective` or `Likelihood`: steps, minutes, batch_size, learning_rate,
            precision, seed, beta, growth, family, scale, …

    Returns:
        The finished run.

    Raises:
        DataError: if the source cannot be read, or holds too little.
        ValueError: if the recipe cannot be had on this data, or the devices not on this machine.
        RunError: if the folder holds something already, or nothing to resume, or cannot be written.
        Stopped: after Ctrl-C; the run can be resumed.
        NotFiniteError: if a term of the loss is not finite; the last good checkpoint stays.
    """
    path = Path(out) if out is not None else Path("runs") / source_name(source)
    reading: dict[str, Any] = {"size": size, "crop": crop, "channels": channels, "layout": layout, "key": key}
    reading["limit"] = limit
    if resume:
        chosen, reading = _unfinished(path, source, reading, codes, settings)
    with runs.new_folder(path) if not resume and leads() else nullcontext():
        images = load_data(source, split="train", progress=progress and leads(), **reading)
        held_out = load_data(source, split="test", **{**reading, "limit": None})
        if progress and leads():
            say_skipped(images)
        if len(images) < 2:
            raise DataError(f"{images.source}: there is 1 datum to train on; give at least 2, and some to test with")
        if not resume:
            chosen = _choose(recipe, images.shape, codes, deep_heads, settings)
        if chosen.shape != images.shape:
            raise ValueError(f"the recipe is for data of shape {chosen.shape}; this data has shape {images.shape}")

        torch.manual_seed(chosen.training.seed)
        mean, stddev = _statistics(images.values) if chosen.mean is None else (None, None)
        engine = Engine(build(chosen, mean=mean, stddev=stddev), chosen)
        keeper = Keeper(engine, path, progress=progress)
        trainer = _trainer(chosen, keeper, accelerator=accelerator, devices=devices, num_nodes=num_nodes)
        data = {"source": _say(source), **reading}
        if not resume and leads():
            runs.write_recipe(path, chosen, data)

    checkpoint = path / runs.CHECKPOINT
    with quiet(), keeper.catching_signals():
        reuse_memory()
        batches = Batches(images.values, chosen, trainer)
        trainer.fit(engine, batches, ckpt_path=checkpoint if resume and checkpoint.exists() else None)
    if keeper.interrupted:
        raise Stopped(f"stopped at step {trainer.global_step} of {chosen.training.steps}")

    if progress and leads():
        print("measuring on held-out data, drawing figures", file=sys.stderr, flush=True)
    model = engine.model.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    summary, examples = summarise(model, held_out.values), np.array(held_out.values[:NUM_EXAMPLES])
    run = Run(path=path, recipe=chosen, model=model, data=data, summary=summary, examples=examples)
    if leads():
        report.write(run)
        runs.save(run)  # last: a run that has its weights has everything
        checkpoint.unlink(missing_ok=True)
    return run


def fit(values: np.ndarray, recipe: Recipe) -> LatentModel:
    """Trains a recipe on data in memory, on one processor; writes nothing, says nothing, leaves the seeds as they were.

    Args:
        values: uint8 images or floats in [0, 1], (N, C, H, W), or float32 vectors (N, D); N at least 2.
        recipe: for data of that shape.

    Returns:
        The model, in eval mode.

    Raises:
        Stopped: after Ctrl-C.
        NotFiniteError: if a term of the loss is not finite.
    """
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(recipe.training.seed)
        mean, stddev = _statistics(values) if recipe.mean is None else (None, None)
        engine = Engine(build(recipe, mean=mean, stddev=stddev), recipe)
        keeper = Keeper(engine, None, progress=False)
        trainer = _trainer(recipe, keeper, accelerator="cpu", devices=1, num_nodes=1)
        with keeper.catching_signals():
            trainer.fit(engine, Batches(values, recipe, trainer))
    if keeper.interrupted:
        raise Stopped(f"stopped at step {trainer.global_step} of {recipe.training.steps}")
    model: LatentModel = engine.model.to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    return model


def leads() -> bool:
    """Whether this process is the only one, or the one of several that writes and speaks."""
    return bool(getattr(rank_zero_only, "rank", 0) == 0)


def source_name(source: Any) -> str:
    """What a source is called where folders are named after it."""
    if not isinstance(source, str | Path):
        return "array"
    path = Path(source)
    return path.resolve().stem or "data" if path.exists() else path.name.replace(":", "-")


def _say(source: Any) -> str:
    if isinstance(source, Images):
        return source.source
    return str(source).rstrip("/") or "/" if isinstance(source, str | Path) else "an array"


def _unfinished(
    path: Path, source: Any, reading: Mapping[str, Any], codes: Sequence[int] | None, settings: Mapping[str, Any]
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a run to go on with, and how its data is read; what is asked for may not differ from these."""
    if not path.is_dir():
        raise RunError(f"there is no run in {path} to resume; leave --resume out to begin one")
    recipe, data = runs.read_recipe(path)
    if (path / runs.MODEL).exists():
        raise RunError(f"the run in {path} is finished; there is nothing to resume")
    if (begun_on := data.pop("source")) != _say(source):
        raise RunError(f"the run in {path} was begun on {begun_on}, not on {_say(source)}; give that, or another --out")
    changed = [name for name, value in reading.items() if value not in (None, data.get(name))]
    changed += [name for name, value in settings.items() if recipes.adjust(recipe, **{name: value}) != recipe]
    if codes is not None and tuple(codes) != recipe.code_sizes:
        changed.append("codes")
    if changed:
        raise RunError(
            f"the run in {path} was begun with other settings ({', '.join(changed)}) and keeps them; "
            "leave these out, or choose another --out"
        )
    checkpoint = path / runs.CHECKPOINT
    if checkpoint.exists() and not zipfile.is_zipfile(checkpoint):
        raise RunError(f"{checkpoint} is damaged; delete it, and --resume begins the run again")
    return recipe, data


def _choose(
    recipe: str | Recipe,
    shape: tuple[int, ...],
    codes: Sequence[int] | None,
    deep_heads: bool,
    settings: Mapping[str, Any],
) -> Recipe:
    if isinstance(recipe, str):
        recipe = recipes.make(recipe, shape, codes=codes, deep_heads=deep_heads)
    elif codes is not None or deep_heads:
        raise ValueError("codes and deep_heads choose a recipe's levels; a recipe made before has its own")
    recipe = recipes.adjust(recipe, **settings)
    if recipe.training.precision == "bf16" and not torch.cuda.is_available() and _lacks_bf16():
        warnings.warn("this processor has no bf16 arithmetic: bf16 will be many times slower than fp32", stacklevel=3)
    return recipe


def _lacks_bf16() -> bool:
    has = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return platform.machine() in ("x86_64", "AMD64") and not has


def _statistics(values: np.ndarray) -> tuple[Tensor, Tensor]:
    values = np.asarray(values, np.float64)
    stddev = values.std(0)
    stddev[stddev < 1e-12] = 1.0  # a constant column stays what it is
    return torch.as_tensor(values.mean(0), dtype=torch.float32), torch.as_tensor(stddev, dtype=torch.float32)


class Engine(lightning.LightningModule):
    """The model, its loss and its optimiser, as the engine wants them."""

    recent: Tensor
    """The terms of the loss in the last LOG_EVERY steps, kept on the device until they are looked at."""

    def __init__(self, model: LatentModel, recipe: Recipe):
        super().__init__()
        self.model, self.recipe = model, recipe
        self.terms = recipe.objective.terms(model.num_levels)
        self.seconds = 0.0  # of training, over all sittings
        self.means: list[Tensor] = []  # of the posteriors of every level, for the last batch that was looked at
        self.register_buffer("recent", torch.zeros(LOG_EVERY, len(self.terms)), persistent=False)

    def progress(self) -> float:
        """Share of the training that is done, in [0, 1]."""
        training = self.recipe.training
        timed = self.seconds / (60 * training.minutes) if training.minutes else 0.0
        return min(1.0, max(self.global_step / training.steps, timed))

    def setup(self, stage: str) -> None:
        """Lays images out with channels last, which convolutions are faster on."""
        if len(self.model.shape) == 3:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, in one kernel where there is one."""
        fused = self.device.type in ("cpu", "cuda")
        return torch.optim.Adam(self.parameters(), lr=self.recipe.training.learning_rate, fused=fused)

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        """The loss of a batch of stored values; its noise, rate and weights depend on nothing but the step's number."""
        step, training, objective = self.global_step, self.recipe.training, self.recipe.objective
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = training.learning_rate * rise_and_fall(self.progress(), training.schedule)
        seed = training.seed * 1_000_003 + step * 1009 + self.global_rank
        torch.default_generator.manual_seed(seed)  # torch.manual_seed asks every kind of device, which takes longer
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        x = as_input(batch)
        x = x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
        fade = objective.fade(self.progress(), self.model.code_sizes)
        forward = self.model(x, torch.tensor(fade, device=x.device))
        loss, terms = objective.loss(forward, x, step=step, progress=self.progress(), fade=fade)
        self.recent[step % LOG_EVERY] = terms.detach()
        if (step + 1) % LOG_EVERY == 0:
            self.means = [posterior.mean.detach() for posterior in forward.posteriors]
        return loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the time spent."""
        checkpoint["seconds"] = self.seconds

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the time spent up again."""
        self.seconds = checkpoint["seconds"]


def rise_and_fall(progress: float, schedule: str) -> float:
    """The learning rate's factor in (0, 1] when `progress` of the training is done."""
    if schedule == "constant":
        return 1.0
    return min(1.0, progress / 0.01 + 0.01) * 0.5 * (1 + cos(pi * progress))


class Batches:
    """An endless stream of batches of stored values; batch number t is the same whenever it is asked for.

    Each epoch is a permutation of its own, of which every device takes its own part.
    """

    def __init__(self, values: np.ndarray, recipe: Recipe, trainer: lightning.Trainer):
        self.values, self.training, self.trainer = values, recipe.training, trainer

    def __iter__(self) -> Iterator[Tensor]:
        world = self.trainer.world_size
        size = min(self.training.batch_size, max(2, len(self.values) // world))
        per_epoch = max(1, len(self.values) // (size * world))
        step = self.trainer.global_step  # known once a checkpoint is restored, which is before the first batch
        while True:
            epoch, first = divmod(step, per_epoch)
            order = np.random.default_rng([self.training.seed, epoch]).permutation(len(self.values))
            for batch in range(first, per_epoch):
                start = (batch * world + self.trainer.global_rank) * size
                # Rows in order of place are read faster from a file, and their order within a batch means nothing.
                rows = np.sort(order[start : start + size])
                yield torch.from_numpy(self.values[rows])
                step += 1


def _trainer(
    recipe: Recipe, keeper: "Keeper", *, accelerator: str, devices: int | str, num_nodes: int
) -> lightning.Trainer:
    with quiet():
        try:
            trainer = lightning.Trainer(
                max_steps=recipe.training.steps,
                max_epochs=-1,
                precision="bf16-mixed" if recipe.training.precision == "bf16" else "32-true",
                accelerator=accelerator,
                devices=devices,
                num_nodes=num_nodes,
                callbacks=[keeper],
                use_distributed_sampler=False,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=keeper.path,
            )
        except (MisconfigurationException, ValueError, TypeError) as error:
            raise ValueError(
                f"accelerator {accelerator!r} with devices {devices!r} cannot be had here: {error}; "
                "leave both out to take what there is"
            ) from error
    if recipe.training.minutes is not None and trainer.world_size > 1:
        raise ValueError("minutes cannot be kept by several devices at once; give steps")
    return trainer


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the engine's chatter away."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def reuse_memory() -> None:
    """Has glibc keep what a step frees for the next one, instead of giving it back and faulting it in again."""
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_threshold = -1, -3
        libc.mallopt(m_mmap_threshold, 2**30)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


class Keeper(Callback):
    """Keeps curves and checkpoints, shows progress, stops on Ctrl-C and on a loss that is not finite.

    Without a path nothing is kept.
    """

    def __init__(self, engine: Engine, path: Path | None, *, progress: bool):
        self.engine, self.path, self.progress = engine, path, progress
        self.interrupted = False
        numbers = range(1, engine.model.num_levels + 1)
        self.columns = ["step", "seconds", "images_per_second", "learning_rate", *engine.terms]
        self.columns += [f"fade_{level}" for level in numbers]
        self.line: ProgressLine | None = None
        self.told_of: set[int] = set()  # levels

    @contextmanager
    def catching_signals(self) -> Iterator[None]:
        """Has Ctrl-C, and the signal with which machines are shut down, stop the training after the step at hand."""
        before = self._catch_signals()
        try:
            yield
        finally:
            if self.line:
                self.line.stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _catch_signals(self) -> dict[int, Any]:
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}

    def _interrupt(self, number: int, frame: Any) -> None:
        self.interrupted = True

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Starts the clock, and takes the curves up where the checkpoint left them."""
        self._catch_signals()  # again: the engine has put its own in their place, and removes them itself
        self.at = self.saved_at = self.logged_at = time.monotonic()
        self.logged_step = trainer.global_step
        if trainer.is_global_zero:
            self._keep_rows_until(trainer.global_step)
            self.line = ProgressLine() if self.progress else None
        trainer.should_stop = self.engine.progress() >= 1  # all was done, but for what comes after the training

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Tensor,
        batch_idx: int,
    ) -> None:
        """Now and then logs, saves, and decides whether to go on."""
        now = time.monotonic()
        self.engine.seconds += now - self.at
        self.at = now
        step, done = trainer.global_step, self.engine.progress() >= 1
        if trainer.world_size > 1 and step % LOG_EVERY and not done:
            return  # several devices agree on stopping and saving, which costs a message, only now and then
        stop = _any(trainer, self.interrupted)
        if step % LOG_EVERY == 0 or done or stop:
            self._log(trainer, step, now, len(batch))
            trainer.should_stop = done or stop
            if done or stop or _any(trainer, now - self.saved_at > CHECKPOINT_EVERY):
                self._save(trainer, step)

    def _log(self, trainer: lightning.Trainer, step: int, now: float, batch_size: int) -> None:
        steps = range(self.logged_step + 1, step + 1)
        recent = self.engine.recent.cpu()
        terms = np.array([recent[(number - 1) % LOG_EVERY].tolist() for number in steps])
        for number, row in zip(steps, terms, strict=True):
            _check_finite(number, dict(zip(self.engine.terms, row, strict=True)))
        means, speed = terms.mean(0).tolist(), len(steps) * batch_size * trainer.world_size / (now - self.logged_at)
        self.logged_step, self.logged_at = step, now
        if not trainer.is_global_zero:
            return
        fade = self.engine.recipe.objective.fade(self.engine.progress(), self.engine.model.code_sizes)
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        row = [step, round(self.engine.seconds, 3), round(speed, 1), rate, *means, *fade]
        if self.path is not None:
            file = self.path / runs.METRICS
            with runs.writing(file), file.open("a", newline="") as stream:
                csv.writer(stream).writerow(row)
        if self.line:
            self.line.show(step, self.engine.progress(), self.engine.seconds, speed, means[: 1 + len(fade)])
        settled = step >= 10 * LOG_EVERY and step % LOG_EVERY == 0 and self.engine.progress() >= SETTLED
        if settled and min(fade) == 1 and self.path is not None:
            self._tell_of_shortages(means[1 : 1 + len(fade)])

    def _tell_of_shortages(self, nats: Sequence[float]) -> None:
        """Says once a sitting of every level that it is dead, starved or too large."""
        for number, (rate, mean) in enumerate(zip(nats, self.engine.means, strict=True), start=1):
            found = {"level": number, "code_size": mean.shape[1], "kl_nats": rate, "active_units": count_active(mean)}
            said = card.shortage(found)
            if said and number not in self.told_of:
                self.told_of.add(number)
                if self.line:
                    self.line.say(said)
                else:
                    warnings.warn(said, stacklevel=2)

    def _save(self, trainer: lightning.Trainer, step: int) -> None:
        for name, weights in self.engine.model.state_dict().items():
            if not weights.isfinite().all():
                raise NotFiniteError(f"after step {step} {name} is not finite; try a lower learning rate")
        self.saved_at = time.monotonic()
        if self.path is None:
            return
        if trainer.is_global_zero:
            with runs.whole(self.path / runs.CHECKPOINT) as file:
                trainer.save_checkpoint(file)
        else:
            trainer.save_checkpoint(self.path / runs.CHECKPOINT)  # writes nothing, but the first device waits for it

    def _keep_rows_until(self, step: int) -> None:
        """Begins metrics.csv, or drops what was logged after the checkpoint, which is now done again."""
        if self.path is None:
            return
        file = self.path / runs.METRICS
        kept: list[list[str]] = []
        if file.exists():
            with file.open(newline="") as stream:
                rows = list(csv.reader(stream))[1:]
            kept = [row for row in rows if len(row) == len(self.columns) and int(row[0]) <= step]
        with runs.whole(file) as partial, partial.open("w", newline="") as stream:
            csv.writer(stream).writerows([self.columns, *kept])


def _any(trainer: lightning.Trainer, decision: bool) -> bool:
    if trainer.world_size == 1:
        return decision
    return trainer.strategy.reduce_boolean_decision(decision, all=False)


def _check_finite(step: int, terms: Mapping[str, float]) -> None:
    for term_name, term in terms.items():
        if not isfinite(term):
            kind, _, level = term_name.partition("_")
            name = f"the {'KL' if kind == 'rate' else 'MMD'} of level {level}" if level else "the distortion"
            raise NotFiniteError(
                f"at step {step} {name} is {term}; try a lower learning rate, or a likelihood with a fixed scale"
            )


class ProgressLine:
    """A live line: how far, how fast, distortion, KL of every level, time left. A plain line now and then elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        console = Console(stderr=True)
        self.live, self.next_line = console.is_terminal, 0.0
        columns = (TaskProgressColumn(), TextColumn("{task.fields[line]}"))
        bar = (BarColumn(bar_width=20),) if console.width >= 110 else ()  # the numbers need 80
        self.bar = Progress(*bar, *columns, console=console, disable=not self.live)
        self.task = self.bar.add_task("training", total=1.0, line="")
        self.bar.start()

    def show(self, step: int, done: float, seconds: float, speed: float, means: Sequence[float]) -> None:
        """Shows what was measured when `done` of the training, in [0, 1], had taken so many seconds."""
        left = int(seconds * (1 - done) / done)
        kl = " ".join(f"{rate:.1f}" for rate in means[1:])
        line = f"{left // 60}:{left % 60:02d} left · {speed:,.0f} images/s · distortion {means[0]:.4g} · KL {kl} nats"
        self.bar.update(self.task, completed=done, line=line)
        if not self.live and (done >= self.next_line or done >= 1):
            self.next_line = done + 0.05
            print(f"step {step} ({done:.0%}) · {line}", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Says something above the line."""
        self.bar.console.print(text, highlight=False)

    def stop(self) -> None:
        """Leaves the line as it is."""
        self.bar.stop()
