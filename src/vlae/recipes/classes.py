"""Any ladder with a class above its top, for data of which some have a label."""

from collections.abc import Sequence
from dataclasses import fields, replace

from vlae.models.levels import ClassLevel
from vlae.objectives.elbo import ELBO
from vlae.objectives.features import FeaturesELBO
from vlae.objectives.few_labels import FewLabels
from vlae.recipes.recipe import Recipe
from vlae.shapes import levels_with_code

LABELLED = 32
"""How many data of each batch have a label."""


def with_classes(recipe: Recipe, *, values: Sequence[int], names: Sequence[str]) -> Recipe:
    """A recipe with a class level on top, for the classes of the data; the levels below stay what they are.

    A ladder gets one above its top. Where a class level is there already, but without classes, they are filled in. Each
    batch has 32 more data, whose label is known. A recipe that names its classes stays as it is.

    Args:
        recipe: a recipe of a VLAE, with an ELBO; or one whose top level is a class.
        values: the label of each class in the data, class 0 first.
        names: the name of each class.

    Raises:
        ValueError: if the recipe is of another model or objective, or is for other classes.
    """
    asked = recipe.classes
    level = ClassLevel(code_size=len(values), values=tuple(values), names=tuple(names))
    training = replace(recipe.training, batch_size=recipe.training.batch_size + LABELLED, labelled=LABELLED)
    if asked is not None and not asked.names:
        return replace(recipe, levels=(*recipe.levels[:-1], level), training=training)
    if asked is not None:
        if asked.values != tuple(values):
            raise ValueError(f"the data have the labels {list(values)}; the recipe is for {list(asked.values)}")
        return recipe
    if recipe.name == "m1":
        raise ValueError("m1 learns without labels; train it so, and then: vlae classify RUN DATA --labels NUMBER")
    if recipe.model != "VLAE" or type(recipe.objective) not in (ELBO, FeaturesELBO):
        raise ValueError(
            f"labels are for a ladder that minimises an ELBO; the recipe {recipe.name!r} is a {recipe.model} with the "
            f"objective {recipe.objective.kind!r}: choose lean, joint, vae, m2 or m1+m2, or leave labels out"
        )
    settings = {field.name: getattr(recipe.objective, field.name) for field in fields(recipe.objective)}
    top = levels_with_code(recipe.code_sizes)[-1]
    return replace(recipe, levels=(*recipe.levels[:top], level), objective=FewLabels(**settings), training=training)
