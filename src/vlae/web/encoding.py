"""The codes of the whole collection: computed once, in the background, and kept in the cache for the next start."""

import copy
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from vlae.data.cache import cache_folder, new_array, new_file
from vlae.data.source import DataError
from vlae.figures.contents import noise_at
from vlae.models.base import Codes, LatentModel
from vlae.models.inference import as_input, evaluating, given
from vlae.web.collection import Collection
from vlae.web.locked import locked_property
from vlae.web.studio import Studio

Phase = Literal["reading", "encoding", "comparing", "done"]
"""What is being done: the source is read, encoded, compared with what the model makes of it; or all is there."""

_BATCH = 64


class Encoding:
    """The noise of every datum at its posterior mean, and that of its reconstruction, level by level.

    Threads can share it: whoever asks first computes, and the others wait. The two tables are kept in the cache, by the
    weights of the run, the content of the data, and whose features are known.

    Args:
        studio: the model.
        collection: the data.
    """

    def __init__(self, studio: Studio, collection: Collection) -> None:
        self._studio = studio
        self._collection = collection
        self._phase: Phase = "reading"
        self._done = 0
        self.failed = ""  # why not all could be computed, in one line

    def progress(self) -> tuple[Phase, int]:
        """Return what is being done, and with how many data it has been done."""
        return self._phase, self._done

    def prepare(self) -> None:
        """Compute all that the page asks for later.

        Raises:
            ValueError: if the page is closed meanwhile.
        """
        _ = self.noise
        _ = self.change
        self._phase = "done"

    @locked_property
    def noise(self) -> tuple[np.ndarray, ...]:
        """The noise of every datum at its posterior mean: float32 (n, code size) per level."""
        num = len(self._collection)
        return self._split(self._kept("noise", "encoding", lambda start, stop: self._encode(start, stop), num))

    @locked_property
    def change(self) -> tuple[np.ndarray, ...]:
        """The noise of each datum's reconstruction, less its own: float32 (n, code size) per level.

        It is large where the model does not draw what it sees.
        """
        before = np.concatenate(self.noise, axis=1)
        redone = self._kept("redone", "comparing", lambda start, stop: self._redo(before[start:stop]), len(before))
        return self._split(redone - before)

    @cached_property
    def model(self) -> LatentModel:
        """A model of its own: the visitors' pictures do not wait for it."""
        return copy.deepcopy(self._studio.model)

    def _encode(self, start: int, stop: int) -> Codes:
        numbers, known = np.arange(start, stop), self._collection.with_features[start:stop]
        parts = [part for part in (numbers[known], numbers[~known]) if len(part)]  # one that is gone changes no other
        codes = []
        for part in parts:
            x = as_input(np.ascontiguousarray(self._collection.values(part)))
            codes.append(noise_at(self.model, x, **given(self._collection.features(part), 0, len(part))))
        order = torch.from_numpy(np.argsort(np.concatenate(parts)))
        return tuple(torch.cat(level).cpu()[order] for level in zip(*codes, strict=True))

    def _redo(self, noise: np.ndarray) -> Codes:
        model = self.model
        with evaluating(model):
            levels = tuple(torch.from_numpy(level).to(model.device) for level in self._split(noise))
            return noise_at(model, model.decode(model.place(levels)))

    def _split(self, table: np.ndarray) -> tuple[np.ndarray, ...]:
        ends = np.cumsum(self._studio.model.code_sizes)[:-1]
        return tuple(np.ascontiguousarray(level) for level in np.split(table, ends, axis=1))

    def _kept(self, name: str, phase: Phase, compute: Callable[[int, int], Codes], num: int) -> np.ndarray:
        """Return a table of all levels side by side, float32 (n, sum of sizes); from the cache if it is there."""
        size = sum(self._studio.model.code_sizes)
        file = self._file(name)
        with suppress(OSError, ValueError, EOFError):
            table: np.ndarray = np.load(file, allow_pickle=False, mmap_mode="r")
            if table.shape == (num, size) and table.dtype == np.float32:
                return table
        self._phase, self._done = phase, 0
        table = np.empty((num, size), np.float32)
        for start in range(0, num, _BATCH):
            self._studio.check_open()
            stop = min(start + _BATCH, num)
            table[start:stop] = torch.cat(compute(start, stop), dim=1).cpu().numpy()
            self._done = stop
        with suppress(DataError, OSError), new_file(file) as unfinished:  # a full or read-only disk: computed next time
            kept = new_array(unfinished, table.shape, table.dtype)
            kept[:] = table
        return table

    def _file(self, name: str) -> Path:
        words = blake2b(f"{self._studio.run.identity} {name} ".encode(), digest_size=16)
        words.update(np.ascontiguousarray(self._collection.hashes).tobytes())
        if "features" in self._studio.run.data:
            words.update(self._collection.with_features.tobytes())
        return cache_folder() / "codes" / f"{words.hexdigest()}.npy"
