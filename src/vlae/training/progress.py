"""How far a training is, on one live line."""

import sys
from collections.abc import Sequence


class ProgressLine:
    """A live line: how far, how fast, distortion, KL of every level, time left. A plain line now and then elsewhere."""

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

    def show(self, step: int, done: float, seconds: float, speed: float, means: Sequence[float]) -> None:
        """Shows what was measured when `done` of the training, in [0, 1], had taken so many seconds."""
        left = int(seconds * (1 - done) / done)
        kl = " ".join(f"{rate:.1f}" for rate in means[1:])
        line = f"{left // 60}:{left % 60:02d} left · {speed:,.0f} images/s · distortion {means[0]:.4g} · KL {kl} nats"
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
