"""How long a training goes on that was begun or ended before: by how much, and to which steps and minutes."""

import re
from dataclasses import replace
from typing import NamedTuple

from vlae.recipes.recipe import UNBOUNDED, Training

MINUTES = {"s": 1 / 60, "m": 1.0, "min": 1.0, "h": 60.0}


class More(NamedTuple):
    """By how much a training is to go on: by steps, or by minutes; by neither, if it is to end as it is."""

    steps: int = 0
    minutes: float = 0.0


def parsed(more: int | str) -> More:
    """By how much a training is to go on.

    Args:
        more: a number of steps, or a time: 500, "500", "30s", "10m", "2h". 0: it is to end as it is.

    Raises:
        ValueError: if it is none of these.

    Examples:
        >>> parsed("90s"), parsed(500)
        (More(steps=0, minutes=1.5), More(steps=500, minutes=0.0))
    """
    text = str(more).strip().lower()
    if re.fullmatch(r"\d+", text):
        return More(steps=int(text))
    time = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+) ?(s|m|min|h)", text)
    if time is None or not float(time[1]):
        raise ValueError(f"more is {more!r}; give a number of steps (500) or a time (30s, 10m, 2h); 0 ends it as it is")
    return More(minutes=float(time[1]) * MINUTES[time[2]])


def extended(training: Training, more: More, *, step: int, seconds: float) -> Training:
    """The settings of a training that goes on for longer than it has.

    Args:
        training: the settings.
        more: by how much; not by nothing.
        step: the number of steps that were done.
        seconds: the training time so far.
    """
    if more.steps:
        return replace(training, steps=step + more.steps, minutes=None)
    steps = training.steps if step < training.steps else UNBOUNDED
    return replace(training, steps=steps, minutes=round(seconds / 60 + more.minutes, 4))


def changed(training: Training, *, steps: int | None, minutes: float | None) -> Training:
    """The settings of a training with another length; steps alone take the limit of the minutes away.

    Args:
        training: the settings.
        steps: the number of steps in all; None: as it was.
        minutes: the training time in all; None: as it was, unless steps are given.
    """
    if steps is None and minutes is None:
        return training
    return replace(training, steps=training.steps if steps is None else steps, minutes=minutes)
