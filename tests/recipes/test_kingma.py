"""The recipes m1, m2 and m1+m2."""

import pytest

from vlae.recipes import RECIPES, Recipe, build, m1, m1_m2, m2, make, rival_codes, vae, with_classes

IMAGES = (1, 16, 16)


def test_m1_is_a_vae_by_another_name():
    assert m1(IMAGES).name == "m1" and m1(IMAGES).levels == vae(IMAGES).levels
    assert m1(IMAGES).objective == vae(IMAGES).objective


@pytest.mark.parametrize("name", ["m2", "m1+m2"])
def test_labels_bring_the_classes(name):
    recipe = make(name, IMAGES)
    assert recipe.classes.code_size == 10 and recipe.classes.names == ()
    named = with_classes(recipe, values=(2, 5, 7), names=("x", "y", "z"))
    assert named.classes.names == ("x", "y", "z") and named.code_sizes == (*recipe.code_sizes[:-1], 3)
    assert named.training.labelled == 32 and named.training.batch_size == recipe.training.batch_size + 32
    assert named.objective == recipe.objective and named.objective.kind == "enumerated"
    assert Recipe.from_json(named.to_json()) == named
    assert with_classes(named, values=(2, 5, 7), names=("x", "y", "z")) == named
    with pytest.raises(ValueError, match="the recipe is for"):
        with_classes(named, values=(2, 5), names=("x", "y"))
    assert build(named).class_values == (2, 5, 7)


def test_code_sizes_are_those_below_the_class():
    assert m2(IMAGES, code_sizes=(7,)).code_sizes == (7, 10)
    assert m1_m2(IMAGES, code_sizes=(7, 3)).code_sizes == (7, 3, 10)
    assert rival_codes("m1", (2, 2, 2)) == (0, 0, 6)
    assert rival_codes("m2", (2, 2, 2)) == (6,) and rival_codes("m1+m2", (2, 2, 2)) == (6, 6)
    for name in ("m1", "m2", "m1+m2"):
        sizes = rival_codes(name, (2, 2, 2))
        assert make(name, IMAGES, code_sizes=sizes).code_sizes[: len(sizes)] == sizes
        assert RECIPES[name](IMAGES).name == name


@pytest.mark.parametrize(("name", "sizes"), [("m2", (2, 2)), ("m1+m2", (2,)), ("m1+m2", (2, 0)), ("m1", (2, 2))])
def test_other_code_sizes_are_refused(name, sizes):
    with pytest.raises(ValueError, match="code sizes are"):
        make(name, IMAGES, code_sizes=sizes)
