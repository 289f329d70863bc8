"""Every kind of figure by its name. To add a kind, write a function, name it here, and its options in `options.py`.

A figure is a function that takes some of these by name: `model`, `prior` (of its codes), `x` (held-out data, which it
needs), `held_out` (held-out data, which it can do without), `known` (the training data) and `history` (of the
training). Its other parameters are options. One with a parameter `start` can start from one image.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from vlae.figures.canvas import Picture
from vlae.figures.curves import progress
from vlae.figures.panels import classes, levels, mix, reconstructions, samples, traversal


@dataclass(frozen=True, kw_only=True)
class FigureKind:
    """A kind of figure.

    Attributes:
        draw: the function that draws it.
        caption: a sentence that says what it shows.
        examples: how many held-out data it needs, if it needs more than one.
    """

    draw: Callable[..., Picture]
    caption: str
    examples: int = 0

    @property
    def least_examples(self) -> int:
        """How many held-out data it needs: at least 1 if it has a parameter `x`."""
        return max(self.examples, int("x" in inspect.signature(self.draw).parameters))


KINDS: dict[str, FigureKind] = {
    "levels": FigureKind(
        draw=levels,
        caption="Each panel changes one level of the datum that it starts from, as real data with the other levels "
        "vary: what changes is what the level holds.",
    ),
    "samples": FigureKind(
        draw=samples,
        caption="New data, drawn from the prior that is fitted to the codes, beside held-out data. Below, some "
        "samples with the training datum that is nearest, mirrored if need be: a copy would be seen.",
    ),
    "reconstructions": FigureKind(draw=reconstructions, caption="Held-out data and their reconstructions."),
    "traversal": FigureKind(
        draw=traversal,
        caption="Each dimension of a code, from -2 to 2 standard deviations around its mean; all else is kept.",
    ),
    "mix": FigureKind(draw=mix, caption="The lower levels of A with the upper levels of B.", examples=2),
    "classes": FigureKind(
        draw=classes,
        caption="Each class of a ladder that learned from labels; all else is drawn alike for every class.",
    ),
    "progress": FigureKind(draw=progress, caption="The training: the terms of the objective, step by step."),
}
"""Every kind of figure by its name."""
