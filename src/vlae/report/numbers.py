"""The numbers of a report, each with a line that explains it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlae.evaluation import level_card
from vlae.evaluation.text import ERRORS, pictures
from vlae.runs import layout
from vlae.runs.run import Run
from vlae.text_table import number

MAX_COLUMNS = 40
"""The most columns of vectors that are listed, those first of which most is explained."""

EXPLAINED = {
    "mse": ("reconstruction", "how far a pixel is off, squared; pixels go from 0 to 1, so 0 is perfect"),
    "mae": ("reconstruction", "how far a pixel is off; pixels go from 0 to 1, so 0 is perfect"),
    "psnr": ("psnr", "how like the original a reconstruction is: 20 is coarse, 30 is good"),
    "r2": ("r2", "how much of the columns the codes hold: 1 is all"),
    "error_stddevs": ("reconstruction", "how far a value is off, in standard deviations of its column: 0 is perfect"),
}
"""For each number of a reconstruction, the key of its word in the glossary and what it says."""

SCORES = {
    "told": ("told", "how well the measured facts can be read from the codes: 0 is not at all, 1 is perfectly"),
    "level order": ("order", "simple below complex: 1 is perfect, 0 is none, -1 is upside-down"),
    "level separation": ("separation", "each fact in its own level: 1 is yes, 0 is none"),
}
"""For each score of the ladder, the key of its word in the glossary and what it says."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number of a report.

    Attributes:
        name: what it is called.
        value: as text.
        meaning: what it says, in plain words.
        term: the key of its word in the glossary; "": none.
    """

    name: str
    value: str
    meaning: str
    term: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a report.

    Attributes:
        header: the names of the columns.
        rows: their cells, as text.
        note: what stands below it; "": nothing.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def numbers_of(run: Run, evaluation: Mapping[str, Any] | None) -> list[Number]:
    """The scores of the ladder if it was evaluated, how well it explains held-out data, and how good its pictures are.

    Args:
        run: any run.
        evaluation: of this run; None: it has not been evaluated.
    """
    summary = evaluation or run.summary
    numbers = []
    if evaluation:
        scores = level_card.scores(evaluation)
        numbers += [
            Number(name=name, value=scores[name], meaning=meaning, term=term)
            for name, (term, meaning) in SCORES.items()
            if name in scores
        ]
        if probed := evaluation.get("protocol", {}).get("probed"):
            numbers.append(
                Number(
                    name="data that probes are scored on",
                    value=f"{probed['num_images']:,}",
                    meaning="each datum by probes that were fitted to others",
                    term="probe",
                )
            )
    numbers += [
        Number(name=ERRORS[name], value=number(value, ".5g"), meaning=EXPLAINED[name][1], term=EXPLAINED[name][0])
        for name, value in summary["reconstruction"].items()
    ]
    if "features_distortion_nats" in summary:
        numbers.append(
            Number(
                name="distortion of the features (nats per datum)",
                value=f"{summary['features_distortion_nats']:.2f}",
                meaning="the same of what a network, or edges, say of the datum",
                term="distortion",
            )
        )
    numbers += [
        Number(
            name="distortion (nats per datum)",
            value=number(summary["distortion_nats"], ".2f"),
            meaning="what is lost when data are drawn again from their codes; lower is better",
            term="distortion",
        ),
        Number(
            name="ELBO (nats per datum)",
            value=number(summary["elbo_nats"], ".2f"),
            meaning="what training raises; only comparable between models of the same data",
            term="elbo",
        ),
        Number(
            name="held-out data",
            value=f"{summary['num_images']:,}",
            meaning="what these numbers are measured on; the model never saw them",
            term="held-out",
        ),
        Number(
            name="new data are drawn from",
            value=run.prior.describe(),
            meaning="the distribution of codes from which new data are made",
            term="prior",
        ),
    ]
    if evaluation:
        numbers += [
            Number(
                name=name,
                value=value,
                meaning="how far two halves of the real data are from each other: as good as it gets"
                if name == "real data"
                else "how far these are from real data; see the line of real data",
                term="frechet",
            )
            for name, value in pictures(evaluation).items()
        ]
    return numbers


def levels_in_numbers(run: Run) -> Table:
    """The levels of a run that was not evaluated: their codes, and what each costs.

    Args:
        run: any run.
    """
    rows = []
    for level, measured in zip(run.recipe.levels, run.summary["levels"], strict=True):
        described = level.describe()
        acts = "starts the decoder" if measured["level"] == len(run.recipe.levels) else described.acts
        kl, share, active = (
            number(measured[name], form) for name, form in (("kl_nats", ".2f"), ("share", ".0%"), ("active_units", "d"))
        )
        rows.append((str(measured["level"]), str(level.code_size), active, kl, share, described.reads, acts))
    return Table(header=("level", "code size", "active", "KL (nats)", "share", "reads", "acts"), rows=rows)


def columns_of(evaluation: Mapping[str, Any]) -> Table | None:
    """How much of each column of vectors is explained, and by which level; None of images.

    Args:
        evaluation: of the run.
    """
    rows = level_card.explained_columns(evaluation)
    levels = [f"level {level['level']}" for level in evaluation["levels"] if level["code_size"]]
    if not rows:
        return None
    more = len(rows) - MAX_COLUMNS
    note = f"… and {more:,} more columns ({layout.EVALUATION} has all)." if more > 0 else ""
    return Table(header=("column", "R²", *levels), rows=rows[:MAX_COLUMNS], note=note)


def evidence_of(evaluation: Mapping[str, Any]) -> Table | None:
    """How well every level tells every statistic and factor, and the complexity of each; None if none was measured.

    Args:
        evaluation: of the run.
    """
    levels = [level for level in evaluation["levels"] if level["code_size"]]
    scores = [level.get("statistics", {}) | level.get("factors", {}) for level in levels]
    if not scores or not scores[0]:
        return None
    complexity = evaluation["complexity"]
    rows = [
        (
            "class" if name == "label" else name.replace("_", " "),
            f"{complexity[name]:.2f}" if name in complexity else "",
            *(f"{of_level[name]:.2f}{_error(level, name)}" for level, of_level in zip(levels, scores, strict=True)),
        )
        for name in sorted(scores[0], key=lambda name: complexity.get(name, 2.0))
    ]
    return Table(header=("fact", "complexity", *(f"level {level['level']}" for level in levels)), rows=rows)


def protocol_of(evaluation: Mapping[str, Any]) -> str:
    """The protocol of an evaluation as text; "" if it has none.

    Args:
        evaluation: of the run.
    """
    return json.dumps(evaluation["protocol"], indent=2) if "protocol" in evaluation else ""


def _error(level: Mapping[str, Any], name: str) -> str:
    error = level.get("standard_errors", {}).get(name)
    return "" if error is None else f" ± {error:.2f}"
