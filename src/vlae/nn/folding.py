"""Fewer passes over memory in a network that is only applied: each batch norm becomes part of the layer before it."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from vlae.nn.layers import BoundedNorm1d, BoundedNorm2d


class Bounds(nn.Module):
    """What is left of a bounded norm when its affine map is part of the layer before: the bounds of each channel.

    Args:
        low: the lowest number of each channel, (channels, …).
        high: the highest.
    """

    low: Tensor
    high: Tensor

    def __init__(self, low: Tensor, high: Tensor):
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def forward(self, h: Float[Tensor, "n channels *sides"]) -> Float[Tensor, "n channels *sides"]:
        """The map within its bounds. It is changed in place.

        Args:
            h: (n, channels, height, width) or (n, channels).
        """
        return h.clamp_(self.low, self.high)


def fold_norms(network: nn.Module) -> None:
    """Makes each bounded batch norm part of the convolution or dense layer before it, for a network that only infers.

    The outputs are the same but for rounding: convolution and norm are both affine. The bounds of the norm stay.

    Args:
        network: in eval mode; it is changed.
    """
    for part in network.modules():
        if isinstance(part, nn.Sequential):
            _fold(part)


def _fold(layers: nn.Sequential) -> None:
    for i, norm in enumerate(layers):
        if i == 0 or not isinstance(norm, BoundedNorm1d | BoundedNorm2d) or not norm.affine:
            continue
        affine = _affine(layers[i - 1])
        if affine is None:
            continue
        mean, variance = norm.running_mean, norm.running_var
        if mean is None or variance is None:
            continue
        weight, bias = norm.weight, norm.bias
        if isinstance(affine, nn.Linear):
            fused = fuse_linear_bn_weights(affine.weight, affine.bias, mean, variance, norm.eps, weight, bias)
        else:
            transposed, own = isinstance(affine, nn.ConvTranspose2d), affine.weight
            fused = fuse_conv_bn_weights(own, affine.bias, mean, variance, norm.eps, weight, bias, transposed)
        affine.weight, affine.bias = fused
        sides: Sequence[int] = (-1, 1, 1) if isinstance(norm, BoundedNorm2d) else (-1,)
        centre, reach = bias.detach().view(sides), norm.LARGEST * weight.detach().abs().view(sides)
        layers[i] = Bounds(centre - reach, centre + reach)


def _affine(layer: nn.Module) -> nn.Conv2d | nn.ConvTranspose2d | nn.Linear | None:
    """The layer whose output a norm takes; with one that pads its input or crops its output beside it, if so."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        return layer
    if isinstance(layer, nn.Sequential):
        parts = list(layer)
        found = [part for part in parts if not isinstance(part, nn.ZeroPad2d)]
        cropped = all(max(part.padding) <= 0 for part in parts[1:] if isinstance(part, nn.ZeroPad2d))
        if len(found) == 1 and cropped and isinstance(found[0], nn.Conv2d | nn.ConvTranspose2d):
            return found[0]
    return None
