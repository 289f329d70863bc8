import numpy as np
import pytest

from vlae.data import Images, load
from vlae.evaluation.complexity import _shrunk, complexity_of


@pytest.mark.slow
def test_more_images_give_other_scores_of_the_same_factors():
    images = load("streets:3000", split="test", size=16)
    scores = complexity_of(images)
    assert all(list(each) == ["mean", "linear", "small", "large"] for each in scores.values())
    assert scores["background_red"]["mean"] > scores["ink_red"]["mean"]  # the wall is most of the picture
    fewer = complexity_of(images, num=150)
    assert fewer.keys() == scores.keys() and fewer != scores


def test_too_few_images_have_no_scores(rng):
    assert complexity_of(Images(values=rng.integers(0, 256, (99, 1, 8, 8), dtype=np.uint8))) == {}


def test_pictures_are_made_smaller_for_the_probes(rng):
    assert _shrunk(rng.normal(size=(100, 1, 70, 40)).astype(np.float32)).shape == (100, 1, 24, 14)
    vectors = rng.normal(size=(100, 70))
    assert _shrunk(vectors) is vectors
