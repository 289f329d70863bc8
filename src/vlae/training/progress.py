"""The progress of a training, on one line."""

import sys
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from vlae.objectives.base import TITLES, split_term


def terms_text(terms: Mapping[str, float]) -> str:
    """The terms of an objective as one line of text, with the levels side by side.

    Args:
        terms: the value of each term, by name, in nats per datum.

    Examples:
        >>> terms_text({"distortion": 12.34, "rate_1": 1.5, "rate_2": 3.0})
        'distortion 12.34 · KL 1.5 3.0 nats'
    """
    parts = []
    for term, names_of_term in groupby(terms, key=lambda name: split_term(name)[0]):
        names = list(names_of_term)
        by_level = split_term(names[0])[1] is not None
        values = " ".join(f"{terms[name]:.1f}" if by_level else f"{terms[name]:.4g}" for name in names)
        parts.append(f"{TITLES.get(term, term.replace('_', ' '))} {values}{' nats' * (term == 'rate')}")
    return " · ".join(parts)


class ProgressLine:
    """Shows progress, time left, speed and terms on a live line in a terminal; elsewhere, prints a line at times."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        console = Console(stderr=True)
        self.live, self.next_line, self.numbers = console.is_terminal, 0.0, ""
        columns = (TaskProgressColumn(), TextColumn("{task.fields[line]}"))
        bar = (BarColumn(bar_width=20),) if console.width >= 110 else ()  # the numbers need 80
        self.bar = Progress(*bar, *columns, console=console, disable=not self.live)
        self.task = self.bar.add_task("training", total=1.0, line="starting")
        self.bar.start()

    def show(self, step: int, done: float, seconds: float, speed: float, terms: Mapping[str, float]) -> None:
        """Updates the line.

        Args:
            step: the number of the step.
            done: the share of the training that is done, in (0, 1].
            seconds: the training time so far.
            speed: data per second.
            terms: the value of each term, by name, in nats per datum.
        """
        self.numbers = f" · {speed:,.0f} data/s · {terms_text(terms)}"
        self.move(done, seconds)
        line = f"{_left(done, seconds)}{self.numbers}"
        if not self.live and (done >= self.next_line or done >= 1):
            self.next_line = done + 0.05
            print(f"step {step} ({done:.0%}) · {line}", file=sys.stderr, flush=True)

    def move(self, done: float, seconds: float) -> None:
        """Moves the live line on, with the numbers that were shown last.

        Args:
            done: the share of the training that is done, in (0, 1].
            seconds: the training time so far.
        """
        self.bar.update(self.task, completed=done, line=f"{_left(done, seconds)}{self.numbers}")

    def print(self, what: Any) -> None:
        """Prints something above the line.

        Args:
            what: a text, or anything else that `rich` prints.
        """
        self.bar.console.print(what, highlight=False, markup=False, soft_wrap=True)

    def stop(self) -> None:
        """Stops updating the line."""
        self.bar.stop()


def _left(done: float, seconds: float) -> str:
    """The time left, in minutes and seconds."""
    left = int(seconds * (1 - done) / done)
    return f"{left // 60}:{left % 60:02d} left"
