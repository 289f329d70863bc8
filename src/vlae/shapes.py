"""The shape of one datum, an image or a vector; the limits of images; which levels have a code."""

from collections.abc import Sequence
from typing import TypeGuard

Shape = tuple[int, ...]
"""``(channels, height, width)`` of an image or a map, ``(dimensions,)`` of a vector."""

MIN_SIDE, MAX_SIDE = 8, 256
"""The smallest and the largest side of an image that vlae trains on, in pixels."""

MAX_CHANNELS = 16
"""1: grey. 2: grey and alpha. 3: red, green, blue. 4: red, green, blue, alpha. More: any channels."""

ROUNDING = 1e-6
"""How far a number of a picture may lie outside of [0, 1], as after a resize."""


def is_image(shape: Sequence[int]) -> TypeGuard[tuple[int, int, int]]:
    """Whether a datum of this shape is an image; if not, it is a vector.

    Args:
        shape: (channels, height, width) or (dimensions,).

    Examples:
        >>> is_image((3, 32, 32)), is_image((10,))
        (True, False)
    """
    return len(shape) == 3


def has_channels_last(shape: Sequence[int]) -> bool | None:
    """Whether the last of an image's three dimensions is its channels, not the first; None if the shape does not tell.

    Args:
        shape: (channels, height, width) or (height, width, channels).

    Examples:
        >>> has_channels_last((32, 32, 3)), has_channels_last((5, 16, 16)), has_channels_last((16, 32, 16))
        (True, False, None)
    """
    if len(shape) != 3:
        return None
    few = [1 <= shape[axis] <= 4 for axis in (0, 2)]
    first, last = few if any(few) else (_may_be_channels(shape, 0), _may_be_channels(shape, 2))
    return None if first == last else last


def _may_be_channels(shape: Sequence[int], axis: int) -> bool:
    """Whether the others of an image's dimensions are long enough for its sides."""
    sides = [length for place, length in enumerate(shape) if place != axis]
    return 1 <= shape[axis] <= MAX_CHANNELS and min(sides) >= MIN_SIDE


def listed(shape: Sequence[int]) -> str:
    """The numbers of a shape as text.

    Examples:
        >>> listed((3, 32, 32))
        '3, 32, 32'
    """
    return ", ".join(map(str, shape))


def named_levels(levels: Sequence[int]) -> str:
    """A group of levels as text.

    Args:
        levels: their numbers, counted from 1; at least one.

    Examples:
        >>> named_levels((1,)), named_levels((1, 3))
        ('level 1', 'levels 1, 3')
    """
    return f"level{'s' if len(levels) > 1 else ''} {', '.join(map(str, levels))}"


def level_column(level: int) -> str:
    """The name of a column of a level's code in a file or table.

    Args:
        level: the level's number, from 1 up; level 1 is nearest the pixels.

    Examples:
        >>> level_column(2)
        'level2'
    """
    return f"level{level}"


def levels_with_code(code_sizes: Sequence[int]) -> tuple[int, ...]:
    """The numbers of the levels that have a code, counted from 1.

    Args:
        code_sizes: size of every level's code, level 1 first; 0 for a level without a code.

    Examples:
        >>> levels_with_code((2, 0, 3))
        (1, 3)
    """
    return tuple(level for level, size in enumerate(code_sizes, start=1) if size)
