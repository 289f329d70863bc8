"""The options of each kind of figure, known without PyTorch, so that a wrong one is refused at once."""

from collections.abc import Mapping, Sequence
from typing import Any

OPTIONS: Mapping[str, Sequence[str]] = {
    "levels": ("prior", "start", "num", "seed", "span", "others"),
    "samples": ("prior", "num", "seed", "pixels"),
    "reconstructions": ("num",),
    "traversal": ("prior", "start", "seed", "steps", "span", "max_rows"),
    "mix": ("num",),
    "classes": ("prior", "num", "seed"),
    "progress": (),
}
"""For every kind of figure of `vlae.figures.kinds.KINDS`, the parameters of its function that are options."""


OF_COMMAND: Mapping[str, str] = {
    **{name: f"--{name}" for name in ("prior", "num", "seed", "span", "pixels")},
    "start": "--from-image, --random",
}
"""Those that `vlae figure` has, as it calls them."""


def check_kind(kind: str, options: Mapping[str, Any], *, command: bool = False) -> None:
    """Checks that there is such a figure with such options, before anything is read or drawn.

    Args:
        kind: the name of the figure.
        options: its options by name; `start` is one that can start from one image.
        command: whether they are asked for by `vlae figure`, whose names of them are then said.

    Raises:
        ValueError: if there is no such figure, it does not start from an image, or it has no such option.
    """
    if kind not in OPTIONS:
        raise ValueError(f"there is no figure {kind!r}; choose one of {', '.join(OPTIONS)}")
    known = OPTIONS[kind]
    if "start" in options and "start" not in known:
        able = " and ".join(repr(name) for name, names in OPTIONS.items() if "start" in names)
        raise ValueError(f"a {kind!r} figure does not start from one image; {able} do")
    if unknown := sorted(set(options) - set(known)):
        names = OF_COMMAND if command else {name: name for name in [*known, *unknown]}
        lacks, has = (", ".join(names[name] for name in each if name in names) for each in (unknown, known))
        raise ValueError(f"a {kind!r} figure has no option {lacks}; it has {has or 'none'}")
