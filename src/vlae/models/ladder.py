"""The variational ladder autoencoder.

Reference: Zhao, Song and Ermon, "Learning Hierarchical Features from Generative Models", ICML 2017, section 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from vlae.models.base import Codes, ForwardPass, LatentModel, check_code_sizes, standard_normal
from vlae.models.likelihoods import Likelihood, Output, positive
from vlae.nn.layers import Layer, Merge, Read, ReadMoments, SetMoments, Shape, WithoutMoments, block, shapes_of

Reads = Literal["map", "grid", "pooled"]
Acts = Literal["concatenate", "add", "modulate"]


@dataclass(frozen=True, kw_only=True)
class Level:
    """One level of a ladder: its code, the networks that lead to it, how the code is read and how it acts.

    Attributes:
        code_size: dimensions of z_l; 0 leaves the level without a code.
        convolutions: (channels, stride) of each convolution from h_{l-1} to h_l; the decoder mirrors them.
        dense: units of each fully-connected layer after them.
        reads: what the posterior sees: "map", all of h_l; "grid", mean and standard deviation of h_l per channel in
            each cell of a `grid` × `grid` division; "pooled", three moments of h_{l-1} per channel: mean, standard
            deviation, and contrast to the border. What is pooled is kept from the levels above: g_l cannot tell apart
            what differs in these alone, nor light on dark from dark on light (`vlae.nn.layers.WithoutMoments`).
        acts: how v_l(z_l) joins what comes from above: "concatenate"; "add", through one learned gate per channel or
            unit that starts at 0.1; or "modulate", a scale and a shift per channel, in each cell of the grid and smooth
            between. Where the level reads "pooled" it must be this, and it then acts last: z̃_l is mixed from a few maps
            of its size whose means and standard deviations the code alone sets (`vlae.nn.layers.SetMoments`). The top level
            starts the decoder, so it has nothing to join and always embeds its code in full.
        grid: side of the grid, for "grid".
        head_convolutions: convolutions of the posterior's own, which re-encode h_{l-1} (the authors' deep heads);
            with neither these nor `head_dense`, the head is linear in h_l, as in the paper's equations.
        head_dense: fully-connected layers of the posterior's own, after them.
    """

    code_size: int
    convolutions: tuple[tuple[int, int], ...] = ()
    dense: tuple[int, ...] = ()
    reads: Reads = "map"
    acts: Acts = "concatenate"
    grid: int = 2
    head_convolutions: tuple[tuple[int, int], ...] = ()
    head_dense: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, value, allowed in (("reads", self.reads, Reads), ("acts", self.acts, Acts)):
            if value not in get_args(allowed):
                raise ValueError(f"{name} is {value!r}; choose one of {', '.join(get_args(allowed))}")
        if not self.layers:
            raise ValueError("a level needs at least one convolution or dense layer between it and the level below")
        if self.reads == "pooled" and (self.acts != "modulate" or self.dense or self.head_layers):
            raise ValueError(
                "a level that reads 'pooled' acts by 'modulate', and has no dense layers and no head of its own: it "
                "reads the moments of h_{l-1}, and sets those of a map"
            )
        if any(stride < 1 for _, stride in (*self.convolutions, *self.head_convolutions)):
            raise ValueError("a convolution's stride is a whole number from 1 up; for fully-connected layers use dense")
        if self.grid < 1:
            raise ValueError(f"grid is {self.grid}; its side is a whole number from 1 up")

    @property
    def layers(self) -> tuple[Layer, ...]:
        """From h_{l-1} to h_l."""
        return _layers(self.convolutions, self.dense)

    @property
    def head_layers(self) -> tuple[Layer, ...]:
        """The posterior's own, from h_{l-1}; empty where it reads h_l."""
        return _layers(self.head_convolutions, self.head_dense)

    @property
    def reads_below(self) -> bool:
        """Whether the posterior sees h_{l-1}, by networks of its own or by its moments, and not h_l."""
        return bool(self.head_layers) or self.reads == "pooled"


def _layers(convolutions: Sequence[tuple[int, int]], dense: Sequence[int]) -> tuple[Layer, ...]:
    return (*(Layer(*convolution) for convolution in convolutions), *(Layer(units, 0) for units in dense))


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """What all networks of a ladder share.

    Attributes:
        kernel: side of the convolutions' kernels.
        norm: whether layers have a batch norm.
        slope: negative slope of the leaky ReLU.
        stddev: how a posterior's σ comes from the head's output: "softplus", or the authors' "sigmoid" (+ 0.001).
        weights_stddev: weights start as N(0, this²), as the authors' do; None: PyTorch's own scheme.
    """

    kernel: int = 3
    norm: bool = True
    slope: float = 0.1
    stddev: Literal["softplus", "sigmoid"] = "softplus"
    weights_stddev: float | None = None


class Rung(nn.Module):
    """The networks of one level: g_l and the head upwards, v_l and u_l downwards."""

    def __init__(self, level: Level, below: Shape, blocks: Blocks, *, bottom: bool, top: bool, climbs: bool):
        """A rung between h_{l-1} of shape `below` and h_l; g_l is left out where nothing reads h_l (not `climbs`)."""
        super().__init__()
        shapes = shapes_of(level.layers, below)
        self.code_size, self.below, self.here, self.stddev = level.code_size, below, shapes[-1], blocks.stddev
        own = shapes_of(level.head_layers, below)
        seen = own[-1] if level.reads_below else self.here
        self.withholds = level.reads == "pooled" and level.code_size > 0  # a level without a code keeps nothing
        if level.reads != "map" and len(seen) != 3:
            raise ValueError(f"what is read has shape {seen}, no map: it cannot be read {level.reads!r}; choose 'map'")
        if self.withholds and below[1:] == (1, 1):
            raise ValueError("a map of one place has no moments: a level above it cannot read 'pooled'; choose 'map'")

        self.g = None
        if climbs and self.withholds:
            first = WithoutMoments(below, shapes[1], kernel=blocks.kernel, norm=blocks.norm, slope=blocks.slope)
            self.g = nn.Sequential(first, *_stack(shapes[1:], blocks))
        elif climbs:
            self.g = _stack(shapes, blocks)
        if level.code_size:
            self.own = _stack(own, blocks) if level.reads_below else None  # nothing, where moments are read
            self.read = (
                ReadMoments(seen[0], slope=blocks.slope)
                if self.withholds
                else Read(seen, level.grid if level.reads == "grid" else None)
            )
            self.head = nn.Linear(self.read.num_features, 2 * level.code_size)
        self.merge = self.set = None
        if top:
            self.embed = block((level.code_size,), self.here, kernel=1, norm=blocks.norm, slope=blocks.slope)
        elif self.withholds:
            self.set = SetMoments(level.code_size, shapes[1], below, kernel=blocks.kernel)
        elif level.code_size:
            self.merge = Merge(
                level.code_size, self.here, level.acts, grid=level.grid, norm=blocks.norm, slope=blocks.slope
            )
        joined = self.here if self.merge is None else self.merge.output_shape
        drawn = shapes[1:-1] if self.set else shapes[:-1]
        self.u = _stack([joined, *reversed(drawn)], blocks, linear_end=bottom and not self.set)

    def posterior(self, below: Float[Tensor, "n *below"], here: Float[Tensor, "n *here"] | None) -> Normal:
        """q(z_l | x) = N(μ_l(h_l), σ_l(h_l)²), of h_{l-1} where the level reads below."""
        if not self.code_size:
            return standard_normal(below.shape[0], 0, below.device)
        h = here if self.own is None else self.own(below)
        mean, raw = self.head(self.read(h)).float().chunk(2, dim=1)
        return Normal(mean, positive(raw, self.stddev), validate_args=False)

    def descend(
        self, above: Float[Tensor, "n *here"] | None, code: Float[Tensor, "n size"], fade: Float[Tensor, ""] | float
    ) -> Float[Tensor, "n *below"]:
        """z̃_l = u_l([z̃_{l+1} ; v_l(z_l)]), and at the top z̃_L = u_L(v_L(z_L)); the code counts by `fade`.

        Below the top, a code that is read from the moments of h_{l-1} acts last: on the maps that z̃_l, its counterpart,
        is mixed from.
        """
        if above is None:
            above = self.embed(code) * fade
        elif self.merge:
            above = self.merge(above, code, fade)
        below: Tensor = self.u(above)
        return self.set(below, code, fade) if self.set else below


def _stack(shapes: Sequence[Shape], blocks: Blocks, *, linear_end: bool = False) -> nn.Sequential:
    layers = []
    for i, (given, wanted) in enumerate(pairwise(shapes), start=1):
        end = linear_end and i == len(shapes) - 1
        norm, slope = (False, None) if end else (blocks.norm, blocks.slope)
        layers.append(block(given, wanted, kernel=blocks.kernel, norm=norm, slope=slope))
    return nn.Sequential(*layers)


class VLAE(LatentModel):
    """The variational ladder autoencoder: codes injected at every level of one decoder, under one flat prior.

    Inference climbs h_l = g_l(h_{l-1}) from h_0 = x and reads every q(z_l | x) off at its own depth; generation
    descends z̃_l = u_l([z̃_{l+1} ; v_l(z_l)]) and ends in r(x | z). A plain VAE is the ladder whose only code is at the
    top. A level above the highest code has no networks.

    Reference: section 5.1, equations 10 to 14.

    Args:
        shape: of one datum, (channels, height, width) or (dimensions,).
        levels: from level 1, nearest the pixels, to the top.
        blocks: what all networks share.
        likelihood: the density r(x | z).
        mean: of the data, by which the networks' input is standardised: one number, or one per dimension.
        stddev: likewise.

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
        levels: Sequence[Level],
        *,
        blocks: Blocks = Blocks(),
        likelihood: Likelihood = Likelihood(),
        mean: Tensor | float = 0.5,
        stddev: Tensor | float = 0.25,
    ):
        super().__init__()
        self.shape = tuple(shape)
        self.code_sizes = check_code_sizes([level.code_size for level in levels])
        occupied = [level for level, size in enumerate(self.code_sizes, start=1) if size]
        # g_l is needed up to the highest level that is read.
        reached = max(level - levels[level - 1].reads_below for level in occupied)
        rungs: list[Rung] = []
        below = self.shape
        for number, level in enumerate(levels[: occupied[-1]], start=1):
            rung = Rung(level, below, blocks, bottom=number == 1, top=number == occupied[-1], climbs=number <= reached)
            rungs.append(rung)
            below = rung.here
        self.rungs: Sequence[Rung] = nn.ModuleList(rungs)  # type: ignore[assignment]
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("stddev", torch.as_tensor(stddev, dtype=torch.float32))
        self.output = Output(likelihood, self.shape)
        if blocks.weights_stddev is not None:
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                    nn.init.normal_(module.weight, std=blocks.weights_stddev)

    def infer(self, x: Float[Tensor, "n *shape"]) -> tuple[Normal, ...]:
        """q(z_l | x) of every level."""
        h: Tensor | None = (x - self.mean) / self.stddev
        posteriors = []
        for rung in self.rungs:
            assert h is not None  # only the top rung may have no g
            below, h = h, rung.g(h) if rung.g is not None else None
            posteriors.append(rung.posterior(below, h))
        empty = [standard_normal(x.shape[0], 0, x.device) for _ in self.code_sizes[len(self.rungs) :]]
        return (*posteriors, *empty)

    def generate(self, codes: Codes) -> Distribution:
        """r(x | z)."""
        likelihood: Distribution = self.output(self._descend(codes, None), self.mean, self.stddev)
        return likelihood

    def prior(self, level: int, above: Codes) -> Normal:
        """N(0, I), whatever is above."""
        return standard_normal(len(above[0]), self.code_sizes[level - 1], self.device)

    def forward(self, x: Float[Tensor, "n *shape"], fade: Float[Tensor, " levels"] | None = None) -> ForwardPass:
        """Infers every level, draws its code, generates."""
        posteriors = self.infer(x)
        codes = tuple(posterior.rsample() for posterior in posteriors)
        return ForwardPass(
            posteriors=posteriors,
            priors=tuple(standard_normal(len(x), size, x.device) for size in self.code_sizes),
            codes=codes,
            likelihood=self.output(self._descend(codes, fade), self.mean, self.stddev, x),
        )

    def _descend(self, codes: Codes, fade: Tensor | None) -> Tensor:
        z: Tensor | None = None
        for level in range(len(self.rungs), 0, -1):
            z = self.rungs[level - 1].descend(z, codes[level - 1], 1.0 if fade is None else fade[level - 1])
        assert z is not None  # a ladder has at least one rung
        return z
