"""The protocol of an evaluation: every setting on which its numbers depend, and a hash of all."""

import hashlib
import json
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from vlae.data.images import Images
from vlae.evaluation import complexity as pixels
from vlae.evaluation import (
    disentanglement,
    factors,
    information,
    judging,
    level_order,
    metrics,
    pictures,
    probes,
    rates,
)
from vlae.evaluation.complexity import ProbeScores
from vlae.evaluation.factors import subset
from vlae.evaluation.feature_spaces import DEFAULT, FeatureSpace
from vlae.evaluation.kin import kin_of


def protocol(
    images: Images,
    *,
    probed: Images | None = None,
    complexity: ProbeScores | None = None,
    features: FeatureSpace | None = None,
    importance_samples: int = 0,
    num_runs: int = 1,
    seed: int = 0,
) -> dict[str, Any]:
    """Every setting on which the numbers of an evaluation depend, the versions of the packages, and a hash of all.

    Two evaluations can be compared only if their hashes are equal. `importance_samples`, `udr_runs`, the threads and
    the versions are not in the hash: the first two change one number each, which they add; the others change numbers
    by rounding.

    Args:
        images: the data to measure a model on, before at most 5,000 are chosen.
        probed: the data on whose codes probes are fitted and scored, and whose halves pictures are compared with and
            made of; None: `images`.
        complexity: the scores of the probes on pixels, if they are given.
        features: the space in which pictures are compared; None: 32 principal components.
        importance_samples: samples per datum for the bound on the log-likelihood; 0: no bound.
        num_runs: number of runs that UDR compares, from 1 up.
        seed: of all random draws.
    """
    images = subset(images, seed)
    probed = images if probed is None else subset(probed, seed)
    num = len(probed)
    settings: dict[str, Any] = {
        "data": {"source": images.source, "split": images.split, "num_images": len(images), "hash": _hash(images)},
        "probed": {"split": probed.split, "num_images": num, "hash": _hash(probed)},
        "seed": seed,
        "codes": "posterior means; drawn codes for distortion, rates, ELBO and ablation",
        "probes": f"each row scored once, by probes fitted to the others ({probes.NUM_FOLDS} parts)"
        if num <= probes.MAX_FOLDED
        else f"fitted to {probes.FIT_SHARE:.0%}, scored on the rest",
        "probe_on_codes": f"ridge regression on the code and on {probes.LANDMARKS} kernel features of each width "
        f"{probes.WIDTHS}; width and penalty by leave-one-out error",
        "probes_on_pixels": {name: f"{num} kernel features" for name, num in pixels.LANDMARKS.items()},
        "pixels": f"mean per channel; {pixels.COMPONENTS} principal components of pictures of at most "
        f"{pixels.MAX_SIDE} a side; kernels of width {pixels.WIDTHS}",
        "complexity": "measured on these data" if complexity is None else f"given: {_digest(complexity)}",
        "scores": {"least_told": level_order.LEAST_TOLD, "least_difference": level_order.LEAST_DIFFERENCE,
                   "standard_errors": judging.SURE},
        "interval": f"percentiles {judging.INTERVAL} of {judging.NUM_DRAWS} bootstrap draws of the data",
        "factors": {"max_classes": factors.MAX_CLASSES, "min_of_class": factors.MIN_OF_CLASS},
        "label_probe": f"network, hidden units {probes.LITERATURE}",
        "ablation_rows": rates.MAX_ABLATED,
        "compared": f"data of which the factors are known, without a factor that leaves fewer than "
        f"{disentanglement.ENOUGH} and {disentanglement.LEAST_SHARE:.0%}; one of each set of copies; trees "
        f"and lines for at most {factors.MAX_CLASSES} classes",
        "chance": f"what factors in a random order score above {metrics.CHANCE} is taken off; above "
        f"{metrics.MAX_CHANCE} not defined, or explicitness of held-out rows",
        "outliers": f"at each end {information.FAR_OUT:.0%} of the codes, at most {information.MAX_FAR_OUT}, are "
        "brought in if they lie beyond the others by more than the width of these",
        "votes": "fitted and scored on halves of the rows",
        "table_rows": disentanglement.MAX_TABLE,
        "neighbour_rows": disentanglement.MAX_NEIGHBOURS,
        "factor_bins": information.FACTOR_BINS,
        "mig": "20-bin histogram of posterior means",
        "mig_sampled": "entropies from samples of q(z|x)",
        "dci": f"random forests of 30 trees, importances as they are, {disentanglement.MAX_TREES} rows",
        "dci_boosted": f"{disentanglement.BOOSTED_TREES} boosted trees a class, {disentanglement.MAX_TREES} rows",
        "infomec": f"10 nearest neighbours, {disentanglement.MAX_TREES} rows",
        "pictures": {"features": features.name if features else DEFAULT, "half": min(pictures.MAX_HALF, num // 2),
                     "samples": "codes of the prior fitted to those of the training data, and of N(0, I)",
                     "mesh": "in the periodic part of each picture"},
    }  # fmt: skip
    if images.features is not None:
        settings["pictures"]["codes"] = "from the features of the full-size pictures"
    for name in ("table_rows", "neighbour_rows"):
        if probed.factors and num > settings[name]:
            settings[name] = f"{settings[name]}, chosen at random"
    if kin_of(probed) is not None:
        settings["probes"] += "; copies, and pages of one file, on one side"
    return settings | {
        "hash": _digest(settings),
        "importance_samples": importance_samples,
        "udr_runs": num_runs,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("vlae", "torch", "numpy", "scipy", "scikit-learn")},
    }


def _digest(settings: Any) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=float).encode()).hexdigest()[:16]


def _hash(images: Images) -> str:
    """A hash of the data, their labels and factors."""
    digest = hashlib.sha256()
    for values in (images.values, images.labels, *(images.factors[name] for name in sorted(images.factors))):
        array = np.ascontiguousarray([] if values is None else values)
        digest.update(repr((array.shape, array.dtype.str, array.tolist() if array.dtype == object else "")).encode())
        digest.update(b"" if array.dtype == object else array.tobytes())
    return digest.hexdigest()[:16]


# What the levels tell ------------------------------------------------------------------------------------------------
