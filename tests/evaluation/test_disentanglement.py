"""The rows of which the literature's metrics are computed, where there are more than they take."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vlae.evaluation import disentanglement
from vlae.evaluation.disentanglement import MAX_NEIGHBOURS, MAX_TABLE, disentangle
from vlae.evaluation.factors import factors_to_predict


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Leaves out the slow metrics, of which nothing is asked here."""
    for name in ("dci", "dci_boosted", "infomec"):
        monkeypatch.setattr(disentanglement.metrics, name, lambda *_, **__: type("None", (), {"_asdict": dict})())


def found(table, codes, kin=None):
    factors, left_out = factors_to_predict(table)
    assert left_out == {}
    result = {"levels": [{"level": 1}], "not_defined": {}}
    with ThreadPoolExecutor(1) as thread:
        disentangle([(codes, np.full_like(codes, 0.1))], factors, thread, seed=0, kin=kin)(result)
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
    rare[np.random.default_rng(0).permutation(4_000)[-5:]] = 1  # with this seed the last to be taken
    result = found({"rare": rare, "kind": np.repeat([0, 1], 2_000)}, rng.normal(size=(4_000, 2)))
    assert result["information"]["factors"] == ["kind"]
    reasons = result["not_defined"]
    assert "the same in the 1,000 data" in reasons["information: rare"]
    assert "the same in the 2,000 data" in reasons["disentanglement: rare"]


def test_a_factor_known_of_few_is_left_out_and_the_rows_are_counted(rng):
    codes, sparse = rng.normal(size=(600, 6)), rng.integers(0, 2, 600).astype(float)
    sparse[30:] = np.nan
    table = {"a": rng.integers(0, 3, 600), "c": rng.random(600), "b": sparse}
    result = found(table, codes)
    assert result["information"]["factors"] == ["a", "c"]
    assert result["num_compared"] == {"disentanglement": 600, "information": 600}
    reason = "with it only 30 data of which every factor is known could be compared"
    assert result["not_defined"]["disentanglement: b"] == result["not_defined"]["information: b"] == reason
    assert result["disentanglement"]["factor_vae_score"] < 0.7
    gaps = np.where(rng.random(600) < 0.3, np.nan, rng.random(600))
    result = found({"a": table["a"], "gaps": gaps}, codes)
    assert result["information"]["factors"] == ["a", "gaps"]
    assert result["num_compared"]["disentanglement"] == np.isfinite(gaps).sum()
    result = found({"b": sparse}, codes)
    assert result["num_compared"]["disentanglement"] == 30  # there is no better choice


def test_copies_tell_nothing(rng):
    """Each datum ten times: noise told .96 to the trees, and all to nearest neighbours."""
    place = np.arange(1_000) % 100
    table = {"a": rng.integers(0, 4, 100)[place], "b": rng.random(100)[place]}
    result = found(table, rng.normal(size=(100, 6))[place], kin=-1 - place)
    assert result["num_compared"]["disentanglement"] == 100
    assert np.max(result["information"]["levels"]) < 0.2


def test_pages_of_one_file_all_count(rng):
    """4,000 pages of 12 files were 12 rows; copies among them are one still."""
    table, kin = {"a": rng.integers(0, 4, 600), "b": rng.random(600)}, np.arange(600) % 12
    result = found(table, rng.normal(size=(600, 2)), kin=kin)
    assert result["num_compared"]["disentanglement"] == 600
    result = found(table, rng.normal(size=(600, 2)), kin=np.where(np.arange(600) < 100, -1 - kin, kin))
    assert result["num_compared"]["disentanglement"] == 12 + 500


def test_a_factor_of_many_data_that_leaves_few_is_named_with_their_number(rng):
    first, last = rng.random(4_000), rng.random(4_000)
    first[3_500:] = last[:3_000] = np.nan
    result = found({"first": first, "last": last, "a": rng.integers(0, 3, 4_000)}, rng.normal(size=(4_000, 2)))
    reason = "with it only 500 data of which every factor is known could be compared"
    assert result["not_defined"]["disentanglement: last"] == reason


def test_names_of_many_are_not_given_to_trees(rng, monkeypatch):
    """Of 300 names boosted trees took 22 seconds, and warned 94 times."""
    seen = {}
    for name in ("dci", "dci_boosted", "sap", "infomec", "mig"):
        result = 0.5 if name in ("sap", "mig") else type("None", (), {"_asdict": dict})()
        monkeypatch.setattr(
            disentanglement.metrics,
            name,
            lambda _, factors, name=name, result=result, **__: seen.update({name: list(factors)}) or result,
        )
    table = {
        "name": np.array([f"name {value}" for value in np.arange(1_500) % 300]),
        "few": np.array([f"word {value}" for value in np.arange(1_500) % 50]),
        "number": np.arange(1_500.0),
    }
    reasons = found(table, rng.normal(size=(1_500, 2)))["not_defined"]
    assert seen.pop("mig") == ["name", "few", "number"]
    assert seen == {key: ["few", "number"] for key in ("dci", "dci_boosted", "sap", "infomec")}
    assert reasons == {
        "dci, dci_boosted, sap, infomec: name": "it has 300 classes; trees and lines are fitted to at most 50"
    }


def test_kinds_are_those_of_the_probes(rng, monkeypatch):
    """Text of more than 50 values is a class, and so are whole floats: not numbers in the order of the alphabet."""
    seen = {}
    monkeypatch.setattr(disentanglement.metrics, "mig", lambda _, factors: seen.update(factors) or 0.5)
    words = np.array([f"word {value}" for value in np.arange(600) % 60])
    table = {"text": words, "floats": np.arange(600) % 3.0, "number": rng.random(600), "many": np.arange(600)}
    found(table, rng.normal(size=(600, 2)))
    assert {name: values.dtype.kind for name, values in seen.items()} == {
        "text": "i", "floats": "i", "number": "f", "many": "f",
    }  # fmt: skip


def test_the_seed_divides_the_rows_of_sap(rng):
    table, codes = {"a": rng.integers(0, 4, 200)}, rng.normal(size=(200, 2))
    factors, _ = factors_to_predict(table)
    with ThreadPoolExecutor(1) as thread:
        result = {"levels": [{"level": 1}], "not_defined": {}}
        disentangle([(codes, np.full_like(codes, 0.1))], factors, thread, seed=5)(result)
    assert result["disentanglement"]["sap"] == disentanglement.metrics.sap(codes, table, seed=5)
    assert result["disentanglement"]["sap"] != disentanglement.metrics.sap(codes, table, seed=0)
