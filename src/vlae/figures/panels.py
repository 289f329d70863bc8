"""Panels of a model: what each level does, its samples, and its reconstructions of data.

Each returns a `Picture`, which `vlae.figures.canvas.save` writes. What they show is made in `vlae.figures.contents`.
"""

from collections.abc import Sequence
from itertools import groupby
from math import ceil, sqrt

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vlae.errors import check_whole
from vlae.figures.canvas import GAP, LETTERS, TILE, Picture, Pictures, blank, grid, text
from vlae.figures.contents import (
    NUM_NEAREST,
    Others,
    Seen,
    Start,
    changed_noise,
    check_data,
    class_data,
    decoded,
    drawn_pixels,
    mixed_data,
    noise_at,
    repeated,
    sample_data,
    start_noise,
    traversed_noise,
)
from vlae.figures.pictures import to_pictures
from vlae.figures.profiles import Panel, profiles
from vlae.models.base import Codes, LatentModel
from vlae.models.inference import generator_of
from vlae.models.priors import MixturePrior, standard_prior
from vlae.shapes import is_image

MAX_LINES = 32  # vectors in a panel of a level

_WIDE_GAP = 14


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
    num = check_whole("num", num, 1)
    shown = model.levels_with_code
    generator = generator_of(seed)
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
        pixels = drawn_pixels(model, repeated(noise, num * num), seed)
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
    num = check_whole("num", num, 1)
    generator = generator_of(seed)
    noise, datum = start_noise(model, prior, held_out, start, generator)
    changed = changed_noise(model, prior, noise, num=num, generator=generator, span=span, others=others)
    if not is_image(model.shape):
        titles = ["" for _ in changed]
        return [profiles(model, [panel], per_row=1) for panel in _profiles(model, titles, changed, noise)]
    return _panels(model, changed, noise, datum, num)[0]


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
    known: Seen | None = None,
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
        known: what the model was trained on; None: nothing is known.
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
            sheets.append(profiles(model, each, per_row=4, black=f"nearest {known.what}", coloured=["a sample"]))
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
    title = text(f"samples, each above the nearest {known.what}")
    return grid([sheet, title, grid(pairs, NUM_NEAREST, 4 * GAP)], 1, 4 * GAP)


def reconstructions(model: LatentModel, x: Float[Tensor, "n *shape"], *, num: int = 32) -> Picture:
    """Data, each above its reconstruction from the posterior means.

    Args:
        model: any model with an encoder.
        x: the data, float; images are in [0, 1].
        num: how many of the first data to show at most, from 1 up.

    Raises:
        ValueError: if `x` is not of the model's shape, or `num` is below 1.
    """
    num = check_whole("num", num, 1)
    check_data(model, x, 1)
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
    steps = check_whole("steps", steps, 2)
    prior = prior or standard_prior(model.code_sizes)
    fixed = start_noise(model, prior, held_out, start, generator_of(seed))[0]
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
