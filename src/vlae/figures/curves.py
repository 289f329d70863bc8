"""Training curves."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np

from vlae.figures.canvas import Picture, rendered
from vlae.objectives.base import UNITS, split_term, title_of


def progress(history: Mapping[str, Sequence[float | None]]) -> Picture:
    """Training curves of the terms of the objective: of the whole model on the left, of each level on the right.

    Terms in other units than nats have panels of their own, one for each unit, with a logarithmic axis.

    Args:
        history: columns of one length, by name. "step", and the terms of the objective in nats per datum, such as
            "distortion", "rate_1", "rate_2", …, are needed. "test_distortion", "val_rate_1", … are drawn with dots.
            "fade_1", "fade_2", … in [0, 1] give a dashed line at the step at which a level is fully grown. "seconds",
            "images_per_second" and "learning_rate" are not drawn. None or NaN: not measured at that step.

    Raises:
        ValueError: if there is no step, no term, or the columns differ in length.
    """
    from matplotlib.figure import Figure

    columns = {name: np.array(values, dtype=float) for name, values in history.items()}
    if "step" not in columns or not (terms := terms_of(columns)):
        raise ValueError(
            f"the history has the columns {', '.join(columns) or 'none'}; give step and the terms of an objective"
        )
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the history's columns differ in length: {lengths}; give each one value per step")
    grown = {name: columns[fade] >= 1 for name in terms if (fade := _fade_of(name)) in columns}
    grown_at = {name: columns["step"][g.argmax()] for name, g in grown.items() if g.any() and not g[0]}
    whole = [name for name in terms if split_term(name)[1] is None]
    by_level = [name for name in terms if name not in whole]
    units = list(dict.fromkeys(UNITS[name] for name in whole if name in UNITS))
    several = (
        len({split_term(name)[0] for name in by_level}) > 1
    )  # kinds of terms, so the label of a curve names its kind and its level

    figure = Figure(figsize=(13 + 6 * len(units), 4), dpi=100, layout="constrained")
    left, right, *others = figure.subplots(1, 2 + len(units))
    of_unit = dict(zip(units, others, strict=True))
    colors = ["black", *(f"C{i}" for i in range(10))]
    curves = [
        (of_unit.get(UNITS.get(name, ""), left), name, "training" if whole == ["distortion"] else title_of(name), color)
        for name, color in zip(whole, cycle(colors))
    ]
    curves += [
        (right, name, title_of(name) if several else f"level {split_term(name)[1]}", f"C{i % 10}")
        for i, name in enumerate(by_level)
    ]
    dotted = ""
    for axes, name, label, color in curves:
        axes.plot(columns["step"], columns[name], color=color, label=label, linewidth=1.2)
        for prefix, part in (("test", "test"), ("val", "validation")):
            if (measured := columns.get(f"{prefix}_{name}")) is not None and (there := np.isfinite(measured)).any():
                of_level = split_term(name)[1] is not None  # whose legend would be twice as long
                words = "_" if of_level else f"{label}, {part}".removeprefix("training, ")
                dotted = f" (dots: {part})" if of_level else dotted
                axes.plot(columns["step"][there], measured[there], "o:", color=color, markersize=3, label=words)
        if name in grown_at:
            axes.axvline(grown_at[name], color=color, linestyle="--", linewidth=1)
    # The distortion of the first steps is many times the rest, so the axis ends where nearly all of the curve fits.
    in_nats = [columns[name][np.isfinite(columns[name])] for name in whole if name not in UNITS]
    shown = np.concatenate(in_nats) if in_nats else np.empty(0)
    if len(shown) > 20 and (high := np.quantile(shown, 0.97)) > (low := shown.min()):
        left.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    dashed = " (dashed: fully grown)" if grown_at else ""
    kinds = split_term(by_level[0])[0] if by_level and not several else "terms"
    for axes in others:
        axes.set_yscale("log")
    titles = [whole[0] if len(whole) == 1 else "terms", f"{kinds} of each level{dashed}{dotted}", *("" for _ in units)]
    for axes, title, unit in zip((left, right, *others), titles, ("nats per datum",) * 2 + tuple(units), strict=True):
        axes.set(title=title.replace("_", " "), xlabel="step", ylabel=unit)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return rendered(figure)


def terms_of(columns: Iterable[str]) -> list[str]:
    """The columns of a history that are terms of an objective.

    Args:
        columns: names of all columns.
    """
    others = ("step", "seconds", "images_per_second", "learning_rate")
    return [name for name in columns if name not in others and not name.startswith(("fade_", "test_", "val_"))]


def _fade_of(name: str) -> str:
    return f"fade_{split_term(name)[1]}"
