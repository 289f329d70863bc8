"""Settings of a recipe that are left to the data."""

from dataclasses import replace

import numpy as np

from vlae.evaluation.polarity import polarity_of
from vlae.evaluation.variations import variations_of
from vlae.models.levels import MomentsLevel
from vlae.recipes.recipe import Recipe
from vlae.shapes import is_image

OFTEN = 20  # times that a picture is seen in a training, from which it is varied


def settled(recipe: Recipe, values: np.ndarray) -> Recipe:
    """A recipe in which nothing is left to the data: whether polarity is hidden, and how pictures are varied.

    Args:
        recipe: a recipe for data of this shape.
        values: the training data, uint8 images or floats in [0, 1], (N, C, H, W); or vectors (N, D).
    """
    if any(isinstance(level, MomentsLevel) and level.polarity == "auto" for level in recipe.levels):
        polarity = polarity_of(values)
        levels = [
            replace(level, polarity=polarity) if isinstance(level, MomentsLevel) and level.polarity == "auto" else level
            for level in recipe.levels
        ]
        recipe = replace(recipe, levels=tuple(levels))
    training = recipe.training
    if training.augment == "auto":
        often = training.steps * training.batch_size > OFTEN * len(values)
        names = variations_of(values) if often and is_image(recipe.shape) else ()
        recipe = replace(recipe, training=replace(training, augment=",".join(names) or "none"))
    return recipe
