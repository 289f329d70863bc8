"""Which labels a training may know: all of a source, some of them, or those in a table of names."""

import csv
import hashlib
import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import normalize

import numpy as np

from vlae.data.columns import MINUS_ONE, ROW_NAMES
from vlae.data.delimited import encoding_of, said_separator
from vlae.data.images import IGNORED, Images
from vlae.data.source import LABEL_NAMES, Array, DataError, counted, is_missing
from vlae.names import bare_cell, printable, some_of

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


def check_labels(which: str | int | None) -> None:
    """Check that there are such labels, as far as it can be told without the data.

    Args:
        which: "all", a number of labels, or a .csv file of names and classes. None: no labels.

    Raises:
        DataError: if it is a file that is not there, or cannot be read.
    """
    if is_table(which):
        _read_table(Path(str(which)))


def is_table(which: str | int | None) -> bool:
    """Tell whether labels are those of a table of names.

    Args:
        which: "all", a number of labels, or a .csv file of names and classes. None: no labels.
    """
    return which not in (None, "all") and _number(which) is None


def known_labels(images: Images, which: str | int, *, seed: int = 0, beside: Sequence[str] | None = ()) -> Known:
    """The labels of data that a training may use.

    Args:
        images: the data to train on.
        which: "all": all labels that the source has. A number: so many of them, as many of each class as of any other
            where there are enough, chosen at random. Or a .csv file of two columns, the names of pictures, as
            `vlae data` shows them, and their class; headings such as file and label tell them among others. Names may
            lack. An accent may be written with other codes, and a name as vlae writes it to a .csv file; where no name
            is one of a picture, other folders before it and its ending do not count. What does not fit is warned of.
        seed: of the choice, 0 or more.
        beside: the names of other pictures of the source, such as those held out, which the table may hold, too. None:
            they are not known, so nothing is said of names that are no pictures here.

    Raises:
        DataError: if no label is known, or all are of one class; or there are fewer labels than asked for, or than
            classes; or the file cannot be read, or names no picture of these data.
    """
    number = _number(which)
    if is_table(which):
        images = _with_table(images, Path(str(which)), beside)
    if images.labels is None:
        ignored = "".join(
            f" ({what}: {fate})"
            for what, fate in images.fates.items()
            if fate.startswith(IGNORED) and what.rpartition(" ")[2].lower() in LABEL_NAMES
        )
        raise DataError(
            f"{images.source}: there are no labels to learn from{ignored}; give a table of names and classes "
            "(--labels FILE, labels=FILE), or put pictures into a folder for each class"
        )
    labels = np.asarray(images.labels, np.int64)
    values, classes = np.unique(labels[labels >= 0], return_inverse=True)
    if len(values) < 2:
        what = "".join(f"all labels are of one class, {images.class_name(value)}" for value in values.tolist())
        unknown = f" ({MINUS_ONE})" if any(fate.endswith(MINUS_ONE) for fate in images.fates.values()) else ""
        raise DataError(f"{images.source}: {what or 'no label is known'}{unknown}; give labels of at least two classes")
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


def _number(which: str | int | None) -> int | None:
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


class _Table(NamedTuple):
    """A table of names and classes."""

    names: list[list[str]]
    """The columns that may name the pictures, usually one."""
    kinds: list[str]
    """The class of each row; empty if it is missing."""
    nothing: list[str]
    """The cells of classes that are the word none, in upper or lower case, which stands for a missing one."""
    is_headed: bool
    """Whether there was a line of usual headings, which is left out here."""


def _read_table(file: Path) -> _Table:
    """Read a table of names and classes.

    Raises:
        DataError: if it cannot be read, has no rows, or does not say which columns hold names and classes.
    """
    try:
        if file.exists() and not file.is_file():
            raise OSError("it is no regular file")  # a pipe would be waited for, a device read for ever
        with file.open(newline="", encoding=encoding_of(file)) as stream:
            first = stream.readline()
            said = said_separator(first)
            text = stream.read() if said else first + stream.read()
        if "\0" in text:
            raise csv.Error("it is no text")
        separator = said or max(",;\t", key=text.count)
        cells = csv.reader(StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        rows = [row for row in cells if len(row) > 1]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"labels {str(file)!r} cannot be read ({error}); give all, a number, or a .csv file") from error
    columns = [[cell.strip() for cell in column] for column in zip_longest(*rows, fillvalue="")]
    columns = [column for column in columns if any(column)]
    if len(columns) < 2:
        raise DataError(f"{file}: it has no rows of a name and a class")
    headings = [column[0].lower() for column in columns]
    names = [i for i, heading in enumerate(headings) if heading in ROW_NAMES]
    label = next((headings.index(name) for name in LABEL_NAMES if name in headings), None)
    if len(columns) > 2 and (label is None or not names):
        there = printable(some_of([column[0] for column in columns]))
        raise DataError(
            f"{file}: it has {len(columns)} columns ({there}); give two, the name of a picture and its class, or "
            "call these two file and label"
        )
    if not names and label is not None and columns[label].count(columns[label][0]) > 1:
        label = None  # a class called y, say
    is_headed = bool(names) or label is not None
    if label is None:
        label = 0 if names == [1] else 1
    names = [i for i in names if i != label] or [1 - label]
    columns = [column[is_headed:] for column in columns]
    kinds = ["" if is_missing(cell) else bare_cell(cell) for cell in columns[label]]
    nothing = [cell for cell in columns[label] if cell.lower() == "none"]
    return _Table(names=[columns[i] for i in names], kinds=kinds, nothing=nothing, is_headed=is_headed)


def _amiss(
    table: _Table, pictures: Sequence[str | None], images: Images, found: Sequence[str], *, is_whole: bool
) -> list[str]:
    """Say what of a table does not fit.

    Args:
        table: names and classes.
        pictures: the name of the picture that each row means; None: there is no such picture.
        images: the pictures to learn from.
        found: the class of each of these; empty if it is unknown.
        is_whole: whether all pictures of the source are known.
    """
    said = []
    kinds = table.kinds
    begin = int(not table.is_headed and pictures[0] is None and kinds.count(kinds[0]) == 1)  # of unusual headings
    if is_whole and (unknown := pictures[begin:].count(None)):
        num, without = len(kinds) - begin, found.count("")
        said.append(
            f"{num - unknown} of {counted(num, 'name')} {'is a picture' if num - unknown == 1 else 'are pictures'} "
            f"here; {counted(without, 'picture')} to learn from {'has' if without == 1 else 'have'} no label"
        )
    classes: dict[str, set[str]] = {}
    for name, kind in zip(pictures, kinds, strict=True):
        if name is not None and kind:
            classes.setdefault(name, set()).add(kind)
    if several := [name for name, given in classes.items() if len(given) > 1]:
        said.append(
            f"{counted(len(several), 'name')} {'has' if len(several) == 1 else 'have'} several classes, such as "
            f"{several[0]!r} ({', '.join(map(printable, sorted(classes[several[0]])))}); the last one counts"
        )
    if table.nothing:
        said.append(
            f"{counted(len(table.nothing), 'name')} {'has' if len(table.nothing) == 1 else 'have'} no class but "
            f"{some_of(sorted(set(table.nothing)))}; if that is a class, call it otherwise"
        )
    others = {kind for kind in kinds[begin:] if kind} - set(found)
    if others:
        said.append(
            f"no picture of {images.source} to learn from is of {', '.join(map(printable, sorted(others)[:5]))}"
            f"{' …' * (len(others) > 5)}; this is not learned"
        )
    return said


def _with_table(images: Images, file: Path, beside: Sequence[str] | None) -> Images:
    """The images with the labels of a table of names and classes; what of it does not fit is warned of."""
    table = _read_table(file)
    if images.names is None:
        raise DataError(
            f"{images.source}: its rows have no names, so {file} cannot label them; store labels beside them"
        )
    here = {*images.names, *(beside or ())}
    meant = [_meant(names, here) for names in table.names]
    if not any(any(each) for each in meant):
        meant = [_meant_otherwise(names, here) for names in table.names]
    pictures = max(meant, key=lambda each: len(each) - each.count(None))
    class_by_name = {name: kind for name, kind in zip(pictures, table.kinds, strict=True) if kind}
    found = [class_by_name.get(name, "") for name in images.names]
    if not any(found):
        raise DataError(
            f"{file}: no name in it is that of a picture to learn from; {images.source} has {images.names[0]!r}, "
            f"its last row {table.names[0][-1]!r}"
            if table.kinds
            else f"{file}: it has no rows of a name and a class"
        )
    if amiss := _amiss(table, pictures, images, found, is_whole=beside is not None):
        warnings.warn(f"{file}: {'; '.join(amiss)}", stacklevel=3)
    names = tuple(sorted(set(found) - {""}))
    labels = np.array([names.index(kind) if kind else UNLABELLED for kind in found], np.int64)
    return replace(images, labels=labels, label_names=names)


def _meant(names: Sequence[str], pictures: Collection[str]) -> list[str | None]:
    """Find the picture that each name of a table means, None if there is none.

    A name that is none may mean a picture that the table does not name otherwise: its accents may have other codes, and
    an apostrophe may keep a spreadsheet from running it.
    """
    others = {normalize("NFC", name): name for name in {*pictures} - {*names}}
    return [name if name in pictures else others.get(normalize("NFC", bare_cell(name))) for name in names]


def _meant_otherwise(names: Sequence[str], pictures: Collection[str]) -> list[str | None]:
    """Find the picture that each name of a table means that names none as it is: None if there is none.

    Folders before a name do not count, nor does an ending that it lacks, where but one picture can be meant.
    """
    stems = Counter(name.rpartition(".")[0] for name in pictures)
    short = {stem: name for name in pictures if stems[stem := name.rpartition(".")[0]] == 1 and stem}
    known = short | {name: name for name in pictures}
    return [_shorter(name, known) or _shorter(name.replace("\\", "/"), known) for name in names]


def _shorter(name: str, pictures: Mapping[str, str]) -> str | None:
    """Find the picture of the longest end of a path, None if there is none."""
    parts = name.split("/")
    return next((pictures[end] for i in range(len(parts)) if (end := "/".join(parts[i:])) in pictures), None)
