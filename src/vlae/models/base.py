"""What every model is and returns: `LatentModel` and the frozen `ForwardPass`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from vlae.errors import NotDefinedError
from vlae.models.distributions import CodeDistribution
from vlae.shapes import Shape, levels_with_code

Codes = tuple[Float[Tensor, "n _"], ...]
"""One code per level, level 1 (nearest the pixels) first; a level without a code has size 0."""

Capability = Literal["encoder", "density"]
"""What a model may lack: an encoder q(z | x), or a density r(x | z)."""


@dataclass(frozen=True, kw_only=True)
class ForwardPass:
    """What a model says of a batch: all that objectives, figures and evaluation ever see of it.

    Attributes:
        posteriors: q(z_l | ·) of every level, level 1 first, each of batch shape (n, code size).
        priors: p(z_l | ·) of every level, of the same shapes, or (1, code size) where all data share one.
        codes: a reparametrised draw from every posterior.
        likelihood: r(x | z) with one event per datum.
        conditioned_alike: whether each prior and posterior are conditioned on the same draws, so that their closed-form
            KL is an unbiased rate (a flat ladder; top-down inference). Where inference runs bottom-up against a
            top-down prior (a Markov hierarchical VAE) it is not, and rates are taken at the drawn codes.
    """

    posteriors: tuple[CodeDistribution, ...]
    priors: tuple[CodeDistribution, ...]
    codes: Codes
    likelihood: Distribution
    conditioned_alike: bool = True


class LatentModel(nn.Module, ABC):
    """A generative model with a code at every level; levels count from 1 (nearest the pixels) to the top.

    Attributes:
        shape: of one datum: (channels, height, width), or (dimensions,).
        code_sizes: of every level, level 1 first.
        lacks: what this model has not, with the reason; evaluation then says "not defined" and why.
    """

    shape: Shape
    code_sizes: tuple[int, ...]
    lacks: Mapping[Capability, str] = {}

    @abstractmethod
    def forward(self, x: Float[Tensor, "n *shape"], fade: Float[Tensor, " levels"] | None = None) -> ForwardPass:
        """Infers, samples and generates; `fade` in [0, 1] says how far each level has grown (None: all fully)."""

    @abstractmethod
    def infer(self, x: Float[Tensor, "n *shape"]) -> tuple[CodeDistribution, ...]:
        """The posterior of every level given data; a conditional one is taken at the mean of what it depends on."""

    @abstractmethod
    def generate(self, codes: Codes) -> Distribution:
        """The likelihood r(x | z) of data given all codes."""

    @abstractmethod
    def prior(self, level: int, above: Codes) -> CodeDistribution:
        """p(z_level | z_{level+1}, …, z_L) given the codes above, level+1 first; none above the top.

        Its batch shape is (n, code size), or (1, code size) where it does not depend on the codes above.
        """

    def picture_of(self, likelihood: Distribution) -> Float[Tensor, "n *shape"]:
        """The picture that stands for r(x | z): its mean, unless a model knows a better one or a cheaper one."""
        picture: Tensor = likelihood.mean
        return picture

    def bits_per_dimension(self, nats: float) -> float | None:
        """Bits that each number of an image costs, from a log-likelihood or a bound in nats per image.

        Returns:
            None where the likelihood defines no such number.
        """
        return None

    @final
    def decode(self, codes: Codes) -> Float[Tensor, "n *shape"]:
        """The picture of codes, which figures, mixes, page, export and search draw."""
        return self.picture_of(self.generate(codes))

    @final
    def require(self, *wanted: Capability) -> None:
        """Says so where the model lacks what is wanted.

        Raises:
            NotDefinedError: with the reason.
        """
        for name in wanted:
            if name in self.lacks:
                raise NotDefinedError(f"the model has no {name}: {self.lacks[name]}")

    @final
    @property
    def num_levels(self) -> int:
        """How many levels there are."""
        return len(self.code_sizes)

    @final
    @property
    def levels_with_code(self) -> tuple[int, ...]:
        """The numbers of the levels that have a code, counted from 1."""
        return levels_with_code(self.code_sizes)

    @final
    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""
        return next(self.parameters()).device

    @final
    def place(self, noise: Codes) -> Codes:
        """Codes from standard normal noise, from the top down: each prior places the noise of its level.

        To hold a level is to hold its noise: where priors are conditional, what lies below then moves along.
        """
        codes: Codes = ()
        for level in range(self.num_levels, 0, -1):
            codes = (self.prior(level, codes).place(noise[level - 1]), *codes)
        return codes

    @final
    def noise_of(self, codes: Codes) -> Codes:
        """The noise that `place` would turn into these codes."""
        levels = range(1, self.num_levels + 1)
        return tuple(self.prior(level, codes[level:]).noise_of(codes[level - 1]) for level in levels)

    @final
    def draw_noise(self, num: int, generator: torch.Generator | None = None) -> Codes:
        """Standard normal noise of every level's size, `num` rows; drawn on the CPU, where a seed means the same."""
        drawn = torch.randn(num, sum(self.code_sizes), generator=generator).to(self.device)
        return torch.split_with_sizes(drawn, list(self.code_sizes), dim=1)

    @final
    def sample(self, num: int, generator: torch.Generator | None = None) -> Distribution:
        """The likelihood of `num` codes drawn from the prior, from the top down."""
        return self.generate(self.place(self.draw_noise(num, generator)))


def check_code_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes as a tuple, if a model can have them.

    Raises:
        ValueError: if there is no level, a negative size, or no code at all.
    """
    if not sizes or min(sizes) < 0 or sum(sizes) == 0:
        raise ValueError(f"code sizes are {tuple(sizes)}: give each level a size from 0 up, and at least one above 0")
    return tuple(sizes)
