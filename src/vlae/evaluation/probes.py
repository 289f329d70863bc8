"""Probes of known capacity, which predict factors from codes or pixels; fitted to some data, scored on others."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import solve_triangular
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from vlae.errors import NotDefinedError
from vlae.evaluation.factors import Factor

WIDTHS = (0.2, 1.0, 5.0)
"""γ of the probes' kernels exp(-γ |x - x'|²), of inputs of mean square 1."""

LANDMARKS = 400
"""Kernel features of the probe on codes, at most one a row that it is fitted to."""

JITTER = 1e-6  # on the diagonal of a kernel of 1s, where landmarks are nearly the same

PENALTIES = tuple(10.0**power for power in range(-7, 4))
"""Weights of ridge regression, as shares of the rows."""

LITERATURE = (256,)
"""Hidden units of the literature's probe on codes: two linear layers (Reference: Cui et al. 2023, table 1)."""

NUM_FOLDS = 5
MAX_FOLDED = 2_000  # rows; more are divided once
FIT_SHARE = 0.6  # of the data that are divided once; the rest is scored

Parts = Sequence[tuple[Int[np.ndarray, " fit"], Int[np.ndarray, " scored"]]]
Predictions = Mapping[str, Float[np.ndarray, "n columns"]]


def parts(num: int, seed: int, kin: Int[np.ndarray, " num"] | None = None) -> Parts:
    """Divides rows at random into rows to fit to and rows to score.

    Up to 2,000 rows are divided five times (cross-validation), so that each is scored once. More are divided once, into
    60% to fit to and 40% to score. Rows of one set are on the same side, and of copies only one is fitted to: a probe
    would else remember a row in place of telling of it, and choose its width and penalty by how well it remembers.

    Args:
        num: number of rows.
        seed: of the division.
        kin: the set of each row, below 0 of copies (`vlae.evaluation.kin.kin_of`); None: each row is on its own.

    Returns:
        The numbers of the rows to fit to and to score, of each division.
    """
    rows = np.random.default_rng(seed).permutation(num)
    folds = [len(fold) for fold in np.array_split(rows, NUM_FOLDS)]
    ends = [round(FIT_SHARE * num)] if num > MAX_FOLDED else np.cumsum(folds)[:-1].tolist()
    if kin is not None:
        _, first, place = np.unique(kin[rows], return_index=True, return_inverse=True)
        order = np.argsort(first[place], kind="stable")  # rows of a set follow each other, where the first of them was
        rows = rows[order]
        begins = np.flatnonzero(np.diff(first[place][order])) + 1
        ends = [begins[np.abs(begins - end).argmin()] for end in ends if len(begins)]
    pieces = [piece for piece in np.split(rows, ends) if len(piece)]
    if num > MAX_FOLDED:
        return [(_once(pieces[0], kin), pieces[1])] if len(pieces) > 1 else []
    return [
        (_once(np.concatenate([other for other in pieces if other is not fold]), kin), fold)
        for fold in pieces
        if len(fold) < num
    ]


def _once(rows: Int[np.ndarray, " n"], kin: Int[np.ndarray, " num"] | None) -> Int[np.ndarray, " m"]:
    """The rows, but of each set of copies only the first."""
    if kin is None:
        return rows
    sets = np.where(kin < 0, kin, np.arange(len(kin)))[rows]  # below 0 copies, else the row itself
    return rows[np.sort(np.unique(sets, return_index=True)[1])]


def predict(
    inputs: Float[np.ndarray, "n d"],
    factors: Mapping[str, Factor],
    *,
    landmarks: int = LANDMARKS,
    widths: Sequence[float] = WIDTHS,
    is_linear: bool = True,
    is_scaled: bool = False,
    seed: int = 0,
    kin: Int[np.ndarray, " n"] | None = None,
) -> Predictions:
    """What a probe predicts of each factor from the inputs, for rows that it was not fitted to.

    The probe is ridge regression: on the inputs (linear), and on kernel features of each width. For each factor, the
    width and the penalty are those of the smallest leave-one-out error on the rows to fit to. The more landmarks, the
    more the probe can express; with as many as rows it is kernel ridge regression.

    References: Williams and Seeger 2001, "Using the Nyström Method to Speed Up Kernel Machines"; for the leave-one-out
    error, Rifkin and Lippert 2007, "Notes on Regularized Least Squares", section 5.

    Args:
        inputs: codes or pixels, (N, D), finite; D may be 0.
        factors: of the same data.
        landmarks: number of kernel features, from 0 up.
        widths: γ of each kernel, for inputs whose mean square distance from their mean is 1.
        is_linear: whether the inputs themselves are among the features to choose from.
        is_scaled: whether the columns are in one unit already, as principal components are; they are then scaled
            together, else each by its own standard deviation.
        seed: of the division and the landmarks.
        kin: the set of each row, below 0 of copies, (N,): a set is on one side. None: each row is on its own.

    Returns:
        For each factor, the predictions of its columns; not a number for rows that are only fitted to.
    """
    inputs = np.asarray(inputs, float)
    predictions = {name: np.full(factor.columns.shape, np.nan) for name, factor in factors.items()}
    by_rows: dict[bytes, list[str]] = {}  # factors that are known of the same rows share their work
    for name, factor in factors.items():
        by_rows.setdefault(np.packbits(factor.known).tobytes(), []).append(name)
    for fit, scored in parts(len(inputs), seed, kin):
        x = inputs - inputs[fit].mean(0) if is_scaled else standardised(inputs, fit)
        x = x / max(float(np.sqrt((x[fit] ** 2).sum(1).mean())), 1e-12)
        # Several threads lose time in decompositions this small, much of it if the processor has other work.
        with threadpool_limits(limits=1, user_api="blas"):
            spaces = [x] if is_linear else []
            if landmarks and inputs.shape[1]:
                chosen = np.random.default_rng(seed).permutation(fit)[:landmarks]
                spaces += [_kernel_features(x, x[chosen], width) for width in widths]
            for names in by_rows.values():
                rows = fit[factors[names[0]].known[fit]]
                least = dict.fromkeys(names, np.inf)
                for space in spaces if len(rows) > 1 else ():
                    for name, (error, predicted) in _ridge(space, rows, scored, {n: factors[n] for n in names}).items():
                        if error < least[name]:
                            least[name], predictions[name][scored] = error, predicted
    return predictions


def _kernel_features(
    x: Float[np.ndarray, "n d"], landmarks: Float[np.ndarray, "m d"], width: float
) -> Float[np.ndarray, "n m"]:
    """Features whose products are the kernel exp(-γ |x - x'|²), exactly so at the landmarks."""
    among = rbf_kernel(landmarks, gamma=width)
    among[np.diag_indices_from(among)] += JITTER
    features = solve_triangular(np.linalg.cholesky(among), rbf_kernel(landmarks, x, gamma=width), lower=True)
    return np.asarray(features.T)


def _ridge(
    features: Float[np.ndarray, "n d"], fit: np.ndarray, scored: np.ndarray, factors: Mapping[str, Factor]
) -> dict[str, tuple[float, Float[np.ndarray, "scored columns"]]]:
    """For each factor, the leave-one-out error of its best penalty, and what that ridge regression predicts."""
    x = features[fit]
    centre = x.mean(0)
    x = x - centre
    values, vectors = np.linalg.eigh(x.T @ x / len(fit))
    values = values.clip(0)
    x = x @ vectors
    squares = x**2 / len(fit)
    y = np.concatenate([factor.columns[fit] for factor in factors.values()], axis=1)
    mean = y.mean(0)
    y = y - mean
    moments = x.T @ y / len(fit)
    ends = np.cumsum([factor.columns.shape[1] for factor in factors.values()])
    places = dict(zip(factors, map(slice, [0, *ends[:-1]], ends), strict=True))
    least = dict.fromkeys(factors, np.inf)
    best = np.zeros_like(moments)  # weights of the rotated features
    for penalty in PENALTIES:
        shrunk = 1 / (values + penalty)
        own = 1 / len(fit) + squares @ shrunk  # how much a row's prediction owes to the row itself
        weights = shrunk[:, None] * moments
        missed = (y - x @ weights) / np.maximum(1 - own, 1e-6)[:, None]
        errors = (missed**2).mean(0)
        for name, place in places.items():
            if (error := float(errors[place].sum())) < least[name]:
                least[name], best[:, place] = error, weights[:, place]
    predicted = (features[scored] - centre) @ (vectors @ best)
    # How many rows of a class there are to fit to says how few there are to score, so it must not be predicted.
    return {
        name: (least[name], predicted[:, place] + (mean[place] if factors[name].kinds is None else 0))
        for name, place in places.items()
    }


def accuracy(
    inputs: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    *,
    hidden: tuple[int, ...] = LITERATURE,
    seed: int = 0,
    kin: Int[np.ndarray, " n"] | None = None,
) -> float:
    """Accuracy, in [0, 1], of a classifier that predicts labels from the inputs, on data it was not fitted to.

    Reference: Cui et al. 2023, table 1: two linear layers with 256 hidden units.

    Args:
        inputs: codes or pixels, (N, D), D from 1 up.
        labels: classes, (N,).
        hidden: number of ReLU units of each hidden layer; () for logistic regression.
        seed: of the division and the network's weights.
        kin: the set of each row, below 0 of copies, (N,): a set is on one side. None: each row is on its own.

    Raises:
        NotDefinedError: if all labels are the same, the inputs have no column, or all rows are copies of one.
    """
    if len(np.unique(labels)) < 2:
        raise NotDefinedError("all the data have the same label")
    if inputs.shape[1] == 0:
        raise NotDefinedError("a level without a code tells nothing")
    right = []
    for fit, scored in parts(len(inputs), seed, kin):
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
        right.append(probe.predict(x[scored]) == labels[scored])
    if not right:
        raise NotDefinedError("all the data with a label are copies of one")
    return float(np.concatenate(right).mean())


def standardised(inputs: Float[np.ndarray, "n d"], fit: Int[np.ndarray, " fit"]) -> Float[np.ndarray, "n d"]:
    """Subtracts the mean of each column and divides by its standard deviation, both of the rows to fit to.

    The divisor is at least a tenth of the root mean square standard deviation of all columns. So a dead dimension of a
    code, or a border pixel that is lit in one image of thousands, does not become the largest column.

    Args:
        inputs: codes or pixels, (N, D).
        fit: numbers of the rows to fit to.
    """
    mean, stddev = inputs[fit].mean(0), inputs[fit].std(0)
    least = max(0.1 * float(np.sqrt((stddev**2).mean())), 1e-12) if inputs.shape[1] else 1.0
    return (inputs - mean) / np.maximum(stddev, least)


def _enough_of_each(labels: np.ndarray) -> bool:
    """Whether a tenth of the labels, drawn class by class, can contain every class."""
    kinds, counts = np.unique(labels, return_counts=True)
    return bool(counts.min() >= 2 and len(labels) // 10 >= len(kinds))


class _unfinished(warnings.catch_warnings):  # noqa: N801 - used as a statement
    """Hides the warning of a probe that ends at its largest number of passes, which is part of the protocol."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore", ConvergenceWarning)
