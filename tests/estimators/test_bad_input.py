"""The estimators on input that they cannot use, or that holds no information: one line, in scikit-learn's words."""

import numpy as np
import pandas as pd
import pytest

from vlae.estimators import LadderClassifier, LadderEncoder

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)


def with_value(value):
    changed = X.copy()
    changed[3, 1] = value
    return changed


def encoder():
    return LadderEncoder(code_sizes=(1, 1), steps=3, random_state=0)


def classifier():
    return LadderClassifier(code_sizes=(1, 1), steps=3, random_state=0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (with_value(np.nan), "Input X contains NaN"),
        (with_value(np.inf), "Input X contains infinity"),
        (with_value(1e300), r"X has values too large for dtype\('float32'\); scale it"),
        (1e-30 * X, "the standard deviation of column 0, 1, 2, counted from 0, is .*; scale it, or leave it out"),
        (1e30 * X, "the standard deviation of column 0, 1, 2, counted from 0, is .*; scale it, or leave it out"),
        (1e9 + X, "X, column 0, counted from 0: values near 1e[+]09 differ by"),
        (pd.DataFrame(1e-30 * X, columns=list("abc")), "the standard deviation of column a, b, c is"),
        (pd.DataFrame(1e9 + X, columns=list("abc")), "X, column 'a': values near 1e[+]09 differ by"),
        (X[:1], r"Found array with 1 sample\(s\)"),
        (np.array([["a", "b"], ["c", "d"]]), "not compatible with arrays of bytes/strings"),
        (np.array([[1, "x"], [2, "y"]], object), "could not convert string to float"),
        (X[:, 0], "Expected 2D array, got 1D array"),
    ],
)
@pytest.mark.parametrize("estimator", [encoder, classifier])
def test_what_cannot_be_used_is_refused(estimator, data, message):
    with pytest.raises(ValueError, match=message):
        estimator().fit(data, Y[: len(data)])


def test_constant_columns_and_values_far_from_them_give_numbers():
    constant = X.copy()
    constant[:, 1] = 5
    far = constant.copy()
    far[0, 1] = 7_000
    fitted = encoder().fit(constant)
    for data in (constant, far, constant[:1]):
        assert np.isfinite(fitted.transform(data)).all() and np.isfinite(fitted.score_samples(data)).all()
    assert np.isfinite(encoder().fit_transform(np.ones((20, 3)))).all()
    assert np.isfinite(classifier().fit(constant, Y).predict_proba(far)).all()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"steps": 2.5}, r"steps is 2\.5; give a whole number from 1 up"),
        ({"steps": "5"}, "steps is '5'; give a whole number from 1 up"),
        ({"steps": True}, "steps is True; give a whole number from 1 up"),
        ({"settings": {"batch_size": 8.5}}, r"batch_size is 8\.5; give a whole number from 2 up"),
        ({"settings": {"patience": 1.5}}, r"patience is 1\.5; give a whole number from 1 up"),
        ({"settings": {"seed": 3}}, "random_state and the seed of settings are both given; give one"),
        ({"levels": "1"}, "a level of levels is '1'; give a whole number"),
        ({"levels": True}, "a level of levels is True; give a whole number"),
        ({"levels": [1.5]}, r"a level of levels is 1\.5; give a whole number"),
        ({"image_shape": (1, 3.2)}, r"a side of image_shape is 3\.2; give a whole number"),
        ({"code_sizes": (1.5, 1)}, "code_sizes is .*; give whole numbers"),
    ],
)
def test_what_is_no_whole_number_is_not_taken_for_one(setting, message):
    with pytest.raises(ValueError, match=message):
        encoder().set_params(**setting).fit(X)


def test_whole_numbers_of_numpy_and_a_seed_among_the_settings_are_taken():
    given = {"steps": np.int64(3), "levels": np.array([1]), "random_state": None, "settings": {"seed": 3}}
    fitted = encoder().set_params(**given).fit(X)
    assert fitted.recipe_.training.seed == 3 and fitted.transform(X).shape == (40, 1)
    open_seed = [encoder().set_params(random_state=seed, settings={"seed": None}).fit(X) for seed in (7, 8)]
    assert len({fitted.recipe_.training.seed for fitted in open_seed}) == 2


def test_labels_are_names_or_numbers():
    with pytest.raises(ValueError, match="y has names and numbers; give one of the two"):
        classifier().fit(X, np.array([1, "a"] * 20, object))


def test_a_label_that_is_there_once_is_a_class():
    labels = np.array(["b"] + ["a"] * 39)
    assert classifier().fit(X, labels).classes_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="y has one class, 'a'; a classifier needs at least two"):
        classifier().fit(X, np.full(40, "a"))


def test_pixels_that_nothing_trains_are_refused():
    encoder = LadderEncoder(recipe="implicit", settings={"family": "pixel"}, steps=1)
    with pytest.raises(ValueError, match="only the distortion trains the pixels of the family 'pixel'"):
        encoder.fit(np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8))


def test_no_images_at_all_are_told_of():
    encoder = LadderEncoder(code_sizes=(2,), steps=1).fit(np.zeros((8, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        encoder.transform(np.zeros((0, 8, 8), np.uint8))
