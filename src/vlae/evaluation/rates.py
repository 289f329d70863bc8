"""What a model's levels cost and how well it explains data, measured on data it was not trained on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import kl_divergence

from vlae.models.base import Codes, LatentModel
from vlae.models.distributions import CodeDistribution
from vlae.models.inference import as_input, evaluating
from vlae.objectives.elbo import distortion, rates_per_dimension
from vlae.shapes import is_image

STARVED_NATS = 1.0  # a level that costs less says little
DEAD_NATS = 0.1  # a level that costs less says next to nothing about a datum


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
        section 5.3); and not_defined: of each number that this model does not define, the reason. Such a number is
        None: all that need a density where the model has none, all but num_images where it has no encoder.
    """
    num = len(values)
    if "encoder" in model.lacks:
        return _without_encoder(model, num)
    dense = "density" not in model.lacks
    squared = absolute = distorted = 0.0
    rate = [torch.zeros(size, dtype=torch.float64) for size in model.code_sizes]
    means: list[list[Tensor]] = []
    with evaluating(model, seed=seed):
        for start in range(0, num, batch_size):
            x = as_input(values[start : start + batch_size], model.device)
            codes = tuple(posterior.mean for posterior in model.infer(x))
            error = (model.decode(codes) - x).double().flatten(1)
            squared += error.square().mean(1).sum().item()
            absolute += error.abs().mean(1).sum().item()
            forward = model(x)
            distorted += distortion(forward, x).double().sum().item() if dense else 0.0
            for level, each in enumerate(rates_per_dimension(forward)):
                rate[level] += each.double().sum(0).cpu()
            means.append([code.cpu() for code in codes])
    total = sum(each.sum().item() for each in rate) / num
    reconstruction = {"mse": squared / num, "mae": absolute / num}
    if is_image(model.shape):
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
    summary: dict[str, Any] = {
        "num_images": num,
        "reconstruction": reconstruction,
        "distortion_nats": distorted / num if dense else None,
        "elbo_nats": -distorted / num - total if dense else None,
        "levels": levels,
    }
    if not dense:
        summary["not_defined"] = dict.fromkeys(("distortion_nats", "elbo_nats"), model.lacks["density"])
    return summary


def _without_encoder(model: LatentModel, num: int) -> dict[str, Any]:
    """The summary of a model that only generates."""
    undefined = ("kl_nats", "kl_nats_per_dimension", "share", "active_units")
    levels = [
        {"level": level, "code_size": size, **dict.fromkeys(undefined)}
        for level, size in enumerate(model.code_sizes, start=1)
    ]
    names = ("reconstruction", "distortion_nats", "elbo_nats", *undefined)
    return {
        "num_images": num,
        "reconstruction": {},
        "distortion_nats": None,
        "elbo_nats": None,
        "levels": levels,
        "not_defined": dict.fromkeys(names, model.lacks["encoder"]),
    }


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
        to those of codes drawn from the posteriors. None for a level without a code, and for a distortion that the
        model does not define.

    Raises:
        NotDefinedError: if the model has no encoder.
    """
    model.require("encoder")
    replaced = {("without_it", level): {level} for level in model.levels_with_code}
    replaced |= {("kept_upwards", level): set(range(1, level)) for level in model.levels_with_code}
    added = {case: np.zeros(2) for case in replaced}
    levels = range(1, model.num_levels + 1)
    with evaluating(model, seed=seed):
        for start in range(0, len(values), batch_size):
            x = as_input(values[start : start + batch_size], model.device)
            codes = model(x).codes
            noise, fresh, before = model.noise_of(codes), model.draw_noise(len(x)), _errors(model, codes, x)
            for case, afresh in replaced.items():
                mixed = tuple((fresh if level in afresh else noise)[level - 1] for level in levels)
                added[case] += _errors(model, model.place(mixed), x) - before

    def mean(case: tuple[str, int]) -> dict[str, float | None] | None:
        if case not in added:
            return None
        distorted, squared = (added[case] / len(values)).tolist()
        return {"distortion_nats": None if "density" in model.lacks else distorted, "mse": squared}

    return [{name: mean((name, level)) for name in ("without_it", "kept_upwards")} for level in levels]


def rates_of(model: LatentModel, posteriors: tuple[CodeDistribution, ...]) -> Tensor:
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
        rates.append(kl_divergence(q, model.prior(level, means[level:])).sum(1))
    return torch.stack(rates)


def elbos_of(
    model: LatentModel, x: Tensor, posteriors: tuple[CodeDistribution, ...], *, num_draws: int = 8, seed: int = 0
) -> Tensor:
    """The evidence lower bound of each datum in nats, (n,), by draws that all data share.

    Every datum's codes are placed by the same few ε and their opposites, so that its bound does not depend on the data
    beside it, and the same seed gives the same number. (A conditional posterior is taken at the means.)

    Args:
        model: in eval mode.
        x: data as the model takes them, (n, *shape).
        posteriors: what it infers from them.
        num_draws: how many ε, an even number.
        seed: of the ε.

    Raises:
        NotDefinedError: if the model has no density.
    """
    model.require("density")
    half = model.draw_noise(num_draws // 2, torch.Generator().manual_seed(seed))
    distortions = torch.zeros(len(x), device=x.device)
    for noise in zip(*half, strict=True):
        for sign in (1, -1):
            codes = tuple(q.place(sign * e.to(q.mean)[None]) for q, e in zip(posteriors, noise, strict=True))
            distortions -= model.generate(tuple(code.to(x.dtype) for code in codes)).log_prob(x)
    return -distortions / (2 * len(half[0])) - rates_of(model, posteriors).sum(0)


def _errors(model: LatentModel, codes: Codes, x: Tensor) -> np.ndarray:
    """Distortion (0 where there is no density) and squared error per dimension of these codes, over the batch."""
    likelihood = model.generate(codes)
    squared = (model.picture_of(likelihood) - x).double().square().flatten(1).mean(1).sum()
    dense = "density" not in model.lacks
    return np.array([-likelihood.log_prob(x).double().sum().item() if dense else 0.0, squared.item()])


def count_active(means: Float[Tensor, "n size"]) -> int:
    """How many dimensions of a code have a posterior mean that varies by more than .01 between data."""
    variance = (means - means.mean(0)).square().sum(0) / max(1, len(means) - 1)
    return int((variance > 0.01).sum())


def number(value: float | None, form: str) -> str:
    """A number as text, or "not defined".

    Examples:
        >>> number(0.256, ".2f"), number(None, ".2f")
        ('0.26', 'not defined')
    """
    return "not defined" if value is None else f"{value:{form}}"


def is_dead(level: Mapping[str, Any]) -> bool:
    """Whether a level has a code that says next to nothing.

    Args:
        level: its code_size and kl_nats, which is None where the model does not define it.
    """
    return bool(level["code_size"]) and level["kl_nats"] is not None and level["kl_nats"] < DEAD_NATS


def shortage(level: Mapping[str, Any]) -> str | None:
    """The warning of a level that is dead, starved (of less than a nat) or too large; None of any other.

    Args:
        level: its level, code_size, kl_nats and active_units; the last two are None where not defined.
    """
    number, size, nats, active = (level[name] for name in ("level", "code_size", "kl_nats", "active_units"))
    if nats is None:
        return None
    if is_dead(level):
        return f"Level {number} is dead: its code costs {nats:.2f} nats, so it says next to nothing about a datum."
    if size and nats < STARVED_NATS:
        return f"Level {number} is starved: its code costs {nats:.2f} nats, so it says little about a datum."
    if 2 * active < size:
        return f"Level {number} is too large: {active} of its {size} units are active, so a smaller code would do."
    return None
