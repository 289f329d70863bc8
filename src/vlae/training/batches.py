"""The batches of a training: batch number t is the same whenever it is asked for."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch

from vlae.objectives.base import Batch
from vlae.recipes.recipe import Training


class Position(Protocol):
    """How far a training is, and which of several processes this is."""

    @property
    def global_step(self) -> int:
        """The number of the next step."""

    @property
    def global_rank(self) -> int:
        """The number of this process, from 0."""

    @property
    def world_size(self) -> int:
        """How many processes train together."""


class Batches:
    """An endless stream of batches of stored values, with their labels and row numbers.

    Each epoch is a permutation of its own, of which every process takes its own part.

    Args:
        values: uint8 images or floats in [0, 1], (N, C, H, W), or float32 vectors (N, D).
        labels: int64 (N,), -1 where the class is not known; None where there are no labels.
        training: whose batch size and seed decide.
        position: where the training stands.
    """

    def __init__(self, values: np.ndarray, labels: np.ndarray | None, training: Training, position: Position):
        self.values, self.labels, self.training, self.position = values, labels, training, position

    def __iter__(self) -> Iterator[Batch]:
        world = self.position.world_size
        size = min(self.training.batch_size, max(2, len(self.values) // world))
        per_epoch = max(1, len(self.values) // (size * world))
        step = self.position.global_step  # known once a checkpoint is restored, which is before the first batch
        while True:
            epoch, first = divmod(step, per_epoch)
            order = np.random.default_rng([self.training.seed, epoch]).permutation(len(self.values))
            for batch in range(first, per_epoch):
                start = (batch * world + self.position.global_rank) * size
                # Rows in order of place are read faster from a file, and their order within a batch means nothing.
                rows = np.sort(order[start : start + size])
                yield Batch(
                    x=torch.from_numpy(self.values[rows]),
                    labels=None if self.labels is None else torch.from_numpy(np.asarray(self.labels[rows], np.int64)),
                    rows=torch.from_numpy(rows),
                )
                step += 1
