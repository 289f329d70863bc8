"""The evaluation of a model: what each level costs, which factors it predicts, and whether the levels are in order."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vlae.data.images import Images
from vlae.errors import NotDefinedError
from vlae.evaluation import metrics, pictures
from vlae.evaluation.cautions import CHECKS, cautions
from vlae.evaluation.class_error import class_error
from vlae.evaluation.columns import explain_columns
from vlae.evaluation.complexity import ProbeScores
from vlae.evaluation.disentanglement import disentangle
from vlae.evaluation.factors import MIN_PROBED, subset
from vlae.evaluation.feature_spaces import FeatureSpace, components
from vlae.evaluation.judging import SCORES, asked_of, tell, too_little
from vlae.evaluation.kin import kin_of
from vlae.evaluation.protocol import protocol
from vlae.evaluation.rates import MAX_ABLATED, ablate, summarise
from vlae.evaluation.reasons import attempt, only_finite
from vlae.evaluation.threads import thread_beside
from vlae.models.base import LatentModel
from vlae.models.inference import as_input, batch_of, encode, evaluating, given
from vlae.models.priors import MixturePrior
from vlae.objectives.bounds import log_likelihood
from vlae.shapes import is_image


@np.errstate(over="ignore", invalid="ignore")  # what is beyond computing becomes "not defined"
def evaluate(
    model: LatentModel,
    images: Images,
    *,
    probed: Images | None = None,
    codes: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
    untrained: LatentModel | None = None,
    complexity: ProbeScores | None = None,
    features: FeatureSpace | None = None,
    prior: MixturePrior | None = None,
    importance_samples: int = 0,
    others: Sequence[np.ndarray] = (),
    seed: int = 0,
    say: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """Measures what every level of a trained model costs and predicts. It writes no file.

    The report has the keys of `vlae.evaluation.rates.summarise`, and these:

    - columns: of vectors, each column also has by_level, the share of its variance that comes through each level.
    - bits_per_dimension: of images.
    - log_likelihood_nats: the bound, if importance samples are asked for.
    - cautions: what the reader must know of these data to read the numbers, in sentences.
    - checks: the number of `vlae.evaluation.cautions.CHECKS` when it was made.
    - levels: each level also has without_it and kept_upwards, what is lost when its code, or the codes of all levels
      below it, are drawn from the prior (`vlae.evaluation.rates.ablate`); statistics and factors, how well a probe
      predicts each (`vlae.evaluation.scoring.score`), and standard_errors of these; label_probe_accuracy and
      label_linear_probe_accuracy; moves (`vlae.evaluation.pictures.moved`); read_back
      (`vlae.evaluation.pictures.read_back`); and disentanglement.
    - judged_on: the factors by which told, order and separation are judged: those that a probe reads from the data. Of
      the others `not_defined` has "complexity of …". scored_by: the score of each factor. num_known: of how many data
      the value of each is known.
    - pixel_probes and complexity: of each factor; of those that are judged.
    - told, level_order and level_separation (`vlae.evaluation.level_order`): None where not defined. Beside each,
      `…_interval` is the range of 90 % of the bootstrap draws of the data; `…_untrained` is the score of the same model
      with random weights; `…_components` that of the principal components of the pixels, divided into codes of the same
      sizes.
    - pictures: how good the pictures are (`vlae.evaluation.pictures.picture_quality`).
    - class_error: the share of the data with a label whose class the top level names wrongly; of a model whose top
      level is a class.
    - label_probe_accuracy and label_linear_probe_accuracy: of the codes of all levels together. label_commonest: the
      share of the commonest label among those known, which an answer that is always the same gets right.
    - information: the normalised mutual information, levels × factors.
    - disentanglement: of the codes of all levels together. num_compared: of how many data it and information are.
    - udr: if there are other runs.
    - not_defined: for every number that is not defined, the reason.
    - protocol: all settings and versions on which the numbers depend, and their hash. num_finite: of how many of the
      data probed the codes are finite; the others are left out.

    Args:
        model: any model, in train or eval mode; it is left as it was.
        images: the data to measure it on, of the model's shape. All are measured; `vlae.evaluation.factors.subset`
            chooses at most 5,000.
        probed: the data on whose codes probes are fitted and scored, and with which pictures are compared, if the held
            out ones are too few; None: `images`.
        codes: for every level the mean and standard deviation of its posterior, each (N, code size), for `probed`;
            None: they are encoded here.
        untrained: the same model with random weights; None: it is not measured.
        complexity: the scores of the probes on pixels, by factor and probe, from
            `vlae.evaluation.complexity.complexity_of` on similar images; None: they are measured on these images.
        features: the space in which pictures are compared; None: 32 principal components of `probed`.
        prior: what pictures are drawn from, fitted to the codes of the training data; None: N(0, I).
        importance_samples: samples per datum for the importance-weighted bound on the log-likelihood; 0: no bound.
        others: for UDR, the codes (N, D) of `probed` by models of the same recipe and other seeds. Each pair of runs
            is compared by the data with finite codes in both (`udr_of_finite`).
        seed: of all random draws: codes, divisions, probes, bootstrap.
        say: is called with the name of each measurement when it starts, to show progress.

    Returns:
        The report: a dictionary that JSON can hold.

    Raises:
        ValueError: if the images are not of the model's shape or range, a factor has not one value a datum, or
            `complexity` lacks a factor, or there are more than 100,000 importance samples.
    """
    probed = images if probed is None else probed
    for data in (images, probed):
        if data.shape != model.shape:
            raise ValueError(
                f"{data.source} has data of shape {data.shape}, the model takes {model.shape}; "
                "give data of that shape, or read it with the --size and --channels (size=, channels=) of the training"
            )
    if not 0 <= importance_samples <= MAX_IMPORTANCE_SAMPLES:
        raise ValueError(
            f"importance_samples is {importance_samples}; give a whole number from 0 to {MAX_IMPORTANCE_SAMPLES:,} "
            "(the literature takes 5,000)"
        )
    asked = asked_of(probed)  # to fail before the slow measurements
    with thread_beside() as thread:
        say("what every level costs")
        means, finish, coded = None, None, probed
        if "encoder" in model.lacks:
            codes = None
        else:
            if codes is None:
                codes = encode(model, np.ascontiguousarray(probed.values), features=probed.features)
                means = [mean for mean, _ in codes] if probed is images else None
            rows = np.flatnonzero(np.isfinite(np.concatenate([mean for mean, _ in codes], axis=1)).all(1))
            if len(rows) < len(probed):
                coded, others = probed.take(rows), [other[rows] for other in others]
                codes = [(mean[rows], stddev[rows]) for mean, stddev in codes]
                asked = asked_of(coded) if len(rows) else replace(asked, too_little="no datum has a finite code")
            known = {name: asked.factors[name] for name in asked.judged if name != "label"}
            if known and coded.factors and not asked.too_little:
                finish = disentangle(codes, known, thread, seed=seed, kin=kin_of(coded))
        values = np.ascontiguousarray(images.values)
        result = summarise(model, values, features=images.features, columns=images.columns, means=means, seed=seed)
        not_defined: dict[str, str] = result.pop("not_defined", {})
        for level in result["levels"]:
            level |= {"without_it": None, "kept_upwards": None, "statistics": {}, "factors": {}, "standard_errors": {}}
            level |= {"moves": {}, "read_back": None}
        result |= {"judged_on": [], "num_known": {}, "scored_by": {}, "pixel_probes": {}, "complexity": {}}
        for name in SCORES:
            result |= {name: None, **{f"{name}_{what}": None for what in ("interval", "untrained", "components")}}
        result |= {"not_defined": not_defined, "cautions": cautions(model, images), "checks": CHECKS}
        if "density" not in model.lacks and "encoder" not in model.lacks:
            _bounds(result, model, images, importance_samples, seed, say)
        if codes is None:
            not_defined |= dict.fromkeys((*SCORES, "statistics", "read_back"), model.lacks["encoder"])
        else:
            few = subset(images, seed, MAX_ABLATED)
            losses = ablate(model, np.ascontiguousarray(few.values), features=few.features, seed=seed)
            for level, lost in zip(result["levels"], losses, strict=True):
                level |= lost
            if "columns" in result:
                explain_columns(result)
            if len(coded) < len(probed):
                result["cautions"].append(
                    f"{len(probed) - len(coded):,} of {len(probed):,} data have no finite code; what levels tell of "
                    "and what is drawn are measured without them."
                )
            if model.class_names:
                attempt(result, not_defined, "class_error", lambda: class_error(model, images))
            tell(result, model, coded, [mean for mean, _ in codes], untrained, complexity, asked, seed, say)
            if others:
                together = np.concatenate([mean for mean, _ in codes], axis=1)
                attempt(result, not_defined, "udr", lambda: udr_of_finite(together, others))
        _show(result, model, coded, features, prior, seed, say)
        if finish is not None:
            say("disentanglement")
            finish(result)
        result["protocol"] = protocol(
            images,
            probed=probed,
            complexity=complexity,
            features=features,
            importance_samples=importance_samples,
            num_runs=1 + len(others),
            seed=seed,
        ) | {"num_finite": len(coded)}  # not in the hash, which is of the data that were asked for
    finite: dict[str, Any] = only_finite(result, not_defined)
    return finite | {"not_defined": not_defined}


def udr_of_finite(codes: np.ndarray, others: Sequence[np.ndarray]) -> float:
    """UDR (`vlae.evaluation.metrics.udr`), with each other run of the data whose codes are finite in both.

    A run with which there are fewer than 60 such data is left out.

    Args:
        codes: posterior means of one run, (N, D).
        others: posterior means of each other run, (N, any D), of the same data in the same order.

    Raises:
        NotDefinedError: if no other run is given, all are left out, or one has no active dimension.
    """
    finite = np.isfinite(codes).all(1)
    common = [finite & np.isfinite(other).all(1) for other in others]
    pairs = [(rows, other) for rows, other in zip(common, others, strict=True) if rows.sum() >= MIN_PROBED]
    if others and not pairs:
        raise NotDefinedError(f"no other run has finite codes of {MIN_PROBED} or more of the data that have them here")
    each = [metrics.udr(codes[rows], [other[rows]]) for rows, other in pairs]
    return float(np.median(each)) if each else metrics.udr(codes, [])


MAX_IMPORTANCE_SAMPLES = 100_000
"""The most importance samples of a datum: more would take days, and change nothing."""


CHUNK = 10
"""Samples of a datum in one pass, at most."""


def _bounds(
    result: dict[str, Any],
    model: LatentModel,
    images: Images,
    importance_samples: int,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Adds the numbers that need a density: bits per dimension, and the importance-weighted bound."""
    elbo = result["elbo_nats"]
    if elbo is not None and (bits := model.bits_per_dimension(elbo)) is not None:
        result["bits_per_dimension"] = bits
    if importance_samples:
        say(f"the log-likelihood, with {importance_samples} samples")
        result["log_likelihood_nats"] = _log_likelihood(model, images, importance_samples, seed)


def _log_likelihood(model: LatentModel, images: Images, num_samples: int, seed: int) -> float:
    total, most = 0.0, 2 * batch_of(model.shape)  # data times samples, in one pass
    size = max(1, most // CHUNK)
    with evaluating(model):
        for start in range(0, len(images), size):
            x = as_input(np.ascontiguousarray(images.values[start : start + size]), model.device)
            features = given(images.features, start, size, model.device).get("features")
            bounds = log_likelihood(
                model, x, num_samples=num_samples, chunk=min(CHUNK, most), seed=seed + start, features=features
            )
            total += bounds.double().sum().item()
    return total / len(images)


def _show(
    result: dict[str, Any],
    model: LatentModel,
    images: Images,
    features: FeatureSpace | None,
    prior: MixturePrior | None,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Adds how good the pictures are, and what every level does to them."""
    say("how good what it draws is")
    values = np.ascontiguousarray(images.values)
    result["pictures"] = None
    if len(values) < MIN_PROBED:
        result["not_defined"]["pictures"] = too_little(images, ())
    else:
        space = components(values, seed=seed) if features is None else features
        result["pictures"], reasons = pictures.picture_quality(
            model, values, space, prior=prior, seed=seed, of_network=images.features
        )
        result["not_defined"] |= reasons
    if "encoder" in model.lacks:
        return
    for level, value in zip(result["levels"], pictures.read_back(model, prior=prior, seed=seed), strict=True):
        level["read_back"] = value
    if is_image(model.shape) and len(values) > 1:
        every = pictures.moved(model, values, seed=seed, of_network=images.features)
        for level, shares in zip(result["levels"], every, strict=True):
            level["moves"] = shares


# The metrics of the literature ---------------------------------------------------------------------------------------
