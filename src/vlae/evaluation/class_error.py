"""How often a model whose top level is a class names it wrongly."""

import numpy as np

from vlae.data.images import Images
from vlae.data.labels import classes_of
from vlae.errors import NotDefinedError
from vlae.models.base import LatentModel
from vlae.models.inference import encode


def class_error(model: LatentModel, images: Images) -> float:
    """The share of the data with a known label whose most probable class under q(y|x) is another.

    Data whose probabilities are not finite do not count.

    Args:
        model: a model whose top level is a class.
        images: data of the model's shape, with labels.

    Raises:
        NotDefinedError: if the model has no classes, no datum has a label of one of them, or none a finite code.
    """
    if not model.class_names:
        raise NotDefinedError("the model has no classes")
    classes = classes_of(images, model.class_names, model.class_values)
    if classes is None:
        raise NotDefinedError("the data have no labels")
    known = np.flatnonzero(classes >= 0)
    if not len(known):
        raise NotDefinedError("no datum has a label that the model knows")
    chosen = images.take(known)
    probabilities = encode(model, np.ascontiguousarray(chosen.values), features=chosen.features)[-1][0]
    finite = np.isfinite(probabilities).all(1)
    if not finite.any():
        raise NotDefinedError("no datum has a finite code")
    return float((probabilities.argmax(1) != classes[known])[finite].mean())
