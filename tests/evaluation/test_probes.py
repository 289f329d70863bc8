import numpy as np
import pytest

from vlae.errors import NotDefinedError
from vlae.evaluation.information import MAX_CLASSES
from vlae.evaluation.probes import FIT_SHARE, accuracy, predict, split, standardised, targets_of


def factors(rng, num=600):
    number, kind = rng.normal(size=num), rng.integers(0, 3, num)
    return {"number": number, "kind": kind}


def test_what_is_in_the_inputs_is_predicted_and_what_is_not_is_not(rng):
    known = factors(rng)
    targets, left_out = targets_of({**known, "unknown": rng.normal(size=600), "unknown kind": rng.integers(0, 4, 600)})
    inputs = np.column_stack([known["number"], np.eye(3)[known["kind"]], rng.normal(size=600)])
    assert left_out == {}
    for hidden in ((), (64,)):
        scores = predict(inputs, targets, hidden=hidden)
        assert list(scores) == ["number", "kind", "unknown", "unknown kind"]
        assert scores["number"] > 0.8 and scores["kind"] > 0.9
        assert scores["unknown"] < 0.1 and scores["unknown kind"] < 0.1


def test_capacity_tells(rng):
    x = rng.uniform(-1, 1, (3000, 2))
    targets, _ = targets_of({"straight": x[:, 0], "bent": x[:, 0] ** 2})
    linear, network = (predict(x, targets, hidden=hidden) for hidden in ((), (64,)))
    assert linear["straight"] > 0.99 and linear["bent"] < 0.05
    assert network["bent"] > 0.8


def test_r2_and_accuracy_above_chance_by_hand(rng):
    x = rng.normal(size=(500, 1))
    y = 2 * x[:, 0] + rng.normal(size=500)
    targets, _ = targets_of({"y": y})
    fit, scored = split(500, seed=0)
    slope, intercept = np.polyfit(x[fit, 0], y[fit], 1)
    residual = ((y[scored] - slope * x[scored, 0] - intercept) ** 2).sum()
    by_hand = 1 - residual / ((y[scored] - y[scored].mean()) ** 2).sum()
    assert predict(x, targets, hidden=())["y"] == pytest.approx(by_hand, abs=1e-3)

    lopsided = (rng.random(2000) < 0.1).astype(int)
    targets, _ = targets_of({"rare": lopsided})
    # Naming the frequent class is right nine times of ten, and worth nothing.
    assert predict(rng.normal(size=(2000, 2)), targets, hidden=())["rare"] == pytest.approx(0, abs=0.02)


def test_the_data_scored_are_not_those_fitted_to(rng):
    fit, scored = split(100, seed=3)
    assert len(fit) == round(FIT_SHARE * 100) and sorted([*fit, *scored]) == list(range(100))
    noise = rng.normal(size=(80, 60))  # enough columns to learn 48 rows by heart
    targets, _ = targets_of({"y": rng.normal(size=80)})
    assert predict(noise, targets, hidden=())["y"] < 0.4


def test_seeded(rng):
    targets, _ = targets_of(factors(rng))
    inputs = rng.normal(size=(600, 3)) + targets.values[0][:, None]
    assert predict(inputs, targets, seed=1) == predict(inputs, targets, seed=1)
    assert predict(inputs, targets, seed=1) != predict(inputs, targets, seed=2)
    labels = targets.values[1]
    assert accuracy(inputs, labels, seed=1) == accuracy(inputs, labels, seed=1)


def test_a_probe_with_nothing_to_look_at_scores_nothing(rng):
    targets, _ = targets_of(factors(rng))
    assert predict(np.zeros((600, 0)), targets) == {"number": 0.0, "kind": 0.0}
    scores = predict(np.ones((600, 2)), targets)
    assert all(abs(score) < 0.05 for score in scores.values())


def test_what_cannot_be_predicted_is_named(rng):
    targets, left_out = targets_of(
        {"constant": np.zeros(9), "gap": np.array([np.nan] + [1.0] * 8), "good": np.arange(9.0)}
    )
    assert targets.names == ("good",)
    assert left_out["constant"] == "it is the same in all the data"
    assert "not finite" in left_out["gap"]


def test_integers_of_many_values_are_numbers():
    few, many = np.arange(200) % MAX_CLASSES, np.arange(200)
    targets, _ = targets_of({"few": few, "many": many, "truth": np.arange(200) % 2 == 0})
    assert [kinds is None for kinds in targets.classes] == [False, True, False]
    assert targets.columns.shape == (200, MAX_CLASSES + 1 + 2)
    assert targets.columns.mean(0) == pytest.approx(0, abs=1e-9)
    assert targets.columns.std(0) == pytest.approx(1)


def test_no_factor_at_all():
    targets, left_out = targets_of({})
    assert targets.names == () and left_out == {} and predict(np.ones((5, 2)), targets) == {}


def test_accuracy(rng):
    labels = rng.integers(0, 4, 800)
    told = np.eye(4)[labels] + 0.01 * rng.normal(size=(800, 4))
    assert accuracy(told, labels) > 0.97 and accuracy(told, labels, hidden=()) > 0.97
    assert accuracy(rng.normal(size=(800, 4)), labels) == pytest.approx(0.25, abs=0.1)
    ring = rng.normal(size=(3000, 2))
    inside = (np.linalg.norm(ring, axis=1) < 1.2).astype(int)
    assert accuracy(ring, inside) > 0.95 > 0.7 > accuracy(ring, inside, hidden=())


def test_accuracy_with_a_class_of_one(rng):
    labels = np.zeros(60, int)
    labels[:20], labels[20] = 1, 2
    assert 0 <= accuracy(rng.normal(size=(60, 2)), labels) <= 1


def test_accuracy_not_defined(rng):
    with pytest.raises(NotDefinedError, match="same label"):
        accuracy(rng.normal(size=(50, 2)), np.ones(50, int))
    with pytest.raises(NotDefinedError, match="without a code"):
        accuracy(np.zeros((50, 0)), np.arange(50) % 2)
    rare = np.zeros(50, int)
    rare[split(50, 0)[1][0]] = 1
    with pytest.raises(NotDefinedError, match="give more"):
        accuracy(rng.normal(size=(50, 2)), rare)


def test_a_pixel_lit_once_does_not_become_the_largest(rng):
    x = rng.normal(size=(1000, 3))
    x[:, 2] = 0
    x[5, 2] = 1
    fit = np.arange(10, 1000)
    assert abs(standardised(x, fit)).max() < 15
    assert standardised(x, fit)[fit, :2].std(0) == pytest.approx(1)
