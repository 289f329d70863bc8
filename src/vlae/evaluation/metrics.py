"""Metrics of the literature that compare codes with true factors. They take arrays and know no model.

`codes` are posterior means, (N, D), with a column per code dimension. `factors` are values by name, (N,) each. Truth
values, and integers of up to 50 values, are classes. Other numbers are continuous; where a metric needs classes, they
are binned into 10 quantiles. Mutual information is in nats. If a metric is not defined, `NotDefinedError` gives the
reason; no metric is NaN.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import xlogy
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, mutual_info_score
from sklearn.tree import DecisionTreeClassifier

from vlae.errors import NotDefinedError
from vlae.evaluation.information import Codes, Factors, checked, entropy, is_class


class DCI(NamedTuple):
    """Disentanglement, completeness and informativeness, each in [0, 1]."""

    disentanglement: float
    completeness: float
    informativeness: float


def mig(codes: Codes, factors: Factors, *, bins: int = 20) -> float:
    """Mutual information gap, by the histogram estimator: mean_f (I(z_1st; f) - I(z_2nd; f)) / H(f), in [0, 1].

    z_1st and z_2nd are the dimensions with the most information on factor f. On the same model `mig_sampled` gives very
    different values: never compare the two.

    Reference: Chen et al. 2018, "Isolating Sources of Disentanglement in VAEs", equation 6; the estimator is that of
    Locatello et al. 2019, "Challenging Common Assumptions", appendix C.

    Args:
        codes: posterior means, (N, D), N from 20 up.
        factors: values by name, (N,) each.
        bins: number of bins of equal width into which each code dimension is cut, from 2 up.

    Raises:
        NotDefinedError: if there is no code, no factor, a factor that is constant, or fewer than 20 rows.
    """
    codes, classes = checked(codes, factors)
    return _gap(_information(codes, classes, bins), np.array([entropy(kinds) for kinds in classes.values()]))


def mig_sampled(means: Codes, stddevs: Codes, factors: Factors, *, num_samples: int = 1_000, seed: int = 0) -> float:
    """Mutual information gap in [0, 1], by the authors' estimator: I(z_j; f) = H(z_j) - H(z_j | f) from sampled codes.

    q(z_j) is the mixture of the posteriors of all rows; q(z_j | f) is the mixture over the rows with that value of f.

    Reference: Chen et al. 2018, equation 6 and appendix B.

    Args:
        means: of the posteriors, (N, D), N from 20 up.
        stddevs: of the posteriors, (N, D), above 0.
        factors: values by name, (N,) each.
        num_samples: number of rows, from 1 up; one code is drawn from the posterior of each.
        seed: of the draws.

    Raises:
        NotDefinedError: if there is no code, no factor, a factor that is constant, or fewer than 20 rows.
    """
    means, classes = checked(means, factors)
    stddevs = np.asarray(stddevs, float)
    if stddevs.shape != means.shape or not (np.isfinite(stddevs).all() and (stddevs > 0).all()):
        raise ValueError(f"stddevs of shape {stddevs.shape} for means of shape {means.shape}; give each one above 0")
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(means))[:num_samples]
    drawn = means[rows] + stddevs[rows] * rng.normal(size=(len(rows), means.shape[1]))
    members = [np.eye(kinds.max() + 1)[kinds] for kinds in classes.values()]  # (N, classes)
    information = np.zeros((means.shape[1], len(classes)))
    for j, (mean, stddev, z) in enumerate(zip(means.T, stddevs.T, drawn.T, strict=True)):
        log_density = -0.5 * ((z[:, None] - mean) / stddev) ** 2 - np.log(stddev)
        density = np.exp(log_density - log_density.max(1, keepdims=True))
        marginal = density.mean(1)
        for k, (member, kinds) in enumerate(zip(members, classes.values(), strict=True)):
            own = kinds[rows]
            conditional = (density @ member)[np.arange(len(rows)), own] / member.sum(0)[own]
            information[j, k] = np.mean(np.log(np.maximum(conditional, 1e-300)) - np.log(marginal))
    entropies = np.array([entropy(kinds) for kinds in classes.values()])
    return _gap(np.clip(information, 0, None), entropies)


def mig_sup(codes: Codes, factors: Factors, *, bins: int = 20) -> float:
    """Mutual information gap between factors, not dimensions: it is low if a dimension carries two factors.

    mean_j (I(z_j; f_1st) / H(f_1st) - I(z_j; f_2nd) / H(f_2nd)), in [0, 1]. f_1st and f_2nd are the factors of which
    dimension j has the largest shares.

    Reference: Li et al. 2020, "Progressive Learning and Disentanglement of Hierarchical Representations", section 5.

    Args:
        codes: posterior means, (N, D), N from 20 up.
        factors: values by name, (N,) each; two or more.
        bins: number of bins of equal width into which each code dimension is cut, from 2 up.

    Raises:
        NotDefinedError: if there is no code, a factor that is constant, fewer than 20 rows, or fewer than 2 factors.
    """
    codes, classes = checked(codes, factors, least=2)
    entropies = np.array([entropy(kinds) for kinds in classes.values()])
    return _gap((_information(codes, classes, bins) / entropies).T, np.ones(codes.shape[1]))


def dci(codes: Codes, factors: Factors, *, seed: int = 0, trees: int = 30) -> DCI:
    """Disentanglement, completeness and informativeness, from the importances of a random forest per factor.

    R_jf is the importance of dimension j for factor f. Disentanglement is the mean over j of 1 - H(R_j· / ΣR_j·) / log
    F, weighted by ΣR_j·. Completeness is the mean over f of 1 - H(R_·f / ΣR_·f) / log D, weighted by ΣR_·f; it is 1 if
    there is only one dimension. Informativeness is the mean score on held-out rows: accuracy above chance of a class,
    R² of a number, at least 0.

    Reference: Eastwood and Williams 2018, "A Framework for the Quantitative Evaluation of Disentangled
    Representations", section 2. Here informativeness is a score, not an error. The importances of each factor are
    multiplied by its score, since those of a forest that predicts nothing are noise.

    Args:
        codes: posterior means, (N, D), N from 20 up.
        factors: values by name, (N,) each; two or more.
        seed: of the split and the forests.
        trees: number of trees in a forest, from 1 up.

    Raises:
        NotDefinedError: if there is no code, a factor that is constant, fewer than 20 rows, or fewer than 2 factors.
    """
    codes, classes = checked(codes, factors, least=2)
    fit, scored = _halves(len(codes), seed)
    importance, scores = np.zeros((codes.shape[1], len(classes))), []
    for k, name in enumerate(classes):
        if is_class(factors[name]):
            forest, target = RandomForestClassifier, classes[name]
        else:
            forest, target = RandomForestRegressor, np.asarray(factors[name], float)
        model = forest(trees, max_features=1.0, min_samples_leaf=5, random_state=seed).fit(codes[fit], target[fit])
        predicted = model.predict(codes[scored])
        scores.append(_score(target[scored], predicted, is_class=forest is RandomForestClassifier))
        importance[:, k] = model.feature_importances_ * max(0.0, scores[-1])
    return DCI(_purity(importance), _purity(importance.T), float(np.clip(scores, 0, 1).mean()))


def sap(codes: Codes, factors: Factors, *, seed: int = 0) -> float:
    """Separated attribute predictability: the mean gap of the two dimensions that predict a factor best, in [0, 1].

    The score of a number is the R² of a straight line. The score of a class is the balanced accuracy of a tree with one
    leaf per class, on held-out rows, scaled so that chance is 0.

    Reference: Kumar et al. 2018, "Variational Inference of Disentangled Latent Concepts", section 3; there the accuracy
    is not scaled.

    Args:
        codes: posterior means, (N, D), N from 20 up.
        factors: values by name, (N,) each.
        seed: of the split into rows to fit and rows to score.

    Raises:
        NotDefinedError: if there is no code, no factor, a factor that is constant, or fewer than 20 rows.
    """
    codes, classes = checked(codes, factors)
    fit, scored = _halves(len(codes), seed)
    scores = np.zeros((codes.shape[1], len(classes)))
    for k, (name, kinds) in enumerate(classes.items()):
        for j, code in enumerate(codes.T):
            if code.std() < 1e-12:
                continue
            if is_class(factors[name]):
                tree = DecisionTreeClassifier(max_leaf_nodes=max(2, len(np.unique(kinds))), class_weight="balanced")
                predicted = tree.fit(code[fit, None], kinds[fit]).predict(code[scored, None])
                known = np.isin(kinds[scored], kinds[fit])
                if len(np.unique(kinds[scored][known])) > 1:
                    with warnings.catch_warnings():  # a class that is guessed and not there is no fault
                        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
                        right = balanced_accuracy_score(kinds[scored][known], predicted[known], adjusted=True)
                    scores[j, k] = right
            else:
                scores[j, k] = np.corrcoef(code, np.asarray(factors[name], float))[0, 1] ** 2
    return _gap(np.clip(scores, 0, 1), np.ones(len(classes)))


def modularity(codes: Codes, factors: Factors, *, bins: int = 20) -> float:
    """Whether each dimension informs of one factor: mean_j 1 - Σ_{f ≠ best} I_jf² / (I_j,best² (F - 1)), in [0, 1].

    I_jf is the mutual information of dimension j and factor f. A dimension that informs of no factor counts as 0.

    Reference: Ridgeway and Mozer 2018, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", section 3.

    Args:
        codes: posterior means, (N, D), N from 20 up.
        factors: values by name, (N,) each; two or more.
        bins: number of bins of equal width into which each code dimension is cut, from 2 up.

    Raises:
        NotDefinedError: if there is no code, a factor that is constant, fewer than 20 rows, or fewer than 2 factors.
    """
    codes, classes = checked(codes, factors, least=2)
    squared = _information(codes, classes, bins) ** 2
    best = squared.max(1)
    known = best > 1e-12
    spread = (squared.sum(1) - best)[known] / (best[known] * (len(classes) - 1))
    return float((1 - spread).sum() / len(best))


def factor_vae_score(
    codes: Codes, factors: Factors, *, num_votes: int = 800, rows_per_vote: int = 64, seed: int = 0
) -> float:
    """Share of votes, in [0, 1], in which the dimension that varies least names the factor that was fixed.

    Chance is 1 / F. The rows of a vote share the (binned) value of a factor; they are chosen from the table, since no
    new data can be generated. One half of the votes chooses the factor that each dimension names, the other half is
    scored. Dimensions of variance below .05 are left out; if none is left, the score is 0.

    Reference: Kim and Mnih 2018, "Disentangling by Factorising", section 4.

    Args:
        codes: posterior means, (N, D), N from 20 up.
        factors: values by name, (N,) each; two or more.
        num_votes: number of votes, from 2 up.
        rows_per_vote: rows of a vote at most, from 2 up.
        seed: of all random draws.

    Raises:
        NotDefinedError: if there is no code, a factor that is constant, fewer than 20 rows, or fewer than 2 factors.
    """
    codes, classes = checked(codes, factors, least=2)
    rng = np.random.default_rng(seed)
    codes = codes[:, codes.var(0) >= 0.05]
    if codes.shape[1] == 0:
        return 0.0
    scale = codes.var(0)
    fixed = list(classes.values())
    votes = np.zeros((2, codes.shape[1], len(fixed)), int)
    for vote in range(num_votes):
        k = int(rng.integers(len(fixed)))
        rows = _sharing(fixed[k], rows_per_vote, rng)
        votes[vote % 2, (codes[rows].var(0) / scale).argmin(), k] += 1
    chosen = votes[0].argmax(1)
    return float(votes[1][np.arange(len(chosen)), chosen].sum() / votes[1].sum())


def beta_vae_score(
    codes: Codes, factors: Factors, *, num_points: int = 800, pairs_per_point: int = 32, seed: int = 0
) -> float:
    """Accuracy, in [0, 1], of a linear classifier that names the factor that pairs share, from their mean |z - z'|.

    Chance is 1 / F. Pairs that share the (binned) value of a factor are chosen from the table, since no new data can be
    generated. All pairs of a point share one value; in the reference each pair has its own.

    Reference: Higgins et al. 2017, "β-VAE", section 3.

    Args:
        codes: posterior means, (N, D), N from 20 up.
        factors: values by name, (N,) each; two or more.
        num_points: number of points; the classifier is fitted to one half and scored on the other.
        pairs_per_point: pairs over which a point is the mean, from 1 up; fewer if too few rows share the value.
        seed: of all random draws.

    Raises:
        NotDefinedError: if there is no code, a factor that is constant, fewer than 20 rows, or fewer than 2 factors.
    """
    codes, classes = checked(codes, factors, least=2)
    rng = np.random.default_rng(seed)
    codes = (codes - codes.mean(0)) / np.maximum(codes.std(0), 1e-12)
    fixed = list(classes.values())
    points, answers = np.zeros((num_points, codes.shape[1])), rng.integers(len(fixed), size=num_points)
    for point, k in enumerate(answers):
        rows = _sharing(fixed[k], 2 * pairs_per_point, rng)
        half = len(rows) // 2
        points[point] = np.abs(codes[rows[:half]] - codes[rows[half : 2 * half]]).mean(0)
    half = num_points // 2
    return float(
        LogisticRegression(max_iter=1000).fit(points[:half], answers[:half]).score(points[half:], answers[half:])
    )


def udr(codes: Codes, others: Sequence[Codes]) -> float:
    """Unsupervised disentanglement ranking, Spearman variant: do other seeds find the same dimensions? In [0, 1].

    R_ab is the absolute Spearman correlation of dimension a of one run and dimension b of another. The score of two
    runs is the mean over all dimensions of max_b R_ab² / Σ_b R_ab and max_a R_ab² / Σ_a R_ab. The result is the median
    over the other runs. Dimensions of variance below .01 are not active and are left out.

    Reference: Duan et al. 2020, "Unsupervised Model Selection for Variational Disentangled Representation Learning",
    equation 3; there a dimension is active if its KL exceeds .01.

    Args:
        codes: posterior means of one run, (N, D).
        others: posterior means of each other run, (N, any D), of the same data in the same order.

    Raises:
        NotDefinedError: if no other run is given, or a run has no active dimension.
    """
    if not others:
        raise NotDefinedError("it takes two runs or more, of the same recipe and different seeds")
    tables = [np.asarray(table, float) for table in (codes, *others)]
    if any(table.ndim != 2 or len(table) != len(tables[0]) or not np.isfinite(table).all() for table in tables):
        raise ValueError(f"codes of shapes {[table.shape for table in tables]}: give finite codes of the same data")
    active = [table[:, table.var(0) >= 0.01] for table in tables]
    if any(table.shape[1] == 0 for table in active):
        raise NotDefinedError("a run has no active dimension")
    own = active[0]
    scores = []
    for other in active[1:]:
        correlation = np.atleast_2d(np.abs(spearmanr(np.column_stack([own, other])).statistic))
        table = correlation[: own.shape[1], own.shape[1] :] if correlation.shape != (1, 1) else correlation
        ratios = [table.max(axis) ** 2 / np.maximum(table.sum(axis), 1e-12) for axis in (0, 1)]
        scores.append(np.concatenate(ratios).mean())
    return float(np.median(scores))


def _information(codes: Codes, classes: Mapping[str, np.ndarray], bins: int) -> Float[np.ndarray, "d factors"]:
    """I(z_j; f) of every dimension and factor, from histograms."""
    table = np.zeros((codes.shape[1], len(classes)))
    for j, code in enumerate(codes.T):
        cut = np.digitize(code, np.histogram_bin_edges(code, bins)[1:-1])
        for k, kinds in enumerate(classes.values()):
            table[j, k] = mutual_info_score(cut, kinds)
    return np.clip(table, 0, None)


def _gap(scores: Float[np.ndarray, "d factors"], units: Float[np.ndarray, " factors"]) -> float:
    """The mean over columns of the largest score less the second largest, each divided by its unit."""
    ordered = np.sort(np.vstack([scores, np.zeros_like(scores[:1])]), axis=0)[::-1]
    return float(((ordered[0] - ordered[1]) / units).mean())


def _purity(importance: Float[np.ndarray, "rows columns"]) -> float:
    """The mean over rows of 1 - entropy of the row's shares / the largest possible, weighted by the sum of the row."""
    total = importance.sum()
    if total <= 0:
        return 0.0
    if importance.shape[1] == 1:
        return 1.0
    rows = importance.sum(1, keepdims=True)
    shares = importance / np.maximum(rows, 1e-300)
    entropy = -xlogy(shares, shares).sum(1) / np.log(importance.shape[1])
    return float(((1 - entropy) * rows[:, 0]).sum() / total)


def _score(true: np.ndarray, predicted: np.ndarray, *, is_class: bool) -> float:
    """Accuracy above that of the most frequent class, or R²."""
    if is_class:
        chance = float(np.bincount(true).max() / len(true))
        return float(((true == predicted).mean() - chance) / (1 - chance)) if chance < 1 else 0.0
    return float(1 - ((true - predicted) ** 2).sum() / max(((true - true.mean()) ** 2).sum(), 1e-300))


def _halves(num: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(seed).permutation(num)
    return rows[: num // 2], rows[num // 2 :]


def _sharing(kinds: Int[np.ndarray, " n"], num: int, rng: np.random.Generator) -> Int[np.ndarray, " rows"]:
    """At most `num` rows of one class, which is chosen from those with two rows or more."""
    common = np.flatnonzero(np.bincount(kinds) >= 2)
    if len(common) == 0:
        raise NotDefinedError("no two rows share the value of a factor")
    rows = np.flatnonzero(kinds == rng.choice(common))
    return rng.permutation(rows)[:num]
