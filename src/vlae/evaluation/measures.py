"""The evaluation of a model: what each level costs, which factors it predicts, and whether the levels are in order."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from vlae.data.images import Images
from vlae.errors import NotDefinedError
from vlae.evaluation import complexity as pixels
from vlae.evaluation import factors as data_factors
from vlae.evaluation import information, level_order, metrics, pictures, probes
from vlae.evaluation.complexity import ProbeScores, components_of, predict_from_pixels
from vlae.evaluation.factors import MIN_PROBED, SCORED_BY, Factor, factors_of, factors_to_predict, present, subset
from vlae.evaluation.feature_spaces import DEFAULT, FeatureSpace, components
from vlae.evaluation.rates import ablate, summarise
from vlae.evaluation.scoring import score
from vlae.models.base import LatentModel
from vlae.models.inference import as_input, encode, evaluating
from vlae.objectives.bounds import log_likelihood
from vlae.shapes import is_image

MAX_ABLATED = 1_000  # data for what is lost without a level, which draws each of them twice for every level
MAX_TABLE = 2_000  # rows for the metrics on codes and factors
MAX_NEIGHBOURS = 1_000  # of these rows, for mutual information by nearest neighbours
MAX_TREES = 1_000  # of these rows, for metrics that fit trees
FAR = 1_000  # standard deviations; data this far from the training data are in other units
NUM_DRAWS = 200  # bootstrap draws of the data
BOOSTED_TREES = 20
INTERVAL = (5, 95)  # percentiles of the bootstrap between which a score surely lies
SURE = 2.0  # standard errors above 0 from which a score of a probe counts

SCORES = ("level_order", "level_separation", "told")
"""The scores of a ladder; each has `_interval`, `_untrained` and `_components` beside it."""

Codes = Sequence[Float[np.ndarray, "n d"]]


def evaluate(
    model: LatentModel,
    images: Images,
    *,
    probed: Images | None = None,
    codes: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
    untrained: LatentModel | None = None,
    complexity: ProbeScores | None = None,
    features: FeatureSpace | None = None,
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
      its code, or the codes of all levels below it, are drawn from the prior; statistics and factors, how well a probe
      predicts each (`vlae.evaluation.scoring.score`), and standard_errors of these; label_probe_accuracy and
      label_linear_probe_accuracy; moves (`vlae.evaluation.pictures.moved`); read_back
      (`vlae.evaluation.pictures.read_back`); and disentanglement.
    - judged_on: the factors by which order and separation are judged. scored_by: the score of each.
    - pixel_probes and complexity: of each of these factors.
    - told, level_order and level_separation (`vlae.evaluation.level_order`): None where not defined. Beside each,
      `…_interval` is the range of 90 % of the bootstrap draws of the data; `…_untrained` is the score of the same model
      with random weights; `…_components` that of the principal components of the pixels, divided into codes of the same
      sizes.
    - pictures: how good the pictures are (`vlae.evaluation.pictures.picture_quality`).
    - information: the normalised mutual information, levels × factors.
    - disentanglement: of the codes of all levels together.
    - udr: if there are other runs.
    - not_defined: for every number that is not defined, the reason.
    - protocol: all settings and versions on which the numbers depend, and their hash.

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
        importance_samples: samples per datum for the importance-weighted bound on the log-likelihood; 0: no bound.
        others: for UDR, the codes (N, D) of `probed` by models of the same recipe and other seeds.
        seed: of all random draws: codes, divisions, probes, bootstrap.
        say: is called with the name of each measurement when it starts, to show progress.

    Returns:
        The report: a dictionary that JSON can hold.

    Raises:
        ValueError: if the images are not of the model's shape or range, a factor has not one value a datum, or
            `complexity` lacks a factor.
    """
    probed = images if probed is None else probed
    for data in (images, probed):
        if data.shape != model.shape:
            raise ValueError(
                f"{data.source} has data of shape {data.shape}, the model takes {model.shape}; "
                "give data of that shape, or read it with the --size and --channels of the training"
            )
    simple, judged = factors_of(probed)  # to fail before the slow measurements
    say("what every level costs")
    values = np.ascontiguousarray(images.values)
    _check_range(model, values, images.source)
    result = summarise(model, values, seed=seed)
    not_defined: dict[str, str] = result.pop("not_defined", {})
    for level in result["levels"]:
        level |= {"without_it": None, "kept_upwards": None, "statistics": {}, "factors": {}, "standard_errors": {}}
        level |= {"moves": {}, "read_back": None}
    result |= {"judged_on": [], "scored_by": {}, "pixel_probes": {}, "complexity": {}}
    for name in SCORES:
        result |= {name: None, **{f"{name}_{what}": None for what in ("interval", "untrained", "components")}}
    result["not_defined"] = not_defined
    if "density" not in model.lacks and "encoder" not in model.lacks:
        _bounds(result, model, values, images.source, importance_samples, seed, say)
    if "encoder" in model.lacks:
        not_defined |= dict.fromkeys((*SCORES, "statistics", "read_back"), model.lacks["encoder"])
    else:
        few = np.ascontiguousarray(subset(images, seed, MAX_ABLATED).values)
        for level, lost in zip(result["levels"], ablate(model, few, seed=seed), strict=True):
            level |= lost
        codes = encode(model, np.ascontiguousarray(probed.values)) if codes is None else codes
        _tell(result, model, probed, [mean for mean, _ in codes], untrained, complexity, (simple, judged), seed, say)
        known = {name: values for name, values in judged.items() if name in result["judged_on"] and name != "label"}
        if known and probed.factors:
            say("disentanglement")
            _disentangle(result, codes, known, not_defined, seed)
        if others:
            means = np.concatenate([mean for mean, _ in codes], axis=1)
            _try(result, not_defined, "udr", lambda: metrics.udr(means, others))
    _show(result, model, probed, features, seed, say)
    result["protocol"] = protocol(
        images,
        probed=probed,
        complexity=complexity,
        features=features,
        importance_samples=importance_samples,
        num_runs=1 + len(others),
        seed=seed,
    )
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


def protocol(
    images: Images,
    *,
    probed: Images | None = None,
    complexity: ProbeScores | None = None,
    features: FeatureSpace | None = None,
    importance_samples: int = 0,
    num_runs: int = 1,
    seed: int = 0,
) -> dict[str, Any]:
    """Every setting on which the numbers of an evaluation depend, the versions of the packages, and a hash of all.

    Two evaluations can be compared only if their hashes are equal. `importance_samples`, `udr_runs`, the threads and
    the versions are not in the hash: the first two change one number each, which they add; the others change numbers
    by rounding.

    Args:
        images: the data to measure a model on, before at most 5,000 are chosen.
        probed: the data on whose codes probes are fitted and scored; None: `images`.
        complexity: the scores of the probes on pixels, if they are given.
        features: the space in which pictures are compared; None: 32 principal components.
        importance_samples: samples per datum for the bound on the log-likelihood; 0: no bound.
        num_runs: number of runs that UDR compares, from 1 up.
        seed: of all random draws.
    """
    images = subset(images, seed)
    probed = images if probed is None else subset(probed, seed)
    num = len(probed)
    settings: dict[str, Any] = {
        "data": {"source": images.source, "split": images.split, "num_images": len(images), "hash": _hash(images)},
        "probed": {"split": probed.split, "num_images": num, "hash": _hash(probed)},
        "seed": seed,
        "codes": "posterior means; drawn codes for distortion, rates, ELBO and ablation",
        "probes": f"each row scored once, by probes fitted to the others ({probes.NUM_FOLDS} parts)"
        if num <= probes.MAX_FOLDED
        else f"fitted to {probes.FIT_SHARE:.0%}, scored on the rest",
        "probe_on_codes": f"ridge regression on the code and on {probes.LANDMARKS} kernel features of each width "
        f"{probes.WIDTHS}; width and penalty by leave-one-out error",
        "probes_on_pixels": {name: f"{num} kernel features" for name, num in pixels.LANDMARKS.items()},
        "pixels": f"mean per channel; {pixels.COMPONENTS} principal components of pictures of at most "
        f"{pixels.MAX_SIDE} a side; kernels of width {pixels.WIDTHS}",
        "complexity": "measured on these data" if complexity is None else f"given: {_digest(complexity)}",
        "scores": {"least_told": level_order.LEAST_TOLD, "least_difference": level_order.LEAST_DIFFERENCE,
                   "standard_errors": SURE},
        "interval": f"percentiles {INTERVAL} of {NUM_DRAWS} bootstrap draws of the data",
        "factors": {"max_classes": data_factors.MAX_CLASSES, "min_of_class": data_factors.MIN_OF_CLASS},
        "label_probe": f"network, hidden units {probes.LITERATURE}",
        "ablation_rows": MAX_ABLATED,
        "table_rows": MAX_TABLE,
        "neighbour_rows": MAX_NEIGHBOURS,
        "factor_bins": information.FACTOR_BINS,
        "mig": "20-bin histogram of posterior means",
        "mig_sampled": "entropies from samples of q(z|x)",
        "dci": f"random forests of 30 trees, importances as they are, {MAX_TREES} rows",
        "dci_boosted": f"{BOOSTED_TREES} gradient-boosted trees a class, {MAX_TREES} rows",
        "infomec": f"10 nearest neighbours, {MAX_TREES} rows",
        "pictures": {"features": features.name if features else DEFAULT, "half": min(pictures.MAX_HALF, num // 2)},
    }  # fmt: skip
    return settings | {
        "hash": _digest(settings),
        "importance_samples": importance_samples,
        "udr_runs": num_runs,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("vlae", "torch", "numpy", "scipy", "scikit-learn")},
    }


def _digest(settings: Any) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=float).encode()).hexdigest()[:16]


def _hash(images: Images) -> str:
    """A hash of the data, their labels and factors."""
    digest = hashlib.sha256()
    for values in (images.values, images.labels, *(images.factors[name] for name in sorted(images.factors))):
        array = np.ascontiguousarray([] if values is None else values)
        digest.update(repr((array.shape, array.dtype.str, array.tolist() if array.dtype == object else "")).encode())
        digest.update(b"" if array.dtype == object else array.tobytes())
    return digest.hexdigest()[:16]


# What the levels tell ------------------------------------------------------------------------------------------------


def _tell(
    result: dict[str, Any],
    model: LatentModel,
    images: Images,
    codes: Codes,
    untrained: LatentModel | None,
    complexity: ProbeScores | None,
    known: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]],
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Adds how well each level predicts each factor, and the scores of the ladder and of its rivals."""
    simple, judged = known
    not_defined = result["not_defined"]
    factors, left_out = factors_to_predict({**simple, **judged})
    not_defined |= left_out
    names = [name for name in judged if name in factors]
    if reason := _too_little(images, names):
        not_defined |= dict.fromkeys((*SCORES, "statistics"), reason)
        return
    if complexity is not None and (absent := [name for name in names if name not in complexity]):
        raise ValueError(f"complexity says nothing of {', '.join(absent)}; measure it on images with the same factors")
    result["judged_on"] = names
    result["scored_by"] = {name: SCORED_BY[factor.kind] for name, factor in factors.items()}
    weights = _draws(len(images), seed)
    say("what every level tells of")
    own = _scores(codes, factors, weights, seed)  # (levels, factors, draws)
    errors = own[:, :, 1:].std(2)
    for level, scores, error in zip(result["levels"], own[:, :, 0], errors, strict=True):
        of_factor = dict(zip(factors, scores.tolist(), strict=True))
        level["statistics"] = {name: of_factor[name] for name in simple if name in factors}
        level["factors"] = {name: of_factor[name] for name in names if name not in simple}
        level["standard_errors"] = dict(zip(factors, error.tolist(), strict=True))
    _name_classes(result, images, codes, seed)
    say("how complex that is")
    judged_factors = {name: factors[name] for name in names}
    if complexity is None:
        by_probe = predict_from_pixels(images, judged_factors, seed=seed)
        of_pixels = {
            name: {
                probe: np.nan_to_num(score(factor, predicted[name], weights)) for probe, predicted in by_probe.items()
            }
            for name, factor in judged_factors.items()
        }
    else:
        of_pixels = {
            name: {probe: np.full(len(weights), value) for probe, value in complexity[name].items()} for name in names
        }
    result["pixel_probes"] = {
        name: {probe: float(values[0]) for probe, values in scores.items()} for name, scores in of_pixels.items()
    }
    for name, scores in result["pixel_probes"].items():
        value = _value(partial(level_order.complexity, list(scores.values())))
        if isinstance(value, str):
            not_defined[f"complexity of {name}"] = value
        else:
            result["complexity"][name] = value
    asked = [list(factors).index(name) for name in result["complexity"]]
    drawn = [  # complexities in each draw; where one is not defined, that of all the data
        [_complexity([values[draw] for values in of_pixels[name].values()], result["complexity"][name])
         for name in result["complexity"]]
        for draw in range(len(weights))
    ]  # fmt: skip
    coded = [level["code_size"] > 0 for level in result["levels"]]
    _judge(result, _table(own[coded][:, asked], errors[coded][:, asked]), np.array(drawn), not_defined)
    say("what an untrained model and principal components tell of")
    rivals: dict[str, Codes | None] = {"components": _components(images, [code.shape[1] for code in codes], seed)}
    if untrained is None:
        not_defined |= {f"{name}_untrained": "no untrained model is given" for name in SCORES}
    else:
        rivals["untrained"] = [mean for mean, _ in encode(untrained, np.ascontiguousarray(images.values))]
    for what, of_rival in rivals.items():
        if of_rival is None:
            reason = f"{sum(model.code_sizes)} dimensions are more than the data have components"
            not_defined |= {f"{name}_{what}": reason for name in SCORES}
            continue
        theirs = _scores(of_rival, {name: factors[name] for name in result["complexity"]}, weights, seed)
        table = _table(theirs[coded], theirs[coded][:, :, 1:].std(2))[:, :, 0]
        for name, measure in _measures(np.array(list(result["complexity"].values()))).items():
            _try(result, {}, f"{name}_{what}", partial(measure, table))


def _too_little(images: Images, names: Sequence[str]) -> str | None:
    """Why nothing can be told of these data, if so."""
    if len(images) < MIN_PROBED:
        return f"{len(images)} {'data' if images.is_vectors else 'pictures'}, {MIN_PROBED} are needed"
    return None if names else "nothing is known of these data that differs between them: give labels or factors"


def _draws(num: int, seed: int) -> Float[np.ndarray, "draws n"]:
    """How often each row counts: once, and then in each bootstrap draw."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(num, np.full(num, 1 / num), size=NUM_DRAWS)
    return np.concatenate([np.ones((1, num)), drawn])


def _scores(
    codes: Codes, factors: Mapping[str, Factor], weights: np.ndarray, seed: int
) -> Float[np.ndarray, "levels factors draws"]:
    """How well each level predicts each factor, in each draw; 0 where it is not defined."""
    predictions = [probes.predict(code, factors, seed=seed) for code in codes]
    table = [[score(factors[name], of_level[name], weights) for name in factors] for of_level in predictions]
    return np.nan_to_num(np.array(table, float).reshape(len(codes), len(factors), len(weights)))


def _table(scores: Float[np.ndarray, "levels factors draws"], errors: np.ndarray) -> np.ndarray:
    """The tables of which a ladder is judged: scores in [0, 1], and 0 where one is not surely above 0."""
    sure = scores[:, :, 0] >= SURE * errors
    return np.clip(scores, 0, 1) * sure[:, :, None]


def _complexity(scores: Sequence[float], otherwise: float) -> float:
    value = _value(partial(level_order.complexity, scores))
    return otherwise if isinstance(value, str) else float(value)


def _measures(complexities: np.ndarray) -> dict[str, Callable[[np.ndarray], float]]:
    return {
        "level_order": lambda table: level_order.order(table, complexities),
        "level_separation": lambda table: level_order.separation(table, complexities),
        "told": level_order.told,
    }


def _judge(
    result: dict[str, Any],
    tables: np.ndarray,
    complexities: Float[np.ndarray, "draws factors"],
    not_defined: dict[str, str],
) -> None:
    """Adds the scores of the ladder, each with the range in which it lies for other data of this kind."""
    for name, measure in _measures(complexities[0]).items():
        _try(result, not_defined, name, partial(measure, tables[:, :, 0]))
        if result[name] is None:
            continue
        drawn = [
            _value(partial(_measures(complexities[draw])[name], tables[:, :, draw]))
            for draw in range(1, len(complexities))
        ]
        values = [value for value in drawn if not isinstance(value, str)]
        if values:
            result[f"{name}_interval"] = np.percentile(values, INTERVAL).tolist()


def _components(images: Images, code_sizes: Sequence[int], seed: int) -> Codes | None:
    """The principal components of the pixels, divided into codes: the largest ones are level 1's."""
    x = components_of(np.asarray(images.values, np.float32), sum(code_sizes), seed=seed)
    return np.split(x, np.cumsum(code_sizes)[:-1], axis=1) if x.shape[1] == sum(code_sizes) else None


def factor_table(evaluation: Mapping[str, Any]) -> np.ndarray:
    """The table by which the levels are judged: how well each level predicts each factor.

    Args:
        evaluation: the result of `evaluate`.

    Returns:
        A row for each level with a code and a column for each factor of known complexity: its score in [0, 1]; 0 if it
        is not 2 standard errors above 0.
    """
    levels = [level for level in evaluation["levels"] if level["code_size"]]
    names = list(evaluation["complexity"])
    scores = [[(level["statistics"] | level["factors"])[name] for name in names] for level in levels]
    errors = [[level["standard_errors"][name] for name in names] for level in levels]
    shape = (len(levels), len(names))
    return _table(np.array(scores, float).reshape(*shape, 1), np.array(errors, float).reshape(shape))[:, :, 0]


def _name_classes(result: dict[str, Any], images: Images, codes: Codes, seed: int) -> None:
    """Adds how often the literature's probes name the label from each level."""
    if images.labels is None:
        return
    labels = np.asarray(images.labels)
    known = np.flatnonzero(labels >= 0)
    for level, code in zip(result["levels"], codes, strict=True):
        if not level["code_size"]:
            continue
        for name, hidden in (("label_probe_accuracy", probes.LITERATURE), ("label_linear_probe_accuracy", ())):
            value = _value(partial(probes.accuracy, code[known], labels[known], hidden=hidden, seed=seed))
            if isinstance(value, str):
                result["not_defined"][f"level {level['level']}: {name}"] = value
            else:
                level[name] = value


# How good the pictures are -------------------------------------------------------------------------------------------


def _show(
    result: dict[str, Any],
    model: LatentModel,
    images: Images,
    features: FeatureSpace | None,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Adds how good the pictures are, and what every level does to them."""
    say("how good the pictures are")
    values = np.ascontiguousarray(images.values)
    result["pictures"] = None
    if len(values) < MIN_PROBED:
        result["not_defined"]["pictures"] = _too_little(images, ())
    else:
        space = components(values, seed=seed) if features is None else features
        result["pictures"], reasons = pictures.picture_quality(model, values, space, seed=seed)
        result["not_defined"] |= reasons
    if "encoder" in model.lacks:
        return
    for level, value in zip(result["levels"], pictures.read_back(model, seed=seed), strict=True):
        level["read_back"] = value
    if is_image(model.shape) and len(values) > 1:
        for level, shares in zip(result["levels"], pictures.moved(model, values, seed=seed), strict=True):
            level["moves"] = shares


# The metrics of the literature ---------------------------------------------------------------------------------------


def _disentangle(
    result: dict[str, Any],
    codes: Sequence[tuple[np.ndarray, np.ndarray]],
    factors: Mapping[str, np.ndarray],
    not_defined: dict[str, str],
    seed: int,
) -> None:
    """Adds the metrics of the literature on codes and true factors: for all levels together, and for each level.

    They take no missing values, so only data of which every factor is known are used.
    """
    known = {name: present(np.asarray(values)) for name, values in factors.items()}
    rows = np.flatnonzero(np.all([there for _, there in known.values()], axis=0))[:MAX_TABLE]
    tables = {name: np.unique(values[rows], return_inverse=True)[1] if values.dtype.kind == "U" else values[rows]
              for name, (values, _) in known.items()}  # fmt: skip
    varying = {name: values for name, values in tables.items() if len(np.unique(values)) > 1}
    means, stddevs = [mean[rows] for mean, _ in codes], [stddev[rows] for _, stddev in codes]
    _try(
        result,
        not_defined,
        "information",
        lambda: {"factors": list(varying), "levels": _information(means, varying)},
    )
    together = np.concatenate(means, axis=1)
    result["disentanglement"] = table = _metrics(
        together, np.concatenate(stddevs, axis=1), varying, "all levels", not_defined, seed
    )
    boosted = partial(metrics.dci_boosted, together, varying, seed=seed, trees=BOOSTED_TREES, max_rows=MAX_TREES)
    _try(table, not_defined, "dci_boosted", lambda: boosted()._asdict())
    infomec = partial(metrics.infomec, together, varying, max_rows=MAX_TREES, seed=seed)
    _try(table, not_defined, "infomec", lambda: infomec()._asdict())
    for level, mean, stddev in zip(result["levels"], means, stddevs, strict=True):
        if level["code_size"]:
            what = f"level {level['level']}"
            level["disentanglement"] = _metrics(mean, stddev, varying, what, not_defined, seed)


def _information(tables: Sequence[np.ndarray], factors: Mapping[str, np.ndarray]) -> list[list[float]]:
    rows = slice(0, MAX_NEIGHBOURS)
    few = {name: factor[rows] for name, factor in factors.items()}
    return information.normalised_mutual_information([table[rows] for table in tables], few).tolist()


def _metrics(
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
        "dci": lambda: metrics.dci(means, factors, seed=seed, max_rows=MAX_TREES)._asdict(),
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
