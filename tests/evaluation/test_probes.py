import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV
from sklearn.metrics.pairwise import rbf_kernel

from vlae.data import Images
from vlae.errors import NotDefinedError
from vlae.evaluation import probes
from vlae.evaluation.factors import factors_to_predict
from vlae.evaluation.kin import kin_of
from vlae.evaluation.probes import FIT_SHARE, MAX_FOLDED, accuracy, parts, standardised
from vlae.evaluation.scoring import score


def predict(inputs, known, **more):
    """The score of each factor."""
    factors, _ = factors_to_predict(known)
    predictions = probes.predict(inputs, factors, **more)
    return {name: score(factors[name], predictions[name], np.ones((1, len(inputs))))[0] for name in factors}


def test_what_is_in_the_inputs_is_predicted_and_what_is_not_is_not(rng):
    known = {"number": rng.normal(size=600), "kind": rng.integers(0, 3, 600), "yes": rng.random(600) < 0.1}
    inputs = np.column_stack([known["number"], np.eye(3)[known["kind"]], known["yes"], rng.normal(size=600)])
    unknown = {"unknown": rng.normal(size=600), "unknown kind": rng.integers(0, 4, 600), "no": rng.random(600) < 0.1}
    for landmarks in (0, 100):
        scores = predict(inputs, known | unknown, landmarks=landmarks)
        assert list(scores) == [*known, *unknown]
        assert all(scores[name] > 0.9 for name in known)
        assert all(abs(scores[name]) < 0.15 for name in unknown)


def test_capacity_tells(rng):
    x = rng.uniform(-1, 1, (1500, 2))
    known = {"straight": x[:, 0], "bent": x[:, 0] ** 2}
    linear, kernel = predict(x, known, landmarks=0), predict(x, known)
    assert linear["straight"] > 0.99 and linear["bent"] < 0.05
    assert kernel["bent"] > 0.99 and kernel["straight"] > 0.99


def test_many_classes_are_told_as_classes(rng):
    kind = rng.permutation(2020) % 101
    places = rng.normal(size=(101, 8))
    inputs = places[kind] + 0.3 * rng.normal(size=(2020, 8))
    assert predict(inputs, {"label": kind})["label"] > 0.9


def test_few_data_are_each_scored_once():
    for num in (60, MAX_FOLDED):
        divided = parts(num, seed=3)
        assert sorted(np.concatenate([scored for _, scored in divided])) == list(range(num))
        assert all(sorted([*fit, *scored]) == list(range(num)) for fit, scored in divided)
    ((fit, scored),) = parts(MAX_FOLDED + 1, seed=3)
    assert len(fit) == round(FIT_SHARE * (MAX_FOLDED + 1)) and len(fit) + len(scored) == MAX_FOLDED + 1


@pytest.mark.parametrize("copies", [1, 2, 3, 5])
@pytest.mark.parametrize("num", [600, 2_400])
def test_copies_tell_nothing_of_each_other(rng, copies, num):
    each = num // copies
    row = rng.permutation(each * copies) // copies
    values = rng.integers(0, 256, (each, 1, 4, 4), dtype=np.uint8)
    known = {"number": rng.normal(size=each)[row], "kind": rng.integers(0, 4, each)[row]}
    kin = kin_of(Images(values=values[row]))
    inputs = rng.normal(size=(each, 4))[row]
    scores = predict(inputs, known, kin=kin)
    assert (kin is None) == (copies == 1) and all(abs(value) < 0.2 for value in scores.values())
    if num == 600:
        assert accuracy(inputs, known["kind"], kin=kin) < 0.36


def test_rows_of_a_set_are_on_one_side_and_of_copies_one_is_fitted_to(rng):
    kin = np.concatenate([np.repeat(-1 - np.arange(40), 3), np.repeat(40 + np.arange(20), 4)])[rng.permutation(200)]
    for every in (kin, np.tile(kin, 15)):
        for fit, scored in parts(len(every), seed=1, kin=every):
            assert not set(every[fit]) & set(every[scored]) and {*every[fit], *every[scored]} == set(kin)
            assert np.unique(every[fit][every[fit] < 0], return_counts=True)[1].max() == 1
            assert (every[fit] >= 0).sum() == (np.isin(every, every[fit]) & (every >= 0)).sum()
    scored = np.concatenate([scored for _, scored in parts(200, seed=1, kin=kin)])
    assert sorted(scored) == list(range(200))
    alone = parts(200, seed=1, kin=rng.permutation(200))
    for (fit, scored), (same, also) in zip(parts(200, seed=1), alone, strict=True):
        assert np.array_equal(fit, same) and np.array_equal(scored, also)


def test_copies_of_one_datum_cannot_be_probed(rng):
    for num in (100, 2_400):
        with pytest.raises(NotDefinedError, match="copies of one"):
            accuracy(rng.normal(size=(num, 2)), np.arange(num) % 2, kin=np.full(num, -1))


def test_data_belong_together_if_they_are_equal_or_pages_of_one_file():
    values = np.random.default_rng(0).integers(0, 256, (9, 1, 4, 4), dtype=np.uint8)
    assert kin_of(Images(values=values)) is None
    values[8] = values[0]
    assert kin_of(Images(values=values)).tolist() == [-1, -2, -3, -4, -5, -6, -7, -8, -1]
    pages = np.array([0, 1, 1, 2, 3, 4, 5, -1, 6])
    kin = kin_of(Images(values=values, groups=pages))
    assert kin[1] == kin[2] >= 0 and kin[0] == kin[8] < 0 and len(set(kin)) == 7
    assert kin_of(Images(values=values, groups=np.repeat(0, 9))).tolist() == kin_of(Images(values=values)).tolist()
    assert kin_of(Images(values=np.repeat(values[:1], 9, 0))) is None
    rows = np.random.default_rng(0).integers(0, 2, (100, 3)).astype(np.float32)
    assert kin_of(Images(values=rows)) is None  # eight combinations of three categories, each many times
    vectors = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    assert len(set(kin_of(Images(values=np.concatenate([vectors, vectors]))))) == 100


def test_sixty_data_are_enough_for_what_is_plain(rng):
    x = rng.normal(size=(60, 6))
    scores = predict(x, {"plain": x[:, 0], "kind": (x[:, 1] > 0).astype(int), "none": rng.normal(size=60)})
    assert scores["plain"] > 0.95 and scores["kind"] > 0.9 and scores["none"] < 0.2


def test_the_data_scored_are_not_those_fitted_to(rng):
    noise = rng.normal(size=(80, 60))  # enough columns to learn 64 rows by heart
    assert predict(noise, {"y": rng.normal(size=80), "kind": rng.integers(0, 2, 80)})["y"] < 0.2
    assert accuracy(noise, rng.integers(0, 2, 80), hidden=()) < 0.75


@pytest.mark.parametrize("is_scaled", [False, True])
def test_a_prediction_does_not_depend_on_the_other_data_that_are_scored(rng, is_scaled):
    x = rng.normal(size=(200, 3))
    factors, _ = factors_to_predict({"y": np.sin(3 * x[:, 0])})
    _, scored = parts(200, seed=0)[0]
    one = probes.predict(x, factors, landmarks=50, is_scaled=is_scaled)["y"]
    x[scored[1:]] += 0.5 * rng.normal(size=(len(scored) - 1, 3))
    assert probes.predict(x, factors, landmarks=50, is_scaled=is_scaled)["y"][scored[0]] == pytest.approx(
        one[scored[0]], abs=1e-9
    )


@pytest.mark.parametrize("known_from", [-np.inf, 0.5])
def test_linear_predictions_are_those_of_scikit_learn(rng, known_from):
    x = rng.normal(size=(300, 4))
    y = x @ [1, 2, 0, 0] + rng.normal(size=300)
    y[x[:, 1] < known_from] = np.nan  # then the mean of the rows that are known is not 0
    factors, _ = factors_to_predict({"y": y})
    found = probes.predict(x, factors, landmarks=0)["y"][:, 0]
    for fit, scored in parts(300, seed=0):
        z = standardised(x, fit)
        z = z / np.sqrt((z[fit] ** 2).sum(1).mean())
        rows = fit[factors["y"].known[fit]]
        penalties = [len(rows) * penalty for penalty in probes.PENALTIES]
        ridge = RidgeCV(penalties).fit(z[rows], factors["y"].columns[rows, 0])
        assert found[scored] == pytest.approx(ridge.predict(z[scored]), abs=1e-9)


def test_with_a_landmark_a_row_it_is_kernel_ridge_regression(rng):
    x = rng.uniform(-1, 1, (100, 2))
    y = np.sin(3 * x[:, 0])
    factors, _ = factors_to_predict({"y": y})
    found = probes.predict(x, factors, landmarks=10_000, widths=(1.0,), is_linear=False)["y"][:, 0]
    for fit, scored in parts(100, seed=0):
        z = standardised(x, fit)
        z = z / np.sqrt((z[fit] ** 2).sum(1).mean())
        exact = KernelRidge(kernel="rbf", gamma=1.0, alpha=1e-6).fit(z[fit], factors["y"].columns[fit, 0])
        assert np.corrcoef(found[scored], exact.predict(z[scored]))[0, 1] > 0.999


def test_products_of_kernel_features_are_the_kernel(rng):
    x = rng.normal(size=(50, 3))
    features = probes._kernel_features(x, x[:20], 0.5)
    assert (features @ features[:20].T) == pytest.approx(rbf_kernel(x, x[:20], gamma=0.5), abs=1e-4)


def test_missing_rows_are_neither_fitted_to_nor_needed(rng):
    x = rng.normal(size=(300, 3))
    y = x[:, 0].copy()
    y[:100] = np.nan
    factors, _ = factors_to_predict({"y": y, "z": x[:, 1]})
    found = probes.predict(x, factors)
    assert np.corrcoef(found["y"][:100, 0], x[:100, 0])[0, 1] > 0.999  # what is not known can still be predicted
    assert np.corrcoef(found["z"][:, 0], x[:, 1])[0, 1] > 0.999


def test_seeded(rng):
    known = {"number": rng.normal(size=600), "kind": rng.integers(0, 3, 600)}
    inputs = rng.normal(size=(600, 3)) + known["number"][:, None]
    assert predict(inputs, known, seed=1) == predict(inputs, known, seed=1) != predict(inputs, known, seed=2)
    assert accuracy(inputs, known["kind"], seed=1) == accuracy(inputs, known["kind"], seed=1)


def test_a_probe_with_nothing_to_look_at_scores_nothing(rng):
    known = {"number": rng.normal(size=600), "kind": rng.integers(0, 3, 600), "yes": rng.random(600) < 0.05}
    for inputs in (np.zeros((600, 0)), np.ones((600, 2))):
        assert all(abs(value) < 0.15 for value in predict(inputs, known).values())
    assert predict(np.ones((80, 2)), {}) == {}


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
    rare[parts(50, 0)[0][1][0]] = 1
    with pytest.raises(NotDefinedError, match="give more"):
        accuracy(rng.normal(size=(50, 2)), rare)


def test_a_pixel_lit_once_does_not_become_the_largest(rng):
    x = rng.normal(size=(1000, 3))
    x[:, 2] = 0
    x[5, 2] = 1
    fit = np.arange(10, 1000)
    assert abs(standardised(x, fit)).max() < 15
    assert standardised(x, fit)[fit, :2].std(0) == pytest.approx(1)
