"""The ELBO of a model that sums over the classes by itself, of data of which some have a label."""

from dataclasses import dataclass
from math import prod

import torch
from torch import nn

from vlae.models.base import LatentModel
from vlae.models.enumerated import PartlyKnown
from vlae.objectives.base import Batch, Loss
from vlae.objectives.features import FeaturesELBO
from vlae.objectives.few_labels import LEAST_NUMBERS, cross_entropy


@dataclass(frozen=True, kw_only=True)
class EnumeratedELBO(FeaturesELBO, kind="enumerated"):
    """The negative ELBO of `M2` or `M1M2`, with a cross-entropy for the data with a label.

    With the bounds L(x, y) and U(x) = Σ_y q(y|x) L(x, y) + H(q(y|x)), a sum over all classes, the loss is -L of a datum
    with a label and -U of one without. It adds α · -log q(y|x), averaged over the data with a label, with α =
    `label_weight` · max(400, numbers in a datum). All other settings are those of the ELBO.

    Reference: Kingma et al. 2014, equations 6 to 9. There α is 0.1 times the number of data, of a loss that is a sum
    over the data: 0.1 in all, in the units here.

    Attributes:
        label_weight: weight of the cross-entropy for each number in a datum, from 0 up.
    """

    label_weight: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.label_weight < float("inf"):
            raise ValueError(f"label_weight is {self.label_weight}; give a number from 0 up")

    step_inputs = FeaturesELBO.step_inputs

    def loss(
        self, model: LatentModel, batch: Batch, *, step: int, progress: float, networks: nn.Module | None = None
    ) -> Loss:
        """The loss of a batch of which some data may have a label.

        Args:
            model: an `M2` or `M1M2` in training, in training mode.
            batch: the data of this step, with labels from 0 to K - 1, and -1 where it is unknown; or without.
            step: the number of the step, from 0.
            progress: the share of the training that is done, in [0, 1].
            networks: None.
        """
        grown = self.fade(progress, model.code_sizes)
        labels = batch.labels if model.class_names else None  # an unnamed class is found without labels
        forward = self._forward(model, batch, grown, labels=labels)
        total, terms = self.weighted(forward, batch.x, step=step, progress=progress, fade=grown)
        classes = forward.posteriors[-1]
        assert isinstance(classes, PartlyKnown)
        wrong = total.new_zeros(()) if labels is None else cross_entropy(classes.inferred.logits, labels)
        terms = torch.cat([terms[:2], wrong[None], terms[2:]])
        weight = self.label_weight * max(LEAST_NUMBERS, prod(model.shape))
        return Loss(total + weight * wrong, terms, forward)

    def terms(self, num_levels: int) -> tuple[str, ...]:
        """The names of the terms: those of the ELBO with features, and cross_entropy after these.

        Args:
            num_levels: the number of levels L of the model.
        """
        first, second, *others = super().terms(num_levels)
        return (first, second, "cross_entropy", *others)
