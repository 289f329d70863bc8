"""What each level carries, measured on data a model was not trained on."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlae.model import LatentModel
from vlae.objectives import distortion, rates


def as_input(values: np.ndarray, device: torch.device | None = None) -> Tensor:
    """Stored values as a model takes them: uint8 images become float32 in [0, 1], vectors stay as they are."""
    tensor = torch.as_tensor(np.ascontiguousarray(values), device=device)
    return tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor.float()


@torch.no_grad()
def summarise(model: LatentModel, values: np.ndarray, *, batch_size: int = 500, seed: int = 0) -> dict[str, Any]:
    """How well a model explains data, and what it pays on each level.

    Args:
        model: in any mode; it is measured in eval mode and left as it was.
        values: uint8 images (N, C, H, W) or float32 vectors (N, D).
        batch_size: how many at a time; it changes no number.
        seed: of the sampled codes.

    Returns:
        num_images; reconstruction: mse, mae and psnr in dB per pixel of images in [0, 1] (of vectors: in their own
        units, without psnr), from the posterior means; distortion_nats and elbo_nats per datum, from sampled codes;
        levels: level, code_size, kl_nats and active_units (dimensions whose posterior mean varies by more than .01,
        Reference: Burda et al. 2016, section 5.3) of each.
    """
    generator_state, was_training = torch.get_rng_state(), model.training
    torch.manual_seed(seed)
    model.eval()
    squared = absolute = distorted = 0.0
    rate = torch.zeros(model.num_levels, dtype=torch.float64)
    means: list[list[Tensor]] = []
    try:
        for start in range(0, len(values), batch_size):
            x = as_input(values[start : start + batch_size], model.device)
            forward = model(x)
            codes = tuple(posterior.mean for posterior in forward.posteriors)
            error = (model.generate(codes).mean - x).double()
            squared += error.square().flatten(1).mean(1).sum().item()
            absolute += error.abs().flatten(1).mean(1).sum().item()
            distorted += distortion(forward, x).double().sum().item()
            rate += rates(forward).double().sum(1).cpu()
            means.append([code.cpu() for code in codes])
    finally:
        torch.set_rng_state(generator_state)
        model.train(was_training)
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
            "active_units": int((torch.cat([m[level - 1] for m in means]).var(0) > 0.01).sum()) if num > 1 else 0,
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
