"""What figures show: the noise in which a level varies, and the data of it.

Every figure fixes and varies the noise of the levels (`LatentModel.place` makes codes of it). So the same figure serves
models with flat and with conditional priors. Nothing here depends on the kind of model, or on how it is drawn.
"""

from collections.abc import Callable
from math import ceil
from numbers import Real
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vlae.errors import NotDefinedError, check_whole
from vlae.figures.canvas import TILE, check_pixels
from vlae.figures.profiles import standardised
from vlae.models.base import Codes, LatentModel
from vlae.models.inference import as_input, batch_of, check_num, draw, evaluating, generator_of, given, noise_of_values
from vlae.models.priors import MixturePrior, standard_prior
from vlae.shapes import is_image

Others = Literal["hold", "random"]
Start = Codes | Float[Tensor, "1 *shape"] | Literal["random"] | None
"""Where a figure starts: noise, a datum, a draw from the prior, or None for its own choice."""

NUM_NEAREST = 8  # samples whose nearest known datum is shown
NEAREST_BATCH = 2_000  # known data compared at a time, at most

MAX_SPAN = 100.0  # standard deviations; a code beyond is a mistake

_BATCH = 64


def start_noise(
    model: LatentModel,
    prior: MixturePrior | None,
    held_out: Tensor | None,
    start: Start,
    generator: torch.Generator,
) -> tuple[Codes, Tensor | None]:
    """The noise of the datum at which a figure starts, on the CPU, and the datum if there is one.

    Args:
        model: any model.
        prior: of the codes; None: N(0, I).
        held_out: data whose first is the start if none is given.
        start: a datum, noise, "random", or None.
        generator: of a draw.

    Raises:
        ValueError: if `start` does not fit the model.
    """
    if start is None and held_out is not None and len(held_out) and "encoder" not in model.lacks:
        start = held_out[:1]
    if isinstance(start, Tensor):
        return tuple(level.cpu() for level in noise_at(model, start[:1])), start[:1]
    if isinstance(start, str) and start != "random":
        raise ValueError(f"start is {start!r}; give a datum, its noise, or 'random'")
    if start is None or isinstance(start, str):
        return (prior or standard_prior(model.code_sizes)).draw(1, generator), None
    shapes, wanted = [tuple(level.shape) for level in start], [(1, size) for size in model.code_sizes]
    if shapes != wanted:
        raise ValueError(f"start has levels of shapes {shapes}; give one datum's noise (noise_at), of shapes {wanted}")
    return tuple(level.cpu() for level in start), None


def noise_at(
    model: LatentModel, x: Float[Tensor, "n *shape"], features: Float[Tensor, "n features"] | None = None
) -> Codes:
    """The noise of data at their posterior means: a `start` for other figures, or parts to mix.

    Args:
        model: any model with an encoder.
        x: the data, float; images are in [0, 1].
        features: of the full-size pictures, (n, F); None: a model that reads features computes them from x.

    Returns:
        For each level, level 1 first, a tensor (n, code size).

    Raises:
        ValueError: if `x` is not of the model's shape.
    """
    check_data(model, x, 1)
    with evaluating(model):
        parts = []
        for start in range(0, len(x), _BATCH):
            of_rows = given(features, start, _BATCH, model.device)
            posteriors = model.infer(x[start : start + _BATCH].to(model.device), **of_rows)
            parts.append(model.noise_of(tuple(q.mean for q in posteriors)))
        return tuple(torch.cat(level) for level in zip(*parts, strict=True))


def decoded(model: LatentModel, noise: Codes) -> Float[Tensor, "n *shape"]:
    """The data of noise, decoded batch by batch.

    Args:
        model: any model.
        noise: one tensor (n, code size) per level, level 1 first.
    """
    with evaluating(model):
        batches = zip(*(torch.split(level.to(model.device), _BATCH) for level in noise), strict=True)
        return torch.cat([model.decode(model.place(batch)).cpu() for batch in batches])


def drawn_pixels(model: LatentModel, noise: Codes, seed: int) -> Float[Tensor, "n *shape"]:
    """Pictures of noise whose pixels are drawn too, from r(x|z), with a progress bar on a terminal.

    Args:
        model: any model that has a density.
        noise: one tensor (n, code size) per level, level 1 first.
        seed: of the draw.
    """
    with evaluating(model):
        codes = model.place(tuple(level.to(model.device) for level in noise))
    return torch.from_numpy(draw(model, [code.cpu().numpy() for code in codes], seed=seed, progress=True))


def changed_noise(
    model: LatentModel,
    prior: MixturePrior | None,
    start: Codes,
    *,
    num: int,
    generator: torch.Generator,
    span: float,
    others: str,
) -> list[tuple[Tensor, ...]]:
    """For each level with a code, noise in which that level varies, as `levels` shows it.

    Args:
        model: any model.
        prior: of the codes; None: N(0, I).
        start: the noise of one datum, at which the other levels stay.
        num: num × num data of each level, from 1 up; of a category each of its values once.
        generator: of all draws.
        span: how far a sweep goes, in standard deviations of the level given the others.
        others: "hold" or "random".

    Raises:
        ValueError: if `num` is below 1 or `others` is unknown.
    """
    _check_span(span)
    if others not in get_args(Others):
        raise ValueError(f"others is {others!r}; choose one of {', '.join(get_args(Others))}")
    num = _check_num(model, num, lambda num: num * num * len(model.levels_with_code))
    prior = prior or standard_prior(model.code_sizes)
    changed: list[tuple[Tensor, ...]] = []
    for level in model.levels_with_code:
        size = model.code_sizes[level - 1]
        values = noise_of_values(model, level)
        if values is not None:
            base = prior.draw(len(values), generator) if others == "random" else repeated(start, len(values))
            changed.append(_with_level(base, level, values))
            continue
        base = prior.draw(num * num, generator) if others == "random" else repeated(start, num * num)
        if size > 2:
            changed.append(base if others == "random" else prior.redraw([level], base, generator))
            continue
        mean, stddev = prior.level_moments(level, base if others == "random" else start)
        changed.append(_with_level(base, level, mean + stddev * sweep(num, span, size)))
    return changed


def traversed_noise(
    model: LatentModel,
    prior: MixturePrior,
    start: Codes,
    *,
    steps: int,
    span: float = 2.0,
    max_rows: int | None = None,
) -> tuple[list[tuple[int, int]], list[tuple[Tensor, ...]]]:
    """Each dimension of every code, from its low end to its high end.

    Args:
        model: any model.
        prior: of the codes.
        start: the noise of one datum, at which all other dimensions stay.
        steps: how many values of each dimension, from 2 up.
        span: from -span to span, in standard deviations of the dimension under the prior, around its mean.
        max_rows: how many of the first dimensions of each level, from 1 up; None: all.

    Returns:
        Level and dimension (from 0) of each row, and its noise, of `steps` data.

    Raises:
        ValueError: if `steps` is below 2, `span` is none or `max_rows` below 1.
    """
    steps = check_whole("steps", steps, 2)
    _check_span(span)
    if max_rows is not None:
        max_rows = check_whole("max_rows", max_rows, 1)
    fixed = repeated(start, steps)
    rows = [(level, d) for level in model.levels_with_code for d in range(model.code_sizes[level - 1])[:max_rows]]
    _check_size(model, steps * len(rows))
    noises: list[tuple[Tensor, ...]] = []
    for level, dimension in rows:
        varied = fixed[level - 1].clone()
        mean, stddev = prior.level_moments(level)
        varied[:, dimension] = mean[0, dimension] + stddev[0, dimension] * torch.linspace(-span, span, steps)
        noises.append(_with_level(fixed, level, varied))
    return rows, noises


def sweep(num: int, span: float, size: int) -> Float[Tensor, "n size"]:
    """A regular sweep, from -span to span, of a code of one or two dimensions; `num` × `num` rows.

    The rows are in reading order. Of two dimensions, the first grows rightwards and the second upwards.

    Args:
        num: codes on each side of the grid, from 1 up.
        span: in standard deviations of the prior.
        size: dimensions of the code, 1 or 2.
    """
    if size == 1:
        return torch.linspace(-span, span, num * num)[:, None]
    axis = torch.linspace(-span, span, num)
    second, first = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    return torch.stack([first, second], dim=-1).flatten(0, 1)


class Seen(NamedTuple):
    """Data to look for copies in."""

    what: str
    """One of them, in words."""
    values: np.ndarray
    """uint8 images, or floats in [0, 1], (N, C, H, W); or float32 vectors (N, D)."""
    mirrored: bool = False
    """Whether the mirror images of pictures count, too."""


def sample_data(
    model: LatentModel,
    prior: MixturePrior,
    held_out: Float[Tensor, "m *shape"] | None,
    known: Seen | None,
    *,
    num: int,
    seed: int,
    pixels: bool = False,
) -> tuple[Float[Tensor, "drawn *shape"], Float[Tensor, "beside *shape"], Float[Tensor, "nearest *shape"]]:
    """What the figure of samples shows: drawn data, held-out data, and for the first drawn ones the nearest known.

    Args:
        model: any model.
        prior: of the codes.
        held_out: data to show beside the samples; None: none.
        known: what the model was trained on; None: nothing is known.
        num: number of data, from 1 up.
        seed: of the draw.
        pixels: draw the pixels too.

    Raises:
        ValueError: if `num` is below 1.
        NotDefinedError: if pixels are asked for and the model has no density.
    """
    num = _check_num(model, num)
    noise = prior.draw(num, generator_of(seed))
    drawn = drawn_pixels(model, noise, seed) if pixels else decoded(model, noise)
    beside = drawn[:0] if held_out is None else held_out[:num]
    nearest = _nearest(model, drawn[:NUM_NEAREST], known) if known is not None and len(known.values) else drawn[:0]
    return drawn, beside, nearest


def _nearest(model: LatentModel, x: Float[Tensor, "n *shape"], known: Seen) -> Float[Tensor, "n *shape"]:
    """For each datum the nearest of the known ones, as it is or mirrored, by squared distance of all values.

    Columns of vectors count alike: they are in their standard deviations, and in double precision.
    """

    def placed(data: Tensor) -> Float[Tensor, "n values"]:
        return data.flatten(1) if is_image(model.shape) else standardised(model, data)

    values, rows = known.values, placed(torch.cat([x, x.flip(-1)]) if known.mirrored else x)
    least, places = rows.new_full((len(rows),), torch.inf), torch.zeros(len(rows), dtype=torch.long)
    size = batch_of(values.shape[1:], NEAREST_BATCH)
    for first in range(0, len(values), size):
        part = placed(as_input(np.ascontiguousarray(values[first : first + size])))
        distances, nearest = torch.cdist(rows, part, compute_mode="donot_use_mm_for_euclid_dist").min(1)
        closer = distances < least
        least[closer], places[closer] = distances[closer], first + nearest[closer]
    found = as_input(np.ascontiguousarray(values[places.numpy()]))
    if not known.mirrored:
        return found
    turned = least[len(x) :] < least[: len(x)]
    return torch.where(turned[:, None, None, None], found[len(x) :].flip(-1), found[: len(x)])


def mixed_data(
    model: LatentModel, x: Float[Tensor, "n *shape"], *, num: int
) -> tuple[list[str], list[Float[Tensor, "m *shape"]]]:
    """A title for A, for each hybrid and for B, and the data of each, a row a pair (`mix`).

    Args:
        model: any model with an encoder.
        x: two or more data, float; images are in [0, 1].
        num: pairs at most, from 1 up.

    Raises:
        ValueError: if `x` is not of the model's shape or holds fewer than two data, or `num` is below 1.
    """
    num = check_whole("num", num, 1)
    check_data(model, x, 2)
    a, b = (x[first : len(x) - len(x) % 2 : 2][:num] for first in (0, 1))
    noise_a, noise_b = noise_at(model, a), noise_at(model, b)
    splits = model.levels_with_code[-2::-1]
    hybrids = [decoded(model, (*noise_a[:k], *noise_b[k:])) for k in splits]
    titles = ["A", *(f"levels 1-{k}\nof A" if k > 1 else "level 1\nof A" for k in splits), "B"]
    return titles, [a, *hybrids, b]


def class_data(
    model: LatentModel, prior: MixturePrior | None = None, *, num: int, seed: int = 0
) -> list[tuple[str, Float[Tensor, "n *shape"]]]:
    """For each class its name and data, alike in all but the class (`classes`).

    Args:
        model: a model whose top level is a class.
        prior: of the codes; None: N(0, I).
        num: data of each class, from 1 up.
        seed: of the draw.

    Raises:
        NotDefinedError: if the model has no classes.
        ValueError: if `num` is below 1.
    """
    num = _check_num(model, num, lambda num: num * len(model.class_names))
    if not model.class_names:
        raise NotDefinedError("the model has no classes; train one with labels: vlae train DATA --labels all")
    prior = prior or standard_prior(model.code_sizes)
    base = prior.draw(num, generator_of(seed))
    each = noise_of_values(model, model.num_levels)
    assert each is not None
    drawn = [decoded(model, (*base[:-1], one.expand(num, -1))) for one in each]
    return list(zip(model.class_names, drawn, strict=True))


def repeated(noise: Codes, num: int) -> tuple[Float[Tensor, "num _"], ...]:
    """The noise of one datum so many times.

    Args:
        noise: a tensor (1, code size) per level.
        num: how often, from 1 up.
    """
    return tuple(level.expand(num, -1) for level in noise)


def _with_level(noise: Codes, level: int, varied: Tensor) -> Codes:
    return (*noise[: level - 1], varied, *noise[level:])


def _check_num(model: LatentModel, num: int, drawn: Callable[[int], int] = int) -> int:
    """A number of pictures as an int, once memory and figure are known to hold what is drawn for it."""
    num = check_whole("num", num, 1)
    check_num(model, num, drawn=drawn(num))
    _check_size(model, drawn(num))
    return num


def _check_size(model: LatentModel, drawn: int) -> None:
    """Refuses so many pictures that no figure holds them, before they are drawn."""
    if is_image(model.shape):
        height, width = model.shape[1:]
        check_pixels(drawn * height * width * ceil(TILE / max(height, width)) ** 2)


def _check_span(span: float) -> None:
    if not isinstance(span, Real) or not 0 < span <= MAX_SPAN:
        said = f"{span:g}" if isinstance(span, Real) else repr(span)
        raise ValueError(f"span is {said}; give a number of standard deviations, above 0 and at most {MAX_SPAN:g}")


def check_data(model: LatentModel, x: Tensor, least: int) -> None:
    """Checks that data are of a model's shape, and enough.

    Args:
        model: any model.
        x: the data, float; images are in [0, 1].
        least: how many there must be.

    Raises:
        ValueError: if they have another shape or type, or are fewer.
    """
    if tuple(x.shape[1:]) != tuple(model.shape) or len(x) < least:
        wanted = ", ".join(map(str, model.shape))
        raise ValueError(f"x has shape {tuple(x.shape)}; give data of shape (n, {wanted}), n from {least} up")
    if not x.is_floating_point():
        raise ValueError(f"x is {x.dtype}; give floating point, images in [0, 1] (divide uint8 by 255)")
