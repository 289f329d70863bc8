"""Pictures on a terminal: as sixels, by kitty's protocol, or as coloured half blocks."""

import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from PIL import Image

from vlae.figures.canvas import Picture

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

MOST_COLUMNS, MOST_ROWS = 100, 0.5
"""The most columns of a picture, and the most of the terminal's rows."""

Screen = Callable[[Picture], "RenderableType"]
"""Turns a picture, uint8 (H, W, 3), into what `rich` prints on a terminal."""


def screen_of(console: "Console") -> Screen | None:
    """How a terminal shows pictures; None if it has no true colour, or is no terminal.

    The terminal is asked what it can, which takes a moment. Ask before a live line is there.

    Args:
        console: of the error output.
    """
    if not console.is_terminal or console.color_system != "truecolor" or not _may_ask():
        return None
    logging.getLogger("textual_image").addHandler(logging.NullHandler())  # it logs what a terminal does not answer
    try:
        from textual_image import renderable  # asks the terminal

        kind = renderable.Image
        console.measure(kind(Image.new("RGB", (1, 1))))  # asks for the size of a cell
    except Exception:  # a terminal may answer anything, even that it has no columns
        return None

    def show(picture: Picture) -> "RenderableType":
        height, width = picture.shape[:2]
        columns = min(MOST_COLUMNS, console.width - 1)
        rows = max(1, min(int(MOST_ROWS * console.height), columns * height // (2 * width)))
        return kind(Image.fromarray(picture), width="auto", height=rows)

    return show


def _may_ask() -> bool:
    """Whether input and output are a terminal of which this process is in the foreground; else asking would stop it."""
    if not hasattr(os, "tcgetpgrp"):
        return False
    try:
        terminals = [stream.fileno() for stream in (sys.__stdin__, sys.__stdout__) if stream is not None]
        return len(terminals) == 2 and all(os.tcgetpgrp(terminal) == os.getpgrp() for terminal in terminals)
    except (OSError, ValueError):  # no terminal, or closed
        return False
