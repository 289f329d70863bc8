"""The variational ladder autoencoder.

Reference: Zhao, Song and Ermon, "Learning Hierarchical Features from Generative Models", ICML 2017, section 5.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from vlae.models.base import Codes, ForwardPass, LatentModel, check_code_sizes
from vlae.models.distributions import CodeDistribution, no_code
from vlae.models.levels import ClassLevel, LadderLevel, LevelSettings, Place
from vlae.models.likelihoods import Gaussian, Likelihood
from vlae.nn.layers import Blocks, draw_weights
from vlae.shapes import Shape, levels_with_code


class VLAE(LatentModel):
    """The variational ladder autoencoder: one decoder takes a code at every level, and the prior is flat.

    Inference climbs from h_0 = x, standardised, with h_l = g_l(h_{l-1}). It gives q(z_l|x) from h_l; a level of moments
    or with a head of its own reads h_{l-1}; a content level reads the features of a frozen network. Generation descends
    with z̃_l = u_l([z̃_{l+1}; v_l(z_l)]), and ends in r(x|z); in a level of moments the code acts after u_l. A plain VAE
    is the ladder whose only code is at the top. A level above the highest code has no networks.

    Reference: Zhao et al. 2017, section 5.1, equations 10 to 14.

    Args:
        shape: shape of one datum, (channels, height, width) or (dimensions,).
        levels: the settings of every level, from level 1 (nearest the pixels) to the top.
        blocks: settings that all layers share.
        likelihood: the family of r(x|z).
        mean: mean of the data, one number or of `shape`; it is subtracted from the input.
        stddev: standard deviation of the data, one number or of `shape`; the input is divided by it.

    Raises:
        ValueError: if the levels cannot be built on data of this shape.

    Examples:
        >>> from vlae.models.levels import Level
        >>> levels = [Level(code_size=2, dense=(16,)), Level(code_size=3, dense=(16,))]
        >>> model = VLAE((5,), levels)
        >>> [tuple(code.mean.shape) for code in model.infer(torch.zeros(4, 5))]
        [(4, 2), (4, 3)]
    """

    independent_posteriors = True
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
        begins = max(levels_with_code([level.code_size * level.draws for level in levels]), default=0)
        built: list[LadderLevel] = []
        parameters = likelihood.parameters_shape(self.shape)
        below = self.shape
        for number, level in enumerate(levels[:highest], start=1):
            bottom = number == 1
            place = Place(
                below=below,
                drawn=parameters if bottom else below,
                bottom=bottom,
                top=number == begins,
                last=number == highest,
                code_sizes_below=self.code_sizes[: number - 1],
            )
            built.append(level.build(place, blocks))
            below = built[-1].shape
        self.levels: Sequence[LadderLevel] = nn.ModuleList(built)  # type: ignore[assignment]
        self.num_features = max(level.num_features for level in built)
        top = levels[highest - 1]
        if isinstance(top, ClassLevel):
            self.class_names, self.class_values = top.names, top.values
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("stddev", torch.as_tensor(stddev, dtype=torch.float32))
        self.family = likelihood
        self.likelihood = likelihood.build(self.shape)
        self.lacks = likelihood.lacks()
        draw_weights(self, blocks)

    def infer(
        self, x: Float[Tensor, "n *shape"], features: Float[Tensor, "n features"] | None = None
    ) -> tuple[CodeDistribution, ...]:
        """The posterior q(z_l|x) of every level, level 1 first.

        Args:
            x: images in [0, 1], (n, C, H, W), or vectors (n, D).
            features: of the full-size pictures, (n, F), for a content level. None: they are computed from x.
        """
        return self._climb(x, features)[0]

    def _climb(
        self, x: Tensor, features: Tensor | None, seen: Tensor | None = None
    ) -> tuple[tuple[CodeDistribution, ...], list[Tensor | None]]:
        """The posterior of every level given what is seen, and what of x each must explain."""
        if self.num_features and features is None:
            features = self.features_of(x)
        bottom = (x - self.mean) / self.stddev
        h: Tensor | None = bottom if seen is None else (seen - self.mean) / self.stddev
        posteriors, targets = [], []
        for level in self.levels:
            assert h is not None  # only the top level may lack g_l
            here, target = level.climb(h), level.target(bottom, features)
            read = [part for part in (here, target) if part is not None]
            posteriors.append(
                level.posterior(h, torch.cat(read, dim=1) if len(read) > 1 else read[0] if read else None)
            )
            targets.append(target)
            h = target if here is None else here
        empty = [no_code(x.shape[0], x.device) for _ in self.code_sizes[len(self.levels) :]]
        return (*posteriors, *empty), targets

    def generate(self, codes: Codes) -> Distribution:
        """The likelihood r(x|z).

        Args:
            codes: one tensor (n, code size) per level, level 1 first.
        """
        likelihood: Distribution = self.likelihood(self._descend(codes, None), self.mean, self.stddev)
        return likelihood

    def prior(self, level: int, above: Codes) -> CodeDistribution:
        """The prior of level l: N(0, I) of batch shape (1, code size), unless the level or one above defines another.

        Args:
            level: the level's number l, from 1 to L.
            above: the codes of the levels above, (n, code size) each, level l+1 first; () at the top.
        """
        if level > len(self.levels):
            return no_code(1, self.mean.device)
        for upper, code in zip(self.levels[level:], above, strict=False):
            given = upper.prior_of(level, code)
            if given is not None:
                return given
        return self.levels[level - 1].prior(above, self.mean)

    def forward(
        self,
        x: Float[Tensor, "n *shape"],
        fade: Float[Tensor, " levels"] | None = None,
        features: Float[Tensor, "n features"] | None = None,
        seen: Float[Tensor, "n *shape"] | None = None,
    ) -> ForwardPass:
        """Infers the posterior of every level, samples its code, and generates the likelihood.

        Args:
            x: images in [0, 1], (n, C, H, W), or vectors (n, D).
            fade: how far each level has grown, in [0, 1], level 1 first; v_l(z_l) is multiplied by it. None: 1.
            features: of the full-size pictures, (n, F), for a content level. None: they are computed from x.
            seen: what the encoder sees in place of x, for denoising, (n, C, H, W) or (n, D); None: x.
        """
        posteriors, targets = self._climb(x, features, seen)
        codes = tuple(posterior.rsample() for posterior in posteriors)
        return ForwardPass(
            posteriors=posteriors,
            priors=tuple(self.prior(level, codes[level:]) for level in range(1, self.num_levels + 1)),
            codes=codes,
            likelihood=self.likelihood(self._descend(codes, fade), self.mean, self.stddev, x),
            features_distortion=self._explain(codes, targets),
        )

    def _explain(self, codes: Codes, targets: Sequence[Tensor | None]) -> Tensor | None:
        explained = [
            level.explain(code, target)
            for level, code, target in zip(self.levels, codes, targets, strict=False)
            if target is not None
        ]
        return torch.stack(explained).sum(0) if explained else None

    def _descend(self, codes: Codes, fade: Tensor | None) -> Tensor:
        drawn: Tensor | None = None  # z̃_{l+1}, then z̃_l
        for number in range(len(self.levels), 0, -1):
            grown = 1.0 if fade is None else fade[number - 1]
            drawn = self.levels[number - 1].descend(drawn, codes[number - 1], grown)
        assert drawn is not None  # level 1 always draws
        return drawn
