import pytest

from vlae.evaluation import level_card


def level(number, *, size=4, active=3, kl=5.0, statistics=None, factors=None, **more):
    return {
        "level": number, "code_size": size, "active_units": active, "kl_nats": kl,
        "statistics": statistics or {}, "factors": factors or {}, **more,
    }  # fmt: skip


def evaluation(*levels, complexity=None, not_defined=None):
    return {"levels": list(levels), "complexity": complexity or {}, "not_defined": not_defined or {}}


def test_a_level_is_named_by_what_it_tells_best():
    colours = {"mean red": 0.95, "mean green": 0.91, "mean blue": 0.93, "brightness": 0.9, "size": 0.1}
    low = level(1, size=5, active=4, statistics=colours)
    high = level(2, statistics=dict.fromkeys(colours, 0.4) | {"size": 0.8})
    first, second = level_card.level_cards(evaluation(low, high))
    assert (first.title, second.title) == ("colour and light", "size")
    assert first.sentence == "explains 93% of mean colour, explains 90% of brightness; 4 of 5 units active."
    assert second.sentence == "explains 80% of size; 3 of 4 units active."


def test_labels_are_told_by_their_probe():
    low = level(1, factors={"label": 0.1}, label_probe_accuracy=0.2)
    high = level(2, factors={"label": 0.8}, label_probe_accuracy=0.853)
    card = level_card.level_cards(evaluation(low, high))[1]
    assert card.title == "content" and "names the class of 85%;" in card.sentence
    beside = evaluation(low, high) | {"label_commonest": 0.98}
    assert "names the class of 85% (the commonest: 98%);" in level_card.level_cards(beside)[1].sentence


def test_a_level_that_tells_of_nothing_best_says_so():
    low, high = level(1, statistics={"brightness": 0.9}), level(2, statistics={"brightness": 0.5})
    sentence = level_card.level_cards(evaluation(low, high))[1].sentence
    assert "though more of it can be read from other levels" in sentence
    nothing = level(3, statistics={"brightness": 0.04})
    assert level_card.level_cards(evaluation(low, high, nothing))[2].title == "not named"


def test_a_level_that_tells_little_is_named_by_that_and_then_by_what_it_moves():
    low = level(1, statistics={"brightness": 0.9, "edges": 0.1})
    little = level(2, statistics={"brightness": 0.02, "edges": 0.2}, standard_errors={"brightness": 0.1, "edges": 0.05})
    unsure = level(3, statistics={"brightness": 0.0, "edges": 0.2}, standard_errors={"brightness": 0.1, "edges": 0.15},
                   moves={"brightness": 0.01, "x position": 0.3, "edges": 0.1})  # fmt: skip
    cards = level_card.level_cards(evaluation(low, little, unsure))
    assert [card.title for card in cards] == ["light", "edges", "place and edges"]
    assert cards[1].sentence.startswith("little can be read from its code: it explains 20% of edges")
    assert "but it moves x position by 30% of how far pictures differ" in cards[2].sentence


def test_classes_and_attributes_are_told_in_their_own_words():
    scored_by = {"font": "balanced accuracy above chance", "hat": "2 AUC - 1"}
    card = level_card.level_cards(
        evaluation(level(1, factors={"font": 0.8}), level(2, factors={"hat": 0.6})) | {"scored_by": scored_by}
    )
    assert "names font (80% above chance)" in card[0].sentence and "tells hat (AUC 0.80)" in card[1].sentence


def test_scores_stand_beside_those_of_what_learnt_nothing():
    these = evaluation(level(1)) | {
        "told": 0.5, "level_order": 0.3, "level_order_interval": [0.28, 0.33], "level_order_untrained": 0.04,
        "level_order_components": 0.02, "level_separation": None,
    }  # fmt: skip
    assert level_card.scores(these) == {
        "told": "0.50",
        "level order": "0.30 (0.28 to 0.33); untrained 0.04; principal components 0.02",
        "level separation": "not defined",
    }
    assert level_card.warnings(these) == []
    (warning,) = level_card.warnings(these | {"level_order_untrained": 0.29})
    assert warning == "The order (0.30) is not surely above that of the same model untrained (0.29)."


def test_a_level_with_less_than_a_nat_is_starved_and_one_with_half_its_units_too_large():
    assert level_card.shortage(level(1, size=4, active=2, kl=1.0)) is None
    assert level_card.shortage(level(1, size=0, active=0, kl=0.0)) is None
    assert level_card.shortage(level(2, size=4, active=4, kl=0.9)).startswith(
        "Level 2 is starved: its code costs 0.90 nats"
    )
    assert level_card.shortage(level(3, size=10, active=4, kl=9.0)).startswith(
        "Level 3 is too large: 4 of its 10 units"
    )
    assert level_card.warnings(evaluation(level(1, size=10, active=4, kl=9.0)))[0] == level_card.shortage(
        level(1, size=10, active=4, kl=9.0)
    )


def test_a_level_without_a_code_has_no_card_and_a_dead_one_a_warning():
    alive, empty, dead = level(1, statistics={"size": 0.9}), level(2, size=0, kl=0.0), level(3, active=0, kl=0.03)
    these = evaluation(alive, empty, dead)
    assert [(card.level, card.title) for card in level_card.level_cards(these)] == [(1, "size"), (3, "dead")]
    assert level_card.warnings(these) == [
        "Level 3 is dead: its code costs 0.03 nats, so it says next to nothing about a datum."
    ]


def test_a_break_of_order_is_named():
    complexity = {"brightness": 0.0, "size": 0.3, "label": 0.7}
    low = level(1, statistics={"brightness": 0.2, "size": 0.4}, factors={"label": 0.9})
    high = level(2, statistics={"brightness": 0.95, "size": 0.5}, factors={"label": 0.1})
    these = evaluation(low, high, complexity=complexity)
    assert level_card.break_of_order(these) == ("brightness", 2, "label", 1)
    (warning,) = level_card.warnings(these)
    assert "brightness (complexity 0.00) is told best by level 2, above the class, which is more complex" in warning


@pytest.mark.parametrize("change", ["in order", "alike", "hardly told"])
def test_no_break_is_made_up(change):
    complexity = {"brightness": 0.0, "label": 0.1 if change == "alike" else 0.7}
    strong = 0.25 if change == "hardly told" else 0.9
    low = level(1, statistics={"brightness": 0.1}, factors={"label": strong})
    high = level(2, statistics={"brightness": strong}, factors={"label": 0.1})
    if change == "in order":
        low, high = (
            level(1, **{k: high[k] for k in ("statistics", "factors")}),
            level(2, statistics=low["statistics"], factors=low["factors"]),
        )
    assert level_card.warnings(evaluation(low, high, complexity=complexity)) == []


def test_scores_that_are_not_defined_are_said():
    these = evaluation(level(1), not_defined={"level_order": "it takes two levels with a code", "udr": "no matter"})
    assert level_card.warnings(these) == ["The level order is not defined: it takes two levels with a code."]


def test_a_level_of_which_nothing_was_measured_says_so_and_why():
    few = {"level": 1, "code_size": 2, "kl_nats": 3.0, "active_units": 2, "statistics": {}, "factors": {}}
    reason = "43 pictures, 60 are needed"
    (card,) = level_card.level_cards({"levels": [few], "complexity": {}, "not_defined": {"statistics": reason}})
    assert card.title == "not measured" and card.sentence == f"{reason}; 2 of 2 units active."


def test_no_two_levels_have_one_name():
    low = level(1, statistics={"x position": 0.9, "y position": 0.4, "size": 0.1})
    high = level(2, statistics={"x position": 0.5, "y position": 0.8, "size": 0.1})
    titles = [card.title for card in level_card.level_cards(evaluation(low, high))]
    assert titles == ["x position", "y position"]
    more = level(3, statistics={"size": 0.7})
    titles = [card.title for card in level_card.level_cards(evaluation(low, high, more))]
    assert titles == ["x position", "y position", "size"]


def test_levels_that_tell_of_the_same_are_told_apart_by_their_numbers_and_nameless_ones_stay():
    same = {"brightness": 0.9}
    cards = level_card.level_cards(evaluation(*(level(number, statistics=same) for number in (1, 2, 3))))
    assert [card.title for card in cards] == ["brightness", "light", "light (level 3)"]
    dead = evaluation(*(level(number, kl=0.0, active=0) for number in (1, 2)))
    assert [card.title for card in level_card.level_cards(dead)] == ["dead", "dead"]
