"""Why a datum was found: the dimension of its code that says most of it, in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlae.codes.outliers import standardised
from vlae.evaluation.dimension_names import DimensionName
from vlae.models.base import Codes
from vlae.web.encoding import Encoding
from vlae.web.locked import locked_property
from vlae.web.studio import Studio

MIDDLE = 0.5
"""Standard deviations from the mean up to which a datum is in the middle of a dimension."""

UNUSUAL = 1.5
"""Standard deviations from the mean from which a datum is unusual."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a datum was found by one level: the one dimension that says most of it.

    Attributes:
        level: the number of the level.
        dimension: the number of the dimension in its code, from 0.
        words: what is seen there.
        detail: by how much.
        strength: how far this is from the mean, in standard deviations of the collection.
    """

    level: int
    dimension: int
    words: str
    detail: str
    strength: float


class Reasons:
    """Says why data are near or odd. Threads can share it.

    Args:
        studio: the model.
        encoding: the codes of the data.
    """

    def __init__(self, studio: Studio, encoding: Encoding) -> None:
        self._studio, self._encoding = studio, encoding

    @locked_property
    def names(self) -> dict[int, list[DimensionName]]:
        """For each level that has a code, what each of its dimensions does, in words."""
        return self._studio.run.dimension_names

    def near(self, noise: Codes, numbers: Sequence[int], levels: Sequence[int]) -> list[list[Reason]]:
        """Say what data share with one that is asked about, and few others do.

        Args:
            noise: the noise of the datum that is asked about, float32 (1, code size) per level.
            numbers: the numbers of the data that were found.
            levels: the level numbers, level 1 nearest the pixels.

        Returns:
            For each datum, one reason by each level, the strongest first: the dimension in which both are far from the
            mean of the collection, on the same side.

        Raises:
            ValueError: if there is no such level.
        """
        by_level = [self._near(noise, numbers, level) for level in sorted(set(levels))]
        return [sorted(reasons, key=lambda reason: -reason.strength) for reasons in zip(*by_level, strict=True)]

    def _near(self, noise: Codes, numbers: Sequence[int], level: int) -> list[Reason]:
        self._studio.size_of(level)
        if not len(numbers):
            return []
        codes = self._encoding.noise[level - 1]
        mean, stddev = codes.mean(0, dtype=np.float64), np.maximum(codes.std(0, dtype=np.float64), 1e-6)
        asked = (noise[level - 1][0].numpy() - mean) / stddev
        found = (codes[np.asarray(numbers, np.int64)] - mean) / stddev
        shared = np.where(asked * found > 0, np.minimum(np.abs(asked), np.abs(found)), 0.0)
        reasons = []
        for i, dimension in enumerate(shared.argmax(1).tolist()):
            strength, value = float(shared[i, dimension]), float(found[i, dimension])
            words = f"both {self._side(level, dimension, value)}"
            if strength < MIDDLE:
                words = "both ordinary, near the mean in every dimension"
            detail = f"{asked[dimension]:+.1f} and {value:+.1f} standard deviations from the mean"
            reasons.append(Reason(level=level, dimension=dimension, words=words, detail=detail, strength=strength))
        return reasons

    def odd(self, numbers: Sequence[int], level: int) -> list[Reason]:
        """Say what is odd about data by one level: a rare number in a code, or one that the model cannot draw.

        Args:
            numbers: the numbers of the data.
            level: the number of the level, 1 nearest the pixels.

        Raises:
            ValueError: if there is no such level.
        """
        self._studio.size_of(level)
        chosen = np.asarray(numbers, np.int64)
        rare = standardised(self._encoding.noise[level - 1])[chosen]
        lost = standardised(self._encoding.change[level - 1])[chosen]
        reasons = []
        for row, changed in zip(rare, lost, strict=True):
            is_rare = np.abs(row).max() >= np.abs(changed).max()
            values, what = (row, "") if is_rare else (changed, "its reconstruction is ")
            where = "from the mean" if is_rare else "beyond the usual change"
            dimension = int(np.abs(values).argmax())
            value = float(values[dimension])
            words, strength = f"{what}{self._side(level, dimension, value)}", abs(value)
            if strength < UNUSUAL:
                words = f"nothing unusual; most of all {words}"
            detail = f"{strength:.1f} standard deviations {where}"
            reasons.append(Reason(level=level, dimension=dimension, words=words, detail=detail, strength=strength))
        return reasons

    def _side(self, level: int, dimension: int, value: float) -> str:
        """The end of a dimension in words: "darker"; or "at its high end" without a word, or until there are names."""
        names: dict[int, list[DimensionName]] | None = self.__dict__.get("names")  # nobody waits for them here
        named = names[level][dimension].side(value) if names else ""
        return named or f"at its {'high' if value > 0 else 'low'} end"
