"""The levels of a run as a report shows them: their names, their pictures, and the user's data at their ends."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlae.errors import NotDefinedError
from vlae.evaluation import level_card
from vlae.evaluation.dimension_names import SEEN, DimensionName, ends_in_data
from vlae.evaluation.level_names import LevelName, level_names
from vlae.evaluation.rates import is_dead
from vlae.figures.contents import noise_at
from vlae.figures.panels import panels
from vlae.figures.pictures import to_pictures
from vlae.figures.tiles import Tiles, level_tiles, traversal_tiles
from vlae.models.inference import as_input
from vlae.report.shown import Shown, shown_chart, shown_tiles
from vlae.runs.run import Run
from vlae.shapes import is_image
from vlae.text_table import number

ENDS = 3  # of the user's data at each end of a dimension
STEPS = 7  # pictures in a row of the traversal
MAX_ROWS = 32  # dimensions of a level in the traversal
MAX_FACTS = 6  # that are shown with bars


@dataclass(frozen=True, kw_only=True)
class Row:
    """One dimension of a level: its words, and its pictures from end to end.

    Attributes:
        name: what it does, in words.
        picture: its row of the traversal; None of vectors and categories.
        kl: its rate in nats, as text; "" if it was not measured.
    """

    name: DimensionName
    picture: Shown | None
    kl: str


@dataclass(frozen=True, kw_only=True)
class Ends:
    """The user's own data at both ends of a dimension.

    Attributes:
        dimension: its number, from 0.
        low: words for the data at its low end; "" if there are none that hold for them.
        high: words for those at its high end.
        lowest: the data that are lowest in it, the lowest first.
        highest: the data that are highest in it, the highest last.
    """

    dimension: int
    low: str
    high: str
    lowest: Shown
    highest: Shown


@dataclass(frozen=True, kw_only=True)
class LevelView:
    """A level as the report shows it.

    Attributes:
        level: its number.
        name: its name in plain words.
        dead: whether it holds next to nothing.
        panel: pictures in which only this level changes.
        sentence: what probes read from its code; "" if it was not evaluated.
        facts: its numbers: the key of the word in the glossary, the name and the value.
        told: the facts that are told best, each with its score in [0, 1].
        rows: its dimensions.
        ends: the user's own data at the ends of one dimension; None if these cannot be told.
    """

    level: int
    name: LevelName
    dead: bool
    panel: Shown
    sentence: str
    facts: Sequence[tuple[str, str, str]]
    told: Sequence[tuple[str, float]]
    rows: Sequence[Row]
    ends: Ends | None


def levels_of(run: Run) -> tuple[Shown | None, list[LevelView]]:
    """The picture that all panels start from, and every level that has a code, level 1 first.

    Args:
        run: any run.

    Returns:
        The start (None of vectors, whose panels show it as a black line), and the levels.
    """
    evaluation = run.evaluation
    examples = as_input(run.examples)
    dimensions = run.dimension_names
    cards = level_card.level_cards(evaluation) if evaluation else []
    names = level_names(dimensions, cards)
    sentences = {card.level: card.sentence for card in cards}
    rows: Mapping[tuple[int, int], Tiles] = {}
    start = None
    if is_image(run.recipe.shape):
        first, of_levels = level_tiles(run.model, run.prior, examples)
        start = shown_tiles(first)
        drawn = {level: shown_tiles(tiles, _alt(names[level])) for level, tiles in of_levels.items()}
        rows = traversal_tiles(run.model, run.prior, examples, steps=STEPS, max_rows=MAX_ROWS)
    else:
        charts = panels(run.model, prior=run.prior, held_out=examples, num=4)
        drawn = {level: shown_chart(chart, _alt(names[level])) for level, chart in zip(names, charts, strict=True)}
    codes = _codes(run) if is_image(run.recipe.shape) else None
    views = []
    for level, name in names.items():
        measured = (evaluation or run.summary)["levels"][level - 1]
        rates = measured["kl_nats_per_dimension"] or []
        views.append(
            LevelView(
                level=level,
                name=name,
                dead=measured["kl_nats"] is not None and is_dead(measured),
                panel=drawn[level],
                sentence=sentences.get(level, ""),
                facts=_facts(measured, (evaluation or {}).get("label_commonest")),
                told=_told(measured),
                rows=[
                    Row(
                        name=dimension,
                        picture=shown_tiles(rows[key], _alt_of_row(dimension)) if key in rows else None,
                        kl=f"{rates[dimension.dimension]:.2f}" if dimension.dimension < len(rates) else "",
                    )
                    for dimension in dimensions[level][:MAX_ROWS]
                    for key in [(level, dimension.dimension)]
                ],
                ends=_ends(run, dimensions[level], codes),
            )
        )
    return start, views


def _alt(name: LevelName) -> str:
    what = f": {name.title}" if name.named else ""
    return f"Data in which only level {name.level} changes{what}. {name.sentence}".strip()


def _alt_of_row(name: DimensionName) -> str:
    return f"Level {name.level}, dimension {name.dimension + 1}, from its low end to its high end: {name.text}."


def _codes(run: Run) -> Sequence[np.ndarray] | None:
    """The noise of the run's examples at each level; None if they are few, or cannot be encoded."""
    if len(run.examples) < 2 * ENDS:
        return None
    with suppress(NotDefinedError):
        return [level.cpu().numpy() for level in noise_at(run.model, as_input(run.examples))]
    return None


def _ends(run: Run, names: Sequence[DimensionName], codes: Sequence[np.ndarray] | None) -> Ends | None:
    """The user's data at the ends of that dimension whose words hold best for them; of the strongest if none hold."""
    seen = [name for name in names if name.change >= SEEN and (name.low or not name.high)]
    if codes is None or not seen:
        return None
    places = {name.dimension: codes[name.level - 1][:, name.dimension] for name in seen}
    words = {name.dimension: ends_in_data(run.model, run.examples, places[name.dimension], name) for name in seen}
    best = max(seen, key=lambda name: (words[name.dimension][2], name.change)).dimension
    low, high, _ = words[best]
    order = np.argsort(places[best], kind="stable")
    pictures = to_pictures(as_input(run.examples), run.recipe.shape, opacity=run.model.opacity)

    def shown(chosen: np.ndarray, word: str, end: str) -> Shown:
        alt = f"Pictures that are {word}." if word else f"Pictures at the {end} end of dimension {best + 1}."
        return shown_tiles(Tiles(words=alt, pictures=pictures[chosen], columns=ENDS))

    return Ends(
        dimension=best,
        low=low,
        high=high,
        lowest=shown(order[:ENDS], low, "low"),
        highest=shown(order[-ENDS:], high, "high"),
    )


def _facts(level: Mapping[str, Any], commonest: float | None) -> list[tuple[str, str, str]]:
    if level["kl_nats"] is None:
        return []
    facts = [("rate", "KL", f"{level['kl_nats']:.2f} nats, {level['share']:.0%} of all")]
    lost = level.get("without_it") or {}
    if "explained" in lost:
        facts.append(("r2", "explains of the columns' variance", number(lost["explained"], ".0%")))
    elif lost:
        facts.append(("reconstruction", "squared error without it", number(lost["mse"], "+.4f")))
    facts.append(("active", "active units", f"{number(level['active_units'], 'd')} of {level['code_size']}"))
    if (linear := level.get("label_linear_probe_accuracy")) is not None and "label_probe_accuracy" in level:
        value = f"{level['label_probe_accuracy']:.1%} (linear probe {linear:.1%}"
        value += ")" if commonest is None else f"; the commonest {commonest:.1%})"
        facts.append(("probe", "names the class", value))
    return facts


def _told(level: Mapping[str, Any]) -> list[tuple[str, float]]:
    scores = level.get("statistics", {}) | level.get("factors", {})
    named = [("class" if name == "label" else name.replace("_", " "), score) for name, score in scores.items()]
    return sorted((one for one in named if one[1] >= level_card.WEAKLY), key=lambda one: -one[1])[:MAX_FACTS]
