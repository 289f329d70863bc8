"""The shape of one datum, an image or a vector; the bounds of images; which levels have a code."""

from collections.abc import Sequence
from typing import TypeGuard

Shape = tuple[int, ...]
"""``(channels, height, width)`` of an image or a map, ``(dimensions,)`` of a vector."""

MIN_SIDE, MAX_SIDE = 8, 256
"""The sides of an image that vlae trains on, in pixels."""

MAX_CHANNELS = 4
"""Grey; grey and alpha; red, green, blue; and these with alpha."""


def is_image(shape: Sequence[int]) -> TypeGuard[tuple[int, int, int]]:
    """Whether one datum of this shape is an image; otherwise it is a vector.

    Examples:
        >>> is_image((3, 32, 32)), is_image((10,))
        (True, False)
    """
    return len(shape) == 3


def named_levels(levels: Sequence[int]) -> str:
    """What a group of levels is called.

    Examples:
        >>> named_levels((1,)), named_levels((1, 3))
        ('level 1', 'levels 1, 3')
    """
    return f"level{'s' if len(levels) > 1 else ''} {', '.join(map(str, levels))}"


def levels_with_code(code_sizes: Sequence[int]) -> tuple[int, ...]:
    """The numbers of the levels that have a code, counted from 1.

    Args:
        code_sizes: of every level, level 1 first; a level without a code has size 0.

    Examples:
        >>> levels_with_code((2, 0, 3))
        (1, 3)
    """
    return tuple(level for level, size in enumerate(code_sizes, start=1) if size)
