"""Vectors that single precision or a standardisation would spoil."""

import numpy as np
import pytest

from vlae.data import DataError, load
from vlae.data.vectors import as_vectors

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.parametrize("value", [1e30, -1e12, 3e7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_value_very_far_from_the_rest_is_refused(rng, value, dtype, tmp_path):
    table = rng.normal(size=(1000, 4)).astype(dtype)
    table[17, 2] = value
    with pytest.raises(DataError, match=r"array, column 2, row 17, counted from 0: .* is so far from the rest that"):
        load(table)
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", header="a,b,c,d", comments="")
    with pytest.raises(DataError, match=r"a\.csv, column 'c', row 17, counted from 0: .*; correct it, drop the row"):
        load(tmp_path / "a.csv")


def test_a_mark_for_missing_values_is_refused(rng):
    table = rng.normal(size=(1000, 2))
    table[::3, 1] = -999_999
    with pytest.raises(DataError, match="column 1, row 0, counted from 0: -999999 is so far"):
        load(table)


@pytest.mark.parametrize(
    "column",
    [
        np.random.default_rng(0).lognormal(sigma=2.5, size=5000),
        np.random.default_rng(0).standard_cauchy(size=1000),
        np.where(np.arange(5000) % 100, 0, np.arange(5000)),  # nearly always 0
        np.where(np.arange(5000) == 7, 1e30, 0),  # a mark of one row
        np.full(5000, 0.1),
        0.1 + 1e-17 * np.arange(5000)[:3].repeat(9),
        1e9 * np.random.default_rng(0).random(5000),
        np.arange(5000) > 4000,
    ],
)
def test_heavy_tails_rare_values_and_constants_are_read(column):
    assert (load(column[:, None], split="all").values[:, 0] == column.astype(np.float32)).all()


@pytest.mark.parametrize(
    "column",
    [np.arange(5000) + 2**31, 1e9 + np.arange(50.0), 1_700_000_000_000_000 + np.arange(50), 1 + 1e-9 * np.arange(9)],
)
def test_what_single_precision_blurs_is_refused(column):
    with pytest.raises(DataError, match="which single precision blurs; subtract their mean"):
        load(column[:, None])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_values_that_are_not_finite_are_named(value):
    table = np.zeros((9, 3))
    table[4, 1] = value
    with pytest.raises(DataError, match=r"x: 1 value is NaN or infinite, the first in row 4, column 1, c"):
        as_vectors(table, "x")
    with pytest.raises(
        DataError, match=r"x, column 'b': 1 of 9 values are missing, NaN or infinite, the first in row 4,"
    ):
        as_vectors(table, "x", ["a", "b", "c"])
