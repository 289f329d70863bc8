"""What changes while a model trains: which levels have grown, the warm-up of the rates, a value for each level."""

from collections.abc import Iterable, Sequence
from math import exp
from typing import Literal

from vlae.shapes import levels_with_code

PerLevel = float | tuple[float, ...]
"""One number for every level, or one for each, level 1 first."""

Growth = Literal["ladder", "top-down", "bottom-up", "joint"]
"""The order in which levels fade in: see `growth_order`."""


def growth_order(growth: Growth, num_levels: int) -> tuple[int, ...]:
    """The levels in the order in which they grow.

    Args:
        growth: "ladder", level 1 from the start, then the top, then downwards; "top-down"; "bottom-up"; or "joint", all
            from the start.
        num_levels: how many there are.

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

    Each level with a code has an equal share of the growing time, fades in linearly over the first half of its share,
    and has the other half to itself before the next begins. The first is there from the start.

    Args:
        growth: the order.
        until: share of the training, in [0, 1], after which every level is fully grown.
        progress: share of the training that is done, in [0, 1].
        code_sizes: of every level, level 1 first.
    """
    grown = [1.0] * len(code_sizes)
    occupied = levels_with_code(code_sizes)
    if growth == "joint" or until == 0:
        return tuple(grown)
    share = until / len(occupied)
    for turn, place in enumerate(growth_order(growth, len(occupied))):
        if turn:
            grown[occupied[place - 1] - 1] = min(1.0, max(0.0, (progress - turn * share) / (share / 2)))
    return tuple(grown)


def warm_up(step: int, warmup: float) -> float:
    """The weight in [0, 1) of the rates: 1 - exp(-step / warmup), as the authors' code has it; 1 without a warm-up."""
    return 1 - exp(-step / warmup) if warmup else 1.0


def values_of(value: PerLevel | None) -> Iterable[float]:
    """The numbers in a setting: one, one per level, or none."""
    return () if value is None else value if isinstance(value, tuple) else (value,)


def per_level(value: PerLevel, num_levels: int) -> tuple[float, ...]:
    """One number for each level."""
    return value if isinstance(value, tuple) else (value,) * num_levels
