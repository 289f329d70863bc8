"""Figures of a run, found by name."""

import numpy as np
import pytest
import torch

import vlae
from vlae.errors import NotDefinedError
from vlae.figures.contents import Seen
from vlae.figures.options import check_kind
from vlae.models.ladder import VLAE
from vlae.models.levels import Level
from vlae.runs.drawing import draw_figure
from vlae.runs.layout import RunError


@pytest.fixture
def model():
    return VLAE((1, 8, 8), [Level(code_size=2, convolutions=((4, 2),)), Level(code_size=2, dense=(8,))]).eval()


def drawn(model, kind, num_examples=4, **options):
    check_kind(kind, options)
    x = torch.zeros(num_examples, 1, 8, 8)
    inputs = {
        "model": lambda: model,
        "x": lambda: x,
        "held_out": lambda: x,
        "known": lambda: Seen("example", x.numpy()),
    }
    return draw_figure(kind, inputs, options, "a run")


def test_a_figure_is_an_array_of_pixels(model):
    picture = drawn(model, "samples", num=2)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3


def test_options_reach_the_drawing_function(model):
    assert drawn(model, "levels", num=3).shape[1] > drawn(model, "levels", num=2).shape[1]


def test_figures_that_cannot_be_drawn_are_refused(model):
    with pytest.raises(ValueError, match="no figure 'lvls'; choose one of levels, samples"):
        check_kind("lvls", {})
    with pytest.raises(ValueError, match="does not start from one image"):
        check_kind("mix", {"start": "random"})
    with pytest.raises(ValueError, match="has no option span; it has prior, num, seed"):
        drawn(model, "samples", span=3)
    with pytest.raises(RunError, match="a run was shared without examples; a 'mix' figure needs some"):
        drawn(model, "mix", num_examples=0)
    model.lacks = {"encoder": "it is a generator"}
    with pytest.raises(NotDefinedError, match="it is a generator"):
        drawn(model, "reconstructions")
    assert isinstance(drawn(model, "samples", num=2), np.ndarray)


@pytest.mark.parametrize(("augment", "mirrored"), [("mirror,shift", True), ("shift", False)])
def test_a_run_knows_whether_it_saw_mirror_images(tmp_path, augment, mirrored):
    pictures = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "pictures.npy", pictures)
    run = vlae.train(
        tmp_path / "pictures.npy", out=tmp_path / "run", steps=2, batch_size=8, augment=augment, progress=False
    )
    known = run.known()
    assert known.mirrored == mirrored and ("mirror image" in known.what) == mirrored
    assert known.values.shape == (30, 1, 8, 8)


def test_a_mix_of_one_example_says_that_it_needs_two(model):
    with pytest.raises(RunError, match="a 'mix' figure needs 2 held-out data; a run has 1: draw another"):
        drawn(model, "mix", num_examples=1)
