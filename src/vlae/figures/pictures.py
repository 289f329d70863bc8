"""Turns data and the output of a model into colours."""

from math import ceil, sqrt

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vlae.figures.canvas import Pictures
from vlae.models.inference import as_input
from vlae.shapes import Shape, is_image

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
    are three, blue. A vector becomes a map of cells in reading order, as square as possible, from blue (2 standard
    deviations below the mean) over grey to red (2 above).

    Args:
        values: the data, (n, *shape); images are in [0, 1].
        shape: of one datum: (C, H, W) or (D,).
        mean: subtracted from vectors, one number or one per dimension; None: the mean of these values.
        stddev: divisor of vectors, one number or one per dimension; None: the standard deviation of these values.
        opacity: whether the last of 2 or 4 channels is opacity.

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
    others = as_input(examples)
    return to_pictures(values, shape, others.mean(0), others.std(0, correction=0))


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
