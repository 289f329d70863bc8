"""A trained model at work on arrays of any length: the input it takes, eval mode, codes and pictures in batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from vlae.models.base import LatentModel

BATCH = 500
"""Data at a time."""


def as_input(values: np.ndarray | Tensor, device: torch.device | None = None) -> Tensor:
    """Stored values as a model takes them: uint8 images become float32 in [0, 1], vectors stay as they are.

    Args:
        values: uint8 images (N, C, H, W), or floats of any shape, which only become float32.
        device: where the result shall lie; None: where the values lie.
    """
    if isinstance(values, np.ndarray):
        values = torch.tensor(values)  # a copy: what is mapped from a file must not be written to
    tensor = values.to(device)
    return tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor.float()


@contextmanager
def evaluating(model: LatentModel, *, seed: int | None = None) -> Iterator[None]:
    """Eval mode without gradients; afterwards every module is in the mode it was in.

    Args:
        model: in any mode.
        seed: of what is drawn meanwhile; what is drawn afterwards is then as if nothing had been. None: draws are not
            touched.
    """
    modes = [(module, module.training) for module in model.modules()]
    devices = [model.device] if model.device.type == "cuda" else []
    model.eval()
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=devices, enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            yield
    finally:
        for module, training in modes:
            module.training = training


def encode(model: LatentModel, values: np.ndarray, *, batch_size: int = BATCH) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and standard deviation of every level's posterior.

    Args:
        model: in any mode; it encodes in eval mode and is left as it was.
        values: uint8 images or floats in [0, 1], (N, C, H, W), or vectors (N, D); N at least 1.
        batch_size: how many at a time.

    Returns:
        For each level, level 1 first, two float32 arrays (N, code size).

    Raises:
        NotDefinedError: if the model has no encoder.
    """
    model.require("encoder")
    batches = []
    with evaluating(model):
        for start in range(0, len(values), batch_size):
            batch = as_input(values[start : start + batch_size], model.device)
            batches.append([(q.mean.cpu().numpy(), q.stddev.cpu().numpy()) for q in model.infer(batch)])
    return [
        (np.concatenate([mean for mean, _ in level]), np.concatenate([stddev for _, stddev in level]))
        for level in zip(*batches, strict=True)
    ]


def decode(model: LatentModel, codes: Sequence[np.ndarray], *, batch_size: int = BATCH) -> np.ndarray:
    """The pictures of codes.

    Args:
        model: in any mode; it decodes in eval mode and is left as it was.
        codes: one array (N, code size) per level, level 1 first; N at least 1.
        batch_size: how many at a time.

    Returns:
        float32 (N, C, H, W) in [0, 1], or vectors (N, D).
    """
    tensors = [torch.tensor(code, dtype=torch.float32, device=model.device) for code in codes]
    with evaluating(model):
        starts = range(0, len(tensors[0]), batch_size)
        batches = (tuple(tensor[start : start + batch_size] for tensor in tensors) for start in starts)
        return np.concatenate([model.decode(batch).cpu().numpy() for batch in batches])
