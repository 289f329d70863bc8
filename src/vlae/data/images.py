"""`Images`: images (N, C, H, W), uint8 or float32, or vectors, float32 (N, D), with labels, factors and names."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from vlae.data.depths import listed_range, out_of_range
from vlae.data.source import Array, DataError, ValueRange, of_rows
from vlae.html_repr import HtmlRepr
from vlae.names import printable
from vlae.shapes import is_image

NOTED_OF_PARTS = ("not held out", "not moved", "some are held out")
"""How a fate begins that is to be known only where a part is held out."""

NOTED = ("one-hot", "used;", "used,")
"""How the fate of a column begins that is changed, or may not be meant to be used."""

PICTURES = "pictures"
"""What became of a kind of file that is read."""

IGNORED = "ignored: "
"""How the fate of a column, array or kind of file begins that is not read; the reason follows."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Images(HtmlRepr):
    """Images, or vectors, with what the source says of each.

    Examples:
        >>> from vlae.data import load
        >>> images = load(np.zeros((100, 28, 28), np.uint8))
        >>> images
        Images(84 × 1×28×28, train part of an array)
        >>> images.values[:10].shape
        (10, 1, 28, 28)
    """

    values: Array
    """uint8 or float32 in [0, 1] (N, C, H, W), or float32 (N, D). From the cache they are mapped and read-only."""
    value_range: ValueRange | None = None
    """The own numbers of the source that became 0 and 1, (low, high) of each channel. None: bytes, or 0 and 1."""
    num_clipped: int = 0
    """How many numbers of the whole source lay outside of `value_range`, and became 0 or 1."""
    labels: Array | None = None
    """int64 (N,): the class of each; negative where it is unknown. None if the source has no labels."""
    label_names: tuple[str, ...] = ()
    """The names of the classes, class 0 first. Empty if the source does not name them."""
    factors: Mapping[str, Array] = field(default_factory=dict)
    """Other numbers of each, by name: true factors or attributes, arrays of shape (N,); NaN where one is missing."""
    names: tuple[str, ...] | None = None
    """The name of each: the file relative to the folder, or the row's name in a table."""
    groups: Array | None = None
    """int64 (N,): those of one number, pages of a file or copies of a picture, are held out together or not at all;
    copies, below 0, only if there are too few others. None: each is on its own."""
    columns: tuple[str, ...] = ()
    """The name of each dimension of vectors. Empty if the source names none."""
    medians: Mapping[str, float] = field(default_factory=dict)
    """What stands for a missing value of each column of numbers of a table. That of a column of text is 0 in all of its
    dimensions, column=value."""
    decimal: str | None = None
    """The decimal mark of the text file of a table, "," or ".". None: there is none, or commas separate the fields."""
    source: str = "an array"
    """The path or name that was read."""
    split: str = "all"
    """Which part of the source this is: "train", "test" or "all"."""
    skipped: tuple[tuple[str, str], ...] = ()
    """The files or columns of the whole source that could not be read, each with the reason."""
    left_out: tuple[int, ...] = ()
    """The numbers of the rows of the whole source, or of the shard, that are not there, since they cannot be read."""
    fates: Mapping[str, str] = field(default_factory=dict)
    """What became of each column, array or kind of file of the source, as in `SourceData.fates`."""
    fitted: str | None = None
    """What was done to pictures of another size, as text: "cut and resized to 64×64". None if there were none."""
    sizes: tuple[tuple[int, int], ...] = ()
    """The least (width, height) in pixels of the pictures of the source as they are, and the greatest. Empty
    if the source is no pictures, or this is not known."""
    crop: int | None = None
    """The side in pixels of the square that was cut from the middle of each picture. None: no crop, or vectors."""
    features: Array | None = None
    """float16 (N, F): what a frozen network says of each full-size picture. None unless `load` was given a network."""
    features_from: str | None = None
    """SHA-256 of that network, in hex."""
    features_side: int | None = None
    """The side in pixels at which it saw them. None: they kept the size of the images."""
    cache: Path | None = None
    """The cache folder of the decoded source. None if it is not in the cache."""
    first: int = 0
    """Of a shard: the number of its first row in the whole source."""
    total: int | None = None
    """Of a shard: the rows of the whole source, with those that cannot be read. None: this is no shard."""

    def __post_init__(self) -> None:
        beside = {"labels": self.labels, "names": self.names, "groups": self.groups, "features": self.features}
        for name, each in (beside | {f"the factor {name!r}": factor for name, factor in self.factors.items()}).items():
            if each is not None and len(each) != len(self.values):
                raise DataError(
                    f"{self.source}: {name} {'is' if name.startswith('the') else 'are'} of {len(each):,} data, and "
                    f"there are {len(self.values):,}; give one for each"
                )

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Images({len(self)} × {'×'.join(map(str, self.shape))}, {self.split} part of {self.source})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image, (C, H, W), or of one vector, (D,)."""
        return tuple(self.values.shape[1:])

    @property
    def is_vectors(self) -> bool:
        """Whether these are vectors, not images."""
        return not is_image(self.shape)

    def class_name(self, label: int) -> str:
        """Name a class: as the source names it, or else by its number; "" if it is unknown.

        Args:
            label: the number of the class, negative if it is unknown.
        """
        if label < 0:
            return ""
        return self.label_names[label] if label < len(self.label_names) else str(label)

    def label_of_each(self) -> list[Any] | None:
        """Return the label of each row, as a table shows it: the class's name, or else its number.

        Returns:
            One name or number per row, None where the label is unknown. None if the source has no labels.
        """
        if self.labels is None:
            return None
        labels = np.asarray(self.labels, np.int64).tolist()
        if all(name == str(i) for i, name in enumerate(self.label_names)):
            return [label if label >= 0 else None for label in labels]
        return [self.class_name(label) or None for label in labels]

    def take(self, indices: slice | npt.ArrayLike) -> Self:
        """Select rows, with their labels, factors, names and features.

        Args:
            indices: positions from 0 to N - 1, or a slice. A slice does not copy the values.

        Returns:
            The selected rows, in the order of the indices.

        Examples:
            >>> from vlae.data import load
            >>> images = load(np.zeros((100, 28, 28), np.uint8), split="all")
            >>> len(images.take([3, 1])), len(images.take(slice(0, 10)))
            (2, 10)
        """
        chosen = indices if isinstance(indices, slice) else np.asarray(indices, np.int64)
        return self._with_rows(self.values[chosen], chosen)

    def with_classes(self, names: tuple[str, ...]) -> Self:
        """Number the classes as others do: those of the same name alike, and new ones after them.

        Args:
            names: of the other classes, class 0 first.

        Examples:
            >>> images = Images(values=np.zeros((2, 1, 8, 8)), labels=np.array([0, 1]), label_names=("bee", "cat"))
            >>> images.with_classes(("ant", "cat")).labels, images.with_classes(("ant", "cat")).label_names
            (array([2, 1]), ('ant', 'cat', 'bee'))
        """
        if self.labels is None or names == self.label_names or not self.label_names:
            return self
        every = (*names, *(name for name in self.label_names if name not in names))
        numbers = np.array([every.index(name) for name in self.label_names])
        labels = np.where(self.labels < 0, self.labels, numbers[np.maximum(self.labels, 0)])
        return replace(self, labels=labels, label_names=every)

    def alike_of_each_class(self, num: int) -> Array:
        """Choose rows, as many of each class as there are: the first of each class, then the second of each, and so on.

        Args:
            num: the most rows to choose, 0 or more.

        Returns:
            int64 (num,), or (N,) if there are fewer; the first rows if the source has no labels.

        Examples:
            >>> images = Images(values=np.zeros((5, 1, 8, 8), np.uint8), labels=np.array([0, 0, 0, 1, 1]))
            >>> images.alike_of_each_class(4).tolist()
            [0, 3, 1, 4]
        """
        if self.labels is None:
            return np.arange(min(num, len(self)))
        labels = np.asarray(self.labels)
        turns = np.zeros(len(labels), np.int64)
        for label in np.unique(labels):
            of_class = labels == label
            turns[of_class] = np.arange(of_class.sum())
        return np.lexsort((np.arange(len(labels)), labels, turns))[:num]

    def in_columns(self, names: Sequence[str]) -> Self:
        """Put the columns of vectors into an order of names.

        Columns that are not among them are left out, and listed in `skipped`.

        Args:
            names: the wanted columns. If they, or the columns of these data, have no names, the data stay as they are.

        Raises:
            DataError: if a wanted column is missing.
        """
        if not names or not self.columns or tuple(names) == self.columns:
            return self
        others = [name for name in self.columns if name not in names]
        if missing := [name for name in names if name not in self.columns]:
            raise DataError(
                f"{self.source} has no column {', '.join(map(repr, missing[:5]))}{', …' * (len(missing) > 5)}; "
                "give the columns that the run was trained on"
                + (f" (it has {', '.join(map(repr, others[:5]))}, which the run does not know)" if others else "")
            )
        left_out = tuple((f"column {name}", "the run was not trained on it") for name in others)
        order = [self.columns.index(name) for name in names]
        return replace(self, values=self.values[:, order], columns=tuple(names), skipped=self.skipped + left_out)

    def _with_rows(self, values: Array, rows: slice | Array) -> Self:
        """Replace the values by those of some rows, and select what is known of these rows."""
        return replace(self, values=values, **of_rows(self, rows))

    def describe(self) -> dict[str, Any]:
        """Describe the images in words and numbers that JSON can hold.

        Returns:
            The source, part, count, shape, kind ("images" or "vectors") and cache folder; the range of values, empty
            of a stream, whose values are read when they are asked for; which own numbers of the source became 0 and 1,
            and how many were outside; what was done to pictures of another size; the count of each label and the range
            of each factor; the skipped files and their number; what became of each column, array or kind of file
            ("fates").

        Examples:
            >>> from vlae.data import load
            >>> load(np.zeros((100, 28, 28), np.uint8)).describe()["shape"]
            [1, 28, 28]
        """
        return {
            "source": self.source,
            "split": self.split,
            "kind": "vectors" if self.is_vectors else "images",
            "count": len(self),
            "shape": list(self.shape),
            "value_range": _range(self.values) if isinstance(self.values, np.ndarray) else [],
            "own_numbers": None if self.value_range is None else listed_range(self.value_range),
            "num_clipped": self.num_clipped,
            "fitted": self.fitted,
            "labels": self.label_counts(),
            "factors": {
                name: {
                    "num_values": len(np.unique(known)),
                    "range": _range(known),
                    "num_missing": len(self) - len(known),
                }
                for name, factor in self.factors.items()
                for known in [factor[np.isfinite(factor)] if factor.dtype.kind == "f" else factor]
            },
            "num_skipped": len(self.skipped),
            "skipped": [list(pair) for pair in self.skipped],
            "fates": dict(self.fates),
            "cache": None if self.cache is None else str(self.cache),
        }

    def label_counts(self) -> dict[str, int]:
        """Count the rows of each class, by its name if it has one; first those without a label, as "unknown"."""
        classes, num_unknown = self.class_counts()
        return ({"unknown": num_unknown + classes.get("unknown", 0)} if num_unknown else {}) | {
            name: count for name, count in classes.items() if name != "unknown" or not num_unknown
        }

    def class_counts(self) -> tuple[dict[str, int], int]:
        """Count the rows of each class, by its name if it has one, and those whose label is unknown."""
        if self.labels is None:
            return {}, 0
        counts: dict[str, int] = {}
        labels = np.asarray(self.labels, np.int64)
        for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
            name = self.class_name(int(label)) if label >= 0 else None
            counts |= {} if name is None else {name: int(count)}
        return counts, int((labels < 0).sum())


def _range(values: Array) -> list[Any]:
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    return [values.min().item(), values.max().item()] if values.size else []


def say_skipped(images: Images, *, with_parts: bool = False) -> None:
    """Print to the error output what could not be read, what is ignored, and what is to be noted of columns.

    Args:
        images: the images that were read.
        with_parts: whether to say what is to be known where a part is held out.
    """
    ignored = [(name, fate.removeprefix(IGNORED)) for name, fate in images.fates.items() if fate.startswith(IGNORED)]
    begin = (*NOTED, *NOTED_OF_PARTS) if with_parts else NOTED
    noted = [(name, fate) for name, fate in images.fates.items() if fate.startswith(begin)]
    for what, left_out in (("skipped", images.skipped), ("ignored", ignored), ("noted", noted)):
        if left_out:
            num = f"{len(left_out)} of" if what == "skipped" else "in"  # a line may stand for many files
            print(f"{what} {num} {printable(images.source)}:", file=sys.stderr)
        for name, reason in left_out[:20]:
            print(printable(f"  {name}: {reason}"), file=sys.stderr)
        if len(left_out) > 20:
            print("  …", file=sys.stderr)


def say_form(images: Images, like: str = "") -> None:
    """Print to the error output how pictures were resized, and which own numbers became 0 and 1.

    Args:
        images: the images that were read.
        like: why they have this form: ", like the training data".
    """
    for line in forms(images, like):
        print(f"{images.source}: {line}", file=sys.stderr)


def forms(images: Images, like: str = "") -> list[str]:
    """Say how pictures were resized, and which own numbers became 0 and 1, a line for each.

    Args:
        images: the images that were read.
        like: why they have this form: ", like the training data".
    """
    lines = []
    if images.fitted:
        lines.append(f"pictures of another size are {images.fitted}{like}")
    if images.value_range is not None:
        lines.append(f"numbers from {listed_range(images.value_range)} become 0 to 1{like}")
        if not like and (usual := _usual_range(images.values, images.value_range)):
            lines.append(
                f"nearly all of them are from {listed_range(usual)}, a small part of that; is the rest an error? "
                "--value-range LOW,HIGH sets the range"
            )
    if not images.is_vectors and (images.shape[0] > 4 or (images.shape[0] in (2, 4) and images.value_range)):
        lines.append(f"{images.shape[0]} channels; figures show 1, 2, 3 as red, green, blue")
    if images.num_clipped:
        lines.append(f"{images.num_clipped:,} numbers are outside of that range, and clipped")
    return lines


def _usual_range(values: Array, value_range: ValueRange) -> ValueRange | None:
    """The own numbers between which 99.8 % of each channel lie; None if these fill a twentieth of every range."""
    some = values[:: -(-len(values) // 256)]
    low, high = np.quantile(some, (0.001, 0.999), axis=(0, 2, 3))
    spread = high - low
    if not ((spread > 0) & (spread < 1 / 20)).any():  # a constant channel has no usual range
        return None
    ends = out_of_range(np.stack([low, high])[:, :, None, None], value_range)[:, :, 0, 0]
    return tuple((float(least), float(most)) for least, most in ends.T)
