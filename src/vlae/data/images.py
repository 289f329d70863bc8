"""The one form of all images, `Images`: uint8, N C H W (or vectors: float32, N D), with all that is known of each."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from vlae.data.source import Array


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Images:
    """Images, or vectors, ready to be sliced into batches.

    Examples:
        >>> from vlae.data import load
        >>> images = load(np.zeros((100, 28, 28), np.uint8))
        >>> images
        Images(84 × 1×28×28, train part of an array)
        >>> images.values[:10].shape
        (10, 1, 28, 28)
    """

    values: Array
    """uint8 (N, C, H, W), read-only and memory-mapped where it comes from the cache, or float32 (N, D)."""
    labels: Array | None = None
    """int64 (N,): the class of each, where the source says it."""
    label_names: tuple[str, ...] = ()
    """What the classes are called, where the source says it."""
    factors: Mapping[str, Array] = field(default_factory=dict)
    """What else is known of each, by name, arrays of shape (N,): true factors, or attributes."""
    names: tuple[str, ...] | None = None
    """File names relative to the folder, or what the table calls its rows."""
    source: str = "an array"
    """Where they come from, as given."""
    split: str = "all"
    """Which part of the source this is: "train", "test" or "all"."""
    skipped: tuple[tuple[str, str], ...] = ()
    """The files (or columns) of the whole source that could not be read, each with the reason."""
    resized: bool = False
    """Whether any picture was of another size, and was cut and resized."""
    cache: Path | None = None
    """The folder where the decoded source lies."""

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Images({len(self)} × {'×'.join(map(str, self.shape))}, {self.split} part of {self.source})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one: (C, H, W), or (D,)."""
        return tuple(self.values.shape[1:])

    @property
    def is_vectors(self) -> bool:
        """Whether these are vectors, (N, D), not images."""
        return len(self.shape) == 1

    def take(self, indices: slice | npt.ArrayLike) -> Self:
        """Select some, with all that is known of them.

        Args:
            indices: positions, or a slice, which copies nothing.

        Returns:
            The selected images, in the order of the indices.

        Examples:
            >>> from vlae.data import load
            >>> images = load(np.zeros((100, 28, 28), np.uint8), split="all")
            >>> len(images.take([3, 1])), len(images.take(slice(0, 10)))
            (2, 10)
        """
        chosen = indices if isinstance(indices, slice) else np.asarray(indices, np.int64)
        return self._with_rows(self.values[chosen], chosen)

    def _with_rows(self, values: Array, rows: slice | Array) -> Self:
        """Replace the values by those of some rows, and select the rest to match."""
        positions = np.arange(len(self))[rows]
        return replace(
            self,
            values=values,
            labels=None if self.labels is None else self.labels[rows],
            factors={name: factor[rows] for name, factor in self.factors.items()},
            names=None if self.names is None else tuple(self.names[i] for i in positions),
        )

    def describe(self) -> dict[str, Any]:
        """Say what these are, in words and numbers that JSON can hold.

        Returns:
            The count, the shape, the kind ("images" or "vectors"), the range of values, the count of each label, the
            range of each factor, how many files were skipped (and the first ten of them), the source, part and cache.

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
        """Count each class, by its name where it has one."""
        if self.labels is None:
            return {}
        labels, counts = np.unique(self.labels, return_counts=True)
        names = dict(enumerate(self.label_names))
        return {names.get(int(i), str(i)): int(count) for i, count in zip(labels, counts, strict=True)}


def _range(values: Array) -> list[Any]:
    return [values.min().item(), values.max().item()] if len(values) else []


def say_skipped(images: Images) -> None:
    """List on the error output the files of a source that could not be read; at most twenty of them."""
    if images.skipped:
        print(f"skipped {len(images.skipped)} of {images.source}:", file=sys.stderr)
    for file, reason in images.skipped[:20]:
        print(f"  {file}: {reason}", file=sys.stderr)
    if len(images.skipped) > 20:
        print("  …", file=sys.stderr)
