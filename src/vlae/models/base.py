"""What every model is and returns: `LatentModel` and the frozen `ForwardPass`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from vlae.nn.layers import Shape

Codes = tuple[Float[Tensor, "n _"], ...]
"""One code per level, level 1 (nearest the pixels) first; a level without a code has size 0."""


@dataclass(frozen=True, kw_only=True)
class ForwardPass:
    """What a model says of a batch: all that objectives, figures and evaluation ever see of it.

    Attributes:
        posteriors: q(z_l | ·) of every level, level 1 first, each of batch shape (n, code size).
        priors: p(z_l | ·) of every level, of the same shapes.
        codes: a reparametrised sample of every posterior.
        likelihood: r(x | z) with one event per datum.
        conditioned_alike: whether each prior and posterior are conditioned on the same draws, so that their closed-form
            KL is an unbiased rate (a flat ladder; top-down inference). Where inference runs bottom-up against a
            top-down prior (a Markov hierarchical VAE) it is not, and rates are taken at the drawn codes.
    """

    posteriors: tuple[Normal, ...]
    priors: tuple[Normal, ...]
    codes: Codes
    likelihood: Distribution
    conditioned_alike: bool = True


class LatentModel(nn.Module, ABC):
    """A generative model with a code at every level; levels count from 1 (nearest the pixels) to the top.

    Attributes:
        shape: of one datum: (channels, height, width), or (dimensions,).
        code_sizes: of every level, level 1 first.
    """

    shape: Shape
    code_sizes: tuple[int, ...]

    @abstractmethod
    def forward(self, x: Float[Tensor, "n *shape"], fade: Float[Tensor, " levels"] | None = None) -> ForwardPass:
        """Infers, samples and generates; `fade` in [0, 1] says how far each level has grown (None: all fully)."""

    @abstractmethod
    def infer(self, x: Float[Tensor, "n *shape"]) -> tuple[Normal, ...]:
        """The posterior of every level given data; a conditional one is taken at the mean of what it depends on."""

    @abstractmethod
    def generate(self, codes: Codes) -> Distribution:
        """The likelihood r(x | z) of data given all codes; its `mean` is the picture."""

    @abstractmethod
    def prior(self, level: int, above: Codes) -> Normal:
        """p(z_level | z_{level+1}, …, z_L), of batch shape (n, code size), given the codes above (level+1 first)."""

    @final
    @property
    def num_levels(self) -> int:
        """How many levels there are."""
        return len(self.code_sizes)

    @final
    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""
        return next(self.parameters()).device

    @final
    def place(self, noise: Codes) -> Codes:
        """Codes from standard normal noise, from the top down: z_l = mean + stddev · ε_l under p(z_l | z_above).

        To hold a level is to hold its noise: where priors are conditional, what lies below then moves along.
        """
        codes: Codes = ()
        for level in range(self.num_levels, 0, -1):
            prior = self.prior(level, codes) if codes else self._top_prior(len(noise[-1]))
            codes = (prior.mean + prior.stddev * noise[level - 1], *codes)
        return codes

    @final
    def noise_of(self, codes: Codes) -> Codes:
        """The noise that `place` would turn into these codes."""
        noise: Codes = ()
        for level in range(self.num_levels, 0, -1):
            above = codes[level:]
            prior = self.prior(level, above) if above else self._top_prior(len(codes[-1]))
            noise = ((codes[level - 1] - prior.mean) / prior.stddev, *noise)
        return noise

    @final
    def draw_noise(self, num: int, generator: torch.Generator | None = None) -> Codes:
        """Standard normal noise of every level's size, `num` rows; drawn on the CPU, where a seed means the same."""
        drawn = torch.randn(num, sum(self.code_sizes), generator=generator).to(self.device)
        return torch.split_with_sizes(drawn, list(self.code_sizes), dim=1)

    @final
    def sample(self, num: int, generator: torch.Generator | None = None) -> Distribution:
        """The likelihood of `num` codes drawn from the prior, from the top down."""
        return self.generate(self.place(self.draw_noise(num, generator)))

    def _top_prior(self, num: int) -> Normal:
        return standard_normal(num, self.code_sizes[-1], self.device)


def standard_normal(num: int | torch.SymInt, size: int, device: torch.device) -> Normal:
    """N(0, I) of batch shape (num, size); give `x.shape[0]`, not `len(x)`, which an export takes for a constant."""
    zeros = torch.zeros(num, size, device=device)
    return Normal(zeros, torch.ones_like(zeros), validate_args=False)


def check_code_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes as a tuple, if a model can have them.

    Raises:
        ValueError: if there is no level, a negative size, or no code at all.
    """
    if not sizes or min(sizes) < 0 or sum(sizes) == 0:
        raise ValueError(f"code sizes are {tuple(sizes)}: give each level a size from 0 up, and at least one above 0")
    return tuple(sizes)
