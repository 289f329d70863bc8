"""Turns data and the output of a model into colours."""

from math import ceil

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vlae.figures.canvas import Pictures
from vlae.models.inference import as_input
from vlae.shapes import Shape, is_image

HIGHEST = 3.0
"""Standard deviations that the longest bar of a vector stands for."""

HALF = 24  # pixels of the longest bar
WIDTH = 64  # pixels of all bars of a vector, at least
MAX_BARS = 256

_BLUE, _GREY, _RED = np.array([[59, 76, 192], [221, 221, 221], [180, 4, 38]], dtype=float)


def to_pictures(
    values: Float[Tensor, "n *shape"],
    shape: Shape,
    mean: Tensor | float | None = None,
    stddev: Tensor | float | None = None,
    *,
    opacity: bool = True,
) -> Pictures:
    """Data, or the output of a model, as colours: one small picture for each datum.

    Of images in [0, 1], 1 channel is grey, and 3 are colour. 2 are grey and opacity, 4 are colour and opacity, both on
    white. Of more channels the first three are shown, and of 2 or 4 without opacity too: as red, green and, if there
    are three, blue. A vector becomes a row of bars, one for each column: upwards and red above the mean, downwards and
    blue below it, from -3 to 3 standard deviations.

    Args:
        values: the data, (n, *shape); images are in [0, 1].
        shape: of one datum: (C, H, W) or (D,).
        mean: subtracted from vectors, one number or one per dimension; None: the mean of these values.
        stddev: divisor of vectors, one number or one per dimension; None: the standard deviation of these values. A
            column whose standard deviation is 0 is not divided.
        opacity: whether the last of 2 or 4 channels is opacity.

    Raises:
        ValueError: if `values` are not of this shape.
    """
    if tuple(values.shape[1:]) != tuple(shape):
        raise ValueError(f"the values have shape {tuple(values.shape)}; expected (n, {', '.join(map(str, shape))})")
    values = values.detach().float().cpu()
    if not is_image(shape):
        values = values.double()  # in single precision the mean of equal numbers is another one
        centre = values.mean(0) if mean is None else torch.as_tensor(mean).cpu()
        spread = values.std(0, correction=0) if stddev is None else torch.as_tensor(stddev).cpu()
        return _bars(((values - centre) / torch.where(spread > 0, spread, 1.0)).float())
    if shape[0] in (2, 4) and opacity:
        opaque = values[:, -1:].clamp(0, 1)
        values = values[:, :-1] * opaque + (1 - opaque)
    colours = values.expand(-1, 3, -1, -1) if values.shape[1] == 1 else values[:, :3]
    if colours.shape[1] == 2:
        colours = torch.cat([colours, torch.zeros_like(colours[:, :1])], dim=1)
    return _bytes(colours.permute(0, 2, 3, 1).numpy() * 255)


def to_pictures_like(
    values: Float[Tensor, "n *shape"],
    shape: Shape,
    examples: np.ndarray | Float[Tensor, "m *shape"],
    *,
    opacity: bool = True,
) -> Pictures:
    """Data, or the output of a model, as colours: vectors are coloured by the mean and spread of examples.

    Args:
        values: the data, (n, *shape); images are in [0, 1].
        shape: of one datum: (C, H, W) or (D,).
        examples: other data of this shape, (m, *shape). Of images they are not used.
        opacity: whether the last of 2 or 4 channels is opacity.

    Raises:
        ValueError: if `values` are not of this shape.
    """
    if is_image(shape):
        return to_pictures(values, shape, opacity=opacity)
    others = as_input(examples).double()  # as in `to_pictures`
    return to_pictures(values, shape, others.mean(0), others.std(0, correction=0))


def _bars(standardised: Float[Tensor, "n columns"]) -> Pictures:
    """A row of bars for each vector; of more than 256 columns, the farthest from its mean of each few side by side."""
    few = ceil(standardised.shape[1] / MAX_BARS)
    z = np.pad(standardised.numpy(), ((0, 0), (0, -standardised.shape[1] % few)))
    groups = z.reshape(len(z), -1, few)
    farthest = np.abs(groups).argmax(2)[..., None]
    bars = np.take_along_axis(groups, farthest, 2)[..., 0]
    lengths = np.rint(bars.clip(-HIGHEST, HIGHEST) / HIGHEST * HALF)[:, None, :]
    rows = np.arange(HALF, -HALF - 1, -1)[:, None]  # the middle row is the mean
    drawn = np.full((len(z), 2 * HALF + 1, bars.shape[1], 3), 255.0)
    drawn[:, HALF] = _GREY
    drawn[(rows > 0) & (rows <= lengths)] = _RED
    drawn[(rows < 0) & (rows >= lengths)] = _BLUE
    return _bytes(drawn.repeat(max(1, WIDTH // bars.shape[1]), axis=2))


def _bytes(colours: np.ndarray) -> Pictures:
    return colours.clip(0, 255).round().astype(np.uint8)
