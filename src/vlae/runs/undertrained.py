"""Whether a run was trained for less than was planned, in words, and the command that mends it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlae.names import quoted
from vlae.recipes.recipe import UNBOUNDED, Training

FAR = 5
"""A training that its minutes ended after less than one of so many of its steps is called undertrained.

A draft has a fifth of the steps of a standard training.
"""


@dataclass(frozen=True)
class Undertrained:
    """That a run was trained for less than was planned.

    Attributes:
        state: how far it was trained: "after 300 of 2,500 steps".
        mend: the command that mends it; None if the run is another person's.
    """

    state: str
    mend: str | None

    def __str__(self) -> str:
        advice = "" if self.mend is None else f" Go on with: {self.mend}"
        return f"Undertrained: {self.state}.{advice}"


def trained_for(training: Training, step: int, progress: float) -> dict[str, Any]:
    """What summary.json records of how far a training had come, and of what was planned.

    Args:
        training: the settings of the training.
        step: the number of steps that were done.
        progress: the share of the training that was done, in [0, 1].
    """
    return {"steps": step, "progress": progress, "of_steps": training.steps, "of_minutes": training.minutes}


def is_as_planned(training: Training, summary: Mapping[str, Any]) -> bool | None:
    """Whether a run's weights are those of the end of the training that its settings plan.

    Args:
        training: the settings in recipe.json. More may be planned there than when the weights were made.
        summary: of the run.

    Returns:
        None if the summary does not say, because an earlier version wrote it.
    """
    if (done := summary.get("training")) is None:
        return None
    planned = (done["of_steps"], done["of_minutes"]) == (training.steps, training.minutes)
    return bool(planned and done["progress"] >= 1)


def undertrained(path: Path, training: Training, summary: Mapping[str, Any], *, own: bool) -> Undertrained | None:
    """Says of a run that it was trained for less than was planned.

    The minutes that a user gave are what was planned, unless they ended the training before a fifth of its steps.

    Args:
        path: the run's folder.
        training: the settings in recipe.json.
        summary: of the run.
        own: whether the training can go on in this folder.

    Returns:
        None if it was trained as planned, or it is not known.
    """
    whole = is_as_planned(training, summary)
    if whole is None:
        return None
    step, progress = summary["training"]["steps"], summary["training"]["progress"]
    folder = quoted(path)
    if whole:
        if training.minutes is None or training.steps >= UNBOUNDED or step * FAR >= training.steps:
            return None
        minutes = f"{training.minutes:g} minute{'s' * (training.minutes != 1)}"
        state = f"after {step:,} of {training.steps:,} steps, in the {minutes} that it was given"
        return Undertrained(state, f"vlae train --more 10m {folder}" if own else None)
    more_begun = training.minutes is not None and progress >= 1
    state = f"after {step:,} steps, and more were begun" if more_begun else state_of(training, step, progress)
    return Undertrained(state, resume_command(path) if own else None)


def state_of(training: Training, step: int, progress: float) -> str:
    """How far a training has come, in words.

    Args:
        training: the settings of the training.
        step: the number of steps that were done.
        progress: the share of the training that was done, in [0, 1].

    Examples:
        >>> state_of(Training(steps=2500), 300, 0.12), state_of(Training(steps=2500, minutes=5.0), 300, 0.4)
        ('after 300 of 2,500 steps', 'after 300 steps, 40% of the training')
    """
    if training.minutes is None:
        return f"after {step:,} of {training.steps:,} steps"
    return f"after {step:,} steps, {progress:.0%} of the training"


def resume_command(path: Path) -> str:
    """The command that goes on with an unfinished training.

    Args:
        path: the run's folder.
    """
    return f"vlae train --resume {quoted(path)}"
