"""What each level tells of each factor, and the scores of the ladder beside those of what has learnt nothing."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from vlae.data.images import Images
from vlae.evaluation import level_order, probes
from vlae.evaluation.complexity import ProbeScores, components_of, predict_from_pixels
from vlae.evaluation.factors import MIN_PROBED, SCORED_BY, Factor, factors_of, factors_to_predict
from vlae.evaluation.information import without_outliers
from vlae.evaluation.kin import kin_of
from vlae.evaluation.reasons import attempt, value_or_reason
from vlae.evaluation.scoring import score
from vlae.models.base import LatentModel
from vlae.models.inference import encode

NUM_DRAWS = 200  # bootstrap draws of the data
INTERVAL = (5, 95)  # percentiles of the bootstrap between which a score surely lies
SURE = 2.0  # standard errors above 0 from which a score of a probe counts

SCORES = ("level_order", "level_separation", "told")
"""The scores of a ladder; each has `_interval`, `_untrained` and `_components` beside it."""

Codes = Sequence[Float[np.ndarray, "n d"]]


@dataclass(frozen=True)
class Asked:
    """What every level of a ladder is asked for.

    Attributes:
        simple: the names of the statistics.
        judged: the factors by which the ladder is judged and that can be predicted, as they are, (N,) each.
        factors: statistics and factors that can be predicted.
        left_out: why each of the others cannot.
        too_little: why nothing can be told of these data, if so.
    """

    simple: Collection[str]
    judged: Mapping[str, np.ndarray]
    factors: Mapping[str, Factor]
    left_out: Mapping[str, str]
    too_little: str | None


def asked_of(images: Images) -> Asked:
    """What can be asked of the codes of these data.

    Raises:
        ValueError: if a factor has not one value, or one row of values, a datum.
    """
    simple, judged = factors_of(images)
    factors, left_out = factors_to_predict({**simple, **judged})
    judged = {name: values for name, values in judged.items() if name in factors}
    return Asked(tuple(simple), judged, factors, left_out, too_little(images, judged, left_out))


def tell(
    result: dict[str, Any],
    model: LatentModel,
    images: Images,
    codes: Codes,
    untrained: LatentModel | None,
    complexity: ProbeScores | None,
    asked: Asked,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Adds how well each level predicts each factor, and the scores of the ladder and of its rivals."""
    simple, factors, names = asked.simple, asked.factors, list(asked.judged)
    not_defined = result["not_defined"]
    not_defined |= asked.left_out
    result["num_known"] = {name: int(factor.known.sum()) for name, factor in factors.items()}
    if asked.too_little:
        not_defined |= dict.fromkeys((*SCORES, "statistics"), asked.too_little)
        return
    if complexity is not None and (absent := [name for name in names if name not in complexity]):
        raise ValueError(f"complexity says nothing of {', '.join(absent)}; measure it on images with the same factors")
    result["scored_by"] = {name: SCORED_BY[factor.kind] for name, factor in factors.items()}
    kin = kin_of(images)
    weights = _draws(len(images), seed, kin)
    codes = [without_outliers(code) for code in codes]
    say("what every level tells of")
    own = _scores(codes, factors, weights, seed, kin)  # (levels, factors, draws)
    errors = own[:, :, 1:].std(2)
    for level, scores, error in zip(result["levels"], own[:, :, 0], errors, strict=True):
        of_factor = dict(zip(factors, scores.tolist(), strict=True))
        level["statistics"] = {name: of_factor[name] for name in simple if name in factors}
        level["factors"] = {name: of_factor[name] for name in names if name not in simple}
        level["standard_errors"] = dict(zip(factors, error.tolist(), strict=True))
    if "label" not in asked.left_out:
        _name_classes(result, images, codes, seed, kin)
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
        value = value_or_reason(partial(level_order.complexity, list(scores.values())))
        if isinstance(value, str):
            not_defined[f"complexity of {name}"] = value
        else:
            result["complexity"][name] = value
    result["judged_on"] = list(result["complexity"])
    columns = [list(factors).index(name) for name in result["complexity"]]
    drawn = [  # complexities in each draw; where one is not defined, that of all the data
        [_complexity([values[draw] for values in of_pixels[name].values()], result["complexity"][name])
         for name in result["complexity"]]
        for draw in range(len(weights))
    ]  # fmt: skip
    coded = [level["code_size"] > 0 for level in result["levels"]]
    _judge(result, _table(own[coded][:, columns], errors[coded][:, columns]), np.array(drawn), not_defined)
    say("what an untrained model and principal components tell of")
    rivals: dict[str, Codes | None] = {"components": _components(images, [code.shape[1] for code in codes], seed)}
    if untrained is None:
        not_defined |= {f"{name}_untrained": "no untrained model is given" for name in SCORES}
    else:
        values = np.ascontiguousarray(images.values)
        rivals["untrained"] = [mean for mean, _ in encode(untrained, values, features=images.features)]
    for what, of_rival in rivals.items():
        if of_rival is None:
            reason = f"{sum(model.code_sizes)} dimensions are more than the data have components"
            not_defined |= {f"{name}_{what}": reason for name in SCORES}
            continue
        of_rival = [without_outliers(code) for code in of_rival]
        theirs = _scores(of_rival, {name: factors[name] for name in result["complexity"]}, weights, seed, kin)
        table = _table(theirs[coded], theirs[coded][:, :, 1:].std(2))[:, :, 0]
        for name, measure in _measures(np.array(list(result["complexity"].values()))).items():
            attempt(result, {}, f"{name}_{what}", partial(measure, table))


def too_little(images: Images, names: Collection[str], left_out: Mapping[str, str] | None = None) -> str | None:
    """Why nothing can be told of these data, if so; `left_out` are the reasons of factors that cannot be predicted."""
    if len(images) < MIN_PROBED:
        return f"{len(images)} {'data' if images.is_vectors else 'pictures'}, {MIN_PROBED} are needed"
    reasons = "; ".join(f"{name}: {reason}" for name, reason in (left_out or {}).items())
    return None if names else f"no label or factor can be predicted ({reasons or 'give labels or factors'})"


def _draws(num: int, seed: int, kin: Int[np.ndarray, " n"] | None = None) -> Float[np.ndarray, "draws n"]:
    """How often each row counts: once, and then in each bootstrap draw, in which rows of one set are drawn together."""
    place = np.arange(num) if kin is None else np.unique(kin, return_inverse=True)[1]
    sets = int(place.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(sets, np.full(sets, 1 / sets), size=NUM_DRAWS)
    return np.concatenate([np.ones((1, num)), drawn[:, place]])


def _scores(
    codes: Codes, factors: Mapping[str, Factor], weights: np.ndarray, seed: int, kin: np.ndarray | None = None
) -> Float[np.ndarray, "levels factors draws"]:
    """How well each level predicts each factor, in each draw; 0 where it is not defined."""
    predictions = [probes.predict(code, factors, seed=seed, kin=kin) for code in codes]
    table = [[score(factors[name], of_level[name], weights) for name in factors] for of_level in predictions]
    return np.nan_to_num(np.array(table, float).reshape(len(codes), len(factors), len(weights)))


def _table(scores: Float[np.ndarray, "levels factors draws"], errors: np.ndarray) -> np.ndarray:
    """The tables of which a ladder is judged: scores in [0, 1], and 0 where one is not surely above 0."""
    sure = scores[:, :, 0] >= SURE * errors
    return np.clip(scores, 0, 1) * sure[:, :, None]


def _complexity(scores: Sequence[float], otherwise: float) -> float:
    value = value_or_reason(partial(level_order.complexity, scores))
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
        attempt(result, not_defined, name, partial(measure, tables[:, :, 0]))
        if result[name] is None:
            continue
        drawn = [
            value_or_reason(partial(_measures(complexities[draw])[name], tables[:, :, draw]))
            for draw in range(1, len(complexities))
        ]  # where no two factors of a draw differ in complexity it is 0, the limit of what differs ever less
        values = [0.0 if isinstance(value, str) else value for value in drawn]
        result[f"{name}_interval"] = np.percentile(values, INTERVAL).tolist()


def _components(images: Images, code_sizes: Sequence[int], seed: int) -> Codes | None:
    """The principal components of the pixels, divided into codes: the largest ones are level 1's."""
    x = components_of(images.values, sum(code_sizes), seed=seed)
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


def _name_classes(
    result: dict[str, Any], images: Images, codes: Codes, seed: int, kin: np.ndarray | None = None
) -> None:
    """Adds how often the literature's probes name the label from each level and all, and the commonest's share."""
    if images.labels is None:
        return
    labels = np.asarray(images.labels)
    known = np.flatnonzero(labels >= 0)
    if len(known):
        result["label_commonest"] = float(np.unique(labels[known], return_counts=True)[1].max() / len(known))
    kin = None if kin is None else kin[known]
    of_levels = [
        (f"level {level['level']}", level, code)
        for level, code in zip(result["levels"], codes, strict=True)
        if level["code_size"]
    ]
    for what, report, code in [*of_levels, ("all levels", result, np.concatenate(codes, axis=1))]:
        for name, hidden in (("label_probe_accuracy", probes.LITERATURE), ("label_linear_probe_accuracy", ())):
            probe = partial(probes.accuracy, code[known], labels[known], hidden=hidden, seed=seed, kin=kin)
            value = value_or_reason(probe)
            if isinstance(value, str):
                result["not_defined"][f"{what}: {name}"] = value
            else:
                report[name] = value


# How good the pictures are -------------------------------------------------------------------------------------------
