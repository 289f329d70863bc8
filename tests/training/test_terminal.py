"""Pictures on a terminal; a terminal is played by this process, which answers what it is asked."""

import os
import select
import struct
import subprocess
import sys
import time

import pytest

pty = pytest.importorskip("pty")
from fcntl import ioctl  # noqa: E402
from termios import TIOCSWINSZ  # noqa: E402

SHOW = """
import numpy as np
from rich.console import Console
from vlae.training.terminal import screen_of
console = Console(stderr=True)
screen = screen_of(console)
console.print("no screen" if screen is None else screen(np.full((40, 60, 3), 200, np.uint8)))
console.print("the end")
"""
SIXELS, NO_GRAPHICS = b"\x1b[?62;4c", b"\x1b[?62;22c"


def shown(answer, rows=40, **environment):
    """What is printed on a terminal that says of itself `answer`."""
    child, terminal = pty.fork()
    if child == 0:
        ioctl(0, TIOCSWINSZ, struct.pack("HHHH", rows, 2 * rows, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in ("COLORTERM", "NO_COLOR")}
        os.execve(sys.executable, [sys.executable, "-c", SHOW], kept | {"TERM": "xterm-256color", **environment})
    printed, answered, until = b"", False, time.monotonic() + 120
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 0.5)[0]:
            continue
        try:
            printed += os.read(terminal, 65536)
        except OSError:  # the end
            break
        if answer and b"\x1b[c" in printed and not answered:
            answered = True
            os.write(terminal, answer)
    os.waitpid(child, 0)
    assert b"the end" in printed, printed
    return printed


def test_sixels_where_the_terminal_has_them():
    assert b"\x1bP" in shown(SIXELS, COLORTERM="truecolor")


@pytest.mark.parametrize("answer", [NO_GRAPHICS, None])
def test_half_blocks_in_true_colour_elsewhere(answer):
    printed = shown(answer, COLORTERM="truecolor")
    assert b"\x1bP" not in printed and "▀".encode() in printed
    assert b"Traceback" not in printed and b"Failed" not in printed


def test_a_terminal_without_true_colour_is_not_even_asked():
    printed = shown(None)
    assert b"no screen" in printed and b"\x1b[c" not in printed


def test_a_terminal_without_columns_gets_no_picture():
    assert b"no screen" in shown(None, rows=0, COLORTERM="truecolor")


def test_a_pipe_gets_no_picture():
    environment = {**os.environ, "COLORTERM": "truecolor", "TERM": "xterm-256color", "FORCE_COLOR": "1"}
    words = [sys.executable, "-c", SHOW]
    done = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert "no screen" in done.stderr and "▀" not in done.stderr and done.stdout == ""
