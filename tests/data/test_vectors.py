"""Vectors that single precision or a standardisation would spoil."""

import numpy as np
import pandas
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


@pytest.mark.parametrize(
    "column", [2**60 + np.arange(50), 1_700_000_000_000_000_000 + 20 * np.arange(50), -(2**62) - np.arange(50)]
)
@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_whole_numbers_that_even_double_precision_blurs_are_refused(tmp_path, column, kind):
    column = np.abs(column).astype(kind) if kind == np.uint64 else column
    said = "which single precision blurs; subtract their mean"
    with pytest.raises(DataError, match=said):
        load(column[:, None])
    pandas.DataFrame({"time": column, "b": np.arange(50) / 7}).to_csv(tmp_path / "t.csv", index=False)
    for name, more in ((tmp_path / "t.csv", {}), (tmp_path / "t.csv", {"key": "time"})):
        with pytest.raises(DataError, match=rf"t\.csv, column 'time': .*, {said}"):
            load(name, **more)
    with pytest.raises(DataError, match=rf"the table, column 'time': .*, {said}"):
        load(pandas.DataFrame({"time": column, "b": np.arange(50) / 7}))
    with pytest.raises(
        DataError, match=r"an array: whole numbers near .* differ by .* at most, which floats blur; subtract"
    ):
        load(np.broadcast_to(column[:, None, None], (50, 8, 8)))


def test_large_whole_numbers_that_are_equal_or_far_from_each_other_are_read():
    for column in (np.full(50, 2**60), 2**60 + 2**50 * np.arange(50), np.arange(50) * 2**57 - 2**62):
        assert (load(column[:, None], split="all").values[:, 0] == column.astype(np.float32)).all()
        pictures = load(np.broadcast_to(column[:, None, None], (50, 8, 8)), split="all").values
        assert pictures.min() == 0 and pictures.max() == (0 if len({*column.tolist()}) == 1 else 1)


@pytest.mark.parametrize("kind", ["i2", "i4", "i8", "u2", "u4", "u8", "i1", "u1"])
def test_whole_numbers_of_either_byte_order_are_the_same(kind):
    table = np.random.default_rng(0).integers(0, 100, (40, 3))
    for order in "<>":
        np.testing.assert_array_equal(as_vectors(table.astype(f"{order}{kind}"), "x"), table)
