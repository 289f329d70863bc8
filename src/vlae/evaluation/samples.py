"""How far samples of a model are from held-out data: the Fréchet distance and a classifier's accuracy."""

import numpy as np
from jaxtyping import Float

from vlae.evaluation.factors import read_factor
from vlae.evaluation.feature_spaces import components
from vlae.evaluation.probes import predict
from vlae.objectives.discrepancies import frechet as frechet

GROUPS, GROUP = 5, 500  # number of groups and samples in each; the spread over groups is the error bar


def two_sample(one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "n d"], *, seed: int = 0) -> float:
    """Accuracy, in [0, 1], of a classifier that distinguishes two samples of one size.

    At 0.5 it cannot distinguish them; at 1 it always can. The classifier is the probe of `vlae.evaluation.probes`,
    scored on rows that it was not fitted to.

    Reference: Lopez-Paz and Oquab 2017, "Revisiting Classifier Two-Sample Tests", section 3, with another classifier.

    Args:
        one: a sample of a row per datum and a column per feature, (n, d), in any unit; n is at least 5.
        other: another sample of the same features and size, (n, d).
        seed: of the division and the classifier, 0 or more.
    """
    is_one = np.arange(len(one) + len(other)) < len(one)
    factor = read_factor("sample", is_one)
    predicted = predict(np.concatenate([one, other]), {"sample": factor}, seed=seed)["sample"][:, 0]
    scored = np.isfinite(predicted)
    return float(((predicted > 0) == is_one)[scored].mean())


class Judge:
    """Measures how far samples are from held-out data, in the space of the first principal components of the data.

    Args:
        known: training data on which the components are fitted: uint8 (N, C, H, W), or floats (N, …).
        held_out: other data of the same kind, with which samples are compared.
        seed: of the components, the choice of data and the classifiers.
    """

    def __init__(self, known: np.ndarray, held_out: np.ndarray, *, seed: int = 0):
        self.seed = seed
        self.features = components(known, seed=seed)
        self.reference = self.features(held_out)

    def distances(self, samples: np.ndarray) -> dict[str, list[float]]:
        """The Fréchet distance and the classifier's accuracy of each group of samples against the held-out data.

        Args:
            samples: floats (N, …) of the shape and unit of the data, images in [0, 1], in random order; at most the
                first 2,500 are judged, in 5 groups as they follow each other.

        Returns:
            "frechet" and "two_sample": the number of each group; the former is from 0 up, the latter in [0, 1].
        """
        features = self.features(samples)
        size = min(GROUP, len(features) // GROUPS, len(self.reference))
        rng = np.random.default_rng(self.seed)
        distances: dict[str, list[float]] = {"frechet": [], "two_sample": []}
        for group in range(GROUPS):
            rows = features[group * size : (group + 1) * size]
            others = self.reference[rng.permutation(len(self.reference))[:size]]
            distances["frechet"].append(frechet(rows, self.reference))
            distances["two_sample"].append(two_sample(rows, others, seed=self.seed + group))
        return distances
