"""The classifier in scikit-learn's company: its conventions, missing labels, and what it learns."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils.estimator_checks import estimator_checks_generator

from vlae import LadderClassifier

QUICK = LadderClassifier(steps=60)


def name_of(value):
    return getattr(getattr(value, "func", value), "__name__", None)


def checks():
    """All of scikit-learn's, but for the one that `test_array_api` of `test_encoder.py` gives another environment."""
    return [check for _, check in estimator_checks_generator(QUICK) if name_of(check) != "check_array_api_input"]


@pytest.mark.slow
@pytest.mark.parametrize("check", checks(), ids=name_of)
def test_keeps_every_convention_of_scikit_learn(check):
    check(clone(QUICK))


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def few(y, per_class, unknown=-1):
    labels = np.full(len(y), unknown, dtype=np.asarray(y).dtype if unknown == -1 else object)
    for value in np.unique(y):
        rows = np.flatnonzero(y == value)[:per_class]
        labels[rows] = y[rows]
    return labels


@pytest.fixture(scope="module")
def fitted(iris):
    X, y = iris
    return LadderClassifier(code_sizes=(1, 4), steps=150, random_state=0).fit(X, few(y, 5))


def test_it_learns_from_few_labels(fitted, iris):
    X, y = iris
    assert fitted.score(X, y) > 0.85
    probabilities = fitted.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (fitted.classes_[probabilities.argmax(1)] == fitted.predict(X)).all()
    assert fitted.transform(X).shape == (150, 5)
    assert fitted.get_feature_names_out().tolist()[-1] == "level2_3"
    assert fitted.inverse_transform(fitted.transform(X)).shape == X.shape


@pytest.mark.slow
def test_unlabelled_data_help(iris):
    X, y = load_digits(return_X_y=True)
    images = X / 16
    labels = few(y, 5)
    ladder = LadderClassifier(image_shape=(8, 8), steps=300, random_state=0).fit(images, labels)
    known = labels >= 0
    alone = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[known], labels[known])
    assert ladder.score(images, y) > alone.score(X, y) + 0.05


@pytest.mark.slow
def test_a_table_of_wine():
    X, y = load_wine(return_X_y=True)
    classifier = LadderClassifier(steps=300, random_state=0).fit(X, few(y, 5))
    assert classifier.score(X, y) > 0.9


# Labels that are missing


@pytest.mark.parametrize("unknown", [-1, None, np.nan])
def test_names_and_missing_labels_go_together(iris, unknown):
    X, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    labels = few(names.astype(object), 5, unknown=unknown) if unknown != -1 else few(names.astype(object), 5)
    classifier = LadderClassifier(code_sizes=(1, 4), steps=100, random_state=0).fit(X, labels)
    assert classifier.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert classifier.score(X, names) > 0.7
    assert set(classifier.predict(X)) <= set(names)


def test_one_class_beside_rows_without_a_label_is_refused(iris):
    X, _ = iris
    with pytest.raises(ValueError, match=r"y has one class, .*3.*; a classifier needs at least two"):
        LadderClassifier(steps=2).fit(X, np.where(np.arange(150) < 5, 3, -1))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LadderClassifier(code_sizes=(1, 2), steps=2).fit(X, np.arange(150) % 2).score(X, np.zeros(10))
    names = pd.Series(np.where(np.arange(150) < 75, "a", "b"), dtype="string")
    names[10:60] = pd.NA
    assert LadderClassifier(code_sizes=(1, 2), steps=2).fit(X, names).classes_.tolist() == ["a", "b"]


def test_minus_one_and_one_are_two_classes(iris):
    X, y = iris
    signs = np.where(y == 0, -1, 1)
    classifier = LadderClassifier(code_sizes=(1, 4), steps=60, random_state=0).fit(X, signs)
    assert classifier.classes_.tolist() == [-1, 1]
    assert classifier.score(X, signs) > 0.9


def test_unlabelled_rows_do_not_count_in_the_score(fitted, iris):
    X, y = iris
    labels = few(y, 20)
    assert fitted.score(X, labels) == pytest.approx(fitted.score(X[labels >= 0], y[labels >= 0]))
    weights = np.arange(150.0)
    right = fitted.predict(X) == y
    assert fitted.score(X, y, sample_weight=weights) == pytest.approx((right * weights).sum() / weights.sum())


# In company


@pytest.mark.slow
def test_pipeline_and_grid_search(iris):
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), LadderClassifier(code_sizes=(1, 4), steps=40, random_state=0))
    grid = {"ladderclassifier__settings": [None, {"label_weight": 1.0}]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert search.score(X, y) > 0.6
    taught = SelfTrainingClassifier(LadderClassifier(code_sizes=(1, 4), steps=40, random_state=0), max_iter=2)
    assert taught.fit(X, few(y, 10)).predict(X).shape == y.shape


# What is refused


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.zeros(10), "y has one class, 0.0; a classifier needs at least two"),
        (np.full(10, -1), "y has no label; give at least one of each class"),
        (np.array([None] * 10, object), "y has no label"),
        (np.arange(9), "inconsistent numbers of samples"),
        (np.linspace(0, 1, 10), "continuous"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(y, words):
    with pytest.raises(ValueError, match=words):
        LadderClassifier(steps=2).fit(np.random.default_rng(0).random((10, 3)), y)


def test_classes_that_were_not_there_are_refused_in_score(fitted, iris):
    X, y = iris
    with pytest.raises(ValueError, match=r"y has the labels \[9\], which were not there in fit"):
        fitted.score(X, np.where(y == 0, 9, y))
    with pytest.raises(ValueError, match="y has no label"):
        fitted.score(X, np.full(150, -1))
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(3,\), expected \(150,\)"):
        fitted.score(X, y, sample_weight=[1, 2, 3])
    assert fitted.score(X, y, sample_weight=np.ones(150)) == pytest.approx(fitted.score(X, y))
    for method in ("predict", "predict_proba", "transform"):
        with pytest.raises(NotFittedError):
            getattr(QUICK, method)(X)


@pytest.mark.parametrize("recipe", ["m2", "m1+m2"])
def test_it_can_be_m2(recipe, iris):
    X, y = iris
    few = np.where(np.arange(150) % 5 == 0, y, -1)
    classifier = LadderClassifier(recipe=recipe, steps=200, random_state=0).fit(X, few)
    assert classifier.score(X, y) > 0.8
    assert classifier.transform(X).shape == (150, sum(classifier.recipe_.code_sizes[:-1]))


@pytest.mark.parametrize("unknown", ["", "NaN", "?", None, -1])
def test_a_name_that_says_nothing_is_no_class(unknown):
    y = np.array([["a", "b", unknown][i % 3] for i in range(30)], object)
    x = np.random.default_rng(0).normal(size=(30, 3))
    assert LadderClassifier(steps=1, random_state=0).fit(x, y).classes_.tolist() == ["a", "b"]


def test_without_augment_pictures_are_not_varied_unless_it_is_said_how():
    x, y = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8), np.arange(40) % 2
    classifier = LadderClassifier(steps=2, random_state=0, settings={"batch_size": 1_000})

    def how(**given):
        return clone(classifier).set_params(**given).fit(x, y).recipe_

    assert how().training.augment == "shift"
    plain = how(augment=False)
    assert plain.training.augment == "none" and plain.objective.views is False
    asked = {"batch_size": 1_000, "augment": "mirror"}
    assert how(augment=False, settings=asked).training.augment == "mirror"
