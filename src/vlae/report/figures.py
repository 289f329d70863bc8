"""The figures of a report: of images tiles, which it stacks on a phone; of vectors the charts in the run's folder."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vlae.errors import NotDefinedError
from vlae.figures.contents import Seen
from vlae.figures.kinds import KINDS
from vlae.figures.tiles import class_tiles, mix_tiles, reconstruction_tiles, sample_tiles
from vlae.models.inference import as_input
from vlae.report.shown import Shown, shown_chart, shown_tiles
from vlae.runs import layout
from vlae.runs.run import Run
from vlae.shapes import is_image

MAX_PAIRS = 4  # of the mix
SHOWN = ("samples", "reconstructions", "mix", "classes")
"""The kinds of figures that have a place of their own; levels and traversal are told with the levels."""

TITLES = {
    "levels": "Levels",
    "samples": "New data",
    "reconstructions": "Reconstructions",
    "mix": "Levels of two data combined",
    "classes": "Classes",
    "traversal": "Every dimension",
    "progress": "Training",
}


@dataclass(frozen=True, kw_only=True)
class FigureView:
    """A figure as the report shows it.

    Attributes:
        kind: its name in `vlae.figures.kinds.KINDS`.
        title: the heading.
        caption: what it shows.
        parts: its pictures.
        words: of each part, what stands beside it; "" for nothing.
    """

    kind: str
    title: str
    caption: str
    parts: Sequence[Shown]
    words: Sequence[str]


def figures_of(run: Run, known: Seen) -> list[FigureView]:
    """The figures of a run, in the order of the report; those that the run cannot have are left out.

    Args:
        run: any run; nothing is written in its folder.
        known: what the run was trained on; where that is not here, its held-out examples.
    """
    if not is_image(run.recipe.shape):
        return [_chart(run, kind) for kind in (*SHOWN, "traversal", "progress") if _file(run, kind).exists()]
    examples = as_input(run.examples)
    draw: dict[str, Callable[[], list[Shown]]] = {
        "samples": lambda: [shown_tiles(tiles) for tiles in sample_tiles(run.model, run.prior, examples, known)],
        "reconstructions": lambda: [shown_tiles(tiles) for tiles in reconstruction_tiles(run.model, examples)],
        "mix": lambda: [shown_tiles(tiles) for tiles in mix_tiles(run.model, examples, num=MAX_PAIRS)],
        "classes": lambda: [shown_tiles(tiles) for tiles in class_tiles(run.model, run.prior)],
    }
    views = []
    for kind in SHOWN:
        parts: list[Shown] = []
        if len(examples) >= KINDS[kind].least_examples:
            with suppress(NotDefinedError):
                parts = draw[kind]()
        if parts:
            words = [part.alt if kind in ("samples", "classes") else "" for part in parts]
            views.append(_view(kind, parts, words))
    if _file(run, "progress").exists():
        views.append(_chart(run, "progress"))
    return views


def _view(kind: str, parts: Sequence[Shown], words: Sequence[str]) -> FigureView:
    return FigureView(kind=kind, title=TITLES[kind], caption=KINDS[kind].caption, parts=parts, words=words)


def _chart(run: Run, kind: str) -> FigureView:
    return _view(kind, [shown_chart(_file(run, kind), f"{kind}: {KINDS[kind].caption}")], [""])


def _file(run: Run, kind: str) -> Path:
    return run.outputs / layout.FIGURES / f"{kind}.png"
