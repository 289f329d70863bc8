"""Trains a recipe on data: the only file that knows the training engine."""

import csv
import ctypes
import logging
import platform
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import cos, isfinite, pi
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from vlae import recipes, report, runs
from vlae.data import Images
from vlae.data import load as load_data
from vlae.information import as_input, summarise
from vlae.model import LatentModel
from vlae.objectives import distortion, loss, rates
from vlae.recipes import Recipe, build
from vlae.runs import Run, RunError

LOG_EVERY = 50  # steps between two rows of metrics.csv, and between two looks at the device
CHECKPOINT_EVERY = 60.0  # seconds
NUM_EXAMPLES = 64


class Stopped(KeyboardInterrupt):
    """Training was interrupted by the user; what is done is kept."""


class NotFiniteError(ArithmeticError):
    """A term of the loss is NaN or infinite."""


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
        recipe: the name of a recipe, or one made before, which then fits the data's shape.
        codes: sizes of the levels' codes, level 1 first; None: the recipe's own.
        deep_heads: for the paper's recipes, heads that re-encode the level below, as the authors' do.
        size: side of the images, as in `vlae.data.load`.
        crop: as in `vlae.data.load`.
        channels: as in `vlae.data.load`.
        layout: as in `vlae.data.load`.
        key: as in `vlae.data.load`.
        limit: train on at most so many.
        resume: go on with the unfinished run in `out`, with the recipe it has.
        accelerator: of the engine: "auto", "cpu", "gpu", "mps".
        devices: how many, or "auto".
        num_nodes: how many machines.
        progress: show a progress bar.
        settings: any field of `Training`, `Objective` or `Likelihood`: steps, minutes, batch_size, learning_rate,
            precision, seed, beta, growth, family, scale, …

    Returns:
        The finished run.

    Raises:
        DataError: if the source cannot be read.
        ValueError: if the recipe cannot be had on this data.
        RunError: if the folder holds something already, or nothing to resume.
        Stopped: after Ctrl-C; the run can be resumed.
        NotFiniteError: if a term of the loss is not finite; the last good checkpoint stays.
    """
    path = Path(out) if out is not None else Path("runs") / _name(source)
    reading = {"size": size, "crop": crop, "channels": channels, "layout": layout, "key": key, "limit": limit}
    if resume:
        chosen, reading = _resumed(path, source)
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path} exists already; choose another --out, or go on with an unfinished run by --resume")
    images = load_data(source, split="train", progress=progress, **reading)
    held_out = load_data(source, split="test", **{**reading, "limit": None})
    if not resume:
        if isinstance(recipe, str):
            recipe = recipes.make(recipe, images.shape, codes=codes, deep_heads=deep_heads)
        elif codes is not None or deep_heads:
            raise ValueError("codes and deep_heads choose a recipe's levels; a recipe made before has its own")
        chosen = recipes.adjust(recipe, **settings)
    if chosen.shape != images.shape:
        raise ValueError(f"the recipe is for data of shape {chosen.shape}; this data has shape {images.shape}")
    few = min(chosen.training.batch_size, len(images))
    chosen = replace(chosen, training=replace(chosen.training, batch_size=few))
    _check_precision(chosen)

    mean, stddev = _statistics(images) if chosen.mean is None else (None, None)
    torch.manual_seed(chosen.training.seed)
    model = build(chosen, mean=mean, stddev=stddev)
    path.mkdir(parents=True, exist_ok=True)
    if not resume:
        runs.write_recipe(path, chosen, {"source": _say(source), **reading})
    _fit(
        model,
        images.values,
        chosen,
        path,
        resume=resume,
        progress=progress,
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
    )
    model = model.to("cpu", memory_format=torch.contiguous_format).eval()
    summary = summarise(model, held_out.values)
    runs.save(path, model, summary, np.ascontiguousarray(held_out.values[:NUM_EXAMPLES]))
    (path / runs.CHECKPOINT).unlink(missing_ok=True)
    run = runs.load(path)
    report.write(run)
    return run


def _name(source: Any) -> str:
    return Path(str(source).replace(":", "-")).stem if isinstance(source, str | Path) else "array"


def _say(source: Any) -> str:
    if isinstance(source, Images):
        return source.source
    return str(source) if isinstance(source, str | Path) else "an array"


def _resumed(path: Path, source: Any) -> tuple[Recipe, dict[str, Any]]:
    if not path.is_dir():
        raise RunError(f"there is no run in {path} to resume; leave --resume out to begin one")
    recipe, data = runs.read_recipe(path)
    if (path / runs.MODEL).exists():
        raise RunError(f"the run in {path} is finished; there is nothing to resume")
    if data.pop("source") != _say(source):
        raise RunError(f"the run in {path} was begun on other data; give that source, or another --out")
    return recipe, data


def _check_precision(recipe: Recipe) -> None:
    slow = not torch.cuda.is_available() and platform.machine() in ("x86_64", "AMD64") and not _has_bf16()
    if recipe.training.precision == "bf16" and slow:
        warnings.warn("this processor has no bf16 arithmetic: bf16 will be many times slower than fp32", stacklevel=3)


def _has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _statistics(images: Images) -> tuple[Tensor, Tensor]:
    values = np.asarray(images.values, np.float64)
    stddev = values.std(0)
    stddev[stddev < 1e-12] = 1.0  # a constant column stays what it is
    return torch.as_tensor(values.mean(0), dtype=torch.float32), torch.as_tensor(stddev, dtype=torch.float32)


def _fit(
    model: LatentModel,
    values: np.ndarray,
    recipe: Recipe,
    path: Path,
    *,
    resume: bool,
    progress: bool,
    accelerator: str,
    devices: int | str,
    num_nodes: int,
) -> None:
    reuse_memory()
    _quieten()
    keeper = Keeper(path, recipe, len(values), progress=progress)
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
        default_root_dir=path,
    )
    if recipe.training.minutes is not None and trainer.world_size > 1:
        raise ValueError("minutes cannot be kept by several devices at once; give steps")
    module = Engine(model, recipe)
    checkpoint = path / runs.CHECKPOINT
    batches = Batches(values, module, trainer)
    trainer.fit(module, batches, ckpt_path=checkpoint if resume and checkpoint.exists() else None)
    if keeper.interrupted:
        raise Stopped(f"stopped at step {trainer.global_step} of {recipe.training.steps}")


def _quieten() -> None:
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message="Using padding='same' with even kernel")


def reuse_memory() -> None:
    """Has glibc keep what a step frees for the next one, instead of giving it back and faulting it in again."""
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_threshold = -1, -3
        libc.mallopt(m_mmap_threshold, 2**30)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


class Batches:
    """An endless stream of batches of stored values; batch number t is the same whenever it is asked for.

    Each epoch is a permutation of its own, of which every device takes its own part.
    """

    def __init__(self, values: np.ndarray, module: "Engine", trainer: lightning.Trainer):
        self.values, self.module, self.trainer = values, module, trainer

    def __iter__(self) -> Iterator[Tensor]:
        training, world = self.module.recipe.training, self.trainer.world_size
        size = min(training.batch_size, max(2, len(self.values) // world))
        per_epoch = max(1, len(self.values) // (size * world))
        step = self.trainer.global_step  # known once a checkpoint is restored, which is before the first batch
        while True:
            epoch, first = divmod(step, per_epoch)
            order = np.random.default_rng([training.seed, epoch]).permutation(len(self.values))
            for batch in range(first, per_epoch):
                start = (batch * world + self.trainer.global_rank) * size
                # Rows in order of place are read faster from a file, and their order within a batch means nothing.
                rows = np.sort(order[start : start + size])
                yield torch.from_numpy(self.values[rows])
                step += 1


class Engine(lightning.LightningModule):
    """The model, its loss and its optimiser, as the engine wants them."""

    def __init__(self, model: LatentModel, recipe: Recipe):
        super().__init__()
        self.model, self.recipe = model, recipe
        self.seconds = 0.0  # of training, over all sittings
        self.register_buffer("recent", torch.zeros(LOG_EVERY, 1 + model.num_levels), persistent=False)

    def progress(self) -> float:
        """Share of the training that is done, in [0, 1]."""
        training = self.recipe.training
        timed = self.seconds / (60 * training.minutes) if training.minutes else 0.0
        return min(1.0, max(self.global_step / training.steps, timed))

    def setup(self, stage: str) -> None:
        if len(self.model.shape) == 3:
            self.model.to(memory_format=torch.channels_last)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        fused = self.device.type in ("cpu", "cuda")
        return torch.optim.Adam(self.parameters(), lr=self.recipe.training.learning_rate, fused=fused)

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        step, training = self.global_step, self.recipe.training
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = training.learning_rate * rise_and_fall(self.progress(), training.schedule)
        # The noise of a step depends on its number alone, so that a resumed run draws what it would have drawn.
        torch.manual_seed(training.seed * 1_000_003 + step * 1009 + self.global_rank)
        x = as_input_tensor(batch)
        fade = self.recipe.objective.fade(self.progress(), self.model.num_levels)
        forward = self.model(x, torch.tensor(fade, device=x.device))
        terms = torch.cat([distortion(forward, x).mean()[None], rates(forward).mean(1)])
        self.recent[step % LOG_EVERY] = terms.detach()
        weights = self.recipe.objective.weights(step, fade)
        return loss(terms, torch.tensor(weights, device=x.device))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["seconds"] = self.seconds

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.seconds = checkpoint["seconds"]


def as_input_tensor(batch: Tensor) -> Tensor:
    """A batch of stored values as the model takes it."""
    if batch.dtype != torch.uint8:
        return batch
    x = batch.float().div_(255)
    return x.contiguous(memory_format=torch.channels_last)


def rise_and_fall(progress: float, schedule: str) -> float:
    """The learning rate's factor in (0, 1] when `progress` of the training is done."""
    if schedule == "constant":
        return 1.0
    return min(1.0, progress / 0.01 + 0.01) * 0.5 * (1 + cos(pi * progress))


class Keeper(Callback):
    """Keeps curves and checkpoints, shows progress, stops on Ctrl-C and on a loss that is not finite."""

    def __init__(self, path: Path, recipe: Recipe, num_data: int, *, progress: bool):
        self.path, self.recipe, self.num_data = path, recipe, num_data
        self.interrupted = False
        self.bar = _Bar(recipe) if progress else None
        self.columns = ["step", "seconds", "images_per_second", "learning_rate", "distortion"]
        for name in ("rate", "fade"):
            self.columns += [f"{name}_{level}" for level in range(1, len(recipe.levels) + 1)]
        self.previous: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, module: Engine) -> None:
        self.at = self.saved = time.monotonic()
        self.logged_step, self.logged_at = trainer.global_step, self.at
        if trainer.is_global_zero:
            self._keep_rows_before(trainer.global_step)
            if self.bar:
                self.bar.start(trainer.global_step)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._interrupt)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: Engine, outputs: Any, batch: Tensor, batch_index: int
    ) -> None:
        now = time.monotonic()
        module.seconds += now - self.at
        self.at = now
        step = trainer.global_step
        last = step >= self.recipe.training.steps or module.progress() >= 1 or self.interrupted
        if step % LOG_EVERY == 0 or last:
            self._log(trainer, module, step, now, len(batch))
        if last:
            trainer.should_stop = True
        if self.interrupted or (now - self.saved > CHECKPOINT_EVERY and step % LOG_EVERY == 0):
            self.saved = now
            with runs.whole(self.path / runs.CHECKPOINT) as file:
                trainer.save_checkpoint(file)

    def on_train_end(self, trainer: lightning.Trainer, module: Engine) -> None:
        self._restore()

    def on_exception(self, trainer: lightning.Trainer, module: Engine, exception: BaseException) -> None:
        self._restore()

    def _restore(self) -> None:
        if self.bar:
            self.bar.stop()
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        self.previous = {}

    def _interrupt(self, number: int, frame: Any) -> None:
        self.interrupted = True

    def _log(self, trainer: lightning.Trainer, module: Engine, step: int, now: float, batch_size: int) -> None:
        num = step - self.logged_step
        if num == 0:
            return
        recent = module.recent.cpu()
        rows = [(s, recent[(s - 1) % LOG_EVERY].tolist()) for s in range(max(1, step - LOG_EVERY + 1, self.logged_step + 1), step + 1)]
        for number, terms in rows:
            _check_finite(number, terms)
        means = np.mean([terms for _, terms in rows], axis=0)
        speed = num * batch_size * trainer.world_size / (now - self.logged_at)
        self.logged_step, self.logged_at = step, now
        if not trainer.is_global_zero:
            return
        fade = self.recipe.objective.fade(module.progress(), len(self.recipe.levels))
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        values = [step, round(module.seconds, 3), round(speed, 1), rate, *means, *fade]
        with (self.path / runs.METRICS).open("a", newline="") as file:
            csv.writer(file).writerow(values)
        if self.bar:
            self.bar.show(step, speed, means.tolist(), module)

    def _keep_rows_before(self, step: int) -> None:
        file = self.path / runs.METRICS
        rows = list(csv.reader(file.open(newline=""))) if file.exists() else []
        kept = [row for row in rows[1:] if len(row) == len(self.columns) and int(row[0]) <= step]
        with runs.whole(file) as partial, partial.open("w", newline="") as stream:
            csv.writer(stream).writerows([self.columns, *kept])


def _check_finite(step: int, terms: Sequence[float]) -> None:
    for number, term in enumerate(terms):
        if not isfinite(term):
            name = f"the KL of level {number}" if number else "the distortion"
            raise NotFiniteError(
                f"at step {step} {name} is {term}; try a lower learning rate, or a likelihood with a fixed scale"
            )


class _Bar:
    """A live line: how far, how fast, distortion, KL of every level, time left. A plain line now and then elsewhere."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe

    def start(self, step: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self.console = Console(stderr=True)
        self.next_line = 0.0
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[line]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("training", total=1.0, line="")
        self.bar.start()

    def show(self, step: int, speed: float, means: list[float], module: Engine) -> None:
        done = module.progress()
        left = module.seconds * (1 - done) / max(done, 1e-9)
        rates_text = " ".join(f"{rate:.1f}" for rate in means[1:])
        line = f"{speed:,.0f} images/s · distortion {means[0]:.1f} · KL {rates_text} nats · {_clock(left)} left"
        self.bar.update(self.task, completed=done, line=line)
        if not self.console.is_terminal and (done >= self.next_line or done >= 1):
            self.next_line = done + 0.05
            print(f"step {step} ({done:.0%}) · {line}", file=sys.stderr, flush=True)

    def stop(self) -> None:
        self.bar.stop()


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
