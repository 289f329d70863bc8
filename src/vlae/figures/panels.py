"""Panels of a model: what each level does, its samples, and its reconstructions of data.

Every figure fixes and varies the noise of the levels (`LatentModel.place` makes codes of it). So the same figure serves
models with flat and with conditional priors. Each returns a `Picture`, which `vlae.figures.canvas.save` writes. Nothing
here depends on the kind of model.
"""

from collections.abc import Sequence
from itertools import groupby
from math import ceil, sqrt
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vlae.errors import NotDefinedError
from vlae.figures.canvas import GAP, LETTERS, TILE, Picture, Pictures, blank, grid, text
from vlae.figures.pictures import to_pictures
from vlae.figures.profiles import Panel, profiles
from vlae.models.base import Codes, LatentModel
from vlae.models.inference import as_input, check_num, draw, evaluating, given, noise_of_values
from vlae.models.priors import MixturePrior, standard_prior
from vlae.shapes import is_image

Others = Literal["hold", "random"]
Start = Codes | Float[Tensor, "1 *shape"] | Literal["random"] | None
"""Where a figure starts: noise, a datum, a draw from the prior, or None for its own choice."""

NUM_NEAREST = 8  # samples whose nearest known datum is shown
NEAREST_BATCH = 2_000  # known data compared at a time

MAX_SPAN = 100.0  # standard deviations; a code beyond is a mistake

MAX_LINES = 32  # vectors in a panel of a level

_WIDE_GAP = 14
_BATCH = 64


def levels(
    model: LatentModel,
    *,
    prior: MixturePrior | None = None,
    held_out: Float[Tensor, "m *shape"] | None = None,
    start: Start = None,
    num: int = 8,
    seed: int = 0,
    span: float = 2.0,
    others: Others = "hold",
) -> Picture:
    """What each level does: a panel per level, level 1 first, of `num` × `num` pictures in which that level varies.

    A code of two dimensions is swept over a regular grid; the first dimension grows rightwards, the second upwards. A
    code of one dimension is swept in reading order. A category takes each of its values once. A larger code is drawn
    afresh for each picture. All of this happens under the prior of the level given the others, so that pictures stay
    like real ones. On the left stands the picture that the figure starts from. The title of a panel is its level and,
    in brackets, the number of dimensions. A level without a code has no panel. If the likelihood is autoregressive, a
    last panel shows level 0: all codes stay, and the pixels are drawn afresh for each picture.

    Reference: Zhao et al. 2017, figures 5 to 7.

    Args:
        model: any model.
        prior: of the codes; None: N(0, I).
        held_out: data that the figure may start from, float; images are in [0, 1].
        start: where levels are fixed: a datum, float (1, *shape); the noise of one, a tensor (1, code size) per level,
            level 1 first; or "random", a draw from the prior. None: the first of `held_out`, or a draw if there is none
            or the model has no encoder.
        num: pictures on each side of a panel, from 1 up.
        seed: of all random draws.
        span: a sweep goes from -span to span, in standard deviations of the level given the others, around its mean.
        others: "hold" fixes the other levels at `start`; "random" draws them for each picture, like the paper's MNIST
            figure, and then a level that is not swept shows plain samples.

    Raises:
        ValueError: if `start` does not fit the model, `num` is below 1 or `others` is unknown.
    """
    shown = model.levels_with_code
    generator = torch.Generator().manual_seed(seed)
    noise, datum = start_noise(model, prior, held_out, start, generator)
    titles = [f"level {level} ({model.code_sizes[level - 1]})" for level in shown]
    changed = changed_noise(model, prior, noise, num=num, generator=generator, span=span, others=others)
    if not is_image(model.shape):
        return profiles(
            model, _profiles(model, titles, changed, noise), per_row=2, black="starts from", coloured=["changed"]
        )
    sheets, tiles = _panels(model, changed, noise, datum, num)
    # A wide figure is shown reduced, so its letters grow with it.
    letters = max(LETTERS, sheets[0].shape[1] // 22)
    if model.autoregressive:
        titles.append("level 0 (pixels)")
        pixels = _drawn(model, _repeated(noise, num * num), seed)
        sheets.append(grid(pictures_of(model, pixels)[0], num))
    columns = ceil(len(sheets) / ceil(len(sheets) / 5))
    titled = zip((text(title, letters) for title in titles), sheets, strict=True)
    drawn = grid([grid(pair, 1) for pair in titled], columns, _WIDE_GAP)
    if others == "random":
        return drawn
    words = ["starts from", "its codes"] if datum is not None else ["starts from"]
    started = [cell for pair in zip(words, tiles, strict=True) for cell in (text(pair[0], letters), pair[1])]
    return grid([grid(started, 1), drawn], 2, _WIDE_GAP)


def panels(
    model: LatentModel,
    *,
    prior: MixturePrior | None = None,
    held_out: Float[Tensor, "m *shape"] | None = None,
    start: Start = None,
    num: int = 8,
    seed: int = 0,
    span: float = 2.0,
    others: Others = "hold",
) -> list[Picture]:
    """The panels of `levels`, one for each level that has a code, level 1 first, without titles.

    Args:
        model: any model.
        prior: of the codes; None: N(0, I).
        held_out: data that the panels may start from, float; images are in [0, 1].
        start: where levels are fixed: a datum, float (1, *shape); the noise of one, a tensor (1, code size) per level,
            level 1 first; or "random", a draw from the prior. None: the first of `held_out`, or a draw.
        num: pictures on each side of a panel, from 1 up.
        seed: of all random draws.
        span: a sweep goes from -span to span, in standard deviations of the level given the others, around its mean.
        others: "hold" fixes the other levels at `start`; "random" draws them for each picture.

    Raises:
        ValueError: if `start` does not fit the model, `num` is below 1 or `others` is unknown.
    """
    generator = torch.Generator().manual_seed(seed)
    noise, datum = start_noise(model, prior, held_out, start, generator)
    changed = changed_noise(model, prior, noise, num=num, generator=generator, span=span, others=others)
    if not is_image(model.shape):
        titles = ["" for _ in changed]
        return [profiles(model, [panel], per_row=1) for panel in _profiles(model, titles, changed, noise)]
    return _panels(model, changed, noise, datum, num)[0]


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
    check_num(model, num, drawn=num * num)
    prior = prior or standard_prior(model.code_sizes)
    changed: list[tuple[Tensor, ...]] = []
    for level in model.levels_with_code:
        size = model.code_sizes[level - 1]
        values = noise_of_values(model, level)
        if values is not None:
            base = prior.draw(len(values), generator) if others == "random" else _repeated(start, len(values))
            changed.append(_with_level(base, level, values))
            continue
        base = prior.draw(num * num, generator) if others == "random" else _repeated(start, num * num)
        if size > 2:
            changed.append(base if others == "random" else prior.redraw([level], base, generator))
            continue
        mean, stddev = prior.level_moments(level, base)
        changed.append(_with_level(base, level, mean + stddev * sweep(num, span, size)))
    return changed


def _profiles(
    model: LatentModel, titles: Sequence[str], changed: Sequence[tuple[Tensor, ...]], start: Codes
) -> list[Panel]:
    """A panel of vectors for each level, at most 32 of them, and black that which they start from."""
    black = decoded(model, start)
    panels = []
    for title, level, noise in zip(titles, model.levels_with_code, changed, strict=True):
        values = decoded(model, noise)
        shown = values[torch.linspace(0, len(values) - 1, min(MAX_LINES, len(values))).round().long()]
        panels.append(Panel(title=title, values=shown, start=black, in_order=model.code_sizes[level - 1] == 1))
    return panels


def _panels(
    model: LatentModel, changed: Sequence[tuple[Tensor, ...]], start: Codes, datum: Tensor | None, num: int
) -> tuple[list[Picture], list[Picture]]:
    """A panel per level with a code; and the datum, if there is one, with the picture of the noise at the start."""
    own = [] if datum is None else [datum]
    drawn = pictures_of(model, *own, *(decoded(model, noise) for noise in (start, *changed)))
    at = len(own) + 1
    return [grid(tiles, num) for tiles in drawn[at:]], list(np.concatenate(drawn[:at]))


def samples(
    model: LatentModel,
    *,
    prior: MixturePrior | None = None,
    held_out: Float[Tensor, "m *shape"] | None = None,
    known: tuple[str, np.ndarray] | None = None,
    num: int = 64,
    seed: int = 0,
    pixels: bool = False,
) -> Picture:
    """Pictures of codes drawn from the prior, beside as many held-out data, in grids as square as possible.

    Below stand the first samples, each above the nearest of the data that the model knows, so that a copy is seen.

    Args:
        model: any model.
        prior: of the codes; None: N(0, I).
        held_out: data to show beside the samples, float; images are in [0, 1].
        known: what the model was trained on, and in a word what that is: uint8 (N, C, H, W), or float32 (N, D).
        num: number of pictures, from 1 up.
        seed: of the draw.
        pixels: draw the pixels too, from r(x|z).

    Raises:
        ValueError: if `num` is below 1.
        NotDefinedError: if pixels are asked for and the model has no density.
    """
    prior = prior or standard_prior(model.code_sizes)
    drawn, beside, nearest = sample_data(model, prior, held_out, known, num=num, seed=seed, pixels=pixels)
    drawn_from = f"drawn from {prior.name}" + (", pixels too" if pixels else "")
    if not is_image(model.shape):
        groups = {drawn_from: drawn, "held-out data": beside}
        sheets = [profiles(model, [Panel(title=k, values=v) for k, v in groups.items() if len(v)], per_row=2)]
        each = [Panel(title="", values=one[None], start=near[None]) for one, near in zip(drawn, nearest, strict=False)]
        if each and known is not None:
            sheets.append(profiles(model, each, per_row=4, black=f"nearest {known[0]}", coloured=["a sample"]))
        return grid(sheets, 1, _WIDE_GAP)
    sampled, real, near = pictures_of(model, drawn, beside, nearest)
    columns = ceil(sqrt(num))
    blocks = [grid([text(drawn_from), grid(sampled, columns)], 1)]
    if len(real):
        blocks.append(grid([text("held-out data"), grid(real, columns)], 1))
    sheet = grid(blocks, 2, _WIDE_GAP)
    if known is None or not len(near):
        return sheet
    pairs = [grid(pair, 1) for pair in zip(sampled, near, strict=False)]
    title = text(f"samples, each above the nearest {known[0]}")
    return grid([sheet, title, grid(pairs, NUM_NEAREST, 4 * GAP)], 1, 4 * GAP)


def sample_data(
    model: LatentModel,
    prior: MixturePrior,
    held_out: Float[Tensor, "m *shape"] | None,
    known: tuple[str, np.ndarray] | None,
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
        known: what the model was trained on, and in a word what that is; None: nothing is known.
        num: number of data, from 1 up.
        seed: of the draw.
        pixels: draw the pixels too.

    Raises:
        ValueError: if `num` is below 1.
        NotDefinedError: if pixels are asked for and the model has no density.
    """
    check_num(model, num)
    noise = prior.draw(num, torch.Generator().manual_seed(seed))
    drawn = _drawn(model, noise, seed) if pixels else decoded(model, noise)
    beside = drawn[:0] if held_out is None else held_out[:num]
    nearest = _nearest(drawn[:NUM_NEAREST], known[1]) if known is not None and len(known[1]) else drawn[:0]
    return drawn, beside, nearest


def _nearest(x: Float[Tensor, "n *shape"], known: np.ndarray) -> Float[Tensor, "n *shape"]:
    """For each datum the nearest of the known ones, by squared distance of all values."""
    rows = x.flatten(1)
    least, places = torch.full((len(x),), torch.inf), torch.zeros(len(x), dtype=torch.long)
    for first in range(0, len(known), NEAREST_BATCH):
        part = as_input(np.ascontiguousarray(known[first : first + NEAREST_BATCH])).flatten(1)
        distances, nearest = torch.cdist(rows, part).min(1)
        closer = distances < least
        least[closer], places[closer] = distances[closer], first + nearest[closer]
    return as_input(np.ascontiguousarray(known[places.numpy()]))


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
    again = decoded(model, noise_at(model, x))
    if not is_image(model.shape):
        each = [Panel(title="", values=after[None], start=before[None]) for before, after in zip(x, again, strict=True)]
        return profiles(model, each, per_row=4, black="held-out data", coloured=["reconstruction"])
    originals, after = pictures_of(model, x, again)
    pairs = [grid(pair, 1) for pair in zip(originals, after, strict=True)]
    return grid([text("originals, each above its reconstruction"), grid(pairs, min(8, len(x)), 4 * GAP)], 1)


def traversal(
    model: LatentModel,
    *,
    prior: MixturePrior | None = None,
    held_out: Float[Tensor, "m *shape"] | None = None,
    start: Start = None,
    seed: int = 0,
    steps: int = 9,
    span: float = 2.0,
    max_rows: int | None = None,
) -> Picture:
    """What each dimension does: a row per dimension of every code, in which only that dimension varies.

    Args:
        model: any model.
        prior: of the codes; None: N(0, I).
        held_out: data that the figure may start from, float; images are in [0, 1].
        start: where all other dimensions are fixed: a datum, float (1, *shape); the noise of one, a tensor (1, code
            size) per level, level 1 first; or "random", a draw from the prior. None: the first of `held_out`, or a
            draw.
        seed: of the draw.
        steps: pictures in a row, from 2 up.
        span: a row goes from -span to span, in standard deviations of the dimension under the prior, around its mean.
        max_rows: how many of the first dimensions of each level to show, from 1 up; None: all.

    Raises:
        ValueError: if `start` does not fit the model, `steps` is below 2 or `max_rows` below 1.
    """
    prior = prior or standard_prior(model.code_sizes)
    fixed = start_noise(model, prior, held_out, start, torch.Generator().manual_seed(seed))[0]
    rows, noises = traversed_noise(model, prior, fixed, steps=steps, span=span, max_rows=max_rows)
    if not is_image(model.shape):
        each = [
            Panel(title=f"level {level}, dim {dimension + 1}", values=decoded(model, noise), in_order=True)
            for (level, dimension), noise in zip(rows, noises, strict=True)
        ]
        return profiles(model, each, per_row=4, coloured=[f"{-span:g}", "mean of the code", f"{span:g}"])
    drawn = dict(zip(rows, (grid(tiles, steps) for tiles in _draw(model, *noises)), strict=True))
    cells: list[Picture] = []
    for level, of_level in groupby(rows, key=lambda row: row[0]):
        cells += [blank(_WIDE_GAP - 2 * GAP, 1)] * 2 if cells else []
        cells += [cell for row in of_level for cell in (text(f" level {level}, dim {row[1] + 1} "), drawn[row])]
    return grid(cells, 2)


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
    _check_number("steps", steps, 2)
    _check_span(span)
    if max_rows is not None:
        _check_number("max_rows", max_rows, 1)
    fixed = _repeated(start, steps)
    rows = [(level, d) for level in model.levels_with_code for d in range(model.code_sizes[level - 1])[:max_rows]]
    noises: list[tuple[Tensor, ...]] = []
    for level, dimension in rows:
        varied = fixed[level - 1].clone()
        mean, stddev = prior.level_moments(level)
        varied[:, dimension] = mean[0, dimension] + stddev[0, dimension] * torch.linspace(-span, span, steps)
        noises.append(_with_level(fixed, level, varied))
    return rows, noises


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
    titles, (a, *hybrids, b) = mixed_data(model, x, num=num)
    if not is_image(model.shape):
        each = zip(a, *hybrids, b, strict=True)
        pairs = [Panel(title="", values=torch.stack(one), in_order=True) for one in each]
        return profiles(model, pairs, per_row=2, coloured=[title.replace("\n", " ") for title in titles])
    rows = zip(*pictures_of(model, a, *hybrids, b, least=2 * TILE), strict=True)
    return grid([*map(text, titles), *(tile for row in rows for tile in row)], len(titles), 2 * GAP)


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
    _check_number("num", num, 1)
    _check_data(model, x, 2)
    a, b = (x[first : len(x) - len(x) % 2 : 2][:num] for first in (0, 1))
    noise_a, noise_b = noise_at(model, a), noise_at(model, b)
    splits = model.levels_with_code[-2::-1]
    hybrids = [decoded(model, (*noise_a[:k], *noise_b[k:])) for k in splits]
    titles = ["A", *(f"levels 1-{k}\nof A" if k > 1 else "level 1\nof A" for k in splits), "B"]
    return titles, [a, *hybrids, b]


def classes(model: LatentModel, *, prior: MixturePrior | None = None, num: int = 12, seed: int = 0) -> Picture:
    """A row of pictures per class; in a column only the class changes, and with it the level that holds it.

    Args:
        model: a model whose top level is a class.
        prior: of the codes; None: N(0, I).
        num: pictures in a row, from 1 up.
        seed: of the draw.

    Raises:
        NotDefinedError: if the model has no classes.
        ValueError: if `num` is below 1.
    """
    return rows(model, class_data(model, prior, num=num, seed=seed))


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
    check_num(model, num, drawn=num * len(model.class_names))
    if not model.class_names:
        raise NotDefinedError("the model has no classes; train one with labels: vlae train DATA --labels all")
    prior = prior or standard_prior(model.code_sizes)
    base = prior.draw(num, torch.Generator().manual_seed(seed))
    each = noise_of_values(model, model.num_levels)
    assert each is not None
    drawn = [decoded(model, (*base[:-1], one.expand(num, -1))) for one in each]
    return list(zip(model.class_names, drawn, strict=True))


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
    if not is_image(model.shape):
        each = [Panel(title=title, values=values, start=values.mean(0, keepdim=True)) for title, values in titled]
        return profiles(model, each, per_row=3, black="their mean", coloured=["each"])
    drawn = pictures_of(model, *(values for _, values in titled))
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


def decoded(model: LatentModel, noise: Codes) -> Float[Tensor, "n *shape"]:
    """The data of noise, decoded batch by batch.

    Args:
        model: any model.
        noise: one tensor (n, code size) per level, level 1 first.
    """
    with evaluating(model):
        batches = zip(*(torch.split(level.to(model.device), _BATCH) for level in noise), strict=True)
        return torch.cat([model.decode(model.place(batch)).cpu() for batch in batches])


def _drawn(model: LatentModel, noise: Codes, seed: int) -> Float[Tensor, "n *shape"]:
    """Pictures of noise whose pixels are drawn, with a progress bar on a terminal."""
    with evaluating(model):
        codes = model.place(tuple(level.to(model.device) for level in noise))
    return torch.from_numpy(draw(model, [code.cpu().numpy() for code in codes], seed=seed, progress=True))


def pictures_of(model: LatentModel, *parts: Tensor, least: int = TILE) -> list[Pictures]:
    """Each part as pictures with a side of at least `least` pixels, all with the same colour scale.

    Args:
        model: of data of this shape.
        parts: data, (n, *shape) each; n may be 0.
        least: pixels of the longer side; smaller pictures are enlarged by a whole factor.
    """
    small = to_pictures(torch.cat([part.cpu() for part in parts]), model.shape, opacity=model.opacity)
    factor = ceil(least / max(small.shape[1:3]))
    large = small.repeat(factor, axis=1).repeat(factor, axis=2)
    return np.split(large, np.cumsum([len(part) for part in parts])[:-1])


def _draw(model: LatentModel, *noises: Codes) -> list[Pictures]:
    return pictures_of(model, *(decoded(model, noise) for noise in noises))


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


def _repeated(noise: Codes, num: int) -> tuple[Float[Tensor, "num _"], ...]:
    return tuple(level.expand(num, -1) for level in noise)


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


def _check_span(span: float) -> None:
    if not 0 < span <= MAX_SPAN:
        raise ValueError(f"span is {span:g}; give a number of standard deviations, above 0 and at most {MAX_SPAN:g}")


def _check_data(model: LatentModel, x: Tensor, least: int) -> None:
    if tuple(x.shape[1:]) != tuple(model.shape) or len(x) < least:
        wanted = ", ".join(map(str, model.shape))
        raise ValueError(f"x has shape {tuple(x.shape)}; give data of shape (n, {wanted}), n from {least} up")
    if not x.is_floating_point():
        raise ValueError(f"x is {x.dtype}; give floating point, images in [0, 1] (divide uint8 by 255)")
