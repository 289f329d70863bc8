"""Settings of a recipe that are left to the data, and what a recipe was asked for that has them settled."""

import warnings
from dataclasses import replace

import numpy as np

from vlae import recipes
from vlae.evaluation.polarity import polarity_of
from vlae.evaluation.variations import variations_of
from vlae.models.levels import ClassLevel, ContentLevel, MomentsLevel
from vlae.recipes.lean import EFFORTS, Quality
from vlae.recipes.recipe import Precision, Recipe
from vlae.shapes import is_image
from vlae.training.precision import fastest, is_processor, lacks_bf16

OFTEN = 20  # times that a picture is seen in a training, from which it is varied


def settled(
    recipe: Recipe,
    values: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    accelerator: str = "cpu",
    alone: bool = True,
) -> Recipe:
    """A recipe in which nothing is left open: whether polarity is hidden, how pictures are varied, which precision.

    Args:
        recipe: a recipe for data of this shape.
        values: the training data, uint8 images or floats in [0, 1], (N, C, H, W); or vectors (N, D).
        labels: the classes that are learned, int64 (N,), -1 where it is unknown; None: none are.
        groups: int64 (N,): pages of a file share a number from 0 up, copies one below 0. None: each is on its own.
        accelerator: the kind of device: "auto", "cpu", "gpu" or "mps".
        alone: whether one process trains.

    Raises:
        ValueError: if the objective or the likelihood cannot be trained on these data, or vectors are to be varied.
    """
    if not is_image(recipe.shape) and recipe.training.augment not in ("none", "auto"):
        raise ValueError(f"augment is {recipe.training.augment!r}, and only pictures can be varied; leave it out")
    of_data = [number is None for number in (recipe.mean, recipe.stddev)]
    if any(of_data) and (is_image(recipe.shape) or not all(of_data)):
        raise ValueError(
            f"mean is {recipe.mean} and stddev {recipe.stddev}; give a number for each, or for vectors None for both"
        )
    recipe.likelihood.check_values(values)
    recipe.objective.check_likelihood(recipe.likelihood)
    if recipe.training.optimizer == "muon" and is_processor(accelerator) and lacks_bf16():
        warnings.warn(
            "muon computes in bf16, which this processor lacks, so a step may take many times as long; choose adam",
            stacklevel=2,
        )
    recipe = replace(recipe, training=replace(recipe.training, precision=_precision(recipe, accelerator, alone)))
    recipe.objective.check_data(recipe.shape, precision=recipe.training.precision, num_data=len(values))
    if any(isinstance(level, MomentsLevel) and level.polarity == "auto" for level in recipe.levels):
        polarity = polarity_of(values, groups=groups)
        levels = [
            replace(level, polarity=polarity) if isinstance(level, MomentsLevel) and level.polarity == "auto" else level
            for level in recipe.levels
        ]
        recipe = replace(recipe, levels=tuple(levels))
    training = recipe.training
    if training.augment == "auto":
        often = training.steps * training.batch_size > OFTEN * len(values)
        varies = often and is_image(recipe.shape)
        names = variations_of(values, labels=labels, groups=groups) if varies else ()
        recipe = replace(recipe, training=replace(training, augment=",".join(names) or "none"))
    return recipe


def _precision(recipe: Recipe, accelerator: str, alone: bool) -> Precision:
    """The precision of a recipe; if it is open, the fastest that its objective bears."""
    if recipe.training.precision != "auto":
        return recipe.training.precision
    if not is_image(recipe.shape) or fastest(accelerator, alone=alone) == "fp32":
        return "fp32"
    try:
        recipe.objective.check_data(recipe.shape, precision="bf16")
    except ValueError:
        return "fp32"
    return "bf16"


def as_begun(asked: Recipe, begun: Recipe) -> Recipe:
    """A recipe with what a training has settled: content and class level, polarities, variations and precision.

    If the training was begun with that recipe, the two are now equal.

    Args:
        asked: a recipe for data of this shape.
        begun: the recipe that a training has recorded.

    Raises:
        ValueError: if there is a content level, and the recipe can have none.
    """
    content = next((level for level in begun.levels if isinstance(level, ContentLevel)), None)
    if content is not None:
        num_data = max(3, content.num_components + 1)
        asked = recipes.with_content(asked, num_features=content.num_features, num_data=num_data)
    if begun.classes is not None and begun.classes.names:
        asked = recipes.with_classes(asked, values=begun.classes.values, names=begun.classes.names)
    if asked.training.augment == "auto":
        asked = recipes.adjust(asked, augment=begun.training.augment)
    if asked.training.precision == "auto":
        asked = recipes.adjust(asked, precision=begun.training.precision)
    if len(asked.levels) != len(begun.levels):
        return asked
    levels = tuple(
        replace(level, polarity=other.polarity)
        if isinstance(level, MomentsLevel) and level.polarity == "auto" and isinstance(other, MomentsLevel)
        else level
        for level, other in zip(asked.levels, begun.levels, strict=True)
    )
    return replace(asked, levels=levels)


def own_code_sizes(begun: Recipe) -> tuple[int, ...]:
    """The code sizes that were asked for: those of all levels but content and class, which the data bring.

    Args:
        begun: the recipe that a training has recorded.
    """
    return tuple(level.code_size for level in begun.levels if not isinstance(level, ContentLevel | ClassLevel))


def qualities_of(begun: Recipe, *, own_steps: bool = True) -> list[Quality]:
    """The qualities of `lean` with which a training may have been begun; [] if it was begun with another recipe.

    Two qualities may have the same networks. Then the number of steps tells them apart, unless it was given.

    Args:
        begun: the recipe that a training has recorded.
        own_steps: whether the number of steps may be that of a quality; not if it is known that it was given.
    """
    if begun.name != "lean":
        return []
    sizes = own_code_sizes(begun)
    made = {name: as_begun(recipes.lean(begun.shape, code_sizes=sizes, quality=name), begun) for name in EFFORTS}
    smooth = begun.blocks.smooth  # no matter of quality; earlier versions did without
    alike = [
        name
        for name, one in made.items()
        if (replace(one.blocks, smooth=smooth), one.levels) == (begun.blocks, begun.levels)
    ]
    return [name for name in alike if own_steps and made[name].training.steps == begun.training.steps] or alike
