"""Layers come out in the shape that was asked for."""

import os

import jaxtyping
import pytest
import torch
from torch import nn

from vlae.nn.features import FullFeatures
from vlae.nn.layers import Layer, block, shapes_of

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")


@pytest.mark.skipif(os.environ.get("VLAE_NO_SHAPE_CHECKS") == "1", reason="shapes are not checked")
def test_signatures_are_checked():
    with pytest.raises(jaxtyping.TypeCheckError, match="u8"):
        FullFeatures((2, 4, 4))(torch.zeros(3, 2, 4, 4, dtype=torch.uint8))


@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_blocks_reach_every_side_and_come_back(kernel, stride):
    for height, width in ((1, 9), (2, 32), (3, 7), (5, 5), (6, 4), (8, 3), (13, 12), (17, 1)):
        with torch.device("meta"):
            large, small = shapes_of([Layer(3, stride)], (2, height, width))
            assert small == (3, -(-height // stride), -(-width // stride))
            down = block(large, small, kernel=kernel, norm=True, slope=0.1)
            up = block(small, large, kernel=kernel, norm=False, slope=None)
            x = torch.zeros(5, *large)
            assert down(x).shape == (5, *small)
            assert up(down(x)).shape == x.shape


def test_shapes_along_a_stack():
    layers = [Layer(8, 2), Layer(16, 1), Layer(32, 0), Layer(7, 0)]
    assert shapes_of(layers, (3, 9, 14)) == [(3, 9, 14), (8, 5, 7), (16, 5, 7), (32,), (7,)]


def test_no_convolution_on_a_vector():
    with pytest.raises(ValueError, match=r"needs a map .* not a vector of shape \(32,\)"):
        shapes_of([Layer(32, 0), Layer(8, 2)], (3, 8, 8))


@pytest.mark.parametrize(
    ("given", "wanted"), [((2, 9, 9), (3, 5, 5)), ((4,), (2, 3, 3)), ((2, 3, 3), (4,)), ((4,), (6,))]
)
def test_a_norm_replaces_the_bias(given, wanted):
    normed = block(given, wanted, kernel=3, norm=True, slope=0.1)
    plain = block(given, wanted, kernel=3, norm=False, slope=None)
    kinds = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
    (inside,) = [module for module in normed.modules() if isinstance(module, kinds)]
    assert inside.bias is None
    (inside,) = [module for module in plain.modules() if isinstance(module, kinds)]
    assert inside.bias is not None
    x = torch.randn(64, *given)
    # Batch norm in training mode: before the leaky ReLU, each channel has mean 0.
    before = normed[:-1](x).transpose(0, 1).flatten(1).mean(1)
    torch.testing.assert_close(before, torch.zeros_like(before), atol=1e-5, rtol=0)
    twice, once, none = plain(2 * x), plain(x), plain(torch.zeros_like(x))
    torch.testing.assert_close(twice - none, 2 * (once - none), atol=1e-5, rtol=1e-4)  # affine


def test_every_input_pixel_counts_and_every_output_pixel_is_reached():
    for large, small in (((2, 9, 14), (3, 5, 7)), ((2, 7, 1), (3, 3, 1))):
        down = block(large, small, kernel=3, norm=False, slope=None)
        x = torch.zeros(1, *large, requires_grad=True)
        down(x).sum().backward()
        assert x.grad.all()
        up = block(small, large, kernel=3, norm=False, slope=None)
        with torch.no_grad():
            moved = up(torch.ones(1, *small)) - up(torch.zeros(1, *small))
        assert (moved != 0).all()
