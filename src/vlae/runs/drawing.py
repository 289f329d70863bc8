"""Draws a figure of a run: finds the drawing function by its name and gives it what it needs of the run."""

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vlae.figures.canvas import Picture
from vlae.figures.kinds import KINDS
from vlae.runs.layout import RunError


def name_of(kind: str, options: Mapping[str, Any], from_image: Any = None) -> str:
    """The name of a figure's file, without ending: that of the kind, and what was asked for besides.

    Args:
        kind: the name of the figure.
        options: its options by name, as the caller gave them.
        from_image: the picture that it starts from: a path, an array, or None.

    Examples:
        >>> name_of("levels", {"seed": 3}), name_of("samples", {"pixels": True, "prior": "standard"})
        ('levels-seed-3', 'samples-pixels-prior-standard')
        >>> name_of("levels", {"start": "random"}), name_of("levels", {}, "photos/one.jpg")
        ('levels-start-random', 'levels-from-one')
    """
    words = [f"{name}" if value is True else f"{name}-{value}" for name, value in options.items()]
    if from_image is not None:
        words.append(f"from-{Path(from_image).stem if isinstance(from_image, str | Path) else 'image'}")
    return "-".join([kind, *(re.sub(r"[^\w.+-]", "_", word)[:60] for word in words)])


def draw_figure(kind: str, inputs: Mapping[str, Callable[[], Any]], options: Mapping[str, Any], name: str) -> Picture:
    """Draws a figure.

    Args:
        kind: the name of the figure, one of `vlae.figures.kinds.KINDS`.
        inputs: for each input of a figure by name a function that reads it; only what the figure takes is read.
        options: keyword arguments of the drawing function, such as `num` and `seed`.
        name: the name of the run, for error messages.

    Returns:
        The pixels, uint8 (height, width, 3).

    Raises:
        NotDefinedError: if the figure needs an encoder and the model has none.
        RunError: if the figure needs more examples than there are.
        ValueError: if the values of the options do not fit.
    """
    draw = KINDS[kind].draw
    taken = {key: inputs[key]() for key in inspect.signature(draw).parameters if key in inputs and key not in options}
    if "x" in taken:
        taken["model"].require("encoder")
        if not len(taken["x"]):
            raise RunError(f"{name} was shared without examples; a {kind!r} figure needs some")
        if len(taken["x"]) < (least := KINDS[kind].least_examples):
            raise RunError(f"a {kind!r} figure needs {least} held-out data; {name} has {len(taken['x'])}: draw another")
    return draw(**taken, **options)
