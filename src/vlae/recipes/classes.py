"""Any ladder with a class above its top, for data of which some have a label."""

from collections.abc import Sequence
from dataclasses import fields, replace

from vlae.models.levels import ClassLevel
from vlae.objectives.elbo import ELBO
from vlae.objectives.few_labels import FewLabels
from vlae.recipes.recipe import Recipe
from vlae.shapes import levels_with_code

LABELLED = 32
"""How many data of each batch have a label."""


def with_classes(recipe: Recipe, *, values: Sequence[int], names: Sequence[str]) -> Recipe:
    """A ladder with a class level above its top; the levels below stay what they are.

    Each batch has 32 more data, whose label is known. A recipe that has a class level already stays as it is.

    Args:
        recipe: a recipe of a VLAE, with an ELBO.
        values: the label of each class in the data, class 0 first.
        names: the name of each class.

    Raises:
        ValueError: if the recipe is of another model or objective, or is for other classes.
    """
    asked = recipe.classes
    if asked is not None:
        if asked.values != tuple(values):
            raise ValueError(f"the data have the labels {list(values)}; the recipe is for {list(asked.values)}")
        return recipe
    if recipe.model != "VLAE" or not isinstance(recipe.objective, ELBO):
        raise ValueError(
            f"labels are for a ladder that minimises an ELBO; the recipe {recipe.name!r} is a {recipe.model} with the "
            f"objective {recipe.objective.kind!r}: choose lean, joint or vae, or leave labels out"
        )
    level = ClassLevel(code_size=len(values), values=tuple(values), names=tuple(names))
    settings = {field.name: getattr(recipe.objective, field.name) for field in fields(recipe.objective)}
    training = replace(recipe.training, batch_size=recipe.training.batch_size + LABELLED, labelled=LABELLED)
    top = levels_with_code(recipe.code_sizes)[-1]
    return replace(recipe, levels=(*recipe.levels[:top], level), objective=FewLabels(**settings), training=training)
