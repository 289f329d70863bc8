"""What a training begins with: the recipe that was asked for, its model, and the statistics of the data."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vlae import recipes
from vlae.data import DataError, Images
from vlae.data.labels import Known
from vlae.evaluation.polarity import edges_tell_polarity
from vlae.models.base import LatentModel
from vlae.names import some_of
from vlae.nn.components import PrincipalComponents
from vlae.nn.pretrained import FeatureNetwork, open_network
from vlae.recipes import Recipe, Settings, build
from vlae.recipes.lean import default_codes
from vlae.training.precision import fastest
from vlae.training.settle import settled

MOST_PASSES = 100
"""How often a datum may be seen for more steps than those of "standard"; later it is learned by heart."""

LEAST_STDDEV, MOST_STDDEV = 1e-14, 1e16
"""Of a column of vectors: beyond these, the square of a small error is 0, or that of a large one infinite."""


def make_recipe(
    recipe: str | Recipe,
    images: Images,
    code_sizes: Sequence[int] | None,
    deep_heads: bool,
    quality: recipes.Quality | None,
    *,
    num: int | None = None,
    batch_size: int | None = None,
) -> Recipe:
    """The recipe that was asked for, before its settings change it.

    The quality "high" has more steps than "standard" only while each datum is seen at most MOST_PASSES times.

    Args:
        recipe: its name, or a recipe.
        images: the training data.
        code_sizes: dimensions of every level's code, level 1 first; None: the recipe's own, with a larger top where the
            pictures are photographs.
        deep_heads: whether each posterior encodes h_{l-1} again.
        quality: of lean; None: standard.
        num: the number of data to train on; None: not known.
        batch_size: that was asked for; None: the recipe's own.

    Raises:
        ValueError: if a recipe's levels are chosen that has them already.
    """
    if isinstance(recipe, str):
        sizes = sizes_for(recipe, images.values, images.groups) if code_sizes is None else code_sizes
        made = recipes.make(recipe, images.shape, code_sizes=sizes, deep_heads=deep_heads, quality=quality)
        if quality != "high" or num is None:
            return made
        standard, training = recipes.make(recipe, images.shape, code_sizes=sizes).training, made.training
        enough = max(standard.steps, MOST_PASSES * num // (batch_size or training.batch_size))
        return recipes.adjust(made, steps=min(training.steps, enough))
    if code_sizes is not None or deep_heads or quality is not None:
        raise ValueError(
            "code_sizes, deep_heads and quality choose a recipe's levels; here the recipe has them already"
        )
    return recipe


def sizes_for(recipe: str, values: np.ndarray, groups: np.ndarray | None = None) -> tuple[int, ...] | None:
    """The code sizes that the data ask for: what a photograph is of takes more numbers than a digit.

    Pictures whose edges tell light from dark count as photographs (`vlae.evaluation.polarity.edges_tell_polarity`).

    Args:
        recipe: its name.
        values: the training data, uint8 images or floats in [0, 1], (N, C, H, W); or vectors (N, D).
        groups: int64 (N,): pages of a file share a number from 0 up, copies one below 0. None: each is on its own.

    Returns:
        The sizes, level 1 first; None: the recipe's own.
    """
    shape = values.shape[1:]
    sizes = default_codes(shape, rich=True)
    if recipe not in recipes.SIZED_BY_SHAPE or sizes == default_codes(shape):
        return None
    return recipes.rival_codes(recipe, sizes) if edges_tell_polarity(values, groups=groups) else None


def choose(
    recipe: Recipe,
    images: Images,
    known: Known | None,
    settings: Settings,
    *,
    accelerator: str = "cpu",
    alone: bool = True,
) -> Recipe:
    """The recipe with the levels that the data bring, and with the settings.

    Args:
        recipe: for data of this shape.
        images: the training data.
        known: the labels that a class above the top learns; None: there is none.
        settings: those that were asked for.
        accelerator: the kind of device: "auto", "cpu", "gpu" or "mps".
        alone: whether one process trains.

    Raises:
        ValueError: if a setting does not fit.
    """
    if images.features is not None:
        recipe = recipes.with_content(recipe, num_features=images.features.shape[1], num_data=len(images))
    if known is not None:
        settings = settings.copy()  # the batch size is that of all data; those with a label come on top
        recipe = recipes.adjust(recipe, batch_size=settings.pop("batch_size", None))
        recipe = recipes.with_classes(recipe, values=known.values, names=known.names)
    recipe = recipes.adjust(recipe, **settings)
    labels = None if known is None else known.labels
    recipe = settled(recipe, images.values, labels=labels, groups=images.groups, accelerator=accelerator, alone=alone)
    if settings.get("precision") == "bf16" and fastest(accelerator) == "fp32":
        warnings.warn(
            "bf16 is no faster than fp32 on this machine; leave precision out to take the faster", stacklevel=3
        )
    return recipe


def network_of(features: str | Path | FeatureNetwork | None, side: int | None) -> FeatureNetwork | None:
    """The feature network that was asked for.

    Args:
        features: a .pt, .pt2 or .onnx file, "timm:NAME", "hf:USER/NAME", or an open network; None: there is none.
        side: of its pictures, in pixels; None: as it says.

    Raises:
        ValueError: if a side is given without a network, or the network cannot be opened.
    """
    if features is None or isinstance(features, FeatureNetwork):
        if side is not None:
            raise ValueError("features_side is the side of a feature network's pictures; give its file or name, too")
        return features
    return open_network(features, side=side)


def build_model(recipe: Recipe, images: Images, *, mean: Tensor | None, stddev: Tensor | None) -> LatentModel:
    """The untrained model, which knows the mean and the components of the data's features.

    Args:
        recipe: for data of this shape.
        images: the training data.
        mean: of each dimension; None: the recipe's own.
        stddev: of each dimension; None: the recipe's own.

    Raises:
        ValueError: if the recipe reads features and the data have none.
    """
    model = build(recipe, mean=mean, stddev=stddev)
    if model.num_features:
        if images.features is None:
            raise ValueError("the recipe reads features of pictures; give the network that it was made for as features")
        for part in model.modules():
            if isinstance(part, PrincipalComponents):
                part.fit(images.features)
    return model


def statistics_of(values: np.ndarray, columns: Sequence[str] = ()) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each dimension; 1 for one that does not vary, which is not scaled.

    Args:
        values: float32 vectors (N, D).
        columns: their names; (): they have none, and are numbered from 0 in messages.

    Returns:
        Two float32 tensors (D,).

    Raises:
        DataError: if a standard deviation is too small or large for single precision.
    """
    varies = values.max(0) > values.min(0)
    values = np.asarray(values, np.float64)
    stddev = np.where(varies, values.std(0), 1.0)
    far = (stddev < LEAST_STDDEV) | (stddev > MOST_STDDEV)
    if far.any():
        places = np.flatnonzero(far).tolist()
        names = [columns[place] if columns else str(place) for place in places]
        counted = "" if columns else ", counted from 0,"
        raise DataError(
            f"the standard deviation of column {some_of(names)}{counted} is {stddev[far].flat[0]:.0e}, and single "
            f"precision holds {LEAST_STDDEV:.0e} to {MOST_STDDEV:.0e}; scale it, or leave it out"
        )
    return torch.as_tensor(values.mean(0), dtype=torch.float32), torch.as_tensor(stddev, dtype=torch.float32)
