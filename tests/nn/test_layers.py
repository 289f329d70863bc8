"""Layers come out in the shape that was asked for."""

import os
from dataclasses import replace

import jaxtyping
import pytest
import torch
from torch import nn

from vlae import recipes
from vlae.nn.features import FullFeatures
from vlae.nn.layers import (
    Blocks,
    BoundedNorm1d,
    BoundedNorm2d,
    EvenConvTranspose2d,
    Layer,
    Residual,
    Smoothing,
    block,
    convolution,
    shapes_of,
    stack,
)
from vlae.recipes import build

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


# Even transposed convolutions


def inside(drawn, margin):
    """The map without its border, where the padding shows."""
    return drawn[:, :, margin:-margin, margin:-margin]


def mesh(drawn):
    """How far pixels away from the border differ within each channel, in units of the whole map."""
    kept = inside(drawn, 4)
    return ((kept.amax((2, 3)) - kept.amin((2, 3))).max() / drawn.std()).item()


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("sides", [(16, 16), (17, 23), (18, 15), (13, 31)])
def test_a_flat_map_stays_flat_when_it_is_enlarged(kernel, sides):
    torch.manual_seed(0)
    small, large = (5, *(-(-side // 2) for side in sides)), (3, *sides)
    even, plain = (convolution(small, large, kernel, bias=True, even=even) for even in (True, False))
    plain.load_state_dict(even.state_dict())
    flat = torch.randn(2, 5, 1, 1).expand(2, *small)
    assert even(flat).shape == plain(flat).shape == (2, *large)
    assert mesh(even(flat)) < 1e-4
    assert mesh(plain(flat)) > 0.1


def test_an_even_convolution_moves_only_the_sums_of_its_phases():
    torch.manual_seed(0)
    even = EvenConvTranspose2d(2, 3, 4, 2, 1)
    seen = nn.functional.conv_transpose2d(torch.eye(2)[:, :, None, None], even.weight, None, 2, 0)
    pulse = torch.zeros(2, 2, 5, 5)
    pulse[[0, 1], [0, 1], 2, 2] = 1
    with torch.no_grad():
        moved = inside(even(pulse) - even(torch.zeros_like(pulse)), 3) - seen
    for i in (0, 1):
        for j in (0, 1):  # each phase has one sum after, and is moved by one number
            phase = moved[:, :, i::2, j::2]
            torch.testing.assert_close(phase, phase.mean((2, 3), keepdim=True).expand_as(phase), atol=1e-6, rtol=0)
    sums = torch.stack([(seen + moved)[:, :, i::2, j::2].sum((2, 3)) for i in (0, 1) for j in (0, 1)])
    torch.testing.assert_close(sums, seen.sum((2, 3)).div(4).expand_as(sums), atol=1e-6, rtol=0)


def test_the_weights_of_an_even_convolution_learn():
    even = EvenConvTranspose2d(2, 3, 3, 2, 1, output_padding=1)
    even(torch.randn(4, 2, 5, 6)).square().sum().backward()
    assert even.weight.grad.isfinite().all() and even.weight.grad.any((2, 3)).all()
    assert even.bias.grad.any()


def test_only_transposed_convolutions_of_even_blocks_are_even():
    up = [(4, 4, 4), (4, 8, 8), (2, 16, 16)]
    kinds = {even: [type(m) for m in stack(up, Blocks(even=even)).modules()] for even in (True, False)}
    assert kinds[True].count(EvenConvTranspose2d) == 2 and EvenConvTranspose2d not in kinds[False]
    assert EvenConvTranspose2d not in [type(m) for m in stack(up[::-1], Blocks(even=True)).modules()]
    # A stride above the kernel leaves phases without weights: there a plain one has to do.
    gaps = convolution((2, 3, 3), (2, 9, 9), 2, bias=False, even=True)
    assert not any(isinstance(m, EvenConvTranspose2d) for m in gaps.modules())


# Smoothed maps


def test_smoothing_weighs_neighbours_1_2_1_and_leaves_the_border_as_it_is():
    pulse = torch.zeros(1, 1, 7, 6)
    pulse[0, 0, 3, 2] = 16
    weights = torch.tensor([1.0, 2, 1])
    expected = torch.zeros_like(pulse)
    expected[0, 0, 2:5, 1:4] = weights[:, None] * weights
    torch.testing.assert_close(Smoothing(1)(pulse), expected)
    flat = torch.full((2, 3, 5, 4), 0.7)
    torch.testing.assert_close(Smoothing(3)(flat), flat)


def test_smoothing_takes_a_pattern_of_every_other_pixel_away():
    stripes = (torch.arange(12) % 2).float().expand(1, 1, 10, 12)
    for pattern in (stripes, stripes.mT, stripes[..., :10] * stripes[..., :10].mT):
        kept = inside(Smoothing(1)(pattern), 1)
        torch.testing.assert_close(kept, torch.full_like(kept, pattern.mean().item()))


def test_maps_that_are_enlarged_are_smoothed():
    up = [(4, 4, 4), (4, 8, 8), (4, 8, 8), (2, 15, 16)]
    smoothed = [
        any(isinstance(m, Smoothing) for m in layer.modules()) for layer in stack(up, Blocks(even=True, smooth=True))
    ]
    assert smoothed == [True, False, True]
    for layers in (stack(up[::-1], Blocks(smooth=True)), stack(up, Blocks(even=True))):
        assert not any(isinstance(m, Smoothing) for m in layers.modules())


def test_the_default_ladder_smooths_the_maps_of_large_pictures():
    sides = {side: recipes.lean((3, side, side)).blocks.smooth for side in (28, 64, 65, 128, 256)}
    assert sides == {28: False, 64: False, 65: True, 128: True, 256: True}


# Residual blocks


def test_a_residual_block_begins_as_the_identity_and_learns():
    torch.manual_seed(0)
    block, h = Residual(4, kernel=3, slope=0.1), torch.randn(8, 4, 6, 5)
    assert block(h).equal(h)
    optimiser = torch.optim.SGD(block.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        (block(h) - h.flip(3)).square().mean().backward()
        optimiser.step()
    assert all(p.grad.any() for p in block.parameters())
    assert not torch.allclose(block(h), h)


def test_residual_blocks_follow_the_convolutions_and_not_the_last_layer():
    shapes = [(3, 16, 16), (4, 8, 8), (6, 4, 4), (10,)]
    kinds = [type(layer).__name__ for layer in stack(shapes, Blocks(residual=2))]
    assert kinds == ["Sequential", "Residual", "Residual", "Sequential", "Residual", "Residual", "Sequential"]
    down = stack(shapes[::-1], Blocks(residual=1), linear_end=True)
    assert [type(layer).__name__ for layer in down] == ["Sequential", "Sequential", "Residual", "Sequential"]
    assert stack(shapes, Blocks(residual=2))(torch.zeros(2, 3, 16, 16)).shape == (2, 10)
    with pytest.raises(ValueError, match="residual is -1"):
        Blocks(residual=-1)


@pytest.mark.parametrize("kind", [BoundedNorm1d, BoundedNorm2d])
def test_a_batch_norm_is_bounded_in_eval_mode_only(kind):
    norm, plain = kind(3), kind.__mro__[2](3)
    sides = () if kind is BoundedNorm1d else (4, 4)
    x = torch.randn(64, 3, *sides)
    x[:, 1] = 7.0  # constant
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, -1.0, 0.5]))
        norm.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    plain.load_state_dict(norm.state_dict())
    for _ in range(300):
        assert torch.equal(norm(x), plain(x))
    norm.eval(), plain.eval()
    torch.testing.assert_close(norm(x), plain(x))
    odd = x.clone()
    odd[:, 1] = 9.0  # it was always 7
    assert plain(odd)[:, 1].abs().max() > 600
    assert float((norm(odd)[:, 1] - 2.0).abs().max()) == pytest.approx(100.0)
    assert torch.equal(norm(odd)[:, 0], plain(odd)[:, 0])


@pytest.mark.parametrize("name", ["lean", "hvae", "lvae", "m2", "m1+m2", "infogan"])
def test_every_model_begins_with_the_weights_that_were_asked_for(name):
    recipe = recipes.make(name, (1, 8, 8))
    model = build(replace(recipe, blocks=replace(recipe.blocks, weights_stddev=1e-4)))
    network = model.generator if name == "infogan" else model
    layers = [part for part in network.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    assert layers and all(layer.weight.abs().max() < 1e-3 for layer in layers)
