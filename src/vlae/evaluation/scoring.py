"""Scores of predictions: at most 1, and about 0 for a guess. Rows can be weighed, as a bootstrap does."""

import numpy as np
from jaxtyping import Float, Int

from vlae.evaluation.factors import Factor


def score(
    factor: Factor, predicted: Float[np.ndarray, "n columns"], weights: Float[np.ndarray, "draws n"]
) -> Float[np.ndarray, " draws"]:
    """The score of a prediction, for each weighing of the rows.

    - A number: R². An angle: the same of cosine and sine together.
    - Yes or no: 2 AUC - 1. AUC is the chance that a yes is predicted higher than a no. It does not depend on how many
      are yes.
    - A class: (a - 1 / K) / (1 - 1 / K). a is the balanced accuracy, the mean over the K classes of the share of each
      that is named rightly.

    Args:
        factor: what was predicted.
        predicted: of its columns, not a number where no prediction was made.
        weights: how often each row counts, from 0 up.

    Returns:
        The scores; not a number where the rows of a weighing have all the same value.
    """
    rows = factor.known & np.isfinite(predicted).all(1)
    if not rows.all():
        weights = weights[:, rows]
    predicted, true = predicted[rows], factor.columns[rows]
    if factor.kinds is None:
        return _r2(true, predicted, weights)
    kinds = factor.kinds[rows]
    if factor.kind == "yes or no":
        return 2 * _auc(kinds == 1, predicted[:, 0], weights) - 1
    return _above_chance(kinds, predicted.argmax(1), weights)


def _r2(true: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = np.maximum(weights.sum(1), 1e-300)
    spread = (weights @ true**2 - (weights @ true) ** 2 / total[:, None]).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 1e-9 * total, 1 - (weights @ (true - predicted) ** 2).sum(1) / spread, np.nan)


def _auc(is_yes: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The area under the curve: the weight of pairs in which yes is predicted higher; equal predictions count half."""
    order = np.argsort(predicted, kind="stable")
    starts = np.flatnonzero(np.diff(predicted[order], prepend=-np.inf))
    if not len(starts):
        return np.full(len(weights), np.nan)
    yes, no = (np.add.reduceat(weights[:, order] * side[order], starts, axis=1) for side in (is_yes, ~is_yes))
    below = np.cumsum(no, axis=1) - no / 2
    with np.errstate(invalid="ignore"):
        return (yes * below).sum(1) / (yes.sum(1) * no.sum(1))


def _above_chance(kinds: Int[np.ndarray, " n"], named: Int[np.ndarray, " n"], weights: np.ndarray) -> np.ndarray:
    members = kinds[:, None] == np.arange(kinds.max(initial=0) + 1)
    of_class, right = weights @ members, weights @ (members & (named == kinds)[:, None])
    there = of_class > 0
    num = there.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        accuracy = np.where(there, right / of_class, 0).sum(1) / num
        return np.where(num > 1, (accuracy - 1 / num) / (1 - 1 / num), np.nan)
