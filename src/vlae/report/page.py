"""One self-contained HTML page of a run: in short, its levels, its figures, its numbers and its recipe.

The page loads nothing from a server. Its templates escape whatever they are given.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from vlae.atomic import whole, writing
from vlae.data.depths import listed_range
from vlae.errors import NotDefinedError
from vlae.evaluation import level_card
from vlae.evaluation.rates import alarms, shortage
from vlae.evaluation.text import LIKELIHOOD_CAUTION
from vlae.figures.contents import Seen
from vlae.figures.kinds import KINDS
from vlae.names import printable, quoted
from vlae.report.figures import FigureView, figures_of
from vlae.report.glossary import OF_PICTURES, TERMS
from vlae.report.levels import LevelView, levels_of
from vlae.report.numbers import columns_of, evidence_of, levels_in_numbers, numbers_of, protocol_of
from vlae.runs import layout
from vlae.runs.run import Run
from vlae.shapes import is_image

_TEMPLATES = "templates"

CONTENT_STYLE = (files("vlae.report") / _TEMPLATES / "content.css").read_text(encoding="utf-8")
"""CSS of the content of a page: of this report and of the web app."""

SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def write(run: Run, path: str | Path | None = None) -> Path:
    """Draws every figure of a run and writes its page, with the level cards if the run has been evaluated.

    Args:
        run: a finished run.
        path: file to write; None: report.html in the folder `run.outputs`.

    Returns:
        The path of the page.

    Raises:
        WriteError: if the page cannot be written.
    """
    path = Path(path) if path is not None else run.outputs / layout.REPORT
    for name, kind in KINDS.items():
        if len(run.examples) >= kind.least_examples:  # a run may have been shared without any
            with suppress(NotDefinedError):
                run.figure(name)
    page = (
        _environment()
        .get_template("page.html")
        .render(
            name=run.name,
            introduction=_introduction(run),
            content=content(run),
            recipe=(run.path / layout.RECIPE).read_text(encoding="utf-8"),
            style=CONTENT_STYLE,
        )
    )
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as file:
        file.write_text(page, encoding="utf-8")
    return path


def content(run: Run) -> str:
    """The content of a run's page as HTML: warnings, what was learned in short, levels, figures, numbers and words.

    Args:
        run: a finished run; nothing is written in its folder.
    """
    evaluation = run.evaluation
    known = run.known()
    start, levels = levels_of(run)
    figures = figures_of(run, known)
    return (
        _environment()
        .get_template("content.html")
        .render(
            warnings=_warnings(run, evaluation),
            short=_in_short(run, known, levels),
            what=_data(run),
            start=start,
            levels=levels,
            figures=figures,
            contents=_contents(levels, figures, evaluation),
            numbers=numbers_of(run, evaluation),
            of_levels=None if evaluation else levels_in_numbers(run),
            caution=LIKELIHOOD_CAUTION if (evaluation or run.summary)["elbo_nats"] is not None else "",
            columns=columns_of(evaluation) if evaluation else None,
            evidence=evidence_of(evaluation) if evaluation else None,
            protocol=protocol_of(evaluation) if evaluation else "",
            terms=[term for term in TERMS if is_image(run.recipe.shape) or term.key not in OF_PICTURES],
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("vlae.report", _TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.tests["numeric"] = lambda text: bool(re.fullmatch(r"-|[-+]?[\d.,]+%?( ± [\d.]+)?", str(text)))
    environment.filters["sentence"] = lambda text: str(text)[:1].upper() + str(text)[1:]
    return environment


def _data(run: Run) -> str:
    """What the data of a run are called."""
    return "pictures" if is_image(run.recipe.shape) else "rows"


def _in_short(run: Run, known: Seen, levels: Sequence[LevelView]) -> str:
    many = f"{len(known.values):,} {_data(run)} of " if known.what.startswith("training") else ""
    number = SMALL[len(levels)] if len(levels) < len(SMALL) else str(len(levels))
    plural = "" if len(levels) == 1 else "s"
    return f"From {many}{printable(run.data['source'])}, vlae learned {number} level{plural}."


def _contents(
    levels: Sequence[LevelView], figures: Sequence[FigureView], evaluation: Mapping[str, Any] | None
) -> list[tuple[str, str]]:
    """Key and title of every section."""
    entries = [("short", "In short"), ("levels", "The levels")]
    if any(row.picture for level in levels for row in level.rows):
        entries.append(("dimensions", "Every dimension"))
    entries += [(figure.kind, figure.title) for figure in figures]
    entries.append(("numbers", "Numbers"))
    if evaluation and columns_of(evaluation):
        entries.append(("columns", "Columns"))
    if evaluation and evidence_of(evaluation):
        entries.append(("evidence", "Evidence"))
    return [*entries, ("glossary", "Glossary")]


def _introduction(run: Run) -> str:
    shape = " × ".join(map(str, run.recipe.shape))
    if run.value_range is not None:
        shape += f", numbers from {listed_range(run.value_range)}"
    return (
        f"A {run.recipe.model} of {len(run.recipe.levels)} levels, recipe {run.recipe.name}, trained on "
        f"{printable(run.data['source'])} ({shape}). Level 1 is nearest the data."
    )


def _warnings(run: Run, evaluation: Mapping[str, Any] | None) -> list[str]:
    if evaluation:
        messages = level_card.warnings(evaluation)
    else:
        messages = alarms(run.summary)
        messages += [warning for level in run.summary["levels"] if (warning := shortage(level))]
        command = f"vlae evaluate {quoted(run.path)}"
        messages.append(f"What the levels carry has not been measured yet; do it with: {command}")
    return list(dict.fromkeys([*run.shortfalls, *messages]))
