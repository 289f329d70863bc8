"""The stream of batches: the same whenever it begins, each datum once an epoch, labels beside their data."""

from itertools import pairwise

import numpy as np
import torch

from vlae.objectives import ELBO
from vlae.recipes import Training, adjust, lean
from vlae.training.batches import Batches, labelled_rows
from vlae.training.train import fit


class StubTrainer:
    def __init__(self, step=0, rank=0, world=1):
        self.global_step, self.global_rank, self.world_size = step, rank, world


def batches(num, *, labels=None, **stub):
    stream = Batches(np.arange(22), labels, Training(batch_size=4), StubTrainer(**stub))
    return [batch for _, batch in zip(range(num), stream, strict=False)]


def values(num, **stub):
    return [batch.x.tolist() for batch in batches(num, **stub)]


def test_a_batch_is_the_same_whenever_the_stream_begins():
    assert values(14)[5:] == values(9, step=5)


def test_an_epoch_shows_each_datum_once_and_epochs_differ():
    seen = values(10)
    for epoch in (seen[:5], seen[5:]):
        assert len({row for batch in epoch for row in batch}) == 20
    assert seen[:5] != seen[5:]


def test_devices_share_an_epoch():
    rows = [row for rank in (0, 1) for batch in values(2, rank=rank, world=2) for row in batch]
    assert len(rows) == len(set(rows)) == 16


def test_labels_and_row_numbers_go_with_their_data():
    labels = np.where(np.arange(22) % 3, -1, np.arange(22))
    for batch in batches(10, labels=labels):
        assert batch.rows.equal(batch.x)
        assert batch.labels.dtype == torch.int64 and batch.labels.equal(torch.from_numpy(labels)[batch.rows])
    assert batches(1)[0].labels is None


def test_each_step_has_draws_of_its_own(monkeypatch):
    seen = []

    def loss(self, model, batch, **settings):
        result = original(self, model, batch, **settings)
        q, code = result.forward.posteriors[0], result.forward.codes[0]
        seen.append(((code - q.mean) / q.stddev).detach())
        return result

    original = ELBO.loss
    monkeypatch.setattr(ELBO, "loss", loss)
    recipe = adjust(lean((5,), code_sizes=(2, 3), width=2), steps=4, batch_size=8)
    for _ in range(2):
        fit(np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32), recipe)
    assert all((one - other).abs().max() > 0.1 for one, other in pairwise(seen[:4]))
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(seen[:4], seen[4:], strict=True))


def test_pictures_are_varied_alike_before_and_after_a_resume():
    pictures = np.random.default_rng(0).integers(0, 256, (22, 1, 8, 8), np.uint8)

    def stream(augment, num, **stub):
        made = Batches(pictures, None, Training(batch_size=4, augment=augment), StubTrainer(**stub))
        return [batch.x for _, batch in zip(range(num), made, strict=False)]

    plain, varied = stream("none", 9), stream("mirror,shift", 9)
    assert all(torch.equal(a, b) for a, b in zip(varied[5:], stream("mirror,shift", 4, step=5), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(plain, varied, strict=True))
    mirrored = stream("mirror", 9)
    for before, after in zip(torch.cat(plain), torch.cat(mirrored), strict=True):
        assert torch.equal(before, after) or torch.equal(before.flip(-1), after)


def test_a_share_of_each_batch_has_labels_and_each_comes_as_often():
    labels = np.where(np.arange(22) < 5, np.arange(22) % 2, -1)

    def stream(step=0, rank=0, world=1):
        settings = Training(batch_size=6, labelled=2)
        return Batches(np.arange(22), labels, settings, StubTrainer(step, rank, world))

    taken = [batch for _, batch in zip(range(20), stream(), strict=False)]
    assert all((batch.labels >= 0).sum() >= 2 and len(batch.x) == 6 for batch in taken)
    again = [batch for _, batch in zip(range(8), stream(step=12), strict=False)]
    assert [batch.x.tolist() for batch in again] == [batch.x.tolist() for batch in taken[12:]]
    drawn = np.concatenate([labelled_rows(np.arange(5), 2, turn, 0) for turn in range(5)])
    assert np.bincount(drawn).tolist() == [2] * 5


def test_without_any_label_a_batch_is_as_ever():
    settings = Training(batch_size=6, labelled=2)
    for labels in (None, np.full(22, -1)):
        batch = next(iter(Batches(np.arange(22), labels, settings, StubTrainer())))
        assert len(batch.x) == 6
