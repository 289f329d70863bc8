"""The Fréchet distance of a generator's pictures from real ones, along its training."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlae.objectives.discrepancies import frechet

COMPONENTS = 32
"""The principal components in which pictures are compared."""

LATEST = 1_000
"""The pictures of each kind that are compared: the latest."""

EVERY = 50
"""The steps from one comparison to the next."""


class Compared(NamedTuple):
    """How the latest generated pictures compare with the latest real ones."""

    frechet: Float[Tensor, ""]
    """The Fréchet distance of generated from real pictures, in squared grey levels from 0 up."""
    frechet_real: Float[Tensor, ""]
    """The Fréchet distance of as many real pictures from real pictures; few data bias both upwards alike."""
    variety: Float[Tensor, ""]
    """The variance of generated pictures, as a share of that of real ones: near 0 if they are all alike."""


class PictureDistance(nn.Module):
    """Compares the latest pictures of a training with real ones, every 50 steps; it costs next to nothing.

    The pictures are those of the batches, so none is drawn for it. They are compared in 32 principal components of the
    first batch. What it remembers is part of the checkpoint.

    Args:
        size: the number of values in a picture.

    Attributes:
        compared: the latest comparison: Fréchet distance, that of real pictures, variety.
    """

    centre: Tensor
    basis: Tensor
    real: Tensor
    drawn: Tensor
    compared: Tensor

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("basis", torch.zeros(size, min(size, COMPONENTS)))
        self.register_buffer("real", torch.zeros(2 * LATEST, min(size, COMPONENTS)))
        self.register_buffer("drawn", torch.zeros(LATEST, min(size, COMPONENTS)))
        self.register_buffer("compared", torch.zeros(3))
        self.is_fitted = False
        self.register_load_state_dict_post_hook(_find_fitted)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def forward(self, real: Float[Tensor, "n *shape"], drawn: Float[Tensor, "n *shape"], step: int) -> Compared:
        """Remembers the pictures of a step, and compares the latest if it is the turn, or the first step here.

        Args:
            real: real pictures in [0, 1], (n, C, H, W).
            drawn: as many generated pictures.
            step: the number of the step, from 0.
        """
        is_first = not self.is_fitted
        if is_first:
            self._fit(real.flatten(1))
        for latest, pictures in ((self.real, real), (self.drawn, drawn)):
            features = (pictures.flatten(1) - self.centre) @ self.basis
            latest.copy_(torch.cat([latest, features])[-len(latest) :])
        if is_first or step % EVERY == 0:
            num = max(2, int(self.real.any(1).sum()) // 2)
            now, before, made = self.real[-num:], self.real[-2 * num : -num], self.drawn[-num:]
            one, two, three = (part.double().cpu().numpy() for part in (now, before, made))
            variety = made.var(0).sum() / now.var(0).sum().clamp_min(1e-12)
            self.compared.copy_(self.compared.new_tensor([frechet(three, one), frechet(two, one), variety]))
        return Compared(*self.compared)

    def _fit(self, rows: Tensor) -> None:
        centre = rows.mean(0)
        components = torch.linalg.svd(rows - centre, full_matrices=False).Vh[: self.basis.shape[1]]
        self.centre.copy_(centre)
        self.basis[:, : len(components)] = components.T
        self.is_fitted = True


def _find_fitted(loaded: PictureDistance, keys: object) -> None:
    """Tells whether what was loaded has components."""
    loaded.is_fitted = bool(loaded.basis.any())
