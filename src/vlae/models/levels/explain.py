"""What a level must explain besides the picture: features that its code alone predicts, with their own likelihood."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlae.models.likelihoods import Gaussian
from vlae.nn.layers import Blocks, stack


class Explainer(nn.Module):
    """The likelihood N(f̂(z_l), σ²) of standardised features f, given the code of one level.

    σ is the root mean square error, under which the features are most likely, so no weight is chosen (Reference: Rybkin
    et al. 2021, "Simple and Effective VAE Training with Calibrated Decoders", section 3.2).

    Args:
        code_size: dimensions of the code z_l, from 1 up.
        num_features: the number of features.
        units: units of the hidden layer.
        blocks: settings that all layers of the model share.
    """

    def __init__(self, code_size: int, num_features: int, units: int, blocks: Blocks):
        super().__init__()
        self.predict = nn.Sequential(stack([(code_size,), (units,)], blocks), nn.Linear(units, num_features))
        self.density = Gaussian().build((num_features,))

    def forward(self, code: Float[Tensor, "n size"], features: Float[Tensor, "n features"]) -> Float[Tensor, " n"]:
        """The distortion -log N(f | f̂(z_l), σ²) of each datum, in nats.

        Args:
            code: z_l, (n, code size).
            features: f, standardised, (n, features).
        """
        zero = torch.zeros_like(features[0])
        likelihood = self.density(self.predict(code), zero, torch.ones_like(zero), features)
        distortion: Tensor = -likelihood.log_prob(features)
        return distortion
