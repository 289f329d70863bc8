"""The stream of batches and the learning rate; the loop is tested through training, in test_training.py."""

import numpy as np

from vlae import recipes
from vlae.training.loop import Batches, rise_and_fall


class StubTrainer:
    def __init__(self, step=0, rank=0, world=1):
        self.global_step, self.global_rank, self.world_size = step, rank, world


def batches(num, *, recipe=None, values=None, **stub):
    recipe = recipe or recipes.adjust(recipes.lean((1, 8, 8)), batch_size=4)
    values = np.arange(22) if values is None else values
    return [b.tolist() for _, b in zip(range(num), Batches(values, recipe, StubTrainer(**stub)), strict=False)]


def test_a_batch_is_the_same_whenever_the_stream_begins():
    assert batches(14)[5:] == batches(9, step=5)


def test_an_epoch_shows_each_datum_once_and_epochs_differ():
    seen = batches(10)
    for epoch in (seen[:5], seen[5:]):
        assert len({row for batch in epoch for row in batch}) == 20
    assert seen[:5] != seen[5:]


def test_devices_share_an_epoch():
    rows = [row for rank in (0, 1) for batch in batches(2, rank=rank, world=2) for row in batch]
    assert len(rows) == len(set(rows)) == 16


def test_the_learning_rate_rises_and_falls():
    assert rise_and_fall(0.5, "constant") == 1
    assert 0 < rise_and_fall(0, "cosine") < 0.02
    assert rise_and_fall(0.01, "cosine") > 0.99
    assert rise_and_fall(1, "cosine") < 1e-9
