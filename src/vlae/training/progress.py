"""How far a training is, on one live line."""

import sys
from collections.abc import Mapping
from itertools import groupby

from vlae.objectives.base import TITLES, split_term


def described(terms: Mapping[str, float]) -> str:
    """The terms of an objective on one line, those of the levels side by side.

    Examples:
        >>> described({"distortion": 12.34, "rate_1": 1.5, "rate_2": 3.0})
        'distortion 12.34 · KL 1.5 3.0 nats'
    """
    parts = []
    for what, of_it in groupby(terms, key=lambda name: split_term(name)[0]):
        names = list(of_it)
        by_level = split_term(names[0])[1] is not None
        values = " ".join(f"{terms[name]:.1f}" if by_level else f"{terms[name]:.4g}" for name in names)
        parts.append(f"{TITLES.get(what, what.replace('_', ' '))} {values}{' nats' * (what == 'rate')}")
    return " · ".join(parts)


class ProgressLine:
    """A live line: how far, how fast, the terms of the loss, time left. A plain line now and then elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        console = Console(stderr=True)
        self.live, self.next_line = console.is_terminal, 0.0
        columns = (TaskProgressColumn(), TextColumn("{task.fields[line]}"))
        bar = (BarColumn(bar_width=20),) if console.width >= 110 else ()  # the numbers need 80
        self.bar = Progress(*bar, *columns, console=console, disable=not self.live)
        self.task = self.bar.add_task("training", total=1.0, line="")
        self.bar.start()

    def show(self, step: int, done: float, seconds: float, speed: float, terms: Mapping[str, float]) -> None:
        """Shows what was measured.

        Args:
            step: of the training.
            done: share of the training, in [0, 1].
            seconds: that this has taken.
            speed: data per second.
            terms: of the objective, by name.
        """
        left = int(seconds * (1 - done) / done)
        line = f"{left // 60}:{left % 60:02d} left · {speed:,.0f} images/s · {described(terms)}"
        self.bar.update(self.task, completed=done, line=line)
        if not self.live and (done >= self.next_line or done >= 1):
            self.next_line = done + 0.05
            print(f"step {step} ({done:.0%}) · {line}", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Says something above the line."""
        self.bar.console.print(text, highlight=False)

    def stop(self) -> None:
        """Leaves the line as it is."""
        self.bar.stop()
