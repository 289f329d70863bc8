"""The likelihood of a PixelVAE: pixels drawn one after the other, each given the code and the pixels before it.

Reference: Gulrajani et al. 2016, "PixelVAE: A Latent Variable Model for Natural Images", equations 1 and 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from vlae.models.likelihoods import GaussianDensity, Likelihood, LikelihoodHead
from vlae.models.logistics import LogisticMixture, initial_numbers, num_numbers
from vlae.nn.layers import without_autocast
from vlae.nn.masked import MaskedNetwork
from vlae.shapes import Shape, is_image

CHECKED_AT_ONCE = 1_000  # pictures
OFF_GRID = 0.1  # of the step from one value to the next: so far may a pixel lie from a value
PIXELS_AT_A_TIME = 2**16  # of a batch whose probability is measured without gradients


@dataclass(frozen=True, kw_only=True)
class Pixel(Likelihood, kind="pixel"):
    """The probability of 8-bit pixels, p(x|z) = Π_i p(x_i | x_<i, m(z)), with pixels in reading order.

    m is the picture that the decoder draws. Each factor is a mixture of discretised logistics around m_i
    (`vlae.models.logistics`), whose numbers a few masked convolutions give (`vlae.nn.masked`). So the code need not
    carry local texture. In training the gradient of log r(x|m), a Gaussian of optimal scale, is added with weight 1,
    so that m stays a picture (Reference: Lucas and Verbeek 2018, "Auxiliary Guided Autoregressive Variational
    Autoencoders"). The value of the likelihood stays that of p(x|z).

    Attributes:
        masked_layers: number of masked layers, from 0 up. 0: pixels are independent given z, but not the colours of one
            pixel. One layer with a 5 × 5 kernel sees 12 pixels, so the code must carry the rest.
        masked_kernel: side of the kernels, an odd number of pixels from 3 up, less than the picture's sides.
        masked_width: channels between the layers, from 1 up.
        logistics: number of logistics in the mixture, from 1 up.
    """

    num_values: ClassVar[int | None] = 256
    masked_layers: int = 1
    masked_kernel: int = 5
    masked_width: int = 32
    logistics: int = 3

    def __post_init__(self) -> None:
        for name, least in (("masked_layers", 0), ("masked_kernel", 3), ("masked_width", 1), ("logistics", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; give a whole number from {least} up")
        if self.masked_kernel % 2 == 0:
            raise ValueError(
                f"masked_kernel is {self.masked_kernel}; a masked kernel needs a middle: give an odd number, such as 5"
            )

    @property
    def autoregressive(self) -> bool:
        """Whether each pixel depends on those before it: if there is a masked layer."""
        return self.masked_layers > 0

    def check_values(self, values: np.ndarray) -> None:
        """Checks that all pixels have one of the values.

        Args:
            values: uint8 images or floats in [0, 1], (N, C, H, W).

        Raises:
            ValueError: if one lies between them.
        """
        assert self.num_values is not None
        if values.ndim != 4 or (values.dtype == np.uint8 and self.num_values == 256):
            return  # vectors are refused by `build`
        for first in range(0, len(values), CHECKED_AT_ONCE):
            part = torch.from_numpy(np.array(values[first : first + CHECKED_AT_ONCE]))
            _check_grid(part.float() / 255 if part.dtype == torch.uint8 else part.float(), self.num_values)

    def nearest(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n *shape"]:
        """Pictures whose pixels are the nearest of the values.

        Args:
            x: images in [0, 1], (n, C, H, W).
        """
        assert self.num_values is not None
        return (x * (self.num_values - 1)).round() / (self.num_values - 1)

    def build(self, shape: Shape) -> "PixelHead":
        """Builds the module; m is the output of the decoder through a sigmoid.

        Args:
            shape: shape of one datum, (channels, height, width).

        Raises:
            ValueError: if the data are vectors, or the kernel is as large as the picture.
        """
        if not is_image(shape):
            raise ValueError(
                f"the {self.kind!r} likelihood is for images of {self.num_values} values; choose 'gaussian' or "
                "'laplace' for vectors"
            )
        if self.masked_kernel >= min(shape[1:]):
            raise ValueError(
                f"masked_kernel is {self.masked_kernel}, and pictures have {shape[1]} × {shape[2]} pixels; give a "
                "kernel smaller than the picture"
            )
        return PixelHead(self, shape)


@dataclass(frozen=True, kw_only=True)
class BinaryPixel(Pixel, kind="binary-pixel"):
    """The probability of pixels that are 0 or 1, drawn like those of `Pixel`."""

    num_values: ClassVar[int | None] = 2


class PixelHead(LikelihoodHead):
    """The networks from m(z), and the pixels before each pixel, to the mixture of its values.

    Args:
        settings: the settings of the family.
        shape: shape of one datum, (channels, height, width).
    """

    def __init__(self, settings: Pixel, shape: Shape):
        super().__init__()
        assert settings.num_values is not None
        self.num_values, self.num_components = settings.num_values, settings.logistics
        self.network = MaskedNetwork(
            shape[0],
            settings.logistics * num_numbers(shape[0]),
            layers=settings.masked_layers,
            kernel=settings.masked_kernel,
            width=settings.masked_width,
        )
        with torch.no_grad():  # begin with a mixture around m that hardly depends on anything else
            self.network.out.weight.mul_(0.01)
            assert self.network.out.bias is not None
            self.network.out.bias.copy_(initial_numbers(shape[0], settings.logistics))
        self.picture = GaussianDensity("optimal", shape)

    def forward(
        self,
        output: Float[Tensor, "n *shape"],
        mean: Tensor,
        stddev: Tensor,
        x: Float[Tensor, "n *shape"] | None = None,
    ) -> "PixelDistribution":
        """The probability p(x|z), of batch shape (n,).

        Args:
            output: the decoder's output, (n, C, H, W); m is its sigmoid.
            mean: not used.
            stddev: not used.
            x: the data in training, to which the scale of r(x|m) is fitted; None: nothing is fitted.
        """
        return PixelDistribution(self, self.picture(output, mean, stddev, x))

    def log_prob(self, x: Float[Tensor, "n *shape"], m: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
        """The log-probability log p(x|z), in nats, in float32 also where the rest is computed in bf16.

        Args:
            x: pictures of `num_values` values from 0 to 1.
            m: the pictures that the decoder draws.

        Raises:
            ValueError: if a pixel is none of the values.
        """
        self._check(x)
        at_once = max(1, len(x) if torch.is_grad_enabled() else PIXELS_AT_A_TIME // x[0, 0].numel())
        with without_autocast(x.device):
            parts = zip(x.split(at_once), m.split(at_once), strict=True)
            return torch.cat([self._mixture(self.network(x, m), m).log_prob(x).sum((1, 2)) for x, m in parts])

    def draw(self, m: Float[Tensor, "n *shape"]) -> Float[Tensor, "n *shape"]:
        """Draws pixels, wavefront by wavefront. The noise comes from the CPU's generator, on any device.

        Args:
            m: the pictures that the decoder draws.
        """
        n, channels, height, width = m.shape
        least = torch.finfo(m.dtype).tiny
        uniform = torch.rand(n, self.num_components + channels, height, width).clamp(least, 1 - 2**-24)
        gumbel, quantile = uniform.to(m).split([self.num_components, channels], dim=1)
        gumbel = -(-gumbel.log()).log()

        def place(numbers: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
            here = m[:, :, rows, columns][..., None]
            noise = (each[:, :, rows, columns][..., None] for each in (gumbel, quantile))
            return self._mixture(numbers, here).place(*noise)

        with without_autocast(m.device):
            return self.network.draw(m, place)

    def _mixture(self, numbers: Tensor, m: Tensor) -> LogisticMixture:
        return LogisticMixture(numbers, m, num_components=self.num_components, num_values=self.num_values)

    def _check(self, x: Tensor) -> None:
        # In training a GPU would be waited for, and the data are checked before; "meta" has no values.
        if x.device.type != "meta" and (x.device.type == "cpu" or not self.training):
            _check_grid(x.detach(), self.num_values)


def _check_grid(x: Tensor, num_values: int) -> None:
    """Checks that the numbers of pictures are those of so many grey levels."""
    levels = x * (num_values - 1)
    off = (levels - levels.round()).abs().max().item()
    if not off <= OFF_GRID:
        of_values, advice = "k / 255 of 8-bit pictures", "(x * 255).round().astype('uint8')"
        if num_values == 2:
            of_values, advice = "0 and 1", "(rng.random(x.shape) < x) * 255, as uint8"
        raise ValueError(
            f"this likelihood gives a probability to the values {of_values}, and a pixel lies {off:.2f} steps "
            f"beside them; give {advice}, or choose the family 'gaussian'"
        )


class PixelDistribution(Distribution):
    """p(x|z) = Π_i p(x_i | x_<i, m(z)), of batch shape (n,), with one picture as event.

    Args:
        head: the networks.
        picture: r(x|m), whose mean is m.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, head: PixelHead, picture: Distribution):
        super().__init__(picture.batch_shape, picture.event_shape, validate_args=False)
        self.head, self.picture = head, picture

    @property
    def mean(self) -> Float[Tensor, "n *shape"]:
        """The picture m(z), which represents the distribution; its true mean would have to be drawn."""
        return self.picture.mean

    def log_prob(self, value: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
        """The log-probability of pictures, in nats. In training, its gradient has that of log r(x|m) added.

        Args:
            value: pictures, (n, C, H, W).

        Raises:
            ValueError: if a pixel is not one of the values of the family.
        """
        exact = self.head.log_prob(value, self.mean.expand_as(value))
        if not (self.head.training and torch.is_grad_enabled()):
            return exact
        auxiliary = self.picture.log_prob(value)
        return exact + (auxiliary - auxiliary.detach())

    @torch.no_grad()
    def sample(self, sample_shape: Sequence[int] = ()) -> Float[Tensor, "*any"]:
        """Draws pictures pixel by pixel.

        Args:
            sample_shape: how many of each, before the shape of the batch.
        """
        m = self.mean.expand(*sample_shape, *self.mean.shape)
        return self.head.draw(m.reshape(-1, *self.event_shape)).reshape(m.shape)
