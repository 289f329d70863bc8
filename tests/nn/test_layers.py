"""Blocks come out in the shape that was asked for, and a code acts in the way its merge allows."""

import os

import jaxtyping
import pytest
import torch
from torch import nn

from vlae.nn.layers import Layer, Merge, Read, ReadMoments, SetMoments, WithoutMoments, block, moments, shapes_of

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")


@pytest.mark.skipif(os.environ.get("VLAE_NO_SHAPE_CHECKS") == "1", reason="shapes are not checked")
def test_signatures_are_checked():
    with pytest.raises(jaxtyping.TypeCheckError, match="u8"):
        Read((2, 4, 4), None)(torch.zeros(3, 2, 4, 4, dtype=torch.uint8))


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
    with pytest.raises(ValueError, match=r"needs a map .* what comes is \(32,\)"):
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


def test_reading_by_mean_and_deviation():
    h = torch.randn(3, 2, 4, 4)
    read = Read((2, 4, 4), 1)
    torch.testing.assert_close(read(h)[:, :2], h.mean((2, 3)))
    torch.testing.assert_close(read(h)[:, 2:], h.std((2, 3), correction=0))
    quarters = Read((2, 4, 4), 2)
    features = quarters(h).unflatten(1, (4, 2, 2))
    torch.testing.assert_close(features[:, :2, 1, 0], h[:, :, 2:, :2].mean((2, 3)))
    torch.testing.assert_close(features[:, 2:, 1, 0], h[:, :, 2:, :2].std((2, 3), correction=0))
    assert Read((2, 4, 4), None)(h).equal(h.flatten(1))
    for grid in (None, 1, 2, 3):
        assert Read((2, 4, 4), grid)(h).shape == (3, Read((2, 4, 4), grid).num_features)


def test_a_pooled_reading_forgets_places_and_a_grid_those_within_a_cell():
    h = torch.randn(3, 2, 4, 4)
    anywhere = h.flatten(2)[:, :, torch.randperm(16)].unflatten(2, (4, 4))
    within = h.clone()
    within[:, :, :2, :2] = h[:, :, :2, :2].transpose(2, 3)
    for grid, blind_to_any, blind_within in ((1, True, True), (2, False, True), (None, False, False)):
        read = Read((2, 4, 4), grid)
        assert torch.allclose(read(anywhere), read(h), atol=1e-6) == blind_to_any
        assert torch.allclose(read(within), read(h), atol=1e-6) == blind_within


def test_a_constant_map_has_a_finite_slope():
    h = torch.ones(2, 3, 4, 4, requires_grad=True)
    Read((3, 4, 4), 1)(h).sum().backward()
    assert h.grad.isfinite().all()


def mixed_map(num=3):
    """Maps whose border is darker than the whole in some channels and brighter in others."""
    h = torch.rand(num, 3, 9, 8)
    h[:, 0, 2:6, 2:6] += 1
    h[:, 1, 2:6, 2:6] -= 1
    return h


def test_moments_are_mean_deviation_and_contrast_to_the_border():
    h = mixed_map()
    found = moments(h)
    torch.testing.assert_close(found.mean[..., 0, 0], h.mean((2, 3)))
    torch.testing.assert_close(found.stddev[..., 0, 0], (h.var((2, 3), correction=0) + 0.01).sqrt())
    border = torch.stack([channel[border_of(h)] for channel in h[0]]).mean(1)
    torch.testing.assert_close(found.border_contrast[0, :, 0, 0] * found.stddev[0, :, 0, 0], h[0].mean((1, 2)) - border)
    assert (found.border_contrast[:, 0] > 0.1).all() and (found.border_contrast[:, 1] < -0.1).all()


def border_of(h):
    """Rows and columns of the border; a corner belongs to two sides, and counts twice."""
    _, _, height, width = h.shape
    sides = [(0, j) for j in range(width)] + [(height - 1, j) for j in range(width)]
    sides += [(i, 0) for i in range(height)] + [(i, width - 1) for i in range(height)]
    return tuple(torch.tensor(sides).T)


@pytest.mark.parametrize("wanted", [(5, 5, 4), (5, 9, 8)])
def test_a_layer_without_moments_sees_neither_colours_nor_which_is_lighter(wanted):
    torch.manual_seed(0)
    layer = WithoutMoments((3, 9, 8), wanted, kernel=3, norm=False, slope=0.1)
    h = 3 * mixed_map()  # as pictures of strong contrast are, once standardised
    seen = layer(h)
    assert seen.shape == (3, *wanted)
    scale, shift = torch.tensor([2.0, -3.0, 0.7])[:, None, None], torch.tensor([5.0, 0.0, -40.0])[:, None, None]
    different = (layer(scale * h + shift) - seen).norm() / seen.norm()
    assert different < 0.02
    assert (layer(h.flip(2)) - seen).norm() / seen.norm() > 0.1  # but it sees where things are
    for name, p in layer.named_parameters():
        assert torch.autograd.grad(layer(h).square().sum(), p)[0].any(), name


def test_a_colour_that_ink_and_ground_share_gives_nothing_away():
    torch.manual_seed(0)
    layer = WithoutMoments((3, 9, 8), (5, 9, 8), kernel=3, norm=False, slope=0.1)
    mask = torch.zeros(1, 9, 8)
    mask[:, 3:6, 2:5] = mask[:, 4, 6] = 4
    inks = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, -1, 1], [1, 1, 1.0]])[:, :, None, None]
    seen = layer(inks * mask).flatten(1)
    assert torch.pdist(seen).max() < 0.1 * seen.norm(dim=1).min()


def test_no_picture_jumps_where_its_contrast_changes_sign():
    torch.manual_seed(0)
    layer = WithoutMoments((1, 9, 8), (5, 9, 8), kernel=3, norm=False, slope=0.1)
    texture, disc = torch.rand(1, 1, 9, 8), torch.zeros(1, 1, 9, 8)
    disc[:, :, 2:6, 2:6] = 1
    seen = torch.cat([layer(texture + a * disc) for a in torch.linspace(-1, 1, 401)])
    steps = (seen[1:] - seen[:-1]).flatten(1).norm(dim=1)
    assert steps.max() < 0.05 * (seen[-1] - seen[200]).norm()


def test_reading_moments_takes_nothing_else():
    read = ReadMoments(1, slope=0.1)
    inside = torch.tensor([[1.0, -1.0, 1.0, -1.0, 1.0, -1.0], [2**0.5, -(2**0.5), 0, 0, 2**0.5, -(2**0.5)]])
    h = torch.zeros(2, 1, 5, 4)  # alike in mean, deviation and border, and in nothing else
    h[:, 0, 1:4, 1:3] = (inside / inside.norm(dim=1, keepdim=True)).reshape(2, 3, 2)
    assert read(h).shape == (2, read.num_features)
    torch.testing.assert_close(read(h[:1]), read(h[1:]))
    assert (read(1 - h) - read(h)).abs().max() > 1e-3


@pytest.mark.parametrize("fade", [0.0, 0.5, 1.0])
def test_a_code_alone_sets_mean_and_deviation_of_the_maps_that_are_mixed(fade):
    torch.manual_seed(0)
    layer, given = SetMoments(2, (6, 4, 3), (3, 8, 5), kernel=3), []
    layer.mix.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    h, code = torch.randn(2, 6, 4, 3), torch.randn(1, 2).expand(4, 2)
    drawn = layer(torch.cat([h, 100 * h]), code, fade)
    assert drawn.shape == (4, 3, 8, 5)
    scale, shift = (fade * layer.embed(code)).chunk(2, dim=1)
    torch.testing.assert_close(given[0].mean((2, 3)), shift)
    torch.testing.assert_close(given[0].std((2, 3), correction=0), (1 + scale).abs(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(drawn.mean((2, 3)), layer.mix(shift[:, :, None, None])[:, :, 0, 0])
    torch.testing.assert_close(drawn[:2], drawn[2:], rtol=1e-3, atol=1e-3)  # how strongly does not count,
    assert (drawn[0] - drawn[1]).abs().max() > 0.1  # what does


def merge(acts, shape, grid=1):
    torch.manual_seed(0)
    return Merge(2, shape, acts, grid=grid, norm=True, slope=0.1).eval()


@pytest.mark.parametrize("shape", [(3, 6, 5), (7,)])
def test_modulation_is_one_scale_and_one_shift_per_channel(shape):
    modulate, code, above = merge("modulate", shape), torch.randn(4, 2), torch.randn(4, *shape)
    shift = modulate(torch.zeros(4, *shape), code, 1.0)
    scale = modulate(torch.ones(4, *shape), code, 1.0) - shift
    assert (scale != 1).all() and (shift != 0).all()
    torch.testing.assert_close(modulate(above, code, 1.0), above * scale + shift)
    if len(shape) == 3:
        for part in (scale, shift):
            torch.testing.assert_close(part, part[:, :, :1, :1].expand_as(part))


def test_modulation_on_a_grid_is_smooth_with_one_freedom_per_cell():
    modulate = merge("modulate", (1, 8, 8), grid=2)
    shifts = modulate(torch.zeros(50, 1, 8, 8), torch.randn(50, 2), 1.0).flatten(1)
    assert torch.linalg.matrix_rank(shifts - shifts.mean(0)) == 2  # as many as the code has
    modulate.embed = nn.Linear(20, 2 * 4)
    shift = modulate(torch.zeros(50, 1, 8, 8), torch.randn(50, 20), 1.0)
    shifts = shift.flatten(1)
    assert torch.linalg.matrix_rank(shifts - shifts.mean(0), rtol=1e-4) == 4  # as many as the grid has cells
    steps = (shift[:, 0, :, 1:] - shift[:, 0, :, :-1]).abs().amax((1, 2))
    ends = (shift[:, 0, :, -1] - shift[:, 0, :, 0]).abs().amax(1)
    assert (steps <= ends / 4 + 1e-5).all()  # no jump at the border of two cells


@pytest.mark.parametrize("shape", [(3, 4, 5), (7,)])
def test_adding_goes_through_a_gate_that_starts_at_a_tenth(shape):
    add, code, above = merge("add", shape), torch.randn(4, 2), torch.randn(4, *shape)
    assert (add.gate == 0.1).all() and add.gate.numel() == shape[0]
    torch.testing.assert_close(add(above, code, 1.0), above + 0.1 * add.embed(code))


@pytest.mark.parametrize("shape", [(3, 4, 5), (7,)])
def test_concatenation_keeps_both(shape):
    concatenate, code, above = merge("concatenate", shape), torch.randn(4, 2), torch.randn(4, *shape)
    merged = concatenate(above, code, 1.0)
    assert merged.shape[1:] == concatenate.output_shape == (2 * shape[0], *shape[1:])
    assert merged[:, : shape[0]].equal(above)
    assert merged[:, shape[0] :].equal(concatenate.embed(code))


@pytest.mark.parametrize("acts", ["concatenate", "add", "modulate"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (7,)])
def test_the_code_counts_by_its_fade(acts, shape):
    merging, above = merge(acts, shape), torch.randn(4, *shape)
    none, half, full = (merging(above, torch.ones(4, 2), torch.tensor(fade)) for fade in (0.0, 0.5, 1.0))
    torch.testing.assert_close(half, (none + full) / 2)
    assert none[:, : shape[0]].equal(above) and not none[:, shape[0] :].any()
