"""Masked convolutions: for each pixel, numbers that depend on the pixels before it in reading order.

Reference: van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders", section 2.
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

Place = Callable[
    [Float[Tensor, "n outputs p 1"], Int[Tensor, " p"], Int[Tensor, " p"]], Float[Tensor, "n channels p 1"]
]
"""Gives values to some pixels: takes the network's numbers for them, their rows and their columns."""


class MaskedConv2d(nn.Conv2d):
    """A convolution of each pixel's neighbours before it in reading order, with or without the pixel itself.

    Of a k × k kernel it keeps the rows down to the middle one, (k + 1) / 2 of them; the rest could see nothing.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        kernel: side k of the kernel, an odd number of pixels.
        centre: whether the pixel itself is seen.

    Examples:
        >>> (MaskedConv2d(1, 1, 3, centre=False).masked_weight()[0, 0] != 0).int().tolist()
        [[1, 1, 1], [1, 0, 0]]
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, *, centre: bool):
        super().__init__(channels_in, channels_out, (kernel // 2 + 1, kernel))
        self.reach = kernel // 2
        self.seen = self.reach + int(centre)  # of the last row

    def masked_weight(self) -> Float[Tensor, "out channels rows columns"]:
        """The weights, with zeros where the pixel itself and later ones stand."""
        *_, rows, columns = self.weight.shape
        last = functional.pad(self.weight[:, :, rows - 1 :, : self.seen], (0, columns - self.seen))
        return torch.cat([self.weight[:, :, : rows - 1], last], dim=2)

    def padded(self, h: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n channels higher wider"]:
        """A map with zeros above, on the left and on the right of it.

        Args:
            h: (n, channels, height, width).
        """
        return functional.pad(h, (self.reach, self.reach, self.reach, 0))

    def forward(self, h: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n out height width"]:
        """The convolution at every pixel.

        Args:
            h: (n, channels, height, width).
        """
        return functional.conv2d(self.padded(h), self.masked_weight(), self.bias)

    def at(
        self, padded: Float[Tensor, "n channels higher wider"], rows: Int[Tensor, " p"], columns: Int[Tensor, " p"]
    ) -> Float[Tensor, "n out p 1"]:
        """The convolution at some pixels.

        Args:
            padded: a map, padded by `padded`; only what stands before the pixels, and at them, is read.
            rows: the row of each pixel, from 0.
            columns: its column, from 0.
        """
        down, across = (torch.arange(size, device=rows.device) for size in self.weight.shape[2:])
        patches = padded[:, :, (rows[:, None] + down)[..., None], (columns[:, None] + across)[:, None]]
        drawn = torch.einsum("ncpij,ocij->nop", patches, self.masked_weight())
        return (drawn if self.bias is None else drawn + self.bias[:, None])[..., None]


class MaskedNetwork(nn.Module):
    """Numbers for each pixel of a picture x, from the pixels before it and from all of another picture m.

    The first layer is a masked convolution of x and x - m, without the pixel itself, plus a plain convolution of m.
    The further layers are masked too, see the pixel itself, and add to the map. All are gated: tanh(a) · σ(b). A gated
    1 × 1 convolution follows, then a linear one. Without masked layers the numbers depend on m alone.

    A pixel sees those above it in a cone that widens by kernel // 2 on the right for each row upwards, and no other.

    Args:
        channels: channels of x and of m.
        outputs: how many numbers each pixel gets.
        layers: number of masked layers, from 0 up.
        kernel: side of the kernels, an odd number of pixels.
        width: channels of the maps between the layers.
    """

    def __init__(self, channels: int, outputs: int, *, layers: int, kernel: int, width: int):
        super().__init__()
        self.reach = kernel // 2
        self.context = nn.Conv2d(channels, 2 * width, kernel, padding=self.reach)
        self.layers = nn.ModuleList(
            MaskedConv2d(width if number else 2 * channels, 2 * width, kernel, centre=number > 0)
            for number in range(layers)
        )
        self.mix = nn.Conv2d(width, 2 * width, 1)
        self.out = nn.Conv2d(width, outputs, 1)

    def forward(
        self, x: Float[Tensor, "n channels height width"], m: Float[Tensor, "n channels height width"]
    ) -> Float[Tensor, "n outputs height width"]:
        """The numbers of every pixel.

        Args:
            x: the picture, in [0, 1]; no number depends on its own pixel or on a later one.
            m: the other picture, in [0, 1], all of which is seen.
        """
        seen = _seen(x, m)
        return self._through(self.context(_centred(m)), lambda number, h: self.layers[number](seen if h is None else h))

    def draw(
        self, m: Float[Tensor, "n channels height width"], place: Place
    ) -> Float[Tensor, "n channels height width"]:
        """A picture whose pixels are placed one after the other, each by the numbers that follow from those before.

        Pixels of which none depends on another are placed together (`wavefronts`), and each layer is computed once for
        each pixel.

        Args:
            m: the other picture, in [0, 1].
            place: gives values in [0, 1] to pixels.
        """
        context, x = self.context(_centred(m)), torch.zeros_like(m)
        first = 2 * m.shape[1]
        maps = [
            layer.padded(m.new_zeros(m.shape[0], self.mix.in_channels if number else first, *m.shape[2:]))  # type: ignore[operator]
            for number, layer in enumerate(self.layers)
        ]
        for rows, columns in self.wavefronts(m.shape[2], m.shape[3], m.device):
            inside = (slice(None), slice(None), rows + self.reach, columns + self.reach)

            def read(number: int, h: Tensor | None) -> Tensor:
                if h is not None:
                    maps[number][inside] = h[..., 0]  # noqa: B023
                return self.layers[number].at(maps[number], rows, columns)  # type: ignore[operator] # noqa: B023

            numbers = self._through(context[:, :, rows, columns][..., None], read)
            values = place(numbers, rows, columns)
            x[:, :, rows, columns] = values[..., 0]
            if maps:
                maps[0][inside] = _seen(values, m[:, :, rows, columns][..., None])[..., 0]
        return x

    def wavefronts(self, height: int, width: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows and columns of the pixels that are placed together, in order: pixel (i, j) at step j + (r + 1) i.

        r is the kernel's reach, kernel // 2. A masked kernel reads pixels (i - a, j + b) with a = 0 and b < 0, or with
        a > 0 and b ≤ r: all of an earlier step. So this holds for any number of layers. Without layers, all pixels are
        placed at once.

        Args:
            height: the picture's height in pixels.
            width: its width in pixels.
            device: where the numbers shall lie.
        """
        slope = self.reach + 1 if len(self.layers) else 0
        row, column = (
            each.flatten() for each in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        )
        step = column + slope * row if slope else torch.zeros_like(row)
        for number in range(int(step.max()) + 1):
            now = step == number
            yield row[now].to(device), column[now].to(device)

    def _through(self, context: Tensor, read: Callable[[int, Tensor | None], Tensor]) -> Tensor:
        """The numbers of pixels, from m's map there, and from a function that gives what each masked layer reads."""
        h = None
        for number in range(len(self.layers)):
            read_here = read(number, h)
            h = _gated(read_here + context) if h is None else h + _gated(read_here)
        h = _gated(context) if h is None else h
        numbers: Tensor = self.out(h + _gated(self.mix(h)))
        return numbers


def _centred(x: Tensor) -> Tensor:
    return 4 * x - 2


def _seen(x: Tensor, m: Tensor) -> Tensor:
    return torch.cat([_centred(x), 4 * (x - m)], dim=1)


def _gated(h: Tensor) -> Tensor:
    signal, gate = h.chunk(2, dim=1)
    return torch.tanh(signal) * torch.sigmoid(gate)
