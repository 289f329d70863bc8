"""Ctrl-C, and the signal that shuts a machine down: both end a training after the current step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class AtOnce(BaseException):
    """The user pressed Ctrl-C again. It is no KeyboardInterrupt, at which Lightning ends the process."""


class Interrupts:
    """Remembers that the user or the machine has asked to stop; raises AtOnce when the user asks again.

    Attributes:
        asked: whether a signal has arrived.
        terminated: whether it was SIGTERM, after which there may be no time left.
    """

    def __init__(self) -> None:
        self.asked = self.terminated = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Catches the signals in the block, and then restores the former handlers.

        Raises:
            KeyboardInterrupt: when the user asks again; the block is left at once.
        """
        before = self.catch()
        try:
            yield
        except AtOnce as again:
            raise KeyboardInterrupt("stopped at once") from again
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def catch(self) -> dict[int, Any]:
        """Catches the signals from now on, and returns the former handlers by signal number."""
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, self._remember) for number in (signal.SIGINT, signal.SIGTERM)}

    def _remember(self, number: int, frame: Any) -> None:
        again = self.asked and number == signal.SIGINT
        self.asked, self.terminated = True, self.terminated or number == signal.SIGTERM
        if again:
            raise AtOnce
