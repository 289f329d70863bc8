"""The levels of a run in words, and how much each of their dimensions carries."""

from typing import Any

from vlae.evaluation import level_card
from vlae.evaluation.rates import alarms, is_dead
from vlae.runs.run import Run
from vlae.shapes import is_image

DEAD_DIMENSION = 0.05  # nats; a dimension that costs less changes next to nothing


def describe_alarms(run: Run) -> list[str]:
    """Say what is to be known of a run first: a training that was cut short, and numbers that no working model has.

    Args:
        run: a finished run.

    Returns:
        The sentences of the run's page, each once; [] if there is nothing to say.
    """
    return list(dict.fromkeys([*run.shortfalls, *alarms(run.evaluation or run.summary)]))


def describe_levels(run: Run) -> list[dict[str, Any]]:
    """Describe every level that has a code.

    Args:
        run: a finished run.

    Returns:
        For each level, a dict of level, title, sentence, dead (whether its rate is next to nothing), nats (its rate,
        None if it is not measured), unread (why no picture tells its code; "" if pictures do), and dimensions. Each
        dimension is a dict of number (from 0), nats (0 if not measured) and dead, the highest rate first.
    """
    evaluation = run.evaluation
    cards = {card.level: card for card in level_card.level_cards(evaluation)} if evaluation else {}
    levels = []
    for level in run.model.levels_with_code:
        summary = run.summary["levels"][level - 1]
        title, sentence = _describe_unmeasured(run, level)
        if level in cards:
            title, sentence = cards[level].title, cards[level].sentence
            sentence = sentence[:1].upper() + sentence[1:]
        measured = summary["kl_nats_per_dimension"]  # None where the data of an unfinished run are gone
        nats = [0.0] * summary["code_size"] if measured is None else measured
        order = sorted(range(len(nats)), key=lambda i: -nats[i])
        levels.append(
            {
                "level": level,
                "title": title,
                "sentence": sentence,
                "dead": is_dead(summary),
                "nats": summary["kl_nats"],
                "unread": run.model.unread.get(level, ""),
                "dimensions": [
                    {"number": i, "nats": nats[i], "dead": measured is not None and nats[i] < DEAD_DIMENSION}
                    for i in order
                ],
            }
        )
    return levels


def _describe_unmeasured(run: Run, level: int) -> tuple[str, str]:
    """Return title and sentence of a level that has not been measured."""
    if not is_image(run.recipe.shape):
        return "not measured yet", ""
    description = run.recipe.levels[level - 1].describe()
    return description.title, description.sentence
