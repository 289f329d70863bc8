"""The level card: an evaluation in words, with a title and a sentence for every level, and warnings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlae.evaluation.rates import is_dead, number, shortage

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
"""What the statistics and known factors are about; any other factor is its own topic."""

TOLD = 0.3  # R², or accuracy above chance, from which a level is said to tell of something
CLEARLY = 0.15  # difference of complexity from which one factor is said to be more complex than another


@dataclass(frozen=True)
class Entry:
    """What the card says of one level.

    Attributes:
        level: its number.
        title: two or three words, as "colour and light".
        sentence: what it tells of and how much of it is used.
    """

    level: int
    title: str
    sentence: str


def entries(found: Mapping[str, Any]) -> list[Entry]:
    """The card of every level that has a code, level 1 first.

    A level is described by what it tells of better than any other level does, if by anything; else by what it tells of
    at all.

    Args:
        found: what `vlae.evaluation.measures.evaluate` gives.
    """
    return [_entry(found, level) for level in found["levels"] if level["code_size"]]


def warnings(found: Mapping[str, Any]) -> list[str]:
    """What is amiss: levels that are dead, starved or too large, an order that breaks, scores that are not defined."""
    said = [warning for level in found["levels"] if (warning := shortage(level))]
    worst = break_of_order(found)
    if worst:
        simple, above, difficult, below = worst
        said.append(
            f"The order breaks: {_name(simple)}, which is simple (complexity {found['complexity'][simple]:.2f}), is "
            f"told best by level {above}, above {_name(difficult)} ({found['complexity'][difficult]:.2f}) in "
            f"level {below}."
        )
    said += [
        f"The {name.replace('_', ' ')} is not defined: {found['not_defined'][name]}."
        for name in ("level_order", "level_separation")
        if name in found.get("not_defined", {})
    ]
    return said


def break_of_order(found: Mapping[str, Any]) -> tuple[str, int, str, int] | None:
    """The worst pair that hangs upside-down: a simple factor, its level, and a more complex one in a level below.

    Among factors of which some level tells clearly (0.3 or more) and whose complexities differ clearly (by 0.15 or
    more), each placed in the level that tells of it best; the worst is where the most is told of both.
    """
    places = {}
    for name in found.get("complexity", {}):
        told = _told(found, name)
        best = max(told, key=lambda level: told[level])
        if told[best] >= TOLD:
            places[name] = (best, told[best])
    complexity = found.get("complexity", {})
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


def _told(found: Mapping[str, Any], name: str) -> dict[int, float]:
    """What every level with a code tells of a factor."""
    return {
        level["level"]: (level.get("statistics", {}) | level.get("factors", {})).get(name, 0.0)
        for level in found["levels"]
        if level["code_size"]
    }


def _entry(found: Mapping[str, Any], level: Mapping[str, Any]) -> Entry:
    used = f"{number(level['active_units'], 'd')} of {level['code_size']} units active"
    if is_dead(level):
        return Entry(level["level"], "dead", f"costs {level['kl_nats']:.2f} nats and tells of nothing; {used}.")
    names = [*level.get("statistics", {}), *level.get("factors", {})]
    told = {name: _told(found, name) for name in names}
    here = {name: values[level["level"]] for name, values in told.items() if values[level["level"]] >= TOLD}
    best = {name: value for name, value in here.items() if value >= max(told[name].values())}
    topics = _by_topic(best or here)
    if not topics:
        return Entry(level["level"], "not named", f"nothing that was measured is told by it; {used}.")
    title = " and ".join(list(topics)[:2])
    parts = [_explains(level, topic, members, names) for topic, members in list(topics.items())[:3]]
    more = "" if best else ", though other levels tell more of it"
    return Entry(level["level"], title, f"{', '.join(parts)}{more}; {used}.")


def _by_topic(scores: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """The factors of every topic with their scores; the topic that is told of best first."""
    topics: dict[str, dict[str, float]] = {}
    for name, score in scores.items():
        topic = next((topic for topic, members in TOPICS.items() if name in members), _name(name))
        topics.setdefault(topic, {})[name] = score
    return dict(sorted(topics.items(), key=lambda item: -max(item[1].values())))


def _explains(level: Mapping[str, Any], topic: str, members: Mapping[str, float], measured: Sequence[str]) -> str:
    """What a level explains of a topic: of all that was measured of it, or of those members alone, by name."""
    if "label" in members and "label_probe_accuracy" in level:
        return f"names the class of {level['label_probe_accuracy']:.0%}"
    share = sum(members.values()) / len(members)
    names = list(members)
    for group in ("mean", "ink", "background"):  # three channels of one colour
        channels = [name for name in names if name.replace("_", " ").startswith(f"{group} ")]
        if len(channels) == 3:
            names[names.index(channels[0])] = f"{group} colour"
            names = [name for name in names if name not in channels]
    listed = [_name(name) for name in names]
    whole = len(members) > 2 and set(members) == set(measured) & set(TOPICS.get(topic, ()))
    said = topic if whole and topic != "colour" else ", ".join(listed[:-1]) + " and " * (len(listed) > 1) + listed[-1]
    return f"explains {share:.0%} of {said}"


def _name(factor: str) -> str:
    return "the class" if factor == "label" else factor.replace("_", " ")
