"""The ELBO of a ladder with a class level, of data of which some have a label."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from vlae.models.base import ForwardPass, LatentModel
from vlae.models.distributions import CategoryCode, CodeDistribution
from vlae.models.enumerated import PartlyKnown
from vlae.models.inference import given
from vlae.models.together import mean_over_devices
from vlae.objectives.base import Batch, Loss
from vlae.objectives.features import FeaturesELBO
from vlae.objectives.views import noisy_rows, noisy_view, varied_view

LEAST_NUMBERS = 400
"""Data of fewer numbers count as so many in the weight of the cross-entropy: beside the rates it must not be small."""


@dataclass(frozen=True, kw_only=True)
class FewLabels(FeaturesELBO, kind="few labels"):
    """The negative ELBO of a model whose top level is a class y, with a cross-entropy for the data with a label.

    Where y is known, q(y|x) is replaced by it. Where it is not, the bound is the expectation over q(y|x), summed over
    all classes; y is never drawn. The class touches only a prior, so that sum is in closed form. With
    α = `label_weight` · max(400, numbers in a datum), the loss adds α · -log q(y|x), averaged over the data with a
    label. With `views`, each picture is varied twice; without, and for vectors, the second view is the datum with noise
    (`vlae.objectives.views`). Where one view is sure of a class, the other learns it as if it were known.

    References: Kingma et al. 2014, "Semi-supervised Learning with Deep Generative Models", equations 6 to 9; there α is
    0.1 times the number of data. Sohn et al. 2020, "FixMatch", equation 4, for the two views.

    Attributes:
        label_weight: weight of the cross-entropy for each number in a datum, from 0 up.
        views: whether pictures are varied. Vectors are never varied.
        sure: the probability, in [0.5, 1], above which a class is taken as known.
    """

    label_weight: float = 0.1
    views: bool = True
    sure: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.label_weight < float("inf"):
            raise ValueError(f"label_weight is {self.label_weight}; give a number from 0 up")
        if not 0.5 <= self.sure <= 1:
            raise ValueError(f"sure is {self.sure}; give a probability between 0.5 and 1")

    def fade(self, progress: float, code_sizes: Sequence[int]) -> tuple[float, ...]:
        """How far each level has grown, in [0, 1], level 1 first; the class level has no part in the decoder.

        Args:
            progress: the share of the training that is done, in [0, 1].
            code_sizes: dimensions of every level's code, level 1 first.
        """
        return super().fade(progress, (*code_sizes[:-1], 0))

    step_inputs = FeaturesELBO.step_inputs

    def loss(
        self, model: LatentModel, batch: Batch, *, step: int, progress: float, networks: nn.Module | None = None
    ) -> Loss:
        """The loss of a batch of which some data have a label.

        Args:
            model: a model whose top level is a class.
            batch: the data of this step, with labels from 0 to K - 1; -1 where it is unknown.
            step: the number of the step, from 0.
            progress: the share of the training that is done, in [0, 1].
            networks: None.
        """
        assert batch.labels is not None
        labels, pictures, both = batch.labels, batch.x, self.views and batch.x.dim() == 4
        if both:
            view = varied_view(pictures)
            batch = batch._replace(x=view if model.family is None else model.family.nearest(view))
        grown = self.fade(progress, model.code_sizes)
        forward = self._forward(model, batch, grown)
        guessed = [_classes(forward.posteriors)]
        known = with_labels(model, forward, labels)
        total, terms = self.weighted(known, batch.x, step=step, progress=progress, fade=grown)
        other = (varied_view if both else noisy_view if pictures.dim() == 4 else noisy_rows)(pictures)
        guessed.append(_classes(model.infer(other, **given(batch.features, device=other.device))))
        agreement = _taught(guessed[1], guessed[0].detach(), self.sure)
        wrong = torch.stack([cross_entropy(logits, labels) for logits in guessed]).mean()
        weight = self.label_weight * max(LEAST_NUMBERS, prod(model.shape))
        terms = torch.cat([terms[:2], torch.stack([wrong, agreement]), terms[2:]])
        return Loss(total + weight * (wrong + agreement), terms, known)

    def terms(self, num_levels: int) -> tuple[str, ...]:
        """The names of the terms: those of the ELBO with features, and cross_entropy and disagreement.

        Args:
            num_levels: the number of levels L of the model.
        """
        first, second, *others = super().terms(num_levels)
        return (first, second, "cross_entropy", "disagreement", *others)


def with_labels(model: LatentModel, forward: ForwardPass, labels: Int[Tensor, " n"]) -> ForwardPass:
    """The forward pass in which the posterior of the class is the label, where that is known.

    Args:
        model: a model whose top level is a class.
        forward: its forward pass of a batch.
        labels: the class of each datum, from 0 to K - 1; -1 where it is unknown.
    """
    classes = PartlyKnown(_classes(forward.posteriors), labels)
    codes = (*forward.codes[:-1], classes.mean)
    priors = tuple(model.prior(level, codes[level:]) for level in range(1, model.num_levels + 1))
    return replace(forward, posteriors=(*forward.posteriors[:-1], classes), codes=codes, priors=priors)


def _classes(posteriors: Sequence[CodeDistribution]) -> Float[Tensor, "n values"]:
    """The log-probabilities of q(y|x)."""
    top = posteriors[-1]
    assert isinstance(top, CategoryCode)
    return top.logits


def cross_entropy(logits: Float[Tensor, "n values"], labels: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    """The mean of -log q(y|x) of the data with a label, in nats; 0 if there are none.

    Args:
        logits: of q(y|x), (n, K).
        labels: the class of each datum, from 0 to K - 1; -1 where it is unknown.
    """
    each = functional.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    return each / mean_over_devices((labels >= 0).sum().float()).clamp_min(1)


def _taught(pupil: Float[Tensor, "n values"], teacher: Float[Tensor, "n values"], sure: float) -> Float[Tensor, ""]:
    """The cross-entropy of one view with the class of which the other is sure, averaged over all data."""
    probability, taken = teacher.exp().max(1)
    return (functional.cross_entropy(pupil, taken, reduction="none") * (probability >= sure)).mean()
