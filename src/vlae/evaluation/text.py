"""An evaluation as text for a terminal."""

from collections.abc import Mapping
from typing import Any

from vlae.evaluation import level_card
from vlae.text_table import columns


def as_text(evaluation: Mapping[str, Any]) -> str:
    """A table of the levels, the sentences of their cards, the scores and the warnings.

    Args:
        evaluation: the result of `vlae.evaluation.measures.evaluate`.
    """
    scores = {"level order": evaluation["level_order"], "level separation": evaluation["level_separation"]}
    scores |= {"squared error": evaluation["reconstruction"].get("mse"), "ELBO (nats)": evaluation["elbo_nats"]}
    optional = {"log-likelihood (nats)": "log_likelihood_nats", "UDR": "udr"}
    scores |= {name: evaluation[key] for name, key in optional.items() if key in evaluation}
    lines = [
        _table_of_levels(evaluation),
        "",
        *(f"level {card.level}: {card.title}: {card.sentence}" for card in level_card.level_cards(evaluation)),
        "",
        *(f"{name:>24}  {'not defined' if value is None else f'{value:.4g}'}" for name, value in scores.items()),
        *(f"! {warning}" for warning in level_card.warnings(evaluation)),
    ]
    return "\n".join(lines)


def _table_of_levels(evaluation: Mapping[str, Any]) -> str:
    header = ["level", "code", "active", "KL nats", "share", "error without it"]
    probed = any("label_probe_accuracy" in level for level in evaluation["levels"])
    rows = [[*header, "names the class"] if probed else header]
    for level in evaluation["levels"]:
        lost = level["without_it"]
        cells = [
            str(level["level"]),
            str(level["code_size"]),
            _cell(level["active_units"], ""),
            _cell(level["kl_nats"], ".2f"),
            _cell(level["share"], ".0%"),
            f"+{lost['mse']:.4f}" if lost else "-",
        ]
        rows.append([*cells, _cell(level.get("label_probe_accuracy"), ".1%")] if probed else cells)
    return columns(rows, align="right")


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
