"""Norms that are folded into the layers before them change nothing but rounding."""

import copy

import pytest
import torch
from torch import nn

from vlae.nn.folding import Bounds, fold_norms
from vlae.nn.layers import BoundedNorm1d, BoundedNorm2d, block


def trained(shape_in, shape_out, **settings):
    """A layer whose norm has statistics and scales as after a training, in eval mode."""
    torch.manual_seed(0)
    layer = block(shape_in, shape_out, kernel=3, norm=True, slope=0.1, **settings)
    for part in layer.modules():
        if isinstance(part, BoundedNorm1d | BoundedNorm2d):
            for values in (part.running_mean, part.bias, part.weight):
                nn.init.normal_(values)
            nn.init.uniform_(part.running_var, 0.1, 2)
    return layer.eval()


@pytest.mark.parametrize(
    ("shape_in", "shape_out", "settings"),
    [
        ((3, 8, 8), (5, 8, 8), {}),
        ((3, 9, 8), (5, 4, 4), {}),  # padded
        ((5, 4, 4), (3, 7, 8), {}),  # enlarged and cropped
        ((5, 4, 4), (3, 8, 8), {"even": True}),
        ((5, 4, 4), (6,), {}),
        ((6,), (2, 4, 4), {}),
    ],
)
@pytest.mark.parametrize("size", [1, 1e4])  # the latter meets the bounds of the norm
def test_the_output_is_the_same(shape_in, shape_out, settings, size):
    layer = trained(shape_in, shape_out, **settings)
    folded = copy.deepcopy(layer)
    fold_norms(folded)
    parts = list(folded.modules())
    x = size * torch.randn(4, *shape_in)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), layer(x), rtol=1e-5, atol=1e-5 * size)
    map_to_map = len(shape_in) == len(shape_out) == 3
    assert any(isinstance(part, Bounds) for part in parts)
    assert not any(isinstance(part, BoundedNorm2d if map_to_map else BoundedNorm1d) for part in parts)


def test_a_norm_whose_input_is_no_affine_map_stays():
    network = nn.Sequential(
        nn.ReLU(), BoundedNorm2d(2), nn.Sequential(nn.Conv2d(2, 2, 1), nn.ZeroPad2d(1)), BoundedNorm2d(2)
    )
    before = copy.deepcopy(network.eval())
    fold_norms(network)
    assert [type(part) for part in network] == [type(part) for part in before]
