"""Copies of pictures, exact and near."""

import io

import numpy as np
import pytest
from PIL import Image

from vlae.data import load
from vlae.data.copies import find_copies


@pytest.fixture
def pictures(rng):
    """Twelve smooth pictures in colour, (200, 200, 3)."""
    coarse = rng.integers(0, 256, (12, 9, 9, 3), np.uint8)
    return [np.asarray(Image.fromarray(small).resize((200, 200), Image.Resampling.BICUBIC)) for small in coarse]


def fitted(*pictures):
    return np.stack([np.asarray(Image.fromarray(p).resize((64, 64))).transpose(2, 0, 1) for p in pictures])


def saved_again(picture, quality):
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=quality)
    return np.asarray(Image.open(content))


def test_different_pictures_are_no_copies(pictures):
    assert find_copies(fitted(*pictures)).tolist() == list(range(12))


def test_exact_copies(pictures):
    assert find_copies(fitted(*pictures[:3], pictures[1], pictures[1])).tolist() == [0, 1, 2, 1, 1]


@pytest.mark.parametrize("quality", [95, 75, 40])
def test_pictures_saved_again(pictures, quality):
    found = find_copies(fitted(*pictures, *(saved_again(picture, quality) for picture in pictures)))
    assert found.tolist() == [*range(12), *range(12)]


@pytest.mark.parametrize("side", [100, 150, 400])
def test_pictures_of_another_size(pictures, side):
    sized = [np.asarray(Image.fromarray(picture).resize((side, side))) for picture in pictures]
    found = find_copies(fitted(*pictures, *sized))
    assert found.tolist() == [*range(12), *range(12)]


def test_pictures_of_one_colour_each_are_copies_only_if_equal():
    flat = np.stack([np.full((1, 16, 16), i, np.uint8) for i in (0, 1, 2, 3, 1)])
    assert find_copies(flat).tolist() == [0, 1, 2, 3, 1]


def test_pictures_that_differ_in_a_detail_are_no_copies(pictures):
    with_spot = pictures[0].copy()
    with_spot[80:120, 80:120] = 255 - with_spot[80:120, 80:120]
    assert find_copies(fitted(pictures[0], with_spot)).tolist() == [0, 1]


def test_pictures_as_floats(pictures):
    values = fitted(*pictures[:4], pictures[2]).astype(np.float32) / 255
    assert find_copies(values).tolist() == [0, 1, 2, 3, 2]


def test_few_and_small_pictures():
    assert find_copies(np.zeros((1, 1, 8, 8), np.uint8)).tolist() == [0]
    assert find_copies(np.zeros((3, 1, 8, 8), np.uint8)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("ending", [None, "npy", "npz"])
def test_equal_pictures_of_an_array_are_on_one_side(tmp_path, rng, ending):
    pictures = rng.integers(0, 256, (200, 8, 8), np.uint8)
    source = np.concatenate([pictures, pictures[:40]])
    if ending:
        (np.save if ending == "npy" else np.savez)(tmp_path / f"a.{ending}", source)
        source = tmp_path / f"a.{ending}"
    for seed in range(3):
        test, train = (load(source, split=split, seed=seed, holdout=0.3) for split in ("test", "train"))
        assert len(test) == 72 and len(train) == 168
        assert not {value.tobytes() for value in test.values} & {value.tobytes() for value in train.values}
    assert "40 copies of other pictures" in test.fates


def test_small_pictures_of_an_array_that_are_alike_are_no_copies(rng):
    pictures = np.repeat(rng.integers(0, 250, (20, 8, 8), np.uint8), 2, axis=0)
    pictures[1::2, 0, 0] += 1
    assert load(pictures, split="all").groups is None
    assert len(set(find_copies(pictures[:, None]))) == 20
