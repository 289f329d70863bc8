import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator

from vlae import LadderEncoder
from vlae.data import load
from vlae.models import inference
from vlae.recipes import lean

QUICK = LadderEncoder(steps=3)


def name_of(value):
    return getattr(getattr(value, "func", value), "__name__", None)


def checks():
    """All of scikit-learn's, but for the one that needs another environment, which `test_array_api` gives it."""
    return [check for _, check in estimator_checks_generator(QUICK) if name_of(check) != "check_array_api_input"]


@pytest.mark.slow
@pytest.mark.parametrize("check", checks(), ids=name_of)
def test_keeps_every_convention_of_scikit_learn(check):
    check(clone(QUICK))


@pytest.mark.slow
def test_array_api():
    code = """
from sklearn.utils.estimator_checks import estimator_checks_generator as checks
from vlae import LadderClassifier, LadderEncoder
for each in (LadderEncoder(steps=3), LadderClassifier(steps=60)):
    (check,) = [c for _, c in checks(each) if getattr(c.func, "__name__", "") == "check_array_api_input"]
    check(each)
"""
    environment = {**os.environ, "SCIPY_ARRAY_API": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def digits():
    return load_digits().data[:200] / 16


@pytest.fixture(scope="module")
def fitted(digits):
    return LadderEncoder(code_sizes=(1, 2), image_shape=(8, 8), steps=40, random_state=0).fit(digits)


@pytest.mark.slow
def test_it_learns_to_give_digits_back(digits):
    encoder = LadderEncoder(code_sizes=(4, 8), image_shape=(8, 8), steps=150, random_state=0).fit(digits)
    again = encoder.inverse_transform(encoder.transform(digits))
    assert again.shape == digits.shape
    assert np.square(again - digits).mean() < 0.6 * digits.var(0).mean()  # what the mean digit gives
    assert encoder.score(digits) > encoder.score(1 - digits) + 10  # nats
    odd = np.concatenate([digits[:50], 1 - digits[:1]])
    assert encoder.score_samples(odd).argmin() == 50


def test_what_it_gives_does_not_depend_on_the_batch(fitted, digits):
    codes, scores = fitted.transform(digits), fitted.score_samples(digits)
    assert codes.dtype == scores.dtype == np.float32
    np.testing.assert_allclose(fitted.transform(digits[:1]), codes[:1], atol=1e-5)
    np.testing.assert_allclose(fitted.score_samples(digits[7:9]), scores[7:9], rtol=1e-4)
    np.testing.assert_allclose(fitted.score_samples(digits[::-1]), scores[::-1], rtol=1e-4)
    assert fitted.score(digits) == scores.mean(dtype=np.float64)


def test_codes_of_a_table_are_the_same_to_the_last_digit_in_any_batch(digits):
    encoder = LadderEncoder(code_sizes=(1, 2), steps=3, random_state=0).fit(digits)
    codes = encoder.transform(digits)
    assert np.array_equal(codes, np.concatenate([encoder.transform(row[None]) for row in digits]))
    assert encoder.score_samples(digits).dtype == np.float64


@pytest.mark.parametrize("name", ["transform", "score_samples"])
def test_an_interrupt_leaves_pytorch_as_it_was(fitted, digits, monkeypatch, name):
    def interrupted(model, x):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(fitted.model_), "infer", interrupted)
    with pytest.raises(KeyboardInterrupt) as kept:  # its traceback holds what was under way
        getattr(fitted, name)(digits)
    assert kept.tb is not None and not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("recipe", ["hvae", "lvae", "joint", "vae"])
def test_every_recipe_takes_a_table(digits, recipe):
    encoder = LadderEncoder(recipe=recipe, steps=3, random_state=0).fit(digits)
    codes = encoder.transform(digits)
    assert np.array_equal(encoder.transform(digits[:7]), codes[:7]) and codes.dtype == np.float32
    assert encoder.inverse_transform(codes).shape == digits.shape and np.isfinite(encoder.score(digits))


def test_seeds(digits):
    def codes(seed):
        return LadderEncoder(code_sizes=(2,), steps=5, random_state=seed).fit_transform(digits)

    state = torch.get_rng_state()
    first = codes(0)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(codes(0), first)
    assert not np.allclose(codes(1), first)
    assert not np.array_equal(codes(None), codes(None))


def test_it_is_quiet_and_leaves_nothing(digits, tmp_path, monkeypatch, capfd, recwarn):
    monkeypatch.chdir(tmp_path)
    LadderEncoder(steps=3, random_state=0).fit_transform(digits)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert not list(tmp_path.iterdir())
    assert not recwarn.list


# Forms of images


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3), (3, 8, 8)])
def test_images_are_arrays_or_flattened(shape):
    images = np.random.default_rng(0).random((30, *shape), dtype=np.float32)
    settings = {"code_sizes": (1, 2), "steps": 3, "random_state": 0}
    of_arrays = LadderEncoder(**settings).fit(images)
    of_rows = LadderEncoder(image_shape=shape, **settings).fit(images.reshape(30, -1))
    codes = of_arrays.transform(images)
    assert np.array_equal(of_rows.transform(images.reshape(30, -1)), codes)
    assert of_arrays.image_shape_ == of_rows.image_shape_ == shape
    assert of_arrays.recipe_.shape == ((1, 8, 8) if len(shape) == 2 else (3, 8, 8))
    assert of_arrays.inverse_transform(codes).shape == images.shape
    flat = of_rows.inverse_transform(codes)
    assert np.array_equal(flat.reshape(images.shape), of_arrays.inverse_transform(codes))


def test_whole_numbers_are_grey_values(digits):
    whole = (digits * 255).round().astype(np.uint8)
    encoder = LadderEncoder(code_sizes=(2,), image_shape=(8, 8), steps=3, random_state=0).fit(whole)
    np.testing.assert_allclose(encoder.transform(whole), encoder.transform(whole / 255), atol=1e-5)
    np.testing.assert_array_equal(encoder.transform(whole), encoder.transform(pd.DataFrame(whole.astype(int))))


# Levels and names


def test_zeros_and_ones_are_black_and_white_as_in_load():
    images = (np.random.default_rng(0).random((20, 8, 8)) > 0.5).astype(np.uint8)
    images[0] = 0  # a batch need not hold a 1
    encoder = LadderEncoder(code_sizes=(1, 2), steps=2, random_state=0)
    codes = encoder.fit_transform(images)
    loaded = load(images, split="all").values
    for other in (loaded[:, 0], images.astype(np.int64), images.astype(bool), images.astype(float)):
        assert np.array_equal(LadderEncoder(code_sizes=(1, 2), steps=2, random_state=0).fit_transform(other), codes)
    assert np.allclose(encoder.transform(images[:1]), codes[:1], atol=1e-5)
    with pytest.raises(ValueError, match=r"pixels from 0 to 255 .*; images are only 0 and 1, as in fit"):
        encoder.transform(images * 255)
    dark = loaded[:, 0].copy()
    dark[0] = images[1]  # 0 and 1 of 255
    shades = LadderEncoder(code_sizes=(1, 2), steps=2, random_state=0).fit(dark)
    assert np.allclose(shades.transform(dark[:1]), shades.transform(dark)[:1], atol=1e-5)


def test_a_dark_batch_of_bytes_is_dark_after_floats_too(digits):
    encoder = LadderEncoder(code_sizes=(2,), image_shape=(8, 8), steps=2, random_state=0).fit(digits)
    dark = np.eye(64, dtype=np.uint8)[:5]  # 1 of 255
    bright = np.concatenate([dark, np.full((1, 64), 255, np.uint8)])
    assert np.allclose(encoder.transform(dark), encoder.transform(bright)[:5], atol=1e-5)


@pytest.mark.parametrize("kind", [float, bool])
def test_after_zeros_and_ones_that_are_no_whole_numbers_bytes_are_bytes(kind):
    pictures = np.random.default_rng(0).random((20, 8, 8)) > 0.5
    encoder = LadderEncoder(code_sizes=(2,), steps=2, random_state=0).fit(pictures.astype(kind))
    codes = encoder.transform(pictures.astype(kind))
    for whole in (pictures.astype(np.uint8) * 255, pictures.astype(int)):
        assert np.allclose(encoder.transform(whole), codes, atol=1e-5)


def test_pictures_may_leave_their_range_by_rounding(digits):
    encoder = LadderEncoder(code_sizes=(2,), image_shape=(8, 8), steps=2, random_state=0).fit(digits / digits.max())
    beyond = digits / digits.max() * (1 + 5e-7)
    assert np.allclose(encoder.transform(beyond), encoder.transform(digits / digits.max()), atol=1e-5)
    assert LadderEncoder(code_sizes=(2,), image_shape=(8, 8), steps=2).fit(beyond).value_range_ is None
    with pytest.raises(ValueError, match=r"pixels from 0 to 1\.0010\d* are given"):
        encoder.transform(beyond * 1.001)


def test_large_pictures_are_taken_in_small_batches(digits, fitted, monkeypatch):
    monkeypatch.setattr(inference, "BATCH_PIXELS", 3 * 8 * 8)
    encoder = LadderEncoder(code_sizes=(2,), image_shape=(8, 8), steps=2, random_state=0).fit(digits[:10])
    infer, sizes = type(encoder.model_).infer, []
    monkeypatch.setattr(type(encoder.model_), "infer", lambda model, x: sizes.append(len(x)) or infer(model, x))
    encoder.transform(digits[:7])
    assert sizes == [3, 3, 1]


def test_levels_choose_the_columns(fitted, digits):
    codes = fitted.transform(digits)
    assert fitted.get_feature_names_out().tolist() == ["level1_0", "level2_0", "level2_1"]
    for levels, columns in ((2, [1, 2]), ([1], [0]), ((2, 1), [0, 1, 2])):
        one = clone(fitted).set_params(levels=levels).fit(digits)
        assert np.array_equal(one.transform(digits), codes[:, columns])
        assert one.get_feature_names_out().tolist() == fitted.get_feature_names_out()[columns].tolist()
        assert one.inverse_transform(one.transform(digits)).shape == digits.shape
    held = codes.copy()
    held[:, 0] = 0
    one = clone(fitted).set_params(levels=2).fit(digits)
    np.testing.assert_allclose(one.inverse_transform(codes[:, 1:]), fitted.inverse_transform(held), atol=1e-6)


def test_data_frames(fitted):
    iris = load_iris(as_frame=True).data
    encoder = LadderEncoder(code_sizes=(1, 2), steps=3, random_state=0).set_output(transform="pandas")
    codes = encoder.fit_transform(iris)
    assert codes.columns.tolist() == ["level1_0", "level2_0", "level2_1"]
    assert codes.index.equals(iris.index)
    assert encoder.feature_names_in_.tolist() == iris.columns.tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        encoder.transform(iris.rename(columns={iris.columns[0]: "other"}))


def test_hierarchical_models_have_the_same_face(digits):
    encoder = LadderEncoder(recipe="hvae", code_sizes=(4, 2), image_shape=(8, 8), levels=1, steps=3, random_state=0)
    codes = encoder.fit_transform(digits)
    assert codes.shape == (200, 4)
    assert encoder.inverse_transform(codes).shape == digits.shape
    assert np.isfinite(encoder.score_samples(digits)).all()


def test_levels_left_out_are_decoded_at_the_mean_of_their_prior_under_the_codes_above(digits):
    encoder = LadderEncoder(recipe="hvae", code_sizes=(4, 2), image_shape=(8, 8), levels=2, steps=3, random_state=0)
    high = torch.from_numpy(encoder.fit_transform(digits))
    with torch.no_grad():
        low = encoder.model_.eval().prior(1, (high,)).mean
        expected = encoder.model_.decode((low, high)).numpy()
    np.testing.assert_allclose(encoder.inverse_transform(high), expected.reshape(200, 64), atol=1e-6)


# In scikit-learn's company


@pytest.mark.slow
def test_pipeline_grid_search_clone_pickle_and_joblib(digits, fitted, tmp_path):
    labels = load_digits().target[:200]
    encoder = LadderEncoder(code_sizes=(2, 4), image_shape=(8, 8), steps=5, random_state=0)
    pipeline = make_pipeline(encoder, LogisticRegression())
    grid = {"ladderencoder__levels": [1, None], "ladderencoder__settings": [None, {"beta": 2.0}]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(digits, labels)
    assert len(search.cv_results_["mean_test_score"]) == 4
    assert search.best_estimator_.predict(digits).shape == labels.shape
    unlabelled = GridSearchCV(encoder, {"codes": [(1,), (4,)]}, cv=2, error_score="raise").fit(digits)
    assert np.isfinite(unlabelled.cv_results_["mean_test_score"]).all()

    assert clone(fitted).get_params() == fitted.get_params()
    joblib.dump(fitted, tmp_path / "encoder.joblib")
    for other in (pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "encoder.joblib")):
        assert np.array_equal(other.transform(digits), fitted.transform(digits))


# What is refused


@pytest.mark.parametrize(
    ("settings", "X", "words"),
    [
        ({"image_shape": (8, 8)}, np.zeros((4, 65)), r"image_shape \(8, 8\) has 64 numbers; X has 65 columns"),
        ({"code_sizes": "2,2"}, np.zeros((4, 5)), r"code_sizes is '2,2'; give whole numbers, .*: \(2, 2, 2\)"),
        ({"code_sizes": 3}, np.zeros((4, 5)), "code_sizes is 3; give whole numbers"),
        ({"code_sizes": (2, 1.5)}, np.zeros((4, 5)), "give whole numbers"),
        ({"image_shape": (2, 4, 8)}, np.zeros((4, 64)), "sides from 8"),
        ({"image_shape": (4, 4, 4)}, np.zeros((4, 64)), r"expected \(height, width\)"),
        ({"image_shape": (8, 9)}, np.zeros((4, 8, 8)), r"images of shape \(8, 8\) are given; expected \(8, 9\)"),
        ({"levels": 3}, np.zeros((4, 5)), r"levels are 3, of which \[3\] have no code; choose from \[1, 2\]"),
        ({"levels": (1, 1)}, np.zeros((4, 5)), r"levels are \(1, 1\); give one or more of \[1, 2\], each once"),
        ({"levels": ()}, np.zeros((4, 5)), r"levels are \(\); give one or more"),
        ({"recipe": "learn"}, np.zeros((4, 5)), "no recipe 'learn'; choose one of lean"),
        ({"recipe": lean((6,))}, np.zeros((4, 5)), r"recipe is for data of shape \(6,\)"),
        ({"recipe": lean((5,)), "code_sizes": (1,)}, np.zeros((4, 5)), "a recipe made before has its own"),
        ({"settings": {"stepps": 1}}, np.zeros((4, 5)), "no recipe has a setting stepps"),
        ({"steps": 0}, np.zeros((4, 5)), "steps is 0"),
        ({}, np.full((4, 5), 1e300), "too large for dtype"),
        ({}, np.where(np.arange(90).reshape(30, 3) == 17, 1e30, np.arange(90).reshape(30, 3)), "X, column 2, row 5, "),
    ],
)
def test_bad_input_is_named(settings, X, words):
    with pytest.raises(ValueError, match=words):
        LadderEncoder(**{"steps": 3, **settings}).fit(X)


def test_m2_finds_classes_without_labels():
    encoder = LadderEncoder(recipe="m2", steps=3).fit(np.random.default_rng(0).normal(size=(40, 5)))
    assert encoder.transform(np.zeros((2, 5))).shape[0] == 2


def test_other_codes_and_images_are_refused(fitted):
    with pytest.raises(ValueError, match=r"X has 4 columns; the codes of levels \(1, 2\) have 3"):
        fitted.inverse_transform(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"images of shape \(4, 16\) are given; expected \(8, 8\)"):
        fitted.transform(np.zeros((2, 4, 16)))
    for method in ("transform", "inverse_transform", "score_samples", "score", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(QUICK, method)(np.zeros((2, 3)))


@pytest.mark.parametrize(
    "images",
    [
        np.random.default_rng(0).integers(0, 4096, (20, 8, 8), dtype=np.uint16),
        np.random.default_rng(0).integers(-300, 300, (20, 8, 8, 3), dtype=np.int16),
        np.random.default_rng(0).normal(size=(20, 8, 8)),
    ],
)
def test_numbers_of_any_depth_are_mapped_as_load_maps_them(images):
    loaded = load(images, split="all")
    encoder = LadderEncoder(code_sizes=(1, 2), steps=2, random_state=0).fit(images)
    assert encoder.value_range_ == loaded.value_range
    assert np.array_equal(encoder._values(images, fitting=False), loaded.values)
    assert np.allclose(encoder.transform(images[:1]), encoder.transform(images)[:1], atol=1e-5)
    with pytest.warns(UserWarning, match="X has 1 number outside of .*, the range in fit; clipped"):
        beyond = images[:1].copy()
        beyond.flat[0] = 30_000
        encoder.transform(beyond)
    in_bytes = LadderEncoder(code_sizes=(1, 2), steps=2, random_state=0).fit(np.arange(256).reshape(4, 8, 8))
    assert in_bytes.value_range_ is None
    with pytest.raises(ValueError, match="pixels from 300 to 300 are given; images are whole numbers from 0 to 255"):
        in_bytes.transform(np.full((1, 8, 8), 300))


def test_the_curves_are_kept(digits):
    encoder = LadderEncoder(steps=60, random_state=0, settings={"validation": 0.1, "batch_size": 32}).fit(digits[:200])
    assert encoder.history_["step"].tolist() == [50, 60]
    assert {"distortion", "rate_1", "val_elbo", "images_per_second"} <= set(encoder.history_)
    assert np.isfinite(encoder.history_["val_elbo"]).any()
    assert pd.DataFrame(encoder.history_).shape[0] == 2


def test_it_shows_a_bar_if_asked(digits, capsys):
    LadderEncoder(steps=2, verbose=True).fit(digits[:20])
    assert "step 2 (100%)" in capsys.readouterr().err
    with pytest.raises(ValueError, match="accelerator 'abacus'"):
        LadderEncoder(steps=2, accelerator="abacus").fit(digits[:20])


def test_the_estimator_uses_the_accelerator_that_it_is_given(digits, monkeypatch):
    from vlae.training import train

    asked = []
    original = train.trainer_of
    monkeypatch.setattr(
        train, "trainer_of", lambda *args, **how: asked.append(how["accelerator"]) or original(*args, **how)
    )
    encoder = LadderEncoder(steps=2, accelerator="auto").fit(digits[:20])
    assert asked == ["auto"]
    assert encoder.model_.device.type == "cpu"
