"""The training engine, and the only file that knows it: the loop, its batches, and what is kept and told along it."""

import csv
import ctypes
import logging
import platform
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import cos, isfinite, pi
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from vlae.atomic import whole, writing
from vlae.evaluation import level_card
from vlae.evaluation.rates import as_input, count_active
from vlae.models.base import LatentModel
from vlae.recipes import Recipe
from vlae.runs import layout
from vlae.training.progress import ProgressLine

LOG_EVERY = 50  # steps between two rows of metrics.csv, and between two looks at the device
CHECKPOINT_EVERY = 60.0  # seconds
SETTLED = 0.5  # share of the training (of 500 steps at least) after which a level that says little is told of


class NotFiniteError(ArithmeticError):
    """A term of the loss, or a weight, is NaN or infinite."""


def leads() -> bool:
    """Whether this process is the only one, or the one of several that writes and speaks."""
    return bool(getattr(rank_zero_only, "rank", 0) == 0)


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


def trainer_of(
    recipe: Recipe, keeper: "Keeper", *, accelerator: str, devices: int | str, num_nodes: int
) -> lightning.Trainer:
    """The loop for a recipe on these devices.

    Raises:
        ValueError: if the devices cannot be had, or the recipe not trained on several.
    """
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
            file = self.path / layout.METRICS
            with writing(file), file.open("a", newline="") as stream:
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
            said = level_card.shortage(found)
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
            with whole(self.path / layout.CHECKPOINT) as file:
                trainer.save_checkpoint(file)
        else:
            trainer.save_checkpoint(self.path / layout.CHECKPOINT)  # writes nothing, but the first device waits for it

    def _keep_rows_until(self, step: int) -> None:
        """Begins metrics.csv, or drops what was logged after the checkpoint, which is now done again."""
        if self.path is None:
            return
        file = self.path / layout.METRICS
        kept: list[list[str]] = []
        if file.exists():
            with file.open(newline="") as stream:
                rows = list(csv.reader(stream))[1:]
            kept = [row for row in rows if len(row) == len(self.columns) and int(row[0]) <= step]
        with whole(file) as partial, partial.open("w", newline="") as stream:
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
