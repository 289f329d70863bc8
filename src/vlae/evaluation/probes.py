"""Probes of known capacity, which predict factors from codes or pixels; fitted to some data, scored on others."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neural_network import MLPClassifier, MLPRegressor

from vlae.errors import NotDefinedError
from vlae.evaluation.information import is_class

Capacity = Literal["linear", "small", "large"]

HIDDEN: Mapping[Capacity, tuple[int, ...]] = {"linear": (), "small": (32,), "large": (256, 256)}
"""Hidden ReLU units of the probes on pixels."""

LITERATURE = (256,)
"""Hidden units of the probe on codes: two linear layers (Reference: Cui et al. 2023, table 1)."""

FIT_SHARE = 0.6  # of the data; the rest is scored
LEARNING_RATE = 2e-3
MAX_PASSES = 60  # of a network over the data
PATIENCE = 8  # passes without a better prediction of any factor, after which it ends


@dataclass(frozen=True)
class Targets:
    """Factors to predict. A number has one column and a class factor one per class, of mean 0 and variance 1.

    Attributes:
        names: of the factors.
        values: the values of each factor, (N,).
        columns: the regression targets, (N, columns).
        places: for each factor, its columns.
        classes: for each factor, the class of each of its columns; None if it is a number.
    """

    names: tuple[str, ...]
    values: tuple[np.ndarray, ...]
    columns: Float[np.ndarray, "n columns"]
    places: tuple[slice, ...]
    classes: tuple[np.ndarray | None, ...]


def targets_of(factors: Mapping[str, np.ndarray]) -> tuple[Targets, dict[str, str]]:
    """The factors that can be predicted, and the reason why each of the others cannot.

    Truth values, and integers of up to 50 values, are classes. All others are numbers.

    Args:
        factors: values by name, (N,) each.
    """
    names: list[str] = []
    values: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    places: list[slice] = []
    classes: list[np.ndarray | None] = []
    left_out: dict[str, str] = {}
    for name, factor in factors.items():
        value = np.asarray(factor)
        kinds = np.unique(value)
        if len(kinds) < 2:
            left_out[name] = "it is the same in all the data"
            continue
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            left_out[name] = "it is not known of all the data (not finite)"
            continue
        categorical = is_class(value)
        block = (value[:, None] == kinds).astype(float) if categorical else value[:, None].astype(float)
        start = sum(part.shape[1] for part in columns)
        names.append(name)
        values.append(value)
        columns.append((block - block.mean(0)) / np.maximum(block.std(0), 1e-12))
        places.append(slice(start, start + block.shape[1]))
        classes.append(kinds if categorical else None)
    table = np.concatenate(columns, axis=1) if columns else np.zeros((0, 0))
    return Targets(tuple(names), tuple(values), table, tuple(places), tuple(classes)), left_out


def split(num: int, seed: int) -> tuple[Int[np.ndarray, " fit"], Int[np.ndarray, " scored"]]:
    """Divides rows at random into 60% to fit to and 40% to score.

    Args:
        num: number of rows.
        seed: of the division.
    """
    rows = np.random.default_rng(seed).permutation(num)
    return np.split(rows, [round(FIT_SHARE * num)])  # type: ignore[return-value]


def predict(
    inputs: Float[np.ndarray, "n d"], targets: Targets, *, hidden: tuple[int, ...] = LITERATURE, seed: int = 0
) -> dict[str, float]:
    """How well a probe predicts each factor from the inputs, on data it was not fitted to.

    One least-squares probe predicts all factors: ridge regression, or a network of ReLU units trained by Adam. Of the
    network, the prediction of each factor is taken after its own best pass, judged on a tenth of the rows to fit to. So
    a factor does not suffer while the network still learns another.

    The score of a number is R². The score of a class is the accuracy a above chance, (a - a₀) / (1 - a₀), where a₀ is
    that of always naming the most frequent class. Both are at most 1, about 0 for a guess, and may be negative.

    Args:
        inputs: codes or pixels, (N, D); if D is 0, every score is 0.
        targets: factors of the same data.
        hidden: number of units of each hidden layer; () for ridge regression.
        seed: of the split, the network's weights and its batches.
    """
    if inputs.shape[1] == 0 or not targets.names:
        return dict.fromkeys(targets.names, 0.0)
    fit, scored = split(len(inputs), seed)
    x, y = standardised(inputs, fit), targets.columns
    if hidden:
        predicted = _by_network(x, targets, fit, scored, hidden, seed)
    else:
        predicted = RidgeCV(np.logspace(-1, 5, 7)).fit(x[fit], y[fit]).predict(x[scored]).reshape(len(scored), -1)
    scores = {}
    for name, value, place, kinds in zip(targets.names, targets.values, targets.places, targets.classes, strict=True):
        if kinds is None:
            scores[name] = _r2(y[scored, place][:, 0], predicted[:, place][:, 0])
        else:
            # Columns have unit variance: brought back to frequencies, the highest is the class.
            spread = (value[:, None] == kinds).std(0)
            share = predicted[:, place] * spread + (value[:, None] == kinds).mean(0)
            scores[name] = _above_chance(value[scored], kinds[share.argmax(1)], value[fit])
    return scores


def _by_network(
    x: Float[np.ndarray, "n d"],
    targets: Targets,
    fit: Int[np.ndarray, " fit"],
    scored: Int[np.ndarray, " scored"],
    hidden: tuple[int, ...],
    seed: int,
) -> Float[np.ndarray, "scored columns"]:
    kept, fit = np.split(fit, [max(1, len(fit) // 10)])
    network = MLPRegressor(hidden_layer_sizes=hidden, batch_size=min(100, len(fit)), learning_rate_init=LEARNING_RATE,
                           random_state=seed)  # fmt: skip
    y = targets.columns
    predicted, best, since = np.zeros((len(scored), y.shape[1])), np.full(len(targets.names), np.inf), 0
    for _ in range(MAX_PASSES):
        network.partial_fit(x[fit], y[fit] if y.shape[1] > 1 else y[fit, 0])
        now, guess = (network.predict(x[rows]).reshape(len(rows), -1) for rows in (scored, kept))
        since += 1
        for number, place in enumerate(targets.places):
            if (error := float(((guess - y[kept])[:, place] ** 2).mean())) < best[number]:
                predicted[:, place], best[number], since = now[:, place], error, 0
        if since > PATIENCE:
            break
    return predicted


def accuracy(
    inputs: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    *,
    hidden: tuple[int, ...] = LITERATURE,
    seed: int = 0,
) -> float:
    """Accuracy, in [0, 1], of a classifier that predicts labels from the inputs, on data it was not fitted to.

    Reference: Cui et al. 2023, table 1: two linear layers with 256 hidden units.

    Args:
        inputs: codes or pixels, (N, D), D from 1 up.
        labels: classes, (N,).
        hidden: number of ReLU units of each hidden layer; () for logistic regression.
        seed: of the split and the network's weights.

    Raises:
        NotDefinedError: if all labels are the same, or the inputs have no column.
    """
    if len(np.unique(labels)) < 2:
        raise NotDefinedError("all the data have the same label")
    if inputs.shape[1] == 0:
        raise NotDefinedError("a level without a code tells nothing")
    fit, scored = split(len(inputs), seed)
    x = standardised(inputs, fit)
    if len(np.unique(labels[fit])) < 2:
        raise NotDefinedError("the data to fit on have all the same label; give more")
    if hidden:
        stop_early = _enough_of_each(labels[fit])
        probe = MLPClassifier(hidden_layer_sizes=hidden, early_stopping=stop_early, max_iter=200, random_state=seed)
    else:
        probe = LogisticRegression(max_iter=500)
    with _unfinished():
        probe.fit(x[fit], labels[fit])
    return float((probe.predict(x[scored]) == labels[scored]).mean())


def standardised(inputs: Float[np.ndarray, "n d"], fit: Int[np.ndarray, " fit"]) -> Float[np.ndarray, "n d"]:
    """Subtracts the mean of each column and divides by its standard deviation, both of the rows to fit to.

    The divisor is at least a tenth of the root mean square standard deviation of all columns. So a dead dimension of a
    code, or a border pixel that is lit in one image of thousands, does not become the largest column.

    Args:
        inputs: codes or pixels, (N, D).
        fit: numbers of the rows to fit to.
    """
    mean, stddev = inputs[fit].mean(0), inputs[fit].std(0)
    least = max(0.1 * float(np.sqrt((stddev**2).mean())), 1e-12)
    return (inputs - mean) / np.maximum(stddev, least)


def _enough_of_each(labels: np.ndarray) -> bool:
    """Whether a tenth of the labels, drawn class by class, can contain every class."""
    kinds, counts = np.unique(labels, return_counts=True)
    return bool(counts.min() >= 2 and len(labels) // 10 >= len(kinds))


def _r2(true: np.ndarray, predicted: np.ndarray) -> float:
    residual, total = ((true - predicted) ** 2).sum(), ((true - true.mean()) ** 2).sum()
    return float(1 - residual / max(total, 1e-12))


def _above_chance(true: np.ndarray, predicted: np.ndarray, fitted: np.ndarray) -> float:
    kinds, counts = np.unique(fitted, return_counts=True)
    chance = float((true == kinds[counts.argmax()]).mean())
    return float(((true == predicted).mean() - chance) / (1 - chance)) if chance < 1 else 0.0


class _unfinished(warnings.catch_warnings):  # noqa: N801 - used as a statement
    """Hides the warning of a probe that ends at its largest number of passes, which is part of the protocol."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore", ConvergenceWarning)
