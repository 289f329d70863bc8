"""Asks in a terminal, after Ctrl-C, whether a training is to be finished now or kept for later: one key answers."""

import os
import sys
import time
from contextlib import suppress
from typing import Literal

OnInterrupt = Literal["ask", "finish", "keep"]
"""What follows on Ctrl-C. "ask": one key says it, in a terminal; elsewhere as "keep"."""

PATIENCE = 60.0  # seconds without an answer, after which it is kept


def finish_or_keep(stopped: str, resume: str) -> Literal["finish", "keep"]:
    """What the user wants; "keep" after another Ctrl-C, without an answer, or if there is nobody to ask.

    Args:
        stopped: what was stopped, and where.
        resume: the command that goes on.
    """
    if not _somebody_is_there():
        return "keep"
    answer: Literal["finish", "keep"] = "keep"
    with suppress(KeyboardInterrupt):  # while it is asked, too
        print(
            f"{stopped}. Press\n"
            "  f  to finish now: figures and a report of the model as it is\n"
            f"  k  to keep it for later: {resume}\n"
            f"f or k (k after {PATIENCE:.0f} seconds)? ",
            end="",
            file=sys.stderr,
            flush=True,
        )
        answer = "finish" if _key("fk", PATIENCE) == "f" else "keep"
    print(answer, file=sys.stderr, flush=True)
    return answer


def _somebody_is_there() -> bool:
    """Whether input and error output are a terminal, in whose foreground this process is."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return sys.platform == "win32" or os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()


def _key(keys: str, patience: float) -> str | None:
    """The first of these keys that is pressed; None after Enter, or too long a time."""
    until = time.monotonic() + patience
    while (left := until - time.monotonic()) > 0:
        pressed = _pressed(left)
        if pressed is None or pressed in "\r\n":
            return None
        if pressed.lower() in keys:
            return pressed.lower()
    return None


if sys.platform == "win32":
    import msvcrt

    def _pressed(patience: float) -> str | None:
        """The key that is pressed within some seconds."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if msvcrt.kbhit():
                if (key := msvcrt.getwch()) == "\x03":
                    raise KeyboardInterrupt
                return key
            time.sleep(0.05)
        return None

else:
    import select
    import termios
    import tty

    def _pressed(patience: float) -> str | None:
        """The key that is pressed within some seconds."""
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        try:
            tty.setcbreak(terminal, termios.TCSADRAIN)  # a key that was pressed already counts
            if not select.select([terminal], [], [], patience)[0]:
                return None
            return os.read(terminal, 1).decode(errors="replace") or None
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
