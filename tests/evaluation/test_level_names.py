from vlae.evaluation.dimension_names import DimensionName
from vlae.evaluation.level_card import LevelCard
from vlae.evaluation.level_names import level_names


def dimension(level, number=0, *, low="", high="", change=0.5, coarse=1.0, **effects):
    effects = {name.replace("_", " "): effect for name, effect in effects.items()}
    return DimensionName(
        level=level, dimension=number, low=low, high=high, change=change, coarse=coarse, effects=effects
    )


def darker(level, **more):
    return dimension(level, low="darker", high="lighter", brightness=2.0, **more)


def test_a_level_is_named_by_what_its_dimensions_change_most():
    bluer = dimension(1, 1, low="bluer", high="more orange", redness=1.5, yellowness=1.5, change=0.2)
    larger = dimension(2, low="larger", high="smaller", size=-1.0, contrast=0.1)
    names = level_names({1: [darker(1), bluer], 2: [larger]})
    assert (names[1].title, names[2].title) == ("colour and brightness", "size")
    assert names[1].named and names[2].named
    assert names[1].sentence == "With it, pictures get darker or lighter; bluer or more orange."
    assert names[2].sentence == "With it, pictures get larger or smaller."


def test_a_card_names_a_level_before_its_dimensions_do_unless_it_has_no_name():
    cards = [LevelCard(1, "light", "explains 90% of brightness."), LevelCard(2, "not named", "nothing.")]
    names = level_names({1: [darker(1)], 2: [darker(2)]}, cards)
    assert (names[1].title, names[2].title) == ("light", "brightness")


def test_no_two_levels_have_one_name():
    contrast = dimension(2, 1, low="lower in contrast", high="higher in contrast", contrast=0.5)
    names = level_names({1: [darker(1)], 2: [darker(2), contrast], 3: [darker(3)], 4: [darker(4)]})
    titles = [name.title for name in names.values()]
    assert len(set(titles)) == 4 and "brightness and contrast" in titles


def test_a_level_without_words_says_so_in_honest_ones_that_differ():
    fine, coarse, nothing = dimension(1, coarse=0.1), dimension(2, coarse=0.9), dimension(3, change=0.001)
    names = level_names({1: [fine], 2: [coarse], 3: [nothing], 4: [dimension(4, coarse=0.9)]})
    assert names[1].title == "small parts, no word for it"
    assert "large parts" in names[2].title and "large parts" in names[4].title and names[2].title != names[4].title
    assert names[3].title == "next to nothing"
    assert not any(name.named or name.sentence for name in names.values())


def test_a_level_of_which_most_has_no_word_is_not_named_by_the_rest():
    names = level_names({1: [darker(1, change=0.1), dimension(1, 1, change=0.5)]})
    assert not names[1].named and names[1].sentence == "With it, pictures get darker or lighter."


def test_a_level_of_a_table_is_named_by_its_columns_and_one_of_classes_by_that():
    wine = dimension(1, low="less sugar, more age", high="more sugar, less age", sugar=2.0, age=-1.5)
    classes = [dimension(2, number, high=name, change=1.0) for number, name in enumerate(("cat", "dog"))]
    names = level_names({1: [wine], 2: classes})
    assert names[1].title == "sugar and age" and names[1].sentence == "It raises or lowers sugar."
    assert names[2].title == "which class" and names[2].named
    assert level_names({2: classes}, [LevelCard(2, "content", "names the class of 90%.")])[2].title == "which class"
