"""How good a model's pictures are: drawn, reconstructed, and with the levels of several pictures combined."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vlae.evaluation.feature_spaces import FeatureSpace
from vlae.evaluation.mesh import peaks, powers
from vlae.evaluation.samples import frechet, two_sample
from vlae.evaluation.sharpness import fine_sums
from vlae.evaluation.statistics import statistics
from vlae.models.base import Codes, LatentModel
from vlae.models.inference import as_input, batch_of, evaluating, given, in_parts
from vlae.models.priors import MixturePrior, standard_prior
from vlae.shapes import is_image

MAX_HALF = 1_500  # data in each of the two groups that are compared
NUM_READ = 1_000  # pictures that are drawn and read back
KINDS = ("real", "samples", "samples_standard", "reconstructions", "swapped")  # of pictures that are compared
LEAST_DETAIL = 1e-9  # power of fine detail in squared grey levels, from which pictures can be compared with it
NUM_MOVED = 500  # pictures whose levels are exchanged one by one


def picture_quality(
    model: LatentModel,
    values: np.ndarray,
    features: FeatureSpace,
    *,
    prior: MixturePrior | None = None,
    seed: int = 0,
    of_network: np.ndarray | None = None,
) -> tuple[dict[str, Any], dict[str, str]]:
    """How far a model's pictures are from real ones, each beside how far real ones are from each other.

    The data are divided into two halves at random. With the first half are compared, in a space of features:

    - real: the second half;
    - samples: as many pictures, drawn from the prior that is given;
    - samples_standard: as many, drawn from N(0, I);
    - reconstructions: of the second half, from the posterior means;
    - swapped: of the second half, with the levels of different pictures combined: the noise of each level but the
      highest is that of another picture. They are as good as reconstructions if levels combine freely.

    Args:
        model: any model, in train or eval mode; it is left as it was.
        values: data of the model's shape: uint8 (N, C, H, W), or float32 (N, D); N from 4 up. At most 3,000 are used.
        features: the space in which pictures are compared.
        prior: fitted to the codes of other data, those of the training; None: N(0, I).
        seed: of the halves, the draws and the classifiers.
        of_network: features of the full-size pictures, (N, F), for a model that reads them; None: it computes them from
            `values`.

    Returns:
        The report, and the reason of each number that is not defined. The report has frechet (the Fréchet distance, in
        squared units of the features, from 0 up; few data bias it upwards) and two_sample (how often a classifier tells
        them apart, in [0, 1]; 0.5 is never), each with the five keys above; for images also mesh, for each key and
        period in pixels how much stronger the mesh is than that of the first half (`vlae.evaluation.mesh`; 1: as
        strong), and sharpness, for each key the power of fine detail in times that of the first half
        (`vlae.evaluation.sharpness`; 1: as sharp; None if these have no detail); prior, the kind of distribution of
        samples; features, the name of the space; and num_data, in each half.
    """
    rng = np.random.default_rng(seed)
    half = min(MAX_HALF, len(values) // 2)
    rows = rng.permutation(len(values))
    here, there = np.sort(rows[:half]), np.sort(rows[half : 2 * half])
    groups: dict[str, _Group | None] = dict.fromkeys(KINDS)
    reasons = {}
    standard = standard_prior(model.code_sizes)
    prior = prior or standard
    with evaluating(model, seed=seed):
        groups["real"] = _looked_at(in_parts(values, there), features)
        groups["samples_standard"] = drawn = _looked_at(_decoded(model, _drawn(model, standard, half)), features)
        if not prior.is_standard:
            drawn = _looked_at(_decoded(model, _drawn(model, prior, half)), features)
        groups["samples"] = drawn
        if "encoder" in model.lacks:
            reasons = dict.fromkeys(("pictures: reconstructions", "pictures: swapped"), model.lacks["encoder"])
        else:
            codes = _means(model, in_parts(values, there), None if of_network is None else of_network[there])
            groups["reconstructions"] = _looked_at(_decoded(model, codes), features)
            if len(model.levels_with_code) > 1:
                groups["swapped"] = _looked_at(_decoded(model, _swapped(model, codes, rng)), features)
            else:
                reasons["pictures: swapped"] = "it takes two levels with a code"
    for name, group in groups.items():
        if group is None:
            reasons.setdefault(f"pictures: {name}", "some of them are not finite")
    one = _looked_at(in_parts(values, here), features)
    assert one is not None, "data are finite"
    images = is_image(model.shape)
    return {
        "sharpness": {
            name: x.detail / one.detail if x is not None and one.detail > LEAST_DETAIL else None
            for name, x in groups.items()
        }
        if images
        else {},
        "mesh": {
            name: None if x is None else {period: value / one.mesh[period] for period, value in x.mesh.items()}
            for name, x in groups.items()
        }
        if images
        else {},
        "frechet": {name: None if x is None else frechet(x.features, one.features) for name, x in groups.items()},
        "two_sample": {
            name: None if x is None else two_sample(x.features, one.features, seed=seed) for name, x in groups.items()
        },
        "prior": prior.name,
        "features": features.name,
        "num_data": half,
    }, reasons


class _Group(NamedTuple):
    """What is looked at in pictures of one kind; mesh and detail of images alone."""

    features: np.ndarray
    mesh: Mapping[str, float]
    detail: float


def _looked_at(parts: Iterable[np.ndarray], features: FeatureSpace) -> _Group | None:
    """What is looked at in data that come in parts, none of which is kept; None if a number is not finite."""
    found: list[np.ndarray] = []
    fine: list[np.ndarray] = []
    power: np.ndarray | float = 0.0
    for part in parts:
        if not np.isfinite(part).all():
            return None
        found.append(features(part))
        if is_image(part.shape[1:]):
            x = as_input(part).numpy()
            fine.append(fine_sums(x))
            for each in powers(x):
                power = power + each
    every = np.concatenate(found)
    if not fine:
        return _Group(every, {}, 0.0)
    mesh = {str(period): value for period, value in peaks(np.asarray(power) / len(every)).items()}
    return _Group(every, mesh, float(np.concatenate(fine).mean() / np.prod(x.shape[2:]) ** 2))


def read_back(
    model: LatentModel, *, prior: MixturePrior | None = None, num: int = NUM_READ, seed: int = 0
) -> list[float | None]:
    """How well the code of each level is read back from pictures drawn from the prior.

    It is the share of the variance of a level's code, over all its dimensions, that the posterior mean of the drawn
    picture explains: R², at most 1. It is low if the decoder does not draw what the code says, if the encoder does not
    see it, or if dimensions are not used.

    Args:
        model: a model with an encoder, in train or eval mode; it is left as it was.
        prior: what the codes are drawn from; None: N(0, I).
        num: number of pictures to draw, from 2 up.
        seed: of the draws.

    Returns:
        R² of each level, level 1 first; None for a level without a code.
    """
    with evaluating(model, seed=seed):
        codes = _drawn(model, prior or standard_prior(model.code_sizes), num)
        read = _means(model, _decoded(model, codes))
    explained: list[float | None] = []
    for code, mean in zip(codes, read, strict=True):
        spread = (code - code.mean(0)).square().sum()
        explained.append(float(1 - (code - mean).square().sum() / spread) if code.shape[1] else None)
    return explained


def moved(
    model: LatentModel, values: np.ndarray, *, seed: int = 0, of_network: np.ndarray | None = None
) -> list[dict[str, float]]:
    """Which statistics of a picture each level moves: how far they change when its code is that of another picture.

    For each statistic s it is the mean of (s' - s)² over pictures, divided by the mean of (s_i - s_j)² over pairs of
    pictures: 0 if the level does not move it, 1 if it moves as much as from one picture to another. All other levels
    keep their noise.

    Args:
        model: a model of images with an encoder, in train or eval mode; it is left as it was.
        values: uint8 images (N, C, H, W), N from 2 up; at most 500 are used.
        seed: of the choice and the pairs.
        of_network: features of the full-size pictures, (N, F), for a model that reads them; None: it computes them from
            `values`.

    Returns:
        For each level, level 1 first, the share of each statistic, from 0 up; empty for a level without a code.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(values))[:NUM_MOVED])
    circle = rng.permutation(len(rows))
    donors = np.empty_like(circle)
    donors[circle] = np.roll(circle, 1)  # so no picture is its own donor
    shares: list[dict[str, float]] = []
    with evaluating(model, seed=seed):
        read = None if of_network is None else of_network[rows]
        noise = model.noise_of(_means(model, in_parts(values, rows), read))
        before = _statistics(model, model.place(noise))
        for level in range(1, model.num_levels + 1):
            if level not in model.levels_with_code:
                shares.append({})
                continue
            mixed = tuple(e[donors] if number == level else e for number, e in enumerate(noise, start=1))
            after = _statistics(model, model.place(mixed))
            shares.append(
                {
                    name: float(((after[name] - value) ** 2).mean() / max(2 * value.var(ddof=1), 1e-12))
                    for name, value in before.items()
                }
            )
    return shares


def _statistics(model: LatentModel, codes: Codes) -> Mapping[str, np.ndarray]:
    pictures = (np.round(255 * part.clip(0, 1)).astype(np.uint8) for part in _decoded(model, codes))
    found = [statistics(part, opacity=model.opacity) for part in pictures]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def _means(model: LatentModel, parts: Iterable[np.ndarray], features: np.ndarray | None = None) -> Codes:
    """The posterior means of every level, of data that come in parts."""
    batches, start = [], 0
    for part in parts:
        of_rows = given(features, start, len(part), model.device)
        batches.append([q.mean for q in model.infer(as_input(part, model.device), **of_rows)])
        start += len(part)
    return tuple(torch.cat(level) for level in zip(*batches, strict=True))


def _drawn(model: LatentModel, prior: MixturePrior, num: int) -> Codes:
    """Codes drawn from a prior, by the default generator."""
    return model.place(tuple(level.to(model.device) for level in prior.draw(num)))


def _decoded(model: LatentModel, codes: Codes) -> Iterator[np.ndarray]:
    """The pictures of codes, part by part."""
    size = batch_of(model.shape)
    for start in range(0, len(codes[0]), size):
        yield model.decode(tuple(code[start : start + size] for code in codes)).cpu().numpy()


def _swapped(model: LatentModel, codes: Codes, rng: np.random.Generator) -> Codes:
    """Codes whose levels come from different data; the highest level with a code stays in its place."""
    noise: list[Tensor] = list(model.noise_of(codes))
    for level in model.levels_with_code[:-1]:
        noise[level - 1] = noise[level - 1][torch.from_numpy(rng.permutation(len(codes[0])))]
    return model.place(tuple(noise))
