"""Schedules: the growth of the levels, the warm-up of the rates, one value for each level."""

from collections.abc import Iterable, Sequence
from math import exp
from typing import Literal

from vlae.shapes import levels_with_code

PerLevel = float | tuple[float, ...]
"""One number for all levels, or one per level, level 1 first."""

Growth = Literal["ladder", "top-down", "bottom-up", "joint"]
"""The order in which levels fade in. "ladder": level 1, then the top, then downwards. "joint": all at once."""


def growth_order(growth: Growth, num_levels: int) -> tuple[int, ...]:
    """The levels in the order in which they grow.

    Args:
        growth: "ladder": level 1 from the start, then the top, then downwards. "top-down". "bottom-up". "joint": all
            levels from the start.
        num_levels: the number of levels.

    Examples:
        >>> growth_order("ladder", 4)
        (1, 4, 3, 2)
    """
    upwards = tuple(range(1, num_levels + 1))
    if growth == "ladder":
        return (1, *reversed(upwards[1:]))
    return upwards[::-1] if growth == "top-down" else upwards


def fade(growth: Growth, until: float, progress: float, code_sizes: Sequence[int]) -> tuple[float, ...]:
    """How far each level has grown, in [0, 1], level 1 first.

    The growing time is divided equally between the levels with a code. A level fades in linearly in the first half of
    its share, and no level changes in the second half. The first level in the order is there from the start.

    Args:
        growth: the order: "ladder", "top-down", "bottom-up" or "joint".
        until: the share of the training, in [0, 1], after which every level is fully grown.
        progress: the share of the training that is done, in [0, 1].
        code_sizes: dimensions of every level's code, level 1 first; 0 for a level without a code.
    """
    grown = [1.0] * len(code_sizes)
    coded = levels_with_code(code_sizes)
    if growth == "joint" or until == 0:
        return tuple(grown)
    share = until / len(coded)
    for turn, position in enumerate(growth_order(growth, len(coded))):
        if turn:
            grown[coded[position - 1] - 1] = min(1.0, max(0.0, (progress - turn * share) / (share / 2)))
    return tuple(grown)


def warm_up(step: int, warmup: float) -> float:
    """The factor 1 - exp(-step / warmup) on the weight of the rates, in [0, 1]; the schedule of the authors' code.

    Args:
        step: the number of the step, from 0.
        warmup: number of steps after which the factor is 0.63; 0: no warm-up, and the factor is 1.
    """
    return 1 - exp(-step / warmup) if warmup else 1.0


def values_of(value: PerLevel | None) -> Iterable[float]:
    """The numbers in a setting.

    Args:
        value: one number, one per level, or None, which holds none.
    """
    return () if value is None else value if isinstance(value, tuple) else (value,)


def per_level(value: PerLevel, num_levels: int) -> tuple[float, ...]:
    """One number for each level, level 1 first.

    Args:
        value: one number for all levels, or one per level.
        num_levels: the number of levels.
    """
    return value if isinstance(value, tuple) else (value,) * num_levels
