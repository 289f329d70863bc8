"""What the commands print: names may be a stranger's, and must not steer the terminal."""

import builtins
from typing import TextIO

from vlae.names import printable


def print(text: object, *, file: TextIO | None = None) -> None:
    """Print text of one or more lines, in which control characters are replaced by their escapes.

    Args:
        text: what to print; a name in it may hold any characters.
        file: where to; None: the standard output.
    """
    lines = [printable(line) for line in str(text).split("\n")]
    builtins.print("\n".join(lines), file=file, flush=True)
