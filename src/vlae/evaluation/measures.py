"""The whole evaluation of a model: what each level costs, what it tells of, and whether the levels are in order."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from math import ceil
from typing import Any

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from vlae.data.images import Images
from vlae.errors import NotDefinedError
from vlae.evaluation import level_card, level_order, metrics, probes
from vlae.evaluation.rates import ablate, summarise
from vlae.evaluation.statistics import statistics
from vlae.models.base import LatentModel
from vlae.models.inference import as_input, encode, evaluating
from vlae.objectives.bounds import log_likelihood

MAX_IMAGES = 5_000
MIN_PROBED = 100  # data; with fewer, a probe says nothing
MAX_TABLE = 2_000  # rows for the metrics on codes and factors
MAX_NEIGHBOURS = 1_000  # rows of those for mutual information by nearest neighbours
FAR = 1_000  # standard deviations of the training data, beyond which data are not of its kind
MAX_SIDE = 32  # of the pictures that probes on pixels see

Scores = Mapping[str, Mapping[str, float]]
"""Of every factor, what each probe on pixels reaches, from the smallest probe to the largest."""


def evaluate(
    model: LatentModel,
    images: Images,
    *,
    codes: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
    complexity: Scores | None = None,
    importance_samples: int = 0,
    others: Sequence[np.ndarray] = (),
    seed: int = 0,
    say: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """Measures what every level of a trained model costs and carries; writes no file.

    Args:
        model: any, in any mode; it is left as it was.
        images: what to measure it on, of the model's shape; `chosen` takes at most 5,000 of more.
        codes: mean and standard deviation of every level's posterior of these images, as
            `vlae.models.inference.encode` gives them; None: they are encoded here.
        complexity: what `complexity_of` gave for images of this kind; None: it is measured on these, which takes
            longest.
        importance_samples: for the importance-weighted bound on the log-likelihood; 0: not computed.
        others: for UDR, the codes (N, D) of the same images by models of the same recipe and other seeds.
        seed: of all that is drawn: codes, splits, probes.
        say: is called with what is being measured.

    Returns:
        What JSON can hold. As `vlae.evaluation.rates.summarise`, and further: bits_per_dimension (images);
        log_likelihood_nats (where importance samples are asked for); levels, each also with the distortion and squared
        error added without_it and when only levels from it upwards are kept (kept_upwards), with statistics (R² of
        each), factors (R², or accuracy above chance), label_probe_accuracy and label_linear_probe_accuracy, and
        disentanglement; judged_on, the factors by which order and separation are judged; pixel_probes and complexity
        of each; level_separation and level_order (None where not defined); information, the normalised mutual
        information of levels × factors; disentanglement of all codes together; udr; not_defined, the reason for
        everything that could not be had; and protocol, what all these depend on.

    Raises:
        ValueError: if the images are not of the model's shape or range, or complexity leaves out what is judged.
    """
    if images.shape != model.shape:
        raise ValueError(
            f"{images.source} has data of shape {images.shape}, the model takes {model.shape}; "
            "give data of that shape, or read it with --size and --channels as in training"
        )
    say("what every level costs")
    values = np.ascontiguousarray(images.values)
    _check_range(model, values, images.source)
    result = summarise(model, values, seed=seed)
    not_defined: dict[str, str] = result.pop("not_defined", {})
    if "encoder" in model.lacks:
        return _of_a_generator(result, model, images, not_defined, seed)
    for level, lost in zip(result["levels"], ablate(model, values, seed=seed), strict=True):
        level |= lost
    if "density" not in model.lacks:
        _bounds(result, model, values, images.source, importance_samples, seed, say)
    codes = encode(model, values) if codes is None else codes
    means = [mean for mean, _ in codes]
    known = _judge(result, means, images, complexity, not_defined, seed, say)
    if any(name in images.factors for name in known):
        say("disentanglement")
        factors = {name: images.factors[name] for name in known if name in images.factors}
        _disentangle(result, codes, factors, not_defined, seed)
    if others:
        _try(result, not_defined, "udr", lambda: metrics.udr(np.concatenate(means, axis=1), others))
    result["not_defined"] = not_defined
    result["protocol"] = protocol(images, importance_samples=importance_samples, num_runs=1 + len(others), seed=seed)
    return result


def _bounds(
    result: dict[str, Any],
    model: LatentModel,
    values: np.ndarray,
    source: str,
    importance_samples: int,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """What follows from the density of the data: bits per dimension, and the importance-weighted bound."""
    if not np.isfinite(result["elbo_nats"]):
        raise ValueError(f"the ELBO of {source} is {result['elbo_nats']}; are these data like those of the training?")
    if (bits := model.bits_per_dimension(result["elbo_nats"])) is not None:
        result["bits_per_dimension"] = bits
    if importance_samples:
        say(f"the log-likelihood, with {importance_samples} samples")
        result["log_likelihood_nats"] = _log_likelihood(model, values, importance_samples, seed)


def _of_a_generator(
    result: dict[str, Any], model: LatentModel, images: Images, not_defined: dict[str, str], seed: int
) -> dict[str, Any]:
    """The evaluation of a model without an encoder: everything that takes codes is not defined."""
    for level in result["levels"]:
        level |= {"without_it": None, "kept_upwards": None, "statistics": {}, "factors": {}}
    result |= {"judged_on": [], "pixel_probes": {}, "complexity": {}, "level_separation": None, "level_order": None}
    without = dict.fromkeys(("level_separation", "level_order", "statistics"), model.lacks["encoder"])
    return result | {"not_defined": not_defined | without, "protocol": protocol(images, seed=seed)}


def _check_range(model: LatentModel, values: np.ndarray, source: str) -> None:
    """Refuses vectors in other units than those of the training data; images are always in [0, 1]."""
    state = model.state_dict()
    if values.ndim == 2 and "stddev" in state:
        far = float(np.abs((values - state["mean"].numpy()) / state["stddev"].numpy()).max())
        if far > FAR:
            raise ValueError(
                f"{source} has values {far:.3g} standard deviations from the mean of what the model was trained on; "
                "give data in the same units, column by column"
            )


def complexity_of(images: Images, *, num: int = MAX_IMAGES, seed: int = 0) -> dict[str, dict[str, float]]:
    """What probes of growing capacity read from the pixels, for every factor by which a model is judged.

    Four probes: ridge regression from the mean of each channel; from all pixels; a network of 32 hidden units; one of
    256 and 256. Pictures larger than 32 a side are averaged down to that. Vectors have no mean to be read.

    Args:
        images: with factors or labels.
        num: at most so many of them, chosen at random; as many as `evaluate` takes. More of them tell more surely how
            complex that is which is hard to read from pixels, as shapes that are moved and turned.
        seed: of the choice, the splits and the probes.

    Returns:
        For each factor, the score of every probe, from the smallest to the largest (`vlae.evaluation.probes.predict`).
    """
    images = chosen(images, seed, num)
    targets, _ = probes.targets_of(_factors(images)[1])
    if len(images) < MIN_PROBED or not targets.names:
        return {}
    pixels = np.asarray(images.values, np.float32)
    scores: dict[str, dict[str, float]] = {}
    if pixels.ndim == 4:
        scores["mean"] = probes.predict(pixels.mean((2, 3)), targets, hidden=(), seed=seed)
    flat = _small(pixels).reshape(len(pixels), -1)
    for name, hidden in probes.HIDDEN.items():
        scores[name] = probes.predict(flat, targets, hidden=hidden, seed=seed)
    return {factor: {name: score[factor] for name, score in scores.items()} for factor in targets.names}


def protocol(images: Images, *, importance_samples: int = 0, num_runs: int = 1, seed: int = 0) -> dict[str, Any]:
    """Every setting that the numbers depend on, and the versions of what computed them."""
    return {
        "data": {"source": images.source, "split": images.split, "num_images": len(chosen(images, seed))},
        "seed": seed,
        "codes": "posterior means; drawn codes for distortion, rates, ELBO and ablation",
        "probe_fit_share": probes.FIT_SHARE,
        "probe_on_codes": f"network, hidden units {probes.LITERATURE}, ReLU, Adam at {probes.LEARNING_RATE:g}, at most "
        f"{probes.MAX_PASSES} passes, {probes.PATIENCE} without a gain; each factor at its best pass",
        "probes_on_pixels": {name: list(units) for name, units in probes.HIDDEN.items()},
        "pixels": f"mean per channel; pictures of at most {MAX_SIDE} a side",
        "table_rows": MAX_TABLE,
        "neighbour_rows": MAX_NEIGHBOURS,
        "factor_bins": metrics.FACTOR_BINS,
        "mig": "20-bin histogram of posterior means",
        "dci": "random forests of 30 trees; importances weighed by the forest's score",
        "threads": torch.get_num_threads(),
        "mig_sampled": "entropies from samples of q(z|x)",
        "importance_samples": importance_samples,
        "udr_runs": num_runs,
        "versions": {name: version(name) for name in ("vlae", "torch", "numpy", "scipy", "scikit-learn")},
    }


def chosen(images: Images, seed: int = 0, num: int = MAX_IMAGES) -> Images:
    """At most `num` images, chosen at random by the seed, in their order."""
    if len(images) <= num:
        return images
    return images.take(np.sort(np.random.default_rng(seed).permutation(len(images))[:num]))


def _small(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 2 or max(pixels.shape[2:]) <= MAX_SIDE:
        return pixels
    shrink = ceil(max(pixels.shape[2:]) / MAX_SIDE)
    sides = (-(-pixels.shape[2] // shrink), -(-pixels.shape[3] // shrink))
    return adaptive_avg_pool2d(torch.from_numpy(pixels), sides).numpy()


def _factors(images: Images) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The statistics of images, and what they are judged by: true factors if known, else statistics; and the label."""
    simple = {} if images.is_vectors else statistics(np.asarray(images.values))
    known = images.factors or simple
    if images.labels is None or any(np.array_equal(images.labels, factor) for factor in known.values()):
        return simple, dict(known)
    return simple, {**known, "label": images.labels}


def _judge(
    found: dict[str, Any],
    codes: Sequence[np.ndarray],
    images: Images,
    complexity: Scores | None,
    not_defined: dict[str, str],
    seed: int,
    say: Callable[[str], None],
) -> list[str]:
    """What each level tells of, and by that its order and separation; returns what can be judged by at all."""
    simple, judged = _factors(images)
    targets, left_out = probes.targets_of({**simple, **judged})
    not_defined |= left_out
    for level in found["levels"]:
        level |= {"statistics": {}, "factors": {}}
    found |= {"judged_on": [], "pixel_probes": {}, "complexity": {}, "level_separation": None, "level_order": None}
    known = [name for name in judged if name in targets.names]
    reason = None
    if len(images) < MIN_PROBED:
        reason = f"{len(images)} data are too few for a probe; give at least {MIN_PROBED}"
    elif not known:
        reason = "nothing is known of these data that differs between them: give labels or factors"
    if reason:
        not_defined |= dict.fromkeys(("level_separation", "level_order", "statistics"), reason)
        return known
    if complexity is not None and (absent := [name for name in known if name not in complexity]):
        raise ValueError(f"complexity says nothing of {', '.join(absent)}; measure it on images with the same factors")
    say("what every level tells of")
    told = [probes.predict(code, targets, seed=seed) for code in codes]
    for level, code, scores in zip(found["levels"], codes, told, strict=True):
        level["statistics"] = {name: scores[name] for name in simple if name in scores}
        level["factors"] = {name: scores[name] for name in judged if name in scores and name not in simple}
        if images.labels is not None and level["code_size"]:
            probe = partial(probes.accuracy, code, images.labels, seed=seed)
            named: dict[str, Any] = {}
            reasons: dict[str, str] = {}
            _try(named, reasons, "label_probe_accuracy", partial(probe, hidden=probes.LITERATURE))
            _try(named, reasons, "label_linear_probe_accuracy", partial(probe, hidden=()))
            level |= {name: value for name, value in named.items() if value is not None}
            not_defined |= {f"level {level['level']}: {name}": reason for name, reason in reasons.items()}

    if complexity is None:
        say("how complex that is")
        complexity = complexity_of(images, seed=seed)
    found["judged_on"] = known
    found["pixel_probes"] = {name: dict(complexity[name]) for name in known}
    for name, scores in found["pixel_probes"].items():
        value = _value(partial(level_order.complexity, list(scores.values())))
        if isinstance(value, str):
            not_defined[f"complexity of {name}"] = value
        else:
            found["complexity"][name] = value
    table = held(found)
    _try(found, not_defined, "level_separation", lambda: level_order.separation(table))
    complexities = np.array(list(found["complexity"].values()))
    _try(found, not_defined, "level_order", lambda: level_order.order(table, complexities))
    return known


def held(found: Mapping[str, Any]) -> np.ndarray:
    """The table by which order and separation are judged: what each level with a code tells of each factor.

    Args:
        found: what `evaluate` gives.

    Returns:
        (levels with a code, factors whose complexity is known), in [0, 1]: R² or accuracy above chance, at least 0.
    """
    levels = [level["statistics"] | level["factors"] for level in found["levels"] if level["code_size"]]
    return np.clip([[told[name] for name in found["complexity"]] for told in levels], 0, 1)


def as_text(found: Mapping[str, Any]) -> str:
    """An evaluation for a terminal: a table of the levels, the card's sentences and warnings, the scores.

    Args:
        found: what `evaluate` gives.
    """
    probed = any("label_probe_accuracy" in level for level in found["levels"])
    header = [
        "level",
        "code",
        "active",
        "KL nats",
        "share",
        "error without it",
        *(["names the class"] if probed else []),
    ]
    rows = [header]
    for level in found["levels"]:
        lost = level["without_it"]
        row = [
            str(level["level"]),
            str(level["code_size"]),
            _cell(level["active_units"], ""),
            _cell(level["kl_nats"], ".2f"),
        ]
        row += [_cell(level["share"], ".0%"), f"+{lost['mse']:.4f}" if lost else "-"]
        accuracy = level.get("label_probe_accuracy")
        rows.append([*row, *([f"{accuracy:.1%}" if accuracy is not None else "-"] if probed else [])])
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines += ["", *(f"level {entry.level}: {entry.title}: {entry.sentence}" for entry in level_card.entries(found)), ""]
    scores = {"level order": found["level_order"], "level separation": found["level_separation"]}
    scores |= {"squared error": found["reconstruction"].get("mse"), "ELBO (nats)": found["elbo_nats"]}
    scores |= {
        name: found[key]
        for name, key in (("log-likelihood (nats)", "log_likelihood_nats"), ("UDR", "udr"))
        if key in found
    }
    lines += [f"{name:>24}  {'not defined' if value is None else f'{value:.4g}'}" for name, value in scores.items()]
    return "\n".join([*lines, *(f"! {warning}" for warning in level_card.warnings(found))])


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def _disentangle(
    found: dict[str, Any],
    codes: Sequence[tuple[np.ndarray, np.ndarray]],
    factors: Mapping[str, np.ndarray],
    not_defined: dict[str, str],
    seed: int,
) -> None:
    """The literature's metrics against the true factors, of all codes together and of each level."""
    rows = slice(0, MAX_TABLE)
    factors = {name: np.asarray(value)[rows] for name, value in factors.items()}
    names = list(factors)
    tables = [mean[rows] for mean, _ in codes]
    stddevs = [stddev[rows] for _, stddev in codes]
    _try(
        found,
        not_defined,
        "information",
        lambda: {"factors": names, "levels": _information(tables, factors)},
    )
    found["disentanglement"] = _table(
        np.concatenate(tables, axis=1), np.concatenate(stddevs, axis=1), factors, "all levels", not_defined, seed
    )
    for level, means, stddev in zip(found["levels"], tables, stddevs, strict=True):
        if level["code_size"]:
            what = f"level {level['level']}"
            level["disentanglement"] = _table(means, stddev, factors, what, not_defined, seed)


def _information(tables: Sequence[np.ndarray], factors: Mapping[str, np.ndarray]) -> list[list[float]]:
    rows = slice(0, MAX_NEIGHBOURS)
    few = {name: factor[rows] for name, factor in factors.items()}
    return metrics.normalised_mutual_information([table[rows] for table in tables], few).tolist()


def _table(
    means: np.ndarray,
    stddevs: np.ndarray,
    factors: Mapping[str, np.ndarray],
    what: str,
    not_defined: dict[str, str],
    seed: int,
) -> dict[str, Any]:
    measures: dict[str, Callable[[], Any]] = {
        "mig": lambda: metrics.mig(means, factors),
        "mig_sampled": lambda: metrics.mig_sampled(means, stddevs, factors, seed=seed),
        "mig_sup": lambda: metrics.mig_sup(means, factors),
        "dci": lambda: metrics.dci(means, factors, seed=seed)._asdict(),
        "sap": lambda: metrics.sap(means, factors),
        "modularity": lambda: metrics.modularity(means, factors),
        "factor_vae_score": lambda: metrics.factor_vae_score(means, factors, seed=seed),
        "beta_vae_score": lambda: metrics.beta_vae_score(means, factors, seed=seed),
    }
    table: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, measure in measures.items():
        _try(table, reasons, name, measure)
    not_defined |= {f"{what}: {name}": reason for name, reason in reasons.items()}
    return table


def _log_likelihood(model: LatentModel, values: np.ndarray, num_samples: int, seed: int) -> float:
    total = 0.0
    with evaluating(model):
        for start in range(0, len(values), 100):
            x = as_input(values[start : start + 100], model.device)
            total += log_likelihood(model, x, num_samples=num_samples, seed=seed + start).double().sum().item()
    return total / len(values)


def _value(measure: Callable[[], Any]) -> Any:
    """What is measured, or, in words, why it is not defined."""
    try:
        return measure()
    except NotDefinedError as reason:
        return str(reason)


def _try(found: dict[str, Any], not_defined: dict[str, str], name: str, measure: Callable[[], Any]) -> None:
    value = _value(measure)
    if isinstance(value, str):
        not_defined[name], value = value, None
    found[name] = value
