"""Priors of the codes of all levels together: mixtures of Gaussians, of which N(0, I) and one Gaussian are two.

A ladder's own prior is N(0, I), but the codes of real data follow another distribution, in which the levels depend on
each other. A mixture fitted to these codes (`vlae.evaluation.prior_fit`) draws better pictures. It describes *noise*
(`LatentModel.noise_of`), so it serves models with conditional priors too: codes are `model.place(noise)`.

Reference: Dai and Wipf 2019, "Diagnosing and Enhancing VAE Models"; Ghosh et al. 2020, "From Variational to
Deterministic Autoencoders", section 4, which fits a mixture of ten Gaussians.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from vlae.models.base import Codes, LatentModel

PriorName = Literal["fitted", "standard"]
"""The prior that is fitted to a run's training data, or N(0, I)."""


MAX_NUMBERS = 2**24
"""Of so many numbers at most (components × rows × dimensions) are levels drawn at once given others."""


@dataclass(frozen=True, kw_only=True)
class PriorFit:
    """What a prior was fitted to, and how well it fits.

    Attributes:
        num_data: number of data, from 0 up.
        num_codes: number of codes drawn from their posteriors, from 0 up.
        gain: log-likelihood of held-out codes above that under N(0, I), in nats per datum; None: not measured. A
            level whose code is a category is given: its noise has no density.
        reason: why no larger mixture was fitted, in words; "": the largest was tried, or no longer fitted better.
    """

    num_data: int = 0
    num_codes: int = 0
    gain: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class MixturePrior:
    """A mixture of Gaussians over the noise of all levels together: Σ_k π_k N(μ_k, L_k L_kᵀ).

    Every conditional of it is a mixture too, in closed form, so one level can be drawn given the others.

    Attributes:
        code_sizes: dimensions of every level's code, level 1 first; D in all.
        weights: π, (K,), above 0, with sum 1.
        means: μ, (K, D).
        factors: L, the lower Cholesky factors of the covariances, (K, D, D); or one that all share, (1, D, D): a kernel
            density.
        fit: what it was fitted to; None for N(0, I).

    Raises:
        ValueError: if the arrays do not fit each other, or make no mixture.

    Examples:
        >>> prior = standard_prior((2, 3))
        >>> [tuple(level.shape) for level in prior.draw(4, torch.Generator().manual_seed(0))]
        [(4, 2), (4, 3)]
    """

    code_sizes: tuple[int, ...]
    weights: Float64[Tensor, " k"]
    means: Float64[Tensor, "k d"]
    factors: Float64[Tensor, "l d d"]
    fit: PriorFit | None = None

    def __post_init__(self) -> None:
        """Refuses arrays that make no mixture."""
        num, size = len(self.weights), sum(self.code_sizes)
        shared = (1, size, size)
        if num < 1 or self.means.shape != (num, size) or self.factors.shape not in {(num, size, size), shared}:
            raise ValueError(
                f"a mixture of {num} Gaussians over {size} dimensions has means {(num, size)} and factors "
                f"{(num, size, size)} or {shared}; {tuple(self.means.shape)} and {tuple(self.factors.shape)} are given"
            )
        finite = all(bool(part.isfinite().all()) for part in (self.weights, self.means, self.factors))
        diagonal = self.factors.diagonal(dim1=1, dim2=2)
        if not finite or not bool((self.weights > 0).all()) or abs(float(self.weights.sum()) - 1) > 1e-3:
            raise ValueError("the weights of a mixture are above 0 with sum 1, and all its numbers are finite")
        if not bool((diagonal > 0).all()) or bool(self.factors.triu(1).any()):
            raise ValueError("the factors of a mixture are lower triangles with a diagonal above 0")

    @property
    def num_components(self) -> int:
        """The number of Gaussians, K."""
        return len(self.weights)

    @property
    def is_kernel_density(self) -> bool:
        """Whether there is a Gaussian for the code of each of some data, from which that code can be computed."""
        return self.num_components > 1 and len(self.factors) == 1

    @property
    def is_standard(self) -> bool:
        """Whether it is N(0, I)."""
        identity = torch.eye(self.means.shape[1], dtype=torch.float64)
        return self.num_components == 1 and not self.means.any() and bool((self.factors[0] == identity).all())

    @property
    def name(self) -> str:
        """The kind of distribution, in words."""
        if self.is_standard:
            return "N(0, I)"
        if self.num_components > 1:
            kind = "kernel density of {} codes" if self.is_kernel_density else "mixture of {} Gaussians"
            return f"a {kind.format(self.num_components)}"
        diagonal = not self.factors[0].tril(-1).any()
        return "a Gaussian without correlations" if diagonal else "a Gaussian"

    def describe(self) -> str:
        """What it is, what it was fitted to, and how much better it fits than N(0, I), in words."""
        if self.fit is None:
            return self.name
        parts = [self.name]
        if not self.is_standard:
            parts[0] += f", fitted to {self.fit.num_codes:,} codes of {self.fit.num_data:,} data"
        if self.fit.gain is not None:
            compared = "worse" if self.fit.gain < 0 else "better"  # chosen for the categories that it also draws
            parts.append(f"{abs(self.fit.gain):.1f} nats per datum {compared} than N(0, I) on held-out codes")
        return "; ".join([*parts, *([self.fit.reason] if self.fit.reason else [])])

    def without_codes(self) -> "MixturePrior":
        """Itself; of a kernel density the Gaussian of the same mean and covariance, which tells of no single datum."""
        if not self.is_kernel_density:
            return self
        mean = self.weights @ self.means
        away = self.means - mean
        covariance = self.factors[0] @ self.factors[0].T + (self.weights[:, None] * away).T @ away
        fit = replace(self.fit or PriorFit(), gain=None, reason="the codes of a kernel density are left out")
        ones, factor = torch.ones(1, dtype=torch.float64), torch.linalg.cholesky(covariance)
        return replace(self, weights=ones, means=mean[None], factors=factor[None], fit=fit)

    def draw(self, num: int, generator: torch.Generator | None = None) -> Codes:
        """Noise of all levels, drawn on the CPU.

        Args:
            num: number of rows.
            generator: the CPU generator to draw from; None: the default generator.

        Returns:
            One float32 tensor (num, code size) per level, level 1 first. Under N(0, I) they are those of
            `LatentModel.draw_noise`.
        """
        log_weights = self.weights.log()[:, None].expand(-1, num)
        means = self.means[:, None].expand(-1, num, -1)
        return self._split(_draw(log_weights, means, self.factors, generator).float())

    def redraw(self, levels: Sequence[int], noise: Codes, generator: torch.Generator | None = None) -> Codes:
        """Draws some levels given all others.

        Args:
            levels: the numbers of the levels to draw, from 1 up.
            noise: noise of all levels, (n, code size) each, level 1 first; that of `levels` is not used.
            generator: the CPU generator to draw from; None: the default generator.

        Returns:
            The noise, of the same shapes, with `levels` drawn anew.
        """
        columns = self._columns(levels)
        drawn = torch.cat([_draw(*self._given(columns, rows), generator) for rows in self._parts(noise)])
        redrawn = iter(torch.split(drawn, [self.code_sizes[level - 1] for level in sorted(set(levels))], dim=1))
        return tuple(
            next(redrawn).to(kept.device, kept.dtype) if level in levels else kept
            for level, kept in enumerate(noise, start=1)
        )

    def level_moments(
        self, level: int, noise: Codes | None = None
    ) -> tuple[Float[Tensor, "n size"], Float[Tensor, "n size"]]:
        """Mean and standard deviation of each dimension of one level: given the others, or among all codes.

        Args:
            level: the level's number, from 1 up.
            noise: noise of all levels, (n, code size) each, level 1 first, of which the others are given; None: nothing
                is given, and n is 1.

        Returns:
            Two float32 tensors (n, code size), on the CPU.
        """
        columns = self._columns([level])
        if noise is None:
            return _moments(self.weights.log()[:, None], self.means[:, None, columns], self.factors[:, columns])
        means, stddevs = zip(*(_moments(*self._given(columns, rows)) for rows in self._parts(noise)), strict=True)
        return torch.cat(means), torch.cat(stddevs)

    def _parts(self, noise: Codes) -> Iterator[Codes]:
        """Noise a part at a time, so that the mixture given its rows takes bounded memory."""
        at_once = max(1, MAX_NUMBERS // self.means.numel())
        return zip(*(level.split(at_once) for level in noise), strict=True)

    def _given(self, columns: Int64[Tensor, " a"], noise: Codes) -> tuple[Tensor, Tensor, Tensor]:
        """The mixture of some columns given the others: log weights (K, n), means (K, n, a), factors (K or 1, a, a).

        With the given columns first, the Cholesky factor of a covariance is [[G, 0], [H, F]], and the conditional is
        N(μ_a + H G⁻¹ (x_b - μ_b), F Fᵀ). The factor of the reordered covariance comes from a QR decomposition of the
        reordered factor, so no covariance is ever subtracted from another.
        """
        x = torch.cat([level.detach().to("cpu", torch.float64) for level in noise], dim=1)
        size = self.means.shape[1]
        others = torch.tensor([i for i in range(size) if i not in columns.tolist()], dtype=torch.long)
        reordered = self.factors[:, torch.cat([others, columns])]
        factors = torch.linalg.qr(reordered.mT, mode="r").R.mT
        factors = factors * factors.diagonal(dim1=1, dim2=2).sign()[:, None]
        num = len(others)
        known, slopes, rest = factors[:, :num, :num], factors[:, num:, :num], factors[:, num:, num:]
        offsets = (x[:, others] - self.means[:, None, others]).mT
        white = torch.linalg.solve_triangular(known, offsets, upper=False)
        log_determinants = known.diagonal(dim1=1, dim2=2).log().sum(1)
        log_weights = (self.weights.log() - log_determinants)[:, None] - 0.5 * white.square().sum(1)
        return log_weights, self.means[:, None, columns] + (slopes @ white).mT, rest

    def _columns(self, levels: Sequence[int]) -> Int64[Tensor, " a"]:
        """The dimensions of some levels among all D, in the order of the levels."""
        ends = torch.tensor((0, *self.code_sizes)).cumsum(0).tolist()
        chosen = [torch.arange(ends[level - 1], ends[level]) for level in sorted(set(levels))]
        return torch.cat([*chosen, torch.zeros(0, dtype=torch.long)])

    def _split(self, noise: Float[Tensor, "n d"]) -> Codes:
        return torch.split_with_sizes(noise, list(self.code_sizes), dim=1)


def _moments(
    log_weights: Float[Tensor, "k n"], means: Float[Tensor, "k n a"], factors: Float[Tensor, "l a b"]
) -> tuple[Float[Tensor, "n a"], Float[Tensor, "n a"]]:
    """Mean and standard deviation of each dimension of n mixtures, in float32."""
    shares = log_weights.softmax(0)[..., None]
    mean = (shares * means).sum(0)
    variance = (shares * (factors.square().sum(2)[:, None] + (means - mean).square())).sum(0)
    return mean.float(), variance.sqrt().float()


def _draw(
    log_weights: Float[Tensor, "k n"],
    means: Float[Tensor, "k n a"],
    factors: Float[Tensor, "l a a"],
    generator: torch.Generator | None,
) -> Float64[Tensor, "n a"]:
    """A draw from each of n mixtures that share the shapes of their components."""
    num, size = means.shape[1:]
    normal = torch.randn(num, size, generator=generator).double()
    uniform = torch.rand(num, generator=generator).double()
    chosen = (uniform > log_weights.softmax(0).cumsum(0)[:-1]).sum(0)
    drawn = torch.empty(num, size, dtype=torch.float64)
    for k in chosen.unique().tolist():
        rows = chosen == k
        drawn[rows] = means[k, rows] + normal[rows] @ factors[k % len(factors)].T
    return drawn


def standard_prior(code_sizes: Sequence[int]) -> MixturePrior:
    """N(0, I), the prior under which a ladder is trained.

    Args:
        code_sizes: dimensions of every level's code, level 1 first.
    """
    size = sum(code_sizes)
    return MixturePrior(
        code_sizes=tuple(code_sizes),
        weights=torch.ones(1, dtype=torch.float64),
        means=torch.zeros(1, size, dtype=torch.float64),
        factors=torch.eye(size, dtype=torch.float64)[None],
    )


def complete(
    model: LatentModel, prior: MixturePrior, given: Mapping[int, Tensor], generator: torch.Generator | None = None
) -> Codes:
    """Draws the codes of the levels that are missing, given the codes of the others.

    If the prior of a given level depends on levels above that are missing, its noise is not known before these are
    drawn. Then they are drawn without it.

    Args:
        model: any model, in eval mode.
        prior: of the model's codes.
        given: by level, its codes, (n, code size); one or more levels.
        generator: the CPU generator to draw from; None: the default generator.

    Returns:
        The codes of all levels, level 1 first; those that are given are unchanged.
    """
    num = len(next(iter(given.values())))
    sizes = model.code_sizes
    noise = [torch.zeros(num, size, device=model.device) for size in sizes]
    missing = {level for level, size in enumerate(sizes, start=1) if size and level not in given}
    later = {level for level in given if not _is_flat(model, level)}
    for level in given.keys() - later:
        above = tuple(noise[level:])  # any codes: the prior does not depend on them
        noise[level - 1] = model.prior(level, above).noise_of(given[level])
    codes: Codes = ()
    upper: Codes = ()  # a category one-hot, as in `noise_of`
    for level in range(model.num_levels, 0, -1):
        own = model.prior(level, upper)
        if level in given:
            noise[level - 1] = own.noise_of(given[level])
            codes = (given[level], *codes)
        else:
            if level in missing:
                unknown = sorted(missing | later)
                noise[level - 1] = prior.redraw(unknown, tuple(noise), generator)[level - 1]
            codes = (own.place(noise[level - 1]), *codes)
        upper = (own.settled(codes[0]), *upper)
        missing.discard(level)
        later.discard(level)
    return codes


def _is_flat(model: LatentModel, level: int) -> bool:
    """Whether the prior of a level does not depend on the codes above."""
    above = tuple(torch.zeros(2, size, device=model.device) for size in model.code_sizes[level:])
    return model.prior(level, above).batch_shape[0] == 1
