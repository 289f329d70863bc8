"""What a model is judged by: how many data, and which factors of them, each read as what it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from vlae.data.images import Images
from vlae.errors import NotDefinedError
from vlae.evaluation.statistics import statistics

MAX_IMAGES = 5_000
MIN_PROBED = 60  # data; with fewer, the score of a probe is too uncertain
MAX_CLASSES = 50  # integers of more values are numbers, unless they are labels
MIN_OF_CLASS = 5  # rows; a class of fewer is not asked for
ANGLES = frozenset({"angle", "azimuth", "hue", "orientation", "rotation", "heading", "bearing"})

Kind = Literal["class", "yes or no", "angle", "number"]

SCORED_BY: Mapping[Kind, str] = {
    "class": "balanced accuracy above chance",
    "yes or no": "2 AUC - 1",
    "angle": "R² of sine and cosine",
    "number": "R²",
}
"""The score of each kind of factor: at most 1, and about 0 for a guess."""


@dataclass(frozen=True)
class Factor:
    """A factor of N data, ready for probes.

    Attributes:
        kind: "class", "yes or no", "angle" or "number".
        known: where its value is known, (N,). Rows of a class with fewer than 5 rows count as not known.
        columns: what a probe predicts, 0 where it is not known, (N, columns). A number is standardised; an angle is its
            cosine and sine, of mean 0 and common variance 1; yes or no has one column and a class one per class, each
            standardised.
        kinds: the class of each row as 0, 1, …, (N,), -1 where it is not known; None of numbers and angles.
        values: a number or an angle in its own unit, (N,), 0 where it is not known; None of classes.
    """

    kind: Kind
    known: Bool[np.ndarray, " n"]
    columns: Float[np.ndarray, "n columns"]
    kinds: Int[np.ndarray, " n"] | None = None
    values: Float[np.ndarray, " n"] | None = None

    @property
    def as_given(self) -> Int[np.ndarray, " n"] | Float[np.ndarray, " n"]:
        """The classes as whole numbers, or the values of numbers and angles, (N,)."""
        one = self.values if self.kinds is None else self.kinds
        assert one is not None
        return one


def subset(images: Images, seed: int = 0, num: int = MAX_IMAGES) -> Images:
    """At most `num` images, chosen at random, in their original order.

    Args:
        images: the images or vectors to choose from.
        seed: of the choice.
        num: how many at most, from 1 up.
    """
    if len(images) <= num:
        return images
    return images.take(np.sort(np.random.default_rng(seed).permutation(len(images))[:num]))


def factors_of(images: Images) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The statistics of images, and the factors by which a model is judged, as they are.

    A model is judged by the true factors of the images if they are known, else by the statistics. The label is one
    more factor, unless it equals one of these, which may also hold the names of the classes, wherever both are known:
    then the one that is known of more data counts. A table (N, K) is K factors, unless each row has a single 1 among
    zeros: then it is a class.

    Args:
        images: any images or vectors; vectors have no statistics.

    Returns:
        Statistics and factors, each (N,) by name.

    Raises:
        ValueError: if a factor has not one value, or one row of values, a datum.
    """
    simple = {} if images.is_vectors else statistics(np.asarray(images.values), opacity=images.value_range is None)
    known: dict[str, np.ndarray] = {}
    for name, values in images.factors.items():
        known |= _columns_of(name, np.asarray(values), len(images))
    known = known or dict(simple)
    if images.labels is not None:
        labels = _label(images)
        equal = _equal_to(images, labels, known)
        if not any(equal.values()):  # none is known of as many data
            known = {name: values for name, values in known.items() if name not in equal} | {"label": labels}
    return simple, known


def factors_to_predict(
    factors: Mapping[str, np.ndarray], *, classes: tuple[str, ...] = ("label",)
) -> tuple[dict[str, Factor], dict[str, str]]:
    """The factors that can be predicted, each as what it is, and the reason why each of the others cannot.

    - Text, truth values, and whole numbers of up to 50 values, each of five data or more on average, are classes; of
      two values they are yes or no. So are floats of two values. Whole numbers may be stored as floats: a table with
      gaps has no integers.
    - A number with one of these words in its name is an angle: angle, azimuth, hue, orientation, rotation, heading,
      bearing. It is in radians if it lies between -2π and 2π, else in degrees; a hue between 0 and 1 is in turns.
    - All others are numbers.

    A value is missing if it is None, empty text, or not finite; of labels also if it is negative.

    Args:
        factors: values by name, (N,) each.
        classes: names of factors that are classes whatever their number.
    """
    found: dict[str, Factor] = {}
    left_out: dict[str, str] = {}
    for name, values in factors.items():
        try:
            found[name] = read_factor(name, values, is_label=name in classes)
        except NotDefinedError as reason:
            left_out[name] = str(reason)
    return found, left_out


def read_factor(name: str, values: np.ndarray, *, is_label: bool = False) -> Factor:
    """A factor as what it is; `factors_to_predict` says how that is told.

    Args:
        name: of the factor.
        values: (N,), of any type.
        is_label: whether it is a class whatever the number of its values; then negative integers are missing.

    Raises:
        NotDefinedError: if it is not known of any datum, or is the same in all of which it is known.
    """
    values, known = present(np.asarray(values))
    if is_label and values.dtype.kind in "if":
        known = known & (values >= 0)
    if not known.any():
        raise NotDefinedError("it is not known of any of the data")
    distinct = np.unique(values[known])
    if len(distinct) < 2:
        raise NotDefinedError("it is the same in all the data")
    if is_label or _is_class(values, distinct, known):
        return _class(values, known)
    values = np.where(known, values, 0).astype(float)
    period = _period(name, values[known])
    if period is not None:
        turned = values * (2 * np.pi / period)
        block = np.where(known[:, None], np.stack([np.cos(turned), np.sin(turned)], 1), 0.0)
        block = (block - block[known].mean(0)) * known[:, None]
        block = block / max(np.sqrt((block[known] ** 2).sum(1).mean()), 1e-12)
        return Factor("angle", known, block, values=values)
    return Factor("number", known, _standardised(values[:, None], known), values=values)


def present(values: np.ndarray) -> tuple[np.ndarray, Bool[np.ndarray, " n"]]:
    """The values of a factor as numbers or text, and where there is one; a missing one becomes 0, or empty text.

    Args:
        values: (N,); objects may be numbers, truth values, text and None.
    """
    if values.dtype.kind in "biu":
        return values, np.ones(len(values), bool)
    if values.dtype.kind == "O":
        known = np.array([value is not None and value == value and value != "" for value in values], bool)
        if any(isinstance(value, str) for value in values[known]):
            return np.array([str(value) if there else "" for value, there in zip(values, known, strict=True)]), known
        values = np.array([float(value) if there else np.nan for value, there in zip(values, known, strict=True)])
    if values.dtype.kind == "f":
        known = np.isfinite(values)
        return np.where(known, values, 0), known
    return values.astype(str), values.astype(str) != ""


def _is_class(values: np.ndarray, distinct: np.ndarray, known: np.ndarray) -> bool:
    if values.dtype.kind in "bU" or len(distinct) == 2:
        return True
    is_whole = bool((distinct == np.round(distinct)).all())
    return is_whole and len(distinct) <= min(MAX_CLASSES, known.sum() / MIN_OF_CLASS)


def _class(values: np.ndarray, known: np.ndarray) -> Factor:
    names, counts = np.unique(values[known], return_counts=True)
    asked = names[counts >= MIN_OF_CLASS]
    if len(asked) < 2:
        raise NotDefinedError(f"fewer than two of its {len(names)} classes have {MIN_OF_CLASS} data each")
    known = known & np.isin(values, asked)
    kinds = np.where(known, np.searchsorted(asked, values), -1)
    if len(asked) == 2:
        return Factor("yes or no", known, _standardised((kinds == 1)[:, None].astype(float), known), kinds)
    return Factor("class", known, _standardised((kinds[:, None] == np.arange(len(asked))).astype(float), known), kinds)


def _standardised(block: np.ndarray, known: np.ndarray) -> np.ndarray:
    mean, stddev = block[known].mean(0), block[known].std(0)
    return (block - mean) / np.maximum(stddev, 1e-12) * known[:, None]


def _period(name: str, values: np.ndarray) -> float | None:
    """The period of an angle in its own unit; None of what is no angle."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    if not words & ANGLES:
        return None
    if "hue" in words and values.min() >= 0 and values.max() <= 1:
        return 1.0
    return 2 * np.pi if np.abs(values).max() <= 2 * np.pi + 1e-3 else 360.0


def _columns_of(name: str, values: np.ndarray, num: int) -> dict[str, np.ndarray]:
    """A factor by its name; of a table (N, K) each column, or the class that each row marks."""
    if values.ndim not in (1, 2) or len(values) != num:
        what = f"{len(values):,} values" if values.ndim == 1 else f"shape {values.shape}"
        raise ValueError(f"the factor {name!r} has {what} for {num:,} data; give each datum one value")
    if values.ndim == 1:
        return {name: values}
    if (classes := class_of_marks(values)) is not None:
        return {name: classes}
    return {f"{name} {column}": values[:, column] for column in range(values.shape[1])}


def class_of_marks(table: np.ndarray) -> Int[np.ndarray, " n"] | None:
    """The class that each row of a table (N, K) marks by its single 1 among zeros; None if it is no such table.

    Args:
        table: of numbers or truth values, (N, K).
    """
    if table.dtype.kind not in "biuf" or table.shape[1] < 2 or not np.isin(table, (0, 1)).all():
        return None
    return table.argmax(1) if (table.sum(1) == 1).all() else None


def _label(images: Images) -> np.ndarray:
    labels: Any = np.asarray(images.labels)
    return next(iter(_columns_of("label", labels, len(images)).values()))


def _equal_to(images: Images, labels: np.ndarray, factors: Mapping[str, np.ndarray]) -> dict[str, bool]:
    """The factors that are the labels, or the names of their classes, and whether each is known of as many data."""
    labels, is_class = present(labels)
    if labels.dtype.kind in "if":
        is_class = is_class & (labels >= 0)
    names = labels
    if labels.dtype.kind in "iu":
        distinct, place = np.unique(labels, return_inverse=True)
        names = np.array([images.class_name(label) for label in distinct.tolist()])[place]
    equal = {}
    for name, factor in factors.items():
        values, known = present(np.asarray(factor))
        both = known & is_class
        enough = max(1, min(MIN_PROBED, known.sum(), is_class.sum()))
        if both.sum() >= enough and np.array_equal((names if values.dtype.kind == "U" else labels)[both], values[both]):
            equal[name] = bool(known.sum() >= is_class.sum())
    return equal
