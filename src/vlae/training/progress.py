"""The progress of a training, on one line."""

import sys
from collections.abc import Mapping, Sequence
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
    return " · ".join(_terms(terms))


def _terms(terms: Mapping[str, float]) -> list[str]:
    """Each term of an objective as text, with the levels side by side."""
    parts = []
    for term, names_of_term in groupby(terms, key=lambda name: split_term(name)[0]):
        names = list(names_of_term)
        by_level = split_term(names[0])[1] is not None
        values = " ".join(f"{terms[name]:.1f}" if by_level else f"{terms[name]:.4g}" for name in names)
        parts.append(f"{TITLES.get(term, term.replace('_', ' '))} {values}{' nats' * (term == 'rate')}")
    return parts


def fitted(parts: Sequence[str], room: int) -> str:
    """The parts of a line that have room; the terms between the first and the last are left out first, then the speed.

    Args:
        parts: the time left, the speed, and the terms of an objective.
        room: characters of the line.

    Examples:
        >>> parts = ["2:05 left", "16 data/s", "distortion 12.34", "features distortion 3.1", "KL 1.5 3.0 nats"]
        >>> [fitted(parts, room) for room in (90, 70, 50, 20)]  # doctest: +NORMALIZE_WHITESPACE
        ['2:05 left · 16 data/s · distortion 12.34 · features distortion 3.1 · KL 1.5 3.0 nats',
         '2:05 left · 16 data/s · distortion 12.34 · KL 1.5 3.0 nats',
         '2:05 left · distortion 12.34 · KL 1.5 3.0 nats',
         '2:05 left']
    """
    kept = list(range(len(parts)))
    for place in (*range(len(parts) - 2, 2, -1), 1, 2, len(parts) - 1):
        if len(" · ".join(parts[i] for i in kept)) > room and place in kept[1:]:
            kept.remove(place)
    return " · ".join(parts[i] for i in kept)


class ProgressLine:
    """Shows progress, time left, speed and terms on a live line in a terminal; elsewhere, prints a line at times."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.table import Column

        console = Console(stderr=True)
        self.live, self.next_line = console.is_terminal, 0.0
        self.numbers: list[str] = []
        width = 20 if console.width >= 110 else 6
        self.room = console.width - width - len(" 100% ")
        line = TextColumn("{task.fields[line]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        columns = (BarColumn(bar_width=width), TaskProgressColumn(), line)
        self.bar = Progress(*columns, console=console, disable=not self.live)
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
        self.numbers = [f"{speed:,.0f} data/s", *_terms(terms)]
        self.move(done, seconds)
        if not self.live and (done >= self.next_line or done >= 1):
            self.next_line = done + 0.05
            line = " · ".join([f"step {step} ({done:.0%})", _left(done, seconds), *self.numbers])
            print(line, file=sys.stderr, flush=True)

    def move(self, done: float, seconds: float) -> None:
        """Moves the live line on, with the numbers that were shown last.

        Args:
            done: the share of the training that is done, in (0, 1].
            seconds: the training time so far.
        """
        self.bar.update(self.task, completed=done, line=fitted([_left(done, seconds), *self.numbers], self.room))

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
