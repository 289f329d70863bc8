"""One self-contained HTML page from a run: its figures, its numbers, how it was made; it asks nothing of any server."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from vlae import runs
from vlae.runs import Run

CAPTIONS = {
    "levels": "Each panel changes one level and holds the others: what moves is what that level carries.",
    "samples": "Codes drawn from the prior at every level.",
    "reconstructions": "Held-out data above, and what comes back from its codes below.",
    "traversal": "One row per code dimension, from -2 to 2 standard deviations, everything else held.",
    "mix": "The lower levels of A with the upper levels of B.",
    "progress": "The training: distortion, and what every level's code costs.",
}

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .2rem; } p { margin: .2rem 0 .8rem; }
table { border-collapse: collapse; margin: .8rem 0; display: block; overflow-x: auto; }
th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); text-align: left; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; background: white; border-radius: 4px; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; font-size: .85rem; }
.warning { border-left: 4px solid #d80; padding-left: .8rem; }
"""

DEAD_NATS = 0.1  # a level that costs less says next to nothing about a datum


def write(run: Run, path: str | Path | None = None) -> Path:
    """Draws every figure of a run and writes its page.

    Args:
        run: a finished run.
        path: of the page; None: report.html in the run's folder.

    Returns:
        Where the page is.
    """
    path = Path(path) if path is not None else run.path / "report.html"
    kinds = [kind for kind in CAPTIONS if kind != "mix" or len(run.examples) > 1]  # it takes two to mix
    page = _page(run, [_section(run, kind) for kind in kinds])
    with runs.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with runs.whole(path) as file:
        file.write_text(page, encoding="utf-8")
    return path


def _section(run: Run, kind: str) -> str:
    run.figure(kind)
    picture = base64.b64encode((run.path / "figures" / f"{kind}.png").read_bytes()).decode()
    caption = CAPTIONS[kind]
    return (
        f"<h2>{kind.capitalize()}</h2><p>{escape(caption)}</p>"
        f'<img alt="{escape(kind)}: {escape(caption)}" src="data:image/png;base64,{picture}">'
    )


def _page(run: Run, sections: Iterable[str]) -> str:
    name = escape(run.path.name)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name} · vlae</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
        f"<h1>{name}</h1><p>{escape(_introduction(run))}</p>{_warnings(run)}{_levels(run)}{_numbers(run)}"
        f"{''.join(sections)}<h2>Recipe</h2><pre>{escape((run.path / runs.RECIPE).read_text())}</pre></body></html>"
    )


def _introduction(run: Run) -> str:
    shape = " × ".join(map(str, run.recipe.shape))
    return (
        f"A ladder of {len(run.recipe.levels)} levels, recipe {run.recipe.name}, trained on {run.data['source']} "
        f"({shape}). Level 1 is nearest the pixels."
    )


def _warnings(run: Run) -> str:
    dead = [level for level in run.summary["levels"] if level["code_size"] and level["kl_nats"] < DEAD_NATS]
    return "".join(
        f'<p class="warning">Level {level["level"]} is dead: its code costs {level["kl_nats"]:.2f} nats, '
        "so it says next to nothing about a datum.</p>"
        for level in dead
    )


def _levels(run: Run) -> str:
    total = sum(level["kl_nats"] for level in run.summary["levels"]) or 1.0
    rows = []
    for level, measured in zip(run.recipe.levels, run.summary["levels"], strict=True):
        top = measured["level"] == len(run.recipe.levels)
        reads = f"{level.grid} × {level.grid} grid" if level.reads == "grid" else level.reads
        rows.append(
            (
                measured["level"],
                level.code_size,
                measured["active_units"],
                f"{measured['kl_nats']:.2f}",
                f"{measured['kl_nats'] / total:.0%}",
                reads,
                "starts the decoder" if top else level.acts,
            )
        )
    header = ("level", "code size", "active", "KL (nats)", "share", "reads", "acts")
    return _table(header, rows)


def _numbers(run: Run) -> str:
    summary = run.summary
    rows = [(f"reconstruction {name}", f"{value:.5g}") for name, value in summary["reconstruction"].items()]
    rows += [
        ("distortion (nats per datum)", f"{summary['distortion_nats']:.2f}"),
        ("ELBO (nats per datum)", f"{summary['elbo_nats']:.2f}"),
        ("held-out data", f"{summary['num_images']:,}"),
    ]
    return _table(("held-out", "value"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    def cell(tag: str, value: object) -> str:
        number = str(value)[:1].isdigit() or str(value)[:1] == "-"
        return f"<{tag}{' class=number' if number else ''}>{escape(str(value))}</{tag}>"

    head = "".join(cell("th", name) for name in header)
    body = "".join("<tr>" + "".join(cell("td", value) for value in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
