"""The variational ladder autoencoder.

Reference: Zhao, Song and Ermon, "Learning Hierarchical Features from Generative Models", ICML 2017, section 5.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from vlae.models.base import Codes, ForwardPass, LatentModel, check_code_sizes
from vlae.models.distributions import CodeDistribution, standard_normal
from vlae.models.levels import LadderLevel, Level, LevelSettings, Place
from vlae.models.likelihoods import Gaussian, Likelihood
from vlae.nn.layers import Blocks
from vlae.shapes import Shape, levels_with_code

__all__ = ["VLAE", "Level"]


class VLAE(LatentModel):
    """The variational ladder autoencoder: codes injected at every level of one decoder, under one flat prior.

    Inference climbs h_l = g_l(h_{l-1}) from h_0 = x and reads every q(z_l | x) off at its own depth. Generation
    descends z̃_l = u_l([z̃_{l+1} ; v_l(z_l)]) and ends in r(x | z). A plain VAE is the ladder whose only code is at the
    top. A level above the highest code has no networks.

    Reference: section 5.1, equations 10 to 14.

    Args:
        shape: of one datum, (channels, height, width) or (dimensions,).
        levels: from level 1, nearest the pixels, to the top.
        blocks: what all networks share.
        likelihood: which r(x | z) is.
        mean: of the data, by which the networks' input is standardised: one number, or one per dimension.
        stddev: of the data, by which the networks' input is divided: one number, or one per dimension.

    Raises:
        ValueError: if the levels cannot be built on data of this shape.

    Examples:
        >>> levels = [Level(code_size=2, dense=(16,)), Level(code_size=3, dense=(16,))]
        >>> model = VLAE((5,), levels)
        >>> [tuple(code.mean.shape) for code in model.infer(torch.zeros(4, 5))]
        [(4, 2), (4, 3)]
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
        highest = levels_with_code(self.code_sizes)[-1]
        built: list[LadderLevel] = []
        parameters = likelihood.parameters_shape(self.shape)
        below = self.shape
        for number, level in enumerate(levels[:highest], start=1):
            bottom = number == 1
            place = Place(below=below, drawn=parameters if bottom else below, bottom=bottom, top=number == highest)
            built.append(level.build(place, blocks))
            below = built[-1].shape
        self.levels: Sequence[LadderLevel] = nn.ModuleList(built)  # type: ignore[assignment]
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("stddev", torch.as_tensor(stddev, dtype=torch.float32))
        self.family = likelihood
        self.likelihood = likelihood.build(self.shape)
        self.lacks = likelihood.lacks()
        if blocks.weights_stddev is not None:
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                    nn.init.normal_(module.weight, std=blocks.weights_stddev)

    def infer(self, x: Float[Tensor, "n *shape"]) -> tuple[CodeDistribution, ...]:
        """q(z_l | x) of every level."""
        h: Tensor | None = (x - self.mean) / self.stddev
        posteriors = []
        for level in self.levels:
            assert h is not None  # only the top level may have no g
            below, h = h, level.climb(h)
            posteriors.append(level.posterior(below, h))
        empty = [standard_normal(x.shape[0], 0, x.device) for _ in self.code_sizes[len(self.levels) :]]
        return (*posteriors, *empty)

    def generate(self, codes: Codes) -> Distribution:
        """r(x | z)."""
        likelihood: Distribution = self.likelihood(self._descend(codes, None), self.mean, self.stddev)
        return likelihood

    def bits_per_dimension(self, nats: float) -> float | None:
        """As the likelihood's family defines it."""
        return self.family.bits_per_dimension(nats, self.shape)

    def prior(self, level: int, above: Codes) -> CodeDistribution:
        """p(z_level) of batch shape (1, code size), whatever is above: N(0, I), unless the level brings another."""
        if level > len(self.levels):
            return standard_normal(1, 0, self.mean.device)
        return self.levels[level - 1].prior(above, self.mean)

    def forward(self, x: Float[Tensor, "n *shape"], fade: Float[Tensor, " levels"] | None = None) -> ForwardPass:
        """Infers every level, draws its code, generates."""
        posteriors = self.infer(x)
        codes = tuple(posterior.rsample() for posterior in posteriors)
        return ForwardPass(
            posteriors=posteriors,
            priors=tuple(self.prior(level, codes[level:]) for level in range(1, self.num_levels + 1)),
            codes=codes,
            likelihood=self.likelihood(self._descend(codes, fade), self.mean, self.stddev, x),
        )

    def _descend(self, codes: Codes, fade: Tensor | None) -> Tensor:
        z: Tensor | None = None
        for number in range(len(self.levels), 0, -1):
            z = self.levels[number - 1].descend(z, codes[number - 1], 1.0 if fade is None else fade[number - 1])
        assert z is not None  # the lowest level draws
        return z
