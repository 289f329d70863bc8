"""The metrics of the literature on the codes of a model: for all levels together, and for each level."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from vlae.evaluation import information, metrics
from vlae.evaluation.factors import MAX_CLASSES, Factor
from vlae.evaluation.reasons import attempt

MAX_TABLE = 2_000  # rows, chosen at random if there are more
MAX_NEIGHBOURS = 1_000  # of these rows, likewise, for mutual information by nearest neighbours
MAX_TREES = 1_000  # of these rows, for metrics that fit trees
BOOSTED_TREES = 20
ENOUGH, LEAST_SHARE = 1_000, 0.5  # rows, and share of those of the best known factor; one of them must be left

Measures = Mapping[str, Callable[[], Any]]


def disentangle(
    codes: Sequence[tuple[np.ndarray, np.ndarray]],
    factors: Mapping[str, Factor],
    thread: Executor,
    *,
    seed: int,
    kin: Int[np.ndarray, " n"] | None = None,
) -> Callable[[dict[str, Any]], None]:
    """Starts the metrics of the literature on codes and true factors: for all levels together, and for each level.

    They take no missing values, so only data of which every factor is known are used. A factor is left out if without
    it there are far more: if with it fewer than 1,000 are left, and less than half of those of which the best known
    factor is known. Of copies one is used. At most 2,000 are used, chosen at random; for mutual information by nearest
    neighbours, for trees and for lines 1,000 of these. Trees and lines are not fitted to a class of more than 50
    values. `num_compared` says how many data these are; `not_defined` names a factor that is left out, or is the same
    in all of them.

    Args:
        codes: for every level the mean and standard deviation of its posterior, each (N, code size).
        factors: of N data, by name; at least one.
        thread: measures them.
        seed: of all random draws.
        kin: the set of each datum, (N,): of copies below 0, of pages of one file from 0 up. None: each is on its own.

    Returns:
        A function that waits for the metrics and adds them to a report, with the reason of each that is not defined.
    """
    rows, left_out = _comparable(factors, kin, seed)
    rows = _some(rows, MAX_TABLE, seed)
    few = _some(np.arange(len(rows)), MAX_NEIGHBOURS, seed)
    tables = {name: factor.as_given[rows] for name, factor in factors.items() if name not in left_out}
    varying, compared = _varying(tables), _varying({name: values[few] for name, values in tables.items()})
    constant = {
        f"{what}: {name}": left_out.get(
            name, f"it is the same in the {num:,} data that are compared, of which every factor is known"
        )
        for what, found, num in (("disentanglement", varying, len(rows)), ("information", compared, len(few)))
        for name in factors
        if name not in found
    }
    fitted = {
        name: values
        for name, values in varying.items()
        if factors[name].kinds is None or len(np.unique(values)) <= MAX_CLASSES
    }
    constant |= {
        f"dci, dci_boosted, sap, infomec: {name}": f"it has {len(np.unique(varying[name])):,} classes; trees and lines "
        f"are fitted to at most {MAX_CLASSES}"
        for name in varying
        if name not in fitted
    }
    means, stddevs = [mean[rows] for mean, _ in codes], [stddev[rows] for _, stddev in codes]
    together = np.concatenate(means, axis=1)
    boosted = partial(metrics.dci_boosted, together, fitted, seed=seed, trees=BOOSTED_TREES, max_rows=MAX_TREES)
    infomec = partial(metrics.infomec, together, fitted, max_rows=MAX_TREES, seed=seed)

    def start(measures: Measures) -> dict[str, Future[Any]]:
        return {name: thread.submit(measure) for name, measure in measures.items()}

    alone = start({"information": lambda: {"factors": list(compared), "levels": _information(means, compared, few)}})
    of_all = start(_metrics(together, np.concatenate(stddevs, axis=1), varying, fitted, seed))
    slow = start({"dci_boosted": lambda: boosted()._asdict(), "infomec": lambda: infomec()._asdict()})
    of_levels = [
        start(_metrics(mean, stddev, varying, fitted, seed)) if mean.shape[1] else None
        for mean, stddev in zip(means, stddevs, strict=True)
    ]

    def finish(result: dict[str, Any]) -> None:
        not_defined = result["not_defined"]
        not_defined |= constant
        result["num_compared"] = {"disentanglement": len(rows), "information": len(few)}
        _add(alone, result, not_defined)
        levels = zip(result["levels"], of_levels, strict=True)
        parts = [("all levels", result, of_all), *((f"level {level['level']}", level, own) for level, own in levels)]
        for what, report, started in parts:
            if started is not None:
                report["disentanglement"] = {}
                reasons: dict[str, str] = {}
                _add(started, report["disentanglement"], reasons)
                not_defined |= {f"{what}: {name}": reason for name, reason in reasons.items()}
        _add(slow, result["disentanglement"], not_defined)

    return finish


def _add(started: Mapping[str, Future[Any]], report: dict[str, Any], not_defined: dict[str, str]) -> None:
    """Waits for what was started and adds it to a report; what is not defined is None there, and has a reason."""
    for name, future in started.items():
        attempt(report, not_defined, name, future.result)


def _comparable(
    factors: Mapping[str, Factor], kin: Int[np.ndarray, " n"] | None, seed: int
) -> tuple[Int[np.ndarray, " rows"], dict[str, str]]:
    """The rows of which every factor is known, one of each set of copies, and why factors are left out of these."""

    def rows_of(known: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " rows"]:
        rows = np.flatnonzero(known)
        if kin is None:
            return rows
        rows = np.random.default_rng(seed).permutation(rows)
        own = np.where(kin[rows] < 0, kin[rows], rows)  # below 0 copies, else each row
        return np.sort(rows[np.unique(own, return_index=True)[1]])

    nums = {name: len(rows_of(factor.known)) for name, factor in factors.items()}
    least = min(ENOUGH, LEAST_SHARE * max(nums.values()))
    known, left_out = np.ones_like(next(iter(factors.values())).known), {}
    for name in sorted(nums, key=lambda name: -nums[name]):
        both = known & factors[name].known
        if (left := len(rows_of(both))) < least:
            left_out[name] = f"with it only {left:,} data of which every factor is known could be compared"
        else:
            known = both
    return rows_of(known), left_out


def _some(rows: np.ndarray, num: int, seed: int) -> np.ndarray:
    """At most so many of the rows, chosen at random: data may be stored in an order of their factors."""
    if len(rows) <= num:
        return rows
    return np.sort(np.random.default_rng(seed).permutation(rows)[:num])


def _varying(factors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The factors that are not the same in all rows."""
    return {name: values for name, values in factors.items() if len(np.unique(values)) > 1}


def _information(
    tables: Sequence[np.ndarray], factors: Mapping[str, np.ndarray], rows: np.ndarray
) -> list[list[float]]:
    return information.normalised_mutual_information([table[rows] for table in tables], factors).tolist()


def _metrics(
    means: np.ndarray,
    stddevs: np.ndarray,
    factors: Mapping[str, np.ndarray],
    fitted: Mapping[str, np.ndarray],
    seed: int,
) -> Measures:
    return {
        "mig": lambda: metrics.mig(means, factors),
        "mig_sampled": lambda: metrics.mig_sampled(means, stddevs, factors, seed=seed),
        "mig_sup": lambda: metrics.mig_sup(means, factors),
        "dci": lambda: metrics.dci(means, fitted, seed=seed, max_rows=MAX_TREES)._asdict(),
        "sap": lambda: metrics.sap(means, fitted, seed=seed),
        "modularity": lambda: metrics.modularity(means, factors),
        "factor_vae_score": lambda: metrics.factor_vae_score(means, factors, seed=seed),
        "beta_vae_score": lambda: metrics.beta_vae_score(means, factors, seed=seed),
    }
