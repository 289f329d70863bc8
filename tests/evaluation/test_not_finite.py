"""Models whose numbers are not finite: they are measured as far as they can be, and nothing crashes."""

import json
import warnings

import numpy as np
import pytest
import torch

from vlae import recipes
from vlae.data import Images
from vlae.evaluation import measures
from vlae.evaluation.protocol import protocol
from vlae.evaluation.text import as_text
from vlae.report.levels import _facts


def made(shape, *, broken=""):
    """A model; the parameters whose names start so are not a number."""
    stats = {} if len(shape) == 3 else {"mean": torch.zeros(shape), "stddev": torch.ones(shape)}
    model = recipes.build(recipes.lean(shape), **stats)
    for name, parameter in model.named_parameters():
        if broken is not None and name.startswith(broken):
            parameter.data.fill_(torch.nan)
    return model


def data(shape, num=80):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (num, *shape), dtype=np.uint8)
    values = pictures if len(shape) == 3 else rng.normal(size=(num, *shape)).astype(np.float32)
    return Images(values=values, labels=rng.integers(0, 2, num), source="noise")


@pytest.mark.parametrize("shape", [(1, 8, 8), (5,)])
def test_a_model_of_which_no_code_is_finite(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        evaluation = measures.evaluate(made(shape), data(shape), others=[np.zeros((80, 2))])
    json.dumps(evaluation, allow_nan=False)
    assert evaluation["cautions"][0].startswith("80 of 80 data have no finite code")
    assert evaluation["not_defined"]["told"] == "no datum has a finite code"
    assert evaluation["not_defined"]["udr"].startswith("no other run has finite codes of 60 or more")
    assert evaluation["pictures"] is None and evaluation["told"] is None
    rows = [line.split() for line in as_text(evaluation).splitlines()[1:3]]
    assert [row[2:] for row in rows] == [["-"] * 4] * 2
    for level in evaluation["levels"]:
        assert not _facts(level, None)
        assert ("reconstruction", "squared error without it", "not defined") in _facts(
            level | {"kl_nats": 1.0, "share": 0.5, "without_it": {"mse": None}}, None
        )


def test_another_run_whose_codes_are_not_all_finite():
    """UDR is that of the data with finite codes in both runs; a run with few of them does not count."""
    images, other = data((5,)), np.random.default_rng(1).normal(size=(80, 3))
    codes = [(np.random.default_rng(2).normal(size=(80, 4)), np.full((80, 4), 0.1)) for _ in range(2)]
    other[:7] = np.nan
    found = measures.evaluate(made((5,), broken=None), images, codes=codes, others=[other])
    assert 0 < found["udr"] < 1 and "udr" not in found["not_defined"]
    few = np.where(np.arange(80)[:, None] < 30, other[::-1], np.nan)
    for others, expected in (([other, few], found["udr"]), ([few], None)):
        again = measures.evaluate(made((5,), broken=None), images, codes=codes, others=others)
        assert again.get("udr") == expected and ("udr" in again["not_defined"]) == (expected is None)


def test_a_run_with_codes_that_are_not_finite_is_measured_alike():
    """Its protocol is that of the data asked for, so it stands beside others in one table."""
    images, codes = data((5,)), [(np.random.default_rng(2).normal(size=(80, 4)), np.full((80, 4), 0.1)) for _ in "12"]
    whole = measures.evaluate(made((5,), broken=None), images, codes=codes)["protocol"]
    for num in (5, 80):
        codes[0][0][:num] = np.nan
        found = measures.evaluate(made((5,), broken=None), images, codes=codes)
        assert found["cautions"][-1].startswith(f"{num} of 80 data have no finite code")
        assert found["protocol"] == whole | {"num_finite": 80 - num} == protocol(images) | {"num_finite": 80 - num}
