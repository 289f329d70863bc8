"""How many trainings a study needs, and how long they will take on this machine."""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vlae.errors import NotDefinedError
from vlae.recipes import Recipe
from vlae.training.announce import LEAST_STEPS, WARM_UP, duration
from vlae.training.budget import changed
from vlae.training.loop import Recorder
from vlae.training.train import fit

WORTH = 20
"""A training is timed if it has more than so many times the steps that are timed."""


def forecast(trainings: Mapping[str, tuple[Recipe, int]], values: np.ndarray) -> str:
    """Say how many trainings there are and how long they take, by timing a few steps of each recipe.

    A training takes no longer than its minutes.

    Args:
        trainings: for each system, its recipe and how many times it is trained.
        values: the data, uint8 images or floats in [0, 1], (N, C, H, W); or vectors (N, D).

    Returns:
        Such as "9 trainings, about 1 h 30 min on this machine".
    """
    num = sum(times for _, times in trainings.values())
    counted = f"{num} training{'s' * (num != 1)}"
    seconds = 0.0
    for recipe, times in trainings.values():
        if not times:
            continue
        if recipe.training.steps <= WORTH * (WARM_UP + LEAST_STEPS):
            return counted
        try:
            needed = recipe.training.steps * seconds_per_step(recipe, values)
        except (ValueError, NotDefinedError, ArithmeticError):  # the training itself will say why
            return counted
        limit = recipe.training.minutes
        seconds += times * (needed if limit is None else min(needed, 60 * limit))
    return f"{counted}, about {duration(seconds)} on this machine" if num else counted


def seconds_per_step(recipe: Recipe, values: np.ndarray) -> float:
    """The seconds that a training step takes here: the median of a few, after the first, whatever its minutes.

    Args:
        recipe: a recipe for data of this shape, without a class and without features of a frozen network.
        values: the data, uint8 images or floats in [0, 1], (N, C, H, W); or vectors (N, D).
    """
    times: list[float] = []

    def watch(_: Recorder) -> None:
        times.append(time.monotonic())

    few = np.asarray(values[: max(2, 2 * recipe.training.batch_size)])
    short = replace(recipe, training=changed(recipe.training, steps=WARM_UP + LEAST_STEPS, minutes=None))
    fit(few, short, watchers=[watch], accelerator="auto")
    return float(np.median(np.diff(times)[WARM_UP - 1 :]))
