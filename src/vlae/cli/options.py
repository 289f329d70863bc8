"""Options that several commands share, and functions that parse their values."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter, Token

AsJson = Annotated[bool, Parameter(name="--json", negative=())]
"""Whether a command prints JSON, for programs, on the standard output instead of text."""


def _as_number_of_runs(kind: object, tokens: Sequence[Token]) -> int:
    """Parse how many runs there are of each recipe, which seeds themselves may have been given for."""
    text = tokens[0].value
    if not re.fullmatch(r"-?[0-9]+", text):
        raise ValueError(f"seeds is {text!r}; give the number of runs of each recipe, 3 for the seeds 0, 1, 2")
    return int(text)


Seeds = Annotated[int, Parameter(converter=_as_number_of_runs)]
"""How many runs there are of each recipe."""


def _check_seed(kind: object, seed: int | None) -> None:
    """Refuse a seed that not all can take that draw by it."""
    if seed is not None and not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}; give a whole number from 0 to {2**32 - 1}")


Seed = Annotated[int, Parameter(validator=_check_seed)]
"""The seed of a command's random choices."""

SeedIfGiven = Annotated[int | None, Parameter(validator=_check_seed)]
"""The same, where another is taken if none is given."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Layout:
    """How to read an array or a table: options of every command that reads data."""

    layout: Literal["NHW", "NHWC", "NCHW"] | None = None
    """Order of an array's dimensions; by default it is inferred from the shape."""
    key: str | None = None
    """The array of an .npz file, or the column of a table, that holds the images; by default it is inferred."""
    id: str | None = None
    """The column of a table that names its rows, of text or numbers; by default one called id, name, file or the
    like."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Reading(Layout):
    """How to turn a source into images: options of train, data, evaluate, compare and study."""

    size: int | str | None = None
    """Side of the square images, 8 to 256 pixels, or HEIGHTxWIDTH; by default the pictures' own if all have one size,
    with at most 64 pixels on the longer side; else 64."""
    fit: Literal["crop", "pad", "squash"] | None = None
    """What is done with pictures of other proportions: cut them, repeat their edges, or squash them; by default crop,
    but pictures of one size keep their proportions."""
    crop: int | None = None
    """Side in pixels of the square cut from the middle before resizing, 0 for none; by default 108 for CelebA."""
    channels: int | None = None
    """1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha; by default 1 if all pictures are grey, else 3."""
    value_range: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """LOW,HIGH: the numbers that become 0 and 1, of pictures of more than 8 bits; by default the least and the
    greatest of each channel."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Part(Layout):
    """Which part of a source to use: options of encode, odd and index."""

    split: Literal["train", "test", "all"] = "all"
    """Part of the source to use."""
    limit: int | None = None
    """Use at most this many images, chosen at random; by default all."""


def level_numbers(text: str) -> tuple[int, ...]:
    """Parse level numbers: "3,4" → (3, 4)."""
    try:
        return tuple(int(level) for level in text.split(","))
    except ValueError:
        raise ValueError(f"the levels are {text!r}; give whole numbers with commas between: 3,4") from None


def sizes(text: str | None) -> tuple[int, ...] | None:
    """Parse code sizes: "2,2,2" → (2, 2, 2)."""
    if text is None:
        return None
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        raise ValueError(
            f"code sizes are {text!r}; give whole numbers with commas between, one per level: 2,2,2"
        ) from None


def one_or_each(name: str, text: str | None) -> float | tuple[float, ...] | None:
    """Parse one weight for all levels, or one per level: "0.5" → 0.5, "1,2" → (1.0, 2.0)."""
    if text is None:
        return None
    try:
        values = tuple(float(value) for value in text.split(","))
    except ValueError:
        raise ValueError(f"{name} is {text!r}; give a number, or one for each level with commas between") from None
    return values if len(values) > 1 else values[0]


def number_or_word(text: str | None) -> float | str | None:
    """Parse a number, or leave a word as it is: "0.1" → 0.1, "learned" → "learned"."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
