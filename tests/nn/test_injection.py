"""A code acts on the map from above in the way its injection allows."""

import pytest
import torch
from torch import nn

from vlae.nn.injection import Concatenate, GatedAdd, Modulate
from vlae.nn.layers import Blocks


def merge(acts, shape, grid=1):
    torch.manual_seed(0)
    if acts == "modulate":
        return Modulate(2, shape, grid=grid).eval()
    return {"concatenate": Concatenate, "add": GatedAdd}[acts](2, shape, Blocks()).eval()


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
