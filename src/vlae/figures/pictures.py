"""Data and a model's output as colours that an eye can look at."""

from math import ceil, sqrt

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vlae.figures.canvas import Pictures
from vlae.shapes import Shape, is_image

_BLUE, _GREY, _RED = np.array([[59, 76, 192], [221, 221, 221], [180, 4, 38]], dtype=float)


def to_pictures(
    values: Float[Tensor, "n *shape"],
    shape: Shape,
    mean: Tensor | float | None = None,
    stddev: Tensor | float | None = None,
) -> Pictures:
    """Data, or pictures of a model, as colours: one small picture each.

    Images in [0, 1]: 1 channel is grey; 2 are grey and opacity, 4 are colour and opacity, both laid on white; of more
    channels the first three are shown. Vectors become a map of cells, in reading order, as square as can be, from blue
    (2 standard deviations below the mean) over grey to red (2 above).

    Args:
        values: the data.
        shape: of one datum.
        mean: by which vectors are standardised, one number or one per dimension; None: that of these values.
        stddev: by which vectors are divided, one number or one per dimension; None: that of these values.

    Raises:
        ValueError: if `values` are not of this shape.
    """
    if tuple(values.shape[1:]) != tuple(shape):
        raise ValueError(f"the values have shape {tuple(values.shape)}; expected (n, {', '.join(map(str, shape))})")
    values = values.detach().float().cpu()
    if not is_image(shape):
        centre = values.mean(0) if mean is None else torch.as_tensor(mean).cpu()
        spread = values.std(0, correction=0) if stddev is None else torch.as_tensor(stddev).cpu()
        return _cells((values - centre) / spread.clamp_min(1e-12))
    if shape[0] in (2, 4):
        opacity = values[:, -1:].clamp(0, 1)
        values = values[:, :-1] * opacity + (1 - opacity)
    colours = values.expand(-1, 3, -1, -1) if values.shape[1] == 1 else values[:, :3]
    return _bytes(colours.permute(0, 2, 3, 1).numpy() * 255)


def _cells(standardised: Float[Tensor, "n cells"]) -> Pictures:
    t = (standardised / 2).clamp(-1, 1).numpy()[..., None]
    colours = _GREY + np.maximum(t, 0) * (_RED - _GREY) + np.maximum(-t, 0) * (_BLUE - _GREY)
    num, cells = standardised.shape
    width = ceil(sqrt(cells))
    height = ceil(cells / width)
    folded = np.full((num, height * width, 3), 255.0)
    folded[:, :cells] = colours
    return _bytes(folded.reshape(num, height, width, 3))


def _bytes(colours: np.ndarray) -> Pictures:
    return colours.clip(0, 255).round().astype(np.uint8)
