"""What a caller asks of a source (`ReadSettings`), and what a reader returns (`SourceData`)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vlae.shapes import MAX_CHANNELS, MAX_SIDE, MIN_SIDE

Array = npt.NDArray[Any]

LABEL_NAMES = ("label", "labels", "target", "targets", "class", "y")
"""The usual names of a column or array of labels, in upper or lower case. The first that is present is used."""

TRAIN, TEST, OTHER = 0, 1, 2
"""The values of `SourceData.parts`."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "t10k": "test",
} | dict.fromkeys(("val", "valid", "validation", "dev"), "validation")
"""The usual names of the parts of a source, and what each name means."""


class DataError(ValueError):
    """A source cannot be used. One line says what was given, what was expected and what to do."""


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """How a source becomes images: the settings that change the decoded values.

    Raises:
        DataError: if a setting is out of range.
    """

    size: int | None = None
    """Side of the square images, 8 to 256 pixels. None: the reader chooses."""
    crop: int | None = None
    """Side of the square that is cut from the middle before resizing, 8 pixels or more. None: no crop."""
    channels: int | None = None
    """1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha). None: the reader chooses."""
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None
    """The order of an array's dimensions. None: it is inferred from the shape."""
    key: str | None = None
    """The array of an .npz file, or the column of a table, that holds the images. None: the reader chooses."""

    def __post_init__(self) -> None:
        if self.size is not None and not MIN_SIDE <= self.size <= MAX_SIDE:
            raise DataError(f"size is {self.size}: choose an image side of {MIN_SIDE} to {MAX_SIDE} pixels")
        if self.crop is not None and self.crop < MIN_SIDE:
            raise DataError(f"crop is {self.crop}: choose {MIN_SIDE} pixels or more")
        if self.channels is not None and not 1 <= self.channels <= MAX_CHANNELS:
            raise DataError(
                f"channels is {self.channels}: choose 1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha)"
            )
        if self.layout not in (None, "NHW", "NHWC", "NCHW"):
            raise DataError(f"layout is {self.layout!r}: choose 'NHW', 'NHWC' or 'NCHW'")


@dataclass(frozen=True, kw_only=True)
class EncodedPictures:
    """Pictures that are not decoded yet."""

    num: int
    """How many there are."""
    open: Callable[[int], Any]
    """Opens the picture of one row: a PIL.Image.Image, which the caller closes."""


@dataclass(frozen=True, kw_only=True)
class SourceData:
    """All rows of a source, in the order of the source."""

    values: EncodedPictures | Array
    """uint8 (N, C, H, W), float32 (N, D), or pictures that are not decoded yet."""
    labels: Array | None = None
    """int64 (N,): the class of each row. None if the source has no labels."""
    label_names: tuple[str, ...] = ()
    """The names of the classes, class 0 first."""
    factors: Mapping[str, Array] = field(default_factory=dict)
    """Other numbers of each row, by name; each an array of shape (N,)."""
    names: tuple[str, ...] | None = None
    """The name of each row."""
    columns: tuple[str, ...] = ()
    """The name of each dimension of vectors. Empty if the source names none."""
    parts: Array | None = None
    """int8 (N,): TRAIN, TEST or OTHER. None if the source has no test part of its own."""
    skipped: tuple[tuple[str, str], ...] = ()
    """The files or columns that are not read, each with the reason."""
    crop: int | None = None
    """The usual crop of this source, in pixels."""
    size: int | None = None
    """The usual image side of this source, in pixels."""

    def __len__(self) -> int:
        return self.values.num if isinstance(self.values, EncodedPictures) else len(self.values)


# Parts and labels ----------------------------------------------------------------------------------------------------


def parts_by_name(names: Sequence[str]) -> Array | None:
    """Turn the name of each row's part into TRAIN, TEST or OTHER.

    A validation part is the test part if there is no other. Otherwise its rows are OTHER.

    Args:
        names: the name of the part of each row: "train", "val", "t10k".

    Returns:
        int8 (N,), or None unless there are both a train part and a test part.

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
    """Return the parts of `num_train` rows to train with, followed by `num_test` rows to test with.

    Args:
        num_train: how many rows to train with, 0 or more.
        num_test: how many rows to test with, 0 or more.
    """
    return np.repeat(np.array([TRAIN, TEST], np.int8), [num_train, num_test])


def is_missing(label: Any) -> bool:
    """Tell whether a label says that the class is unknown: None, NaN, a number below 0, or text that says so.

    Args:
        label: a name or a number.

    Examples:
        >>> [is_missing(label) for label in (None, "", "null", "NaN", "-1", -1.0, "cat", "3", 0)]
        [True, True, True, True, True, True, False, False, False]
    """
    text = "" if label is None else str(label).strip().lower()
    if text in ("", "null", "nan", "none", "<na>"):
        return True
    try:
        return float(text) < 0
    except ValueError:
        return False


def as_classes(values: npt.ArrayLike) -> tuple[Array, tuple[str, ...]]:
    """Turn class names, or whole numbers, into labels. Some may be missing (`is_missing`).

    Args:
        values: (N,) names or whole numbers.

    Returns:
        int64 (N,) labels, -1 where one is missing, and the names of the classes; no names if the values are numbers.

    Examples:
        >>> as_classes(["cat", "", "dog", None])
        (array([ 0, -1,  1, -1]), ('cat', 'dog'))
    """
    array = np.asarray(values).reshape(-1)
    if array.dtype.kind in "iub":
        return array.astype(np.int64), ()
    given = np.array([not is_missing(value) for value in array.tolist()], bool)
    if not given.all():
        labels = np.full(len(array), -1)
        labels[given], label_names = as_classes(array[given].tolist())
        return labels, label_names
    names, labels = np.unique(array.astype(str), return_inverse=True)
    return labels.astype(np.int64), tuple(names.tolist())


def first_present(wanted: Sequence[str], present: Sequence[str]) -> str | None:
    """Return the first wanted name that is present, in upper or lower case; None if none is.

    Args:
        wanted: the names in lower case, the most wanted first.
        present: the names to choose from.
    """
    lower = {name.lower(): name for name in reversed(present)}
    return next((lower[name] for name in wanted if name in lower), None)
