"""One self-contained HTML page of a run: its level cards, its figures, its numbers and its recipe.

The page loads nothing from a server.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

from vlae.atomic import whole, writing
from vlae.data.depths import listed_range
from vlae.errors import NotDefinedError
from vlae.evaluation import level_card
from vlae.evaluation.rates import alarms, shortage
from vlae.evaluation.text import ERRORS, LIKELIHOOD_CAUTION, pictures
from vlae.figures import thumbnails
from vlae.figures.kinds import KINDS
from vlae.figures.panels import panels
from vlae.models.inference import as_input
from vlae.names import printable
from vlae.runs import layout
from vlae.runs.run import Run
from vlae.shapes import is_image
from vlae.text_table import number

CONTENT_STYLE = """
h2 { font-size: 1.15rem; font-weight: 600; margin: 2.2rem 0 .2rem; }
p { margin: .2rem 0 .8rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: .8rem 0; display: block; overflow-x: auto; }
th, td { padding: .25rem .9rem .25rem 0; border: 0; border-bottom: 1px solid #8884; text-align: left; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; background: white; border-radius: 4px; margin: 0; }
pre { background: #8882; padding: .8rem; overflow-x: auto; font-size: .85rem; }
summary { cursor: pointer; margin: 1rem 0; }
.warning { border-left: 4px solid #d80; padding-left: .8rem; }
.card { display: grid; grid-template-columns: minmax(8rem, 14rem) minmax(0, 1fr); gap: 1.2rem; align-items: start;
  border-top: 1px solid #8884; padding: 1rem 0; }
.card h2 { margin: 0; } .card img { width: 100%; image-rendering: pixelated; }
.bar { display: inline-block; width: var(--full, 8rem); fill: #37c; vertical-align: middle; }
.card.wide { grid-template-columns: minmax(0, 1fr); } .card.wide img { width: auto; image-rendering: auto; }
.card td { border: 0; padding-top: 0; padding-bottom: 0; line-height: 1.35; }
.card td:has(.bar) { white-space: nowrap; }
@media (max-width: 30rem) {
  .card { grid-template-columns: 1fr; --full: 5rem; }
  .card img { max-width: 14rem; }
}
"""
"""CSS of the content of a page: of this report and of the web app."""

STYLE = f"""
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.6rem; overflow-wrap: anywhere; }}
{CONTENT_STYLE}"""


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
    page = _page(run, content(run))
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as file:
        file.write_text(page, encoding="utf-8")
    return path


def content(run: Run) -> str:
    """The content of a run's page as HTML: warnings, level cards, numbers, the figures in its folder, and evidence.

    Args:
        run: a finished run; nothing is written in its folder.
    """
    evaluation = run.evaluation
    levels = _cards(run, evaluation) if evaluation else _levels(run)
    kinds = [kind for kind in KINDS if (run.outputs / layout.FIGURES / f"{kind}.png").exists()]
    sections = "".join(_section(run, kind) for kind in kinds)
    columns = _columns(evaluation) if evaluation else ""
    numbers = f"{_numbers(run, evaluation)}{columns}"
    return f"{_warnings(run, evaluation)}{levels}{numbers}{sections}{_measurements(evaluation)}"


def _section(run: Run, kind: str) -> str:
    picture = base64.b64encode((run.outputs / layout.FIGURES / f"{kind}.png").read_bytes()).decode()
    caption = KINDS[kind].caption
    return (
        f"<h2>{kind.capitalize()}</h2><p>{escape(caption)}</p>"
        f'<img alt="{escape(kind)}: {escape(caption)}" src="data:image/png;base64,{picture}">'
    )


def _page(run: Run, body: str) -> str:
    name = escape(run.name)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name} · vlae</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
        f"<h1>{name}</h1><p>{escape(_introduction(run))}</p>{body}"
        f"{_folded('Recipe', (run.path / layout.RECIPE).read_text())}</body></html>"
    )


def _introduction(run: Run) -> str:
    shape = " × ".join(map(str, run.recipe.shape))
    if run.value_range is not None:
        shape += f", numbers from {listed_range(run.value_range)}"
    return (
        f"A {run.recipe.model} of {len(run.recipe.levels)} levels, recipe {run.recipe.name}, trained on "
        f"{printable(run.data['source'])} ({shape}). Level 1 is nearest the data."
    )


def _warnings(run: Run, evaluation: Mapping[str, Any] | None) -> str:
    if evaluation:
        messages = level_card.warnings(evaluation)
    else:
        messages = alarms(run.summary)
        messages += [warning for level in run.summary["levels"] if (warning := shortage(level))]
        messages.append(
            f"What the levels carry has not been measured yet; do it with: vlae evaluate {printable(str(run.path))}"
        )
    if run.undertrained is not None:
        messages = [str(run.undertrained), *messages]
    return "".join(f'<p class="warning">{escape(warning)}</p>' for warning in dict.fromkeys(messages))


def _cards(run: Run, evaluation: Mapping[str, Any]) -> str:
    """The level cards: for every level its picture, its description in words, and its numbers."""
    pictures = panels(run.model, prior=run.prior, held_out=as_input(run.examples), num=4)
    kind = "card" if is_image(run.recipe.shape) else "card wide"
    alt = "changes, the others hold"
    return "".join(
        f'<section class="{kind}"><img alt="level {card.level} {alt}" src="{thumbnails.png(picture)}">'
        f"<div><h2>Level {card.level} · {escape(card.title)}</h2>"
        f"<p>Level {card.level}: {escape(card.title)}: {escape(card.sentence)}</p>"
        f"{_facts(evaluation, card.level)}</div></section>"
        for card, picture in zip(level_card.level_cards(evaluation), pictures, strict=True)
    )


def _facts(evaluation: Mapping[str, Any], number_of_level: int) -> str:
    level = evaluation["levels"][number_of_level - 1]
    if level["kl_nats"] is None:
        return ""
    rows = [("KL", f"{level['kl_nats']:.2f} nats, {level['share']:.0%} of all")]
    lost = level["without_it"]
    if "explained" in lost:
        rows.append(("explains of the columns' variance", number(lost["explained"], ".0%")))
    else:
        rows.append(("squared error without it", f"{lost['mse']:+.4f}"))
    if (linear := level.get("label_linear_probe_accuracy")) is not None and "label_probe_accuracy" in level:
        rows.append(("names the class", f"{level['label_probe_accuracy']:.1%} (linear probe {linear:.1%})"))
    scores = level.get("statistics", {}) | level.get("factors", {})
    best = sorted(((name, max(0.0, score)) for name, score in scores.items()), key=lambda item: -item[1])[:6]
    facts = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
    bars = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td>"
        f'<td><svg class="bar" viewBox="0 0 100 7"><rect width="{100 * value:.0f}" height="7" rx="1.5"/></svg> '
        f"{value:.2f}</td></tr>"
        for name, value in best
    )
    return f"<table>{facts}{bars}</table>"


def _levels(run: Run) -> str:
    rows = []
    for level, measured in zip(run.recipe.levels, run.summary["levels"], strict=True):
        top = measured["level"] == len(run.recipe.levels)
        described = level.describe()
        rows.append(
            (
                measured["level"],
                level.code_size,
                number(measured["active_units"], "d"),
                number(measured["kl_nats"], ".2f"),
                number(measured["share"], ".0%"),
                described.reads,
                "starts the decoder" if top else described.acts,
            )
        )
    header = ("level", "code size", "active", "KL (nats)", "share", "reads", "acts")
    return _table(header, rows)


def _numbers(run: Run, evaluation: Mapping[str, Any] | None) -> str:
    summary = evaluation or run.summary
    rows = [(ERRORS[name], number(value, ".5g")) for name, value in summary["reconstruction"].items()]
    if "features_distortion_nats" in summary:
        rows.append(("distortion of the features (nats per datum)", f"{summary['features_distortion_nats']:.2f}"))
    rows += [
        ("distortion (nats per datum)", number(summary["distortion_nats"], ".2f")),
        ("ELBO (nats per datum)", number(summary["elbo_nats"], ".2f")),
        ("held-out data", f"{summary['num_images']:,}"),
        ("new data are drawn from", run.prior.describe()),
    ]
    if evaluation:
        meanings = {
            "level order": "simple below complex: 1 perfect, 0 none, -1 upside-down",
            "level separation": "1 each in its own level, 0 none",
            "told": "mean of the best level, 0 to 1",
        }
        scores = level_card.scores(evaluation)
        rows = [(f"{name} ({meanings[name]})", scores[name]) for name in meanings if name in scores] + rows
        if probed := evaluation.get("protocol", {}).get("probed"):
            rows.append(("data that probes are scored on", f"{probed['num_images']:,}"))
        rows += pictures(evaluation).items()
    caution = "" if summary["elbo_nats"] is None else f"<p>{escape(LIKELIHOOD_CAUTION)}</p>"
    return _table(("held-out", "value"), rows) + caution


def _columns(evaluation: Mapping[str, Any]) -> str:
    """How much of each column of vectors is explained, and by which level."""
    rows = level_card.explained_columns(evaluation)
    if not rows:
        return ""
    levels = [f"level {level['level']}" for level in evaluation["levels"] if level["code_size"]]
    return (
        "<h2>Columns</h2><p>R² of each column's reconstruction, and the share of its variance that comes through each "
        f"level.</p>{_table(('column', 'R²', *levels), rows)}"
    )


def _measurements(evaluation: Mapping[str, Any] | None) -> str:
    """How well every level predicts every statistic and factor, the complexity of each, and the protocol."""
    if not evaluation:
        return ""
    levels = [level for level in evaluation["levels"] if level["code_size"]]
    scores = [level.get("statistics", {}) | level.get("factors", {}) for level in levels]
    if "protocol" in evaluation and not scores[0]:
        return _folded("Protocol", json.dumps(evaluation["protocol"], indent=2))
    names = sorted(scores[0], key=lambda name: evaluation["complexity"].get(name, 2.0))
    rows = [
        (
            name.replace("_", " "),
            f"{evaluation['complexity'][name]:.2f}" if name in evaluation["complexity"] else "",
            *(f"{of_level[name]:.2f}{_error(level, name)}" for level, of_level in zip(levels, scores, strict=True)),
        )
        for name in names
    ]
    header = ("told by each level", "complexity", *(f"level {level['level']}" for level in levels))
    return (
        "<h2>Evidence</h2><p>How well a probe predicts each factor from one level's code alone, ± its standard error. "
        "It is R² of a number, balanced accuracy above chance of a class, 2 AUC - 1 of yes or no; the simple first. "
        "Complexity is the capacity a probe on the data needs, 0 to 1; where it is left empty the order is not "
        "judged by that row.</p>"
        f"{_table(header, rows)}{_folded('Protocol', json.dumps(evaluation['protocol'], indent=2))}"
    )


def _error(level: Mapping[str, Any], name: str) -> str:
    error = level.get("standard_errors", {}).get(name)
    return "" if error is None else f" ± {error:.2f}"


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary><pre>{escape(text)}</pre></details>"


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    def cell(tag: str, value: object) -> str:
        is_number = re.fullmatch(r"-|[-+]?[\d.,]+%?( ± [\d.]+)?", str(value))
        return f"<{tag}{' class=number' if is_number else ''}>{escape(str(value))}</{tag}>"

    head = "".join(cell("th", name) for name in header)
    body = "".join("<tr>" + "".join(cell("td", value) for value in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
