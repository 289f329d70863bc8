"""What the commands print: names may be a stranger's, and must not steer the terminal."""

import builtins
import json
import math
from typing import Any, TextIO

from vlae.names import printable


def print(text: object, *, file: TextIO | None = None) -> None:
    """Print text of one or more lines, in which control characters are replaced by their escapes.

    Args:
        text: what to print; a name in it may hold any characters.
        file: where to; None: the standard output.
    """
    lines = [printable(line) for line in str(text).split("\n")]
    builtins.print("\n".join(lines), file=file, flush=True)


def print_json(value: object) -> None:
    """Print one line of JSON on the standard output, for programs.

    Args:
        value: of dicts, lists, numbers, words and paths; a number that is NaN or infinite becomes null.
    """
    builtins.print(json.dumps(_finite(value), default=str, allow_nan=False), flush=True)


def print_path(path: object, *, as_json: bool) -> None:
    """Print the path of what a command has written: one line, or one line of JSON.

    Args:
        path: the file or folder.
        as_json: print JSON.
    """
    if as_json:
        print_json({"path": path})
    else:
        print(path)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
