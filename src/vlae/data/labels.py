"""Which labels a training may know: all of a source, some of them, or those in a table of names."""

import csv
import hashlib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vlae.data.images import IGNORED, Images
from vlae.data.source import LABEL_NAMES, Array, DataError, is_missing

UNLABELLED = -1
"""The label of a datum whose class is not known; it stands for any negative one."""


class Known(NamedTuple):
    """The labels that are known of some data."""

    labels: Array
    """int64 (N,): the class of each datum, from 0 to K - 1; -1 where it is unknown."""
    values: tuple[int, ...]
    """The label of each class in the data, class 0 first."""
    names: tuple[str, ...]
    """The name of each class."""

    @property
    def sha256(self) -> str:
        """A hash of all of it, in hex: it tells whether the same labels are known."""
        return hashlib.sha256(repr((self.values, self.names)).encode() + self.labels.tobytes()).hexdigest()


def known_labels(images: Images, which: str | int, *, seed: int = 0) -> Known:
    """The labels of data that a training may use.

    Args:
        images: the data to train on.
        which: "all": all labels that the source has. A number: so many of them, as many of each class as of any other
            where there are enough, chosen at random. Or a .csv file whose first column holds names of pictures, as
            `vlae data` shows them, and whose second their class; a line of headings is allowed, and names may lack.
        seed: of the choice, 0 or more.

    Raises:
        DataError: if no label is known, or all are of one class; or there are fewer labels than asked for, or than
            classes; or the file cannot be read, or names no picture of these data.
    """
    number = _number(which)
    if number is None and which != "all":
        images = _with_table(images, Path(str(which)))
    if images.labels is None:
        ignored = "".join(
            f" ({what}: {fate})"
            for what, fate in images.fates.items()
            if fate.startswith(IGNORED) and what.rpartition(" ")[2].lower() in LABEL_NAMES
        )
        raise DataError(
            f"{images.source}: there are no labels to learn from{ignored}; give a table of names and classes as "
            "labels, or put pictures into a folder for each class"
        )
    labels = np.asarray(images.labels, np.int64)
    values, classes = np.unique(labels[labels >= 0], return_inverse=True)
    if len(values) < 2:
        what = "no label is known" if len(values) == 0 else f"all labels are of one class, {values[0]}"
        raise DataError(f"{images.source}: {what}; give labels of at least two classes")
    known = np.full(len(labels), UNLABELLED)
    known[labels >= 0] = classes
    if number is not None:
        known = _some(known, number, images.source, seed)
    names = tuple(images.class_name(value) for value in values.tolist())
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{images.source}: several classes are called {twice[0]!r}; give each a name of its own")
    return Known(labels=known, values=tuple(values.tolist()), names=names)


def check_every_class(images: Images, known: Known) -> None:
    """Refuse data of which a class has a name and no label: it would never be named.

    Args:
        images: the data to train on.
        known: their labels that are known.

    Raises:
        DataError: if there is such a class.
    """
    if without := [name for kind, name in enumerate(images.label_names) if kind not in known.values and name]:
        raise DataError(
            f"{images.source}: no label of the class {without[0]!r} is known among the data to train on, so it would "
            "never be named; give a label to some of it, or take its name out of the data"
        )


def classes_of(images: Images, names: tuple[str, ...], values: tuple[int, ...]) -> Array | None:
    """The number of the class of each datum, among the classes that a model knows.

    Where the source names its classes, names are compared; its numbers may be others than those of the training. Else
    numbers are, if the model's classes have no other names.

    Args:
        images: data, of any source.
        names: the name of each class that the model knows.
        values: the label of each class in the training data.

    Returns:
        int64 (N,), from 0 to K - 1; -1 where the label is unknown, or none of these. None if the source has no labels.
    """
    if images.labels is None:
        return None
    by_name = bool(images.label_names) or names != tuple(map(str, values))
    known_by: tuple[Any, ...] = names if by_name else values
    numbers = {name_or_value: number for number, name_or_value in enumerate(known_by)}
    labels = np.asarray(images.labels, np.int64)
    kinds, places = np.unique(labels, return_inverse=True)
    known = [
        numbers.get(images.class_name(kind) if by_name else kind, UNLABELLED) if kind >= 0 else UNLABELLED
        for kind in kinds.tolist()
    ]
    return np.array(known, np.int64)[places]


def _number(which: str | int) -> int | None:
    """How many labels are asked for, if that is said."""
    try:
        return int(str(which))
    except ValueError:
        return None


def _some(known: Array, number: int, source: str, seed: int) -> Array:
    """Keep so many labels: as many of each class as of any other, as far as there are enough."""
    order = np.random.default_rng(seed).permutation(len(known))
    order = order[known[order] >= 0]
    num_classes = int(known.max()) + 1
    if not num_classes <= number <= len(order):
        raise DataError(
            f"{source}: {number} labels of {len(order)} are asked for, of {num_classes} classes; give a number from "
            f"{num_classes} to {len(order)}"
        )
    turns = np.zeros(len(order), np.int64)  # how many of the same class came before
    for kind in range(num_classes):
        own = known[order] == kind
        turns[own] = np.arange(own.sum())
    chosen = order[np.argsort(turns, kind="stable")[:number]]
    some = np.full(len(known), UNLABELLED)
    some[chosen] = known[chosen]
    return some


def _classes_of_others(rows: list[list[str]], found: set[str]) -> list[str]:
    """The classes of a table that no picture here has; a class that stands in the first row alone is a heading."""
    others = [row[1].strip() for row in rows if not is_missing(row[1]) and row[1].strip() not in found]
    heading = rows[0][1].strip()
    if others.count(heading) == 1:
        others.remove(heading)
    return sorted(set(others))


def _with_table(images: Images, file: Path) -> Images:
    """The images with the labels of a table of names and classes."""
    if images.names is None:
        raise DataError(
            f"{images.source}: its rows have no names, so {file} cannot label them; store labels beside them"
        )
    try:
        if file.exists() and not file.is_file():
            raise OSError("it is no regular file")  # a pipe would be waited for, a device read for ever
        with file.open(newline="", encoding="utf-8-sig") as stream:
            text = stream.read()
        separator = max(",;\t", key=text.count)
        rows = [row for row in csv.reader(text.splitlines(), delimiter=separator) if len(row) > 1]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"labels {str(file)!r} cannot be read ({error}); give all, a number, or a .csv file") from error
    class_by_name = {row[0].strip(): row[1].strip() for row in rows if not is_missing(row[1])}
    found = [class_by_name.get(name, "") for name in images.names]
    if not any(found):
        raise DataError(
            f"{file}: no name in it is one of the pictures; {images.source} has {images.names[0]!r}, the file "
            f"{rows[0][0]!r}"
            if rows
            else f"{file}: it has no rows of a name and a class"
        )
    names = tuple(sorted(set(found) - {""}))
    if without := _classes_of_others(rows, set(names)):
        warnings.warn(
            f"{file}: no picture of {images.source} to learn from is of {', '.join(without[:5])}"
            f"{' …' * (len(without) > 5)}; this is not learned",
            stacklevel=3,
        )
    labels = np.array([names.index(kind) if kind else UNLABELLED for kind in found], np.int64)
    return replace(images, labels=labels, label_names=names)
