"""Every kind of figure by its name. To add a kind, write a function and name it here.

A figure is a function with a parameter `model`, `x` (held-out data) or `history` (of the training). Its other
parameters are options.
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
