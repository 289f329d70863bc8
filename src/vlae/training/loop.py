"""The training loop: a step, its optimiser, curves and checkpoints. Only it, `trainer` and `loggers` know Lightning."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import cos, isfinite, isinf, nan, pi
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from vlae.atomic import whole
from vlae.evaluation.rates import count_active, shortage
from vlae.models.base import LatentModel
from vlae.models.inference import as_input
from vlae.models.together import training_together
from vlae.objectives.base import Batch, title_of
from vlae.recipes.formats import tensor_names
from vlae.recipes.recipe import Recipe
from vlae.runs.layout import CHECKPOINT, METRICS, RunError
from vlae.shapes import is_image
from vlae.training.curves import Curves
from vlae.training.graphs import Graphs, Step, wanted
from vlae.training.interrupts import Interrupts
from vlae.training.loggers import Log
from vlae.training.muon import MuonAndAdam, hidden_dense
from vlae.training.progress import ProgressLine
from vlae.training.streaming import StreamBatches
from vlae.training.trainer import is_gpu
from vlae.training.validation import Validation

LOG_EVERY = 50  # steps between two rows of metrics.csv, and between two looks at the device
CHECKPOINT_EVERY = 60.0  # seconds
SETTLED = 0.5  # share of the training (and at least 500 steps) after which weak levels are reported


class NotFiniteError(ArithmeticError):
    """A term of the loss, or a weight, is NaN or infinite."""


class Turn(NamedTuple):
    """Where a training was when its length was changed, or when it went on from a finished model."""

    grown: float = 0.0
    """The share of the schedules of the objective that was behind it, in [0, 1]."""
    step: int = 0
    """The number of the step."""
    seconds: float = 0.0
    """The training time."""


class Engine(lightning.LightningModule):
    """The model, the objective with its networks, and their optimiser, in the form that Lightning needs.

    Args:
        model: the model to train.
        recipe: the settings of the training.
        validation: measures validation data; None: there are none.
    """

    recent: Tensor
    """The terms of the loss in the last LOG_EVERY steps, kept on the device until they are logged."""
    _ddp_params_and_buffers_to_ignore = ("recent",)  # of each process; other buffers are the first one's

    def __init__(self, model: LatentModel, recipe: Recipe, validation: Validation | None = None):
        super().__init__()
        self.validation = validation
        self.model, self.recipe = model, recipe
        if recipe.training.optimizer == "muon" and not hidden_dense(model):
            raise ValueError(
                "muon trains dense layers of 128 to 512 units with a batch norm, and this model has none; choose adam "
                "(--optimizer, optimizer=)"
            )
        self.networks = recipe.objective.networks(model)
        self.terms = recipe.objective.terms(model.num_levels)
        self.seconds = 0.0  # training time, before and after every resume
        self.turn = Turn()
        self.stream: StreamBatches | None = None  # knows where in a stream the training is
        self.means: list[Tensor] = []  # posterior means of every level, of the last logged batch
        self.graphs: Graphs | None = None  # on a GPU that trains alone
        self.recorded = False  # whether the gradients of this step came from a graph
        self.register_buffer("recent", torch.zeros(LOG_EVERY, len(self.terms)), persistent=False)

    def progress(self) -> float:
        """The share of the training that is done, in [0, 1]; it falls when more is added to be done."""
        return self.recipe.training.progress(self.global_step, self.seconds)

    def since_turn(self) -> float:
        """The share of what was still to be done at the turn, in [0, 1]."""
        return self.recipe.training.progress(self.global_step, self.seconds, since=(self.turn.step, self.turn.seconds))

    def grown(self) -> float:
        """The share that the schedules of the objective follow, in [0, 1]; it never falls, nor jumps."""
        return self.turn.grown + (1 - self.turn.grown) * self.since_turn()

    def setup(self, stage: str) -> None:
        """Stores weights with channels last, which makes convolutions faster; a GPU gets CUDA graphs."""
        if is_image(self.model.shape):
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if is_gpu(self.trainer) and self.trainer.world_size == 1 and wanted():
            self.graphs = Graphs(self.model, self.recipe.objective, self.networks)

    def teardown(self, stage: str) -> None:
        """Gives back the memory of the graphs."""
        self.graphs = None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One optimiser, in one kernel where there is one: a group for the model, one for the objective's networks.

        With two optimisers Lightning would count two steps per batch; seeds and batches would be wrong after a resume.
        """
        groups = [{"params": list(self.model.parameters())}]
        if self.networks is not None:
            groups.append({"params": list(self.networks.parameters())})
        fused = self.device.type in ("cpu", "cuda")
        betas = self.recipe.objective.betas()
        settings: dict[str, Any] = {"lr": self.recipe.training.learning_rate, "betas": betas, "fused": fused}
        if self.recipe.training.optimizer == "muon":
            return MuonAndAdam(groups, hidden_dense(self.model), **settings)
        return torch.optim.Adam(groups, **settings)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """The batch on the device; the processor does not wait for a copy from pinned memory."""
        if device.type == "cpu":
            return batch
        return Batch._make(None if part is None else part.to(device, non_blocking=True) for part in batch)

    def configure_gradient_clipping(self, *settings: Any, **more: Any) -> None:
        """Clips nothing, and looks for nothing to clip."""

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The loss of a batch; its noise, learning rate and weights depend only on the number of the step."""
        step, training, objective = self.global_step, self.recipe.training, self.recipe.objective
        factors = objective.rate_factors()
        rate = training.learning_rate * rise_and_fall(self.progress(), training.schedule, self.since_turn())
        for name, group in zip(("model", "networks"), self.trainer.optimizers[0].param_groups, strict=False):
            group["lr"] = rate * factors.get(name, 1.0)
        seed = training.seed * 1_000_003 + step * 1009 + self.global_rank
        torch.default_generator.manual_seed(seed)  # torch.manual_seed asks every kind of device, which takes longer
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        if self.device.type == "mps":
            torch.mps.manual_seed(seed)
        found = self.graphs.run(batch, step=step, progress=self.grown()) if self.graphs else None
        self.recorded = found is not None
        if found is None:
            seen = batch._replace(x=as_input(batch.x))
            loss = objective.loss(self.model, seen, step=step, progress=self.grown(), networks=self.networks)
            found = Step.of(loss)
        self.recent[step % LOG_EVERY] = found.terms
        if (step + 1) % LOG_EVERY == 0:
            self.means = found.means
        return found.total

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        """Drops the gradients of the step before, unless a graph has already written others in their place.

        Args:
            epoch: not used.
            batch_idx: not used.
            optimizer: the optimiser.
        """
        if not self.recorded:
            optimizer.zero_grad()

    def backward(self, loss: Tensor, *settings: Any, **more: Any) -> None:
        """Computes the gradients, unless a graph has.

        Args:
            loss: of the step.
            settings: not used.
            more: not used.
        """
        if not self.recorded:
            loss.backward()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Stores the training time, the planned length, how far the schedules are, and what early stopping knows."""
        training = self.recipe.training
        checkpoint["seconds"], checkpoint["turn"] = self.seconds, list(self.turn)
        checkpoint["planned"], checkpoint["grown"] = [training.steps, training.minutes], self.grown()
        checkpoint["devices"] = self.trainer.world_size
        if self.validation is not None:
            checkpoint["validation"] = self.validation.state()
        if self.stream is not None:
            checkpoint["stream"] = _of_all(self.trainer, self.stream.state(self.global_step))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the training time and the turn, which is here if another length is planned; renames old tensors."""
        devices, now = checkpoint.get("devices", self.trainer.world_size), self.trainer.world_size
        if devices != now:
            raise RunError(
                f"the run was begun on {devices} devices, and {now} were asked for; the order of its data depends on "
                f"them: leave devices out, or give {devices}"
            )
        self.seconds, planned = checkpoint["seconds"], [self.recipe.training.steps, self.recipe.training.minutes]
        self.turn = Turn(*checkpoint.get("turn", Turn()))
        if checkpoint.get("planned", planned) != planned:
            self.turn = Turn(checkpoint["grown"], checkpoint["global_step"], self.seconds)
        if self.validation is not None:
            self.validation.restore(checkpoint["validation"])
        if self.stream is not None:
            self.stream.restore(checkpoint["stream"], self.global_rank)
        stored, prefix = checkpoint["state_dict"], "model."
        of_model = {name.removeprefix(prefix) for name in stored if name.startswith(prefix)}
        names = tensor_names(of_model, set(self.model.state_dict()))
        others = {name: value for name, value in stored.items() if not name.startswith(prefix)}
        checkpoint["state_dict"] = {
            prefix + name: stored[prefix + stored_name] for stored_name, name in names.items()
        } | others


def rise_and_fall(progress: float, schedule: str, since_turn: float | None = None) -> float:
    """The factor on the learning rate, in [0, 1].

    Args:
        progress: the share of the training that is done, in [0, 1].
        schedule: "constant" or "cosine".
        since_turn: the share of what was still to be done when the length of the training was changed; None: it was
            not.
    """
    if schedule == "constant":
        return 1.0
    rising = progress if since_turn is None else since_turn
    return min(1.0, rising / 0.01 + 0.01) * 0.5 * (1 + cos(pi * progress))


def go_on_from(
    trainer: lightning.Trainer, engine: Engine, state: Mapping[str, Tensor], turn: Turn, known: Mapping[str, Any]
) -> None:
    """Makes a training go on from a finished model, with a new optimiser; or end with it.

    Args:
        trainer: of the training, which has not begun.
        engine: with a model like the finished one.
        state: the tensors of the finished model.
        turn: where its training had ended.
        known: what early stopping knew then, or a part of it.
    """
    engine.model.load_state_dict(state)
    if engine.validation is not None:
        engine.validation.restore(dict(known))
    engine.turn, engine.seconds = turn, turn.seconds
    done = trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
    done.ready = done.completed = turn.step


def validation_of(
    model: LatentModel, values: np.ndarray, features: np.ndarray | None, recipe: Recipe, kept: np.ndarray
) -> Validation | None:
    """What measures the rows of the training part that are kept for validation; None if there are none.

    Args:
        model: the model to train.
        values: the training part, uint8 images or floats in [0, 1], (N, C, H, W); or vectors (N, D).
        features: of the full-size pictures, (N, F); None: there are none.
        recipe: the settings of the training.
        kept: the numbers of these rows, (K,), each below N; none: K is 0.
    """
    if not len(kept):
        return None
    of_rows = None if features is None else features[kept]
    return Validation(model, np.array(values[kept]), of_rows, recipe.training, interval=LOG_EVERY)


class Recorder(Callback):
    """Records curves and checkpoints, shows progress, stops after a signal or a loss that is not finite.

    Args:
        engine: the model in training, and its objective.
        path: the run's folder; None: nothing is written.
        progress: whether to show a progress line.
        watchers: called with this recorder after every step, in the process that writes files.
    """

    def __init__(
        self,
        engine: Engine,
        path: Path | None,
        *,
        progress: bool,
        watchers: Sequence[Callable[["Recorder"], None]] = (),
    ):
        self.engine, self.path, self.progress, self.watchers = engine, path, progress, watchers
        self.interrupts = Interrupts()
        columns = ["step", "seconds", "images_per_second", "learning_rate", *engine.terms]
        columns += [f"fade_{level}" for level in range(1, engine.model.num_levels + 1)]
        columns += engine.validation.names if engine.validation else ()
        self.curves = Curves(None if path is None else path / METRICS, columns)
        self.line: ProgressLine | None = None
        self.warned: set[str] = set()
        self.started = False  # whether everything was read that the training goes on from
        self.is_alone = True  # whether one device trains
        self.ended = False  # whether the training came to its end as planned

    @contextmanager
    def watching(self, trainer: lightning.Trainer) -> Iterator[None]:
        """Makes a signal stop the training after the current step; closes the progress line at the end.

        Args:
            trainer: of the training in the block.
        """
        with self.interrupts.caught():
            try:
                with training_together(trainer.world_size):
                    yield
            finally:
                if self.line:
                    self.line.stop()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Starts the clock, and goes on with the curves from the checkpoint."""
        self.started, self.is_alone = True, trainer.world_size == 1
        self.interrupts.catch()  # again, because Lightning has set its own handlers
        self.at = self.saved_at = self.logged_at = time.monotonic()
        self.logged_step = self.saved_step = trainer.global_step
        if trainer.is_global_zero:
            self.curves.keep_until(trainer.global_step)
            self.line = ProgressLine() if self.progress else None
            self.logs = Log(trainer.loggers)
            self.logs.config(self.engine.recipe.as_dict()["recipe"])
        exhausted = self.engine.validation is not None and self.engine.validation.exhausted
        trainer.should_stop = self.ended = self.engine.progress() >= 1 or exhausted  # a checkpoint after the last step
        if trainer.global_step and self.engine.turn.step == trainer.global_step:
            if trainer.is_global_zero:
                self._measure_the_best(trainer.global_step)
            self._save(trainer, trainer.global_step)  # of a new length, or of a finished model that is trained further

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Logs and saves at intervals, and decides whether to stop."""
        now, self.batch_size = time.monotonic(), len(batch.x)
        self.engine.seconds += now - self.at
        self.at = now
        if trainer.is_global_zero:
            if self.line:
                self.line.move(self.engine.progress(), self.engine.seconds)
            for watch in self.watchers:
                watch(self)
        step, done = trainer.global_step, self.engine.progress() >= 1
        if trainer.world_size > 1 and step % LOG_EVERY and not done:
            return  # several devices agree only at intervals, because each time costs a message
        if stop := _any(trainer, self.interrupts.asked):
            self.interrupts.asked, self.interrupts.terminated = True, _any(trainer, self.interrupts.terminated)
        if step % LOG_EVERY == 0 or done or stop:
            self._log(trainer, step, now, self.batch_size)
            if self.engine.validation is not None:
                done = done or _any(trainer, self.engine.validation.exhausted)
            self.ended, trainer.should_stop = done, done or stop
            if done or stop or _any(trainer, now - self.saved_at > CHECKPOINT_EVERY):
                self._save(trainer, step)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Logs and saves what another callback ended between two rows."""
        step = trainer.global_step
        if step > self.logged_step:
            self._log(trainer, step, time.monotonic(), self.batch_size, to_callbacks=False)
        if step > self.saved_step:
            self._save(trainer, step)

    def say(self, what: Any) -> None:
        """Prints something above the progress line, if there is one.

        Args:
            what: a text, or anything else that `rich` prints.
        """
        if self.line:
            self.line.print(what)

    def _log(
        self, trainer: lightning.Trainer, step: int, now: float, batch_size: int, *, to_callbacks: bool = True
    ) -> None:
        steps = range(self.logged_step + 1, step + 1)
        recent = trainer.strategy.reduce(self.engine.recent.clone(), reduce_op="mean").cpu()
        terms = np.array([recent[(number - 1) % LOG_EVERY].tolist() for number in steps])
        for number, row in zip(steps, terms, strict=True):
            _check_finite(number, dict(zip(self.engine.terms, row, strict=True)))
        means, speed = terms.mean(0).tolist(), len(steps) * batch_size * trainer.world_size / (now - self.logged_at)
        self.logged_step, self.logged_at = step, now
        if not trainer.is_global_zero:
            return
        fade = self.engine.recipe.objective.fade(self.engine.grown(), self.engine.model.code_sizes)
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        row = [step, round(self.engine.seconds, 3), round(speed, 1), rate, *means, *fade]
        named = dict(zip(self.engine.terms, means, strict=True))
        shown = dict(named)
        if validation := self.engine.validation:
            due = step % validation.every == 0 or self.engine.progress() >= 1
            measured = validation.measure(step, grown=min(fade) == 1) if due else dict.fromkeys(validation.names, nan)
            row += measured.values()
            shown["val_elbo"] = validation.last["val_elbo"]
        self.curves.add(row)
        columns = dict(zip(self.curves.columns, row, strict=True))
        self.logs.row(step, columns)
        if to_callbacks and len(trainer.callbacks) > 1:  # type: ignore[attr-defined]  # those of others read the row, in callback_metrics
            self.engine.log_dict({name: value for name, value in columns.items() if isfinite(value)}, batch_size=1)
        if self.line:
            self.line.show(step, self.engine.progress(), self.engine.seconds, speed, shown)
        if self.path is None or step < 10 * LOG_EVERY or step % LOG_EVERY:
            return
        for name, warning in self.engine.recipe.objective.warnings(named, self.engine.grown()).items():
            self._warn(name, warning)
        if self.engine.grown() >= SETTLED and min(fade) == 1:
            self._warn_of_shortages([named.get(f"rate_{number}") for number in range(1, len(fade) + 1)])

    def _measure_the_best(self, step: int) -> None:
        """Measures the finished model that is trained further: it stays the best until another is better."""
        validation = self.engine.validation
        if validation is not None and validation.patience is not None and isinf(validation.best):
            grown = self.engine.recipe.objective.fade(self.engine.grown(), self.engine.model.code_sizes)
            validation.measure(validation.best_step or step, grown=min(grown) == 1)

    def _warn_of_shortages(self, nats: Sequence[float | None]) -> None:
        """Warns of each level that is dead, starved or too large."""
        for number, (rate, mean) in enumerate(zip(nats, self.engine.means, strict=False), start=1):
            level = {"level": number, "code_size": mean.shape[1], "kl_nats": rate, "active_units": count_active(mean)}
            if warning := shortage(level):
                self._warn(f"level {number}", warning)

    def _warn(self, name: str, warning: str) -> None:
        """Tells of what is wrong, once per call of `train`."""
        if name in self.warned:
            return
        self.warned.add(name)
        if self.line:
            self.line.print(warning)
        else:
            warnings.warn(warning, stacklevel=2)

    def _save(self, trainer: lightning.Trainer, step: int) -> None:
        for name, weights in self.engine.state_dict().items():
            if not weights.isfinite().all():
                name = name.removeprefix("model.")
                raise NotFiniteError(f"after step {step} {name} is not finite; try a lower learning rate")
        self.saved_at, self.saved_step = time.monotonic(), step
        if self.path is None:
            return
        if trainer.is_global_zero:
            with whole(self.path / CHECKPOINT) as file:
                trainer.save_checkpoint(file)
        else:
            trainer.save_checkpoint(self.path / CHECKPOINT)  # writes nothing, but the first device waits for it


def _of_all(trainer: lightning.Trainer, state: Sequence[int]) -> list[list[int]]:
    """The state of each process, that of the first first."""
    states = [list(state)] * trainer.world_size
    if trainer.world_size > 1:
        torch.distributed.all_gather_object(states, list(state))
    return states


def _any(trainer: lightning.Trainer, decision: bool) -> bool:
    if trainer.world_size == 1:
        return decision
    return trainer.strategy.reduce_boolean_decision(decision, all=False)


def _check_finite(step: int, terms: Mapping[str, float]) -> None:
    for name, value in terms.items():
        if not isfinite(value):
            raise NotFiniteError(
                f"at step {step} the {title_of(name)} is {value}; "
                "try a lower learning rate, or a likelihood with a fixed scale"
            )
