"""The models M2 and M1+M2 of semi-supervised learning, whose top level is a class.

Reference: Kingma et al. 2014, "Semi-supervised Learning with Deep Generative Models", sections 2 and 3.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Distribution

from vlae.models.base import Codes, ForwardPass, LatentModel, check_code_sizes
from vlae.models.distributions import (
    CategoryCode,
    CodeDistribution,
    NormalCode,
    full_precision,
    positive,
    standard_normal,
)
from vlae.models.enumerated import ExpectedLikelihood, NormalByClass, PartlyKnown, expected
from vlae.models.levels import ClassLevel, GaussianHead, Level, LevelSettings, Place
from vlae.models.likelihoods import Gaussian, Likelihood
from vlae.nn.layers import Blocks, draw_weights, stack
from vlae.shapes import Shape


class Enumerated(NamedTuple):
    """What the inference says of every class of every datum."""

    classes: PartlyKnown
    """q(y|x), or the label where it is known; of batch shape (n, K)."""
    posterior: NormalByClass
    """q(z|x, y), of batch shape (n, code size)."""
    names: Float[Tensor, "all values"]
    """Each class of each datum, one-hot, (n · K, K); all classes of a datum follow each other."""


class Drawn(NamedTuple):
    """One class of each datum, drawn from q(y|x), and what belongs to it."""

    name: Float[Tensor, "n values"]
    """y, one-hot, (n, K)."""
    posterior: NormalCode
    """q(z|x, y), of batch shape (n, code size)."""
    code: Float[Tensor, "n size"]
    """z, (n, code size)."""


class ClassedNetworks(nn.Module):
    """The fully-connected networks q(y|x), q(z|x, y), and the decoder of z and y.

    Args:
        settings: of the level of z: its code size, and the units of the layers from x to its features.
        num_classes: K.
        seen: shape of what the networks read.
        drawn: shape of what the decoder draws.
        blocks: settings that all layers share.
    """

    def __init__(self, settings: LevelSettings, num_classes: int, seen: Shape, drawn: Shape, blocks: Blocks):
        super().__init__()
        if (
            not isinstance(settings, Level)
            or not (settings.bare and settings.dense and settings.code_size)
            or settings.convolutions
        ):
            raise ValueError("the level below the class has a code and dense layers only: Level(code_size=…, dense=…)")
        units = settings.dense[-1]
        upwards = [(each,) for each in settings.dense]
        self.num_classes = num_classes
        self.trunk = stack([seen, *upwards], blocks)
        self.classify = nn.Linear(units, num_classes)
        self.hidden = stack([(units + num_classes,), (units,)], blocks)
        self.head = GaussianHead(units, settings.code_size, blocks.stddev)
        self.draw = stack(
            [(settings.code_size + num_classes,), *reversed(upwards), drawn],
            replace(blocks, residual=0),
            linear_end=True,
        )

    def posterior(self, features: Float[Tensor, "n units"], names: Float[Tensor, "n values"]) -> NormalCode:
        """The posterior q(z|x, y).

        Args:
            features: of x, (n, units).
            names: y, one-hot, (n, K).
        """
        posterior: NormalCode = self.head(self.hidden(torch.cat([features, names], dim=1)))
        return posterior

    def decode(self, code: Float[Tensor, "n size"], names: Float[Tensor, "n values"]) -> Tensor:
        """The output of the decoder, (n, *drawn).

        Args:
            code: z, (n, code size).
            names: y, one-hot or the probability of each class, (n, K).
        """
        output: Tensor = self.draw(torch.cat([code, names], dim=1))
        return output

    def enumerated(self, x: Float[Tensor, "n *seen"], labels: Int[Tensor, " n"] | None = None) -> Enumerated:
        """The inference for every class.

        Args:
            x: what the networks read, (n, *seen).
            labels: the class of each datum; -1 where it is unknown. None: all are unknown.
        """
        features = self.trunk(x)
        logits = full_precision(self.classify(features))
        unknown = torch.full((x.shape[0],), -1, device=x.device)
        classes = PartlyKnown(logits, unknown if labels is None else labels)
        names = torch.eye(self.num_classes, dtype=x.dtype, device=x.device).expand(x.shape[0], -1, -1).flatten(0, 1)
        repeated = features[:, None].expand(-1, self.num_classes, -1).flatten(0, 1)
        return Enumerated(classes, NormalByClass(classes.mean, self.posterior(repeated, names)), names)

    def drawn(self, each: Enumerated, codes: Float[Tensor, "all size"]) -> Drawn:
        """Draws a class of each datum.

        Args:
            each: what the inference says of every class.
            codes: a draw from each q(z|x, y), (n · K, code size).
        """
        name = each.classes.place(torch.randn_like(each.classes.logits))
        mean, stddev, code = (
            torch.einsum("nk,nkd->nd", name, values.unflatten(0, (-1, self.num_classes)))
            for values in (each.posterior.each.mean, each.posterior.each.stddev, codes)
        )
        return Drawn(name, NormalCode(mean, stddev), code)


class _Classed(LatentModel):
    """What M2 and M1+M2 share: levels with codes, and a class on top with p(y) = 1/K."""

    mean: Tensor
    stddev: Tensor

    def __init__(
        self,
        shape: Shape,
        levels: Sequence[LevelSettings],
        *,
        num_below: int,
        likelihood: Likelihood,
        mean: Tensor | float,
        stddev: Tensor | float,
    ):
        super().__init__()
        self.shape = tuple(shape)
        self.code_sizes = check_code_sizes([level.code_size for level in levels])
        top = levels[-1]
        if len(levels) != num_below + 1 or not isinstance(top, ClassLevel):
            raise ValueError(
                f"{type(self).__name__} takes {num_below} level{'s' * (num_below > 1)} below a class level; these are "
                f"{', '.join(level.kind for level in levels)}"
            )
        self.class_names, self.class_values = top.names, top.values
        self.num_classes = top.code_size
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("stddev", torch.as_tensor(stddev, dtype=torch.float32))
        self.family = likelihood
        self.likelihood = likelihood.build(self.shape)
        self.lacks = likelihood.lacks()

    def _standard(self, level: int) -> CodeDistribution:
        """The prior of a level that depends on no other: N(0, I), or p(y) = 1/K at the top."""
        if level == self.num_levels:
            return CategoryCode(torch.zeros(1, self.num_classes, device=self.mean.device))
        return standard_normal(1, self.code_sizes[level - 1], self.mean.device)


@final
class M2(_Classed):
    """The model M2: z ~ N(0, I), y uniform, x ~ r(x|z, y). Inference is q(y|x) q(z|x, y).

    In training mode the forward pass sums over all classes: the bound is Σ_y q(y|x) L(x, y) + H(q(y|x)), or L(x, y)
    where y is known. In eval mode it draws y, so that all its codes belong together; the bound is the same on average.
    The networks are fully connected, as in the paper.

    Reference: Kingma et al. 2014, equations 2, 4, 6 and 7.

    Args:
        shape: shape of one datum, (channels, height, width) or (dimensions,).
        levels: the settings of level 1, whose code is z, with dense layers only; and of the class level.
        blocks: settings that all layers share.
        likelihood: the family of r(x|z, y).
        mean: mean of the data, one number or of `shape`; it is subtracted from the input.
        stddev: standard deviation of the data, one number or of `shape`; the input is divided by it.

    Raises:
        ValueError: if the levels are others.

    Examples:
        >>> model = M2((5,), [Level(code_size=3, dense=(16,)), ClassLevel(code_size=2)])
        >>> [tuple(code.mean.shape) for code in model.infer(torch.zeros(4, 5))]
        [(4, 3), (4, 2)]
    """

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
        super().__init__(shape, levels, num_below=1, likelihood=likelihood, mean=mean, stddev=stddev)
        drawn = likelihood.parameters_shape(self.shape)
        self.networks = ClassedNetworks(levels[0], self.num_classes, self.shape, drawn, blocks)
        draw_weights(self, blocks)

    def infer(
        self, x: Float[Tensor, "n *shape"], features: Float[Tensor, "n features"] | None = None
    ) -> tuple[CodeDistribution, ...]:
        """The posterior of z, over all classes, and q(y|x).

        Args:
            x: images in [0, 1], (n, C, H, W), or vectors (n, D).
            features: not used.
        """
        each = self.networks.enumerated((x - self.mean) / self.stddev)
        return each.posterior, each.classes.inferred

    def prior(self, level: int, above: Codes) -> CodeDistribution:
        """The prior of level l: N(0, I), or p(y) = 1/K at the top; of batch shape (1, code size).

        Args:
            level: the level's number l, from 1 to L.
            above: the codes of the levels above; not used.
        """
        return self._standard(level)

    def generate(self, codes: Codes) -> Distribution:
        """The likelihood r(x|z, y).

        Args:
            codes: z, (n, code size), and y, one-hot or the probability of each class, (n, K).
        """
        likelihood: Distribution = self.likelihood(self.networks.decode(*codes), self.mean, self.stddev)
        return likelihood

    def forward(
        self,
        x: Float[Tensor, "n *shape"],
        fade: Float[Tensor, " levels"] | None = None,
        features: Float[Tensor, "n features"] | None = None,
        seen: Float[Tensor, "n *shape"] | None = None,
        labels: Int[Tensor, " n"] | None = None,
    ) -> ForwardPass:
        """Infers all classes, and sums over them in training; in eval mode one class is drawn.

        Args:
            x: images in [0, 1], (n, C, H, W), or vectors (n, D).
            fade: how far each level has grown, in [0, 1], level 1 first; what the decoder reads of a level is
                multiplied by it. None: 1.
            features: not used.
            seen: what the encoder sees in place of x, for denoising, (n, C, H, W) or (n, D); None: x.
            labels: the class of each datum; -1 where it is unknown. None: all are unknown.
        """
        each = self.networks.enumerated(((x if seen is None else seen) - self.mean) / self.stddev, labels)
        codes = each.posterior.each.rsample()
        drawn = self.networks.drawn(each, codes)
        fade = torch.ones(2, device=x.device) if fade is None else fade
        if self.training:
            outputs = self.networks.decode(fade[0] * codes, fade[1] * each.names)
            rows = torch.arange(len(x), device=x.device)
            likeliest = outputs.unflatten(0, (-1, self.num_classes))[rows, each.classes.logits.argmax(1)]
            self.likelihood(
                likeliest, self.mean, self.stddev, x
            )  # fits an optimal scale; unlikely classes do not count
            of_all = self.likelihood(outputs, self.mean, self.stddev)
            likelihood: Distribution = ExpectedLikelihood(each.classes.mean, of_all)
        else:
            likelihood = self.generate((fade[0] * drawn.code, fade[1] * drawn.name))
        return ForwardPass(
            posteriors=(each.posterior if self.training else drawn.posterior, each.classes),
            priors=(self._standard(1), self._standard(2)),
            codes=(drawn.code, drawn.name),
            likelihood=likelihood,
        )


@final
class M1M2(_Classed):
    """The model M1+M2: M2 on the codes of a VAE. y uniform, z_2 ~ N(0, I), z_1 ~ p(z_1|z_2, y), x ~ r(x|z_1).

    M1 is a VAE with the prior N(0, I) of z_1. M2 explains z_1. In training no gradient passes from M2 to M1, so both
    minimise what they would minimise if M2 were trained after M1; only the codes change while M2 learns. In eval mode
    the forward pass is that of the whole: the prior of z_1 is p(z_1|z_2, y).

    Reference: Kingma et al. 2014, section 2.1 ("Stacked generative semi-supervised model").

    Args:
        shape: shape of one datum, (channels, height, width) or (dimensions,).
        levels: the settings of level 1 (M1); of level 2, with dense layers only; and of the class level.
        blocks: settings that all layers share.
        likelihood: the family of r(x|z_1).
        mean: mean of the data, one number or of `shape`; it is subtracted from the input.
        stddev: standard deviation of the data, one number or of `shape`; the input is divided by it.

    Raises:
        ValueError: if the levels are others.

    Examples:
        >>> levels = [Level(code_size=3, dense=(16,)), Level(code_size=2, dense=(16,)), ClassLevel(code_size=2)]
        >>> [tuple(code.mean.shape) for code in M1M2((5,), levels).infer(torch.zeros(4, 5))]
        [(4, 3), (4, 2), (4, 2)]
    """

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
        super().__init__(shape, levels, num_below=2, likelihood=likelihood, mean=mean, stddev=stddev)
        if isinstance(levels[0], Level) and levels[0].gradients:
            raise ValueError("level 1 of M1M2 explains nothing but the data: give it gradients=0")
        size = self.code_sizes[0]
        self.networks = ClassedNetworks(levels[1], self.num_classes, (size,), (2 * size,), blocks)
        place = Place(
            below=self.shape,
            drawn=likelihood.parameters_shape(self.shape),
            bottom=True,
            top=True,
            last=True,
            code_sizes_below=(),
        )
        self.bottom = levels[0].build(place, blocks)
        self.stddev_form = blocks.stddev
        draw_weights(self, blocks)

    def infer(
        self, x: Float[Tensor, "n *shape"], features: Float[Tensor, "n features"] | None = None
    ) -> tuple[CodeDistribution, ...]:
        """The posterior q(z_1|x); that of z_2 over all classes, and q(y|z_1), both at the mean of z_1.

        Args:
            x: images in [0, 1], (n, C, H, W), or vectors (n, D).
            features: not used.
        """
        lowest = self._lowest(x)
        each = self.networks.enumerated(lowest.mean)
        return lowest, each.posterior, each.classes.inferred

    def prior(self, level: int, above: Codes) -> CodeDistribution:
        """The prior of level l: p(z_1|z_2, y), and N(0, I) and p(y) = 1/K, the latter of batch shape (1, code size).

        Args:
            level: the level's number l, from 1 to L.
            above: the codes of the levels above, (n, code size) each, level l+1 first; () at the top.
        """
        return self._standard(level) if level > 1 else self._gaussian(self.networks.decode(*above))

    def generate(self, codes: Codes) -> Distribution:
        """The likelihood r(x|z_1).

        Args:
            codes: one tensor (n, code size) per level, level 1 first; only the first is used.
        """
        return self._likelihood(codes[0], None)

    def forward(
        self,
        x: Float[Tensor, "n *shape"],
        fade: Float[Tensor, " levels"] | None = None,
        features: Float[Tensor, "n features"] | None = None,
        seen: Float[Tensor, "n *shape"] | None = None,
        labels: Int[Tensor, " n"] | None = None,
    ) -> ForwardPass:
        """In training, the bound of M1, and what M2 does not explain of z_1; in eval mode, the bound of the whole.

        Args:
            x: images in [0, 1], (n, C, H, W), or vectors (n, D).
            fade: how far each level has grown, in [0, 1], level 1 first; what a decoder reads of a level is multiplied
                by it. None: 1.
            features: not used.
            seen: what the encoder sees in place of x, for denoising, (n, C, H, W) or (n, D); None: x.
            labels: the class of each datum; -1 where it is unknown. None: all are unknown.
        """
        lowest = self._lowest(x if seen is None else seen)
        code = lowest.rsample()
        fade = torch.ones(3, device=x.device) if fade is None else fade
        explained = code.detach()  # M2 learns from the codes of M1, and M1 nothing of M2
        each = self.networks.enumerated(explained, labels)
        codes = each.posterior.each.rsample()
        drawn = self.networks.drawn(each, codes)
        distortion = None
        if self.training:
            of_all = self._gaussian(self.networks.decode(fade[1] * codes, fade[2] * each.names))
            repeated = explained.repeat_interleave(self.num_classes, 0)
            explains: Tensor = of_all.log_prob(repeated)  # type: ignore[no-untyped-call]
            distortion = -expected(each.classes.mean, explains.sum(1))
        prior = self._standard(1) if self.training else self.prior(1, (fade[1] * drawn.code, fade[2] * drawn.name))
        return ForwardPass(
            posteriors=(lowest, each.posterior if self.training else drawn.posterior, each.classes),
            priors=(prior, self._standard(2), self._standard(3)),
            codes=(code, drawn.code, drawn.name),
            likelihood=self._likelihood(fade[0] * code, x),
            conditioned_alike=self.training,
            features_distortion=distortion,
        )

    def _lowest(self, x: Tensor) -> NormalCode:
        h = (x - self.mean) / self.stddev
        posterior = self.bottom.posterior(h, self.bottom.climb(h))
        assert isinstance(posterior, NormalCode)
        return posterior

    def _likelihood(self, code: Tensor, x: Tensor | None) -> Distribution:
        likelihood: Distribution = self.likelihood(self.bottom.descend(None, code, 1.0), self.mean, self.stddev, x)
        return likelihood

    def _gaussian(self, raw: Tensor) -> NormalCode:
        mean, spread = full_precision(raw).chunk(2, dim=1)
        return NormalCode(mean, positive(spread, self.stddev_form))
