"""MMD against a plain loop, and of samples of one distribution."""

import math

import pytest
import torch

from vlae import objectives
from vlae.errors import NotDefinedError
from vlae.objectives import ELBO, Batch
from vlae.recipes import build, lean


def test_mmd_agrees_with_a_plain_loop():
    torch.manual_seed(0)
    one, other = torch.randn(7, 3), torch.randn(5, 3) + 1

    def k(a, b):
        return math.exp(-float(((a - b) ** 2).sum()) / 6)

    among = [sum(k(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j) for s in (one, other)]
    across = sum(k(a, b) for a in one for b in other) / 35
    assert objectives.mmd(one, other).item() == pytest.approx(among[0] / 42 + among[1] / 20 - 2 * across, abs=1e-6)
    torch.testing.assert_close(objectives.mmd(one.flip(0), other), objectives.mmd(one, other))
    torch.testing.assert_close(objectives.mmd(other, one), objectives.mmd(one, other))


def test_mmd_of_one_law_is_zero_on_average():
    torch.manual_seed(0)
    same = torch.stack([objectives.mmd(torch.randn(50, 2), torch.randn(50, 2)) for _ in range(200)])
    apart = torch.stack([objectives.mmd(torch.randn(50, 2), torch.randn(50, 2) + 0.7) for _ in range(200)])
    assert abs(same.mean()) < 3 * same.std() / 200**0.5
    assert apart.mean() > 5 * same.std()


@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1), (0, 5)])
def test_mmd_of_less_than_two_data_is_not_defined(n, m):
    with pytest.raises(NotDefinedError, match=f"MMD of {n} and {m} data is not defined; give each sample two or more"):
        objectives.mmd(torch.randn(n, 2), torch.randn(m, 2))


def test_a_batch_of_one_datum_has_no_loss_with_mmd():
    model = build(lean((4,), code_sizes=(2, 1), width=4)).eval()
    with pytest.raises(NotDefinedError, match="the MMD of 1 and 1 data"):
        ELBO(mmd=1.0).loss(model, Batch(x=torch.zeros(1, 4)), step=0, progress=0.0)
