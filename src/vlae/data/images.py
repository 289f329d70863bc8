"""`Images`: images, uint8 (N, C, H, W), or vectors, float32 (N, D), with their labels, factors and names."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from vlae.data.source import Array, DataError
from vlae.shapes import is_image


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Images:
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
    """uint8 (N, C, H, W), or float32 (N, D). Values from the cache are memory-mapped and read-only."""
    labels: Array | None = None
    """int64 (N,): the class of each; negative where it is unknown. None if the source has no labels."""
    label_names: tuple[str, ...] = ()
    """The names of the classes, class 0 first. Empty if the source does not name them."""
    factors: Mapping[str, Array] = field(default_factory=dict)
    """Other numbers of each, by name: true factors or attributes, arrays of shape (N,); NaN where one is missing."""
    names: tuple[str, ...] | None = None
    """The name of each: the file relative to the folder, or the row's name in a table."""
    columns: tuple[str, ...] = ()
    """The name of each dimension of vectors. Empty if the source names none."""
    source: str = "an array"
    """The path or name that was read."""
    split: str = "all"
    """Which part of the source this is: "train", "test" or "all"."""
    skipped: tuple[tuple[str, str], ...] = ()
    """The files or columns of the whole source that could not be read, each with the reason."""
    resized: bool = False
    """Whether any picture had another size, and was cut or resized."""
    features: Array | None = None
    """float16 (N, F): what a frozen network says of each full-size picture. None unless `load` was given a network."""
    features_from: str | None = None
    """SHA-256 of that network, in hex."""
    cache: Path | None = None
    """The cache folder of the decoded source. None if it is not in the cache."""

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
        positions = np.arange(len(self))[rows]
        return replace(
            self,
            values=values,
            labels=None if self.labels is None else self.labels[rows],
            factors={name: factor[rows] for name, factor in self.factors.items()},
            names=None if self.names is None else tuple(self.names[i] for i in positions),
            features=None if self.features is None else self.features[rows],
        )

    def describe(self) -> dict[str, Any]:
        """Describe the images in words and numbers that JSON can hold.

        Returns:
            The source, part, count, shape, kind ("images" or "vectors") and cache folder; the range of values; the
            count of each label and the range of each factor; the number of skipped files and the first ten of them.

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
            "value_range": _range(self.values),
            "labels": self._label_counts(),
            "factors": {
                name: {"num_values": len(np.unique(factor)), "range": _range(factor)}
                for name, factor in self.factors.items()
            },
            "num_skipped": len(self.skipped),
            "skipped": [list(pair) for pair in self.skipped[:10]],
            "cache": None if self.cache is None else str(self.cache),
        }

    def _label_counts(self) -> dict[str, int]:
        """Count the rows of each class, by its name if it has one."""
        if self.labels is None:
            return {}
        labels, counts = np.unique(self.labels, return_counts=True)
        return {self.class_name(int(i)) or "unknown": int(count) for i, count in zip(labels, counts, strict=True)}


def _range(values: Array) -> list[Any]:
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    return [values.min().item(), values.max().item()] if values.size else []


def say_skipped(images: Images) -> None:
    """Print to the error output the files that could not be read, at most twenty of them.

    Args:
        images: the images that were read.
    """
    if images.skipped:
        print(f"skipped {len(images.skipped)} of {images.source}:", file=sys.stderr)
    for file, reason in images.skipped[:20]:
        print(f"  {file}: {reason}", file=sys.stderr)
    if len(images.skipped) > 20:
        print("  …", file=sys.stderr)
