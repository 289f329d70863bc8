"""All pictures of a source, by number: their names, labels and parts, and each as large as it is.

Of the run's own source the run's examples come first, so that a number means the same while the source is still being
read, or when it is gone. The others follow in the order of the source.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from vlae.data.content import content_hashes, digest
from vlae.data.files import as_stored
from vlae.data.images import Images
from vlae.data.originals import Originals, find_originals, shrink
from vlae.data.picture_files import original_file
from vlae.data.source import DataError, ReadSettings
from vlae.evaluation.statistics import statistics
from vlae.names import printable
from vlae.runs.run import Run
from vlae.web.locked import locked_property

PARTS = ("", "training", "held out")
"""What is known of a datum's part in the training: "" if nothing is, or if it had none."""

MAX_MEASURED = 20_000
"""Collections with more pictures are not measured in brightness and the like: it would take minutes."""

_BATCH = 1_000


class PictureError(ValueError):
    """A full-size picture cannot be shown. The message says why."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """What the collection consists of.

    `images` are in the order of the source. `order` has the row of each number there, -1 for an example that is no
    longer in the source. `hashes` are those of the values, by number. `trained` has those of the training data; it is
    empty if they are not known.
    """

    images: Images
    order: np.ndarray
    hashes: np.ndarray
    trained: np.ndarray
    note: str


class Collection:
    """All data of a source, the held-out ones marked. Threads can share it; the source is read when needed.

    Attributes:
        run: the run.
        source: the path or name of the source.
        is_own: whether it is the one that the run was trained on.

    Args:
        run: a finished run.
        source: a path or name that `vlae.data.load` reads. None: the one that the run was trained on.
    """

    def __init__(self, run: Run, source: str | None = None) -> None:
        self.run = run
        self.is_own = source is None
        self.source = str(run.data["source"]) if source is None else source
        self._examples = run.examples if self.is_own else run.examples[:0]

    def __len__(self) -> int:
        return len(self._rows.order)

    @property
    def note(self) -> str:
        """What the visitor must know of the source: that it is gone, or has changed; "" if all is well."""
        return self._rows.note

    @property
    def hashes(self) -> np.ndarray:
        """The hash of each datum's content, int64 (n,)."""
        return self._rows.hashes

    @cached_property
    def version(self) -> str:
        """A hash of all that a picture depends on: the run, the source, and in order the contents and the names."""
        words = blake2b(np.ascontiguousarray(self.hashes).tobytes(), digest_size=8)
        words.update(json.dumps([self.run.identity, self.source, self.names]).encode())
        return words.hexdigest()

    @locked_property
    def _rows(self) -> _Rows:
        examples, source = self._examples, printable(self.source)
        hashes = content_hashes(examples)
        none = np.zeros(0, np.int64)
        try:
            images = self._images()
            found = content_hashes(images.values)
            rows = _matched(hashes, found)
            gone = int((rows < 0).sum())
            if gone == len(examples) > 0:
                raise DataError("it has none of the run's held-out examples")
            trained = self._trained() if self.is_own else none
        except (ValueError, OSError) as error:
            if not self.is_own:
                raise
            kept = f"The {len(examples)} held-out examples that are kept with the run are shown"
            if not len(examples):
                kept = "No examples are kept with the run"
            why = " ".join(str(error).split())
            note = f"{source} is not shown: {why}. {kept}. To see data, name them: vlae explore RUN DATA"
            images, order = Images(values=examples[:0], source=source), np.full(len(examples), -1)
            return _Rows(images=images, order=order, hashes=hashes, trained=none, note=note)
        others = np.setdiff1d(np.arange(len(images)), rows)
        changed = f"{source} has changed since the training: "
        note = f"{changed}{gone} of its held-out pictures are no longer in it." if gone else ""
        if trained is None:
            note = f"{note or changed}{' W' if note else 'w'}hich of its data the run was trained on is not known."
        return _Rows(
            images=images,
            order=np.concatenate([rows, others]),
            hashes=np.concatenate([hashes, found[others]]),
            trained=none if trained is None else trained,
            note=note,
        )

    def _images(self) -> Images:
        """All data of the source in the form that the model takes."""
        if not self.is_own:
            return self.run.read(self.source)
        if self.run.is_from_others:  # its source is their word: a path of this machine, or an address
            raise DataError("the run is not of this machine, so what it names is not opened unasked")
        return self.run.fitted(self.run.part("all"))

    def _trained(self) -> np.ndarray | None:
        """The hashes of the training data, int64 (n,); none if the run has no record, None if the data have changed."""
        content, held_out = self.run.data.get("content"), self.run.held_out_of(self.source)
        if content is None or held_out is None:  # a run of an earlier version
            return np.zeros(0, np.int64)
        trained = content_hashes(self.run.part("train").values)
        return trained if digest(trained, held_out) == content.split()[0] else None

    # What is known of each

    @cached_property
    def names(self) -> list[str]:
        """The name of each: its file relative to the source, or the row that it is."""
        rows = self._rows
        names = rows.images.names
        return [
            f"example {number}" if row < 0 else names[row] if names is not None else f"row {row}"
            for number, row in enumerate(rows.order.tolist())
        ]

    @cached_property
    def labels(self) -> tuple[list[str], np.ndarray]:
        """The names of the classes that occur, and the class of each datum: its place in them, int32 (n,), or -1."""
        images, order = self._rows.images, self._rows.order
        if images.labels is None or not len(images):
            return [], np.full(len(order), -1, np.int32)
        numbers, places = np.unique(np.asarray(images.labels, np.int64), return_inverse=True)
        known = np.flatnonzero(numbers >= 0)
        of_place = np.full(len(numbers), -1, np.int32)
        of_place[known] = np.arange(len(known))
        classes = np.where(order < 0, -1, of_place[places[np.maximum(order, 0)]]).astype(np.int32)
        return [images.class_name(int(numbers[place])) for place in known], classes

    @cached_property
    def parts(self) -> np.ndarray:
        """The part of each datum in the training, by its place in `PARTS`: uint8 (n,)."""
        held_out = self.run.held_out_of(self.source)
        marked = np.zeros(len(self), bool) if held_out is None else np.isin(self.hashes, held_out)
        marked[: len(self._examples)] = True
        return np.where(marked, 2, np.isin(self.hashes, self._rows.trained)).astype(np.uint8)

    def part_of(self, number: int) -> str:
        """Return the part of a datum in the training, one of `PARTS`.

        Args:
            number: the number of the datum, from 0.
        """
        return PARTS[self.parts[number]]

    def properties(self) -> dict[str, np.ndarray]:
        """Return the known numbers of the data by their names, float64 (n,) each, NaN where one is missing."""
        return {
            name.replace("_", " "): np.asarray(values, np.float64)
            for name, values in self._numbers.items()
            if values.dtype.kind in "iufb" and len(np.unique(values[np.isfinite(values)])) > 1
        }

    @locked_property
    def _numbers(self) -> dict[str, np.ndarray]:
        """The factors of the source, and the statistics of its pictures."""
        images, order = self._rows.images, self._rows.order
        numbers: dict[str, np.ndarray] = {}
        for name, factor in images.factors.items():
            values = np.asarray(factor)
            if values.ndim == 1 and values.dtype.kind in "iufb" and len(values):
                numbers[name] = np.where(order < 0, np.nan, values[np.maximum(order, 0)].astype(np.float64))
        if len(self.run.recipe.shape) == 3 and len(self) <= MAX_MEASURED:
            starts = range(0, len(self), _BATCH)
            opacity = self.run.model.opacity
            pieces = (self.values(np.arange(i, min(i + _BATCH, len(self)))) for i in starts)
            parts = [statistics(piece, opacity=opacity) for piece in pieces]
            numbers |= {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}
        return numbers

    # The data themselves

    def check(self, number: int) -> None:
        """Check that there is a datum of a number.

        Raises:
            ValueError: if there is none.
        """
        if 0 <= number < len(self._examples):
            return
        if not len(self):
            raise ValueError("there are no pictures here; give data: vlae explore RUN DATA")
        if not 0 <= number < len(self):
            raise ValueError(f"there is no picture {number}; there are 0 to {len(self) - 1}")

    def values(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return some of the data as the model takes them: uint8 or float32 (n, *shape).

        Args:
            numbers: the numbers of the data, from 0. The run's examples come first, and need no reading.
        """
        numbers, examples = np.asarray(numbers, np.int64), self._examples
        if (numbers < len(examples)).all():
            return np.asarray(examples[numbers])
        order, images = self._rows.order, self._rows.images
        values = np.empty((len(numbers), *images.shape), images.values.dtype)
        kept = numbers < len(examples)
        values[kept] = examples[numbers[kept]]
        values[~kept] = images.values[order[numbers[~kept]]]
        return values

    @cached_property
    def with_features(self) -> np.ndarray:
        """Whether the features of each full-size picture are known, bool (n,)."""
        known = self.run.network is not None and self.run.features_of(self._rows.images) is not None
        return (self._rows.order >= 0) & known

    def features(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray | None:
        """Return the features of full-size pictures, (n, F); None if those of any are not known.

        Args:
            numbers: the numbers of the data, from 0.
        """
        numbers = np.asarray(numbers, np.int64)
        features = self._rows.images.features if self.with_features[numbers].all() else None
        return None if features is None else features[self._rows.order[numbers]]

    def original(self, number: int, side: int) -> np.ndarray | None:
        """Return a picture as large as it is, up to a size: uint8 (height, width, 3).

        Args:
            number: the number of the picture, from 0.
            side: the most pixels of its longer side.

        Returns:
            None if the source has no larger picture than the one that the model takes.

        Raises:
            PictureError: if the picture cannot be read any more.
        """
        row, name = int(self._rows.order[number]), self.names[number]
        if self._originals is None:
            return None
        path = self._file(number)
        try:
            if row < 0 or (path is not None and path.exists() and not path.is_file()):
                raise FileNotFoundError
            with self._originals.open(row) as image:
                return shrink(image, side, self._originals.value_range)
        except FileNotFoundError as error:
            raise PictureError(f"{name} is no longer there. This is what the model has seen of it.") from error
        except Exception as error:  # a broken or hostile file makes Pillow raise almost anything
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise PictureError(f"{name} can no longer be read: {reason}") from error

    def _file(self, number: int) -> Path | None:
        """The file of a picture, if the source is a folder; its name may be written otherwise on the disk."""
        folder = Path(self.source).expanduser()
        if not folder.is_dir():
            return None
        name = self.names[number]
        return original_file(folder, name) or as_stored(folder / re.sub(r"#\d+$", "", name))

    @locked_property
    def _originals(self) -> Originals | None:
        images = self._rows.images
        if images.is_vectors or images.fitted is None:  # the pictures had this size, or there are none
            return None
        recorded: dict[str, Any] = self.run.data if self.is_own else self.run.reading(self.source)
        known: dict[str, Any] = {field.name: recorded.get(field.name) for field in fields(ReadSettings)}
        settings = ReadSettings(**known | {"value_range": self.run.value_range})
        try:
            return find_originals(images, self.source, settings)
        except (ValueError, OSError):  # changed in this very moment, or gone
            return None


def _matched(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the row of each wanted hash among those that are found, each row once; -1 if there is none."""
    places: dict[int, list[int]] = {}
    wanted_set = set(wanted.tolist())
    for row in np.flatnonzero(np.isin(found, list(wanted_set))).tolist():
        places.setdefault(int(found[row]), []).append(row)
    rows = [places[value].pop(0) if places.get(value) else -1 for value in wanted.tolist()]
    return np.array(rows, np.int64)
