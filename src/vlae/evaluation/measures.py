"""The evaluation of a model: what each level costs, which factors it predicts, and whether the levels are in order."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from vlae.data.images import Images
from vlae.errors import NotDefinedError
from vlae.evaluation import information, level_order, metrics, probes
from vlae.evaluation.complexity import MAX_SIDE, ProbeScores, complexity_of
from vlae.evaluation.factors import MIN_PROBED, factors_of, subset
from vlae.evaluation.rates import ablate, summarise
from vlae.models.base import LatentModel
from vlae.models.inference import as_input, encode, evaluating
from vlae.objectives.bounds import log_likelihood
from vlae.shapes import is_image

MAX_TABLE = 2_000  # rows for the metrics on codes and factors
MAX_NEIGHBOURS = 1_000  # of these rows, for mutual information by nearest neighbours
FAR = 1_000  # standard deviations; data this far from the training data are in other units


def evaluate(
    model: LatentModel,
    images: Images,
    *,
    codes: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
    complexity: ProbeScores | None = None,
    importance_samples: int = 0,
    others: Sequence[np.ndarray] = (),
    seed: int = 0,
    say: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """Measures what every level of a trained model costs and predicts. It writes no file.

    The report has the keys of `vlae.evaluation.rates.summarise`, and these:

    - bits_per_dimension: of images.
    - log_likelihood_nats: the bound, if importance samples are asked for.
    - levels: each level also has without_it and kept_upwards, the distortion and squared error that are added when
      its code, or the codes of all levels below it, are drawn from the prior; statistics, the R² of each; factors,
      the R² or the accuracy above chance of each; label_probe_accuracy and label_linear_probe_accuracy; and
      disentanglement.
    - judged_on: the factors by which order and separation are judged.
    - pixel_probes and complexity: of each of these factors.
    - level_separation and level_order: None where not defined.
    - information: the normalised mutual information, levels × factors.
    - disentanglement: of the codes of all levels together.
    - udr: if there are other runs.
    - not_defined: for every number that is not defined, the reason.
    - protocol: all settings and versions on which the numbers depend.

    Args:
        model: any model, in train or eval mode; it is left as it was.
        images: the data to measure it on, of the model's shape. All are measured; `vlae.evaluation.factors.subset`
            chooses at most 5,000.
        codes: for every level the mean and standard deviation of its posterior, each (N, code size), for these images;
            None: they are encoded here.
        complexity: the scores of the probes on pixels, by factor and probe, from
            `vlae.evaluation.complexity.complexity_of` on similar images; None: they are measured on these images. That
            takes longer than all else.
        importance_samples: samples per datum for the importance-weighted bound on the log-likelihood; 0: no bound.
        others: for UDR, the codes (N, D) of the same images by models of the same recipe and other seeds.
        seed: of all random draws: codes, splits, probes.
        say: is called with the name of each measurement when it starts, to show progress.

    Returns:
        The report: a dictionary that JSON can hold.

    Raises:
        ValueError: if the images are not of the model's shape or range, or `complexity` lacks a factor.
    """
    if images.shape != model.shape:
        raise ValueError(
            f"{images.source} has data of shape {images.shape}, the model takes {model.shape}; "
            "give data of that shape, or read it with the --size and --channels of the training"
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
    """Adds the numbers that need a density: bits per dimension, and the importance-weighted bound."""
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
    """The evaluation of a model without an encoder: every number that needs codes is not defined."""
    for level in result["levels"]:
        level |= {"without_it": None, "kept_upwards": None, "statistics": {}, "factors": {}}
    result |= {"judged_on": [], "pixel_probes": {}, "complexity": {}, "level_separation": None, "level_order": None}
    without = dict.fromkeys(("level_separation", "level_order", "statistics"), model.lacks["encoder"])
    return result | {"not_defined": not_defined | without, "protocol": protocol(images, seed=seed)}


def _check_range(model: LatentModel, values: np.ndarray, source: str) -> None:
    """Refuses vectors that are in other units than the training data. Images are always in [0, 1]."""
    state = model.state_dict()
    if not is_image(model.shape) and "stddev" in state:
        far = float(np.abs((values - state["mean"].numpy()) / state["stddev"].numpy()).max())
        if far > FAR:
            raise ValueError(
                f"{source} has values {far:.3g} standard deviations from the mean of what the model was trained on; "
                "give data in the same units, column by column"
            )


def protocol(images: Images, *, importance_samples: int = 0, num_runs: int = 1, seed: int = 0) -> dict[str, Any]:
    """Every setting on which the numbers of an evaluation depend, and the versions of the packages.

    Args:
        images: the data to measure a model on, before at most 5,000 are chosen.
        importance_samples: samples per datum for the bound on the log-likelihood; 0: no bound.
        num_runs: number of runs that UDR compares, from 1 up.
        seed: of all random draws.
    """
    return {
        "data": {"source": images.source, "split": images.split, "num_images": len(subset(images, seed))},
        "seed": seed,
        "codes": "posterior means; drawn codes for distortion, rates, ELBO and ablation",
        "probe_fit_share": probes.FIT_SHARE,
        "probe_on_codes": f"network, hidden units {probes.LITERATURE}, ReLU, Adam at {probes.LEARNING_RATE:g}, at most "
        f"{probes.MAX_PASSES} passes, {probes.PATIENCE} without a gain; each factor at its best pass",
        "probes_on_pixels": {name: list(units) for name, units in probes.HIDDEN.items()},
        "pixels": f"mean per channel; pictures of at most {MAX_SIDE} a side",
        "table_rows": MAX_TABLE,
        "neighbour_rows": MAX_NEIGHBOURS,
        "factor_bins": information.FACTOR_BINS,
        "mig": "20-bin histogram of posterior means",
        "dci": "random forests of 30 trees; importances weighed by the forest's score",
        "threads": torch.get_num_threads(),
        "mig_sampled": "entropies from samples of q(z|x)",
        "importance_samples": importance_samples,
        "udr_runs": num_runs,
        "versions": {name: version(name) for name in ("vlae", "torch", "numpy", "scipy", "scikit-learn")},
    }


def _judge(
    result: dict[str, Any],
    codes: Sequence[np.ndarray],
    images: Images,
    complexity: ProbeScores | None,
    not_defined: dict[str, str],
    seed: int,
    say: Callable[[str], None],
) -> list[str]:
    """Adds how well each level predicts each factor, and the order and separation; returns the factors that vary."""
    simple, judged = factors_of(images)
    targets, left_out = probes.targets_of({**simple, **judged})
    not_defined |= left_out
    for level in result["levels"]:
        level |= {"statistics": {}, "factors": {}}
    result |= {"judged_on": [], "pixel_probes": {}, "complexity": {}, "level_separation": None, "level_order": None}
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
    predictions = [probes.predict(code, targets, seed=seed) for code in codes]
    for level, code, scores in zip(result["levels"], codes, predictions, strict=True):
        level["statistics"] = {name: scores[name] for name in simple if name in scores}
        level["factors"] = {name: scores[name] for name in judged if name in scores and name not in simple}
        if images.labels is not None and level["code_size"]:
            probe = partial(probes.accuracy, code, images.labels, seed=seed)
            accuracies: dict[str, Any] = {}
            reasons: dict[str, str] = {}
            _try(accuracies, reasons, "label_probe_accuracy", partial(probe, hidden=probes.LITERATURE))
            _try(accuracies, reasons, "label_linear_probe_accuracy", partial(probe, hidden=()))
            level |= {name: value for name, value in accuracies.items() if value is not None}
            not_defined |= {f"level {level['level']}: {name}": reason for name, reason in reasons.items()}

    if complexity is None:
        say("how complex that is")
        complexity = complexity_of(images, seed=seed)
    result["judged_on"] = known
    result["pixel_probes"] = {name: dict(complexity[name]) for name in known}
    for name, scores in result["pixel_probes"].items():
        value = _value(partial(level_order.complexity, list(scores.values())))
        if isinstance(value, str):
            not_defined[f"complexity of {name}"] = value
        else:
            result["complexity"][name] = value
    table = factor_table(result)
    _try(result, not_defined, "level_separation", lambda: level_order.separation(table))
    complexities = np.array(list(result["complexity"].values()))
    _try(result, not_defined, "level_order", lambda: level_order.order(table, complexities))
    return known


def factor_table(evaluation: Mapping[str, Any]) -> np.ndarray:
    """The table by which order and separation are judged: how well each level predicts each factor.

    Args:
        evaluation: the result of `evaluate`.

    Returns:
        A row for each level with a code and a column for each factor of known complexity: R² or accuracy above chance,
        in [0, 1]; negative scores become 0.
    """
    levels = [level["statistics"] | level["factors"] for level in evaluation["levels"] if level["code_size"]]
    return np.clip([[scores[name] for name in evaluation["complexity"]] for scores in levels], 0, 1)


def _disentangle(
    result: dict[str, Any],
    codes: Sequence[tuple[np.ndarray, np.ndarray]],
    factors: Mapping[str, np.ndarray],
    not_defined: dict[str, str],
    seed: int,
) -> None:
    """Adds the metrics of the literature on codes and true factors: for all levels together, and for each level."""
    rows = slice(0, MAX_TABLE)
    factors = {name: np.asarray(value)[rows] for name, value in factors.items()}
    names = list(factors)
    tables = [mean[rows] for mean, _ in codes]
    stddevs = [stddev[rows] for _, stddev in codes]
    _try(
        result,
        not_defined,
        "information",
        lambda: {"factors": names, "levels": _information(tables, factors)},
    )
    result["disentanglement"] = _table(
        np.concatenate(tables, axis=1), np.concatenate(stddevs, axis=1), factors, "all levels", not_defined, seed
    )
    for level, means, stddev in zip(result["levels"], tables, stddevs, strict=True):
        if level["code_size"]:
            what = f"level {level['level']}"
            level["disentanglement"] = _table(means, stddev, factors, what, not_defined, seed)


def _information(tables: Sequence[np.ndarray], factors: Mapping[str, np.ndarray]) -> list[list[float]]:
    rows = slice(0, MAX_NEIGHBOURS)
    few = {name: factor[rows] for name, factor in factors.items()}
    return information.normalised_mutual_information([table[rows] for table in tables], few).tolist()


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
    """The measured value, or the reason in words why it is not defined."""
    try:
        return measure()
    except NotDefinedError as reason:
        return str(reason)


def _try(result: dict[str, Any], not_defined: dict[str, str], name: str, measure: Callable[[], Any]) -> None:
    """Adds a measured value to the result; or None, and the reason to the values that are not defined."""
    value = _value(measure)
    if isinstance(value, str):
        not_defined[name], value = value, None
    result[name] = value
