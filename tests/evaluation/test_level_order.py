from itertools import product

import numpy as np
import pytest

from vlae.errors import NotDefinedError
from vlae.evaluation.judging import _judge
from vlae.evaluation.level_order import LEAST_DIFFERENCE, complexity, order, separation, told

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


FOUR = np.array([0.05, 0.3, 0.6, 0.9])  # complexities of four factors


def test_a_perfect_ladder_and_one_upside_down():
    assert (told(np.eye(4)), order(np.eye(4), FOUR), separation(np.eye(4), FOUR)) == (1, 1, 1)
    assert (order(np.eye(4)[::-1], FOUR), separation(np.eye(4)[::-1], FOUR)) == (-1, 1)


def test_more_factors_than_levels_can_be_perfect(rng):
    complexities = rng.permutation(np.repeat([0.0, 0.3, 0.5, 0.9], 3) + rng.uniform(0, 0.04, 12))
    table = np.zeros((4, 12))
    table[np.searchsorted([0.2, 0.4, 0.7], complexities), np.arange(12)] = 1
    assert order(table, complexities) == pytest.approx(1)
    table[:, complexities > 0.7] = table[::-1, complexities > 0.7]  # the most complex ones in level 1
    assert order(table, complexities) < 0.3


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (np.zeros((4, 4)), 0),  # random numbers tell nothing
        (np.full((4, 4), 0.049), 0),  # and hardly more by chance
        (np.ones((4, 4)), 0),  # every level holds everything
        (np.vstack([np.ones(4), np.zeros((3, 4))]), 0),  # one level holds everything
        (np.vstack([np.ones(4), 0.001 * np.eye(4)[1:]]), 0),  # and a leak is no order
        (np.vstack([np.ones(4), 0.04 * np.eye(4)[1:]]), 0),
    ],
)
def test_what_has_no_order_has_none(table, expected):
    assert order(table, FOUR) == expected and separation(table, FOUR) == expected


def test_a_leak_changes_little():
    assert order(np.clip(np.eye(4) + 0.001, 0, 1), FOUR) == pytest.approx(1, abs=0.01)
    assert separation(np.clip(np.eye(4) + 0.001, 0, 1), FOUR) == pytest.approx(1, abs=0.01)


def test_a_cumulative_ladder_is_worth_little():
    """Each level repeats those below: the simple is told four times, and only the most complex once."""
    cumulative = np.tril(np.ones((4, 4)))
    assert 0 < order(cumulative, FOUR) < 0.25
    assert order(cumulative[::-1, ::-1], FOUR) > 0  # each level repeats those above: level 1 tells everything
    assert order(cumulative[::-1], FOUR) == pytest.approx(-order(cumulative, FOUR))


def test_to_tell_everything_twice_halves_the_scores():
    twice = np.repeat(np.eye(2), 2, axis=1).repeat(2, axis=0)
    assert order(twice, np.array([0.0, 0.0, 0.9, 0.9])) == pytest.approx(0.5)


def test_what_is_not_told_is_not_rewarded():
    """The simplest factor in level 1, the most complex in level 2, all others nowhere."""
    table = np.zeros((4, 12))
    table[0, 0] = table[1, 11] = 1
    complexities = np.linspace(0, 1, 12)
    assert 0 < order(table, complexities) < 0.05 and told(table) == pytest.approx(2 / 12)
    assert order(0.2 * np.eye(4), FOUR) == pytest.approx(0.2)
    assert order(np.diag([1, 1, 1, 0.1]), FOUR) < 0.6


def test_what_only_level_1_tells_is_no_ladder(rng):
    """Random weights and principal components: the colours in level 1, and a little of all else everywhere."""
    complexities = np.array([0.02] * 3 + [0.25] * 3 + [0.3, 0.75, 0.8, 0.82, 0.85, 0.9])
    table = rng.uniform(0, 0.15, (4, 12))
    table[:, :6] = 0
    table[0, :6] = 0.9
    assert abs(order(table, complexities)) < 0.12 and separation(table, complexities) < 0.12


def test_factors_that_are_as_complex_as_each_other_have_no_order():
    for nearly in ([0.5, 0.5001], [0.5, 0.4999 + LEAST_DIFFERENCE]):
        with pytest.raises(NotDefinedError, match=r"no two factors differ in complexity by more than 0\.05"):
            order(np.eye(2), np.array(nearly))
    one = order(np.eye(3), np.array([0.0, 0.5, 0.5001]))
    other = order(np.eye(3)[[0, 2, 1]], np.array([0.0, 0.5, 0.5001]))
    assert one == other == 1  # the two that are alike may stand either way


def test_order_by_hand():
    # f (simple) is told .5 by level 1 and .5 by level 2: half of it once. g (complex) is told by level 2 alone.
    # P(l_f < l_g) = .5, and never above. The pair counts as far as the worse told of the two: .25.
    table = np.array([[0.5, 0.0], [0.5, 1.0]])
    assert order(table, np.array([0.0, 1.0])) == pytest.approx(0.25 * 0.5)
    # Three factors: (f, g) differ by .2, in order; (g, h) by .5, upside-down; (f, h) by .7, in order.
    held = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])
    complexities = np.array([0.1, 0.3, 0.8])
    assert order(held, complexities) == pytest.approx((0.15 + 0.65 - 0.45) / (0.15 + 0.65 + 0.45))
    assert separation(held, complexities) == pytest.approx(1)


def test_the_best_that_can_be_reached_is_that_of_brute_force(rng):
    for _ in range(10):
        complexities, num_levels = rng.random(6), int(rng.integers(2, 5))
        best = max(
            sum(
                max(0, complexities[g] - complexities[f] - LEAST_DIFFERENCE) * (levels[f] < levels[g])
                for f, g in product(range(6), repeat=2)
            )
            for levels in product(range(num_levels), repeat=6)
        )
        table = np.zeros((num_levels, 6))
        table[0, complexities.argmin()] = table[-1, complexities.argmax()] = 1
        pair = np.ptp(complexities) - LEAST_DIFFERENCE
        assert order(table, complexities) == pytest.approx(pair / best)


def test_scores_do_not_depend_on_the_order_of_the_factors(rng):
    held, complexities = rng.random((4, 7)), rng.random(7)
    shuffled = rng.permutation(7)
    for measure in (order, separation):
        value = measure(held, complexities)
        assert measure(held[:, shuffled], complexities[shuffled]) == pytest.approx(value)
        assert measure(held[::-1], complexities) == pytest.approx(-value if measure is order else value)
    assert order(held, 1 - complexities) == pytest.approx(-order(held, complexities))


def test_the_order_is_at_most_the_separation(rng):
    for _ in range(50):
        held, complexities = rng.random((4, 7)) ** 3, rng.random(7)
        assert abs(order(held, complexities)) <= separation(held, complexities) <= 1


def test_order_of_chance_is_around_zero(rng):
    scores = [order(rng.random((3, 8)), rng.random(8)) for _ in range(300)]
    assert abs(np.mean(scores)) < 3 * np.std(scores) / np.sqrt(300)


def test_a_little_more_changes_little(rng):
    held, complexities = rng.random((4, 7)) * 0.8 + 0.1, rng.random(7)
    for measure in (order, separation):
        nearly = measure(held + 1e-6 * rng.normal(size=held.shape), complexities + 1e-6 * rng.normal(size=7))
        assert nearly == pytest.approx(measure(held, complexities), abs=1e-4)


def test_not_defined():
    for measure in (order, separation):
        with pytest.raises(NotDefinedError, match="two levels"):
            measure(np.ones((1, 3)), SIMPLE_TO_COMPLEX)
        with pytest.raises(NotDefinedError, match="no factor"):
            measure(np.zeros((2, 0)), np.zeros(0))
    with pytest.raises(NotDefinedError, match="a level with a code"):
        told(np.zeros((0, 3)))
    assert told(np.ones((1, 3))) == 1


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1, np.inf])
def test_bad_tables(bad):
    with pytest.raises(ValueError, match=r"numbers in \[0, 1\]"):
        separation(np.array([[bad, 0.5], [0.5, 0.5]]), np.array([0.1, 0.9]))


def test_complexities_fit_the_table():
    with pytest.raises(ValueError, match="3 factors"):
        order(LADDER, np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="3 factors"):
        order(LADDER, np.array([0.1, 0.2, np.nan]))


@pytest.mark.parametrize("score", [order, separation])
def test_the_scores_do_not_turn_on_a_hair_where_all_is_alike(score):
    """A perfect ladder goes from 0 to 1 as its factors come to differ, and not all at once."""
    found = [score(LADDER, np.array([0.1, 0.12, hardest])) for hardest in np.arange(0.1502, 0.26, 0.005)]
    assert 0 < found[0] < 0.01 and found[-1] == pytest.approx(1)
    assert np.diff(found).min() >= 0 and np.diff(found).max() < 0.15
    many = np.append(np.full(20, 0.1), 0.5)  # that many are alike takes nothing from the one that differs
    table = np.zeros((2, 21))
    table[0, :20] = table[1, 20] = 1
    assert score(table, many) == pytest.approx(1)


def test_draws_in_which_nothing_differs_count_as_0():
    """An order that half of the draws do not have is not sure."""
    complexities = np.array([[0.1, 0.1, 0.3], *[[0.1, 0.1, 0.3], [0.1, 0.1, 0.14]] * 50])
    result: dict = {}
    _judge(result, np.repeat(LADDER[:, :, None], 101, axis=2), complexities, {})
    assert result["level_order"] == 1 and result["level_order_interval"] == [0, 1]
