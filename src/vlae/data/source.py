"""What a caller asks of a source (`ReadSettings`), and what a reader returns (`SourceData`)."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from vlae.errors import MissingExtraError, reason
from vlae.memory import NotEnoughMemoryError
from vlae.shapes import MAX_CHANNELS, MAX_SIDE, MIN_SIDE

if TYPE_CHECKING:
    from vlae.data.sharding import Share

Array = npt.NDArray[Any]

ValueRange = tuple[tuple[float, float], ...]
"""The (low, high) of each channel that become 0 and 1; or one pair for all channels."""

Source = Any
"""What `vlae.data.load` reads: a path, a name, `Images`, or what `vlae.data.in_memory` reads."""

LABEL_NAMES = ("label", "labels", "target", "targets", "class", "y")
"""The usual names of a column or array of labels, in upper or lower case. The first that is present is used."""

Fit = Literal["crop", "pad", "squash"]
"""What is done with a picture of other proportions: cut off what is too long, repeat its edges, or squash it."""

TRAIN, TEST, OTHER = 0, 1, 2
"""The values of `SourceData.parts`."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "trainval": "train",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
    "holdout": "test",
    "heldout": "test",
} | dict.fromkeys(("val", "valid", "validation", "dev"), "validation")
"""The usual names of the parts of a source, and what each name means."""

PICTURE_WORDS = ("data", "dataset", "folder", "image", "images", "img", "imgs", "jpegs", "part", "set", "split")
"""Words that say nothing of a part or a class."""


class DataError(ValueError):
    """A source cannot be used. One line says what was given, what was expected and what to do."""


class NoRowNamesError(DataError):
    """The column that is to name the rows is not there, or cannot name them."""


def as_value_range(asked: str | Sequence[Any] | None) -> ValueRange | None:
    """Read a range from text, one pair of numbers, or a pair for each channel.

    Args:
        asked: "LOW,HIGH", (low, high) or ((low, high), …). None: no range.

    Raises:
        DataError: if it is none of these, or a low is not less than its high.

    Examples:
        >>> as_value_range("-1024,3071"), as_value_range([[0, 1], [0, 5]])
        (((-1024.0, 3071.0),), ((0.0, 1.0), (0.0, 5.0)))
    """
    if asked is None:
        return None
    try:
        pairs = np.array(asked.split(",") if isinstance(asked, str) else asked, np.float64)
        pairs = pairs[None] if pairs.ndim == 1 else pairs
        if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.isfinite(pairs).all():
            raise ValueError
    except (TypeError, ValueError):
        raise DataError(f"value_range is {asked!r}: give two numbers, LOW,HIGH, or two for each channel") from None
    if not (pairs[:, 0] < pairs[:, 1]).all():
        raise DataError(f"value_range is {asked!r}: give a low that is less than the high")
    return tuple((low, high) for low, high in pairs.tolist())


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Turns whatever a damaged source makes a reader raise into a DataError of one line that names the source.

    Args:
        source: its path or name.

    Raises:
        DataError: if the block raises anything that does not name the source.
        NotEnoughMemoryError: if the block runs out of memory.
    """
    try:
        yield
    except (DataError, NotEnoughMemoryError, MissingExtraError, FileNotFoundError):
        raise
    except MemoryError as error:
        raise NotEnoughMemoryError(f"{source}: there is too little memory to read it ({reason(error)})") from error
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:  # it says which file is locked
            raise
        raise DataError(f"{source}: cannot be read ({reason(error)}); the file is damaged, get it again") from error


@dataclass(frozen=True, kw_only=True)
class KnownColumns:
    """The dimensions of the vectors of a table that a run was trained on."""

    names: tuple[str, ...]
    """Their names, in order: of a column of numbers its own, of a value of text column=value."""
    medians: Mapping[str, float]
    """What stands for a missing value of each column of numbers."""
    decimal: str | None = None
    """The decimal mark of the text file that they were in, "," or "."; None if it is not known. It is that of another
    file which does not tell its own."""

    def columns_of(self, name: str) -> list[str]:
        """Return the columns that may give a dimension, the likeliest first; the name of a column may have a =, too.

        Args:
            name: one of `names`.
        """
        if name in self.medians:
            return [name]
        return [name[: equals.start()] for equals in re.finditer("=", name)][::-1]

    @property
    def texts(self) -> frozenset[str]:
        """The columns that may be text."""
        others = (column for name in self.names if name not in self.medians for column in self.columns_of(name))
        return frozenset(others) - self.medians.keys()


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """How a source becomes images: the settings that change the decoded values.

    Raises:
        DataError: if a setting is out of range.
    """

    size: int | str | None = None
    """Side of the square images, 8 to 256 pixels; or "HEIGHTxWIDTH". None: the reader chooses."""
    fit: Fit | None = None
    """What is done with pictures of other proportions. None: they are cut, unless all have one size."""
    crop: int | None = None
    """Side of the square that is cut from the middle before resizing, 8 pixels or more; 0: no crop. None: the usual
    crop of the source, if it has one."""
    channels: int | None = None
    """1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha); up to 16 of arrays. None: the reader chooses."""
    value_range: ValueRange | None = None
    """The (low, high) of each channel, or of all, that become 0 and 1. None: it is found if bytes do not do."""
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None
    """The order of an array's dimensions. None: it is inferred from the shape."""
    key: str | None = None
    """The array of an .npz file, or the column of a table, that holds the images. None: the reader chooses."""
    id: str | None = None
    """The column or array that names the rows, of text or numbers. None: one with a usual name, if there is one."""
    columns: KnownColumns | None = None
    """The dimensions to make of the columns of a table. None: all that they give."""
    shard: "Share | None" = None
    """Which rows to read. None: all."""
    pictures: frozenset[str] | None = field(default=None, repr=False)
    """The columns of bytes that hold pictures in all pieces of a stream. None: the cells that are read tell."""
    as_bytes: bool = field(default=False, repr=False)
    """Whether a run of bytes reads: those of more than 8 bits are left out if any, here or in another shard, has 8."""
    white: int | None = field(default=None, repr=False)
    """The whole number that is white, 1 or 255, in the pieces of a stream. None: the numbers that are read tell."""

    def __post_init__(self) -> None:
        if any(not MIN_SIDE <= side <= MAX_SIDE for side in self.sides or ()):
            raise DataError(f"size is {self.size}: choose an image side of {MIN_SIDE} to {MAX_SIDE} pixels")
        if self.fit not in (None, *get_args(Fit)):
            raise DataError(f"fit is {self.fit!r}: choose {', '.join(get_args(Fit))}")
        if self.crop is not None and self.crop < MIN_SIDE and self.crop != 0:
            raise DataError(f"crop is {self.crop}: choose {MIN_SIDE} pixels or more, or 0 for no crop")
        if self.channels is not None and not 1 <= self.channels <= MAX_CHANNELS:
            raise DataError(
                f"channels is {self.channels}: choose 1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha);"
                f" arrays have up to {MAX_CHANNELS}"
            )
        if self.layout not in (None, "NHW", "NHWC", "NCHW"):
            raise DataError(f"layout is {self.layout!r}: choose 'NHW', 'NHWC' or 'NCHW'")

    @property
    def sides(self) -> tuple[int, int] | None:
        """(height, width) of the images; None: the reader chooses.

        Raises:
            DataError: if the size is neither a whole number nor two with an x between.
        """
        if self.size is None:
            return None
        sides = re.fullmatch(r"(\d+)(?:[x×](\d+))?", str(self.size).lower())
        if not sides:
            raise DataError(f"size is {self.size!r}: give one side, 64, or height and width, 48x64")
        return int(sides[1]), int(sides[2] or sides[1])

    def crop_of(self, usual: int | None = None) -> int | None:
        """The side of the square that is cut from the middle, in pixels; None: no crop.

        Args:
            usual: the usual crop of the source, in pixels; None if it has none.
        """
        return (usual if self.crop is None else self.crop) or None


@dataclass(frozen=True, kw_only=True)
class EncodedPictures:
    """Pictures that are not decoded yet."""

    num: int
    """How many there are."""
    open: Callable[[int], Any]
    """Opens the picture of one row: a PIL.Image.Image, or one of `vlae.data.wide`, which the caller closes."""


@dataclass(frozen=True, kw_only=True)
class SourceData:
    """All rows of a source, in the order of the source."""

    values: EncodedPictures | Array
    """uint8 (N, C, H, W), or other numbers, which the loader maps to [0, 1]; float32 (N, D); or pictures that are not
    decoded yet."""
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
    medians: Mapping[str, float] = field(default_factory=dict)
    """What stands for a missing value of each column of numbers of a table."""
    decimal: str | None = None
    """The decimal mark of a text file, "," or "."; None if there is none, or commas separate the fields."""
    parts: Array | None = None
    """int8 (N,): TRAIN, TEST or OTHER. None if the source has no test part of its own."""
    groups: Array | None = None
    """int64 (N,): rows of one number, such as pages of one file, are held out together or not at all. None: each row is
    on its own."""
    skipped: tuple[tuple[str, str], ...] = ()
    """The files or columns that are not read, each with the reason."""
    fates: Mapping[str, str] = field(default_factory=dict)
    """What became of each column, array or kind of file: {"column age": "factor", "column note": "ignored: text",
    "12 .svg": "ignored: not a picture that is read"}."""
    crop: int | None = None
    """The usual crop of this source, in pixels."""
    size: int | None = None
    """The usual image side of this source, in pixels."""
    first: int = 0
    """The number of the first row in the whole source, of which these are a shard."""
    total: int | None = None
    """The rows of the whole source, of which these are a shard. None: these are all."""

    def __len__(self) -> int:
        return self.values.num if isinstance(self.values, EncodedPictures) else len(self.values)


def of_rows(of: Any, rows: slice | Array) -> dict[str, Any]:
    """What is known of some rows beside their values, by the names of the fields that hold it.

    Args:
        of: `SourceData` or `Images`.
        rows: the numbers of the rows, or a slice.
    """
    per_row = {name: getattr(of, name, None) for name in ("labels", "parts", "groups", "features")}
    known = {name: each[rows] for name, each in per_row.items() if each is not None}
    factors = {name: factor[rows] for name, factor in of.factors.items()}
    return {**known, "factors": factors, "names": of.names and tuple(of.names[i] for i in np.arange(len(of))[rows])}


# Parts and labels ----------------------------------------------------------------------------------------------------


def parts_by_name(names: Sequence[str]) -> Array | None:
    """Turn the name of each row's part into TRAIN, TEST or OTHER.

    A validation part is the test part if there is no other. Otherwise its rows are OTHER.

    Args:
        names: the name of the part of each row: "train", "val2017", "test_set", "t10k".

    Returns:
        int8 (N,), or None unless there are both a train part and a test part that are called alike.

    Examples:
        >>> parts_by_name(["train", "val", "train"]).tolist()
        [0, 1, 0]
        >>> parts_by_name(["training_set", "Test_set", "seg_pred"]).tolist()
        [0, 1, 2]
        >>> parts_by_name(["train_station", "test_tube"]) is None
        True
    """
    splits = {name: (kind, rest.lower()) for name in set(names) for kind, rest in [split_of(name)]}
    for test in ("test", "validation"):
        paired = {rest for kind, rest in splits.values() if kind == "train"}
        paired &= {rest for kind, rest in splits.values() if kind == test}
        if paired:
            break
    else:
        return None
    codes = {
        name: {"train": TRAIN, test: TEST}.get(kind or "", OTHER) if rest in paired else OTHER
        for name, (kind, rest) in splits.items()
    }
    return np.array([codes[name] for name in names], np.int8)


def split_of(name: str) -> tuple[str | None, str]:
    """Tell which part the name of a folder, or of a part, speaks of.

    Args:
        name: such as "train", "Testing", "images_train", "val2017", "trainA".

    Returns:
        "train", "test", "validation" or None; and what else the name says, such as "A".

    Examples:
        >>> [split_of(name) for name in ("val2017", "seg_train", "trainA", "bullet_train", "trainer")]
        [('validation', ''), ('train', 'seg'), ('train', 'A'), ('train', 'bullet'), (None, 'trainer')]
    """
    if name.lower() == "t10k":  # MNIST
        return "test", ""
    words = [
        word for word in re.findall(r"[A-Z]*[^\W\d_A-Z]+|[A-Z]+|[^\W\d_]+", name) if word.lower() not in PICTURE_WORDS
    ]
    kinds = [(_split_word(word), word) for word in words]
    kind = next((kind for kind, _ in kinds if kind), None)
    return kind, " ".join(word for of, word in kinds if of is None)


def _split_word(word: str) -> str | None:
    """Return what a word means as the name of a part, alone or before a word that says nothing: "trainset"."""
    match = re.fullmatch(f"({'|'.join(SPLIT_NAMES)})({'|'.join(PICTURE_WORDS)})?", word.lower())
    return SPLIT_NAMES[match[1]] if match else None


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
    if says_nothing(label):
        return True
    try:
        return float(label) < 0
    except ValueError:
        return False


def says_nothing(cell: Any) -> bool:
    """Tell whether a cell is empty, or says in one of the usual words that its value is missing.

    Args:
        cell: text, a number, or None.

    Examples:
        >>> [says_nothing(cell) for cell in (None, " ", "n/a", float("nan"), "no", -1)]
        [True, True, True, True, False, False]
    """
    return cell is None or str(cell).strip().lower() in ("", "null", "nan", "none", "<na>", "na", "n/a", "?")


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
        return np.maximum(array.astype(np.int64), -1), ()
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


def counted(num: int, thing: str) -> str:
    """Say a number of things.

    Args:
        num: how many.
        thing: what one of them is called.

    Examples:
        >>> counted(1, "picture"), counted(12, "picture")
        ('1 picture', '12 pictures')
    """
    return f"{num} {thing}" if num == 1 else f"{num} {thing}s"


def not_finite(num: int) -> str:
    """Say how many numbers are not finite.

    Args:
        num: how many, 1 or more.

    Examples:
        >>> not_finite(1), not_finite(12)
        ('1 value is NaN or infinite', '12 values are NaN or infinite')
    """
    return f"{counted(num, 'value')} {'is' if num == 1 else 'are'} NaN or infinite"
