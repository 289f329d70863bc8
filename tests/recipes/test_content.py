from dataclasses import replace

import pytest

from vlae.models.levels import ContentLevel
from vlae.objectives import ELBO, FeaturesELBO
from vlae.recipes import Recipe, adjust, hvae, lean, with_classes, with_content


class Mine(ELBO, kind="of mine"):
    """An objective of somebody else."""


def test_a_content_level_stands_on_the_levels_that_were_there():
    plain = lean((3, 32, 32))
    recipe = with_content(plain, num_features=1280, num_data=600)
    assert recipe.levels[:-1] == plain.levels
    assert recipe.levels[-1] == ContentLevel(code_size=16, num_features=1280, num_components=128)
    assert with_content(plain, num_features=9, num_data=600).levels[-1].num_components == 9
    assert with_content(plain, num_features=1280, num_data=60).levels[-1].num_components == 59
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert isinstance(adjust(recipe, beta=2.0).objective, FeaturesELBO)
    assert with_content(recipe, num_features=1280, num_data=600) == recipe
    assert with_content(lean((3, 32, 32), code_sizes=(3, 3, 0)), num_features=9, num_data=99).code_sizes == (3, 3, 16)


def test_what_cannot_have_one_is_refused():
    with pytest.raises(ValueError, match="a ladder of images that minimises an ELBO"):
        with_content(hvae((3, 32, 32)), num_features=9, num_data=600)
    with pytest.raises(ValueError, match="a ladder of images"):
        with_content(lean((5,)), num_features=9, num_data=600)
    with pytest.raises(ValueError, match="gives 8 features, the recipe is for 9"):
        with_content(with_content(lean((3, 32, 32)), num_features=9, num_data=600), num_features=8, num_data=600)
    with pytest.raises(ValueError, match="the objective 'few labels' does not say how it explains features"):
        with_content(with_classes(lean((3, 32, 32)), values=(0, 1), names=("a", "b")), num_features=9, num_data=600)
    with pytest.raises(ValueError, match="the objective 'of mine' does not say how it explains features"):
        with_content(replace(lean((3, 32, 32)), objective=Mine()), num_features=9, num_data=600)
    with pytest.raises(ValueError, match="give at least 3"):
        with_content(lean((3, 32, 32)), num_features=9, num_data=2)
