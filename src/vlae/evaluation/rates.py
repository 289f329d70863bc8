"""What each level of a model costs, and how well the model explains data it was not trained on."""

from collections.abc import Mapping, Sequence
from math import log, prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt64
from torch import Tensor
from torch.distributions import kl_divergence

from vlae.errors import check_whole
from vlae.evaluation.columns import columns_of, reconstruction_of, share_of_each, variances
from vlae.models.base import Codes, LatentModel
from vlae.models.distributions import CodeDistribution
from vlae.models.inference import as_input, batch_of, evaluating, given
from vlae.objectives.elbo import distortion, elbo, rates_per_dimension
from vlae.shapes import Shape, is_image

STARVED_NATS = 1.0  # a level that costs less carries little information
MAX_ABLATED = 1_000  # data for what is lost without a level, which draws each of them twice for every level
MIN_WORSE = 10  # data from which reconstructions are compared with their mean
WORSE, LITTLE = 1.25, 1e-3  # how much larger an error must be than that of the mean: a factor, and beyond it
DEAD_NATS = 0.1  # a level that costs less carries almost no information


def summarise(
    model: LatentModel,
    values: np.ndarray,
    *,
    features: np.ndarray | None = None,
    columns: Sequence[str] = (),
    means: Sequence[np.ndarray] | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures how well a model explains data, and what each level costs.

    A number that the model does not define is None: all that need a density if the model has none, all but num_images
    if it has no encoder. The keys are:

    - num_images: N.
    - reconstruction: from the posterior means, per pixel of images in [0, 1]: mse, mae, and psnr in dB. Of vectors: r2,
      the mean R² of the columns, at most 1; and error_stddevs, the root mean square error in standard deviations of
      each column. Both are of the columns that vary in these data.
    - columns: of vectors, for each column its name (or its number, from 1) and its r2; None if it does not vary.
    - column_names: of vectors; [] if they have no names.
    - distortion_nats and elbo_nats: per datum, from sampled codes.
    - features_distortion_nats: of the features that the model must explain, per datum, if there are any. It is no part
      of elbo_nats, which stays a bound on the likelihood of the picture alone.
    - levels: for each level its number ("level"), code_size, kl_nats, kl_nats_per_dimension, share of the rate of
      all levels in [0, 1], and active_units, the number of dimensions whose posterior mean has a variance above .01
      (Reference: Burda et al. 2016, section 5.3). A level that no picture tells of, by design, has the reason in
      unread.
    - not_defined: if some numbers are not defined, the reason of each.
    - absurd: if a number is larger than it can be (`absurdities`), reconstructions are worse than the mean of the data,
      or data are left out because they give numbers that are not finite, sentences that say so.

    Args:
        model: any model, in train or eval mode; it is measured in eval mode and left as it was.
        values: uint8 images (N, C, H, W) or float32 vectors (N, D).
        features: of the full-size pictures, (N, F); None: a model that reads features computes them from the values.
        columns: the names of the columns of vectors; () if they have none.
        means: the posterior means of every level, (N, code size) each, if they are known; None: they are computed.
        batch_size: number of data at a time, from 1 up; None: 500, or fewer pictures above 64 pixels.
        seed: of the sampled codes, which are drawn batch by batch.

    Returns:
        The summary: a dictionary that JSON can hold.
    """
    num = len(values)
    if "encoder" in model.lacks:
        return not_measured(model, num, model.lacks["encoder"])
    batch_size = batch_of(model.shape) if batch_size is None else check_whole("batch_size", batch_size, 1)
    has_density = "density" not in model.lacks
    not_finite: list[int] = []
    squared, absolute, distorted = np.zeros(prod(model.shape)), 0.0, 0.0
    moments = np.zeros((2, prod(model.shape)))
    rate = [torch.zeros(size, dtype=torch.float64) for size in model.code_sizes]
    finite_means: list[list[Tensor]] = []
    unexplained: list[Tensor] = []
    with evaluating(model, seed=seed):
        for start in range(0, num, batch_size):
            x = as_input(values[start : start + batch_size], model.device)
            of_rows = given(features, start, batch_size, model.device)
            if means is None:
                codes = tuple(posterior.mean for posterior in model.infer(x, **of_rows))
            else:
                codes = tuple(torch.tensor(mean[start : start + batch_size], device=model.device) for mean in means)
            error = (model.decode(codes) - x).double().flatten(1)
            forward = model(x, **of_rows)
            distortions = distortion(forward, x).double() if has_density else torch.zeros_like(error[:, 0])
            rates = [each.double() for each in rates_per_dimension(forward)]
            finite = (error.square().mean(1) + distortions + sum(each.sum(1) for each in rates)).isfinite()
            not_finite += [start + row for row in (~finite).nonzero().flatten().tolist()]
            squared += error[finite].square().sum(0).cpu().numpy()
            numbers = x[finite].double().flatten(1)
            moments += torch.stack([numbers.sum(0), numbers.square().sum(0)]).cpu().numpy()
            absolute += error[finite].abs().mean(1).sum().item()
            distorted += distortions[finite].sum().item()
            if forward.features_distortion is not None:
                unexplained.append(forward.features_distortion[finite].double().cpu())
            for level, each in enumerate(rates):
                rate[level] += each[finite].sum(0).cpu()
            finite_means.append([code[finite].cpu() for code in codes])
    if len(not_finite) == len(values):
        return not_measured(model, num, f"all {num:,} data give numbers that are not finite")
    num -= len(not_finite)
    total = sum(each.sum().item() for each in rate) / num
    reconstruction: dict[str, float | None]
    if is_image(model.shape):
        mse = float(squared.mean() / num)
        reconstruction = {"mse": mse, "mae": absolute / num, "psnr": float(-10 * np.log10(max(mse, 1e-12)))}
    else:
        missed = squared / num / variances(np.delete(values, not_finite, axis=0) if not_finite else values)
        reconstruction = reconstruction_of(missed)
    levels = [
        {
            "level": level,
            "code_size": size,
            "kl_nats": (kl := each.sum().item() / num),
            "kl_nats_per_dimension": (each / num).tolist(),
            "share": kl / total if total > 0 else 0.0,
            "active_units": count_active(torch.cat([codes[level - 1] for codes in finite_means])),
        }
        | ({"unread": model.unread[level]} if level in model.unread else {})
        for level, (size, each) in enumerate(zip(model.code_sizes, rate, strict=True), start=1)
    ]
    summary: dict[str, Any] = {
        "num_images": len(values),
        "reconstruction": reconstruction,
        "distortion_nats": distorted / num if has_density else None,
        "elbo_nats": -distorted / num - total if has_density else None,
        "levels": levels,
    }
    if not is_image(model.shape):
        summary["columns"] = columns_of(missed, columns)
        summary["column_names"] = list(columns)
    if unexplained:
        summary["features_distortion_nats"] = torch.cat(unexplained).mean().item()
    not_defined: dict[str, str] = {}
    if not has_density:
        not_defined |= dict.fromkeys(("distortion_nats", "elbo_nats"), model.lacks["density"])
    if any(error is None for error in reconstruction.values()):
        not_defined |= dict.fromkeys(reconstruction, "no column varies in these data")
    if not_defined:
        summary["not_defined"] = not_defined
    absurd = absurdities(summary, model.shape)
    if is_image(model.shape):
        of_mean = max(0.0, float((moments[1] / num - np.square(moments[0] / num)).mean()))
        of_model = mse
    else:
        of_mean, of_model = 1.0, 1.0 - (reconstruction["r2"] or 0.0)
    if has_density and num >= MIN_WORSE and of_model > WORSE * of_mean + LITTLE:
        absurd.append(
            f"Reconstructions, of an error of {of_model:.3g}, are worse than the mean of these data, of {of_mean:.3g}: "
            "the training diverged (lower --learning-rate, learning_rate=) or was too short, or these data are "
            "unlike its own"
        )
    if not_finite:
        absurd.append(
            f"{len(not_finite):,} of {len(values):,} data, the first in row {not_finite[0]}, give numbers that are not "
            "finite, and are left out; are they like those of the training?"
        )
    if absurd:
        summary["absurd"] = absurd
    return summary


def absurdities(summary: Mapping[str, Any], shape: Shape) -> list[str]:
    """Sentences that name numbers of a summary which no working model has.

    A level cannot need more nats than it takes to write the datum down: log 256 for each number of an image, and
    32 log 2 for each of a vector. A picture in [0, 1] cannot be wrong by more than 1.

    Args:
        summary: of `summarise`.
        shape: shape of one datum, (C, H, W) or (D,).
    """
    most = prod(shape) * (log(256) if is_image(shape) else 32 * log(2))
    sentences = [
        f"Level {level['level']} costs {level['kl_nats']:.3g} nats, and {most:,.0f} would write the datum down"
        for level in summary["levels"]
        if level["kl_nats"] is not None and level["kl_nats"] > most
    ]
    if is_image(shape) and (error := summary["reconstruction"].get("mse") or 0.0) > 1:
        sentences.append(f"The squared error is {error:.3g} per dimension, and pictures lie in [0, 1]")
    advice = "the numbers on held-out data say nothing; are some of these unlike those of the training?"
    return [f"{sentence}: {advice}" for sentence in sentences]


def not_measured(model: LatentModel, num: int, reason: str) -> dict[str, Any]:
    """The summary of a model of which nothing can be measured, in the form of `summarise`.

    Args:
        model: the model.
        num: the number of data.
        reason: why nothing can be measured.
    """
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
        "not_defined": dict.fromkeys(names, reason),
    }


def ablate(
    model: LatentModel,
    values: np.ndarray,
    *,
    features: np.ndarray | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Measures what is lost without a level, if its code is drawn afresh: distortion, and what it explained.

    A level is replaced by its prior: its noise is drawn, and `LatentModel.place` makes the code. So if the priors of
    the levels below depend on this level, their codes change too.

    Args:
        model: any model, in train or eval mode; it is measured in eval mode and left as it was.
        values: uint8 images (N, C, H, W) or float32 vectors (N, D).
        features: of the full-size pictures, (N, F); None: a model that reads features computes them from the values.
        batch_size: number of data at a time, from 1 up; None: 500, or fewer pictures above 64 pixels.
        seed: of all random draws.

    Returns:
        For each level k, level 1 first: "without_it", if only level k is drawn afresh; and "kept_upwards", if all
        levels below k are drawn afresh (for level 1, none). None for a level without a code. Each has:

        - distortion_nats, that is added to that of codes drawn from the posteriors; None if the model defines none;
        - of images, mse, the squared error that is added;
        - of vectors, explained: the mean share of the columns' variance that comes through what is drawn afresh.
        - of vectors, columns: this share of each column; None where a column does not vary in these data.

        The share is half of the squared error that is added: two independent draws differ by twice the variance.

    Raises:
        NotDefinedError: if the model has no encoder.
    """
    model.require("encoder")
    batch_size = batch_of(model.shape) if batch_size is None else check_whole("batch_size", batch_size, 1)
    replaced = {("without_it", level): frozenset({level}) for level in model.levels_with_code}
    replaced |= {("kept_upwards", level): frozenset(range(1, level)) for level in model.levels_with_code}
    added = {afresh: np.zeros(1 + prod(model.shape)) for afresh in replaced.values()}  # some cases are the same
    levels = range(1, model.num_levels + 1)
    with evaluating(model, seed=seed):
        for start in range(0, len(values), batch_size):
            x = as_input(values[start : start + batch_size], model.device)
            [codes] = model.sample_posterior(x, 1, **given(features, start, batch_size, model.device))
            noise, fresh, before = model.noise_of(codes), model.draw_noise(len(x)), _errors(model, codes, x)
            for afresh in added:
                mixed = tuple((fresh if level in afresh else noise)[level - 1] for level in levels)
                added[afresh] += _errors(model, model.place(mixed), x) - before

    variance = None if is_image(model.shape) else variances(values)

    def mean(case: tuple[str, int]) -> dict[str, Any] | None:
        if case not in replaced:
            return None
        distorted, squared = np.split(added[replaced[case]] / len(values), [1])
        lost = {"distortion_nats": None if "density" in model.lacks else float(distorted[0])}
        if variance is None:
            return lost | {"mse": float(squared.mean())}
        shares = squared / variance / 2
        known = shares[np.isfinite(shares)]
        explained = float(known.mean()) if len(known) else None
        return lost | {"explained": explained, "columns": share_of_each(shares)}

    return [{name: mean((name, level)) for name in ("without_it", "kept_upwards")} for level in levels]


def rates_of(model: LatentModel, posteriors: tuple[CodeDistribution, ...]) -> Tensor:
    """The rate of each level for each datum: the KL of its posterior from its prior in nats, (levels, n).

    A prior that depends on the codes above is taken at their posterior means. So nothing is drawn, and the rates of a
    datum depend on no other datum. For the flat ladder they are exact; those of a hierarchy are of no bound.

    Args:
        model: any model with an encoder, in eval mode.
        posteriors: of the codes, as `model.infer` returns them, one per level, for n data.
    """
    means = tuple(q.mean for q in posteriors)
    rates = []
    for level, q in enumerate(posteriors, start=1):
        rates.append(kl_divergence(q, model.prior(level, means[level:])).sum(1))
    return torch.stack(rates)


def elbos_of(
    model: LatentModel, x: Tensor, posteriors: tuple[CodeDistribution, ...], *, num_draws: int = 8, seed: int = 0
) -> Tensor:
    """The evidence lower bound of each datum in nats, (n,), from noise that belongs to the datum.

    The codes of a datum are placed by a few ε and their negatives. The ε follow from the seed and the datum's own
    numbers. So the bound of a datum depends on no other datum and not on its place, and the same seed gives the same
    number; and the errors of different data are independent, so that their mean is more exact the more data there are.

    Where posteriors depend on other codes, the forward pass draws them, a datum at a time, by a generator whose seed
    follows from the datum in the same way: at the means of other codes there would be no bound.

    Args:
        model: any model with an encoder, in eval mode.
        x: the data, float (n, *shape); images are in [0, 1].
        posteriors: of the codes of `x`, as `model.infer` returns them, one per level.
        num_draws: number of ε and negatives together, or of forward passes, even, from 2 up.
        seed: of the draws, from 0 up.

    Raises:
        NotDefinedError: if the model has no density.
    """
    model.require("density")
    if not model.independent_posteriors:
        return _elbos_by_forward_passes(model, x, num_draws, seed)
    size, half = sum(model.code_sizes), num_draws // 2
    noise = torch.from_numpy(_noise_of_data(x, half * size, seed)).to(posteriors[0].mean).view(len(x), half, size)
    distortions = torch.zeros(len(x), device=x.device)
    for draw in noise.unbind(1):
        parts = draw.split_with_sizes(list(model.code_sizes), dim=1)
        for sign in (1, -1):
            codes = tuple(q.place(sign * e) for q, e in zip(posteriors, parts, strict=True))
            distortions -= model.generate(tuple(code.to(x.dtype) for code in codes)).log_prob(x)
    return -distortions / (2 * half) - rates_of(model, posteriors).sum(0)


def _elbos_by_forward_passes(model: LatentModel, x: Tensor, num_draws: int, seed: int) -> Tensor:
    """The mean bound of a few forward passes of each datum, (n,)."""
    bounds = []
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        for datum, state in zip(x, _states_of_data(x, seed).tolist(), strict=True):
            torch.manual_seed(state)
            same = datum.expand(num_draws, *datum.shape)
            bounds.append(elbo(model(same), same).mean())
    return torch.stack(bounds) if bounds else x.new_zeros(0)


def _noise_of_data(x: Tensor, num: int, seed: int) -> Float[np.ndarray, "n num"]:
    """Standard normal noise, (n, num), of which each row is a function of the seed and of that datum in float32."""
    from scipy.special import ndtri  # here: it takes long to import

    states = _states_of_data(x, seed)
    counters = np.arange(1, num + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = _mixed(states[:, None] + counters) >> np.uint64(12)
    return np.asarray(ndtri((bits + 0.5) * 2.0**-52))


def _states_of_data(x: Tensor, seed: int) -> UInt64[np.ndarray, " n"]:
    """A number of 64 bits for each datum, a function of the seed and of that datum in float32."""
    values = x.detach().float().flatten(1).cpu().numpy() + 0.0  # -0 becomes 0
    words = values.view(np.uint32).astype(np.uint64)
    # The place of a number is in the upper half of its word, so that data with their numbers exchanged differ.
    states = _mixed(words | (np.arange(words.shape[1], dtype=np.uint64) << np.uint64(32))).sum(1, dtype=np.uint64)
    return _mixed(states ^ _mixed(np.array([seed], np.uint64)))


def _mixed(words: UInt64[np.ndarray, "*any"]) -> UInt64[np.ndarray, "*any"]:
    """Words of 64 bits, each bit of which depends on all of its word's bits.

    Reference: Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number Generators", with the shifts and factors
    of S. Vigna's splitmix64.c.
    """
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
    return words ^ (words >> np.uint64(31))


def _errors(model: LatentModel, codes: Codes, x: Tensor) -> np.ndarray:
    """Distortion in nats (0 without a density) and squared error of each dimension, summed over the batch."""
    likelihood = model.generate(codes)
    squared = (model.picture_of(likelihood) - x).double().square().flatten(1).sum(0)
    distorted = -likelihood.log_prob(x).double().sum().item() if "density" not in model.lacks else 0.0
    return np.concatenate([[distorted], squared.cpu().numpy()])


def count_active(means: Float[Tensor, "n size"]) -> int:
    """The number of active units of a code: dimensions whose posterior mean has a variance above .01 over the data.

    Args:
        means: posterior means, (n, code size).
    """
    variance = (means - means.mean(0)).square().sum(0) / max(1, len(means) - 1)
    return int((variance > 0.01).sum())


def is_dead(level: Mapping[str, Any]) -> bool:
    """Whether a level has a code that costs less than 0.1 nats, and not by design.

    Args:
        level: a level of `summarise`, with code_size and kl_nats; the latter is None if it is not defined.
    """
    nats = level["kl_nats"]
    return bool(level["code_size"]) and nats is not None and nats < DEAD_NATS and "unread" not in level


def alarms(summary: Mapping[str, Any]) -> list[str]:
    """What is so wrong with the numbers on held-out data that it must be told first; [] if nothing is.

    Args:
        summary: of `summarise`, or an evaluation.
    """
    reason = summary.get("not_defined", {}).get("reconstruction", "")
    return [*([f"Nothing was measured: {reason}"] if "not finite" in reason else []), *summary.get("absurd", ())]


def shortage(level: Mapping[str, Any]) -> str | None:
    """The warning of a level that is dead (below 0.1 nats), starved (below 1 nat) or too large; None of any other.

    A level is too large if fewer than half of its units are active.

    Args:
        level: a level of `summarise`, with level, code_size, kl_nats and active_units; the last two are None if they
            are not defined.
    """
    number, size, nats, active = (level[name] for name in ("level", "code_size", "kl_nats", "active_units"))
    if nats is None or "unread" in level:
        return None
    if is_dead(level):
        return f"Level {number} is dead: its code costs {nats:.2f} nats, so it says next to nothing about a datum."
    if size and nats < STARVED_NATS:
        return f"Level {number} is starved: its code costs {nats:.2f} nats, so it says little about a datum."
    if 2 * active < size:
        return f"Level {number} is too large: {active} of its {size} units are active, so a smaller code would do."
    return None
