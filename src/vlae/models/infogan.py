"""InfoGAN: a generator with levels, whose encoder shares the trunk of the critic that trains it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional

from vlae.models.base import Codes, ForwardPass, LatentModel
from vlae.models.distributions import CategoryCode, CodeDistribution, NormalCode, full_precision, standard_normal
from vlae.models.levels import Description, LadderLevel, LevelSettings, Place
from vlae.models.likelihoods import Deterministic, Likelihood
from vlae.nn.critic import Trunk
from vlae.nn.layers import Blocks, draw_weights, layers_of, shapes_of, stack
from vlae.shapes import Shape, is_image

Role = Literal["noise", "continuous", "category"]
ROLES: tuple[Role, ...] = get_args(Role)
"""What the codes of the levels are, level 1 first."""

MEMORY = 0.01
"""The share of the latest batch in the running average of the error with which codes are read back."""

SMALLEST_ERROR = 1e-4
"""The smallest mean square error of a code that is read back; it keeps the standard deviation above 0."""


@dataclass(frozen=True, kw_only=True)
class InfoGANLevel(LevelSettings, kind="infogan"):
    """A level of an InfoGAN.

    Attributes:
        code_size: dimensions of the code; of a category, the number of its values. 0: the level has no code.
        role: what the code is: "noise", "continuous" or "category".
        convolutions: of level 1 only: (channels, stride) of each convolution from the picture to the codes; the
            generator mirrors them.
        dense: of level 1 only: units of each fully-connected layer after the convolutions; the generator mirrors them.
    """

    role: Role
    convolutions: tuple[tuple[int, int], ...] = ()
    dense: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role is {self.role!r}; choose one of {', '.join(ROLES)}")
        if self.code_size < 0 or (self.role == "category" and self.code_size == 1):
            least = "0, or from 2 up" if self.role == "category" else "from 0 up"
            raise ValueError(f"the code size of the level of {self.role} is {self.code_size}; give {least}")

    def build(self, place: Place, blocks: Blocks) -> LadderLevel:
        """Raises an error: an InfoGAN has one generator for all levels.

        Args:
            place: not used.
            blocks: not used.

        Raises:
            ValueError: always.
        """
        raise ValueError("this level is for an InfoGAN and cannot stand in a ladder; choose the recipe infogan")

    def describe(self) -> Description:
        """The level in words."""
        return {
            "noise": Description("nothing", "concatenate", "noise", "It is noise: no picture tells it."),
            "continuous": Description("critic's trunk", "concatenate", "continuous codes", "Numbers from -1 to 1."),
            "category": Description("critic's trunk", "concatenate", "category", "One of several values."),
        }[self.role]


@final
class InfoGAN(LatentModel):
    """A generative adversarial network of three levels: noise, continuous codes and one category.

    Pictures x = G(z_1, c, y) have no density. The continuous codes of the paper are uniform, c ~ U(-1, 1). Here level 2
    is z_2 ~ N(0, I), and the generator draws from c = 2 Φ(z_2) - 1, which is uniform. So the prior is N(0, I), as in
    other models, and the information I(z_2; x) = I(c; x) is the same. The generator takes the category as one-hot, even
    where it is given probabilities.

    The encoder Q gives q(z_2|x) and q(y|x) from the features of `trunk`, which the critic judges by too. The posterior
    of the noise is its prior. The standard deviation of q(z_2|x) is not learned by gradient: it is the root mean square
    error with which Q reads z_2 back from pictures of G, as a running average.

    Reference: Chen et al. 2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing Generative
    Adversarial Nets", sections 4 to 6 and appendix C.

    Args:
        shape: shape of one picture, (channels, height, width).
        levels: the settings of the levels of noise, continuous codes and category, in this order.
        blocks: settings that the layers of the generator share.
        likelihood: `Deterministic`.
        mean: not used; the generator draws pictures in [0, 1].
        stddev: not used.

    Raises:
        ValueError: if the data are vectors, the likelihood has a density, or the levels are not these three.

    Examples:
        >>> levels = [InfoGANLevel(code_size=4, role="noise", convolutions=((8, 2), (8, 2)), dense=(16,)),
        ...           InfoGANLevel(code_size=2, role="continuous"), InfoGANLevel(code_size=3, role="category")]
        >>> model = InfoGAN((1, 8, 8), levels)
        >>> [tuple(code.mean.shape) for code in model.infer(torch.zeros(5, 1, 8, 8))]
        [(5, 4), (5, 2), (5, 3)]
    """

    independent_posteriors = True
    error: Tensor

    def __init__(
        self,
        shape: Shape,
        levels: Sequence[LevelSettings],
        *,
        blocks: Blocks = Blocks(),
        likelihood: Likelihood = Deterministic(),
        mean: Tensor | float = 0.5,
        stddev: Tensor | float = 0.25,
    ):
        super().__init__()
        if not is_image(shape):
            raise ValueError(f"an InfoGAN draws pictures; these data are vectors of {shape[0]} numbers: choose lean")
        if not likelihood.no_density:
            raise ValueError(
                f"an InfoGAN has no density, so the likelihood {likelihood.kind!r} does not fit it; leave family out"
            )
        settings = [level for level in levels if isinstance(level, InfoGANLevel)]
        if [level.role for level in settings] != list(ROLES) or len(settings) < len(levels):
            raise ValueError(f"an InfoGAN has three levels, {', '.join(ROLES)}, in this order")
        self.shape = tuple(shape)
        self.code_sizes = tuple(level.code_size for level in settings)
        noise, continuous, category = self.code_sizes
        if continuous + category == 0:
            raise ValueError(f"code sizes are {self.code_sizes}; give the continuous codes or the category a size")
        self.family, self.lacks = likelihood, likelihood.lacks()
        self.unread = {1: "it is noise: no picture tells it"} if noise else {}
        layers = layers_of(settings[0].convolutions, settings[0].dense)
        shapes = [(sum(self.code_sizes),), *reversed(shapes_of(layers, likelihood.parameters_shape(self.shape)))]
        self.generator = stack(shapes, blocks, linear_end=True)
        draw_weights(self.generator, blocks)
        self.likelihood = likelihood.build(self.shape)
        self.trunk = Trunk(self.shape)
        self.reader = nn.Sequential(
            nn.Linear(self.trunk.num_features, self.trunk.num_features),
            nn.LeakyReLU(blocks.slope),
            nn.Linear(self.trunk.num_features, continuous + category),
        )
        self.register_buffer("error", torch.ones(continuous))

    def posteriors(self, read: Float[Tensor, "n _"]) -> tuple[CodeDistribution, ...]:
        """The posterior of every level, level 1 first, from what `reader` gives.

        Args:
            read: means of the continuous codes, and logits of the category, (n, sizes of both).
        """
        num, (noise, continuous, category) = read.shape[0], self.code_sizes
        means, logits = full_precision(read).split([continuous, category], dim=1)
        stddev = self.error.clamp_min(SMALLEST_ERROR).sqrt().expand_as(means)
        return (
            standard_normal(num, noise, read.device),
            NormalCode(means, stddev),
            CategoryCode(logits) if category else NormalCode(logits, logits),
        )

    @torch.no_grad()
    def remember(self, error: Float[Tensor, " size"]) -> None:
        """Takes the error of a batch into the running average that gives q(z_2|x) its standard deviation.

        Args:
            error: the mean square error with which each continuous code was read back from pictures of G.
        """
        self.error.lerp_(error, MEMORY)

    def infer(
        self, x: Float[Tensor, "n *shape"], features: Float[Tensor, "n features"] | None = None
    ) -> tuple[CodeDistribution, ...]:
        """N(0, I) of the noise, then q(z_2|x) and q(y|x), which are independent.

        Args:
            x: images in [0, 1], (n, C, H, W).
            features: not used.
        """
        return self.posteriors(self.reader(self.trunk(x)))

    def generate(self, codes: Codes) -> Distribution:
        """The picture of the codes, as a distribution without density.

        Args:
            codes: noise, continuous codes and category, (n, code size) each; of the category only the largest counts.
        """
        noise, continuous, category = codes
        if category.shape[1]:
            category = functional.one_hot(category.argmax(1), category.shape[1]).to(noise.dtype)
        uniform = torch.erf(continuous / sqrt(2))  # 2 Φ - 1
        drawn: Distribution = self.likelihood(
            self.generator(torch.cat([noise, uniform, category], dim=1)), self.error, self.error
        )
        return drawn

    def prior(self, level: int, above: Codes) -> CodeDistribution:
        """N(0, I) of noise and continuous codes; all values of the category are equally likely.

        Args:
            level: the level's number, from 1 to 3.
            above: not used: the levels are independent.
        """
        size = self.code_sizes[level - 1]
        if level == len(ROLES) and size:
            return CategoryCode(torch.zeros(1, size, device=self.error.device))
        return standard_normal(1, size, self.error.device)

    def forward(
        self,
        x: Float[Tensor, "n *shape"],
        fade: Float[Tensor, " levels"] | None = None,
        features: Float[Tensor, "n features"] | None = None,
        seen: Float[Tensor, "n *shape"] | None = None,
    ) -> ForwardPass:
        """Reads the codes of x, draws the noise, and draws the picture again.

        Args:
            x: images in [0, 1], (n, C, H, W).
            fade: not used; all levels are always grown.
            features: not used.
            seen: what the encoder sees in place of x, (n, C, H, W); None: x.
        """
        posteriors = self.infer(x if seen is None else seen)
        codes = tuple(posterior.rsample() for posterior in posteriors)
        priors = tuple(self.prior(level, ()) for level in range(1, self.num_levels + 1))
        return ForwardPass(posteriors=posteriors, priors=priors, codes=codes, likelihood=self.generate(codes))
