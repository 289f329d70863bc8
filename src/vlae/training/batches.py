"""The batches of a training; batch number t is always the same, before and after a resume."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch

from vlae.data.variations import vary
from vlae.models.inference import given
from vlae.objectives.base import Batch
from vlae.recipes.recipe import Training


class Position(Protocol):
    """The step of a training, and the number of this process."""

    @property
    def global_step(self) -> int:
        """The number of the next step."""

    @property
    def global_rank(self) -> int:
        """The number of this process, from 0."""

    @property
    def world_size(self) -> int:
        """The number of processes that train together."""


class Batches:
    """An endless stream of batches of stored values, with their labels, row numbers and features.

    Each epoch has another random order, and each process takes a part of it. With `labelled` in the settings, so many
    of each batch come from the data whose label is known; these have random orders of their own.

    Args:
        values: uint8 images or floats in [0, 1], (N, C, H, W), or float32 vectors (N, D).
        labels: the class of each datum, int64 (N,), -1 if it is unknown; None: there are no labels.
        training: the settings, with batch size and seed.
        position: the step of the training, and the number of this process.
        features: of each full-size picture by a frozen network, (N, F); None: there are none.
        left_out: row numbers of data that are in no batch; None: all are used.
        pinned: whether batches are in pinned memory, from which a GPU takes them while the processor goes on.
    """

    def __init__(
        self,
        values: np.ndarray,
        labels: np.ndarray | None,
        training: Training,
        position: Position,
        *,
        features: np.ndarray | None = None,
        left_out: np.ndarray | None = None,
        pinned: bool = False,
    ):
        self.values, self.labels, self.training, self.position = values, labels, training, position
        self.features, self.pinned = features, pinned
        self.rows = np.setdiff1d(np.arange(len(values)), np.zeros(0, np.int64) if left_out is None else left_out)

    def __iter__(self) -> Iterator[Batch]:
        world = self.position.world_size
        known = np.zeros(0, np.int64)
        if self.training.labelled and self.labels is not None:
            known = self.rows[np.asarray(self.labels)[self.rows] >= 0]
        num_labelled = self.training.labelled if len(known) else 0
        size = min(self.training.batch_size - num_labelled, max(2, len(self.rows) // world))
        per_epoch = max(1, len(self.rows) // (size * world))
        step = self.position.global_step  # known once a checkpoint is restored, which is before the first batch
        while True:
            epoch, first = divmod(step, per_epoch)
            order = np.random.default_rng([self.training.seed, epoch]).permutation(self.rows)
            for batch in range(first, per_epoch):
                start = (batch * world + self.position.global_rank) * size
                # Sorted rows are read faster from a file; the order within a batch has no effect.
                rows = order[start : start + size]
                if num_labelled:
                    turn = step * world + self.position.global_rank
                    rows = np.concatenate([rows, labelled_rows(known, num_labelled, turn, self.training.seed)])
                rows = np.sort(rows)
                batch_of_step = Batch(
                    x=torch.from_numpy(varied(self.values[rows], self.training, step, self.position.global_rank)),
                    labels=None if self.labels is None else torch.from_numpy(np.asarray(self.labels[rows], np.int64)),
                    rows=torch.from_numpy(rows),
                    **given(None if self.features is None else self.features[rows]),
                )
                yield _pinned(batch_of_step) if self.pinned else batch_of_step
                step += 1


def labelled_rows(known: np.ndarray, num: int, turn: int, seed: int) -> np.ndarray:
    """The rows with a known label in a batch: each comes as often as any other, in another order each time.

    Args:
        known: the rows whose label is known.
        num: how many are in a batch.
        turn: the number of the batch, counted over all processes.
        seed: of the order.
    """
    places = np.arange(turn * num, (turn + 1) * num)
    epochs, offsets = np.divmod(places, len(known))
    orders = {epoch: np.random.default_rng([seed, epoch, 1]).permutation(known) for epoch in set(epochs)}
    return np.array([orders[epoch][offset] for epoch, offset in zip(epochs, offsets, strict=True)])


def varied(values: np.ndarray, training: Training, step: int, rank: int) -> np.ndarray:
    """The values of a batch, varied as the step says.

    Args:
        values: uint8 or float32, (n, C, H, W), or vectors (n, D).
        training: the settings, with augment and seed.
        step: the number of the step.
        rank: the number of this process.
    """
    if training.augment == "none":
        return values
    rng = np.random.default_rng([training.seed, step, rank])
    return np.ascontiguousarray(vary(values, training.augment, rng))


def _pinned(batch: Batch) -> Batch:
    """The batch in pinned memory."""
    return Batch._make(None if tensor is None else tensor.pin_memory() for tensor in batch)
