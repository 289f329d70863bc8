import numpy as np
import pytest

from vlae.errors import NotDefinedError
from vlae.evaluation.level_order import complexity, order, separation

LADDER = np.eye(3)
SIMPLE_TO_COMPLEX = np.array([0.0, 0.4, 0.9])


def test_complexity_by_hand():
    assert complexity([1, 1, 1, 1]) == 0
    assert complexity([0, 0, 0, 0.3]) == 1
    assert complexity([0.4, 0.8, 0.8, 0.8]) == pytest.approx(0.5 / 3)
    assert complexity([-5, 0.5, 1.0]) == pytest.approx(1 - (0 + 0.5) / 2)


def test_a_larger_probe_that_does_worse_is_no_sign_of_complexity():
    assert complexity([0.9, 0.9, 0.2, 0.1]) == 0
    assert complexity([0.3, 0.9, 0.2, 0.9]) == complexity([0.3, 0.9, 0.9, 0.9])


def test_complexity_of_what_nothing_predicts_is_not_defined():
    for scores in ([0.0, 0.01, 0.04], [-3.0, -1.0, -0.1]):
        with pytest.raises(NotDefinedError, match="no probe predicts it"):
            complexity(scores)


def test_separation_by_hand():
    assert separation(LADDER) == 1
    assert separation(np.ones((3, 4))) == 0
    # The first factor is told of by .8 and .2, the second by .4 and 0: (.6 + .4) / (.8 + .4).
    assert separation(np.array([[0.8, 0.0], [0.1, 0.4], [0.2, 0.0]])) == pytest.approx(1.0 / 1.2)


def test_order_of_the_oracles():
    assert order(LADDER, SIMPLE_TO_COMPLEX) == 1
    assert order(LADDER[::-1], SIMPLE_TO_COMPLEX) == -1
    assert order(np.ones((3, 3)), SIMPLE_TO_COMPLEX) == 0  # every level holds everything
    assert order(0.2 * LADDER, SIMPLE_TO_COMPLEX) == 1  # held weakly, but in order


def test_order_by_hand():
    # f (simple) is held .5 by level 1 and .5 by level 2, g (complex) by level 2 alone.
    # C = 1 · (.5 · 1), D = 1 · 0: the half of f that shares g's level says nothing.
    assert order(np.array([[0.5, 0.0], [0.5, 1.0]]), np.array([0.0, 1.0])) == 1
    # g also leaks into level 1 by .2: C = .5 · 1, D = .2 · .5.
    assert order(np.array([[0.5, 0.2], [0.5, 1.0]]), np.array([0.0, 1.0])) == pytest.approx((0.5 - 0.1) / 0.6)
    # Three factors: (f, g) differ by .2 and are in order, (g, h) by .5 upside-down, (f, h) by .7 in order.
    held = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])
    assert order(held, np.array([0.1, 0.3, 0.8])) == pytest.approx((0.2 + 0.7 - 0.5) / 1.4)


def test_scores_do_not_depend_on_the_order_of_the_factors(rng):
    held, complexities = rng.random((4, 7)), rng.random(7)
    shuffled = rng.permutation(7)
    assert separation(held[:, shuffled]) == pytest.approx(separation(held))
    assert order(held[:, shuffled], complexities[shuffled]) == pytest.approx(order(held, complexities))
    assert separation(held[::-1]) == pytest.approx(separation(held))
    assert order(held[::-1], complexities) == pytest.approx(-order(held, complexities))
    assert order(held, -complexities) == pytest.approx(-order(held, complexities))


def test_order_of_chance_is_around_zero(rng):
    scores = [order(rng.random((3, 8)), rng.random(8)) for _ in range(300)]
    assert abs(np.mean(scores)) < 3 * np.std(scores) / np.sqrt(300)


def test_a_factor_no_level_holds_changes_nothing():
    more = np.column_stack([LADDER, np.zeros(3)])
    assert separation(more) == 1
    assert order(more, np.array([*SIMPLE_TO_COMPLEX, 0.2])) == 1


def test_not_defined():
    with pytest.raises(NotDefinedError, match="two levels"):
        separation(np.ones((1, 3)))
    with pytest.raises(NotDefinedError, match="two levels"):
        order(np.ones((1, 3)), SIMPLE_TO_COMPLEX)
    with pytest.raises(NotDefinedError, match="no level tells"):
        separation(np.zeros((2, 3)))
    with pytest.raises(NotDefinedError, match="different levels"):
        order(np.array([[1.0, 1.0], [0, 0]]), np.array([0.0, 1.0]))  # all in one level
    with pytest.raises(NotDefinedError, match="different complexity"):
        order(np.eye(2), np.array([0.3, 0.3]))
    with pytest.raises(NotDefinedError):
        separation(np.zeros((2, 0)))


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1, np.inf])
def test_bad_tables(bad):
    with pytest.raises(ValueError, match=r"numbers in \[0, 1\]"):
        separation(np.array([[bad, 0.5], [0.5, 0.5]]))


def test_complexities_fit_the_table():
    with pytest.raises(ValueError, match="3 factors"):
        order(LADDER, np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="3 factors"):
        order(LADDER, np.array([0.1, 0.2, np.nan]))
