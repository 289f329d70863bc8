"""Vectors as profiles: a line a vector, its columns side by side, in standard deviations from their means."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vlae.figures.canvas import Picture, rendered
from vlae.models.base import LatentModel

MAX_NAMES = 40
"""The most columns with names that are all drawn: of more, those that differ most between the lines, as names fit."""

NAME_INCHES = 0.14
"""The room for a name, which is turned upright."""

MAX_PLACES = 500
"""The most columns without names that are drawn, which may be a signal: of more, every second, third, …"""

MAX_LETTERS = 20
"""Letters of a column's name that are shown."""

LEAST_HEIGHT, MOST_HEIGHT = 3, 8  # standard deviations above and below the mean that are shown


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Some vectors on one pair of axes.

    Attributes:
        title: the words above.
        values: the vectors, (n, D), each a line.
        start: a vector to compare them with, (1, D), a black line; None: none.
        in_order: whether the lines are an ordered sweep; their colours then go from violet over blue to green.
    """

    title: str
    values: Float[Tensor, "n columns"]
    start: Float[Tensor, "1 columns"] | None = None
    in_order: bool = False


def profiles(
    model: LatentModel, panels: Sequence[Panel], *, per_row: int, black: str = "", coloured: Sequence[str] = ()
) -> Picture:
    """Panels of vectors, all on one scale. Of many columns some are drawn, and the figure says which.

    Args:
        model: of vectors; it knows mean and deviation of the columns of its training data, and their names.
        panels: what to draw, at least one.
        per_row: panels in a row, from 1 up.
        black: what the black lines are, for the legend; "": no entry.
        coloured: what the coloured lines are; of an ordered sweep several names, from the first line to the last.
    """
    from matplotlib.figure import Figure

    lines = [
        (
            standardised(model, panel.values).numpy(),
            None if panel.start is None else standardised(model, panel.start).numpy(),
        )
        for panel in panels
    ]
    every = np.concatenate([part for pair in lines for part in pair if part is not None])
    are_named = bool(model.columns)
    per_row = min(per_row, len(panels))
    shown, which = _shown(every, most=int(0.85 * min(7.0, 15.0 / per_row) / NAME_INCHES) if are_named else None)
    every, num = every[:, shown], len(shown)
    rows = ceil(len(panels) / per_row)
    width = min(15.0, per_row * max(3.0, min(7.0, 1.0 + 0.3 * num)))
    names = [model.columns[column] for column in shown] if are_named else []
    short = [name if len(name) <= MAX_LETTERS else f"{name[: MAX_LETTERS - 1]}…" for name in names]
    below = 0.075 * max(map(len, short)) if are_named else 0.3
    figure = Figure(figsize=(width, 2.0 * rows + below + 0.4), dpi=100, layout="constrained")
    axes = figure.subplots(rows, per_row, sharex=True, sharey=True, squeeze=False)
    highest = float(np.abs(every).max(initial=0))
    height = min(MOST_HEIGHT, max(LEAST_HEIGHT, highest * 1.05))
    marker = "." if num <= MAX_NAMES else ""
    places = np.arange(1, num + 1) if are_named else shown + 1
    for axis, panel, (values, start) in zip(axes.flat, panels, lines, strict=False):
        colours = _colours(len(values), panel.in_order)
        alpha = max(0.25, len(values) ** -0.4)
        for value, colour in zip(values[:, shown], colours, strict=True):
            axis.plot(places, value, color=colour, linewidth=1, marker=marker, alpha=alpha)
        if start is not None:
            axis.plot(places, start[0, shown], color="black", linewidth=1.8, marker=marker)
        axis.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        axis.set_title(panel.title, fontsize=10)
        axis.set_ylim(-height, height)
        axis.spines[["top", "right"]].set_visible(False)
        if are_named:
            axis.set_xticks(places, short, rotation=90, fontsize=8)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    legend = [(black, "black")] * bool(black) + [
        *zip(coloured, _colours(len(coloured), len(coloured) > 1), strict=True)
    ]
    if legend:
        handles = [axes[0, 0].plot([], [], color=colour, label=name)[0] for name, colour in legend]
        figure.legend(handles=handles, loc="outside upper right", ncols=len(legend), frameon=False, fontsize=9)
    cut = f" (cut at {MOST_HEIGHT})" if highest > MOST_HEIGHT else ""
    figure.supylabel(f"standard deviations{cut}", fontsize=9)
    if which:
        figure.supxlabel(which, fontsize=9)
    return rendered(figure)


def _shown(lines: Float[np.ndarray, "n columns"], *, most: int | None) -> tuple[np.ndarray, str]:
    """The columns to draw, in order, and what the figure says of them.

    Args:
        lines: all vectors of the figure.
        most: for how many names there is room; None: the columns have no names.
    """
    num = lines.shape[1]
    if most is None:
        step = ceil(num / MAX_PLACES)
        return np.arange(0, num, step), "column" + (f", one of every {step}" if step > 1 else "")
    if num <= MAX_NAMES:
        return np.arange(num), ""
    chosen = np.argsort(-lines.std(0), kind="stable")[:most]
    return np.sort(chosen), f"the {most} of {num:,} columns that differ most between the lines"


def standardised(model: LatentModel, values: Float[Tensor, "n columns"]) -> Float[Tensor, "n columns"]:
    """Vectors in standard deviations from the mean of the training data; of a model without these, as they are.

    Args:
        model: of vectors.
        values: the vectors, (n, D).

    Returns:
        float64 (n, D), on the CPU.
    """
    state = model.state_dict()
    values = values.detach().double().cpu()
    if "stddev" in state:
        values = (values - state["mean"].double().cpu()) / state["stddev"].double().cpu()
    return values


def _colours(num: int, in_order: bool) -> list[Any]:
    from matplotlib import colormaps

    if not in_order:
        return ["C0"] * num
    return [colormaps["viridis"](float(place)) for place in np.linspace(0, 0.8, num)]
