"""The pictures vlae draws of a model: what each level does, what it samples, how it trained.

Every figure works in noise space (`LatentModel.place`): to hold a level is to hold its noise, so one code serves flat
and conditional priors. Each returns a `Picture`, an array that `vlae.figures.canvas.save` writes; nothing here asks which
model it holds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from math import ceil, sqrt
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vlae.figures.canvas import GAP, LETTERS, TILE, Picture, Pictures, blank, grid, rendered, text
from vlae.models.base import Codes, LatentModel
from vlae.nn.layers import Shape

if TYPE_CHECKING:
    pass

Others = Literal["hold", "random"]

_WIDE_GAP = 14
_BATCH = 64
_BLUE, _GREY, _RED = np.array([[59, 76, 192], [221, 221, 221], [180, 4, 38]], dtype=float)


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

    A code of two dimensions is swept over a regular grid, the first dimension growing rightwards, the second upwards;
    a code of one dimension is swept in reading order; a larger code is drawn afresh from its prior for each picture.
    Panels are titled with their level and, in brackets, its number of dimensions; a level without a code has none.

    Reference: Zhao et al. 2017, figures 5 to 7.

    Args:
        model: any model.
        start: noise of one datum, one row per level (see `noise_at`), at which levels are held; None: drawn.
        num: pictures on a panel's side.
        seed: of all that is drawn.
        span: how far a sweep goes to either side, in standard deviations of the prior.
        others: "hold" the other levels at `start`, or draw them at "random" for each picture, as the paper's MNIST
            figure does; a level that is not swept then shows plain samples.

    Raises:
        ValueError: if `start` does not fit the model, `num` is below 1 or `others` is unknown.
    """
    shown = _levels_with_code(model)
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
        start: as for `levels`.
        num: as for `levels`.
        seed: as for `levels`.
        span: as for `levels`.
        others: as for `levels`.

    Raises:
        ValueError: as `levels` does.
    """
    if others not in get_args(Others):
        raise ValueError(f"others is {others!r}; choose one of {', '.join(get_args(Others))}")
    _check_number("num", num, 1)
    generator = torch.Generator().manual_seed(seed)
    held = _held(model, start, num * num, generator)
    changed = []
    for level in _levels_with_code(model):
        fresh, size = model.draw_noise(num * num, generator), model.code_sizes[level - 1]
        varied = sweep(num, span, size) if size <= 2 else fresh[level - 1]
        changed.append(_with_level(fresh if others == "random" else held, level, varied))
    return [grid(tiles, num) for tiles in _drawn(model, *changed)]


def samples(model: LatentModel, *, num: int = 64, seed: int = 0) -> Picture:
    """Pictures of codes drawn from the prior, in a grid as square as can be.

    Raises:
        ValueError: if `num` is below 1.
    """
    _check_number("num", num, 1)
    noise = model.draw_noise(num, torch.Generator().manual_seed(seed))
    return grid(_drawn(model, noise)[0], ceil(sqrt(num)))


def reconstructions(model: LatentModel, x: Float[Tensor, "n *shape"], *, num: int = 32) -> Picture:
    """The first `num` data, each above its reconstruction from the posterior means; fewer if `x` has fewer.

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
    """What each dimension does: a row per dimension of every code, in which it alone goes from -span to span.

    Args:
        model: any model.
        start: noise of one datum, one row per level (see `noise_at`), at which all else is held; None: drawn.
        seed: of the draw.
        steps: pictures in a row.
        span: how far a row goes to either side, in standard deviations of the prior.
        max_rows: how many dimensions of each level to show at most, first ones first; None: all.

    Raises:
        ValueError: if `start` does not fit the model, `steps` is below 2 or `max_rows` below 1.
    """
    _check_number("steps", steps, 2)
    if max_rows is not None:
        _check_number("max_rows", max_rows, 1)
    held = _held(model, start, steps, torch.Generator().manual_seed(seed))
    rows = [(level, d) for level in _levels_with_code(model) for d in range(model.code_sizes[level - 1])[:max_rows]]
    noises = []
    for level, dimension in rows:
        varied = held[level - 1].clone()
        varied[:, dimension] = torch.linspace(-span, span, steps)
        noises.append(_with_level(held, level, varied))
    drawn = dict(zip(rows, (grid(tiles, steps) for tiles in _drawn(model, *noises)), strict=True))
    cells: list[Picture] = []
    for level, of_level in groupby(rows, key=lambda row: row[0]):
        cells += [blank(_WIDE_GAP - 2 * GAP, 1)] * 2 if cells else []
        cells += [cell for row in of_level for cell in (text(f" level {level}, dim {row[1] + 1} "), drawn[row])]
    return grid(cells, 2)


def mix(model: LatentModel, x: Float[Tensor, "n *shape"], *, num: int = 8) -> Picture:
    """Hybrids of pairs of data: levels 1 … k of A under levels k+1 … L of B, k falling from left to right.

    A row per pair: A itself, the hybrids, B itself. A and B are x[0] and x[1], x[2] and x[3], and so on.

    Args:
        model: any model.
        x: the data, an even number; the last of an odd number is left out.
        num: pairs to show at most.

    Raises:
        ValueError: if `x` is not of the model's shape or holds fewer than two data, or `num` is below 1.
    """
    _check_number("num", num, 1)
    _check_data(model, x, 2)
    a, b = (x[first : len(x) - len(x) % 2 : 2][:num] for first in (0, 1))
    noise_a, noise_b = noise_at(model, a), noise_at(model, b)
    splits = _levels_with_code(model)[-2::-1]
    hybrids = [_decoded(model, (*noise_a[:k], *noise_b[k:])) for k in splits]
    titles = ["A", *(f"levels 1-{k}\nof A" if k > 1 else "level 1\nof A" for k in splits), "B"]
    rows = zip(*_pictures(model, a, *hybrids, b, least=2 * TILE), strict=True)
    return grid([*map(text, titles), *(tile for row in rows for tile in row)], len(titles), 2 * GAP)


def rows(model: LatentModel, titled: Sequence[tuple[str, Tensor]]) -> Picture:
    """Rows of data, each behind its title, colours alike over all.

    Raises:
        ValueError: if there is no row, or data are not of the model's shape.
    """
    if not titled:
        raise ValueError("there is no row to draw; give at least one")
    drawn = _pictures(model, *(values for _, values in titled))
    pairs = zip(titled, drawn, strict=True)
    return grid([cell for (title, _), tiles in pairs for cell in (text(f" {title} "), grid(tiles, len(tiles)))], 2)


def progress(history: Mapping[str, Sequence[float | None]]) -> Picture:
    """Training curves: the distortion on the left, the rate of every level on the right, both in nats.

    Args:
        history: columns of one length: "step", "distortion", "rate_1", "rate_2", …; and, if there, "fade_1", "fade_2",
            …, where a dashed line marks the step at which a level is fully grown, and "test_distortion",
            "test_rate_1", …, drawn with dots. A None or NaN is a value not measured at that step.

    Raises:
        ValueError: if a column is missing or they differ in length.
    """
    from matplotlib.figure import Figure

    columns = {name: np.array(values, dtype=float) for name, values in history.items()}
    absent = [name for name in ("step", "distortion", "rate_1") if name not in columns]
    if absent:
        raise ValueError(f"the history has no column {', '.join(absent)}; it has {', '.join(columns) or 'none'}")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the history's columns differ in length: {lengths}; give each one value per step")
    rates = [name for name in columns if name.startswith("rate_")]
    grown = {name: columns[fade] >= 1 for name in rates if (fade := name.replace("rate", "fade")) in columns}
    grown_at = {name: columns["step"][g.argmax()] for name, g in grown.items() if g.any() and not g[0]}

    figure = Figure(figsize=(11, 4), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    curves = [(left, "distortion", "training", "black")]
    curves += [(right, name, name.replace("rate_", "level "), f"C{i % 10}") for i, name in enumerate(rates)]
    for axes, name, label, color in curves:
        axes.plot(columns["step"], columns[name], color=color, label=label, linewidth=1.2)
        if f"test_{name}" in columns:
            there = np.isfinite(columns[f"test_{name}"])
            test = (columns["step"][there], columns[f"test_{name}"][there])
            axes.plot(*test, "o:", color=color, markersize=4, label=f"{label}, test".removeprefix("training, "))
        if name in grown_at:
            axes.axvline(grown_at[name], color=color, linestyle="--", linewidth=1)
    # The first steps' distortion is many times the rest; the axis ends where nearly all of the curve fits.
    finite = columns["distortion"][np.isfinite(columns["distortion"])]
    if len(finite) > 20 and (high := np.quantile(finite, 0.97)) > (low := finite.min()):
        left.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    dashed = " (dashed: fully grown)" if grown_at else ""
    for axes, title in ((left, "distortion"), (right, f"rate of each level{dashed}")):
        axes.set(title=title, xlabel="step", ylabel="nats per datum")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return rendered(figure)


KINDS: Mapping[str, Callable[..., Picture]] = MappingProxyType(
    {figure.__name__: figure for figure in (levels, samples, reconstructions, traversal, mix, progress)}
)
"""Every kind of figure by its name."""


def noise_at(model: LatentModel, x: Float[Tensor, "n *shape"]) -> Codes:
    """The noise of data at their posterior means, one row per datum: a `start` to hold, or parts to mix.

    Raises:
        ValueError: if `x` is not of the model's shape.
    """
    _check_data(model, x, 1)
    with drawing(model):
        parts = [model.noise_of(tuple(q.mean for q in model.infer(p.to(model.device)))) for p in torch.split(x, _BATCH)]
        return tuple(torch.cat(level) for level in zip(*parts, strict=True))


def to_pictures(
    values: Float[Tensor, "n *shape"],
    shape: Shape,
    mean: Tensor | float | None = None,
    stddev: Tensor | float | None = None,
) -> Pictures:
    """Data or a model's means as colours, one small picture each.

    Images in [0, 1]: 1 channel is grey; 2 are grey and opacity, 4 are colour and opacity, both laid on white; of more
    channels the first three are shown. Vectors become a map of cells, in reading order, as square as can be, from blue
    (2 standard deviations below the mean) over grey to red (2 above).

    Args:
        values: the data.
        shape: of one datum.
        mean: by which vectors are standardised, one number or one per dimension; None: that of these values.
        stddev: likewise.

    Raises:
        ValueError: if `values` are not of this shape.
    """
    if tuple(values.shape[1:]) != tuple(shape):
        raise ValueError(f"the values have shape {tuple(values.shape)}; expected (n, {', '.join(map(str, shape))})")
    values = values.detach().float().cpu()
    if len(shape) == 1:
        centre = values.mean(0) if mean is None else torch.as_tensor(mean).cpu()
        spread = values.std(0, correction=0) if stddev is None else torch.as_tensor(stddev).cpu()
        return _cells((values - centre) / spread.clamp_min(1e-12))
    if shape[0] in (2, 4):
        opacity = values[:, -1:].clamp(0, 1)
        values = values[:, :-1] * opacity + (1 - opacity)
    colours = values.expand(-1, 3, -1, -1) if values.shape[1] == 1 else values[:, :3]
    return _bytes(colours.permute(0, 2, 3, 1).numpy() * 255)


def _cells(standardised: Float[Tensor, "n cells"]) -> Pictures:
    t = (standardised / 2).clamp(-1, 1).numpy()[..., None]
    colours = _GREY + np.maximum(t, 0) * (_RED - _GREY) + np.maximum(-t, 0) * (_BLUE - _GREY)
    num, cells = standardised.shape
    width = ceil(sqrt(cells))
    height = ceil(cells / width)
    folded = np.full((num, height * width, 3), 255.0)
    folded[:, :cells] = colours
    return _bytes(folded.reshape(num, height, width, 3))


def _bytes(colours: np.ndarray) -> Pictures:
    return colours.clip(0, 255).round().astype(np.uint8)


@contextmanager
def drawing(model: LatentModel) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module is in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _decoded(model: LatentModel, noise: Codes) -> Float[Tensor, "n *shape"]:
    """What the model makes of noise, a batch at a time."""
    with drawing(model):
        batches = zip(*(torch.split(level.to(model.device), _BATCH) for level in noise), strict=True)
        return torch.cat([model.generate(model.place(batch)).mean.cpu() for batch in batches])


def _pictures(model: LatentModel, *parts: Tensor, least: int = TILE) -> list[Pictures]:
    """Each part as pictures at least `least` wide or high, colours alike over all parts."""
    small = to_pictures(torch.cat([part.cpu() for part in parts]), model.shape)
    factor = ceil(least / max(small.shape[1:3]))
    large = iter(small.repeat(factor, axis=1).repeat(factor, axis=2))
    return [np.stack(list(islice(large, len(part)))) for part in parts]


def _drawn(model: LatentModel, *noises: Codes) -> list[Pictures]:
    return _pictures(model, *(_decoded(model, noise) for noise in noises))


def _held(
    model: LatentModel, start: Codes | None, num: int, generator: torch.Generator
) -> tuple[Float[Tensor, "num _"], ...]:
    """`num` rows of the one held noise."""
    start = model.draw_noise(1, generator) if start is None else start
    given, wanted = [tuple(level.shape) for level in start], [(1, size) for size in model.code_sizes]
    if given != wanted:
        raise ValueError(f"start has levels of shapes {given}; give one datum's noise (noise_at), of shapes {wanted}")
    return tuple(level.to(model.device).expand(num, -1) for level in start)


def _with_level(noise: Codes, level: int, varied: Tensor) -> Codes:
    return (*noise[: level - 1], varied, *noise[level:])


def _levels_with_code(model: LatentModel) -> list[int]:
    return [level for level, size in enumerate(model.code_sizes, start=1) if size]


def sweep(num: int, span: float, size: int) -> Float[Tensor, "n size"]:
    """A regular sweep, from -span to span, of a code of one or two dimensions; `num` × `num` rows.

    They are in reading order; of two dimensions the first grows rightwards, the second upwards.

    Args:
        num: rows of codes on a side.
        span: in standard deviations of the prior.
        size: of the code, 1 or 2.
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
