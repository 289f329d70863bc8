"""Ctrl-C, and the signal that shuts a machine down: both end a training after the current step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupts:
    """Remembers that the user or the machine has asked to stop.

    Attributes:
        asked: whether a signal has arrived.
    """

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Catches the signals in the block, and then restores the former handlers."""
        before = self.catch()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def catch(self) -> dict[int, Any]:
        """Catches the signals from now on, and returns the former handlers by signal number."""
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, self._remember) for number in (signal.SIGINT, signal.SIGTERM)}

    def _remember(self, number: int, frame: Any) -> None:
        self.asked = True
