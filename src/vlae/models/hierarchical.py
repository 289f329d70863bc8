"""The models that a ladder is compared with: the hierarchical VAE and the Ladder VAE.

Both have the generative model p(z_L) Π p(z_l|z_{l+1}) r(x|z_1), in which x depends on z_1 alone. They differ in their
inference. A plain VAE is a ladder whose only code is at the top: see the recipe `vae`.
"""

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from vlae.models.base import Codes, ForwardPass, LatentModel, check_code_sizes
from vlae.models.distributions import NormalCode, full_precision, positive, standard_normal
from vlae.models.levels import Level, LevelSettings, Place
from vlae.models.likelihoods import Gaussian, Likelihood
from vlae.nn.layers import Blocks, block, draw_weights
from vlae.shapes import Shape


class _Hierarchy(LatentModel):
    """The generative model: z_L ~ N(0, I), z_l ~ p(z_l|z_{l+1}), a Gaussian, and x ~ r(x|z_1).

    Args:
        shape: shape of one datum, (channels, height, width) or (dimensions,).
        levels: the settings of 2 to 5 levels with a code each, level 1 first.
        blocks: settings that all layers share.
        likelihood: the family of r(x|z_1).
        mean: mean of the data, one number or of `shape`; it is subtracted from the input.
        stddev: standard deviation of the data, one number or of `shape`; the input is divided by it.
    """

    mean: Tensor
    stddev: Tensor

    def __init__(
        self,
        shape: Shape,
        levels: Sequence[LevelSettings],
        *,
        blocks: Blocks = Blocks(),
        likelihood: Likelihood = Gaussian(),
        mean: Tensor | float = 0.5,
        stddev: Tensor | float = 0.25,
    ):
        super().__init__()
        self.shape = tuple(shape)
        self.code_sizes = check_code_sizes([level.code_size for level in levels])
        if not 2 <= len(levels) <= 5 or 0 in self.code_sizes:
            raise ValueError(
                f"code sizes are {self.code_sizes}; a hierarchy has 2 to 5 levels with a code each: "
                "give each level a size of at least 1"
            )
        plain = [level for level in levels if isinstance(level, Level) and level.bare]
        if len(plain) < len(levels):
            raise ValueError(
                "in a hierarchy, levels are plain and read a whole map: Level without reads, head layers and gradients"
            )
        if any(level.convolutions for level in plain[1:]):
            raise ValueError("in a hierarchy, level 2 and above read a code, not a map: give them dense layers only")
        place = Place(
            below=self.shape,
            drawn=likelihood.parameters_shape(self.shape),
            bottom=True,
            top=True,
            last=True,
            code_sizes_below=(),
        )
        self.bottom = plain[0].build(place, blocks)
        self.priors = nn.ModuleList(
            _dense(above.code_size, above.dense, 2 * level.code_size, blocks) for level, above in pairwise(plain)
        )
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("stddev", torch.as_tensor(stddev, dtype=torch.float32))
        self.family = likelihood
        self.likelihood = likelihood.build(self.shape)
        self.lacks = likelihood.lacks()
        self.stddev_form = blocks.stddev
        self._build_inference(plain, blocks)
        draw_weights(self, blocks)

    @abstractmethod
    def _build_inference(self, levels: Sequence[Level], blocks: Blocks) -> None:
        """Makes the networks by which the model infers, beside those of level 1."""

    def prior(self, level: int, above: Codes) -> NormalCode:
        """The prior p(z_l|z_{l+1}) of level l; at the top N(0, I), of batch shape (1, code size).

        Args:
            level: the level's number l, from 1 to L.
            above: the codes of the levels above, (n, code size) each, level l+1 first; () at the top.
        """
        if not above:
            return standard_normal(1, self.code_sizes[level - 1], self.mean.device)
        return self._gaussian(self.priors[level - 1](above[0]))

    def generate(self, codes: Codes) -> Distribution:
        """The likelihood r(x|z_1).

        Args:
            codes: one tensor (n, code size) per level, level 1 first; only the first is used.
        """
        return self._likelihood(codes[0], None)

    def _likelihood(self, code: Tensor, x: Tensor | None) -> Distribution:
        likelihood: Distribution = self.likelihood(self.bottom.descend(None, code, 1.0), self.mean, self.stddev, x)
        return likelihood

    def _gaussian(self, raw: Tensor) -> NormalCode:
        mean, spread = full_precision(raw).chunk(2, dim=1)
        return NormalCode(mean, positive(spread, self.stddev_form))


@final
class HierarchicalVAE(_Hierarchy):
    """The hierarchical VAE, a Markov chain in both directions; inference is q(z_1|x) Π q(z_l|z_{l-1}).

    Reference: Zhao et al. 2017, section 3, equations 3 and 4.

    Args:
        shape: shape of one datum, (channels, height, width) or (dimensions,).
        levels: the settings of 2 to 5 levels, level 1 first. Level 1 has the layers between x and z_1. The `dense` of
            level l above are the hidden units of q(z_l|z_{l-1}) and of p(z_{l-1}|z_l).
        blocks: settings that all layers share.
        likelihood: the family of r(x|z_1).
        mean: mean of the data, one number or of `shape`; it is subtracted from the input.
        stddev: standard deviation of the data, one number or of `shape`; the input is divided by it.

    Raises:
        ValueError: if there are not 2 to 5 plain levels with a code each, or their layers do not fit the shape.

    Examples:
        >>> model = HierarchicalVAE((5,), [Level(code_size=3, dense=(16,)), Level(code_size=2, dense=(16,))])
        >>> [tuple(code.mean.shape) for code in model.infer(torch.zeros(4, 5))]
        [(4, 3), (4, 2)]
    """

    def _build_inference(self, levels: Sequence[Level], blocks: Blocks) -> None:
        self.recognisers = nn.ModuleList(
            _dense(below.code_size, level.dense, 2 * level.code_size, blocks) for below, level in pairwise(levels)
        )

    def infer(
        self, x: Float[Tensor, "n *shape"], features: Float[Tensor, "n features"] | None = None
    ) -> tuple[NormalCode, ...]:
        """The posteriors q(z_1|x) and q(z_l|z_{l-1}), each at the mean of the level below; level 1 first.

        Args:
            x: images in [0, 1], (n, C, H, W), or vectors (n, D).
            features: not used.
        """
        return self._climb(x, draw=False)[0]

    def forward(
        self,
        x: Float[Tensor, "n *shape"],
        fade: Float[Tensor, " levels"] | None = None,
        features: Float[Tensor, "n features"] | None = None,
        seen: Float[Tensor, "n *shape"] | None = None,
    ) -> ForwardPass:
        """Samples the code of every level, from level 1 upwards; its prior is given by the code above it.

        Args:
            x: images in [0, 1], (n, C, H, W), or vectors (n, D).
            fade: how far each level has grown, in [0, 1], level 1 first; the codes passed down are multiplied by it.
                None: 1.
            features: not used.
            seen: what the encoder sees in place of x, for denoising, (n, C, H, W) or (n, D); None: x.
        """
        posteriors, codes = self._climb(x if seen is None else seen, draw=True)
        faded = codes if fade is None else tuple(grown * code for grown, code in zip(fade, codes, strict=True))
        return ForwardPass(
            posteriors=posteriors,
            priors=tuple(self.prior(level, faded[level:]) for level in range(1, self.num_levels + 1)),
            codes=codes,
            likelihood=self._likelihood(faded[0], x),
            conditioned_alike=False,
        )

    def _climb(self, x: Tensor, *, draw: bool) -> tuple[tuple[NormalCode, ...], Codes]:
        h = (x - self.mean) / self.stddev
        posteriors = [self.bottom.posterior(h, self.bottom.climb(h))]
        codes = [posteriors[0].rsample() if draw else posteriors[0].mean]
        for recogniser in self.recognisers:
            posteriors.append(self._gaussian(recogniser(codes[-1])))
            codes.append(posteriors[-1].rsample() if draw else posteriors[-1].mean)
        return tuple(posteriors), tuple(codes)


@final
class LadderVAE(_Hierarchy):
    """The Ladder VAE: the generative model of the hierarchical VAE, with inference from the top down.

    On the way up, d_l = g_l(d_{l-1}) gives an estimate N(μ̂_l, σ̂_l²) of every code. On the way down, the posterior
    q(z_l|z_{l+1}, x) is the precision-weighted product of that estimate and the prior p(z_l|z_{l+1}). The model needs
    batch norm and a warm-up of the rates.

    Reference: Sønderby et al. 2016, "Ladder Variational Autoencoders", section 2.2, equations 8 to 12. There the
    posterior of the top level is the estimate itself; here it is the product of the estimate and N(0, I).

    Args:
        shape: shape of one datum, (channels, height, width) or (dimensions,).
        levels: the settings of 2 to 5 levels, level 1 first. Level 1 has the layers between x and z_1. The `dense` of
            level l above are the units of g_l, and the hidden units of p(z_{l-1}|z_l).
        blocks: settings that all layers share.
        likelihood: the family of r(x|z_1).
        mean: mean of the data, one number or of `shape`; it is subtracted from the input.
        stddev: standard deviation of the data, one number or of `shape`; the input is divided by it.

    Raises:
        ValueError: if there are not 2 to 5 plain levels with a code each, or their layers do not fit the shape.

    Examples:
        >>> model = LadderVAE((5,), [Level(code_size=3, dense=(16,)), Level(code_size=2, dense=(16,))])
        >>> [tuple(code.mean.shape) for code in model.infer(torch.zeros(4, 5))]
        [(4, 3), (4, 2)]
    """

    def _build_inference(self, levels: Sequence[Level], blocks: Blocks) -> None:
        self.climbs, self.estimates = nn.ModuleList(), nn.ModuleList()
        units = self.bottom.features.num_features
        for level in levels[1:]:
            self.climbs.append(_dense(units, level.dense[:-1], level.dense[-1], blocks, linear_end=False))
            units = level.dense[-1]
            self.estimates.append(nn.Linear(units, 2 * level.code_size))

    def infer(
        self, x: Float[Tensor, "n *shape"], features: Float[Tensor, "n features"] | None = None
    ) -> tuple[NormalCode, ...]:
        """The posterior q(z_l|z_{l+1}, x) of every level, each at the mean of the level above; level 1 first.

        Args:
            x: images in [0, 1], (n, C, H, W), or vectors (n, D).
            features: not used.
        """
        return self._descend(x, None, draw=False)[0]

    def forward(
        self,
        x: Float[Tensor, "n *shape"],
        fade: Float[Tensor, " levels"] | None = None,
        features: Float[Tensor, "n features"] | None = None,
        seen: Float[Tensor, "n *shape"] | None = None,
    ) -> ForwardPass:
        """Estimates every code on the way up, then samples each on the way down.

        Args:
            x: images in [0, 1], (n, C, H, W), or vectors (n, D).
            fade: how far each level has grown, in [0, 1], level 1 first; the codes passed down are multiplied by it.
                None: 1.
            features: not used.
            seen: what the encoder sees in place of x, for denoising, (n, C, H, W) or (n, D); None: x.
        """
        posteriors, priors, codes, bottom = self._descend(x if seen is None else seen, fade, draw=True)
        return ForwardPass(posteriors=posteriors, priors=priors, codes=codes, likelihood=self._likelihood(bottom, x))

    def _descend(
        self, x: Tensor, fade: Tensor | None, *, draw: bool
    ) -> tuple[tuple[NormalCode, ...], tuple[NormalCode, ...], Codes, Tensor]:
        estimates = self._climb(x)
        posteriors: list[NormalCode] = []
        priors: list[NormalCode] = []
        codes: list[Tensor] = []
        above: Codes = ()
        for level in range(self.num_levels, 0, -1):
            prior = self.prior(level, above)
            posterior = weighted(estimates[level - 1], prior)
            code = posterior.rsample() if draw else posterior.mean
            above = (code if fade is None else fade[level - 1] * code,)
            posteriors, priors, codes = [posterior, *posteriors], [prior, *priors], [code, *codes]
        return tuple(posteriors), tuple(priors), tuple(codes), above[0]

    def _climb(self, x: Tensor) -> list[NormalCode]:
        h = (x - self.mean) / self.stddev
        d = self.bottom.climb(h)
        assert d is not None  # level 1 reads the whole map
        estimates = [self.bottom.posterior(h, d)]
        d = d.flatten(1)
        for climb, estimate in zip(self.climbs, self.estimates, strict=True):
            d = climb(d)
            estimates.append(self._gaussian(estimate(d)))
        return estimates


def weighted(estimate: NormalCode, prior: NormalCode) -> NormalCode:
    """The product of two Gaussians, weighted by precision.

    Its mean is (μ̂ σ̂⁻² + μ σ⁻²) / (σ̂⁻² + σ⁻²), and its variance 1 / (σ̂⁻² + σ⁻²).

    Args:
        estimate: N(μ̂, σ̂²), of batch shape (n, code size).
        prior: N(μ, σ²), of batch shape (n, code size) or (1, code size).
    """
    estimate_precision, prior_precision = estimate.stddev**-2, prior.stddev**-2
    precision = estimate_precision + prior_precision
    mean = (estimate.mean * estimate_precision + prior.mean * prior_precision) / precision
    return NormalCode(mean, precision**-0.5)


def _dense(units: int, hidden: Sequence[int], end: int, blocks: Blocks, *, linear_end: bool = True) -> nn.Sequential:
    """Fully-connected layers of `units`, `hidden` and `end` units; the last layer is linear if `linear_end`."""
    widths = [units, *hidden, end]
    last = len(widths) - 2
    return nn.Sequential(
        *(
            block(
                (units_in,),
                (units_out,),
                kernel=1,
                norm=blocks.norm and not (linear_end and i == last),
                slope=None if linear_end and i == last else blocks.slope,
            )
            for i, (units_in, units_out) in enumerate(pairwise(widths))
        )
    )
