"""The interface of every model, `LatentModel`, and what its forward pass returns, `ForwardPass`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from vlae.errors import NotDefinedError, plain
from vlae.models.distributions import CodeDistribution
from vlae.models.likelihoods import Likelihood
from vlae.nn.pretrained import on_white
from vlae.shapes import Shape, is_image, levels_with_code

Codes = tuple[Float[Tensor, "n _"], ...]
"""One code per level, level 1 (nearest the pixels) first. A level without a code has size 0."""

Capability = Literal["encoder", "density"]
"""What a model may lack: an encoder q(z|x), or a density r(x|z)."""


@dataclass(frozen=True, kw_only=True)
class ForwardPass:
    """The distributions of a batch under a model; the functions of the ELBO need nothing else.

    Attributes:
        posteriors: q(z_l|·) of every level, level 1 first, each of batch shape (n, code size).
        priors: p(z_l|·) of every level, level 1 first, of batch shape (n, code size), or (1, code size) if all data
            share one prior.
        codes: a reparametrised sample of every posterior, level 1 first.
        likelihood: r(x|z), of batch shape (n,), with one datum as event.
        conditioned_alike: whether prior and posterior of each level are conditioned on the same samples. Then their
            closed-form KL is an unbiased rate: in a flat ladder, or with top-down inference. Otherwise (a Markov
            hierarchical VAE, with bottom-up inference) rates are estimated at the sampled codes.
        features_distortion: -log r(f|z) of the features of each datum that the model must explain besides x, (n,);
            None: it explains x alone.
    """

    posteriors: tuple[CodeDistribution, ...]
    priors: tuple[CodeDistribution, ...]
    codes: Codes
    likelihood: Distribution
    conditioned_alike: bool = True
    features_distortion: Float[Tensor, " n"] | None = None


class LatentModel(nn.Module, ABC):
    """A generative model with a code at every level. Levels are numbered from 1 (nearest the pixels) to the top.

    Attributes:
        shape: shape of one datum: (channels, height, width), or (dimensions,).
        code_sizes: dimensions of every level's code, level 1 first.
        family: the family of its likelihood, from which bits per dimension follow; None: no such number.
        lacks: for each capability the model lacks, the reason. Evaluation reports it as "not defined".
        unread: for each level, by its number, whose posterior is its prior by design, the reason: noise that no picture
            tells of. Such a level is not told of as dead.
        independent_posteriors: whether no posterior depends on the code of another level, so that codes are drawn from
            what `infer` gives.
        num_features: F, the features of each picture that the model reads besides x; 0: it reads x alone.
        class_names: the names of the classes, if the top level is a class; () if it is not.
        class_values: the label of each class in the data, in ascending order.
        opacity: whether the last of 2 or 4 channels is opacity, in figures. Of data of more than 8 bits it is not.
        network: the frozen network that gives these features, of a size of picture of its own. It is no part of the
            weights. None: the features must be given.
        columns: the names of the columns of vectors, in figures; () if they have none.
    """

    shape: Shape
    code_sizes: tuple[int, ...]
    family: Likelihood | None = None
    lacks: Mapping[Capability, str] = {}
    unread: Mapping[int, str] = {}
    independent_posteriors: bool = False
    num_features: int = 0
    class_names: tuple[str, ...] = ()
    class_values: tuple[int, ...] = ()
    opacity: bool = True
    network: Callable[[Tensor], Tensor] | None = None
    columns: tuple[str, ...] = ()

    @abstractmethod
    def forward(
        self,
        x: Float[Tensor, "n *shape"],
        fade: Float[Tensor, " levels"] | None = None,
        features: Float[Tensor, "n features"] | None = None,
        seen: Float[Tensor, "n *shape"] | None = None,
    ) -> ForwardPass:
        """Infers the posteriors of x, samples a code from each, and generates the likelihood.

        Args:
            x: images in [0, 1], (n, C, H, W), or vectors (n, D).
            fade: how far each level has grown, in [0, 1], level 1 first; None: all levels are fully grown.
            features: of the full-size pictures, (n, F); only given to a model with `num_features`. None: such a model
                computes them from x.
            seen: what the encoder sees in place of x, for denoising, (n, C, H, W) or (n, D); None: x.
        """

    @abstractmethod
    def infer(
        self, x: Float[Tensor, "n *shape"], features: Float[Tensor, "n features"] | None = None
    ) -> tuple[CodeDistribution, ...]:
        """The posterior q(z_l|·) of every level, level 1 first.

        A posterior that depends on another code takes the mean of that code.

        Args:
            x: images in [0, 1], (n, C, H, W), or vectors (n, D).
            features: of the full-size pictures, (n, F); only given to a model with `num_features`. None: such a model
                computes them from x.
        """

    @final
    def sample_posterior(
        self, x: Float[Tensor, "n *shape"], num: int = 1, features: Float[Tensor, "n features"] | None = None
    ) -> tuple[Codes, ...]:
        """Draws the codes of x, as the forward pass does; with `independent_posteriors` by the encoder alone, once.

        Args:
            x: images in [0, 1], (n, C, H, W), or vectors (n, D).
            num: how many draws of each datum, from 1 up.
            features: of the full-size pictures, (n, F); only given to a model with `num_features`. None: such a model
                computes them from x.

        Returns:
            For each draw one tensor (n, code size) per level, level 1 first.
        """
        read = {} if features is None else {"features": features}
        if not self.independent_posteriors:
            return tuple(self(x, **read).codes for _ in range(num))
        posteriors = self.infer(x, **read)
        return tuple(tuple(posterior.rsample() for posterior in posteriors) for _ in range(num))

    @abstractmethod
    def generate(self, codes: Codes) -> Distribution:
        """The likelihood r(x|z) given the codes of all levels.

        Args:
            codes: one tensor (n, code size) per level, level 1 first.
        """

    @abstractmethod
    def prior(self, level: int, above: Codes) -> CodeDistribution:
        """The prior p(z_l|z_{l+1}, …, z_L) of level l.

        Args:
            level: the level's number l, from 1 to L.
            above: the codes of the levels above, (n, code size) each, level l+1 first; () at the top.

        Returns:
            Of batch shape (n, code size), or (1, code size) if it does not depend on the codes above.
        """

    def picture_of(self, likelihood: Distribution) -> Float[Tensor, "n *shape"]:
        """The picture that represents r(x|z): its mean. A model may override it with a better or cheaper picture.

        Args:
            likelihood: r(x|z), such as `generate` returns.
        """
        picture: Tensor = likelihood.mean
        return picture

    def bits_per_dimension(self, nats: float) -> float | None:
        """Bits per dimension (per channel of each pixel) of an image.

        Args:
            nats: the log-likelihood of an image, or a bound on it, in nats.

        Returns:
            None if the likelihood defines no such number.
        """
        return None if self.family is None else self.family.bits_per_dimension(nats, self.shape)

    @final
    def decode(self, codes: Codes) -> Float[Tensor, "n *shape"]:
        """The pictures of codes; figures, mixes, the page, the export and search all draw these.

        Args:
            codes: one tensor (n, code size) per level, level 1 first.
        """
        return self.picture_of(self.generate(codes))

    @property
    def autoregressive(self) -> bool:
        """Whether the pixels of r(x|z) depend on each other. Then `draw` shows more of a picture than `decode`."""
        return self.family is not None and self.family.autoregressive

    @final
    def draw(self, codes: Codes, generator: torch.Generator | None = None) -> Float[Tensor, "n *shape"]:
        """Pictures whose pixels are drawn from r(x|z), cut to [0, 1]; vectors likewise, but not cut.

        Args:
            codes: one tensor (n, code size) per level, level 1 first.
            generator: the CPU generator to draw from; None: the default generator.

        Raises:
            NotDefinedError: if the model has no density.
        """
        self.require("density")
        likelihood = self.generate(codes)
        seed = int(torch.randint(2**62, (1,), generator=generator))  # outside, so that the next call has another
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            drawn: Tensor = likelihood.sample()
        return drawn.clamp(0, 1) if is_image(self.shape) else drawn

    @final
    def features_of(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n features"]:
        """The features of pictures by the frozen network, which enlarges them to its own size.

        Features of the full-size pictures tell more. They are read with the data (`vlae.data.load`).

        Args:
            x: images in [0, 1], (n, C, H, W).

        Raises:
            NotDefinedError: if the model reads no features, or no network is attached.
        """
        if self.network is None:
            raise NotDefinedError(
                "the model has no network that gives features of pictures; give `features`, or open its run by "
                "vlae.load"
            )
        return self.network(on_white(x) if self.opacity else x)

    @final
    def require(self, *capabilities: Capability) -> None:
        """Checks that the model has these capabilities.

        Args:
            capabilities: "encoder", "density", or both.

        Raises:
            NotDefinedError: if the model lacks one; the message gives the reason.
        """
        for name in capabilities:
            if name in self.lacks:
                raise NotDefinedError(f"the model has no {name}: {self.lacks[name]}")

    @final
    @property
    def num_levels(self) -> int:
        """The number of levels, L."""
        return len(self.code_sizes)

    @final
    @property
    def levels_with_code(self) -> tuple[int, ...]:
        """The numbers of the levels that have a code, counted from 1."""
        return levels_with_code(self.code_sizes)

    @final
    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device

    @final
    def place(self, noise: Codes) -> Codes:
        """Turns standard normal noise into codes, from the top level down: each prior places the noise of its level.

        To keep a level fixed, keep its noise fixed. If priors are conditional, the code of a level also depends on
        the noise of the levels above.

        Args:
            noise: one tensor (n, code size) per level, level 1 first.

        Returns:
            The codes, of the same shapes.
        """
        codes: Codes = ()
        for level in range(self.num_levels, 0, -1):
            codes = (self.prior(level, codes).place(noise[level - 1]), *codes)
        return codes

    @final
    def noise_of(self, codes: Codes) -> Codes:
        """The noise that `place` turns into these codes.

        Of a category that is given as probabilities, such as a posterior mean, `place` makes the likeliest value. So
        the levels below take their noise given that value, and `place` gives their codes back.

        Args:
            codes: one tensor (n, code size) per level, level 1 first.

        Returns:
            The noise, of the same shapes.
        """
        above: Codes = ()
        noise: Codes = ()
        for level in range(self.num_levels, 0, -1):
            prior, code = self.prior(level, above), codes[level - 1]
            above, noise = (prior.settled(code), *above), (prior.noise_of(code), *noise)
        return noise

    @final
    def draw_noise(self, num: int, generator: torch.Generator | None = None) -> Codes:
        """Standard normal noise for every level. It is drawn on the CPU, so that a seed gives the same on any device.

        In training it is drawn on the model's own device, unless a generator is given: a copy would let a GPU wait.

        Args:
            num: the number of rows.
            generator: the CPU generator to draw from; None: the default generator.

        Returns:
            One tensor (num, code size) per level, level 1 first.
        """
        drawn_on = self.device if self.training and generator is None else torch.device("cpu")
        noise = torch.randn(num, sum(self.code_sizes), generator=generator, device=drawn_on).to(self.device)
        return torch.split_with_sizes(noise, list(self.code_sizes), dim=1)

    @final
    def sample(self, num: int, generator: torch.Generator | None = None) -> Distribution:
        """The likelihood r(x|z) of codes sampled from the prior, from the top level down.

        Args:
            num: the number of samples.
            generator: the CPU generator to draw from; None: the default generator.
        """
        return self.generate(self.place(self.draw_noise(num, generator)))


def check_code_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Checks the code sizes of a model, and returns them as a tuple.

    Args:
        sizes: dimensions of every level's code, level 1 first; 0 for a level without a code.

    Raises:
        ValueError: if there is no level, a negative size, or no code at all.
    """
    sizes = plain(sizes)
    if not sizes or min(sizes) < 0 or sum(sizes) == 0:
        raise ValueError(f"code sizes are {tuple(sizes)}: give each level a size from 0 up, and at least one above 0")
    return tuple(sizes)
