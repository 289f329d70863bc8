import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.feature_selection import mutual_info_classif

from vlae.errors import NotDefinedError
from vlae.evaluation.information import classes_of, mutual_information, normalised_mutual_information

ROWS = 1_000


def noise(columns):
    return np.random.default_rng(1).normal(size=(ROWS, columns))


def test_neighbours_agree_with_another_library(factors):
    kinds = factors["kind 8"]
    for scale in (0.0, 0.3, 1.0):
        code = scale * kinds[:, None] + noise(1)
        other = mutual_info_classif(code, kinds, n_neighbors=3, random_state=0)[0]
        assert mutual_information(code, kinds) == pytest.approx(other, abs=0.01)


def test_neighbours_agree_with_the_closed_form_in_several_dimensions():
    """Two far-apart corners tell the class in full; three dimensions of which two are noise tell what one does."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, 4000)
    assert mutual_information(20 * kinds[:, None] + rng.normal(size=(4000, 3)), kinds) == pytest.approx(
        np.log(2), abs=0.01
    )

    def mixture(z):
        return 0.5 * norm.pdf(z, 0, 1) + 0.5 * norm.pdf(z, 2, 1)

    information = quad(lambda z: -mixture(z) * np.log(mixture(z)), -8, 10)[0] - norm(0, 1).entropy()
    code = rng.normal(size=(4000, 3))
    code[:, 1] += 2 * kinds
    assert mutual_information(code, kinds) == pytest.approx(information, abs=0.06)


def test_levels_by_factors(truth, factors):
    table = normalised_mutual_information([truth[:, :2], truth[:, 2:], noise(3), np.zeros((ROWS, 0))], factors)
    assert table.shape == (4, 5)
    assert (table[0, :2] > 0.6).all() and (table[0, 2:] < 0.1).all()
    assert (table[1, 2:] > 0.4).all() and (table[1, :2] < 0.25).all()
    assert (table[2] < 0.1).all() and not table[3].any()


def test_a_number_is_cut_into_ten_classes_of_one_size(rng):
    assert np.bincount(classes_of("size", rng.normal(size=1000))).tolist() == [100] * 10


def test_a_factor_that_no_two_rows_share_is_not_defined():
    with pytest.raises(NotDefinedError, match="no two rows share a class of the factor"):
        mutual_information(noise(1)[:30], np.arange(30))
