"""Masked convolutions see what stands before a pixel and nothing else; wavefronts draw as pixel after pixel does."""

import pytest
import torch

from vlae.nn.masked import MaskedConv2d, MaskedNetwork

LAYERS = [0, 1, 2, 4]


def network(layers, *, channels=2, kernel=5, width=4, outputs=3):
    torch.manual_seed(layers)
    return MaskedNetwork(channels, outputs, layers=layers, kernel=kernel, width=width).double()


def seen_from(model, row, column, height=8, width=9):
    """Which pixels of x the numbers of one pixel depend on, and which of m."""
    x, m = (torch.rand(1, 2, height, width, dtype=torch.float64, requires_grad=True) for _ in "xm")
    numbers = model(x, m)[0, :, row, column].square().sum()
    return tuple(slope[0].abs().sum(0) > 0 for slope in torch.autograd.grad(numbers, (x, m), materialize_grads=True))


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("layers", LAYERS)
def test_no_number_depends_on_its_own_pixel_or_a_later_one(layers, kernel):
    model = network(layers, kernel=kernel)
    for row, column in ((0, 0), (0, 4), (4, 0), (4, 4), (4, 8), (7, 8)):
        seen, _ = seen_from(model, row, column)
        assert not seen.flatten()[row * 9 + column :].any()
        near = [(row, column - 1), (row - 1, column), (row - 1, column + 1)]
        inside = [(i, j) for i, j in near if i >= 0 and 0 <= j < 9]
        assert all(bool(seen[i, j]) == (layers > 0) for i, j in inside)


def test_one_layer_sees_twelve_pixels_and_more_see_a_cone():
    assert seen_from(network(1), 4, 4)[0].sum() == 12
    two = seen_from(network(2), 4, 4)[0]
    assert two[:4].sum() + two[4, :4].sum() == two.sum() and two[0, :9].all()
    assert two[3, 6] and not two[3, 7]  # beside the cone


def test_every_layer_counts():
    model = network(4)
    x, m = torch.rand(2, 2, 8, 8).double(), torch.rand(2, 2, 8, 8).double()
    model(x, m).square().sum().backward()
    assert all(parameter.grad.any() for parameter in model.parameters())


def test_the_other_picture_is_seen_on_all_sides():
    _, of_m = seen_from(network(0), 4, 4)
    assert of_m.sum() == 25


@pytest.mark.parametrize("centre", [True, False])
def test_the_convolution_at_a_pixel_is_that_of_the_whole_map(centre):
    torch.manual_seed(0)
    layer, h = MaskedConv2d(3, 4, 5, centre=centre).double(), torch.rand(2, 3, 6, 7).double()
    rows, columns = torch.tensor([0, 2, 5, 5]), torch.tensor([0, 6, 3, 6])
    torch.testing.assert_close(layer.at(layer.padded(h), rows, columns)[..., 0], layer(h)[:, :, rows, columns])


@pytest.mark.parametrize("layers", LAYERS)
def test_wavefronts_draw_what_is_drawn_pixel_by_pixel(layers):
    model = network(layers, outputs=2)
    torch.manual_seed(1)
    m, noise = torch.rand(3, 2, 6, 7).double(), torch.rand(3, 2, 6, 7).double()

    def place(numbers, rows, columns):
        return torch.sigmoid(3 * numbers) * noise[:, :, rows, columns][..., None]

    with torch.no_grad():
        drawn = model.draw(m, place)
        naive = torch.zeros_like(m)
        for row in range(6):
            for column in range(7):
                one = torch.tensor([row]), torch.tensor([column])
                naive[:, :, row, column] = place(model(naive, m)[:, :, row, column][:, :, None, None], *one)[..., 0, 0]
    torch.testing.assert_close(drawn, naive)


def test_a_wavefront_waits_for_all_that_its_pixels_see():
    model = network(4)
    step = torch.full((8, 9), -1)
    for number, (rows, columns) in enumerate(model.wavefronts(8, 9, torch.device("cpu"))):
        assert (step[rows, columns] == -1).all()
        step[rows, columns] = number
    assert (step >= 0).all() and step[2, 3] == 3 + 3 * 2
    for row, column in ((4, 4), (7, 0), (6, 8)):
        assert (step[seen_from(model, row, column)[0]] < step[row, column]).all()


def test_there_are_as_many_wavefronts_as_said():
    def count(layers, kernel=5):
        return len(list(network(layers, kernel=kernel).wavefronts(32, 32, torch.device("cpu"))))

    assert (count(0), count(1), count(4), count(1, kernel=3)) == (1, 125, 125, 94)
