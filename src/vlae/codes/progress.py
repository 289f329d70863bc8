"""The progress bar of encoding and decoding."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(title: str, total: int, progress: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on the error output, if that is a terminal.

    Args:
        title: the text before the bar.
        total: how many rows there are in all, 0 or more.
        progress: whether to show the bar.

    Yields:
        A function that advances the bar by a number of rows.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not (progress and console.is_terminal)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda num: bar.advance(task, num)
