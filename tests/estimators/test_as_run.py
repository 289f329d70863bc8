"""An estimator becomes a run's folder, and a run becomes an estimator."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import get_scorer

import vlae
from vlae import LadderClassifier, LadderEncoder
from vlae.codes.classify import classify
from vlae.data import DataError, load
from vlae.report import page
from vlae.runs.layout import RunError
from vlae.runs.run import Run
from vlae.training import settle
from vlae.web.collection import Collection

SHORT = {"steps": 20, "settings": {"batch_size": 16}, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    return load_digits().images[:120] / 16


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True, as_frame=True)


@pytest.fixture(autouse=True)
def _quick(request, monkeypatch):
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(page, "write", lambda run: None)


@pytest.fixture
def drawn():
    """Asked for by the test that wants figures and a page."""


def test_the_folder_has_all_that_a_training_leaves(digits, tmp_path, drawn):
    encoder = LadderEncoder(code_sizes=(1, 2), **SHORT).fit(digits[:100])
    run = encoder.to_run(tmp_path / "run", digits[:100], digits[100:])
    names = {file.name for file in run.path.iterdir()}
    assert {"model.safetensors", "prior.safetensors", "recipe.json", "summary.json", "metrics.csv"} <= names
    assert {"examples.npy", "held_out.npy", "figures", "report.html"} <= names
    assert run.summary["num_images"] == len(run.examples) == 20
    loaded = vlae.load(run.path)
    codes = np.concatenate(loaded.encode(digits[:, None].astype(np.float32)), axis=1)
    assert np.allclose(codes, encoder.transform(digits), atol=1e-5)
    assert {name: list(values) for name, values in encoder.history_.items()} == loaded.history.to_dict("list")
    assert loaded.sample(2).shape == (2, 1, 8, 8)
    loaded.figure("levels")
    with pytest.raises(RunError, match="exists already"):
        encoder.to_run(run.path, digits[:100], digits[100:])


def test_there_and_back(digits, tmp_path):
    encoder = LadderEncoder(code_sizes=(1, 2), **SHORT).fit(digits[:100])
    back = LadderEncoder.from_run(encoder.to_run(tmp_path / "run", digits[:100], digits[100:]))
    assert np.allclose(back.transform(digits), encoder.transform(digits), atol=1e-6)
    assert np.allclose(
        back.inverse_transform(back.transform(digits[:3])),
        encoder.inverse_transform(encoder.transform(digits[:3])),
        atol=1e-6,
    )
    assert np.allclose(back.score_samples(digits[:3]), encoder.score_samples(digits[:3]), atol=1e-4)
    assert back.history_.keys() == encoder.history_.keys()
    assert back.get_feature_names_out().tolist() == ["level1_0", "level2_0", "level2_1"]
    assert np.array_equal(pickle.loads(pickle.dumps(back)).transform(digits), back.transform(digits))
    flat = LadderEncoder.from_run(vlae.load(tmp_path / "run"), image_shape=(8, 8), levels=2)
    assert np.allclose(flat.transform(digits.reshape(-1, 64)), encoder.transform(digits)[:, 1:], atol=1e-6)
    clone(back).set_params(steps=2, random_state=0).fit(digits[:20])  # the recipe of the run


def test_pictures_of_a_table_with_names_become_a_run(digits, tmp_path):
    X = pd.DataFrame(digits.reshape(len(digits), -1)).add_prefix("pixel")
    encoder = LadderEncoder(image_shape=(8, 8), code_sizes=(1, 2), **SHORT).fit(X[:100])
    run = encoder.to_run(tmp_path / "run", X[:100], X[100:])
    assert run.columns == () and run.recipe.shape == (1, 8, 8)


def test_a_table_keeps_its_columns(iris, tmp_path):
    X, _ = iris
    encoder = LadderEncoder(code_sizes=(1, 2), **SHORT).fit(X[:100])
    run = encoder.to_run(tmp_path / "run", X[:100], X[100:])
    assert run.columns == tuple(X.columns)
    known = run.known_columns
    assert known.names == run.columns and known.medians == pytest.approx(X[:100].median().to_dict())
    run.data["source"] = str(tmp_path / "iris.csv")  # a missing value is the median, as after vlae.train
    X.mask(X.index.to_series() == 3).to_csv(tmp_path / "gap.csv", index=False)
    assert run.read(tmp_path / "gap.csv").values[3] == pytest.approx(X[:100].median().to_numpy())
    assert next(encoder.model_.parameters()).dtype.itemsize == 8  # the estimator stays as it was
    back = LadderEncoder.from_run(vlae.load(run.path))
    assert np.array_equal(back.transform(X), encoder.transform(X))
    assert back.feature_names_in_.tolist() == list(X.columns)


def test_wide_numbers_keep_their_range(tmp_path):
    images = np.random.default_rng(0).integers(0, 4096, (40, 8, 8), dtype=np.uint16)
    encoder = LadderEncoder(code_sizes=(1, 2), **SHORT).fit(images)
    run = encoder.to_run(tmp_path / "run", images, images[:5])
    assert run.value_range == encoder.value_range_
    back = LadderEncoder.from_run(vlae.load(run.path))
    codes = back.transform(images)
    assert np.allclose(codes, encoder.transform(images), atol=1e-6)
    for each in (encoder, back):  # decoded numbers are of the same units, and taken as they are
        decoded = each.inverse_transform(codes)
        assert 100 < decoded.mean() < 4095 and decoded.max() <= 4095
        each.transform(decoded)


def test_channels_come_first_or_last(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    encoder = LadderEncoder(code_sizes=(1, 2), **SHORT).fit(images)
    codes = encoder.transform(images)
    assert np.array_equal(encoder.transform(np.moveaxis(images, 3, 1)), codes)
    run = encoder.to_run(tmp_path / "run", images[:30], images[30:])
    assert np.allclose(LadderEncoder.from_run(run).transform(run.examples), codes[30:], atol=1e-5)
    with pytest.raises(ValueError, match=r"images of shape \(8, 3, 8\) are given; expected \(8, 8, 3\)"):
        encoder.transform(np.moveaxis(images, 3, 2))
    with pytest.raises(ValueError, match=r"images of shape \(3, 4, 16\) are given; expected"):
        encoder.transform(np.zeros((2, 3, 4, 16), np.uint8))


def test_whole_numbers_as_floats_say_how_to_convert_them():
    images = np.random.default_rng(0).integers(0, 241, (40, 8, 8), dtype=np.uint8)
    encoder = LadderEncoder(code_sizes=(1, 2), **SHORT).fit(images)
    with pytest.raises(
        ValueError, match=r"are given; images are whole .* of an integer type.* with \.astype\(np\.uint8\)"
    ):
        encoder.transform(images.astype(float))


def test_data_in_memory_are_asked_for(iris, tmp_path):
    X, _ = iris
    run = LadderEncoder(code_sizes=(1, 2), **SHORT).fit(X[:100]).to_run(tmp_path / "run", X[:100], X[100:])
    asked = "in memory, and does not keep it; give the data, where they can be given, as in: vlae evaluate"
    for use in (vlae.evaluate, lambda run: classify(run, load(X, split="all")), Run.fit_prior):
        with pytest.raises(DataError, match=f"trained on an array {asked}"):
            use(run)
    assert asked in Collection(run).note
    run.data["source"] = load(X).source
    with pytest.raises(DataError, match=f"trained on a table {asked}"):
        run.part("test")


@pytest.mark.parametrize("named", [False, True])
def test_a_classifier_keeps_its_classes(iris, tmp_path, named):
    X, y = iris
    y = np.array(["setosa", "versicolor", "virginica"])[y] if named else y.to_numpy()
    classifier = LadderClassifier(code_sizes=(1, 2), **SHORT).fit(X, y)
    run = classifier.to_run(tmp_path / "run", X, X[:30])
    back = LadderClassifier.from_run(vlae.load(run.path))
    assert back.classes_.tolist() == classifier.classes_.tolist()
    assert np.array_equal(back.predict(X), classifier.predict(X))
    assert back.score(X, y) == classifier.score(X, y)


def test_zeros_and_ones_stay_black_and_white(tmp_path):
    images = (np.random.default_rng(0).random((40, 8, 8)) > 0.5).astype(np.uint8)
    images[0] = 0  # a batch need not hold a 1
    encoder = LadderEncoder(code_sizes=(1, 2), **SHORT).fit(images)
    codes = encoder.transform(images)
    run = encoder.to_run(tmp_path / "run", images[:30], images[30:])
    assert np.allclose(LadderEncoder.from_run(run).transform(images), codes, atol=1e-6)
    recipe = tmp_path / "run" / "recipe.json"
    recipe.write_text(recipe.read_text().replace('"white": 1', '"white_": 1'))  # a run of an earlier version
    assert np.allclose(LadderEncoder.from_run(vlae.load(run.path)).transform(images), codes, atol=1e-6)
    np.save(tmp_path / "images.npy", images)
    trained = vlae.train(tmp_path / "images.npy", out=tmp_path / "trained", steps=2, progress=False)
    read = np.concatenate(trained.encode(trained.read(tmp_path / "images.npy")), axis=1)
    assert np.allclose(LadderEncoder.from_run(trained).transform(images), read, atol=1e-5)


def test_the_darkest_picture_of_many_is_no_black_and_white_one(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    images[0] = images[0] > 128  # 0 and 1 of 255
    encoder = LadderEncoder(code_sizes=(1, 2), **SHORT).fit(images)
    back = LadderEncoder.from_run(encoder.to_run(tmp_path / "run", images, images[:9]))
    assert np.allclose(back.transform(images[:1]), encoder.transform(images)[:1], atol=1e-5)


def renamed(classifier, names):
    """A classifier whose recipe names its classes otherwise, as the folders of a run do."""
    level = replace(classifier.recipe_.classes, names=names)
    classifier.recipe_ = replace(classifier.recipe_, levels=(*classifier.recipe_.levels[:-1], level))
    return classifier


@pytest.mark.parametrize(("names", "places"), [(("1", "10", "2"), [0, 2, 1]), (("c", "a", "b"), [1, 2, 0])])
def test_classes_of_a_run_are_in_ascending_order_and_so_are_their_probabilities(iris, tmp_path, names, places):
    X, y = iris
    classifier = renamed(LadderClassifier(code_sizes=(1, 2), **SHORT).fit(X, y), names)
    back = LadderClassifier.from_run(classifier.to_run(tmp_path / "run", X, X[:30]))
    assert back.classes_.tolist() == sorted(back.classes_.tolist())
    assert [str(name) for name in back.classes_] == [names[place] for place in places]
    assert np.array_equal(back.predict_proba(X), classifier.predict_proba(X)[:, places])
    labels = np.array([int(name) if name.isdecimal() else name for name in names])[y]
    log_loss = get_scorer("neg_log_loss")(back, X, labels)
    assert log_loss == pytest.approx(np.log(classifier.predict_proba(X)[np.arange(len(y)), y]).mean(), rel=1e-4)
    again = clone(back).set_params(steps=1).fit(X, labels)  # the recipe has the run's order, and y another
    assert again.recipe_.classes.names == tuple(map(str, again.classes_))


def test_names_that_are_one_number_are_refused(iris, tmp_path):
    X, y = iris
    classifier = renamed(LadderClassifier(code_sizes=(1, 2), **SHORT).fit(X, y), ("1", "01", "2"))
    run = classifier.to_run(tmp_path / "run", X, X[:30])
    with pytest.raises(ValueError, match="the classes 1, 01 are one number; give them other names"):
        LadderClassifier.from_run(run)


def test_a_run_of_vlae_becomes_an_estimator():
    run = vlae.load("mnist")
    encoder = LadderEncoder.from_run(run)
    pictures = run.examples[:5, 0]
    codes = np.concatenate(run.encode(run.examples[:5]), axis=1)
    assert np.allclose(encoder.transform(pictures), codes, atol=1e-5)
    assert encoder.inverse_transform(codes).shape == pictures.shape
    with pytest.raises(ValueError, match="knows no classes"):
        LadderClassifier.from_run(run)
    with pytest.raises(ValueError, match=r"image_shape is \(14, 56\); the run's pictures are \(28, 28\)"):
        LadderEncoder.from_run(run, image_shape=(14, 56))
    with pytest.raises(ValueError, match="levels are 9"):
        LadderEncoder.from_run(run, levels=9)


@pytest.mark.parametrize("kind", ["floats", "pandas"])
def test_labels_that_nan_made_floats_are_whole_numbers(iris, tmp_path, kind):
    X, y = iris
    y = y.astype("Int64" if kind == "pandas" else float)
    few = y.where(np.arange(len(y)) % 3 > 0)
    classifier = LadderClassifier(code_sizes=(1, 2), **SHORT).fit(X, few)
    back = LadderClassifier.from_run(classifier.to_run(tmp_path / "run", X, X[:30]))
    for each in (classifier, back):
        assert each.classes_.dtype.kind == "i" and each.classes_.tolist() == [0, 1, 2]
        assert each.score(X, few) == classifier.score(X, few)
    known = LadderClassifier(code_sizes=(1, 2), **SHORT).fit(X, y.astype(float))
    assert known.classes_.dtype == float and known.recipe_.classes.names == ("0", "1", "2")


def test_other_data_are_refused_and_leave_no_folder(digits, tmp_path):
    encoder = LadderEncoder(code_sizes=(1, 2), **SHORT).fit(digits[:50])
    with pytest.raises(ValueError, match="expecting 64 features"):
        encoder.to_run(tmp_path / "run", digits[:50], np.zeros((5, 9, 9)))
    assert not (tmp_path / "run").exists()
    assert pd.DataFrame(encoder.history_)["step"].tolist() == [20]


@pytest.mark.parametrize("polarity", ["hidden", "visible"])
def test_what_the_data_settled_is_part_of_the_run(tmp_path, monkeypatch, polarity):
    monkeypatch.setattr(settle, "polarity_of", lambda values, groups: polarity)
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    encoder = LadderEncoder(steps=2, code_sizes=(2, 2), settings={"batch_size": 8}).fit(images)
    run = encoder.to_run(tmp_path / "run", images[:30], images[30:])
    training = run.recipe.training
    assert run.recipe.levels[0].polarity == polarity and "auto" not in (training.precision, training.augment)
    opened = vlae.load(tmp_path / "run")
    for mine, theirs in zip(run.encode(run.examples), opened.encode(run.examples), strict=True):
        np.testing.assert_allclose(theirs, mine, atol=1e-6)


def test_what_the_recipe_of_a_run_does_not_fit_is_refused(iris, tmp_path):
    X, y = iris
    run = LadderClassifier(code_sizes=(1, 2), **SHORT).fit(X, y + 1).to_run(tmp_path / "run", X, X[:30])
    with pytest.raises(ValueError, match="the recipe 'lean' learns a class from labels; take LadderClassifier"):
        clone(LadderEncoder.from_run(run)).fit(X)
    with pytest.raises(ValueError, match="y has the classes 1, 2; the recipe is for 1, 2, 3"):
        clone(LadderClassifier.from_run(run)).fit(X[y < 2], y[y < 2] + 1)
