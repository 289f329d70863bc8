"""The rows of which the literature's metrics are computed, where there are more than they take."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vlae.evaluation import disentanglement
from vlae.evaluation.disentanglement import MAX_NEIGHBOURS, MAX_TABLE, disentangle


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Leaves out the slow metrics, of which nothing is asked here."""
    for name in ("dci", "dci_boosted", "infomec"):
        monkeypatch.setattr(disentanglement.metrics, name, lambda *_, **__: type("None", (), {"_asdict": dict})())


def found(table, codes):
    result = {"levels": [{"level": 1}], "not_defined": {}}
    with ThreadPoolExecutor(1) as thread:
        disentangle([(codes, np.full_like(codes, 0.1))], table, thread, seed=0)(result)
    return result


def test_a_table_in_order_of_its_factors_has_the_metrics_of_any_order(rng):
    grid = np.stack(np.meshgrid(np.arange(3), np.arange(4), np.arange(20), np.arange(20), indexing="ij"), -1)
    grid = grid.reshape(-1, 4)
    orders = (np.arange(len(grid)), rng.permutation(len(grid)))
    one, other = (found(dict(zip("abcd", grid[order].T, strict=True)), grid[order].astype(float)) for order in orders)
    assert one["not_defined"] == other["not_defined"] == {} and one["information"]["factors"] == ["a", "b", "c", "d"]
    for result in (one, other):
        assert result["disentanglement"]["mig"] > 0.95 and np.min(np.max(result["information"]["levels"], 0)) > 0.2


def test_few_rows_are_all_taken(rng):
    table, codes = {"a": np.repeat([0, 1], MAX_TABLE // 2)}, rng.normal(size=(MAX_TABLE, 1))
    expected = disentanglement.metrics.sap(codes, table)
    assert found(table, codes)["disentanglement"]["sap"] == expected
    few = slice(0, MAX_NEIGHBOURS, 2)
    nats = disentanglement.information.normalised_mutual_information([codes[few]], {"a": np.tile([0, 1], 250)})
    assert found({"a": np.tile([0, 1], 250)}, codes[few])["information"]["levels"] == nats.tolist()


def test_a_factor_that_is_the_same_in_the_rows_that_are_taken_is_named(rng):
    rare = np.zeros(4_000, int)
    rare[np.random.default_rng(0).permutation(4_000)[-1]] = 1  # with this seed the last to be taken
    result = found({"rare": rare, "kind": np.repeat([0, 1], 2_000)}, rng.normal(size=(4_000, 2)))
    assert result["information"]["factors"] == ["kind"]
    reasons = result["not_defined"]
    assert "the same in the 1,000 data" in reasons["information: rare"]
    assert "the same in the 2,000 data" in reasons["disentanglement: rare"]
    constant = found({"flat": np.zeros(60, int), "kind": np.tile([0, 1], 30)}, rng.normal(size=(60, 2)))
    assert not any("flat" in name for name in constant["not_defined"])
