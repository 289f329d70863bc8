"""Fits a prior to the codes of data: N(0, I), a Gaussian, or a mixture of Gaussians over all levels together."""

import warnings
from dataclasses import dataclass, replace
from math import ceil, log, pi
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from vlae.models.base import LatentModel
from vlae.models.inference import as_input, batch_of, evaluating, given
from vlae.models.priors import MixturePrior, PriorFit, standard_prior

MAX_DATA = 20_000
FEW_CODES, MAX_DRAWS = 4_000, 20  # fewer data than 4,000 give several codes each
HELD_OUT = 0.2  # share of the data by whose codes candidates are compared
NUMBERS_PER_PARAMETER = 4
LEAST_GAIN = 0.05  # nats per datum; a larger mixture that gains less ends the search
PASSES, TOLERANCE, FLOOR = 50, 1e-2, 1e-4  # of the EM algorithm: at most, least gain in nats, added variance


@dataclass(frozen=True)
class _Candidate:
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

    def fit(self, codes: Float[np.ndarray, "n d"], seed: int) -> GaussianMixture:
        """Fits it by the EM algorithm of scikit-learn."""
        mixture = GaussianMixture(
            self.num, covariance_type=self.covariance, init_params="k-means++", max_iter=PASSES, tol=TOLERANCE,
            reg_covar=FLOOR, random_state=seed,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the largest number of passes is part of the method
            return mixture.fit(codes)


CANDIDATES = (_Candidate(1, "diag"), _Candidate(1, "full"), *(_Candidate(num, "full") for num in (5, 10, 20)))


def fit_prior(
    model: LatentModel, values: np.ndarray, *, features: np.ndarray | None = None, seed: int = 0
) -> MixturePrior:
    """Fits a prior to the codes of data, drawn from their posteriors, all levels together.

    Candidates from simple to large are fitted to four fifths of the data: N(0, I), a Gaussian without correlations, a
    Gaussian, and mixtures of 5, 10 and 20. The one under which the codes of the other data are most likely is
    returned. A candidate is not tried if the data hold fewer than four numbers (data × dimensions) for each of its
    parameters; nor is one larger than a mixture that no longer gains 0.05 nats per datum.

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
    held_out, fitted = (part.reshape(-1, size) for part in np.split(codes, [round(HELD_OUT * num)], axis=1))
    best, reason = _choose(fitted, held_out, num, seed)
    if best is None:
        return _standard(model, PriorFit(num_data=num, num_codes=draws * num, reason=reason))
    gain = float(best.score(held_out)) - _standard_score(held_out)
    covariances = best.covariances_ if best.covariance_type == "full" else best.covariances_[..., None] * np.eye(size)
    return MixturePrior(
        code_sizes=model.code_sizes,
        weights=torch.from_numpy(best.weights_),
        means=torch.from_numpy(best.means_),
        factors=torch.from_numpy(np.linalg.cholesky(covariances)),
        fit=PriorFit(num_data=num, num_codes=draws * num, gain=gain, reason=reason),
    )


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
    fitted: Float[np.ndarray, "n d"], held_out: Float[np.ndarray, "m d"], num_data: int, seed: int
) -> tuple[GaussianMixture | None, str]:
    """The candidate under which held-out codes are most likely (None: N(0, I)), and why no larger one was tried."""
    size = fitted.shape[1]
    best, highest = None, _standard_score(held_out) if len(held_out) else -np.inf
    # Several threads lose time in decompositions this small, and change the last digits.
    with threadpool_limits(limits=1, user_api="blas"):
        for candidate in CANDIDATES:
            parameters = candidate.num_parameters(size)
            if NUMBERS_PER_PARAMETER * parameters > num_data * size or not len(held_out):
                return best, f"{num_data:,} data are too few for {candidate.name} ({parameters:,} parameters)"
            mixture = candidate.fit(fitted, seed)
            score = float(mixture.score(held_out))
            if candidate.num > 1 and score < highest + LEAST_GAIN:
                break
            if score > highest:
                best, highest = mixture, score
    return best, ""


def _standard_score(codes: Float[np.ndarray, "n d"]) -> float:
    """Mean log-likelihood of codes under N(0, I), in nats."""
    return -0.5 * float(np.square(codes).sum(1).mean()) - 0.5 * codes.shape[1] * log(2 * pi)


def _standard(model: LatentModel, fit: PriorFit) -> MixturePrior:
    return replace(standard_prior(model.code_sizes), fit=fit)
