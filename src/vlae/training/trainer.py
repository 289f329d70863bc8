"""The Lightning trainer of a recipe, on one device or several."""

import ctypes
import logging
import platform
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only

from vlae.recipes.recipe import Recipe


def is_leader() -> bool:
    """Whether this process is the one that writes files and prints."""
    return bool(getattr(rank_zero_only, "rank", 0) == 0)


def trainer_of(
    recipe: Recipe,
    recorder: Callback,
    *,
    accelerator: str,
    devices: int | str = 1,
    num_nodes: int = 1,
    callbacks: Callback | Sequence[Callback] = (),
    path: Path | None = None,
) -> lightning.Trainer:
    """The Lightning trainer of a recipe on some devices.

    Args:
        recipe: the settings of the training.
        recorder: what records curves and checkpoints.
        accelerator: the kind of device: "auto", "cpu", "gpu" or "mps".
        devices: the number of devices, or "auto".
        num_nodes: the number of machines.
        callbacks: one or several more, which are called after the recorder.
        path: the run's folder, where callbacks may write; None: that of the process.

    Raises:
        ValueError: if the devices are not there, or the recipe cannot be trained on several.
    """
    others = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())

    def made(strategy: DDPStrategy | str) -> lightning.Trainer:
        try:
            return lightning.Trainer(
                strategy=strategy,
                max_steps=recipe.training.steps,
                max_epochs=-1,
                precision="bf16-mixed" if recipe.training.precision == "bf16" else "32-true",
                accelerator=accelerator,
                devices=devices,
                num_nodes=num_nodes,
                callbacks=[recorder, *others],
                use_distributed_sampler=False,
                logger=False,
                profiler=Untimed(),
                enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in others),
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=path,
            )
        except (MisconfigurationException, ValueError, TypeError) as error:
            raise ValueError(
                f"accelerator {accelerator!r} with devices {devices!r} cannot be had here: {error}; "
                "leave both out to take what there is"
            ) from error

    with quiet():
        trainer = made("auto")
        if trainer.world_size > 1:
            trainer = made(Together())
    if recipe.training.minutes is not None and trainer.world_size > 1:
        raise ValueError("minutes cannot be kept by several devices at once; give steps")
    return trainer


def is_gpu(trainer: lightning.Trainer) -> bool:
    """Whether it trains on a GPU of NVIDIA, which takes data from pinned memory.

    Args:
        trainer: of the training.
    """
    return bool(trainer.strategy.root_device.type == "cuda")


def check_devices(trainer: lightning.Trainer, num: int) -> None:
    """Checks that there are enough data for every device.

    Args:
        trainer: of the training.
        num: the number of data to train on.

    Raises:
        ValueError: if there are not.
    """
    if trainer.world_size > 1 and num < 2 * trainer.world_size:
        raise ValueError(f"{num} data are too few for {trainer.world_size} devices; give two or more for each")


class Untimed(PassThroughProfiler):
    """Times no hook of Lightning; it is asked two dozen times a step."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> Any:
        """A block that does nothing.

        Args:
            action_name: not used.
        """
        return self._nothing


class Together(DDPStrategy):
    """Trains a model on several devices, whose processes `vlae.training.companions` starts, or torchrun, or SLURM."""

    def _configure_launcher(self) -> None:
        """Leaves it to others to start processes."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silences the messages and warnings of Lightning, and two of PyTorch of which nobody can make use."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel")
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view")  # of sides of 1 pixel
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def reuse_memory() -> None:
    """Makes glibc keep the memory that a step frees, instead of returning it to the system."""
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_threshold = -1, -3
        libc.mallopt(m_mmap_threshold, 2**30)
        libc.mallopt(m_trim_threshold, 2**31 - 1)
