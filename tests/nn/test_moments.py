"""Moments of maps: read alone, hidden, and set by a code alone."""

import pytest
import torch

from vlae.nn.moments import AdaINOutput, AffineInvariantConv, MomentFeatures, NormalisedConv, moments, normalised


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
    layer = AffineInvariantConv((3, 9, 8), wanted, kernel=3, norm=False, slope=0.1)
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
    layer = AffineInvariantConv((3, 9, 8), (5, 9, 8), kernel=3, norm=False, slope=0.1)
    mask = torch.zeros(1, 9, 8)
    mask[:, 3:6, 2:5] = mask[:, 4, 6] = 4
    inks = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, -1, 1], [1, 1, 1.0]])[:, :, None, None]
    seen = layer(inks * mask).flatten(1)
    assert torch.pdist(seen).max() < 0.1 * seen.norm(dim=1).min()


def test_no_picture_jumps_where_its_contrast_changes_sign():
    torch.manual_seed(0)
    layer = AffineInvariantConv((1, 9, 8), (5, 9, 8), kernel=3, norm=False, slope=0.1)
    texture, disc = torch.rand(1, 1, 9, 8), torch.zeros(1, 1, 9, 8)
    disc[:, :, 2:6, 2:6] = 1
    seen = torch.cat([layer(texture + a * disc) for a in torch.linspace(-1, 1, 401)])
    steps = (seen[1:] - seen[:-1]).flatten(1).norm(dim=1)
    assert steps.max() < 0.05 * (seen[-1] - seen[200]).norm()


def test_reading_moments_takes_nothing_else():
    read = MomentFeatures(1, slope=0.1)
    inside = torch.tensor([[1.0, -1.0, 1.0, -1.0, 1.0, -1.0], [2**0.5, -(2**0.5), 0, 0, 2**0.5, -(2**0.5)]])
    h = torch.zeros(2, 1, 5, 4)  # alike in mean, deviation and border, and in nothing else
    h[:, 0, 1:4, 1:3] = (inside / inside.norm(dim=1, keepdim=True)).reshape(2, 3, 2)
    assert read(h).shape == (2, read.num_features)
    torch.testing.assert_close(read(h[:1]), read(h[1:]))
    assert (read(1 - h) - read(h)).abs().max() > 1e-3


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("fade", [0.0, 0.5, 1.0])
def test_a_code_alone_sets_mean_and_deviation_of_the_maps_that_are_mixed(fade, smooth):
    torch.manual_seed(0)
    layer = AdaINOutput(2, (6, 4, 3), (16, 8, 5), kernel=3, smooth=smooth)
    torch.nn.init.eye_(layer.mix.weight[:, :, 0, 0])
    torch.nn.init.zeros_(layer.mix.bias)
    h, code = torch.randn(2, 6, 4, 3), torch.randn(1, 2).expand(4, 2)
    drawn = layer(torch.cat([h, 100 * h]), code, fade)
    assert drawn.shape == (4, 16, 8, 5)
    scale, shift = (fade * layer.embed(code)).chunk(2, dim=1)
    torch.testing.assert_close(drawn.mean((2, 3)), shift)
    torch.testing.assert_close(drawn.std((2, 3), correction=0), (1 + scale).abs(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(drawn[:2], drawn[2:], rtol=1e-3, atol=1e-3)  # how strongly does not count,
    assert (drawn[0] - drawn[1]).abs().max() > 0.1  # what does


def test_how_much_of_the_sign_is_seen_by_the_contrast_to_the_border():
    layer = AffineInvariantConv((1, 9, 8), (32, 9, 8), kernel=3, norm=False, slope=1.0)
    torch.nn.init.eye_(layer.mix[0].weight[:, :, 0, 0])
    torch.nn.init.zeros_(layer.mix[0].bias)
    h = torch.rand(6, 1, 9, 8)
    h[:, :, 2:6, 2:6] += torch.linspace(-0.5, 1.5, 6)[:, None, None, None]
    modulus, signed = layer(h).chunk(2, dim=1)
    contrast = moments(h).border_contrast
    share = (contrast / (contrast**2 + 0.2**2).sqrt()).abs()
    torch.testing.assert_close(
        signed.abs().sum((1, 2, 3)) / modulus.sum((1, 2, 3)), share.flatten(), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize(("channels", "norm", "side"), [(1, True, 8), (3, False, 9), (4, True, 8)])
def test_the_mix_of_responses_is_the_one_of_the_definition(channels, norm, side):
    torch.manual_seed(0)
    out = (5, -(-side // 2), 4)
    layer = AffineInvariantConv((channels, side, 8), out, kernel=3, norm=norm, slope=0.1, flat=1e-2)
    h = torch.randn(6, channels, side, 8) * torch.linspace(0, 1, 6)[:, None, None, None]
    h[:, :1] *= 0.05  # flat
    mean, stddev, contrast = moments(h, layer.flat)
    response = layer.filters(((h - mean) / stddev).flatten(0, 1)[:, None]).unflatten(0, (6, channels))
    sign = (contrast / (contrast.square() + 0.04).sqrt())[:, :, None]
    both = torch.cat([response.abs(), response * sign], dim=2)
    variance = (stddev.square() - layer.flat).clamp_min(0)[:, :, None]
    average = (variance * both).sum(1, keepdim=True) / (variance.sum(1, keepdim=True) + 1e-4)
    both = torch.lerp(average.expand_as(both), both, variance / (variance + layer.flat))
    wanted, seen = layer.mix(both.flatten(1, 2)), layer(h)
    torch.testing.assert_close(seen, wanted, rtol=1e-4, atol=1e-5)
    weight = torch.randn_like(wanted)
    for one, two in zip(
        *[torch.autograd.grad((drawn * weight).sum(), [*layer.parameters()]) for drawn in (seen, wanted)], strict=True
    ):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


# The layer that hides contrast and brightness, and shows light from dark


@pytest.fixture
def layer():
    """With the flat channel of `lean`: two grey levels of 255."""
    torch.manual_seed(0)
    return NormalisedConv((3, 9, 8), (5, 9, 8), kernel=3, norm=False, slope=0.1, flat=1e-3)


def far(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize(("scale", "bound"), [(0.2, 0.04), (0.5, 0.01), (3.0, 0.01)])
def test_contrast_and_brightness_of_a_channel_are_hidden(layer, scale, bound):
    h = 3 * mixed_map()  # deviations near 1, as pictures have, once standardised
    seen = layer(h)
    assert seen.shape == (3, 5, 9, 8)
    shift = torch.tensor([5.0, 0.0, -4.0])[:, None, None]
    assert far(layer(scale * h + shift), seen) < bound
    one = torch.tensor([scale, 1.0, 1.0])[:, None, None]
    assert far(layer(one * h), seen) < bound


def test_a_map_and_its_negative_differ(layer):
    h = 3 * mixed_map()
    assert far(layer(-h), layer(h)) > 0.5
    assert far(layer(h.flip(2)), layer(h)) > 0.1
    for name, p in layer.named_parameters():
        assert torch.autograd.grad(layer(h).square().sum(), p)[0].any(), name


def test_the_sizes_of_the_responses_are_seen_beside_the_responses(layer):
    """With the responses left out of the mix, a map and its negative are the same; with their sizes left out, not."""
    h, mix = 3 * mixed_map(), layer.mix[0].weight
    with torch.no_grad():
        kept, mix[:, :5] = mix.clone(), 0
        torch.testing.assert_close(layer(-h), layer(h))
        mix.copy_(kept)
        mix[:, 5:] = 0
        assert far(layer(-h), layer(h)) > 0.5


def test_a_flat_channel_gives_no_hue_away(layer):
    """The same form in ink of any colours: a channel that ink and ground share shows the pattern of the others."""
    mask = torch.zeros(1, 9, 8)
    mask[:, 3:6, 2:5] = mask[:, 4, 6] = 4
    inks = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0.3, 0, 1], [1, 1, 1.0]])[:, :, None, None]
    seen = layer(inks * mask).flatten(1)
    assert torch.pdist(seen).max() < 0.02 * seen.norm(dim=1).min()
    torch.testing.assert_close(normalised(torch.full((2, 3, 4, 4), 0.7)), torch.zeros(2, 3, 4, 4))


def test_normalised_channels_have_mean_0_and_deviation_1():
    h = 3 * mixed_map()
    for channels in (h, h[:, :1]):
        found = normalised(channels, 1e-3)
        torch.testing.assert_close(found.mean((2, 3)), torch.zeros(3, channels.shape[1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(found.std((2, 3), correction=0), torch.ones(3, channels.shape[1]), atol=1e-2, rtol=0)
