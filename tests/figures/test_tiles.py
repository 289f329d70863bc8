import numpy as np
import pytest
import torch

from vlae import recipes
from vlae.figures import tiles
from vlae.figures.contents import Seen
from vlae.models.priors import standard_prior


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return recipes.build(recipes.lean((1, 8, 8), code_sizes=(2, 0, 3), width=4)).eval()


PRIOR = standard_prior((2, 0, 3))
X = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_levels_start_from_a_datum_and_each_has_its_tiles(model):
    start, levels = tiles.level_tiles(model, PRIOR, X, num=3)
    assert list(levels) == [1, 3]
    assert start.pictures.shape == (2, 48, 48, 3) and "its codes" in start.words
    assert (start.pictures[0, ::6, ::6, 0] == (X[0, 0] * 255).round().numpy()).all()
    for level in levels.values():
        assert level.pictures.shape == (9, 48, 48, 3) and level.columns == 3
        assert len(np.unique(level.pictures, axis=0)) == 9
    drawn, _ = tiles.level_tiles(model, PRIOR, X[:0], num=2)
    assert drawn.pictures.shape == (1, 48, 48, 3)


def test_samples_stand_beside_held_out_data_and_above_the_nearest(model):
    known = Seen("training picture", (X * 255).byte().numpy())
    drawn, held_out, pairs = tiles.sample_tiles(model, PRIOR, X, known, num=9)
    assert (len(drawn.pictures), len(held_out.pictures), len(pairs.pictures), pairs.columns) == (9, 7, 16, 8)
    assert (pairs.pictures[:8] == drawn.pictures[:8]).all()
    originals = (X * 255).byte().numpy().reshape(7, -1).tolist()
    assert all(tile[::6, ::6, 0].reshape(-1).tolist() in originals for tile in pairs.pictures[8:])
    assert len(tiles.sample_tiles(model, PRIOR, X[:0], None)) == 1


def test_reconstructions_and_mixes_come_in_rows(model):
    rows = tiles.reconstruction_tiles(model, X, columns=4)
    assert [(row.columns, len(row.pictures)) for row in rows] == [(4, 8), (3, 6)]
    mixed = tiles.mix_tiles(model, X, num=2)
    assert [row.columns for row in mixed] == [3, 3] and mixed[0].words == "A, level 1 of A, B"
    assert (mixed[0].pictures[0][::6, ::6, 0] == (X[0, 0] * 255).round().numpy()).all()


def test_a_traversal_has_a_row_for_each_dimension(model):
    rows = tiles.traversal_tiles(model, PRIOR, X, steps=5)
    assert list(rows) == [(1, 0), (1, 1), (3, 0), (3, 1), (3, 2)]
    assert all(len(row.pictures) == 5 and row.columns == 5 for row in rows.values())
    assert list(tiles.traversal_tiles(model, PRIOR, X, steps=2, max_rows=1)) == [(1, 0), (3, 0)]


def test_classes_have_rows_and_a_model_without_classes_has_none(model):
    assert tiles.class_tiles(model, PRIOR) == []
    recipe = recipes.with_classes(recipes.lean((1, 8, 8), code_sizes=(1, 2), width=4), values=(0, 1), names=("x", "y"))
    with_classes = recipes.build(recipe).eval()
    rows = tiles.class_tiles(with_classes, standard_prior(with_classes.code_sizes), num=3)
    assert [(row.words, len(row.pictures)) for row in rows] == [("x", 3), ("y", 3)]
