"""What a notebook shows of each kind of object, as HTML that stands alone.

To show another kind, write a function here, register it, and let the class inherit `vlae.html_repr.HtmlRepr`.
"""

from functools import singledispatch

import numpy as np

from vlae.codes.classify import Classified
from vlae.codes.mix import Mixed
from vlae.codes.outliers import Outliers
from vlae.data.images import Images
from vlae.data.source import counted
from vlae.errors import NotDefinedError
from vlae.evaluation import level_card
from vlae.figures.canvas import Pictures
from vlae.figures.panels import panels
from vlae.figures.pictures import to_pictures
from vlae.models.inference import as_input
from vlae.notebook import html
from vlae.runs.run import Run
from vlae.search.neighbours import Neighbours
from vlae.shapes import is_image, named_levels
from vlae.web.level_words import describe_alarms, describe_levels

PANEL = 5
"""Pictures on each side of a level's panel."""

SAMPLES = 12
"""Pictures of a data set."""

HITS = 8
"""Outliers by each score."""

MOST_CLASSES = 12
"""The most classes, and columns of vectors, that are listed."""


@singledispatch
def html_of(thing: object) -> str | None:
    """The HTML of an object; None if a notebook has nothing to show but its `repr`.

    Args:
        thing: a `Run`, `Images`, `Outliers`, `Classified`, `Mixed` or `Neighbours`.
    """
    return None


@html_of.register
def _run(run: Run) -> str:
    """The level cards: of every level what it changes, its title and its sentence; and what there is to warn of."""
    evaluation = run.evaluation
    warnings = [*describe_alarms(run), *(level_card.warnings(evaluation) if evaluation else [])]
    if not evaluation:
        warnings.append("What the levels carry has not been measured yet; do it with: vlae.evaluate(run)")
    try:
        pictures = panels(run.model, prior=run.prior, held_out=as_input(run.examples), num=PANEL)
    except NotDefinedError:  # a model that has no such figure
        pictures = []
    levels = describe_levels(run)
    cards = (
        html.card(
            f"Level {level['level']}: {level['title']}", level["sentence"], picture, f"level {level['level']} changes"
        )
        for level, picture in zip(levels, pictures, strict=False)
    )
    return html.output(
        run.name,
        run.describe(),
        *(html.paragraph(warning, "warning") for warning in dict.fromkeys(warnings)),
        html.paragraph("Each picture changes one level and holds the others.", "quiet"),
        html.cards(cards, wide=not is_image(run.recipe.shape)),
    )


@html_of.register
def _images(images: Images) -> str:
    """Some pictures, alike of each class, and how many there are of what; of vectors, the range of each column."""
    counts = images.describe()["labels"]
    classes = [f"{name} {num:,}" for name, num in list(counts.items())[:MOST_CLASSES]]
    classes += [f"and {len(counts) - MOST_CLASSES} more"] * (len(counts) > MOST_CLASSES)
    parts = [html.paragraph(", ".join(classes), "quiet")] * bool(classes)
    if images.skipped:
        files = "file or column" if len(images.skipped) == 1 else "files or columns"
        first, why = images.skipped[0]
        parts.append(html.paragraph(f"{len(images.skipped)} {files} not read: {first}: {why}, …", "warning"))
    parts.append(_columns(images) if images.is_vectors else _samples(images))
    what = "row" if images.is_vectors else "image"
    title = f"{counted(len(images), what)} of {'×'.join(map(str, images.shape))}"
    return html.output(title, f"{images.split} part of {images.source}", *parts)


def _samples(images: Images) -> str:
    chosen = images.take(images.alike_of_each_class(min(SAMPLES, len(images))))
    labels = chosen.label_of_each() or [None] * len(chosen)
    words = ("" if label is None else str(label) for label in labels)
    return html.strip(zip(_pictures(chosen), words, strict=True))


def _pictures(images: Images) -> Pictures:
    values = as_input(np.ascontiguousarray(images.values))
    return to_pictures(values, images.shape, opacity=images.value_range is None)


def _columns(images: Images) -> str:
    names = images.columns or tuple(map(str, range(images.shape[0])))
    shown = np.asarray(images.values[:, :MOST_CLASSES], np.float64)
    numbers = np.stack([shown.min(0), np.median(shown, 0), shown.max(0)], axis=1)
    rows = [(name, *(f"{value:.4g}" for value in row)) for name, row in zip(names, numbers, strict=False)]
    more = len(names) - len(rows)
    return html.table(("column", "least", "median", "most"), rows) + (
        html.paragraph(f"and {more} more") if more else ""
    )


@html_of.register
def _outliers(outliers: Outliers) -> str:
    """The strongest outliers by each score, with their names."""
    parts = []
    for by in outliers.scores:
        parts += [html.paragraph(f"by {by.replace('level', 'level ')}"), html.strip(outliers.cells(by, HITS))]
    images = outliers.images
    return html.output("Outliers", f"the strongest of {len(images):,}: {images.source}", *parts)


@html_of.register
def _classified(classified: Classified) -> str:
    """The first data, each with its class and how probable that is."""
    images = classified.images.take(slice(0, SAMPLES))
    best = classified.probabilities[: len(images)].argmax(1)
    words = [(classified.names[k], f"{row[k]:.0%}") for k, row in zip(best, classified.probabilities, strict=False)]
    cells = ((picture, *lines) for picture, lines in zip(_pictures(images), words, strict=True))
    wrong = classified.verdict and f"; {classified.verdict}"
    return html.output("Classes", f"the first of {len(classified.images):,}: {images.source}{wrong}", html.strip(cells))


@html_of.register
def _mixed(mixed: Mixed) -> str:
    """The images of the mix, what their codes give, and the mix."""
    return html.output(
        "A mix", repr(mixed), html.image(np.asarray(mixed.figure()), "the images of the mix, and the mix")
    )


@html_of.register
def _neighbours(neighbours: Neighbours) -> str:
    """The query, and its nearest neighbours by each group of levels, with their names and distances."""
    parts = [html.strip([neighbours.query_cell])]
    for levels in neighbours.by:
        parts += [html.paragraph(f"by {named_levels(levels)}"), html.strip(neighbours.cells(levels))]
    return html.output("Nearest neighbours", "a distance of 1 is that of two random pictures", *parts)
