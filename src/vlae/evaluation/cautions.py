"""What the reader of an evaluation must know of the data to read its numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vlae.data.images import Images
from vlae.data.labels import classes_of
from vlae.evaluation.columns import names_or_numbers
from vlae.evaluation.rates import absurdities
from vlae.models.base import LatentModel
from vlae.names import some_of
from vlae.shapes import Shape, is_image

FAR = 1_000
"""Standard deviations of the training data. Values this far from their mean are in other units, or of another kind."""

CHECKS = 2
"""Raise it with each new caution or alarm, and where a measure changes: earlier evaluations are known by it."""

EARLIER = (
    "An earlier version of vlae measured this. It found the mesh of pictures, or the metrics of the literature of few "
    "data and of copies, in another way, and looked for less that may be wrong, such as data unlike those of the "
    "training; measure it again (vlae evaluate)."
)


def cautions(model: LatentModel, images: Images) -> list[str]:
    """Sentences on values and classes that the model has not seen in its training.

    Args:
        model: any model.
        images: the data that are measured, of the model's shape.
    """
    sentences = []
    if names := far_columns(model, images):
        sentences.append(
            f"Values of {some_of(names)} are more than {FAR:,} standard deviations from the mean of the training data "
            "(a column that was constant there has 1 as its deviation); what depends on them says little."
        )
    if model.class_names and (classes := classes_of(images, model.class_names, model.class_values)) is not None:
        labels = np.asarray(images.labels)
        if (unseen := (labels >= 0) & (classes < 0)).any():
            names = [images.class_name(label) for label in np.unique(labels[unseen]).tolist()]
            sentences.append(
                f"{int(unseen.sum()):,} data are of classes that the model does not know ({some_of(names)}); "
                "they are left out of the share of classes named wrongly."
            )
    return sentences


def as_of_today(evaluation: dict[str, Any], shape: Shape, shortfalls: Sequence[str]) -> dict[str, Any]:
    """An evaluation that was kept, with what is to be told of it today.

    Args:
        evaluation: as it was kept, perhaps by an earlier version, which looked for less that may be wrong.
        shape: shape of one datum, (C, H, W) or (D,).
        shortfalls: what is to be said of the training, in sentences.

    Returns:
        The evaluation. If it was made with fewer checks than `CHECKS`, `absurd` has what its numbers tell, and
        `cautions` that the rest was not looked for.
    """
    kept = [each for each in evaluation.get("cautions", ()) if not each.startswith("Undertrained: ")]
    said = [*shortfalls, *kept]
    if evaluation.get("checks", 0) < CHECKS:
        said.append(EARLIER)
        if absurd := [*evaluation.get("absurd", ()), *absurdities(evaluation, shape)]:
            evaluation = evaluation | {"absurd": list(dict.fromkeys(absurd))}
    return evaluation | {"cautions": list(dict.fromkeys(said))}


def far_columns(model: LatentModel, images: Images, *, quantile: float = 1.0) -> list[str]:
    """The columns of vectors whose values are more than 1,000 standard deviations from the mean of the training data.

    Args:
        model: any model. Of images, and of models that do not know mean and deviation of their data, there are none.
        images: the data, of the model's shape.
        quantile: which quantile of the distances of a column must be so large, in [0, 1]: 1, the largest; 0.5, half of
            all.

    Returns:
        Their names, or numbers from 1 if they have no names.
    """
    state = model.state_dict()
    if is_image(model.shape) or "stddev" not in state:
        return []
    values = np.asarray(images.values, np.float64)
    distances = np.abs(values - state["mean"].cpu().numpy()) / state["stddev"].cpu().numpy()
    far = np.quantile(distances, quantile, axis=0) > FAR
    return [name for name, is_far in zip(names_or_numbers(images.columns, len(far)), far, strict=True) if is_far]
