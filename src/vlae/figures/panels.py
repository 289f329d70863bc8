"""Panels of a model: what each level does, its samples, and its reconstructions of data.

Every figure fixes and varies the noise of the levels (`LatentModel.place` makes codes of it). So the same figure serves
models with flat and with conditional priors. Each returns a `Picture`, which `vlae.figures.canvas.save` writes. Nothing
here depends on the kind of model.
"""

from collections.abc import Sequence
from itertools import groupby, islice
from math import ceil, sqrt
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vlae.figures.canvas import GAP, LETTERS, TILE, Picture, Pictures, blank, grid, text
from vlae.figures.pictures import to_pictures
from vlae.models.base import Codes, LatentModel
from vlae.models.inference import evaluating, given

Others = Literal["hold", "random"]

_WIDE_GAP = 14
_BATCH = 64


def levels(
    model: LatentModel,
    *,
    start: Codes | None = None,
    num: int = 8,
    seed: int = 0,
    span: float = 2.0,
    others: Others = "hold",
) -> Picture:
    """What each level does: a panel per level, level 1 first, of `num` × `num` pictures in which that level varies.

    A code of two dimensions is swept over a regular grid; the first dimension grows rightwards, the second upwards. A
    code of one dimension is swept in reading order. A larger code is drawn afresh from its prior for each picture. The
    title of a panel is its level and, in brackets, the number of dimensions. A level without a code has no panel.

    Reference: Zhao et al. 2017, figures 5 to 7.

    Args:
        model: any model.
        start: noise of one datum at which levels are fixed, one tensor (1, code size) per level, level 1 first, such as
            `noise_at` returns; None: it is drawn.
        num: pictures on each side of a panel, from 1 up.
        seed: of all random draws.
        span: a sweep goes from -span to span, in standard deviations of the prior.
        others: "hold" fixes the other levels at `start`; "random" draws them for each picture, like the paper's MNIST
            figure, and then a level that is not swept shows plain samples.

    Raises:
        ValueError: if `start` does not fit the model, `num` is below 1 or `others` is unknown.
    """
    shown = model.levels_with_code
    drawn = panels(model, start=start, num=num, seed=seed, span=span, others=others)
    # A wide figure is shown reduced, so its letters grow with it.
    letters = max(LETTERS, drawn[0].shape[1] // 22)
    titles = [text(f"level {level} ({model.code_sizes[level - 1]})", letters) for level in shown]
    columns = ceil(len(shown) / ceil(len(shown) / 5))
    return grid([grid(pair, 1) for pair in zip(titles, drawn, strict=True)], columns, _WIDE_GAP)


def panels(
    model: LatentModel,
    *,
    start: Codes | None = None,
    num: int = 8,
    seed: int = 0,
    span: float = 2.0,
    others: Others = "hold",
) -> list[Picture]:
    """The panels of `levels`, one for each level that has a code, level 1 first, without titles.

    Args:
        model: any model.
        start: noise of one datum at which levels are fixed, one tensor (1, code size) per level, level 1 first, such as
            `noise_at` returns; None: it is drawn.
        num: pictures on each side of a panel, from 1 up.
        seed: of all random draws.
        span: a sweep goes from -span to span, in standard deviations of the prior.
        others: "hold" fixes the other levels at `start`; "random" draws them for each picture.

    Raises:
        ValueError: if `start` does not fit the model, `num` is below 1 or `others` is unknown.
    """
    if others not in get_args(Others):
        raise ValueError(f"others is {others!r}; choose one of {', '.join(get_args(Others))}")
    _check_number("num", num, 1)
    generator = torch.Generator().manual_seed(seed)
    fixed = _repeated(model, start, num * num, generator)
    changed = []
    for level in model.levels_with_code:
        fresh, size = model.draw_noise(num * num, generator), model.code_sizes[level - 1]
        varied = sweep(num, span, size) if size <= 2 else fresh[level - 1]
        changed.append(_with_level(fresh if others == "random" else fixed, level, varied))
    return [grid(tiles, num) for tiles in _draw(model, *changed)]


def samples(model: LatentModel, *, num: int = 64, seed: int = 0) -> Picture:
    """Pictures of codes drawn from the prior, in a grid that is as square as possible.

    Args:
        model: any model.
        num: number of pictures, from 1 up.
        seed: of the draw.

    Raises:
        ValueError: if `num` is below 1.
    """
    _check_number("num", num, 1)
    noise = model.draw_noise(num, torch.Generator().manual_seed(seed))
    return grid(_draw(model, noise)[0], ceil(sqrt(num)))


def reconstructions(model: LatentModel, x: Float[Tensor, "n *shape"], *, num: int = 32) -> Picture:
    """Data, each above its reconstruction from the posterior means.

    Args:
        model: any model with an encoder.
        x: the data, float; images are in [0, 1].
        num: how many of the first data to show at most, from 1 up.

    Raises:
        ValueError: if `x` is not of the model's shape, or `num` is below 1.
    """
    _check_number("num", num, 1)
    _check_data(model, x, 1)
    x = x[:num]
    originals, again = _pictures(model, x, _decoded(model, noise_at(model, x)))
    pairs = [grid(pair, 1) for pair in zip(originals, again, strict=True)]
    return grid([text("originals, each above its reconstruction"), grid(pairs, min(8, len(x)), 4 * GAP)], 1)


def traversal(
    model: LatentModel,
    *,
    start: Codes | None = None,
    seed: int = 0,
    steps: int = 9,
    span: float = 2.0,
    max_rows: int | None = None,
) -> Picture:
    """What each dimension does: a row per dimension of every code, in which only that dimension varies.

    Args:
        model: any model.
        start: noise of one datum at which all other dimensions are fixed, one tensor (1, code size) per level, level 1
            first, such as `noise_at` returns; None: it is drawn.
        seed: of the draw.
        steps: pictures in a row, from 2 up.
        span: a row goes from -span to span, in standard deviations of the prior.
        max_rows: how many of the first dimensions of each level to show, from 1 up; None: all.

    Raises:
        ValueError: if `start` does not fit the model, `steps` is below 2 or `max_rows` below 1.
    """
    _check_number("steps", steps, 2)
    if max_rows is not None:
        _check_number("max_rows", max_rows, 1)
    fixed = _repeated(model, start, steps, torch.Generator().manual_seed(seed))
    rows = [(level, d) for level in model.levels_with_code for d in range(model.code_sizes[level - 1])[:max_rows]]
    noises = []
    for level, dimension in rows:
        varied = fixed[level - 1].clone()
        varied[:, dimension] = torch.linspace(-span, span, steps)
        noises.append(_with_level(fixed, level, varied))
    drawn = dict(zip(rows, (grid(tiles, steps) for tiles in _draw(model, *noises)), strict=True))
    cells: list[Picture] = []
    for level, of_level in groupby(rows, key=lambda row: row[0]):
        cells += [blank(_WIDE_GAP - 2 * GAP, 1)] * 2 if cells else []
        cells += [cell for row in of_level for cell in (text(f" level {level}, dim {row[1] + 1} "), drawn[row])]
    return grid(cells, 2)


def mix(model: LatentModel, x: Float[Tensor, "n *shape"], *, num: int = 8) -> Picture:
    """Hybrids of pairs of data: levels 1 … k of A with levels k+1 … L of B, where k falls from left to right.

    A row per pair: A, the hybrids, B. A and B are x[0] and x[1], then x[2] and x[3], and so on.

    Args:
        model: any model with an encoder.
        x: two or more data, float; images are in [0, 1]. The last of an odd number is left out.
        num: pairs to show at most, from 1 up.

    Raises:
        ValueError: if `x` is not of the model's shape or holds fewer than two data, or `num` is below 1.
    """
    _check_number("num", num, 1)
    _check_data(model, x, 2)
    a, b = (x[first : len(x) - len(x) % 2 : 2][:num] for first in (0, 1))
    noise_a, noise_b = noise_at(model, a), noise_at(model, b)
    splits = model.levels_with_code[-2::-1]
    hybrids = [_decoded(model, (*noise_a[:k], *noise_b[k:])) for k in splits]
    titles = ["A", *(f"levels 1-{k}\nof A" if k > 1 else "level 1\nof A" for k in splits), "B"]
    rows = zip(*_pictures(model, a, *hybrids, b, least=2 * TILE), strict=True)
    return grid([*map(text, titles), *(tile for row in rows for tile in row)], len(titles), 2 * GAP)


def rows(model: LatentModel, titled: Sequence[tuple[str, Tensor]]) -> Picture:
    """Rows of data, each after its title, all with the same colour scale.

    Args:
        model: any model of data of this shape.
        titled: title and data (n, *shape) of each row; one or more.

    Raises:
        ValueError: if there is no row, or data are not of the model's shape.
    """
    if not titled:
        raise ValueError("there is no row to draw; give at least one")
    drawn = _pictures(model, *(values for _, values in titled))
    pairs = zip(titled, drawn, strict=True)
    return grid([cell for (title, _), tiles in pairs for cell in (text(f" {title} "), grid(tiles, len(tiles)))], 2)


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
    _check_data(model, x, 1)
    with evaluating(model):
        parts = []
        for start in range(0, len(x), _BATCH):
            of_rows = given(features, start, _BATCH, model.device)
            posteriors = model.infer(x[start : start + _BATCH].to(model.device), **of_rows)
            parts.append(model.noise_of(tuple(q.mean for q in posteriors)))
        return tuple(torch.cat(level) for level in zip(*parts, strict=True))


def _decoded(model: LatentModel, noise: Codes) -> Float[Tensor, "n *shape"]:
    """Decodes noise, batch by batch."""
    with evaluating(model):
        batches = zip(*(torch.split(level.to(model.device), _BATCH) for level in noise), strict=True)
        return torch.cat([model.decode(model.place(batch)).cpu() for batch in batches])


def _pictures(model: LatentModel, *parts: Tensor, least: int = TILE) -> list[Pictures]:
    """Each part as pictures with a side of at least `least` pixels, all with the same colour scale."""
    small = to_pictures(torch.cat([part.cpu() for part in parts]), model.shape)
    factor = ceil(least / max(small.shape[1:3]))
    large = iter(small.repeat(factor, axis=1).repeat(factor, axis=2))
    return [np.stack(list(islice(large, len(part)))) for part in parts]


def _draw(model: LatentModel, *noises: Codes) -> list[Pictures]:
    return _pictures(model, *(_decoded(model, noise) for noise in noises))


def _repeated(
    model: LatentModel, start: Codes | None, num: int, generator: torch.Generator
) -> tuple[Float[Tensor, "num _"], ...]:
    """The noise of one datum `num` times, on the model's device; drawn if `start` is None."""
    start = model.draw_noise(1, generator) if start is None else start
    shapes, wanted = [tuple(level.shape) for level in start], [(1, size) for size in model.code_sizes]
    if shapes != wanted:
        raise ValueError(f"start has levels of shapes {shapes}; give one datum's noise (noise_at), of shapes {wanted}")
    return tuple(level.to(model.device).expand(num, -1) for level in start)


def _with_level(noise: Codes, level: int, varied: Tensor) -> Codes:
    return (*noise[: level - 1], varied, *noise[level:])


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


def _check_number(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} is {value}; give a whole number from {least} up")


def _check_data(model: LatentModel, x: Tensor, least: int) -> None:
    if tuple(x.shape[1:]) != tuple(model.shape) or len(x) < least:
        wanted = ", ".join(map(str, model.shape))
        raise ValueError(f"x has shape {tuple(x.shape)}; give data of shape (n, {wanted}), n from {least} up")
    if not x.is_floating_point():
        raise ValueError(f"x is {x.dtype}; give floating point, images in [0, 1] (divide uint8 by 255)")
