"""The validation curve: the ELBO of data that are not trained on, while a model trains; and early stopping by it."""

from math import ceil, inf
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlae.data.holdout import hold_out
from vlae.data.source import TEST, DataError
from vlae.errors import NotDefinedError
from vlae.models.base import LatentModel
from vlae.models.inference import as_input, batch_of, evaluating, given
from vlae.objectives.elbo import distortion, rates
from vlae.recipes.recipe import Training

MOST = 1_000
"""The most data that are kept for validation: enough for a mean, and few enough to be measured often."""

COST = 0.02
"""About which share of the training's time goes to validation; a datum costs about a third of one in a step."""

BATCH = 256  # data measured at a time, or fewer where pictures are large


class Validation:
    """Measures the ELBO of the validation data at intervals; with patience, keeps the best weights and ends a training.

    The ELBO has weight 1 on every rate, whatever the weights in training, and all levels are grown. Its noise is the
    same each time, so two measurements differ by the weights alone.

    Args:
        model: the model in training.
        values: the validation data, uint8 images or floats in [0, 1], (N, C, H, W); or vectors (N, D).
        features: of the full-size pictures, (N, F); None: there are none.
        training: the settings of the training.
        interval: measured is after a multiple of so many steps.

    Attributes:
        names: the columns of metrics.csv: "val_elbo", "val_distortion", "val_rate_1" …, in nats per datum.
        batch: data that are measured at a time.
        every: steps between two measurements.
        last: the last measurement, by these names; NaN before the first.
        best: the largest ELBO that counted, in nats per datum.
        best_step: the step after which it was measured.
        misses: how many measurements in a row were no better.

    Raises:
        ValueError: if the model has no ELBO.
    """

    def __init__(
        self, model: LatentModel, values: np.ndarray, features: np.ndarray | None, training: Training, *, interval: int
    ):
        try:
            model.require("encoder", "density")
        except NotDefinedError as error:
            raise ValueError(f"validation measures an ELBO, and {error}; leave validation and patience out") from error
        self.model, self.values, self.features, self.patience = model, values, features, training.patience
        self.batch = batch_of(model.shape, BATCH)
        self.every = interval * max(1, ceil(len(values) / (3 * COST * training.batch_size * interval)))
        self.names = ("val_elbo", "val_distortion", *(f"val_rate_{n}" for n in range(1, model.num_levels + 1)))
        self.last = dict.fromkeys(self.names, float("nan"))
        self.best, self.best_step, self.misses = -inf, 0, 0
        self._weights: dict[str, Tensor] | None = None
        self._measured: int | None = None  # the step of the last measurement here; None: there was none

    def measure(self, step: int, *, grown: bool) -> dict[str, float]:
        """Measures the validation data.

        Args:
            step: the number of steps done.
            grown: whether all levels are grown. A measurement before counts neither as the best nor as a miss.

        Returns:
            The ELBO, the distortion and the rates, by the names in `names`.
        """
        sums = torch.zeros(1 + self.model.num_levels, dtype=torch.float64)
        with evaluating(self.model, seed=0):
            for start in range(0, len(self.values), self.batch):
                x = as_input(self.values[start : start + self.batch], self.model.device)
                forward = self.model(x, **given(self.features, start, self.batch, self.model.device))
                terms = torch.cat([distortion(forward, x)[None], rates(forward)])
                sums += terms.double().sum(1).cpu()
        means = (sums / len(self.values)).tolist()
        self.last, self._measured = dict(zip(self.names, (-sum(means), *means), strict=True)), step
        if grown and self.patience is not None:
            self._compare(step)
        return self.last

    def _compare(self, step: int) -> None:
        """Keeps the weights if they are the best, or counts a miss."""
        if self.last["val_elbo"] > self.best:  # never of NaN
            self.best, self.best_step, self.misses = self.last["val_elbo"], step, 0
            state = self.model.state_dict()
            self._weights = {name: value.detach().to("cpu", copy=True) for name, value in state.items()}
        else:
            self.misses += 1

    @property
    def exhausted(self) -> bool:
        """Whether the patience is at its end."""
        return self.patience is not None and self.misses >= self.patience

    def use_best(self, step: int) -> None:
        """Gives the model its best weights, if they were looked for.

        The last weights are measured first, if they were not: a training that was stopped ends between two
        measurements, or before the first.

        Args:
            step: the number of steps done.
        """
        if self._measured != step:
            self.measure(step, grown=self._weights is not None)  # what is best was grown, and what came after it is
        if self._weights is not None:
            self.model.load_state_dict(self._weights)

    def describe(self) -> str:
        """What early stopping came to, in a sentence; "" if no weights but the last are kept."""
        if self._weights is None:
            return ""
        return f"the weights after step {self.best_step} are kept: they have the best validation ELBO, {self.best:.4g}"

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds, so that a resumed training ends where an undisturbed one does."""
        return {"best": self.best, "step": self.best_step, "misses": self.misses, "weights": self._weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint.

        Args:
            state: what `state` returned; what it lacks stays as it is.
        """
        state = self.state() | state
        self.best, self.best_step, self.misses = state["best"], state["step"], state["misses"]
        self._weights = state["weights"]

    def summary(self, step: int) -> dict[str, Any]:
        """What summary.json says of it: num_images, elbo_nats of the weights that are kept, their step, the last step.

        `use_best` comes before, so that these weights have been measured.

        Args:
            step: the number of steps done.
        """
        best = self._weights is not None
        return {
            "num_images": len(self.values),
            "elbo_nats": self.best if best else self.last["val_elbo"],
            "step": self.best_step if best else step,
            "last_step": step,
        }


def kept_rows(
    num: int,
    training: Training,
    *,
    labels: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    learned: bool = False,
) -> np.ndarray:
    """The rows of the training part that are kept for validation: random ones, by the rule of the test part.

    Copies of a picture stay together. As long as half of the data have no label, none that has one is kept: few labels
    are for training.

    Args:
        num: the number of data of the training part.
        training: the settings, with seed and share.
        labels: of each datum, negative where it is unknown, (num,); None: there are none.
        groups: int64 (num,), rows that stay together (`vlae.data.images.Images.groups`); None: there are none.
        learned: whether the labels are learned; then a class of which nothing would be left to learn is not kept.

    Returns:
        Row numbers in ascending order; none if validation is off.

    Raises:
        DataError: if fewer than two data would be left to train on, or a class would lose all of its labels.
    """
    if not training.validated:
        return np.zeros(0, np.int64)
    rows = np.arange(num)
    unlabelled = rows if labels is None else np.flatnonzero(np.asarray(labels) < 0)
    rows = unlabelled if 2 * len(unlabelled) >= num else rows
    share = min(training.validated * num, MOST) / len(rows)
    rng = np.random.default_rng([training.seed, 2])
    kept = rows[hold_out(len(rows), share, rng, None if groups is None else groups[rows]) == TEST]
    if learned and labels is not None:
        of, together = np.asarray(labels), np.arange(num) if groups is None else groups
        lost = np.setdiff1d(of[kept], np.delete(of, kept))
        back = kept[np.isin(of[kept], lost[lost >= 0])]
        kept = kept[~np.isin(together[kept], together[back])]
        if len(kept) == 0:
            raise DataError("the labels are too few to keep some for validation; leave validation and patience out")
    if num - len(kept) < 2:
        raise DataError(f"{num} data are too few to keep some for validation; leave validation and patience out")
    return kept
