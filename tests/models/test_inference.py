"""The input a model takes, and its modes."""

import numpy as np
import pytest
import torch

from vlae.evaluation.feature_spaces import components
from vlae.evaluation.pictures import picture_quality, read_back
from vlae.evaluation.prior_fit import draw_codes
from vlae.evaluation.rates import ablate, summarise
from vlae.models import inference
from vlae.models.inference import as_input, batch_of, check_values, decode, encode, evaluating
from vlae.models.ladder import VLAE
from vlae.models.levels import Level


def test_stored_images_become_floats_between_0_and_1():
    pixels = np.array([[[[0, 51], [102, 255]]]], np.uint8)
    torch.testing.assert_close(as_input(pixels), torch.tensor([[[[0.0, 0.2], [0.4, 1.0]]]]))
    vectors = np.array([[-3.0, 4.0]])
    assert torch.equal(as_input(vectors), torch.tensor([[-3.0, 4.0]]))


def test_values_gain_the_axis_of_data_and_keep_their_pixels():
    pixels = np.full((1, 8, 8), 7, np.uint8)
    assert np.array_equal(check_values(pixels, (1, 8, 8)), pixels[None])
    assert check_values(torch.zeros(2, 5, dtype=torch.float64), (5,)).dtype == np.float32


@pytest.mark.parametrize(
    ("x", "shape", "words"),
    [
        (np.zeros((0, 5)), (5,), r"this model takes \(N, 5\)"),
        (np.zeros((2, 4)), (5,), r"shape \(2, 4\) is given"),
        (np.full((1, 1, 8, 8), 1.5), (1, 8, 8), "values from 1.5 to 1.5"),
        (np.full((1, 5), np.inf), (5,), "nothing may be NaN or infinite"),
    ],
)
def test_values_that_no_model_takes_are_refused(x, shape, words):
    with pytest.raises(ValueError, match=words):
        check_values(x, shape)


def test_every_module_returns_to_its_mode_and_the_generator_to_its_state():
    model = VLAE((5,), [Level(code_size=2, dense=(4,))])
    model.likelihood.eval()
    before = torch.get_rng_state()
    with evaluating(model, seed=1):
        assert not any(module.training for module in model.modules())
        torch.rand(1)
    assert model.training and model.levels[0].training and not model.likelihood.training
    assert torch.equal(torch.get_rng_state(), before)


def test_fewer_large_pictures_are_in_memory_at_a_time():
    sizes = {side: batch_of((3, side, side)) for side in (8, 64, 128, 256)}
    assert sizes == {8: 500, 64: 500, 128: 125, 256: 31} and batch_of((9,)) == 500


@pytest.mark.parametrize(
    "work",
    [
        lambda model, x: encode(model, x),
        lambda model, x: decode(model, [np.zeros((len(x), 2), np.float32)] * 2),
        lambda model, x: summarise(model, x),
        lambda model, x: ablate(model, x),
        lambda model, x: picture_quality(model, x, components(x)),
        lambda model, x: read_back(model, num=len(x)),
        lambda model, x: draw_codes(model, x, np.arange(len(x))),
    ],
)
def test_no_work_takes_more_pictures_at_a_time(work, monkeypatch):
    model = VLAE((1, 8, 8), [Level(code_size=2, convolutions=((4, 2),)), Level(code_size=2, dense=(4,))])
    seen = []

    def watched(method):
        def call(x, *others, **named):
            seen.append(len(x[0] if isinstance(x, tuple) else x))
            return method(x, *others, **named)

        return call

    for name in ("forward", "infer", "decode"):
        monkeypatch.setattr(model, name, watched(getattr(model, name)))
    monkeypatch.setattr(inference, "BATCH_PIXELS", 3 * 8 * 8)
    work(model, np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8))
    assert seen and max(seen) == 3
