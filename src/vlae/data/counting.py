"""How far the reading of many things is: a bar on a terminal, a line at times elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_EVERY = 10.0  # seconds between two lines where there is no terminal


@contextmanager
def counting(title: str, num: int, progress: bool) -> Iterator[Callable[..., None]]:
    """Show on the error output how many of some things are done: what a command prints may be read by a program.

    Args:
        title: what is being done, such as "decoding pictures".
        num: how many things there are, about; 0 if that is not known.
        progress: whether to show anything.

    Yields:
        A function that counts one thing, or as many as it is given; any thread may call it.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not progress:
        yield lambda num=1: None
    elif console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(title, total=num or None)
            yield lambda num=1: bar.advance(task, num)
    else:
        done, next_line = 0, time.monotonic() + LINE_EVERY

        def count(more: int = 1) -> None:
            nonlocal done, next_line
            done, now = done + more, time.monotonic()
            if now >= next_line:
                next_line = now + LINE_EVERY
                of = f" of {num:,}" if num else ""
                print(f"{title}: {done:,}{of}", file=sys.stderr, flush=True)

        yield count


@contextmanager
def waiting(title: str, progress: bool) -> Iterator[None]:
    """Show on a terminal that something is being done whose length is not known, while the block runs.

    Args:
        title: what is being done, such as "loading PyTorch".
        progress: whether to show anything.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if progress and console.is_terminal:
        with console.status(title):
            yield
    else:
        yield
