"""Training on a stream: batches from a buffer that is filled shard by shard, and where a training goes on in it."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from threading import Event, Thread
from typing import Any, NamedTuple

import numpy as np
import torch

from vlae import memory
from vlae.data import DataError, Images, Stream, load, open_stream
from vlae.data.content import content_hashes
from vlae.data.images import say_skipped
from vlae.data.labels import Known, classes_of
from vlae.data.sampling import sample_of
from vlae.data.source import Source
from vlae.nn.pretrained import FeatureNetwork
from vlae.objectives.base import Batch
from vlae.recipes import Recipe, Settings
from vlae.recipes.recipe import Training
from vlae.training.batches import Position, labelled_rows, varied
from vlae.training.settle import OFTEN

BUFFER, SHARE = 16_384, 1 / 4
"""The data in a buffer unless more or fewer are asked for; and the most of the free memory that it then takes."""

MOST_SKIPPED = 1_000
"""The most data that could not be read which are remembered by name."""


def default_buffer(form: Images) -> int:
    """The data in a buffer if no number is asked for: 16,384, or fewer if these took a quarter of the free memory.

    Args:
        form: data of the stream's form.
    """
    free = memory.available()
    most = BUFFER if free is None else int(SHARE * free / form.values[0].nbytes)
    return max(2, min(BUFFER, most))


def read_stream(
    source: Source, reading: Mapping[str, Any], *, features: FeatureNetwork | None, progress: bool
) -> tuple[Stream, Images, Images]:
    """Open a stream, and read its sample.

    Args:
        source: a folder, file, pattern or address of shards, "hf:NAME", a data set of torch, or a `Stream`.
        reading: options for reading it, by name: size, fit, crop, channels, value_range, layout, key, id; limit is
            refused.
        features: a frozen network that was asked for; None: none was.
        progress: whether to show a progress bar.

    Returns:
        The stream, with the form of its sample; and of the sample what is trained on, and what is held out.

    Raises:
        DataError: if it cannot be read.
        ValueError: if something is asked for that needs the whole source.
    """
    if reading.get("limit") is not None or features is not None:
        what = "features" if features is not None else "limit"
        raise ValueError(f"{what} needs a source that is read as a whole; leave {what} out, or stream")
    stream = open_stream(source, **{name: value for name, value in reading.items() if name != "limit"})
    sample = sample_of(stream, progress=progress)
    images, held_out = (load(sample, split=split) for split in ("train", "test"))
    return stream.like(sample), images, held_out


def seldom_seen(recipe: Recipe, settings: Settings, stream: Stream) -> bool:
    """Whether variations are left to the data, and each datum of a stream is seen too seldom to need any.

    Args:
        recipe: before the settings change it.
        settings: those that were asked for.
        stream: what is trained on.
    """
    if (settings.get("augment") or recipe.training.augment) != "auto":
        return False
    num, steps = stream.num_rows[0], settings.get("steps") or recipe.training.steps
    return num > 0 and steps * (settings.get("batch_size") or recipe.training.batch_size) <= OFTEN * num


class Block(NamedTuple):
    """Half of a buffer: data that are shuffled and then trained on, while the other half is filled."""

    start: tuple[int, int, int]
    """Where it begins in the stream: the epoch, the turn of the shard in it, and the row of the shard."""
    values: np.ndarray
    """uint8 or float32 (n, *shape)."""
    labels: np.ndarray | None
    """The class of each datum, int64 (n,), -1 if it is unknown; None: there are no labels."""


class StreamBatches:
    """An endless stream of batches, read shard by shard.

    Each epoch has another random order of the shards, and each process takes its share of them. The rows of a shard
    fill one half of the buffer, in order; then this half is shuffled, and trained on while the other half is filled. So
    batch number t is always the same, and where its half begins is all that a training has to know to go on: it
    reads again what is in that half, and no more.

    Args:
        stream: a stream of settled form.
        training: the settings, with batch size and seed.
        position: the step of the training, and the number of this process.
        buffer: data in the buffer, 2 or more.
        left_out: hashes of data that are in no batch (`vlae.data.content.content_hashes`), int64 (n,).
        sample: of the stream; with `labelled` in the settings, so many of each batch come from those of it that have a
            label.
        known: the labels that a class level learns; None: there are none.

    Raises:
        DataError: if there are fewer shards than processes.
        NotEnoughMemoryError: if the buffer does not fit the memory.
    """

    def __init__(
        self,
        stream: Stream,
        training: Training,
        position: Position,
        *,
        buffer: int,
        left_out: np.ndarray,
        sample: Images,
        known: Known | None = None,
    ):
        self.stream, self.training, self.position = stream, training, position
        self.left_out, self.sample, self.known = np.unique(left_out), sample, known
        self.skipped: dict[tuple[str, str], None] = {}
        self.starts: dict[int, tuple[int, int, int]] = {}  # of the last blocks, by the number of their first step
        self.begun: tuple[int, tuple[int, int, int]] | None = None  # the step and start of the block to go on with
        self._closed = Event()
        world = position.world_size
        if len(stream.shards) < world:
            raise DataError(
                f"{stream.source}: {len(stream.shards)} shards for {world} processes; write it in at least as many, or "
                "use fewer devices"
            )
        self.labelled = np.zeros(0, np.int64)
        if known is not None and training.labelled:
            self.labelled = np.flatnonzero((known.labels >= 0) & ~np.isin(content_hashes(sample.values), left_out))
        self.size = training.batch_size - (training.labelled if len(self.labelled) else 0)
        block = max(self.size, buffer // 2)
        if stream.num_rows[0]:
            block = min(block, max(self.size, stream.num_rows[0] // world))
        self.num = block // self.size * self.size
        memory.require(self.num_bytes, f"the buffer of {2 * self.num:,}", "give a smaller buffer")

    @property
    def num_bytes(self) -> int:
        """Bytes of both halves of the buffer."""
        return 2 * self.num * self.sample.values[0].nbytes

    # What a checkpoint knows ---------------------------------------------------------------------------------------

    def state(self, step: int) -> list[int]:
        """Where the block begins from which a batch comes: its first step, epoch, turn and row; and data in a block.

        Args:
            step: the number of the batch.
        """
        first = max((at for at in self.starts if at <= step), default=None)
        return [0, 0, 0, 0, self.num] if first is None else [first, *self.starts[first], self.num]

    def restore(self, states: list[list[int]], rank: int) -> None:
        """Go on from a checkpoint.

        Args:
            states: what `state` returned in each process.
            rank: the number of this process.

        Raises:
            DataError: if it was written by another number of processes, which read other shards.
        """
        if len(states) != self.position.world_size:
            raise DataError(
                f"{self.stream.source} was streamed to {len(states)} processes, and now to {self.position.world_size};"
                " go on with as many devices as before"
            )
        first, epoch, turn, row, self.num = states[rank]
        self.begun = first, (epoch, turn, row)

    # Batches -------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Batch]:
        step = self.position.global_step  # known once a checkpoint is restored, which is before the first batch
        first, start = self.begun or (step, (step, 0, 0))  # a finished model goes on with another order
        rank, world, seed = self.position.global_rank, self.position.world_size, self.training.seed
        blocks = self._ahead(self._blocks(start))
        try:
            for block in blocks:
                self.starts = {at: self.starts[at] for at in sorted(self.starts)[-2:]} | {first: block.start}
                order = np.random.default_rng([seed, first, rank, 3]).permutation(self.num)
                for batch in range((step - first) * self.size, self.num, self.size):
                    rows = order[batch : batch + self.size]
                    values, labels = block.values[rows], None if block.labels is None else block.labels[rows]
                    if len(self.labelled) and self.known is not None and labels is not None:
                        turn = step * world + rank
                        more = labelled_rows(self.labelled, self.training.labelled, turn, seed)
                        values = np.concatenate([values, self.sample.values[more]])
                        labels = np.concatenate([labels, self.known.labels[more]])
                    yield Batch(
                        x=torch.from_numpy(varied(values, self.training, step, rank)),
                        labels=None if labels is None else torch.from_numpy(labels),
                    )
                    step += 1
                first = step
        finally:
            self.close()

    def close(self) -> None:
        """Stop reading."""
        self._closed.set()

    def say_skipped(self) -> None:
        """Print to the error output what could not be read, and how many numbers were outside of the range."""
        self.stream.say_clipped()
        if self.skipped:
            say_skipped(replace(self.sample, skipped=tuple(self.skipped), fates={}))

    def _ahead(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Each block, while a thread reads the next."""

        def begin() -> Future[Block]:
            future: Future[Block] = Future()

            def fill() -> None:
                try:
                    future.set_result(next(blocks))
                except BaseException as error:
                    future.set_exception(error)

            Thread(target=fill, daemon=True).start()
            return future

        future = begin()
        while True:
            block = future.result()
            future = begin()
            yield block

    def _blocks(self, start: tuple[int, int, int]) -> Iterator[Block]:
        """Fill one block after the other from the rows of the stream, from some place on."""
        values, labels, filled, begin = None, None, 0, start
        for epoch, turn, rows, new_values, new_labels in self._pieces(start):
            taken = 0
            while taken < len(rows):
                if values is None:
                    values = np.empty((self.num, *new_values.shape[1:]), new_values.dtype)
                    labels = None if new_labels is None else np.empty(self.num, np.int64)
                    filled, begin = 0, (epoch, turn, int(rows[taken]))
                num = min(len(rows) - taken, self.num - filled)
                values[filled : filled + num] = new_values[taken : taken + num]
                if labels is not None and new_labels is not None:
                    labels[filled : filled + num] = new_labels[taken : taken + num]
                taken, filled = taken + num, filled + num
                if filled == self.num:
                    block, values, labels = Block(begin, values, labels), None, None
                    yield block
                    del block

    def _pieces(
        self, start: tuple[int, int, int]
    ) -> Iterator[tuple[int, int, np.ndarray, np.ndarray, np.ndarray | None]]:
        """The data of this process in the order of the epochs, without end: their epoch, turn, rows, values, labels."""
        epoch, turn, row = start
        rank, world = self.position.global_rank, self.position.world_size
        while True:
            order = np.random.default_rng([self.training.seed, epoch]).permutation(len(self.stream.shards))
            of_rank = order[rank::world].tolist()
            num = 0
            for number in range(turn, len(of_rank)):
                for piece in self.stream.read(of_rank[number], row):
                    if self._closed.is_set():
                        return
                    if len(self.skipped) < MOST_SKIPPED:
                        self.skipped |= dict.fromkeys(piece.images.skipped)
                    used = ~np.isin(content_hashes(piece.images.values), self.left_out)
                    num += int(used.sum())
                    labels = self._labels(piece.images)
                    values = piece.images.values if used.all() else piece.images.values[used]
                    yield epoch, number, piece.rows[used], values, None if labels is None else labels[used]
                row = 0
            if num == 0 and turn == 0:
                raise DataError(f"{self.stream.source}: none of its data can be trained on; give others")
            epoch, turn = epoch + 1, 0

    def _labels(self, images: Images) -> np.ndarray | None:
        """The class of each datum, of those that are learned; only the sample has labels if but some are known."""
        if self.known is None:
            return None if self.sample.labels is None else images.labels
        unknown = np.full(len(images), -1, np.int64)
        if (self.known.labels < 0).any():
            return unknown
        classes = classes_of(images, self.known.names, self.known.values)
        return unknown if classes is None else classes
