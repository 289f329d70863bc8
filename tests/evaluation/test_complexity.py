import numpy as np
import pytest

from vlae.data import Images, load
from vlae.evaluation.complexity import _shrunk, complexity_of, components_of, scores_of
from vlae.evaluation.factors import read_factor
from vlae.evaluation.level_order import complexity


@pytest.mark.slow
def test_what_needs_a_larger_probe_is_more_complex():
    images = load("streets:3000", split="test", size=16)
    scores = complexity_of(images)
    assert all(list(each) == ["mean", "linear", "small", "medium", "large"] for each in scores.values())
    wall, ink, digit = (complexity(list(scores[name].values())) for name in ("background_red", "ink_red", "digit"))
    assert wall < 0.1 < ink < 0.4 < 0.6 < digit  # the wall is most of the picture
    fewer = complexity_of(images, num=150)
    assert fewer.keys() == scores.keys() and fewer != scores


def test_too_few_images_have_no_scores(rng):
    assert complexity_of(Images(values=rng.integers(0, 256, (59, 1, 8, 8), dtype=np.uint8))) == {}
    assert "brightness" in complexity_of(Images(values=rng.integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)))


def test_probes_on_kernel_features_do_not_read_the_pixels_as_they_are(rng):
    values = rng.normal(size=(400, 40)).astype(np.float32)
    scores = complexity_of(Images(values=values, factors={"first": values[:, 0]}))["first"]
    assert scores["linear"] > 0.95 and scores["small"] < 0.8  # 32 features are too few for 40 dimensions


def test_a_score_that_is_not_defined_is_0(rng):
    yes = np.arange(60) % 2
    weights = np.stack([np.ones(60), yes])  # the second time there is no 0
    first, second = scores_of(
        {"mean": {"yes": rng.normal(size=(60, 1))}}, {"yes": read_factor("yes", yes)}, weights.astype(float)
    )
    assert first["yes"]["mean"] != 0 and second["yes"]["mean"] == 0


def test_pictures_are_made_smaller_for_the_probes(rng):
    assert _shrunk(rng.normal(size=(100, 1, 70, 40)).astype(np.float32)).shape == (100, 1, 24, 14)
    vectors = rng.normal(size=(100, 70))
    assert _shrunk(vectors) is vectors


def test_components_are_the_largest_first_and_of_columns_in_one_unit(rng):
    pictures = (rng.normal(size=(50, 1, 4, 4)) * np.arange(1, 17).reshape(4, 4)).astype(np.float32)
    x = components_of(pictures, 5)
    assert x.shape == (50, 5) and (np.diff(x.var(0)) < 0).all()
    columns = rng.normal(size=(500, 3)) * (1, 1000, 1)
    assert components_of(columns, 9).var(0) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("constant", [1234.5, 3.7, 1e15, 2.0**60])  # of which single precision rounds the mean
def test_a_column_that_does_not_vary_changes_no_component(rng, constant):
    columns = rng.normal(size=(200, 4)).astype(np.float32)
    with_constant = np.column_stack([columns, np.full(200, constant, np.float32)])
    assert components_of(with_constant, 4) == pytest.approx(components_of(columns, 4), abs=1e-3)
