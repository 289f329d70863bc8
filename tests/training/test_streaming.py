"""Training on a stream: every datum once an epoch, exact resume from little, nothing held out is trained on."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from interrupting import stop_at_step
from shard_files import picture, write_tar, write_tars
from shard_files import png as encoded

from vlae import runs, workflows
from vlae.data import DataError, open_stream, tar_shards
from vlae.data.content import content_hashes
from vlae.data.sampling import part_of_sample, sample_of
from vlae.recipes import Training
from vlae.runs import RunError
from vlae.training import streaming
from vlae.training.streaming import StreamBatches
from vlae.training.train import Stopped
from vlae.workflows import train


@pytest.fixture(autouse=True)
def _no_page(tmp_path, monkeypatch):
    monkeypatch.setattr(workflows.page, "write", lambda run: None)
    monkeypatch.setenv("VLAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tar_shards, "ROWS", 7)


@pytest.fixture
def tars(tmp_path):
    return write_tars(tmp_path / "tars", shards=5, rows=20)


class StubTrainer:
    def __init__(self, step=0, rank=0, world=1):
        self.global_step, self.global_rank, self.world_size = step, rank, world


def batches_of(source, *, buffer=32, left_out=(), batch_size=4, state=None, known=None, **stub):
    stream = open_stream(source)
    sample = sample_of(stream)
    settings = Training(batch_size=batch_size)
    left_out = np.array(left_out, np.int64)
    batches = StreamBatches(
        stream.like(sample), settings, StubTrainer(**stub), buffer=buffer, left_out=left_out, sample=sample, known=known
    )
    if state is not None:
        batches.restore(state, stub.get("rank", 0))
    return batches


def first(batches, num):
    taken = [batch.x.numpy() for _, batch in zip(range(num), batches, strict=False)]
    batches.close()
    return taken


def numbers(batches):
    """The number of each picture."""
    number_of = {content: number for number, content in enumerate(content_hashes(ALL))}
    return [number_of[content] for values in batches for content in content_hashes(values)]


ALL = np.stack([picture(number) for number in range(100)]).transpose(0, 3, 1, 2)


# Batches


def test_an_epoch_shows_each_datum_once_and_epochs_differ(tars):
    seen = numbers(first(batches_of(tars, buffer=40), 50))
    assert sorted(seen[:100]) == sorted(seen[100:]) == list(range(100))
    assert seen[:100] != seen[100:] and seen[:100] != list(range(100))
    assert [{number // 20 for number in seen[at : at + 20]} for at in (0, 100)] != [{0}, {0}]


def test_the_order_depends_on_the_seed_alone(tars):
    assert np.array_equal(first(batches_of(tars), 30), first(batches_of(tars), 30))


@pytest.mark.parametrize("step", [1, 3, 4, 11, 24, 29, 40])
def test_batches_after_a_resume_are_those_of_an_undisturbed_training(tars, step):
    undisturbed = first(batches_of(tars), 60)
    stopped = batches_of(tars)
    first(stopped, step + 1)  # one more is asked for before a step is done
    resumed = first(batches_of(tars, state=[stopped.state(step)], step=step), 60 - step)
    assert np.array_equal(resumed, undisturbed[step:])


def test_a_resume_reads_again_no_more_than_half_a_buffer(tars, monkeypatch):
    stopped = batches_of(tars)
    first(stopped, 22)
    state = stopped.state(21)
    read, original = [], streaming.content_hashes

    def noted(values):
        read.append(len(values))
        return original(values)

    monkeypatch.setattr(streaming, "content_hashes", noted)
    resumed = batches_of(tars, state=[state], step=21)
    iterator = iter(resumed)
    next(iterator)
    resumed.close()
    assert 0 < sum(read) <= 2 * (16 + 7)  # the half of the batch, and the next one, which a thread has begun
    assert state[0] <= 21 < state[0] + 4


def test_processes_share_an_epoch_and_resume_alone(tars):
    every = [numbers(first(batches_of(tars, rank=rank, world=2, buffer=8), 15)) for rank in (0, 1)]
    once = every[0][:40] + every[1][:40]
    assert len(set(once)) == 80
    stopped = [batches_of(tars, rank=rank, world=2) for rank in (0, 1)]
    undisturbed = [first(batches, 20) for batches in stopped]
    states = [batches.state(13) for batches in stopped]
    for rank in (0, 1):
        resumed = first(batches_of(tars, rank=rank, world=2, step=13, state=states), 7)
        assert np.array_equal(resumed, undisturbed[rank][13:])
    with pytest.raises(DataError, match="was streamed to 2 processes, and now to 1; go on with as many"):
        batches_of(tars, state=states)
    with pytest.raises(DataError, match="5 shards for 6 processes"):
        batches_of(tars, world=6)


def test_what_is_left_out_is_in_no_batch_nor_is_a_copy(tmp_path):
    write_tars(tmp_path, shards=2, rows=10)
    write_tar(tmp_path / "copies.tar", [(f"{i}.png", encoded(picture(3))) for i in range(5)])
    seen = numbers(first(batches_of(tmp_path, left_out=content_hashes(ALL[[3, 12]])), 40))
    assert set(seen) == set(range(20)) - {3, 12}
    with pytest.raises(DataError, match="none of its data can be trained on"):
        first(batches_of(tmp_path, left_out=content_hashes(ALL)), 1)


def test_what_cannot_be_read_is_left_out_and_listed_once(tmp_path, capsys):
    write_tar(tmp_path / "a.tar", [(f"{i}.png", encoded(picture(i)) if i % 3 else b"broken") for i in range(9)])
    batches = batches_of(tmp_path / "a.tar", batch_size=2)
    assert set(numbers(first(batches, 20))) == {1, 2, 4, 5, 7, 8}
    batches.say_skipped()
    told = capsys.readouterr().err
    assert told.count("not a picture that Pillow can read") == 3 and "skipped 3 of" in told


def test_a_damaged_shard_ends_the_training_with_a_line(tars):
    batches = batches_of(tars)
    shard = tars / "train-003.tar"
    shard.write_bytes(shard.read_bytes()[:10_240])
    with pytest.raises(DataError, match=r"train-003\.tar: changed while"):
        first(batches, 50)


def test_memory_is_bounded_by_the_buffer(tars, monkeypatch):
    made, original = [], np.empty

    def noted(shape, *kind, **named):
        made.append(shape)
        return original(shape, *kind, **named)

    batches = batches_of(tars, buffer=40)
    monkeypatch.setattr(streaming.np, "empty", noted)
    first(batches, 20)
    blocks = [shape for shape in made if isinstance(shape, tuple) and shape[1:] == (3, 8, 8) and shape[0] == 20]
    assert len(blocks) >= 4 and batches.num_bytes == 40 * 3 * 8 * 8


def test_the_default_buffer_fits_memory(tars, monkeypatch):
    sample = sample_of(open_stream(tars))
    monkeypatch.setattr(streaming.memory, "available", lambda: 192 * 1_000 * 4)
    assert streaming.default_buffer(sample) == 1_000
    with pytest.raises(ValueError, match=r"the buffer of 96 needs 18.4 kB of memory, .*; give a smaller buffer"):
        monkeypatch.setattr(streaming.memory, "available", lambda: 10_000)
        batches_of(tars, buffer=100)
    monkeypatch.setattr(streaming.memory, "available", lambda: None)
    assert streaming.default_buffer(sample) == streaming.BUFFER


# Trainings


def quick(source, out, **settings):
    return train(
        source,
        out=out,
        **{"steps": 12, "batch_size": 4, "code_sizes": (1, 2), "progress": False, "buffer": 24, **settings},
    )


def assert_same(run, other):
    ones, others = run.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(ones[name], weights) for name, weights in others.items())


def test_a_training_on_a_stream_is_a_run_like_others(tars, tmp_path):
    run = quick(str(tars), tmp_path / "run", validation=0.2)
    assert run.data["stream"] == 24 and run.data["source"] == str(tars)
    held_out, trained = run.part("test"), run.part("train")
    assert len(held_out) == 16 and len(trained) == 84
    stream = open_stream(tars)
    assert np.array_equal(held_out.values, part_of_sample(stream, "test").values)
    loaded = runs.load(tmp_path / "run")
    assert loaded.summary == run.summary and loaded.part("all").label_names == ("cat", "dog", "owl")
    assert workflows.evaluate(loaded)["levels"]


def test_held_out_and_validation_data_are_not_trained_on(tars, tmp_path, monkeypatch):
    seen, original = set(), streaming.varied

    def noted(values, *settings):
        seen.update(content_hashes(values).tolist())
        return original(values, *settings)

    monkeypatch.setattr(streaming, "varied", noted)
    run = quick(str(tars), tmp_path / "run", steps=60, validation=0.2)
    assert len(seen) == 100 - 16 - run.summary["validation"]["num_images"]
    assert seen.isdisjoint(content_hashes(run.part("test").values).tolist())


def test_after_ctrl_c_the_run_goes_on_to_the_very_same_weights(tars, tmp_path, monkeypatch):
    undisturbed = quick(str(tars), tmp_path / "undisturbed")
    with monkeypatch.context() as patch:
        stop_at_step(patch, 7)
        with pytest.raises(Stopped):
            quick(str(tars), tmp_path / "run")
    assert_same(quick(str(tars), tmp_path / "run", resume=True, buffer=None), undisturbed)
    more = quick(tmp_path / "run", None, more=4, steps=None, batch_size=None, code_sizes=None, buffer=None)
    assert more.summary["training"]["steps"] == 16


@pytest.mark.slow
def test_after_a_kill_the_run_goes_on_to_the_very_same_weights(tars, tmp_path):
    undisturbed = quick(str(tars), tmp_path / "undisturbed")
    code = f"""
import os, signal
from vlae.data import tar_shards
from vlae.training import loop
from vlae.workflows import train
tar_shards.ROWS, loop.CHECKPOINT_EVERY, loop.LOG_EVERY = 7, 0, 3
original = loop.Recorder.on_train_batch_end
def kill(self, trainer, *args):
    original(self, trainer, *args)
    if trainer.global_step == 8:
        os.kill(os.getpid(), signal.SIGKILL)
loop.Recorder.on_train_batch_end = kill
train({str(tars)!r}, out={str(tmp_path / "run")!r}, steps=12, batch_size=4, code_sizes=(1, 2), buffer=24)
"""
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert runs.load(tmp_path / "run").undertrained.state == "after 6 of 12 steps"
    assert_same(quick(str(tars), tmp_path / "run", resume=True, buffer=None), undisturbed)


def test_a_resume_refuses_shards_that_have_changed(tars, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at_step(patch, 7)
        with pytest.raises(Stopped):
            quick(str(tars), tmp_path / "run")
    before = (tmp_path / "run" / "checkpoint.ckpt").read_bytes()
    os.utime(tars / "train-004.tar", (0, 0))
    with pytest.raises(RunError, match=r"have changed since the run in .* was begun"):
        quick(str(tars), tmp_path / "run", resume=True, buffer=None)
    with pytest.raises(RunError, match=r"begun with other settings .stream. and keeps them"):
        quick(str(tars), tmp_path / "run", resume=True, buffer=30)
    assert (tmp_path / "run" / "checkpoint.ckpt").read_bytes() == before


def test_labels_of_a_stream_are_learned(tars, tmp_path):
    run = quick(str(tars), tmp_path / "run", labels="all")
    assert run.recipe.classes.names == ("cat", "dog", "owl")
    few = quick(str(tars), tmp_path / "few", labels=6)
    assert few.recipe.classes.names == ("cat", "dog", "owl")


def test_labels_in_batches_are_those_of_the_pictures(tars):
    from vlae.data.labels import known_labels

    sample = sample_of(open_stream(tars))
    batches = batches_of(tars, known=known_labels(sample, "all"))
    for _, batch in zip(range(10), batches, strict=False):
        assert [number % 3 for number in numbers([batch.x.numpy()])] == batch.labels.tolist()
    batches = batches_of(tars, known=known_labels(sample, 6))
    assert set(next(iter(batches)).labels.tolist()) == {-1}


def test_data_sets_of_torch_are_trained_on(tmp_path):
    class Pictures(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter([torch.from_numpy(image) for image in ALL])

    run = quick(Pictures(), tmp_path / "run")
    assert run.data["source"] == "an array" and run.data["stream"] == 24
    again = quick(ALL, tmp_path / "again", stream=True)
    assert again.recipe.shape == (3, 8, 8)


def test_what_needs_the_whole_source_is_refused(tars, tmp_path):
    with pytest.raises(ValueError, match="buffer is 1; give 2 or more"):
        quick(str(tars), tmp_path / "run", buffer=1)
    with pytest.raises(ValueError, match="limit needs a source that is read as a whole"):
        quick(str(tars), tmp_path / "run", limit=3)
    assert not (tmp_path / "run" / "recipe.json").exists()
    whole = quick(ALL, tmp_path / "whole", buffer=None)
    assert "stream" not in whole.data
    with pytest.raises(RunError, match="was begun without stream"):
        quick(ALL, tmp_path / "whole", stream=True, buffer=None, more=3, steps=None)


def test_what_will_be_read_and_kept_is_said_before(tars, tmp_path, capsys):
    quick(str(tars), tmp_path / "run", progress=True)
    told = capsys.readouterr().err
    assert "found     5 shards of 100 pictures" in told and "read one after the other" in told
    assert "buffer    24 pictures, 4.6 kB of memory" in told
    assert "sample    100 pictures, 19.2 kB in the cache" in told
    assert "classes   3: cat 34, dog 33, owl 33" in told
    assert told.index("buffer ") < told.index("steps ")
