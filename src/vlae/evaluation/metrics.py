"""Metrics of the literature that compare codes with true factors. They take arrays and know no model.

`codes` are posterior means, (N, D), with a column per code dimension; those far out are brought in
(`vlae.evaluation.information.without_outliers`). `factors` are values by name, (N,) each. Integers and truth values are
classes. Floats are numbers; where a metric needs classes, they are binned into 10 quantiles. Mutual information is in
nats. If a metric is not defined, `NotDefinedError` gives the reason; no metric is NaN.

Estimates of information from few rows are too high, also for codes that know nothing. Where MIG, MIG-sup or InfoE of
factors in a random order would be above .05, what exceeds that is taken off and 1 stays 1; above .5 MIG and MIG-sup are
not defined, and InfoE is that of held-out rows.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import xlogy
from scipy.stats import spearmanr
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss, r2_score
from sklearn.tree import DecisionTreeClassifier

from vlae.errors import NotDefinedError
from vlae.evaluation.information import Codes, Factors, checked, entropy, mutual_information, without_outliers

CONSTANT = 1e-12  # a code of a smaller standard deviation
CHANCE, MAX_CHANCE = 0.05, 0.5  # what factors in a random order may score, without more ado and at all
SHUFFLES = 5


class DCI(NamedTuple):
    """Disentanglement, completeness and informativeness, each in [0, 1]."""

    disentanglement: float
    completeness: float
    informativeness: float


class InfoMEC(NamedTuple):
    """Modularity (InfoM), explicitness (InfoE) and compactness (InfoC), each in [0, 1]."""

    modularity: float
    explicitness: float
    compactness: float


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
        NotDefinedError: if there is no code, no factor, a factor that is constant, fewer than 20 rows, or chance is
            above .5.
    """
    codes, classes = checked(codes, factors)
    entropies = _entropies(classes)
    chance = [_gap(_information(codes, shuffled, bins), entropies) for shuffled in _shuffled(classes)]
    return _above(_gap(_information(codes, classes, bins), entropies), float(np.mean(chance)), len(codes))


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
        NotDefinedError: if there is no code, no factor, a factor that is constant, fewer than 20 rows, or chance is
            above .5.
    """
    means, classes = checked(means, factors)
    stddevs = np.asarray(stddevs, float)
    if stddevs.shape != means.shape or not (np.isfinite(stddevs).all() and (stddevs > 0).all()):
        raise ValueError(f"stddevs of shape {stddevs.shape} for means of shape {means.shape}; give each one above 0")
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(means))[:num_samples]
    drawn = means[rows] + stddevs[rows] * rng.normal(size=(len(rows), means.shape[1]))
    shuffled = next(_shuffled(classes))
    columns, starts = _columns({**classes, **{(name, "shuffled"): kinds for name, kinds in shuffled.items()}})
    members = np.zeros((len(means), starts[-1]))
    np.put_along_axis(members, columns, 1, axis=1)
    own = columns[rows]  # (rows, factors and shuffled factors)
    information = np.zeros((means.shape[1], columns.shape[1]))
    for j, (mean, stddev, z) in enumerate(zip(means.T, stddevs.T, drawn.T, strict=True)):
        with np.errstate(over="ignore"):  # far from a narrow posterior the density is 0
            log_density = -0.5 * ((z[:, None] - mean) / stddev) ** 2 - np.log(stddev)
        density = np.exp(log_density - log_density.max(1, keepdims=True))
        conditional = np.take_along_axis(density @ members, own, axis=1) / members.sum(0)[own]
        information[j] = (np.log(np.maximum(conditional, 1e-300)) - np.log(density.mean(1))[:, None]).mean(0)
    known, chance = (_gap(table, _entropies(classes)) for table in np.split(np.clip(information, 0, None), 2, axis=1))
    return _above(known, chance, len(means))


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
        NotDefinedError: if there is no code, a factor that is constant, fewer than 20 rows, fewer than 2 factors, or
            chance is above .5.
    """
    codes, classes = checked(codes, factors, least=2)

    def gap(kinds: Mapping[str, np.ndarray]) -> float:
        return _gap((_information(codes, kinds, bins) / _entropies(kinds)).T, np.ones(codes.shape[1]))

    return _above(gap(classes), float(np.mean([gap(shuffled) for shuffled in _shuffled(classes)])), len(codes))


def dci(codes: Codes, factors: Factors, *, seed: int = 0, trees: int = 30, max_rows: int | None = None) -> DCI:
    """Disentanglement, completeness and informativeness as in the paper, from a random forest per factor.

    R_jf is the importance of dimension j for factor f; the importances of a factor add up to 1. Disentanglement is the
    mean over j of 1 - H(R_j· / ΣR_j·) / log F, weighted by ΣR_j·. Completeness is the plain mean over f of
    1 - H(R_·f) / log D; it is 1 if there is only one dimension. Informativeness is the mean score on held-out rows: R²
    of a number, (a - 1 / K) / (1 - 1 / K) of K classes, at least 0; a is the balanced accuracy.

    Reference: Eastwood and Williams 2018, "A Framework for the Quantitative Evaluation of Disentangled
    Representations", section 2. There all factors are numbers, informativeness is an error (the root mean square one in
    units of the factor's standard deviation, 0 at best), and the depth of a tree is chosen by validation; here a leaf
    has five rows or more, and classes count alike in the forest, so that a rare one can be told.

    Args:
        codes: posterior means, (N, D), N from 20 up.
        factors: values by name, (N,) each; two or more.
        seed: of the choice of rows, the split and the forests.
        trees: number of trees in a forest, from 1 up.
        max_rows: at most so many rows are used, from 20 up, chosen at random; None: all.

    Raises:
        NotDefinedError: if there is no code, a factor that is constant, a factor of which fewer than two classes have
            two rows, fewer than 20 rows, or fewer than 2 factors.
    """
    codes, classes, numbers = _chosen(codes, factors, max_rows, seed)
    settings = {"n_estimators": trees, "max_features": 1.0, "min_samples_leaf": 5, "random_state": seed}
    importance, scores = np.zeros((codes.shape[1], len(classes))), np.zeros(len(classes))
    for k, (name, kinds) in enumerate(classes.items()):
        fit, scored = _halves(name, kinds, seed)
        if name in numbers:
            target = _standardised(numbers[name])
            forest = RandomForestRegressor(**settings).fit(codes[fit], target[fit])
            scores[k] = r2_score(target[scored], forest.predict(codes[scored]))
        else:
            forest = RandomForestClassifier(**settings, class_weight="balanced").fit(codes[fit], kinds[fit])
            scores[k] = balanced_accuracy_score(kinds[scored], forest.predict(codes[scored]), adjusted=True)
        importance[:, k] = forest.feature_importances_
    return DCI(_weighted(importance), float(_purity(importance.T).mean()), float(scores.clip(0, 1).mean()))


def dci_boosted(codes: Codes, factors: Factors, *, seed: int = 0, trees: int = 100, max_rows: int | None = None) -> DCI:
    """Disentanglement, completeness and informativeness as in disentanglement_lib, from boosted trees per factor.

    All factors are classes. Disentanglement is that of `dci`. Completeness is weighted by the sums of the importances,
    so that a factor of which the trees find nothing does not count. Informativeness is the mean accuracy on held-out
    rows, in which chance is not 0. On the same model `dci` gives very different values: never compare the two.

    Reference: Locatello et al. 2019, "Challenging Common Assumptions in the Unsupervised Learning of Disentangled
    Representations", appendix C, and their code.

    Args:
        codes: posterior means, (N, D), N from 20 up.
        factors: values by name, (N,) each; two or more.
        seed: of the choice of rows, the split and the trees.
        trees: number of trees per class, from 1 up. The time grows with it and with the number of classes.
        max_rows: at most so many rows are used, from 20 up, chosen at random; None: all.

    Raises:
        NotDefinedError: if there is no code, a factor that is constant, a factor of which fewer than two classes have
            two rows, fewer than 20 rows, or fewer than 2 factors.
    """
    codes, classes, _ = _chosen(codes, factors, max_rows, seed)
    importance, scores = np.zeros((codes.shape[1], len(classes))), np.zeros(len(classes))
    for k, (name, kinds) in enumerate(classes.items()):
        fit, scored = _halves(name, kinds, seed)
        model = GradientBoostingClassifier(n_estimators=trees, random_state=seed).fit(codes[fit], kinds[fit])
        importance[:, k] = np.abs(model.feature_importances_)  # some are a little below 0
        scores[k] = (model.predict(codes[scored]) == kinds[scored]).mean()
    return DCI(_weighted(importance), _weighted(importance.T), float(scores.mean()))


def infomec(
    codes: Codes, factors: Factors, *, neighbours: int = 10, max_rows: int | None = None, seed: int = 0
) -> InfoMEC:
    """Modularity, explicitness and compactness (InfoMEC), from the information of dimensions on factors.

    S_jf is I(z_j; f) / H(f), by `mutual_information`. A dimension is active if its range exceeds a twentieth of the
    largest. InfoM is the mean over the active dimensions of max_f S_jf / Σ_f S_jf, scaled from [1 / F, 1] to [0, 1].
    InfoC is the mean over factors of max_j S_jf / Σ_j S_jf over the active dimensions, scaled alike; it is 1 if only
    one is active. Where all S are 0, the ratio counts as the least. InfoE is the mean over factors of 1 - L / log K. L
    is the cross entropy of a logistic regression on all dimensions, which weighs the K classes alike.

    InfoE is scored on the rows it was fitted to, and chance is taken off where these are few. Where chance is above .5,
    for codes of many dimensions and factors of many classes, it is scored on a half of the rows, by a regression with a
    penalty fitted to the other. InfoM and InfoC only say how the information is spread. Of noise they may be large, so
    read them where InfoE is well above 0.05.

    Reference: Hsu et al. 2023, "Disentanglement via Latent Quantization", its part on InfoMEC, and the authors' code,
    where results are not clipped.

    Args:
        codes: posterior means, (N, D), N from 20 up.
        factors: values by name, (N,) each; two or more.
        neighbours: of the estimate of information, from 1 up.
        max_rows: at most so many rows are used, from 20 up, chosen at random; None: all.
        seed: of this choice.

    Raises:
        NotDefinedError: if there is no code, all codes are constant, a factor is constant or no two rows share its
            class, or there are fewer than 20 rows or fewer than 2 factors.
    """
    codes, classes, _ = _chosen(codes, factors, max_rows, seed)
    codes = codes[:, codes.std(0) > CONSTANT]
    if codes.shape[1] == 0:
        raise NotDefinedError("all codes are constant")
    ranges = np.ptp(codes, axis=0)
    active = codes[:, ranges > ranges.max() / 20]
    shares = np.array(
        [
            [mutual_information(code[:, None], kinds, neighbours=neighbours) / entropy(kinds) for code in active.T]
            for kinds in classes.values()
        ]
    )
    codes = _standardised(codes)
    chance = np.mean([_told_by_a_line(codes, kinds) for kinds in next(_shuffled(classes)).values()])
    if chance > MAX_CHANCE:
        explicitness = float(np.mean([_told_of_held_out(codes, kinds, seed) for kinds in classes.values()]))
    else:
        told = np.mean([_told_by_a_line(codes, kinds) for kinds in classes.values()])
        explicitness = _above(float(told), float(chance), len(codes))
    return InfoMEC(*(float(np.clip(value, 0, 1)) for value in (_lead(shares.T), explicitness, _lead(shares))))


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
        NotDefinedError: if there is no code, no factor, a factor that is constant, a factor of which fewer than two
            classes have two rows, or fewer than 20 rows.
    """
    codes, classes, numbers = _chosen(codes, factors, None, seed, least=1)
    varies, is_number = codes.std(0) > CONSTANT, np.isin(list(classes), list(numbers))
    scores = np.zeros((codes.shape[1], len(classes)))
    if numbers and varies.any():
        line = _standardised(codes[:, varies]).T @ _standardised(np.column_stack(list(numbers.values()))) / len(codes)
        scores[np.ix_(varies, is_number)] = line**2
    for k in np.flatnonzero(~is_number):
        name, kinds = list(classes.items())[k]
        fit, scored = _halves(name, kinds, seed)
        for j in np.flatnonzero(varies):
            tree = DecisionTreeClassifier(
                max_leaf_nodes=len(np.unique(kinds[fit])), class_weight="balanced", random_state=seed
            )
            predicted = tree.fit(codes[fit, j, None], kinds[fit]).predict(codes[scored, j, None])
            scores[j, k] = balanced_accuracy_score(kinds[scored], predicted, adjusted=True)
    return _gap(scores.clip(0, 1), np.ones(len(classes)))


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
    scored; they are of two halves of the rows, or few rows would be learnt by heart. Dimensions of variance below .05
    are left out; if none is left, the score is 0.

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
    fixed, halves = list(classes.values()), np.array_split(rng.permutation(len(codes)), 2)
    votes = np.zeros((2, codes.shape[1], len(fixed)), int)
    for vote in range(num_votes):
        k = int(rng.integers(len(fixed)))
        rows = _sharing(fixed[k], halves[vote % 2], rows_per_vote, rng)
        votes[vote % 2, (codes[rows].var(0) / scale).argmin(), k] += 1
    chosen = votes[0].argmax(1)
    return float(votes[1][np.arange(len(chosen)), chosen].sum() / votes[1].sum())


def beta_vae_score(
    codes: Codes, factors: Factors, *, num_points: int = 800, pairs_per_point: int = 32, seed: int = 0
) -> float:
    """Accuracy, in [0, 1], of a linear classifier that names the factor that pairs share, from their mean |z - z'|.

    Chance is 1 / F. Pairs that share the (binned) value of a factor are chosen from the table, since no new data can be
    generated. All pairs of a point share one value; in the reference each pair has its own. The points that the
    classifier is fitted to and those that are scored are of two halves of the rows.

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
    fixed, halves = list(classes.values()), np.array_split(rng.permutation(len(codes)), 2)
    points, answers = np.zeros((num_points, codes.shape[1])), rng.integers(len(fixed), size=num_points)
    half = num_points // 2
    for point, k in enumerate(answers):
        rows = _sharing(fixed[k], halves[int(point >= half)], 2 * pairs_per_point, rng)
        pairs = len(rows) // 2
        points[point] = np.abs(codes[rows[:pairs]] - codes[rows[pairs : 2 * pairs]]).mean(0)
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


def _chosen(
    codes: Codes, factors: Factors, max_rows: int | None, seed: int, *, least: int = 2
) -> tuple[Codes, dict[str, Int[np.ndarray, " n"]], dict[str, Float[np.ndarray, " n"]]]:
    """At most `max_rows` rows of a table, checked: codes, the classes of all factors, the values of numbers."""
    codes, classes = checked(codes, factors, least=least)
    rows = np.random.default_rng(seed).permutation(len(codes))[:max_rows]
    numbers = {
        name: without_outliers(np.asarray(factor, float)[rows])
        for name, factor in factors.items()
        if np.asarray(factor).dtype.kind == "f"
    }
    codes, classes = checked(codes[rows], {name: kinds[rows] for name, kinds in classes.items()}, least=least)
    return codes, classes, numbers


def _entropies(classes: Mapping[str, np.ndarray]) -> Float[np.ndarray, " factors"]:
    return np.array([entropy(kinds) for kinds in classes.values()])


def _shuffled(classes: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """The classes in some random orders, of which no code knows anything."""
    for seed in range(SHUFFLES):
        rng = np.random.default_rng(seed)
        yield {name: rng.permutation(kinds) for name, kinds in classes.items()}


def _above(score: float, chance: float, num: int) -> float:
    """A score less what chance exceeds the tolerated; 1 stays 1."""
    if chance > MAX_CHANCE:
        raise NotDefinedError(
            f"of {num:,} rows, codes of this size that know nothing would get {chance:.2f} for factors of so many "
            f"classes; give more rows, or leave out those of the most classes"
        )
    excess = max(0.0, chance - CHANCE)
    return max(0.0, (score - excess) / (1 - excess))


def _columns(classes: Mapping[Any, np.ndarray]) -> tuple[Int[np.ndarray, "n factors"], Int[np.ndarray, " starts"]]:
    """Each row's class of each factor, as a column of one table of all classes; where a factor's columns start."""
    starts = np.cumsum([0, *(kinds.max() + 1 for kinds in classes.values())])
    return np.column_stack(list(classes.values())) + starts[:-1], starts


def _information(codes: Codes, classes: Mapping[str, np.ndarray], bins: int) -> Float[np.ndarray, "d factors"]:
    """I(z_j; f) = H(z_j) + H(f) - H(z_j, f) of every dimension and factor, from histograms."""
    columns, starts = _columns(classes)
    num, total = len(codes), int(starts[-1])
    of_factors = np.add.reduceat(_nats(np.bincount(columns.ravel(), minlength=total)), starts[:-1])
    table = np.zeros((codes.shape[1], len(classes)))
    for j, code in enumerate(codes.T):
        cut = np.digitize(code, np.linspace(code.min(), code.max(), bins + 1)[1:-1])
        joint = np.bincount((cut[:, None] * total + columns).ravel(), minlength=bins * total).reshape(bins, total)
        of_both = np.add.reduceat(_nats(joint).sum(0), starts[:-1])
        table[j] = (of_both + _nats(np.array(num)) - of_factors - _nats(np.bincount(cut)).sum()) / num
    return np.clip(table, 0, None)


def _nats(counts: Int[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """N log n."""
    return np.asarray(xlogy(counts, counts))


def _told_by_a_line(codes: Codes, kinds: Int[np.ndarray, " n"]) -> float:
    """The share of a factor's entropy that a logistic regression knows, both with balanced classes."""
    with warnings.catch_warnings():  # classes that lines part in full have no best line; any of the last ones will do
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=np.inf, class_weight="balanced").fit(codes, kinds)
    return float(1 - log_loss(kinds, model.predict_proba(codes)) / np.log(len(model.classes_)))


def _told_of_held_out(codes: Codes, kinds: Int[np.ndarray, " n"], seed: int) -> float:
    """The same of held-out rows, by a regression with a penalty, at least 0; so it is if no class can be held out."""
    try:
        fit, scored = _halves("", kinds, seed)
    except NotDefinedError:
        return 0.0
    model = LogisticRegression(class_weight="balanced").fit(codes[fit], kinds[fit])
    return max(
        0.0, float(1 - log_loss(kinds[scored], model.predict_proba(codes[scored])) / np.log(len(model.classes_)))
    )


def _lead(shares: Float[np.ndarray, "rows columns"]) -> float:
    """The mean over rows of the largest number's part in the sum, scaled from [1 / columns, 1] to [0, 1]."""
    columns = shares.shape[1]
    if columns == 1:
        return 1.0
    total = shares.sum(1)
    part = np.divide(shares.max(1), total, out=np.full(len(total), 1 / columns), where=total > 0)
    return float((part.mean() - 1 / columns) / (1 - 1 / columns))


def _gap(scores: Float[np.ndarray, "d factors"], units: Float[np.ndarray, " factors"]) -> float:
    """The mean over columns of the largest score less the second largest, each divided by its unit."""
    ordered = np.sort(np.vstack([scores, np.zeros_like(scores[:1])]), axis=0)[::-1]
    return float(((ordered[0] - ordered[1]) / units).mean())


def _purity(importance: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, " rows"]:
    """1 - entropy of each row's shares / the largest possible; 0 of a row of zeros, 1 of others in a single column."""
    shares = importance / np.maximum(importance.sum(1, keepdims=True), 1e-300)
    largest = np.log(max(2, importance.shape[1]))
    return np.where(importance.any(1), 1 + xlogy(shares, shares).sum(1) / largest, 0.0)


def _weighted(importance: Float[np.ndarray, "rows columns"]) -> float:
    """The mean purity of the rows, weighted by their sums; 0 if all are 0."""
    weights = importance.sum(1)
    return float(weights @ _purity(importance) / max(weights.sum(), 1e-300))


def _standardised(table: Float[np.ndarray, "n *any"]) -> Float[np.ndarray, "n *any"]:
    """Columns, none of which is constant, of mean 0 and variance 1."""
    table = table - table.mean(0)
    table = table / np.abs(table).max(0)  # the square of a tiny number is 0
    return table / table.std(0)


def _halves(name: str, kinds: Int[np.ndarray, " n"], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit and rows to score, each with every class; a class of one row is left out."""
    rows = np.random.default_rng(seed).permutation(len(kinds))
    rows = rows[np.bincount(kinds)[kinds[rows]] > 1]
    rows = rows[np.argsort(kinds[rows], kind="stable")]
    if len(np.unique(kinds[rows])) < 2:
        raise NotDefinedError(
            f"the factor {name!r} has fewer than two classes of two rows or more, so that nothing can be scored on "
            "held-out rows; leave it out, or give more rows"
        )
    return rows[::2], rows[1::2]


def _sharing(
    kinds: Int[np.ndarray, " n"], among: Int[np.ndarray, " m"], num: int, rng: np.random.Generator
) -> Int[np.ndarray, " rows"]:
    """At most `num` of some rows, all of one class, which is chosen from those with two of these rows or more."""
    common = np.flatnonzero(np.bincount(kinds[among]) >= 2)
    if len(common) == 0:
        raise NotDefinedError("no two rows of one half share the value of a factor; leave it out, or give more rows")
    return rng.permutation(among[kinds[among] == rng.choice(common)])[:num]
