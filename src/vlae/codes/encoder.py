"""A model → codes of images, quickly: the columns of a file of codes."""

import copy
from collections.abc import Callable
from math import prod

import numpy as np
import torch

from vlae.evaluation.rates import rates_of
from vlae.models.base import LatentModel
from vlae.models.devices import exact_convolutions
from vlae.models.distributions import CodeDistribution
from vlae.models.inference import as_input, given
from vlae.nn.folding import fold_norms
from vlae.shapes import is_image, level_column

DRAWS = 1_024
"""Rows whose random draws are made together."""


def error_of(model: LatentModel, decoded: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The reconstruction error of each datum, float (n,).

    Args:
        model: any model.
        decoded: the reconstructions, (n, *shape).
        x: the data, (n, *shape); images are in [0, 1].

    Returns:
        Of images, the mean squared error per pixel; of vectors, the root mean square error in standard deviations of
        the columns of the training data.
    """
    error = decoded - x
    if is_image(model.shape):
        return error.square().flatten(1).mean(1)
    unit = model.state_dict().get("stddev", torch.ones((), device=x.device))
    return (error / unit).square().mean(1).sqrt()


class Encoder:
    """A copy of a model that encodes images quickly.

    Norms are folded into the layers before them. Maps have channels last in memory. On the processor a batch is small
    enough for its maps to stay in the caches; on a GPU it is large, and nothing waits for it before the rows are done.

    Args:
        model: any model that has an encoder; where it is, there it computes.
        stddev: whether to return the posterior standard deviations.
        sample: whether to return a draw from each posterior.
        reconstruction: whether to return the reconstruction error.
        seed: seed of the draws, 0 or more.
    """

    def __init__(
        self,
        model: LatentModel,
        *,
        stddev: bool = False,
        sample: bool = False,
        reconstruction: bool = True,
        seed: int = 0,
    ):
        model.require("encoder")
        self.model = copy.deepcopy(model).eval()
        fold_norms(self.model)
        if is_image(model.shape):
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.stddev, self.sample, self.reconstruction, self.seed = stddev, sample, reconstruction, seed
        most, pixels = (256, 2**18) if model.device.type == "cpu" else (4096, 2**22)
        self.batch_size = min(most, max(16, pixels // prod(model.shape[1:]))) if is_image(model.shape) else 4 * most

    def columns(
        self,
        values: np.ndarray,
        rows: int | np.ndarray = 0,
        advance: Callable[[int], None] | None = None,
        *,
        features: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Compute codes, KL in nats, and reconstruction error.

        Args:
            values: uint8 (n, C, H, W) images, 0 to 255, or float32 (n, D) vectors.
            rows: the number of the first row in the whole source, 0 or more; or of each, int64 (n,). They decide the
                draws.
            advance: a function that is called with the size of each batch when it is done.
            features: of the full-size pictures, (n, F). None: a model that reads features computes them from the
                values.

        Returns:
            The columns by name: float32 (n,), or (n, code size).
        """
        batches: list[tuple[CodeDistribution, ...]] = []
        errors: list[torch.Tensor] = []
        with torch.inference_mode(), exact_convolutions():
            for at in range(0, len(values), self.batch_size):
                x = as_input(values[at : at + self.batch_size], self.model.device)
                batches.append(self.model.infer(x, **given(features, at, self.batch_size, self.model.device)))
                if self.reconstruction:
                    decoded = self.model.decode(tuple(q.mean for q in batches[-1]))
                    errors.append(error_of(self.model, decoded, x))
                if advance is not None:
                    advance(len(x))
            # The posteriors are small, so all batches are handled at once.
            posteriors = tuple(type(level[0]).cat(level) for level in zip(*batches, strict=True))
            numbers = np.arange(rows, rows + len(values)) if isinstance(rows, int) else rows
            columns = self._code_columns(posteriors, numbers)
            if self.reconstruction:
                columns["reconstruction_error"] = torch.cat(errors)
            return {name: tensor.cpu().numpy() for name, tensor in columns.items()}

    def _code_columns(self, posteriors: tuple[CodeDistribution, ...], rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the columns of codes and KL, by name."""
        rates = rates_of(self.model, posteriors)
        columns: dict[str, torch.Tensor] = {}
        for level in self.model.levels_with_code:
            q, name = posteriors[level - 1], level_column(level)
            columns[name] = q.mean
            if self.stddev:
                columns[f"{name}_stddev"] = q.stddev
            if self.sample:
                columns[f"{name}_sample"] = q.place(_noise((self.seed, level), rows, q.mean))
            columns[f"{name}_kl_nats"] = rates[level - 1]
        return {**columns, "kl_nats": rates.sum(0)}


def _noise(seed: tuple[int, int], rows: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """Standard normal noise that depends on the numbers of the rows alone, however these are cut into parts.

    Args:
        seed: of the draws, and the level.
        rows: their numbers, int64 (n,).
        like: its shape, type and device are taken, (n, code size).
    """
    noise = np.empty(like.shape)
    for block in np.unique(rows // DRAWS).tolist():
        of_block = rows // DRAWS == block
        draws = np.random.default_rng((*seed, block)).standard_normal((DRAWS, *like.shape[1:]))
        noise[of_block] = draws[rows[of_block] % DRAWS]
    return torch.from_numpy(noise).to(like)
