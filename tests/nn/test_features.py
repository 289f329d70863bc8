"""What a head sees of a map: all of it, or mean and deviation in the cells of a grid."""

import pytest
import torch

from vlae.nn.features import FullFeatures, GridFeatures, OrientedGradients, oriented_gradients


def test_reading_by_mean_and_deviation():
    h = torch.randn(3, 2, 4, 4)
    read = GridFeatures((2, 4, 4), 1)
    torch.testing.assert_close(read(h)[:, :2], h.mean((2, 3)))
    torch.testing.assert_close(read(h)[:, 2:], h.std((2, 3), correction=0))
    quarters = GridFeatures((2, 4, 4), 2)
    features = quarters(h).unflatten(1, (4, 2, 2))
    torch.testing.assert_close(features[:, :2, 1, 0], h[:, :, 2:, :2].mean((2, 3)))
    torch.testing.assert_close(features[:, 2:, 1, 0], h[:, :, 2:, :2].std((2, 3), correction=0))
    assert FullFeatures((2, 4, 4))(h).equal(h.flatten(1))
    for read in (FullFeatures((2, 4, 4)), *(GridFeatures((2, 4, 4), grid) for grid in (1, 2, 3))):
        assert read(h).shape == (3, read.num_features)


def test_a_reading_of_the_whole_forgets_places_and_a_grid_those_within_a_cell():
    h = torch.randn(3, 2, 4, 4)
    anywhere = h.flatten(2)[:, :, torch.randperm(16)].unflatten(2, (4, 4))
    within = h.clone()
    within[:, :, :2, :2] = h[:, :, :2, :2].transpose(2, 3)
    for grid, blind_to_any, blind_within in ((1, True, True), (2, False, True), (None, False, False)):
        read = FullFeatures((2, 4, 4)) if grid is None else GridFeatures((2, 4, 4), grid)
        assert torch.allclose(read(anywhere), read(h), atol=1e-6) == blind_to_any
        assert torch.allclose(read(within), read(h), atol=1e-6) == blind_within


def test_a_constant_map_has_a_finite_slope():
    h = torch.ones(2, 3, 4, 4, requires_grad=True)
    GridFeatures((3, 4, 4), 1)(h).sum().backward()
    assert h.grad.isfinite().all()


# Oriented gradients


def stripes(across, down, side=24):
    """Stripes whose gradient points along (across, down), (1, 1, side, side); a period has about 8 pixels."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.sin((across * columns + down * rows) * torch.pi / 4 / (across**2 + down**2) ** 0.5)[None, None]


def cells(x, grid):
    """Strength, cos 2θ and sin 2θ of every cell, (n, 3, grid, grid)."""
    return oriented_gradients(x, grid).unflatten(1, (3, grid, grid))


@pytest.mark.parametrize(
    ("direction", "cosine", "sine"),
    [((1, 0), 1, 0), ((0, 1), -1, 0), ((1, 1), 0, 1), ((1, -1), 0, -1)],
    ids=["upright", "lying", "diagonal", "other diagonal"],
)
def test_the_angle_of_stripes(direction, cosine, sine):
    _, cos, sin = cells(stripes(*direction), 3)[0]
    inner = (1, 1)  # no border in it
    assert cos[inner].item() == pytest.approx(cosine, abs=0.05)
    assert sin[inner].item() == pytest.approx(sine, abs=0.05)


def test_each_cell_tells_of_its_own_place():
    """Upright stripes above, lying ones below on the left, nothing on the right."""
    x = torch.zeros(1, 1, 24, 24)
    x[..., :12, :] = stripes(1, 0)[..., :12, :]
    x[..., 12:, :12] = stripes(0, 1)[..., 12:, :12]
    strength, cos, _ = cells(x, 2)[0]
    assert cos[0].min() > 0.6 and cos[1, 0] < -0.6
    assert strength[1, 1] < strength.flatten()[:3].min() - 1


def test_negative_contrast_and_brightness_do_not_show():
    torch.manual_seed(0)
    x = torch.randn(4, 3, 16, 13)
    found = oriented_gradients(x, 4)
    assert found.shape == (4, OrientedGradients(4).num_features) == (4, 48)
    torch.testing.assert_close(oriented_gradients(-x, 4), found)
    tint = torch.tensor([1.0, -2.0, 0.5])[:, None, None]
    for other in (5 * x, 0.3 * x, x + tint):
        torch.testing.assert_close(oriented_gradients(other, 4), found, atol=0.02, rtol=0)
    # What was turned does: by a right angle, cos and sin of 2θ change sign.
    turned = oriented_gradients(torch.rot90(x, 1, (2, 3)), 1)
    torch.testing.assert_close(turned[:, 1:], -oriented_gradients(x, 1)[:, 1:], atol=1e-4, rtol=0)


def test_gradients_are_standardised_by_the_batch_and_then_by_what_was_seen():
    torch.manual_seed(0)
    read, x = OrientedGradients(2), 2 * torch.randn(64, 1, 12, 12) + torch.linspace(-1, 1, 12)
    found = read(x)
    torch.testing.assert_close(found.mean(0), torch.zeros(12), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std(0, correction=0), torch.ones(12), atol=0.02, rtol=0)
    for _ in range(200):
        read(x)
    read.eval()
    torch.testing.assert_close(read(x), found, atol=0.05, rtol=0)
    assert not list(read.parameters())


def test_flat_pictures_and_pictures_of_one_channel_give_finite_numbers():
    for channels in (1, 2, 3, 4):
        flat = torch.full((2, channels, 8, 8), 0.4)
        assert oriented_gradients(flat, 2).isfinite().all()
        assert oriented_gradients(flat, 2).unflatten(1, (3, 4))[:, 1:].abs().max() < 1e-3
    x = torch.rand(2, 3, 8, 8, requires_grad=True)
    assert not oriented_gradients(x, 2).requires_grad
