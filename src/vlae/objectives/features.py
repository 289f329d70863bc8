"""The ELBO of pictures and of features of theirs that a level must explain by its code alone."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from vlae.models.base import ForwardPass
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

    def weighted(
        self, forward: ForwardPass, x: Float[Tensor, "n *shape"], *, step: int, progress: float, fade: tuple[float, ...]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " terms"]]:
        """The loss of a step, and its terms without weights, in nats per datum.

        Args:
            forward: the forward pass of the batch; if no level explains features, their distortion is 0.
            x: the batch, (n, C, H, W) or (n, D).
            step: the number of the step, from 0.
            progress: the share of the training that is done, in [0, 1].
            fade: how far each level has grown, in [0, 1], level 1 first.
        """
        total, terms = super().weighted(forward, x, step=step, progress=progress, fade=fade)
        return total, torch.cat([terms[:1], explained(forward, x)[None], terms[1:]])

    def terms(self, num_levels: int) -> tuple[str, ...]:
        """The names of the terms: those of the ELBO, with features_distortion after distortion.

        Args:
            num_levels: the number of levels L of the model.
        """
        distortion, *others = super().terms(num_levels)
        return (distortion, "features_distortion", *others)


def explained(forward: ForwardPass, x: Float[Tensor, "n *shape"]) -> Float[Tensor, ""]:
    """The mean distortion of the features that the model explains besides x, in nats; 0 if there are none.

    Args:
        forward: the forward pass of the batch.
        x: the batch, (n, C, H, W) or (n, D).
    """
    each = forward.features_distortion
    return x.new_zeros(()) if each is None else each.mean()
