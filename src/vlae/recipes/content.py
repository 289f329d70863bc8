"""Any ladder of photographs with a content level on top."""

from dataclasses import replace

from vlae.models.levels import ContentLevel
from vlae.objectives.elbo import ELBO
from vlae.recipes.recipe import Recipe
from vlae.shapes import is_image

CODE_SIZE = 16
"""The dimensions of the content level's code."""

MAX_COMPONENTS = 128
"""The most principal components of the features that are read and explained."""


def with_content(recipe: Recipe, *, num_features: int, num_data: int) -> Recipe:
    """A ladder with a content level above its top; the levels below stay what they are.

    A recipe that has a content level already stays as it is.

    Args:
        recipe: a recipe of a VLAE for images, with an ELBO.
        num_features: F, the dimensions of the features that the network gives.
        num_data: N, the pictures to train on.

    Raises:
        ValueError: if the recipe is of another model, objective or data, or has a content level for other features.
    """
    asked = next((level for level in recipe.levels if isinstance(level, ContentLevel)), None)
    if asked is not None:
        if asked.num_features != num_features:
            raise ValueError(
                f"the network gives {num_features} features, the recipe is for {asked.num_features}; give the network "
                "that it was made for"
            )
        return recipe
    if recipe.model != "VLAE" or not isinstance(recipe.objective, ELBO) or not is_image(recipe.shape):
        raise ValueError(
            f"features are for a ladder of images that minimises an ELBO; the recipe {recipe.name!r} is a "
            f"{recipe.model} of shape {recipe.shape} with the objective {recipe.objective.kind!r}: choose lean, or "
            "leave features out"
        )
    if num_data < 3:
        raise ValueError(f"there are {num_data} pictures to train on; give at least 3 whose features can be compared")
    components = min(MAX_COMPONENTS, num_features, num_data - 1)
    level = ContentLevel(code_size=CODE_SIZE, num_features=num_features, num_components=components)
    top = recipe.levels_with_code[-1]
    return replace(recipe, levels=(*recipe.levels[:top], level), objective=recipe.objective.with_features())
