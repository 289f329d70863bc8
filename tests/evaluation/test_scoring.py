import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score

from vlae.evaluation.factors import read_factor
from vlae.evaluation.scoring import score


def drawn(num, rng, draws=4):
    return np.concatenate([np.ones((1, num)), rng.multinomial(num, np.full(num, 1 / num), size=draws)])


def test_scores_are_those_of_scikit_learn_in_every_draw(rng):
    num = 400
    weights = drawn(num, rng)
    number, kind, yes = rng.normal(size=num), rng.integers(0, 4, num), rng.random(num) < 0.05
    guess = number + rng.normal(size=num)
    factor = read_factor("number", number)
    scale, mean = number.std(), number.mean()
    found = score(factor, ((guess - mean) / scale)[:, None], weights)
    assert found == pytest.approx([r2_score(number, guess, sample_weight=w) for w in weights])
    chances = rng.random((num, 4)) + (kind[:, None] == np.arange(4))
    found = score(read_factor("kind", kind), chances, weights)
    expected = [balanced_accuracy_score(kind, chances.argmax(1), sample_weight=w, adjusted=True) for w in weights]
    assert found == pytest.approx(expected)
    rising = np.round(yes + rng.normal(size=num), 1)  # with ties
    found = score(read_factor("yes", yes), rising[:, None], weights)
    assert found == pytest.approx([2 * roc_auc_score(yes, rising, sample_weight=w) - 1 for w in weights])


def test_a_rare_class_can_be_told(rng):
    rare = rng.random(2000) < 0.05
    factor, weights = read_factor("rare", rare), np.ones((1, 2000))
    assert score(factor, (rare + 0.3 * rng.normal(size=2000))[:, None], weights)[0] > 0.9
    assert abs(score(factor, rng.normal(size=(2000, 1)), weights)[0]) < 0.2
    assert score(factor, np.zeros((2000, 1)), weights)[0] == 0


def test_an_angle_has_no_seam():
    turn = np.linspace(-np.pi, np.pi, 500)
    factor = read_factor("angle", turn)
    nearly = read_factor("angle", turn + 0.1)
    assert score(factor, nearly.columns, np.ones((1, 500)))[0] > 0.97  # also where -π follows π


def test_rows_that_are_not_known_or_not_predicted_do_not_count(rng):
    number = rng.normal(size=50)
    number[:5] = np.nan
    factor = read_factor("number", number)
    predicted = factor.columns.copy()
    predicted[:5] = 99
    predicted[40:] = np.nan
    assert score(factor, predicted, np.ones((1, 50)))[0] == pytest.approx(1)


def test_a_draw_of_one_value_has_no_score(rng):
    weights = np.zeros((1, 50))
    weights[0, 0] = 50
    for name, values in {"a": rng.normal(size=50), "b": np.arange(50) % 3, "c": np.arange(50) % 2}.items():
        factor = read_factor(name, values)
        assert np.isnan(score(factor, factor.columns, weights)[0])
