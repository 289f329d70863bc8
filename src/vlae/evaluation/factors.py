"""What a model is judged on: how many images, and which factors of them."""

import numpy as np

from vlae.data.images import Images
from vlae.evaluation.statistics import statistics

MAX_IMAGES = 5_000
MIN_PROBED = 100  # data; with fewer, the score of a probe is too uncertain


def subset(images: Images, seed: int = 0, num: int = MAX_IMAGES) -> Images:
    """At most `num` images, chosen at random, in their original order.

    Args:
        images: the images or vectors to choose from.
        seed: of the choice.
        num: how many at most, from 1 up.
    """
    if len(images) <= num:
        return images
    return images.take(np.sort(np.random.default_rng(seed).permutation(len(images))[:num]))


def factors_of(images: Images) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The statistics of images, and the factors by which a model is judged.

    A model is judged by the true factors of the images if they are known, else by the statistics. The label is one
    more factor, unless it equals one of these.

    Args:
        images: any images or vectors; vectors have no statistics.

    Returns:
        Statistics and factors, each (N,) by name.
    """
    simple = {} if images.is_vectors else statistics(np.asarray(images.values))
    known = images.factors or simple
    if images.labels is None or any(np.array_equal(images.labels, factor) for factor in known.values()):
        return simple, dict(known)
    return simple, {**known, "label": images.labels}
