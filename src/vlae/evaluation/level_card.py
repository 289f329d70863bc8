"""The level card: an evaluation in words, with a title and a sentence for every level, and warnings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vlae.evaluation.factors import SCORED_BY
from vlae.evaluation.rates import alarms, is_dead, shortage
from vlae.text_table import number

TOPICS: Mapping[str, tuple[str, ...]] = {
    "colour": ("mean red", "mean green", "mean blue", "ink_red", "ink_green", "ink_blue", "background_red",
               "background_green", "background_blue"),
    "light": ("brightness", "contrast", "light_strength", "light_angle"),
    "edges": ("edges", "blur", "noise"),
    "place": ("x position", "y position", "x_offset", "y_offset"),
    "size": ("size", "scale"),
    "shape": ("font", "slant"),
    "content": ("label", "digit", "left_digit", "right_digit"),
}  # fmt: skip
"""The topic of each statistic and known factor. Any other factor is its own topic."""

NAMELESS = ("dead", "not named", "not measured")
"""Titles of levels that have no name."""

PREDICTED = 0.3  # score of a probe from which a level counts as predicting a factor
WEAKLY = 0.05  # score from which it counts as predicting a little of it
SURE = 2.0  # standard errors by which a score must be above 0
MOVED = 0.02  # of how far pictures differ in a statistic; a level that moves it by less does not count as moving it
CLEARLY = 0.15  # difference of complexity from which one factor counts as more complex than another


@dataclass(frozen=True)
class LevelCard:
    """The description of one level in words.

    Attributes:
        level: number of the level; 1 is nearest the pixels.
        title: two or three words, such as "colour and light".
        sentence: what the level's code predicts, and how many of its units are active.
        titles: other titles, more and more precise, for where another level has the same.
    """

    level: int
    title: str
    sentence: str
    titles: tuple[str, ...] = field(default=(), repr=False, compare=False)


def level_cards(evaluation: Mapping[str, Any]) -> list[LevelCard]:
    """The card of every level that has a code, level 1 first.

    A card names the factors that this level predicts better than every other level. If there are none, it names the
    factors that the level predicts at all; if there are none of these either, those that it predicts a little of, and
    then the statistics that it moves in the pictures. A score that is not 2 standard errors above 0 does not count.
    No two levels have the same name.

    Args:
        evaluation: the result of `vlae.evaluation.measures.evaluate`.
    """
    cards = [_card_of(evaluation, level) for level in evaluation["levels"] if level["code_size"]]
    titles = told_apart({card.level: (card.title, *card.titles) for card in cards})
    return [replace(card, title=titles[card.level]) for card in cards]


def told_apart(titles: Mapping[int, Sequence[str]]) -> dict[int, str]:
    """A title for each level, so that no two levels have the same name.

    Where the first titles are the same, each of these levels gets the first of its others that no level has; if there
    is none, the number of the level is added. Levels without a name stay so.

    Args:
        titles: for each level, by its number, one or more titles; the first is the best.

    Examples:
        >>> told_apart({1: ["place", "x position"], 2: ["place", "y position"], 3: ["place"]})
        {1: 'x position', 2: 'y position', 3: 'place'}
    """
    firsts = [of_level[0] for of_level in titles.values()]
    chosen: dict[int, str] = {}
    for level, (first, *others) in titles.items():
        if first in NAMELESS or firsts.count(first) == 1:
            chosen[level] = first
            continue
        used = {*chosen.values(), *(other for other in firsts if other != first)}
        free = [title for title in (*others, first) if title not in used]
        chosen[level] = free[0] if free else f"{first} (level {level})"
    return chosen


def warnings(evaluation: Mapping[str, Any]) -> list[str]:
    """Warnings of levels that are dead, starved or too large, of a broken order, and of scores that are not defined.

    Args:
        evaluation: the result of `vlae.evaluation.measures.evaluate`.
    """
    messages = [*alarms(evaluation), *(warning for level in evaluation["levels"] if (warning := shortage(level)))]
    worst = break_of_order(evaluation)
    if worst:
        simple, above, difficult, below = worst
        complexity = evaluation["complexity"]
        messages.append(
            f"The order breaks: {_name(simple)} (complexity {complexity[simple]:.2f}) is told best by level {above}, "
            f"above {_name(difficult)}, which is more complex ({complexity[difficult]:.2f}), in level {below}."
        )
    interval, untrained = evaluation.get("level_order_interval"), evaluation.get("level_order_untrained")
    if interval and untrained is not None and interval[0] <= untrained:
        messages.append(
            f"The order ({evaluation['level_order']:.2f}) is not surely above that of the same model untrained "
            f"({untrained:.2f})."
        )
    messages += evaluation.get("cautions", [])
    messages += [
        f"The {name.replace('_', ' ')} is not defined: {evaluation['not_defined'][name]}."
        for name in ("level_order", "level_separation")
        if name in evaluation.get("not_defined", {})
    ]
    return messages


def explained_columns(evaluation: Mapping[str, Any]) -> list[list[str]]:
    """The columns of vectors, those first of which most is explained: the rows of a table.

    Args:
        evaluation: the result of `vlae.evaluation.measures.evaluate`.

    Returns:
        For each column its name, its R², and the share of its variance that comes through each level with a code; "-"
        where it is not defined. Empty of images.
    """
    coded = [place for place, level in enumerate(evaluation["levels"]) if level["code_size"]]
    of_columns = sorted(
        evaluation.get("columns", []),
        key=lambda column: -np.inf if column["r2"] is None else column["r2"],
        reverse=True,
    )
    return [
        [column["name"], *(number(share, ".2f") for share in (column["r2"], *(column["by_level"][i] for i in coded)))]
        for column in of_columns
        if "by_level" in column
    ]


def scores(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """The scores of the ladder in words: how sure each is, and that of an untrained model and principal components.

    Args:
        evaluation: the result of `vlae.evaluation.measures.evaluate`.

    Returns:
        For told, level order and level separation, a text such as "0.33 (0.31 to 0.35); untrained 0.04; principal
        components 0.02".
    """
    lines = {}
    for name in ("told", "level_order", "level_separation"):
        if name not in evaluation:
            continue  # measured by an earlier version
        value, interval = evaluation[name], evaluation.get(f"{name}_interval")
        text = "not defined" if value is None else f"{value:.2f}"
        text += f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else ""
        for rival, words in (("untrained", "untrained"), ("components", "principal components")):
            if (theirs := evaluation.get(f"{name}_{rival}")) is not None:
                text += f"; {words} {theirs:.2f}"
        lines[name.replace("_", " ")] = text
    return lines


def break_of_order(evaluation: Mapping[str, Any]) -> tuple[str, int, str, int] | None:
    """The worst break of the order: a simple factor in a higher level than a more complex one.

    Each factor belongs to the level that predicts it best, if that score is 0.3 or more. A pair of factors breaks the
    order if their complexities differ by 0.15 or more. The worst pair has the largest product of scores.

    Args:
        evaluation: the result of `vlae.evaluation.measures.evaluate`.

    Returns:
        The simple factor, its level, the complex factor and its level; None if the order does not break.
    """
    places = {}
    for name in evaluation.get("complexity", {}):
        scores = _scores_by_level(evaluation, name)
        best = max(scores, key=lambda level: scores[level])
        if scores[best] >= PREDICTED:
            places[name] = (best, scores[best])
    complexity = evaluation.get("complexity", {})
    upside_down = [
        (places[simple][1] * places[difficult][1], simple, difficult)
        for simple in places
        for difficult in places
        if complexity[difficult] - complexity[simple] >= CLEARLY and places[simple][0] > places[difficult][0]
    ]
    if not upside_down:
        return None
    _, simple, difficult = max(upside_down)
    return simple, places[simple][0], difficult, places[difficult][0]


def _scores_by_level(evaluation: Mapping[str, Any], name: str) -> dict[int, float]:
    """How well every level with a code predicts a factor."""
    return {
        level["level"]: (level.get("statistics", {}) | level.get("factors", {})).get(name, 0.0)
        for level in evaluation["levels"]
        if level["code_size"]
    }


def _card_of(evaluation: Mapping[str, Any], level: Mapping[str, Any]) -> LevelCard:
    active = f"{number(level['active_units'], 'd')} of {level['code_size']} units active"
    if is_dead(level):
        return LevelCard(level["level"], "dead", f"costs {level['kl_nats']:.2f} nats and holds nothing; {active}.")
    names = [*level.get("statistics", {}), *level.get("factors", {})]
    if not names and (card := _by_columns(evaluation, level, active)):
        return card
    if not names and (reason := evaluation.get("not_defined", {}).get("statistics")):
        return LevelCard(level["level"], "not measured", f"{reason}; {active}.")
    by_level = {name: _scores_by_level(evaluation, name) for name in names}
    told = {
        name: scores[level["level"]]
        for name, scores in by_level.items()
        if scores[level["level"]] >= max(WEAKLY, SURE * level.get("standard_errors", {}).get(name, 0.0))
    }
    predicted = {name: score for name, score in told.items() if score >= PREDICTED}
    best = {name: score for name, score in predicted.items() if score >= max(by_level[name].values())}
    topics = _by_topic(best or predicted or told)
    if not topics:
        return _by_what_it_moves(level, active)
    title, *titles = _titles(topics)
    scored_by = evaluation.get("scored_by", {})
    commonest = evaluation.get("label_commonest")
    parts = [
        _explains(level, topic, members, names, scored_by, commonest) for topic, members in list(topics.items())[:3]
    ]
    more = ", though more of it can be read from other levels" if predicted and not best else ""
    little = "" if predicted else "little can be read from its code: it "
    return LevelCard(level["level"], title, f"{little}{', '.join(parts)}{more}; {active}.", tuple(titles))


def _by_columns(evaluation: Mapping[str, Any], level: Mapping[str, Any], active: str) -> LevelCard | None:
    """The card of a level of vectors of which no factor is known: the columns whose variance comes most through it."""
    place = level["level"] - 1
    shares = {column["name"]: column["by_level"][place] or 0.0 for column in evaluation.get("columns", [])
              if "by_level" in column}  # fmt: skip
    largest = sorted((name for name in shares if shares[name] >= PREDICTED), key=lambda name: -shares[name])
    if not shares or not largest:
        return None
    explained = ", ".join(f"{share:.0%} of {name}" for name in largest[:3] if (share := shares[name]))
    titles = tuple(listed(largest[:num]) for num in range(3, len(largest) + 1))
    return LevelCard(level["level"], listed(largest[:2]), f"explains {explained}; {active}.", titles)


def _by_what_it_moves(level: Mapping[str, Any], active: str) -> LevelCard:
    """The card of a level whose code tells of no measured factor."""
    moved = {name: share for name, share in level.get("moves", {}).items() if share >= MOVED}
    nothing = "none of the measured factors can be read from its code"
    if not moved:
        return LevelCard(level["level"], "not named", f"{nothing}; {active}.")
    title, *titles = _titles(_by_topic(moved))
    most = max(moved, key=lambda name: moved[name])
    sentence = f"{nothing}, but it moves {_name(most)} by {moved[most]:.0%} of how far pictures differ; {active}."
    return LevelCard(level["level"], title, sentence, tuple(titles))


def _titles(topics: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Titles of a level, more and more precise: its topics, its factors, more topics, more factors."""
    scores = {name: score for members in topics.values() for name, score in members.items()}
    factors = [_name(name) for name in sorted(scores, key=lambda name: -scores[name])]
    return [listed(names) for names in (list(topics)[:2], factors[:2], list(topics)[:3], factors[:3])]


def listed(names: Sequence[str]) -> str:
    """Names with commas and an "and".

    Args:
        names: one or more.

    Examples:
        >>> listed(["a"]), listed(["a", "b", "c"])
        ('a', 'a, b and c')
    """
    return ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]


def _by_topic(scores: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """The factors of every topic with their scores; the topic with the highest score comes first."""
    topics: dict[str, dict[str, float]] = {}
    for name, score in scores.items():
        topic = next((topic for topic, members in TOPICS.items() if name in members), _name(name))
        topics.setdefault(topic, {})[name] = score
    return dict(sorted(topics.items(), key=lambda item: -max(item[1].values())))


def _explains(
    level: Mapping[str, Any],
    topic: str,
    members: Mapping[str, float],
    measured: Sequence[str],
    scored_by: Mapping[str, str],
    commonest: float | None,
) -> str:
    """The words for what a level explains: the topic if all its measured factors are members, else the members."""
    if "label" in members and "label_probe_accuracy" in level:
        beside = "" if commonest is None else f" (the commonest: {commonest:.0%})"
        return f"names the class of {level['label_probe_accuracy']:.0%}{beside}"
    share = sum(members.values()) / len(members)
    names = list(members)
    for group in ("mean", "ink", "background"):  # three channels of one colour
        channels = [name for name in names if name.replace("_", " ").startswith(f"{group} ")]
        if len(channels) == 3:
            names[names.index(channels[0])] = f"{group} colour"
            names = [name for name in names if name not in channels]
    whole = len(members) > 2 and set(members) == set(measured) & set(TOPICS.get(topic, ()))
    words = topic if whole and topic != "colour" else listed([_name(name) for name in names])
    if all(scored_by.get(name) == SCORED_BY["yes or no"] for name in members):
        return f"tells {words} (AUC {(1 + share) / 2:.2f})"
    if all(scored_by.get(name) == SCORED_BY["class"] for name in members):
        return f"names {words} ({share:.0%} above chance)"
    return f"explains {share:.0%} of {words}"


def _name(factor: str) -> str:
    return "the class" if factor == "label" else factor.replace("_", " ")
