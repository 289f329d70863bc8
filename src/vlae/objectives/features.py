"""The ELBO of pictures and of features of theirs that a level must explain by its code alone."""

from dataclasses import dataclass, fields

import torch
from torch import nn

from vlae.models.base import LatentModel
from vlae.objectives.base import Batch, Loss
from vlae.objectives.elbo import ELBO


@dataclass(frozen=True, kw_only=True)
class FeaturesELBO(ELBO, kind="elbo of features"):
    """The negative ELBO of pictures x with their features f: -log r(x|z) - log r(f|z_l) + Σ_l β_l rate_l.

    Features are what a level must explain by its code alone: oriented gradients of the picture, or what a frozen
    network says of it. Given the codes, picture and features are independent, so their distortions add up; the scale of
    each likelihood is found, so neither has a weight. Where features are a function of the picture, this is no bound on
    log p(x); the ELBO that is reported leaves them out. All settings are those of the ELBO.
    """

    @classmethod
    def of(cls, objective: ELBO) -> "FeaturesELBO":
        """The same objective, with features.

        Args:
            objective: an ELBO of pictures.
        """
        return cls(**{field.name: getattr(objective, field.name) for field in fields(objective)})

    step_inputs = ELBO.step_inputs

    def loss(
        self, model: LatentModel, batch: Batch, *, step: int, progress: float, networks: nn.Module | None = None
    ) -> Loss:
        """The weighted negative ELBO of a batch of pictures and their features.

        Args:
            model: the model in training, in training mode; if no level explains features, their distortion is 0.
            batch: the data of this step, with features.
            step: the number of the step, from 0.
            progress: the share of the training that is done, in [0, 1].
            networks: None; the ELBO needs no networks besides the model.
        """
        grown = self.fade(progress, model.code_sizes)
        forward = self._forward(model, batch, grown, features=batch.features)
        total, terms = self.weighted(forward, batch.x, step=step, progress=progress, fade=grown)
        explained = forward.features_distortion
        features = total.new_zeros(()) if explained is None else explained.mean()
        return Loss(total + features, torch.cat([terms[:1], features[None], terms[1:]]), forward)

    def terms(self, num_levels: int) -> tuple[str, ...]:
        """The names of the terms: those of the ELBO, with features_distortion after distortion.

        Args:
            num_levels: the number of levels L of the model.
        """
        distortion, *others = super().terms(num_levels)
        return (distortion, "features_distortion", *others)
