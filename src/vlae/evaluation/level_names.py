"""What each level does, in plain words: from what its dimensions change, and from its card if there is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vlae.evaluation.dimension_names import SEEN, DimensionName
from vlae.evaluation.level_card import NAMELESS, LevelCard, listed, told_apart

TOPICS: Mapping[str, tuple[str, ...]] = {
    "colour": ("redness", "yellowness", "saturation"),
    "brightness": ("brightness",),
    "contrast": ("contrast",),
    "where it is light": ("light across", "light down", "light inside"),
    "detail": ("detail",),
    "size": ("size",),
    "place": ("x position", "y position"),
    "form": ("slant", "width"),
}
"""The topic of each quantity that dimensions change. A column of vectors is its own topic."""

LARGE = 0.25
"""A second topic is named if it has this share of all that the level changes in the quantities that have words."""

TOLD = 1 / 3
"""A level has a name if dimensions with names make this share of all that its dimensions change."""

COARSE = 0.5
"""A level changes large parts of pictures if this share of the change is left in a 4 × 4 grid of means."""

CLASS = "which class"
"""The title of a level whose code is a class with a name."""

MAX_CHANGES = 3  # dimensions in the sentence


@dataclass(frozen=True, kw_only=True)
class LevelName:
    """What one level does, in plain words.

    Attributes:
        level: number of the level; 1 is nearest the pixels.
        title: two or three words, such as "colour and brightness", which no other level has.
        named: whether the title names what the level holds; else it says that there is no word for it.
        sentence: what the level changes, such as "With it, pictures get darker or lighter; bluer or more orange.";
            "" if no dimension has a name.
    """

    level: int
    title: str
    named: bool
    sentence: str


def level_names(
    dimensions: Mapping[int, Sequence[DimensionName]], cards: Sequence[LevelCard] = ()
) -> dict[int, LevelName]:
    """Names each level: by its card if that has a name, else by what its dimensions change. A class is called so.

    Args:
        dimensions: of each level that has a code, from `vlae.evaluation.dimension_names.dimension_names`.
        cards: of the levels, if the model has been evaluated, from `vlae.evaluation.level_card.level_cards`.

    Returns:
        For each level that has a code, by its number, its name. No two levels have the same title.
    """
    by_card = {card.level: (card.title, *card.titles) for card in cards if card.title not in NAMELESS}
    titles = {level: by_card.get(level) or _titles(names) for level, names in dimensions.items()}
    titles |= {level: (CLASS,) for level, names in dimensions.items() if any(n.high and not n.low for n in names)}
    named = {level: bool(of_level) for level, of_level in titles.items()}
    titles |= {level: _without_words(dimensions[level]) for level in titles if not titles[level]}
    apart = told_apart(titles)
    return {
        level: LevelName(
            level=level,
            title=apart[level],
            named=named[level],
            sentence=_sentence(names),
        )
        for level, names in dimensions.items()
    }


def _titles(names: Sequence[DimensionName]) -> tuple[str, ...]:
    """Titles by what changes most, the best first; none if most of what changes has no word."""
    changed, told = (sum(name.change for name in some) for some in (names, [name for name in names if name.high]))
    power: dict[str, float] = {}
    for name in names:
        for quantity, effect in name.effects.items():
            if name.high and quantity in name.large:
                topic = next((topic for topic, members in TOPICS.items() if quantity in members), quantity)
                power[topic] = power.get(topic, 0.0) + effect**2
    if told < TOLD * changed or not power:
        return ()
    largest = sorted(power, key=lambda topic: -power[topic])
    least = LARGE * sum(power.values()) if largest[0] in TOPICS else 0.0
    first = [topic for topic in largest[:2] if power[topic] >= least] or largest[:1]
    return tuple(dict.fromkeys(listed(part) for part in (first, *(largest[:num] for num in (2, 3, 4, 1)))))


def _without_words(names: Sequence[DimensionName]) -> tuple[str, ...]:
    changed = sum(name.change for name in names)
    if changed < SEEN:
        return ("next to nothing",)
    coarse = sum(name.change * name.coarse for name in names) / changed
    parts = "large parts" if coarse >= COARSE else "small parts"
    return (f"{parts}, no word for it",)


def _sentence(names: Sequence[DimensionName]) -> str:
    """The ends of the dimensions that change most, each only once."""
    pairs: list[tuple[str, str]] = []
    for name in sorted(names, key=lambda name: -name.change):
        ends = (name.low.split(", ")[0], name.high.split(", ")[0])
        if all(ends) and not any(set(ends) & set(pair) for pair in pairs):
            pairs.append(ends)
    columns = [low.partition(" ")[2] for low, high in pairs if {low[:5], high[:5]} == {"less ", "more "}]
    if not pairs:
        return ""
    if len(columns) == len(pairs):
        return f"It raises or lowers {listed(columns[:MAX_CHANGES])}."
    return f"With it, pictures get {'; '.join(f'{low} or {high}' for low, high in pairs[:MAX_CHANGES])}."
