"""Fits a prior to the codes of data: N(0, I), a Gaussian, a kernel density or a mixture, over all levels together."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, log, pi
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.linalg import solve_triangular
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from vlae.evaluation.kin import kin_among
from vlae.models.base import LatentModel
from vlae.models.inference import as_input, batch_of, evaluating, given, noise_of_values
from vlae.models.priors import MixturePrior, PriorFit, standard_prior

MAX_DATA = 20_000
FEW_CODES, MAX_DRAWS = 4_000, 20  # fewer data than 4,000 give several codes each
HELD_OUT = 0.2  # share of the data by whose codes candidates are compared
NUMBERS_PER_PARAMETER = 4
LEAST_GAIN = 0.05  # nats per datum; a larger mixture that gains less ends the search
PASSES, TOLERANCE, FLOOR = 50, 1e-2, 1e-4  # of the EM algorithm: at most, least gain in nats, added variance
MAX_KERNELS = 500  # a density of 2,000 is 0.1 to 0.5 nats better, and slower to draw from


class _Fitted(NamedTuple):
    """What was fitted, in the form of a mixture."""

    weights: Float[np.ndarray, " k"]
    means: Float[np.ndarray, "k d"]
    factors: Float[np.ndarray, "l d d"]
    score: Callable[[np.ndarray], float]
    """The mean log-likelihood of codes (n, d), in nats."""


@dataclass(frozen=True)
class _Mixture:
    """A mixture to try."""

    num: int
    covariance: Literal["diag", "full"]

    def num_parameters(self, size: int) -> int:
        """The numbers that are fitted, for codes of `size` dimensions."""
        spread = size if self.covariance == "diag" else size * (size + 1) // 2
        return self.num * (1 + size + spread) - 1

    @property
    def name(self) -> str:
        """Its name in words."""
        one = "a Gaussian" if self.covariance == "full" else "a Gaussian without correlations"
        return one if self.num == 1 else f"a mixture of {self.num} Gaussians"

    def fit(self, codes: Float[np.ndarray, "draws n d"], seed: int) -> _Fitted:
        """Fits it by the EM algorithm of scikit-learn."""
        size = codes.shape[2]
        mixture = GaussianMixture(
            self.num, covariance_type=self.covariance, init_params="k-means++", max_iter=PASSES, tol=TOLERANCE,
            reg_covar=FLOOR, random_state=seed,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the largest number of passes is part of the method
            mixture.fit(codes.reshape(-1, size))
        covariances = mixture.covariances_
        if self.covariance == "diag":
            covariances = covariances[..., None] * np.eye(size)
        return _Fitted(mixture.weights_, mixture.means_, np.linalg.cholesky(covariances), mixture.score)


@dataclass(frozen=True)
class _Kernels:
    """A kernel density to try: a Gaussian at the code of each of some data, all with one covariance.

    It is h² times that of all codes, and the data are drawn towards their mean by (1 - h²)^½, so that the density has
    the mean and the covariance of the codes. It lies between a Gaussian (h = 1) and the data themselves (h = 0).

    Reference: Silverman 1986, "Density Estimation for Statistics and Data Analysis", section 6.4.
    """

    bandwidth: float

    def num_parameters(self, size: int) -> int:
        """The numbers that are fitted: those of a Gaussian, and h."""
        return _Mixture(1, "full").num_parameters(size) + 1

    @property
    def name(self) -> str:
        """Its name in words."""
        return "a kernel density"

    def fit(self, codes: Float[np.ndarray, "draws n d"], seed: int) -> _Fitted:
        """Fits it to the codes; of each datum, of the first 500, one is a centre."""
        every = codes.reshape(-1, codes.shape[2])
        mean, covariance = every.mean(0), np.atleast_2d(np.cov(every.T))
        factor = np.linalg.cholesky(covariance + FLOOR * np.eye(len(mean)))

        def whitened(x: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
            return np.asarray(solve_triangular(factor, (x - mean).T, lower=True).T)

        centres = np.sqrt(1 - self.bandwidth**2) * whitened(codes[0, :MAX_KERNELS])
        own = self.bandwidth * factor

        def score(x: Float[np.ndarray, "m d"]) -> float:
            # Not scikit-learn's KernelDensity, which is nats off from some 50 dimensions on.
            squares = cdist(whitened(x), centres, "sqeuclidean") / self.bandwidth**2
            log_volume = np.log(np.diag(own)).sum() + 0.5 * x.shape[1] * log(2 * pi) + log(len(centres))
            return float(logsumexp(-0.5 * squares, axis=1).mean() - log_volume)

        weights = np.full(len(centres), 1 / len(centres))
        return _Fitted(weights, mean + centres @ factor.T, own[None], score)


SIMPLE = (_Mixture(1, "diag"), _Mixture(1, "full"))
KERNELS = tuple(_Kernels(bandwidth) for bandwidth in (0.9, 0.8, 0.7, 0.6, 0.5))
MIXTURES = tuple(_Mixture(num, "full") for num in (5, 10, 20))


def fit_prior(
    model: LatentModel, values: np.ndarray, *, features: np.ndarray | None = None, seed: int = 0
) -> MixturePrior:
    """Fits a prior to the codes of data, drawn from their posteriors, all levels together.

    Candidates are fitted to four fifths of the data: N(0, I), a Gaussian without correlations, a Gaussian, kernel
    densities of at most 500 codes, and mixtures of 5, 10 and 20 Gaussians. The one under which the codes of the other
    data are most likely is returned; if there are fewer than 4,000 data, fitted to all of them. Copies of a datum are
    on one side. A candidate is not tried if the data hold fewer than four numbers (data × dimensions) for each of its
    parameters; nor is a mixture larger, or a kernel density finer, than one that no longer gains 0.05 nats per datum.

    Args:
        model: any model, in train or eval mode; it is left as it was.
        values: the training data: uint8 (N, C, H, W), or float32 (N, D). At most 20,000 are used, chosen at random.
        features: of the full-size pictures, (N, F); None: a model that reads features computes them from the values.
        seed: of the choice, the draws and the fits.

    Returns:
        The prior. It is N(0, I), with the reason, if there are too few data, or the model has no encoder.
    """
    if "encoder" in model.lacks:
        return _standard(model, PriorFit(reason=f"the model has no encoder: {model.lacks['encoder']}"))
    rows = np.random.default_rng(seed).permutation(len(values))[:MAX_DATA]
    codes = draw_codes(model, values, rows, features=features, seed=seed)
    draws, num, size = codes.shape
    if not np.isfinite(codes).all():
        return _standard(model, PriorFit(num_data=num, reason="some codes are not finite"))
    is_held_out = _held_out(values, rows)
    held_out, fitted = codes[:, is_held_out].reshape(-1, size), codes[:, ~is_held_out]
    # Several threads lose time in decompositions this small, and change the last digits.
    with threadpool_limits(limits=1, user_api="blas"):
        candidate, gain, reason = _choose(fitted, held_out, num, seed, _category_columns(model))
        if candidate is None:
            return _standard(model, PriorFit(num_data=num, num_codes=draws * num, reason=reason))
        best = candidate.fit(codes if draws > 1 else fitted, seed)
    return MixturePrior(
        code_sizes=model.code_sizes,
        weights=torch.from_numpy(best.weights),
        means=torch.from_numpy(best.means),
        factors=torch.from_numpy(best.factors),
        fit=PriorFit(num_data=num, num_codes=draws * num, gain=gain, reason=reason),
    )


def _held_out(values: np.ndarray, rows: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Which rows are held out: the first fifth; where data have copies, sets of copies that make nearly a fifth."""
    kin = kin_among(values, None, rows)
    if kin is None:
        return np.arange(len(rows)) < round(HELD_OUT * len(rows))
    _, first, place, sizes = np.unique(kin, return_index=True, return_inverse=True, return_counts=True)
    held, left = np.zeros(len(sizes), bool), round(HELD_OUT * len(rows))
    for one in np.argsort(first):
        held[one] = sizes[one] < 2 * left  # nearer to a fifth with it
        left -= sizes[one] * held[one]
    if not held.any():
        held[sizes.argmin()] = True
    return held[place]


def draw_codes(
    model: LatentModel, values: np.ndarray, rows: np.ndarray, *, features: np.ndarray | None = None, seed: int = 0
) -> Float[np.ndarray, "draws n d"]:
    """The noise of codes drawn from the posteriors of data, all levels side by side.

    Fewer than 4,000 data give several codes each, at most 20.

    Args:
        model: a model with an encoder, in train or eval mode; it is left as it was.
        values: uint8 (N, C, H, W), or float32 (N, D).
        rows: numbers of the data to use.
        features: of the full-size pictures, (N, F); None: a model that reads features computes them from the values.
        seed: of the draws.
    """
    draws = min(MAX_DRAWS, max(1, ceil(FEW_CODES / len(rows))))
    parts, size = [], batch_of(model.shape)
    with evaluating(model, seed=seed):
        for first in range(0, len(rows), size):
            chosen = rows[first : first + size]
            x = as_input(np.ascontiguousarray(values[chosen]), model.device)
            seen = given(None if features is None else features[chosen], device=model.device)
            drawn = model.sample_posterior(x, draws, **seen)
            noises = [torch.cat(model.noise_of(codes), dim=1) for codes in drawn]
            parts.append(torch.stack(noises).double().cpu().numpy())
    return np.concatenate(parts, axis=1)


def _choose(
    fitted: Float[np.ndarray, "draws n d"],
    held_out: Float[np.ndarray, "m d"],
    num_data: int,
    seed: int,
    category: Sequence[int],
) -> tuple[_Mixture | _Kernels | None, float, str]:
    """What fits held-out codes best (None: N(0, I)), its gain, and why no larger mixture was tried.

    The columns of a category take part in the choice, so that its values are drawn, and no others; but the gain is that
    of the other columns given them, because a few values have no density.
    """
    size = fitted.shape[2]
    best: _Mixture | _Kernels | None = None
    gain = gain_of_simple = of_category = 0.0
    for family in (SIMPLE, KERNELS, MIXTURES):
        last = gain_of_simple
        for candidate in family:
            parameters = candidate.num_parameters(size)
            if NUMBERS_PER_PARAMETER * parameters > num_data * size or not len(held_out):
                return (
                    best,
                    gain - of_category,
                    f"{num_data:,} data are too few for {candidate.name} ({parameters:,} parameters)",
                )
            one = candidate.fit(fitted, seed)
            found = float(one.score(held_out)) - _standard_score(held_out)
            if family is not SIMPLE and found < last + LEAST_GAIN:
                break
            last = found
            if found > gain:
                best, gain = candidate, found
                of_category = _score_of(one, held_out, category) - _standard_score(held_out[:, category])
        if family is SIMPLE:
            gain_of_simple = gain
    return best, gain - of_category, ""


def _standard_score(codes: Float[np.ndarray, "n d"]) -> float:
    """Mean log-likelihood of codes under N(0, I), in nats."""
    return -0.5 * float(np.square(codes).sum(1).mean()) - 0.5 * codes.shape[1] * log(2 * pi)


def _category_columns(model: LatentModel) -> list[int]:
    """The columns of the levels whose code is a category: noise of a few values, which has no density."""
    ends = np.cumsum(model.code_sizes)
    return [
        column
        for level in model.levels_with_code
        if noise_of_values(model, level) is not None
        for column in range(ends[level - 1] - model.code_sizes[level - 1], ends[level - 1])
    ]


def _score_of(fitted: _Fitted, codes: Float[np.ndarray, "n d"], columns: Sequence[int]) -> float:
    """The mean log-likelihood of some columns of codes by themselves, in nats; 0 of no column."""
    if not columns:
        return 0.0
    rows, means = fitted.factors[:, columns], fitted.means[:, columns]
    covariances = np.broadcast_to(rows @ rows.transpose(0, 2, 1), (len(means), len(columns), len(columns)))
    x = codes[:, columns]
    each = [multivariate_normal(*of_one).logpdf(x) for of_one in zip(means, covariances, strict=True)]
    return float(logsumexp(np.array(each) + np.log(fitted.weights)[:, None], axis=0).mean())


def _standard(model: LatentModel, fit: PriorFit) -> MixturePrior:
    return replace(standard_prior(model.code_sizes), fit=fit)
