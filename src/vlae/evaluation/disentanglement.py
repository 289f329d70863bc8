"""The metrics of the literature on the codes of a model: for all levels together, and for each level."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

import numpy as np

from vlae.evaluation import information, metrics
from vlae.evaluation.factors import present
from vlae.evaluation.reasons import attempt

MAX_TABLE = 2_000  # rows, chosen at random if there are more
MAX_NEIGHBOURS = 1_000  # of these rows, likewise, for mutual information by nearest neighbours
MAX_TREES = 1_000  # of these rows, for metrics that fit trees
BOOSTED_TREES = 20

Measures = Mapping[str, Callable[[], Any]]


def disentangle(
    codes: Sequence[tuple[np.ndarray, np.ndarray]], factors: Mapping[str, np.ndarray], thread: Executor, *, seed: int
) -> Callable[[dict[str, Any]], None]:
    """Starts the metrics of the literature on codes and true factors: for all levels together, and for each level.

    They take no missing values, so only data of which every factor is known are used: at most 2,000 of them, chosen at
    random, for mutual information by nearest neighbours and for trees 1,000 of these. Of a factor that is the same in
    all of them, though not in all data, the report says so.

    Args:
        codes: for every level the mean and standard deviation of its posterior, each (N, code size).
        factors: values by name, (N,) each.
        thread: measures them.
        seed: of all random draws.

    Returns:
        A function that waits for the metrics and adds them to a report, with the reason of each that is not defined.
    """
    known = {name: present(np.asarray(values)) for name, values in factors.items()}
    rows = _some(np.flatnonzero(np.all([there for _, there in known.values()], axis=0)), MAX_TABLE, seed)
    few = _some(np.arange(len(rows)), MAX_NEIGHBOURS, seed)
    tables = {name: np.unique(values[rows], return_inverse=True)[1] if values.dtype.kind == "U" else values[rows]
              for name, (values, _) in known.items()}  # fmt: skip
    varying, compared = _varying(tables), _varying({name: values[few] for name, values in tables.items()})
    everywhere = _varying({name: values[there] for name, (values, there) in known.items()})
    constant = {
        f"{what}: {name}": f"it is the same in the {num:,} data that are compared, of which every factor is known"
        for what, found, num in (("disentanglement", varying, len(rows)), ("information", compared, len(few)))
        for name in everywhere
        if name not in found
    }
    means, stddevs = [mean[rows] for mean, _ in codes], [stddev[rows] for _, stddev in codes]
    together = np.concatenate(means, axis=1)
    boosted = partial(metrics.dci_boosted, together, varying, seed=seed, trees=BOOSTED_TREES, max_rows=MAX_TREES)
    infomec = partial(metrics.infomec, together, varying, max_rows=MAX_TREES, seed=seed)

    def start(measures: Measures) -> dict[str, Future[Any]]:
        return {name: thread.submit(measure) for name, measure in measures.items()}

    alone = start({"information": lambda: {"factors": list(compared), "levels": _information(means, compared, few)}})
    of_all = start(_metrics(together, np.concatenate(stddevs, axis=1), varying, seed))
    slow = start({"dci_boosted": lambda: boosted()._asdict(), "infomec": lambda: infomec()._asdict()})
    of_levels = [
        start(_metrics(mean, stddev, varying, seed)) if mean.shape[1] else None
        for mean, stddev in zip(means, stddevs, strict=True)
    ]

    def finish(result: dict[str, Any]) -> None:
        not_defined = result["not_defined"]
        not_defined |= constant
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


def _metrics(means: np.ndarray, stddevs: np.ndarray, factors: Mapping[str, np.ndarray], seed: int) -> Measures:
    return {
        "mig": lambda: metrics.mig(means, factors),
        "mig_sampled": lambda: metrics.mig_sampled(means, stddevs, factors, seed=seed),
        "mig_sup": lambda: metrics.mig_sup(means, factors),
        "dci": lambda: metrics.dci(means, factors, seed=seed, max_rows=MAX_TREES)._asdict(),
        "sap": lambda: metrics.sap(means, factors),
        "modularity": lambda: metrics.modularity(means, factors),
        "factor_vae_score": lambda: metrics.factor_vae_score(means, factors, seed=seed),
        "beta_vae_score": lambda: metrics.beta_vae_score(means, factors, seed=seed),
    }
