"""Draws a figure of a run: finds the drawing function by its name and gives it what it needs of the run."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from vlae.figures.canvas import Picture
from vlae.figures.kinds import KINDS
from vlae.models.base import LatentModel
from vlae.models.inference import as_input
from vlae.runs.layout import RunError


def check_kind(kind: str, *, from_image: bool) -> None:
    """Checks that there is such a figure, before anything is read or drawn.

    Args:
        kind: the name of the figure.
        from_image: whether it should start from one image.

    Raises:
        ValueError: if there is no such figure, or it does not start from an image.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no figure {kind!r}; choose one of {', '.join(KINDS)}")
    if from_image and not KINDS[kind].can_start:
        able = " and ".join(repr(name) for name, figure in KINDS.items() if figure.can_start)
        raise ValueError(f"a {kind!r} figure does not start from one image; {able} do")


def draw_figure(
    kind: str,
    *,
    model: LatentModel,
    examples: np.ndarray,
    history: Mapping[str, list[float]],
    options: Mapping[str, Any],
    name: str,
) -> Picture:
    """Draws a figure.

    Args:
        kind: the name of the figure, one of `vlae.figures.kinds.KINDS`.
        model: the trained model, in eval mode.
        examples: held-out data, uint8 (n, C, H, W) or float32 (n, D); n = 0 if there are none.
        history: the training curves, column name → values.
        options: keyword arguments of the drawing function, such as `num` and `seed`.
        name: the name of the run, for error messages.

    Returns:
        The pixels, uint8 (height, width, 3).

    Raises:
        NotDefinedError: if the figure needs an encoder and the model has none.
        RunError: if the figure needs examples and there are none.
        ValueError: if the figure has no such option.
    """
    draw = KINDS[kind].draw
    parameters = inspect.signature(draw).parameters
    inputs = {"model": model, "x": as_input(examples), "history": history}
    if "x" in parameters:
        model.require("encoder")
        if not len(examples):
            raise RunError(f"{name} was shared without examples; a {kind!r} figure needs some")
    known = [parameter for parameter in parameters if parameter not in inputs]
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"a {kind!r} figure has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    return draw(**{key: value for key, value in inputs.items() if key in parameters}, **options)
