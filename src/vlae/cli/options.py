"""Options that several commands share, and how their texts are read."""

from dataclasses import dataclass
from typing import Literal

from cyclopts import Parameter


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Layout:
    """How an array or a table is read; options of every command that reads data."""

    layout: Literal["NHW", "NHWC", "NCHW"] | None = None
    """Of an array whose shape does not tell."""
    key: str | None = None
    """Which array of an .npz file, or column of a table."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Reading(Layout):
    """How a source is read that no run has been trained on: options of train, data, evaluate, compare and study."""

    size: int | None = None
    """Side of the images in pixels, 8 to 256."""
    crop: int | None = None
    """Cut this square out of the middle of each picture first."""
    channels: int | None = None
    """1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Part(Layout):
    """Which part of a source a trained run looks at: options of encode, odd and index."""

    split: Literal["train", "test", "all"] = "all"
    """Which part of the source."""
    limit: int | None = None
    """At most so many, chosen at random."""


def level_numbers(text: str) -> tuple[int, ...]:
    """As --level 3,4 of mix names levels."""
    try:
        return tuple(int(level) for level in text.split(","))
    except ValueError:
        raise ValueError(f"the levels are {text!r}; give whole numbers with commas between: 3,4") from None


def sizes(text: str | None) -> tuple[int, ...] | None:
    """As --code-sizes 2,2,2 gives them."""
    if text is None:
        return None
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        raise ValueError(
            f"code sizes are {text!r}; give whole numbers with commas between, one per level: 2,2,2"
        ) from None


def one_or_each(name: str, text: str | None) -> float | tuple[float, ...] | None:
    """A weight for all levels, or for each."""
    if text is None:
        return None
    try:
        values = tuple(float(value) for value in text.split(","))
    except ValueError:
        raise ValueError(f"{name} is {text!r}; give a number, or one for each level with commas between") from None
    return values if len(values) > 1 else values[0]


def number_or_word(text: str | None) -> float | str | None:
    """As --scale takes a number, "optimal" or "learned"."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
