"""What is asked of a source, `Settings`, and what a reader finds there, `Found`, with its parts and labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LABEL_NAMES = ("label", "labels", "target", "targets", "class", "y")
"""What a column or array of labels is called, in either case; the first that is there."""

TRAIN, TEST, OTHER = 0, 1, 2
"""The values of `Found.parts`."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "t10k": "test",
} | dict.fromkeys(("val", "valid", "validation", "dev"), "validation")
"""What the parts of a source are called by those who publish it, and what they are."""


class DataError(ValueError):
    """A source cannot be used; one line says what was given, what was expected and what to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a source becomes images; the arguments of `vlae.data.load` that a cached copy depends on."""

    size: int | None = None
    crop: int | None = None
    channels: int | None = None
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not 8 <= self.size <= 256:
            raise DataError(f"size is {self.size}: choose an image side of 8 to 256 pixels")
        if self.crop is not None and self.crop < 8:
            raise DataError(f"crop is {self.crop}: choose 8 pixels or more")
        if self.channels not in (None, 1, 2, 3, 4):
            raise DataError(
                f"channels is {self.channels}: choose 1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha)"
            )
        if self.layout not in (None, "NHW", "NHWC", "NCHW"):
            raise DataError(f"layout is {self.layout!r}: choose 'NHW', 'NHWC' or 'NCHW'")


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures still to be decoded: how many, and what opens one of them (a PIL.Image.Image to be closed after use)."""

    num: int
    open: Callable[[int], Any]


@dataclass(frozen=True, kw_only=True)
class Found:
    """All rows of a source, in its own order."""

    values: Pictures | Array  # uint8 (N, C, H, W), float32 (N, D), or pictures still to be decoded
    labels: Array | None = None  # int64 (N,)
    label_names: tuple[str, ...] = ()
    factors: Mapping[str, Array] = field(default_factory=dict)  # each (N,)
    names: tuple[str, ...] | None = None
    parts: Array | None = None  # int8 (N,), TRAIN, TEST or OTHER; None if the source has no test part of its own
    skipped: tuple[tuple[str, str], ...] = ()
    crop: int | None = None  # the crop and the size that the field uses for this source
    size: int | None = None

    def __len__(self) -> int:
        return self.values.num if isinstance(self.values, Pictures) else len(self.values)


# Parts and labels ----------------------------------------------------------------------------------------------------


def parts_by_name(names: Sequence[str]) -> Array | None:
    """Tell train from test rows by the name of the part each is in; None unless there are both.

    A validation part is the test part of a source that has no other, and else belongs to neither.

    Examples:
        >>> parts_by_name(["train", "val", "train"]).tolist()
        [0, 1, 0]
    """
    kinds = {name: SPLIT_NAMES.get(name.lower()) for name in set(names)}
    test = "test" if "test" in kinds.values() else "validation"
    if not {"train", test} <= set(kinds.values()):
        return None
    codes = {name: {"train": TRAIN, test: TEST}.get(kind or "", OTHER) for name, kind in kinds.items()}
    return np.array([codes[name] for name in names], np.int8)


def train_and_test(num_train: int, num_test: int) -> Array:
    """Return the parts of rows to train with, followed by rows to test with."""
    return np.repeat(np.array([TRAIN, TEST], np.int8), [num_train, num_test])


def as_classes(values: npt.ArrayLike) -> tuple[Array, tuple[str, ...]]:
    """Turn class names, or whole numbers, into int64 labels and the names of the classes."""
    array = np.asarray(values).reshape(-1)
    if array.dtype.kind in "iub":
        return array.astype(np.int64), ()
    names, labels = np.unique(array.astype(str), return_inverse=True)
    return labels.astype(np.int64), tuple(names.tolist())


def first_present(wanted: Sequence[str], present: Sequence[str]) -> str | None:
    """Return the first of the wanted names that is present, in either case."""
    lower = {name.lower(): name for name in reversed(present)}
    return next((lower[name] for name in wanted if name in lower), None)
