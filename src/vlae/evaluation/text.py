"""An evaluation as text for a terminal."""

from collections.abc import Mapping
from typing import Any

from vlae.evaluation import level_card
from vlae.text_table import columns

STANDARD = "N(0, I)"

ERRORS = {
    "mse": "squared error",
    "mae": "absolute error",
    "psnr": "PSNR (dB)",
    "r2": "R², mean of columns",
    "error_stddevs": "error (standard deviations)",
}
"""What each number of a reconstruction is called."""

MAX_COLUMNS = 20  # of vectors, that a terminal shows
SHOWN = ("mse", "r2", "error_stddevs")  # in a terminal

LIKELIHOOD_CAUTION = (
    "A higher likelihood, or bound on it, need not mean better samples or better features (Theis et al. 2015)."
)
"""What every page and table says beside an ELBO, a log-likelihood or bits per dimension.

Reference: Theis, van den Oord and Bethge 2015, "A note on the evaluation of generative models", section 3.
"""


def reconstruction_errors(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """How far reconstructions are from the data, by what each number is called; None where it is not defined.

    Args:
        summary: of a run, or an evaluation.
    """
    return {ERRORS[name]: value for name, value in summary["reconstruction"].items() if name in SHOWN}


def as_text(evaluation: Mapping[str, Any]) -> str:
    """A table of the levels, the sentences of their cards, the scores and the warnings.

    Args:
        evaluation: the result of `vlae.evaluation.measures.evaluate`.
    """
    scores = level_card.scores(evaluation)
    numbers = reconstruction_errors(evaluation)
    numbers["ELBO (nats)"] = evaluation["elbo_nats"]
    optional = {
        "bits per dimension": "bits_per_dimension",
        "log-likelihood (nats)": "log_likelihood_nats",
        "UDR": "udr",
        "class named wrongly": "class_error",
    }
    numbers |= {name: evaluation[key] for name, key in optional.items() if key in evaluation}
    if (bits := evaluation.get("bits_per_dimension")) is not None:
        numbers["bits per dimension"] = bits
    scores |= {name: "not defined" if value is None else f"{value:.4g}" for name, value in numbers.items()}
    if (commonest := evaluation.get("label_commonest")) is not None:
        scores["the commonest class has"] = f"{commonest:.1%} of the labels"
    scores |= pictures(evaluation)
    num = evaluation.get("protocol", {}).get("probed", {}).get("num_images")
    of_some = {name: known for name, known in evaluation.get("num_known", {}).items() if num and known < num}
    width = max(24, *map(len, scores))
    lines = [
        _table_of_levels(evaluation),
        "",
        *_lines_of_columns(evaluation),
        *(f"level {card.level}: {card.title}: {card.sentence}" for card in level_card.level_cards(evaluation)),
        "",
        *(f"{name:>{width}}  {value}" for name, value in scores.items()),
        *([LIKELIHOOD_CAUTION] if evaluation["elbo_nats"] is not None else []),
        *(f"! {_known(name)} is known of {known:,} of {num:,} data" for name, known in of_some.items()),
        *(f"! {warning}" for warning in level_card.warnings(evaluation)),
    ]
    return "\n".join(lines)


def pictures(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """How good drawn data are, in words: each kind with its Fréchet distance and how often it is told from real data.

    Args:
        evaluation: the result of `vlae.evaluation.measures.evaluate`.
    """
    measured = evaluation.get("pictures")
    if not measured:
        return {}
    prior = measured.get("prior", STANDARD)  # evaluations without this key drew from N(0, I)
    kinds = {"real": "real data", "samples": f"drawn from {prior}", "samples_standard": f"drawn from {STANDARD}",
             "reconstructions": "reconstructions", "swapped": "levels swapped"}  # fmt: skip
    lines = {}
    for kind, words in kinds.items():
        if (distance := measured["frechet"].get(kind)) is None:
            continue
        meshes = (measured.get("mesh", {}).get(kind) or {}).values()
        strongest = f", mesh × {max(meshes):.2f}" if meshes else ""
        sharpness = measured.get("sharpness", {}).get(kind)
        sharp = "" if sharpness is None else f", sharpness × {sharpness:.2f}"
        told = f"told from real {measured['two_sample'][kind]:.0%}"
        lines[words] = f"Fréchet distance {distance:.4g}, {told}{strongest}{sharp}"
    return lines


def _table_of_levels(evaluation: Mapping[str, Any]) -> str:
    is_table = any("explained" in (level["without_it"] or {}) for level in evaluation["levels"])
    header = ["level", "code", "active", "KL nats", "share", "explains" if is_table else "error without it"]
    probed = any("label_probe_accuracy" in level for level in evaluation["levels"])
    read = any(level.get("read_back") is not None for level in evaluation["levels"])
    rows = [[*header, *["read back"] * read, *["names the class"] * probed]]
    for level in evaluation["levels"]:
        lost = level["without_it"]
        cells = [
            str(level["level"]),
            str(level["code_size"]),
            _cell(level["active_units"], ""),
            _cell(level["kl_nats"], ".2f"),
            _cell(level["share"], ".0%"),
            "-" if not lost else _cell(lost["explained"], ".0%") if is_table else _cell(lost["mse"], "+.4f"),
        ]
        cells += [_cell(level.get("read_back"), ".2f")] * read
        rows.append(cells + [_cell(level.get("label_probe_accuracy"), ".1%")] * probed)
    return columns(rows, align="right")


def _lines_of_columns(evaluation: Mapping[str, Any]) -> list[str]:
    """A table of the columns of vectors: how much of each is explained, in all and by each level; the best first."""
    rows = level_card.explained_columns(evaluation)
    if not rows:
        return []
    levels = [f"level {level['level']}" for level in evaluation["levels"] if level["code_size"]]
    shown = [["column", "R²", *levels], *rows[:MAX_COLUMNS]]
    return [
        "how much of each column is explained, and the share of its variance that comes through each level",
        columns(shown, align="right"),
        *([f"… and {len(rows) - MAX_COLUMNS} more columns (--json has all)"] if len(rows) > MAX_COLUMNS else []),
        "",
    ]


def _known(factor: str) -> str:
    return "the class" if factor == "label" else factor.replace("_", " ")


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
