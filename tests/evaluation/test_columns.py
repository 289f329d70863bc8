"""Columns of vectors in an evaluation: what is explained of each, and what training and held-out data disagree in."""

import json

import numpy as np
import pytest
import torch

from vlae import recipes
from vlae.data import DataError, Images
from vlae.evaluation.cautions import cautions, far_columns
from vlae.evaluation.columns import units_of
from vlae.evaluation.feature_spaces import components
from vlae.evaluation.level_card import level_cards, warnings
from vlae.evaluation.measures import evaluate
from vlae.evaluation.reasons import only_finite
from vlae.evaluation.text import as_text
from vlae.models.base import LatentModel
from vlae.names import some_of
from vlae.training.preparing import statistics_of
from vlae.training.train import fit

NAMES = ("a", "b", "year")
NUM = 80


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def model(rng):
    """Trained on two columns that vary together, and a year that is the same in all rows."""
    train = np.column_stack([rng.normal(size=200)] * 2 + [np.full(200, 5)]).astype(np.float32)
    return fit(train, recipes.adjust(recipes.lean((3,), code_sizes=(1, 1), width=8), steps=150))


def held_out(rng, **changes):
    values = np.column_stack([rng.normal(size=NUM)] * 2 + [np.full(NUM, 5)]).astype(np.float32)
    for place, value in changes.items():
        values[3 if place == "row" else slice(None), 2] = value
    return Images(values=values, columns=NAMES, source="years.csv", split="test")


def test_the_columns_that_are_explained_are_told_by_level_in_table_and_card(model, rng):
    evaluation = evaluate(model, held_out(rng))
    a, b, year = evaluation["columns"]
    assert [column["name"] for column in (a, b, year)] == list(NAMES)
    assert a["r2"] > 0.5 and b["r2"] > 0.5 and year["r2"] is None and year["by_level"] == [None, None]
    assert evaluation["reconstruction"]["r2"] == pytest.approx((a["r2"] + b["r2"]) / 2)
    text = as_text(evaluation)
    assert "R², mean of columns" in text and "squared error" not in text and "pixel" not in text
    assert not evaluation["cautions"]
    best = max((0, 1), key=lambda place: a["by_level"][place])
    assert level_cards(evaluation)[best].title in ("a and b", "b and a")


@pytest.mark.parametrize("value", [7_000, 1e30, 3e38])
def test_a_column_that_was_constant_in_training_gives_numbers_and_is_named(model, rng, value):
    evaluation = evaluate(model, held_out(rng, row=value))
    json.dumps(evaluation, allow_nan=False)
    assert any(
        "Values of year are more than 1,000 standard deviations" in caution for caution in evaluation["cautions"]
    )
    assert any("Values of year" in warning for warning in warnings(evaluation))
    assert evaluation["pictures"]["two_sample"]["samples"] is not None
    if value == 7_000:
        assert evaluation["elbo_nats"] < -1_000 and evaluation["columns"][2]["r2"] == pytest.approx(-1 / 79, abs=0.05)
    else:
        assert "1 of 80 data, the first in row 3, give numbers that are not finite" in evaluation["absurd"][0]
        assert np.isfinite(evaluation["elbo_nats"])
    assert as_text(evaluation)


def test_one_row_has_no_r2_and_the_reason_is_said(model, rng):
    evaluation = evaluate(model, held_out(rng).take([0]))
    assert evaluation["reconstruction"] == {"r2": None, "error_stddevs": None}
    assert evaluation["not_defined"]["r2"] == "no column varies in these data"
    assert "not defined" in as_text(evaluation)


def test_classes_that_the_model_does_not_know_are_counted_and_named(model, rng):
    class Classes(LatentModel):
        shape, class_names, class_values = (3,), ("x", "y"), (0, 1)

        def __init__(self):
            torch.nn.Module.__init__(self)

        forward = infer = generate = prior = lambda self: None

    labels = np.array([0, 1, 2, 2, -1] * 16)
    images = Images(values=held_out(rng).values, labels=labels, label_names=("x", "y", "z"))
    (caution,) = cautions(Classes(), images)
    assert caution.startswith("32 data are of classes that the model does not know (z)")


def test_columns_in_other_units_are_those_of_which_most_values_are_far(model, rng):
    images = held_out(rng)
    assert far_columns(model, images, quantile=0.5) == []
    images.values[:, 0] *= 1e5
    images.values[3, 1] = 1e7
    assert far_columns(model, images, quantile=0.5) == ["a"] and far_columns(model, images) == ["a", "b"]


def test_a_column_of_small_scale_is_scaled_and_a_constant_one_is_not():
    values = np.array([[1e-13, 0.1], [3e-13, 0.1]], np.float32)
    mean, stddev = statistics_of(values)
    assert stddev.tolist() == pytest.approx([1e-13, 1.0]) and mean.tolist() == pytest.approx([2e-13, 0.1])


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_a_scale_beyond_single_precision_is_refused_by_the_name_of_its_column(scale):
    values = np.array([[0, scale], [1, 3 * scale]], np.float32)
    with pytest.raises(DataError, match=f"column year is {scale:.0e}.*scale it, or leave it out".replace("+", r"\+")):
        statistics_of(values, ("a", "year"))
    with pytest.raises(DataError, match="column 1, counted from 0, is"):
        fit(values, recipes.lean((2,), code_sizes=(1, 1), width=2))


def test_numbers_that_are_not_finite_become_none_with_a_reason():
    reasons: dict[str, str] = {}
    assert only_finite({"a": [1.0, float("inf")], "b": {"c": float("nan"), "d": "text"}}, reasons) == {
        "a": [1.0, None], "b": {"c": None, "d": "text"},
    }  # fmt: skip
    assert set(reasons) == {"a 2", "b: c"}


def test_many_names_are_cut():
    assert some_of(["x"]) == "x" and some_of(list("abcdefg")) == "a, b, c, d, e and 2 more"


def test_units_are_finite_in_single_precision_too(rng):
    plain = rng.normal(size=(50, 2)).astype(np.float32)
    assert units_of(plain * np.float32([1e25, 1e-25])) / units_of(plain) == pytest.approx([1e25, 1e-25], rel=1e-4)
    constant = np.float32([[0.1, 0, 1e-45]] * 50)
    constant[0, 2] = 0  # varies by less than single precision can divide by
    assert np.isinf(units_of(constant)).all() and units_of(plain).dtype == np.float32
    features = components(plain * np.float32(1e25))(plain * np.float32(1e25))
    assert features.std(0) == pytest.approx([1, 1], abs=0.5)
