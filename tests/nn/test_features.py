"""What a head sees of a map: all of it, or mean and deviation in the cells of a grid."""

import torch

from vlae.nn.features import FullFeatures, GridFeatures


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
