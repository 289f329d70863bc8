"""Applies a trained model to arrays of any length: checks the input, encodes and decodes in batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlae import memory
from vlae.errors import check_seed, check_whole
from vlae.models.base import LatentModel
from vlae.models.devices import exact_convolutions
from vlae.shapes import ROUNDING, Shape, is_image, listed

BATCH, BATCH_PIXELS = 500, 500 * 64 * 64
"""How many data, and how many pixels, a model takes at a time."""

COPIES = 4
"""How often a picture that is drawn is in memory: in parts and as a whole, as float32 and as shown."""

DRAWN_PIXELS = 2**16
"""How many pixels are drawn at a time, between two steps of the progress bar."""


def as_input(values: np.ndarray | Tensor, device: torch.device | None = None) -> Tensor:
    """Turns stored values into a model's input: uint8 becomes float32 in [0, 1], floats become float32.

    Args:
        values: uint8 images (N, C, H, W), or floats of any shape.
        device: the device of the result; None: the device of the values.
    """
    if isinstance(values, np.ndarray):
        values = torch.tensor(values)  # a copy, because an array mapped from a file must not be changed
    tensor = values.to(device)
    return tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor.float()


def batch_of(shape: Shape, most: int = BATCH) -> int:
    """How many data a model takes at a time: 500, or fewer pictures above 64 × 64 pixels, so that memory is bounded.

    Args:
        shape: shape of one datum, (channels, height, width) or (dimensions,).
        most: the most at a time, 1 or more.
    """
    return max(1, min(most, BATCH_PIXELS // prod(shape[1:]))) if is_image(shape) else most


def in_parts(values: np.ndarray, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Data in parts of at most `batch_of`, so that what is computed of a part takes the same memory at any size.

    Args:
        values: data of any type, (N, *shape).
        rows: the numbers of those to take, in their order; None: all.
    """
    size = batch_of(values.shape[1:])
    for start in range(0, len(values) if rows is None else len(rows), size):
        part = slice(start, start + size)
        yield np.ascontiguousarray(values[part if rows is None else rows[part]])


def given(
    features: np.ndarray | Tensor | None, start: int = 0, num: int | None = None, device: torch.device | None = None
) -> dict[str, Tensor]:
    """The features of some rows as an argument of a model: {"features": float32 (n, F)}, or nothing if there are none.

    Args:
        features: of the full-size pictures, (N, F). None: they are not known, and a model that reads features computes
            them.
        start: the first row.
        num: how many rows; None: all from there.
        device: the device of the result; None: the CPU.
    """
    if features is None:
        return {}
    rows = features[start : None if num is None else start + num]
    return {"features": torch.as_tensor(np.array(rows) if isinstance(rows, np.ndarray) else rows).to(device).float()}


def check_values(x: np.ndarray | Tensor, shape: Shape) -> np.ndarray:
    """Checks that a model can take the data, and returns them as uint8 or float32 (N, *shape).

    Args:
        x: uint8 images or floats in [0, 1], (N, C, H, W); or vectors (N, D). One datum may leave out N.
        shape: the shape of one datum that the model takes.

    Raises:
        ValueError: if x has another shape, no data, or values out of range.
    """
    values = x.cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    if values.shape == shape:
        values = values[None]
    if values.shape[1:] != shape or not len(values):
        raise ValueError(f"data of shape {values.shape} is given; this model takes (N, {listed(shape)})")
    if values.dtype != np.uint8:
        values = values.astype(np.float32)
        outside = is_image(shape) and not (values.min() >= -ROUNDING and values.max() <= 1 + ROUNDING)
        if outside or not np.isfinite(values).all():
            raise ValueError(
                f"values from {values.min():.7g} to {values.max():.7g} are given; "
                "images are uint8, or floats in [0, 1], and nothing may be NaN or infinite"
            )
        if is_image(shape) and not (values.min() >= 0 and values.max() <= 1):
            values = values.clip(0, 1)
    return values


def check_num(model: LatentModel, num: Any, name: str = "num", *, drawn: int | None = None) -> int:
    """Checks a number of pictures to draw: it is 1 or more, and the pictures fit the memory.

    Args:
        model: draws the pictures.
        num: the number that was asked for.
        name: of the setting, for messages.
        drawn: how many pictures are drawn for it; None: as many.

    Returns:
        The number, as an int.

    Raises:
        ValueError: if it is no whole number, or below 1.
        NotEnoughMemoryError: if there is too little memory.
    """
    num = check_whole(name, num, 1)
    drawn = num if drawn is None else int(drawn)
    memory.require(COPIES * 4 * drawn * prod(model.shape), f"drawing {drawn:,} pictures", f"lower {name}")
    return num


def generator_of(seed: Any) -> torch.Generator:
    """A generator of random numbers on the CPU.

    Args:
        seed: from 0 to 2³² - 1.

    Raises:
        ValueError: if the seed is no such number.
    """
    return torch.Generator().manual_seed(check_seed(seed))


@contextmanager
def evaluating(model: LatentModel, *, seed: int | None = None) -> Iterator[None]:
    """Puts a model into eval mode without gradients; after the block every module returns to its former mode.

    On a GPU, convolutions are computed in float32 throughout.

    Args:
        model: in any mode.
        seed: seed of the random draws in the block; the generators are restored after it. None: they are left alone.

    Raises:
        ValueError: if the seed is no whole number from 0 to 2³² - 1.
    """
    seed = None if seed is None else check_seed(seed)
    modes = [(module, module.training) for module in model.modules()]
    devices = [model.device] if model.device.type == "cuda" else []
    model.eval()
    try:
        with (
            torch.inference_mode(),
            exact_convolutions(),
            torch.random.fork_rng(devices=devices, enabled=seed is not None),
        ):
            if seed is not None:
                torch.manual_seed(seed)
            yield
    finally:
        for module, training in modes:
            module.training = training


def encode(
    model: LatentModel, values: np.ndarray, *, features: np.ndarray | None = None, batch_size: int | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and standard deviation of every level's posterior q(z_l | x), computed in eval mode.

    Args:
        model: in any mode, which it keeps.
        values: uint8 images or floats in [0, 1], (N, C, H, W); or vectors (N, D). N is at least 1.
        features: of the full-size pictures, (N, F); None: a model that reads features computes them from the values.
        batch_size: how many data the model encodes at a time; None: 500, or fewer pictures above 64 pixels.

    Returns:
        For each level, level 1 first, two float32 arrays (N, code size).

    Raises:
        NotDefinedError: if the model has no encoder.
        ValueError: if `batch_size` is no whole number from 1 up.
    """
    model.require("encoder")
    batch_size = batch_of(model.shape) if batch_size is None else check_whole("batch_size", batch_size, 1)
    batches = []
    with evaluating(model):
        for start in range(0, len(values), batch_size):
            batch = as_input(values[start : start + batch_size], model.device)
            posteriors = model.infer(batch, **given(features, start, batch_size, model.device))
            batches.append([(q.mean.cpu().numpy(), q.stddev.cpu().numpy()) for q in posteriors])
    return [
        (np.concatenate([mean for mean, _ in level]), np.concatenate([stddev for _, stddev in level]))
        for level in zip(*batches, strict=True)
    ]


def decode(model: LatentModel, codes: Sequence[np.ndarray], *, batch_size: int | None = None) -> np.ndarray:
    """The pictures of codes, computed in eval mode.

    Args:
        model: in any mode, which it keeps.
        codes: one array (N, code size) per level, level 1 first. N is at least 1.
        batch_size: how many codes the model decodes at a time; None: 500, or fewer pictures above 64 pixels.

    Returns:
        float32 (N, C, H, W) in [0, 1], or vectors (N, D).

    Raises:
        ValueError: if `batch_size` is no whole number from 1 up.
    """
    tensors = [torch.tensor(code, dtype=torch.float32, device=model.device) for code in codes]
    batch_size = batch_of(model.shape) if batch_size is None else check_whole("batch_size", batch_size, 1)
    with evaluating(model):
        starts = range(0, len(tensors[0]), batch_size)
        batches = (tuple(tensor[start : start + batch_size] for tensor in tensors) for start in starts)
        return np.concatenate([model.decode(batch).cpu().numpy() for batch in batches])


def draw(model: LatentModel, codes: Sequence[np.ndarray], *, seed: int = 0, progress: bool = False) -> np.ndarray:
    """Pictures of codes whose pixels are drawn from r(x|z), in eval mode.

    Args:
        model: in any mode, which it keeps.
        codes: one array (N, code size) per level, level 1 first. N is at least 1.
        seed: of the pixels, from 0 up.
        progress: show a progress bar on the error output while pixels are drawn, if that is a terminal.

    Returns:
        float32 (N, C, H, W) in [0, 1], or vectors (N, D).

    Raises:
        NotDefinedError: if the model has no density.
        ValueError: if the seed is no whole number from 0 to 2³² - 1.
    """
    from rich.console import Console
    from rich.progress import track

    tensors = [torch.tensor(code, dtype=torch.float32, device=model.device) for code in codes]
    batch_size = max(1, DRAWN_PIXELS // prod(model.shape[1:]))
    generator, console = generator_of(seed), Console(stderr=True)
    starts = range(0, len(tensors[0]), batch_size)
    with evaluating(model):
        batches = []
        for start in track(
            starts, "drawing pixels", console=console, transient=True, disable=not (progress and console.is_terminal)
        ):
            batches.append(model.draw(tuple(tensor[start : start + batch_size] for tensor in tensors), generator))
        return np.concatenate([batch.cpu().numpy() for batch in batches])


def noise_of_values(model: LatentModel, level: int) -> Tensor | None:
    """The noise of each value that the code of a level can take, if it is a category.

    Args:
        model: in any mode, which it keeps.
        level: the level's number, from 1 up.

    Returns:
        float32 (K, code size), on the CPU; None if the code is of numbers.
    """
    with evaluating(model):
        above = tuple(torch.zeros(1, size, device=model.device) for size in model.code_sizes[level:])
        prior = model.prior(level, above)
        every = prior.every_code()
        return None if every is None else prior.noise_of(every).cpu()
