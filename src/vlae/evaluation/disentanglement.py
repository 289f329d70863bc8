"""The metrics of the literature on the codes of a model: for all levels together, and for each level."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from vlae.evaluation import information, metrics
from vlae.evaluation.factors import present
from vlae.evaluation.reasons import attempt

MAX_TABLE = 2_000  # rows
MAX_NEIGHBOURS = 1_000  # of these rows, for mutual information by nearest neighbours
MAX_TREES = 1_000  # of these rows, for metrics that fit trees
BOOSTED_TREES = 20


def disentangle(
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
    attempt(
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
    attempt(table, not_defined, "dci_boosted", lambda: boosted()._asdict())
    infomec = partial(metrics.infomec, together, varying, max_rows=MAX_TREES, seed=seed)
    attempt(table, not_defined, "infomec", lambda: infomec()._asdict())
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
        attempt(table, reasons, name, measure)
    not_defined |= {f"{what}: {name}": reason for name, reason in reasons.items()}
    return table
