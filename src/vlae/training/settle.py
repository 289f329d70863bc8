"""Settings of a recipe that are left to the data."""

from dataclasses import replace

import numpy as np

from vlae.evaluation.polarity import polarity_of
from vlae.models.levels import MomentsLevel
from vlae.recipes.recipe import Recipe


def settled(recipe: Recipe, values: np.ndarray) -> Recipe:
    """A recipe in which nothing is left to the data: polarity is hidden or visible, as they ask.

    Args:
        recipe: a recipe for data of this shape.
        values: the training data, uint8 images or floats in [0, 1], (N, C, H, W); or vectors (N, D).
    """
    if not any(isinstance(level, MomentsLevel) and level.polarity == "auto" for level in recipe.levels):
        return recipe
    polarity = polarity_of(values)
    levels = tuple(
        replace(level, polarity=polarity) if isinstance(level, MomentsLevel) and level.polarity == "auto" else level
        for level in recipe.levels
    )
    return replace(recipe, levels=levels)
