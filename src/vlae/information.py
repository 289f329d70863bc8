"""What each level carries, measured on data a model was not trained on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlae.model import LatentModel
from vlae.objectives import distortion, rates


def as_input(values: np.ndarray | Tensor, device: torch.device | None = None) -> Tensor:
    """Stored values as a model takes them: uint8 images become float32 in [0, 1], vectors stay as they are."""
    if isinstance(values, np.ndarray):
        values = torch.tensor(values)  # a copy: what is mapped from a file must not be written to
    tensor = values.to(device)
    return tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor.float()


@torch.no_grad()
def summarise(model: LatentModel, values: np.ndarray, *, batch_size: int = 500, seed: int = 0) -> dict[str, Any]:
    """How well a model explains data, and what it pays on each level.

    Args:
        model: in any mode; it is measured in eval mode and left as it was.
        values: uint8 images (N, C, H, W) or float32 vectors (N, D).
        batch_size: how many at a time.
        seed: of the sampled codes, which are drawn batch by batch.

    Returns:
        num_images; reconstruction: mse, mae and psnr in dB per pixel of images in [0, 1] (of vectors: in their own
        units, without psnr), from the posterior means; distortion_nats and elbo_nats per datum, from sampled codes;
        levels: level, code_size, kl_nats and active_units (dimensions whose posterior mean varies by more than .01,
        Reference: Burda et al. 2016, section 5.3) of each.
    """
    squared = absolute = distorted = 0.0
    rate = torch.zeros(model.num_levels, dtype=torch.float64)
    means: list[list[Tensor]] = []
    with _evaluating(model, seed):
        for start in range(0, len(values), batch_size):
            x = as_input(values[start : start + batch_size], model.device)
            codes = tuple(posterior.mean for posterior in model.infer(x))
            error = (model.generate(codes).mean - x).double().flatten(1)
            squared += error.square().mean(1).sum().item()
            absolute += error.abs().mean(1).sum().item()
            forward = model(x)
            distorted += distortion(forward, x).double().sum().item()
            rate += rates(forward).double().sum(1).cpu()
            means.append([code.cpu() for code in codes])
    num = len(values)
    rate /= num
    reconstruction = {"mse": squared / num, "mae": absolute / num}
    if len(model.shape) == 3:
        reconstruction["psnr"] = float(-10 * np.log10(max(squared / num, 1e-12)))
    levels = [
        {
            "level": level,
            "code_size": size,
            "kl_nats": rate[level - 1].item(),
            "active_units": _count_active(torch.cat([codes[level - 1] for codes in means])),
        }
        for level, size in enumerate(model.code_sizes, start=1)
    ]
    return {
        "num_images": num,
        "reconstruction": reconstruction,
        "distortion_nats": distorted / num,
        "elbo_nats": -distorted / num - rate.sum().item(),
        "levels": levels,
    }


def _count_active(means: Tensor) -> int:
    variance = (means - means.mean(0)).square().sum(0) / max(1, len(means) - 1)
    return int((variance > 0.01).sum())


@contextmanager
def _evaluating(model: LatentModel, seed: int) -> Iterator[None]:
    """Eval mode and seeded draws; afterwards every module's mode, and what is drawn next, are as they were."""
    modes = [(module, module.training) for module in model.modules()]
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(seed)
        model.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
