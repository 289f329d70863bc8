"""Dimensions named by what they do: how data change from the low end of a dimension to its high end, in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import hypot

import numpy as np
import torch
from jaxtyping import Float
from torch.nn.functional import adaptive_avg_pool2d

from vlae.evaluation.appearance import WORDS, appearance, hue_of
from vlae.evaluation.columns import units_of
from vlae.models.base import Codes, LatentModel
from vlae.models.inference import as_input, evaluating, noise_of_values
from vlae.models.priors import MixturePrior, standard_prior
from vlae.shapes import is_image

VERSION = 2
"""Of the method: raise it if the same model gets other names."""

SPAN = 2.0
"""How far the ends are from the mean of a dimension, in standard deviations: as far as a traversal goes."""

NUM = 8
"""How many drawn data each dimension is tried on."""

NAMED = 0.4
"""Change from end to end, in standard deviations of the data, from which it is named."""

SURE = 2.0
"""Standard errors by which a change must differ from 0."""

BESIDE = 0.6
"""A second change is named too if it is at least this share of the largest."""

SEEN = 0.01
"""Squared change of pictures, in times of that between two pictures, below which a dimension changes next to nothing.

So it does to vectors if no column changes by enough to be named."""

ROUNDING = 1e-6
"""Spread of pictures, and of columns of drawn data in times of their largest value, up to which it is rounding."""

BATCH = 64
GRID = 4
HUE = ("redness", "yellowness")  # one quantity together


@dataclass(frozen=True, kw_only=True)
class DimensionName:
    """What one dimension of a code does, in words.

    Attributes:
        level: number of the level; 1 is nearest the pixels.
        dimension: number of the dimension in the level's code, from 0.
        low: what data are at its low end, compared with its high end, such as "darker"; "" if there is no word.
        high: what data are at its high end, such as "lighter"; "" if there is no word.
        change: mean squared difference between the data of the two ends, in times of that between two data: about 0 if
            the dimension changes nothing. Of vectors, each column is in its standard deviation.
        coarse: how much of that is in large parts: the share that is left in a 4 × 4 grid of means, in [0, 1]; 1 of
            vectors.
        effects: how far each measured quantity grows from the low end to the high end, in standard deviations of the
            data; only changes that are sure. Of images the quantities of `vlae.evaluation.appearance.appearance`; of
            vectors the columns, by name.
    """

    level: int
    dimension: int
    low: str
    high: str
    change: float
    coarse: float = 1.0
    effects: Mapping[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Both ends, such as "darker ↔ lighter"; or that nothing changes, or that there is no word for the change."""
        if self.low and self.high:
            return f"{self.low} ↔ {self.high}"
        if self.high:
            return self.high
        return "changes next to nothing" if self.change < SEEN else "no word for it"

    @property
    def large(self) -> list[str]:
        """The quantities that it changes by enough to be named."""
        hue = hypot(*(self.effects.get(part, 0.0) for part in HUE))
        return [name for name, effect in self.effects.items() if (hue if name in HUE else abs(effect)) >= NAMED]

    def side(self, value: float) -> str:
        """The words for a datum whose code has this value: of the low end, or of the high end.

        Args:
            value: of the code's noise in this dimension, less its mean.
        """
        return self.high if value > 0 else self.low


def dimension_names(
    model: LatentModel,
    values: np.ndarray,
    *,
    prior: MixturePrior | None = None,
    num: int = NUM,
    seed: int = 0,
) -> dict[int, list[DimensionName]]:
    """Names each dimension of every code by what data become as it goes from its low end to its high end.

    Data are drawn from the prior. Each dimension is set to 2 standard deviations below its mean and above it; all else
    is kept. The largest change from end to end gives the name, and the second too if it is nearly as large. A change is
    named if it is at least 0.4 standard deviations of the data, and 2 standard errors. Of images the changes are
    those of `vlae.evaluation.appearance.appearance`, if the pictures differ by 1 % or more of what two pictures do. Of
    vectors they are those of the columns, in any units. A value of a category is named by its class, if the model knows
    its classes.

    Nothing is encoded, so a model needs no encoder, and no features. It takes two pictures a dimension for each of
    `num` drawn data.

    Args:
        model: any model, in train or eval mode; it is left as it was.
        values: data of the model's shape whose spread is the unit of all changes: uint8 (N, C, H, W), or float32
            (N, D), such as a run's examples. With fewer than two, it is the spread of the data that are drawn.
        prior: of the codes; None: N(0, I).
        num: how many data are drawn, from 2 up.
        seed: of the draw.

    Returns:
        For each level that has a code, by its number, the names of its dimensions in their order.
    """
    prior = prior or standard_prior(model.code_sizes)
    base = prior.draw(num, torch.Generator().manual_seed(seed))
    with evaluating(model):
        drawn = _decoded(model, base)
        data = values if len(values) > 1 else drawn
        images = is_image(model.shape)
        unit = np.ones(1) if images else units_of(_floats(data))
        if data is drawn and not images:  # less is rounding
            unit = np.where(unit > ROUNDING * np.abs(_floats(data)).max(0), unit, np.inf)
        spreads = _spreads(model, data, unit)
        pairs = max(2 * float((_floats(data) / unit).var(0, ddof=1).mean()), 1e-12)
        names: dict[int, list[DimensionName]] = {}
        for level in model.levels_with_code:
            if noise_of_values(model, level) is not None:
                names[level] = _classes(model, level)
                continue
            mean, stddev = prior.level_moments(level)
            names[level] = []
            for dimension in range(model.code_sizes[level - 1]):
                codes = [base[level - 1].clone() for _ in range(2)]
                for code, sign in zip(codes, (-SPAN, SPAN), strict=True):
                    code[:, dimension] = mean[0, dimension] + sign * stddev[0, dimension]
                before, after = (_decoded(model, (*base[: level - 1], code, *base[level:])) for code in codes)
                effects = _effects(model, before, after, spreads)
                difference = (_floats(after) - _floats(before)) / unit
                change = float(np.square(difference).mean()) / pairs
                low, high, _ = _words(model, effects if change >= SEEN or not images else {})
                names[level].append(
                    DimensionName(
                        level=level,
                        dimension=dimension,
                        low=low,
                        high=high,
                        change=change,
                        coarse=_coarse(difference),
                        effects=effects,
                    )
                )
    return names


def ends_in_data(
    model: LatentModel, values: np.ndarray, codes: Float[np.ndarray, " n"], name: DimensionName
) -> tuple[str, str, float]:
    """The words that hold for data at the ends of a dimension too: what it changes, and what goes with it in the data.

    Args:
        model: any model.
        values: data of the model's shape, uint8 (N, C, H, W) or float32 (N, D).
        codes: their codes, or the noise of these, in this dimension.
        name: of the dimension.

    Returns:
        Words for the low end and for the high end, and how strongly these go with the code: a correlation in [0, 1].
        Without data that differ, or words that hold, they are "", "" and 0.
    """
    if len(values) < 2 or np.ptp(codes) == 0:
        return "", "", 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            quantity: float(np.corrcoef(value, codes)[0, 1]) for quantity, value in _measured(model, values).items()
        }
    alike = {
        quantity: found[quantity]
        for quantity in name.large
        if np.isfinite(found.get(quantity, np.nan))
        and (quantity in HUE or found[quantity] * name.effects[quantity] > 0)
    }
    if sum(alike.get(part, 0.0) * name.effects.get(part, 0.0) for part in HUE) <= 0:
        alike = {quantity: value for quantity, value in alike.items() if quantity not in HUE}
    low, high, strength = _words(model, alike)
    return low, high, min(1.0, strength)


def _classes(model: LatentModel, level: int) -> list[DimensionName]:
    """The values of a category, each named by its class if it has one."""
    size = model.code_sizes[level - 1]
    known = model.class_names if level == model.num_levels and len(model.class_names) == size else ("",) * size
    return [
        DimensionName(level=level, dimension=value, low="", high=name, change=1.0) for value, name in enumerate(known)
    ]


def _measured(model: LatentModel, data: np.ndarray) -> dict[str, Float[np.ndarray, " n"]]:
    if is_image(model.shape):
        return appearance(data, opacity=model.opacity)
    names = model.columns or [f"column {number}" for number in range(1, data.shape[1] + 1)]
    return dict(zip(names, data.T, strict=True))


def _spreads(model: LatentModel, data: np.ndarray, unit: Float[np.ndarray, " columns"]) -> dict[str, float]:
    """The standard deviation of each quantity, of a column its unit; infinite if it does not vary.

    Redness and yellowness have one unit, so that they make a direction.
    """
    measured = _measured(model, data)
    if not is_image(model.shape):
        return dict(zip(measured, unit.tolist(), strict=True))
    spreads = {name: float(np.std(value, dtype=np.float64)) for name, value in measured.items()}
    if "redness" in spreads:
        spreads |= dict.fromkeys(HUE, float(np.hypot(spreads["redness"], spreads["yellowness"]) / np.sqrt(2)))
    return {name: spread if spread > ROUNDING else np.inf for name, spread in spreads.items()}  # less is rounding


def _effects(model: LatentModel, low: np.ndarray, high: np.ndarray, spreads: Mapping[str, float]) -> dict[str, float]:
    """The mean change of each quantity from end to end, in its spread; only those that are sure."""
    before, after = _measured(model, low), _measured(model, high)
    effects, sure = {}, set()
    for name, spread in spreads.items():
        grown = (after[name].astype(np.float64) - before[name]) / spread
        effects[name], error = float(grown.mean()), float(grown.std(ddof=1)) / len(grown) ** 0.5
        if np.isfinite(effects[name]) and abs(effects[name]) >= SURE * error and effects[name]:
            sure |= set(HUE) if name in HUE else {name}
    return {name: effect for name, effect in effects.items() if name in sure}


def _words(model: LatentModel, effects: Mapping[str, float]) -> tuple[str, str, float]:
    """The words for the low end and for the high end, of one or two changes, and the larger change."""
    named: list[tuple[float, str, str]] = []
    for name, effect in effects.items():
        if name in HUE:
            continue  # one change together, below
        less, more = WORDS[name] if is_image(model.shape) else (f"less {name}", f"more {name}")
        named.append((abs(effect), less, more) if effect > 0 else (abs(effect), more, less))
    if any(part in effects for part in HUE):
        red, yellow = (effects.get(part, 0.0) for part in HUE)
        named.append((hypot(red, yellow), hue_of(-red, -yellow), hue_of(red, yellow)))
    named = sorted((one for one in named if one[0] >= NAMED), reverse=True)[:2]
    kept = [one for one in named if one[0] >= BESIDE * named[0][0]]
    return ", ".join(low for _, low, _ in kept), ", ".join(high for _, _, high in kept), kept[0][0] if kept else 0.0


def _coarse(difference: np.ndarray) -> float:
    """The share of a change of images that is left in a 4 × 4 grid of means; 1 of vectors, and of no change."""
    whole = float(np.square(difference).mean())
    if difference.ndim == 2 or not whole:
        return 1.0
    grid = adaptive_avg_pool2d(torch.from_numpy(difference), GRID)
    return min(1.0, float(grid.square().mean()) / whole)


def _floats(data: np.ndarray) -> Float[np.ndarray, "n *shape"]:
    return as_input(data).numpy().astype(np.float64)


def _decoded(model: LatentModel, noise: Codes) -> np.ndarray:
    batches = zip(*(torch.split(level.to(model.device), BATCH) for level in noise), strict=True)
    decoded = np.concatenate([model.decode(model.place(batch)).cpu().numpy() for batch in batches])
    return decoded.clip(0, 1) if is_image(model.shape) else decoded
