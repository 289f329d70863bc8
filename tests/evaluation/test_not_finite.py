"""Models whose numbers are not finite: they are measured as far as they can be, and nothing crashes."""

import json
import warnings

import numpy as np
import pytest
import torch

from vlae import recipes
from vlae.data import Images
from vlae.evaluation import measures
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
    assert evaluation["not_defined"]["udr"] == "no datum has a finite code in all runs"
    assert evaluation["pictures"] is None and evaluation["told"] is None
    rows = [line.split() for line in as_text(evaluation).splitlines()[1:3]]
    assert [row[2:] for row in rows] == [["-"] * 4] * 2
    for level in evaluation["levels"]:
        assert not _facts(level, None)
        assert ("reconstruction", "squared error without it", "not defined") in _facts(
            level | {"kl_nats": 1.0, "share": 0.5, "without_it": {"mse": None}}, None
        )


def test_another_run_whose_codes_are_not_all_finite():
    """UDR is that of the data with finite codes in both runs."""
    images, other = data((5,)), np.random.default_rng(1).normal(size=(80, 3))
    codes = [(np.random.default_rng(2).normal(size=(80, 4)), np.full((80, 4), 0.1)) for _ in range(2)]
    other[:7] = np.nan
    found = measures.evaluate(made((5,), broken=None), images, codes=codes, others=[other])
    assert 0 < found["udr"] < 1 and "udr" not in found["not_defined"]
