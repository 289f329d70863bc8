"""What each level carries, measured on data a model was not trained on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from vlae.models.base import Codes, LatentModel, standard_normal
from vlae.objectives import distortion, rates_per_dimension


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
        levels: of each level its number, code_size, kl_nats in all and kl_nats_per_dimension, share of the rate of all
        levels, and active_units (dimensions whose posterior mean varies by more than .01, Reference: Burda et al. 2016,
        section 5.3).
    """
    squared = absolute = distorted = 0.0
    rate = [torch.zeros(size, dtype=torch.float64) for size in model.code_sizes]
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
            for level, each in enumerate(rates_per_dimension(forward)):
                rate[level] += each.double().sum(0).cpu()
            means.append([code.cpu() for code in codes])
    num = len(values)
    total = sum(each.sum().item() for each in rate) / num
    reconstruction = {"mse": squared / num, "mae": absolute / num}
    if len(model.shape) == 3:
        reconstruction["psnr"] = float(-10 * np.log10(max(squared / num, 1e-12)))
    levels = [
        {
            "level": level,
            "code_size": size,
            "kl_nats": (kl := each.sum().item() / num),
            "kl_nats_per_dimension": (each / num).tolist(),
            "share": kl / total if total > 0 else 0.0,
            "active_units": count_active(torch.cat([codes[level - 1] for codes in means])),
        }
        for level, (size, each) in enumerate(zip(model.code_sizes, rate, strict=True), start=1)
    ]
    return {
        "num_images": num,
        "reconstruction": reconstruction,
        "distortion_nats": distorted / num,
        "elbo_nats": -distorted / num - total,
        "levels": levels,
    }


@torch.no_grad()
def ablate(model: LatentModel, values: np.ndarray, *, batch_size: int = 500, seed: int = 0) -> list[dict[str, Any]]:
    """What is lost without a level: the distortion and squared error that are added when its code is drawn afresh.

    A level is replaced by its prior by replacing its noise (see `LatentModel.place`), so where priors are conditional,
    what lies below moves with it.

    Args:
        model: in any mode; it is measured in eval mode and left as it was.
        values: uint8 images (N, C, H, W) or float32 vectors (N, D).
        batch_size: how many at a time.
        seed: of all that is drawn.

    Returns:
        For each level k, level 1 first: without_it, when it alone is drawn afresh; and kept_upwards, when only levels
        k … L are kept and those below are drawn afresh (nothing, for level 1). In each distortion_nats and mse, added
        to those of codes drawn from the posteriors. None for a level without a code.
    """
    occupied = [level for level, size in enumerate(model.code_sizes, start=1) if size]
    replaced = {("without_it", level): {level} for level in occupied}
    replaced |= {("kept_upwards", level): set(range(1, level)) for level in occupied}
    added = {case: np.zeros(2) for case in replaced}
    levels = range(1, model.num_levels + 1)
    with _evaluating(model, seed):
        for start in range(0, len(values), batch_size):
            x = as_input(values[start : start + batch_size], model.device)
            codes = model(x).codes
            noise, fresh, before = model.noise_of(codes), model.draw_noise(len(x)), _errors(model, codes, x)
            for case, afresh in replaced.items():
                mixed = tuple((fresh if level in afresh else noise)[level - 1] for level in levels)
                added[case] += _errors(model, model.place(mixed), x) - before

    def mean(case: tuple[str, int]) -> dict[str, float] | None:
        if case not in added:
            return None
        return dict(zip(("distortion_nats", "mse"), (added[case] / len(values)).tolist(), strict=True))

    return [{name: mean((name, level)) for name in ("without_it", "kept_upwards")} for level in levels]


def rates_of(model: LatentModel, posteriors: tuple[Normal, ...]) -> Tensor:
    """The KL of every level for each datum in nats, (levels, n): what its code costs.

    A conditional prior is taken at the posterior means of the codes above, so that nothing is drawn and a datum's
    rates depend on no other datum; the flat ladder's are exact.

    Args:
        model: in eval mode.
        posteriors: what it infers, one per level.
    """
    means = tuple(q.mean for q in posteriors)
    rates = []
    for level, q in enumerate(posteriors, start=1):
        above = means[level:]
        prior = model.prior(level, above) if above else standard_normal(len(q.mean), q.mean.shape[1], q.mean.device)
        rates.append(kl_divergence(q, prior).sum(1))
    return torch.stack(rates)


def elbos_of(
    model: LatentModel, x: Tensor, posteriors: tuple[Normal, ...], *, num_draws: int = 8, seed: int = 0
) -> Tensor:
    """The evidence lower bound of each datum in nats, (n,), by draws that all data share.

    Every datum's codes are mean + stddev · ε with the same few ε and their opposites, so that its bound does not depend
    on the data beside it, and the same seed gives the same number. (A conditional posterior is taken at the means.)

    Args:
        model: in eval mode.
        x: data as the model takes them, (n, *shape).
        posteriors: what it infers from them.
        num_draws: how many ε, an even number.
        seed: of the ε.
    """
    half = model.draw_noise(num_draws // 2, torch.Generator().manual_seed(seed))
    distortions = torch.zeros(len(x), device=x.device)
    for noise in zip(*half, strict=True):
        for sign in (1, -1):
            codes = tuple(q.mean + sign * q.stddev * e.to(q.mean) for q, e in zip(posteriors, noise, strict=True))
            distortions -= model.generate(tuple(code.to(x.dtype) for code in codes)).log_prob(x)
    return -distortions / (2 * len(half[0])) - rates_of(model, posteriors).sum(0)


def _errors(model: LatentModel, codes: Codes, x: Tensor) -> np.ndarray:
    """Distortion and squared error per dimension of these codes, summed over the batch."""
    likelihood = model.generate(codes)
    squared = (likelihood.mean - x).double().square().flatten(1).mean(1).sum()
    return np.array([-likelihood.log_prob(x).double().sum().item(), squared.item()])


def count_active(means: Float[Tensor, "n size"]) -> int:
    """How many dimensions of a code have a posterior mean that varies by more than .01 between data."""
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
