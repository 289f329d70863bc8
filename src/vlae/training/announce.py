"""What a training will do, and how long it will take: from the data and the recipe, and from the first steps."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vlae import recipes
from vlae.data import Images
from vlae.data.account import counted_data
from vlae.data.labels import Known
from vlae.names import quoted
from vlae.recipes import Recipe
from vlae.recipes.recipe import UNBOUNDED, Training
from vlae.shapes import is_image
from vlae.training.preview import Preview
from vlae.training.settle import own_code_sizes, qualities_of
from vlae.training.terminal import screen_of

if TYPE_CHECKING:
    from vlae.training.loop import Recorder

FEW = 200
"""Pictures to train on below which it is said what can be expected of so few."""

WARM_UP, LEAST_STEPS, LEAST_SECONDS = 3, 5, 3.0
"""Steps that are not timed; and the fewest steps, and seconds, that are."""

LONG = 600.0
"""Seconds of training from which a quicker one is offered."""

HOW = {"mirror": "mirrored or not", "shift": "moved", "nudge": "nudged"}
"""The variations of pictures, in words."""

COLOURS = {1: " in grey", 2: " in grey with opacity", 3: " in colour", 4: " in colour with opacity"}


def say_plan(recipe: Recipe, images: Images, held_out: Images, num: int, known: Known | None = None) -> None:
    """Print to the error output what will be done: with which data, which levels and how many steps.

    Args:
        recipe: the recipe of the training, with all settings.
        images: what is trained on.
        held_out: what is not.
        num: how many there are to train on, if the images are a sample; 0: it is not known.
        known: the labels of the images that are learned; None: none are.
    """
    form = ""
    if is_image(recipe.shape):
        channels, height, width = recipe.shape
        form = f" of {width}×{height}{COLOURS.get(channels, f' and {channels} channels')}"
    sizes = [level.code_size for level in recipe.levels if level.code_size]
    listed = ", ".join(map(str, sizes[:-1])) + " and " * (len(sizes) > 1) + str(sizes[-1])
    levels = f"{len(sizes)} level{'s' * (len(sizes) > 1)} of {listed} numbers"
    training = recipe.training
    data = counted_data(num or len(images), images) + " and more" * (num == 0)
    lines = [
        f"train on  {data}{form}; {len(held_out):,} are held out",
        f"model     {recipe.name}: {levels}" + ", level 1 nearest the pixels" * (len(sizes) > 1),
        _budget(training),
    ]
    if known is not None:
        count = int((known.labels >= 0).sum())
        share = f"{count:,} of {len(images):,}" if num == len(images) else "those of the stream"
        lines.append(f"labels    {share} are learned, of {len(known.values)} classes (fewer: --labels NUMBER)")
    if varied := [HOW[name] for name in training.augment.split(",") if name in HOW]:
        lines.append(f"varied    {' and '.join(varied)}, each time seen (--augment none: never)")
    if is_image(recipe.shape) and 0 < num < FEW:
        lines.append(f"few       {num} pictures teach colours, light and rough shapes, and no more;")
        lines.append(f"          {FEW} and more are better")
    print("\n".join(lines), file=sys.stderr, flush=True)


def _budget(training: Training) -> str:
    """How many steps are trained, and for how long."""
    if training.steps >= UNBOUNDED and training.minutes:
        return f"steps     as many as {in_minutes(training.minutes)} allow, each of {training.batch_size}"
    limit = f", for at most {in_minutes(training.minutes)}" if training.minutes else ""
    return f"steps     {training.steps:,}, each of {training.batch_size}{limit}"


def watchers_of(
    recipe: Recipe,
    images: Images,
    held_out: Images,
    path: Path,
    *,
    num: int,
    progress: bool,
    known: Known | None = None,
) -> list[Callable[["Recorder"], None]]:
    """What watches a training: the estimate of its time, and the preview. What will be done is printed now.

    Args:
        recipe: the recipe of the training, with all settings.
        images: what is trained on.
        held_out: what is not.
        path: the run's folder.
        num: how many there are to train on, if the images are a sample; 0: it is not known.
        progress: whether anything is printed.
        known: the labels of the images that are learned; None: none are.
    """
    screen = None
    watchers: list[Callable[[Recorder], None]] = []
    if progress:
        from rich.console import Console

        screen = screen_of(Console(stderr=True))
        say_plan(recipe, images, held_out, num, known)
        watchers.append(TimeEstimate(recipe, path))
    if is_image(recipe.shape):
        watchers.append(Preview(held_out.values, held_out.features, path, screen))
    return watchers


class TimeEstimate:
    """Times the first steps of a training, and says once how long it will take. Called after each step.

    Args:
        recipe: the recipe of the training.
        path: the run's folder.
    """

    def __init__(self, recipe: Recipe, path: Path):
        self.recipe, self.path = recipe, path
        self.calls = 0
        self.first_step = 0  # of this call: more than 0 if the training goes on
        self.warm = (0, 0.0)  # steps and seconds when the timing began
        self.said = False

    def __call__(self, recorder: "Recorder") -> None:
        """Takes note of a step.

        Args:
            recorder: knows the step, and the seconds of training so far.
        """
        if self.said:
            return
        step, seconds = recorder.engine.global_step, recorder.engine.seconds
        self.calls += 1
        if self.calls == 1:
            self.first_step = step - 1
        if self.calls == WARM_UP:
            self.warm = step, seconds
        steps, passed = step - self.warm[0], seconds - self.warm[1]
        if self.calls > WARM_UP and steps >= LEAST_STEPS and passed >= LEAST_SECONDS:
            self.said = True
            for line in self.lines(passed / steps, step, seconds):
                recorder.say(line)

    def lines(self, per_step: float, step: int, seconds: float) -> list[str]:
        """How long the training takes, and the offer of a quicker one.

        Args:
            per_step: seconds that a step takes.
            step: the number of steps done.
            seconds: the training time so far.
        """
        training = self.recipe.training
        steps = training.steps - self.first_step
        needed, left = per_step * steps, per_step * (training.steps - step)
        if training.minutes and 60 * training.minutes < seconds + left:
            reached = min(training.steps, step + round((60 * training.minutes - seconds) / per_step))
            planned = "" if training.steps >= UNBOUNDED else f" of {training.steps:,}"
            return [f"time      {in_minutes(training.minutes)}, as asked: about {reached:,}{planned} steps"]
        lines = [f"time      about {duration(needed)} for {steps:,} steps on this machine"]
        if needed > LONG and qualities_of(self.recipe) == ["standard"]:
            sizes = own_code_sizes(self.recipe)
            draft = recipes.lean(self.recipe.shape, code_sizes=sizes, quality="draft").training.steps
            lines.append(
                f"          about {duration(per_step * draft)} for a first look: "
                f"the same command with --quality draft --out {quoted(f'{self.path}-draft')}"
            )
        return lines


def in_minutes(minutes: float) -> str:
    """A limit as it was asked for, or in round numbers if it is that of a training that goes on.

    Examples:
        >>> [in_minutes(minutes) for minutes in (5, 2.5, 0.1853, 10.0833)]
        ['5 min', '2.5 min', '11 s', '10 min']
    """
    return f"{minutes:g} min" if round(minutes, 1) == minutes else duration(60 * minutes)


def duration(seconds: float) -> str:
    """A time in words, as exactly as an estimate can be.

    Args:
        seconds: from 0 up.

    Examples:
        >>> [duration(seconds) for seconds in (4, 83, 100, 840, 5_400, 20_000)]
        ['4 s', '80 s', '2 min', '14 min', '1 h 30 min', '5 h 30 min']
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s" if seconds < 20 else f"{round(seconds, -1):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    minutes = round(minutes / 10) * 10
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
