"""Every kind of figure by its name; a new kind is a function and a line here.

A figure is a function of a `model`, of held-out data `x`, or of a training's `history`, by the names of its parameters;
what else it takes are its options.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from vlae.figures.canvas import Picture
from vlae.figures.curves import progress
from vlae.figures.panels import levels, mix, reconstructions, samples, traversal

KINDS: Mapping[str, Callable[..., Picture]] = MappingProxyType(
    {figure.__name__: figure for figure in (levels, samples, reconstructions, traversal, mix, progress)}
)
"""Every kind of figure by its name."""
