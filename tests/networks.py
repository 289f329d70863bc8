"""Small feature networks, in files, of which a test knows what they say."""

from pathlib import Path

import torch
from torch import Tensor, nn

SIDE = 32


class Detail(nn.Module):
    """The mean colours in a 2 × 2 grid, and how much neighbouring pixels differ: 12 + 3 features."""

    def forward(self, x: Tensor) -> Tensor:
        grid = nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)
        return torch.cat([grid, (x[:, :, :, 1:] - x[:, :, :, :-1]).abs().mean((2, 3))], dim=1)


class Scaled(nn.Module):
    """The mean colours, times a number."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) * self.factor


class Maps(nn.Module):
    """A map instead of a vector."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, ::8, ::8]


def save(module: nn.Module, file: Path, *, side: int = SIDE) -> Path:
    """Writes a network that takes colour pictures of one side."""
    batch = {0: torch.export.Dim("n", min=1)}
    example = torch.rand(2, 3, side, side)
    torch.export.save(torch.export.export(module.eval(), (example,), dynamic_shapes=(batch,)), file)
    return file
