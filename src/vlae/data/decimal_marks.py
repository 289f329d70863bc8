"""Which mark of a text file is decimal, a comma or a dot: one for the whole file, where commas do not separate."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from vlae.data.source import Array, says_nothing

_FORM = r"[-+]?(?:[1-9]\d{{0,2}}([{0}' ])\d{{3}}(?:\1\d{{3}})*(?:[{1}]\d*)?|(?:\d+[{1}]?\d*|[{1}]\d+)(?:e[-+]?\d+)?)"
WITH_DOT = re.compile(_FORM.format(",", "."), re.IGNORECASE)
"""A number with a decimal dot, in which a comma may set thousands apart, as a regular expression."""
WITH_COMMA = re.compile(_FORM.format(".", ","), re.IGNORECASE)
"""A number with a decimal comma, in which a dot may set thousands apart."""


def decimal_mark(
    columns: Mapping[str, Sequence[str]],
    floats: Mapping[str, Array],
    texts_of: Callable[[list[str]], Mapping[str, Sequence[str]]],
    known: str | None,
) -> tuple[str | None, Mapping[str, Sequence[str]], dict[str, str]]:
    """Find the decimal mark of a file: that of the numbers which can be read in one way only, such as 0,5 or 12.34.

    Args:
        columns: the texts of the columns that were not read as numbers.
        floats: the columns that were read as numbers with a dot, float64, NaN where one is missing.
        texts_of: gives the texts of some of `floats`, by their names. They are read again only if they can decide.
        known: the mark if the file does not tell.

    Returns:
        The mark, "," or "."; None if both are used, or nothing tells. The texts of columns of `floats` if they were
        read. And, if nothing tells, a number that could be read in another way, by the name of its column.
    """
    numbers = {name: texts for name, column in columns.items() if (texts := _numbers(column))}
    commas = {name: text for name, texts in numbers.items() for text in texts if "," in text}
    seen = {mark for texts in numbers.values() for mark in _told(texts)}
    seen |= {"." for column in floats.values() if not _may_be_thousands(column)}
    read: Mapping[str, Sequence[str]] = {}
    if "." not in seen:
        all_count = bool(commas) or known == ","
        chosen = [name for name, column in floats.items() if all_count or len(_fractions(column))]
        read = texts_of(chosen) if chosen else {}
        seen |= {mark for texts in read.values() for mark in _told(_numbers(texts) or texts)}
    if seen:
        return (seen.pop() if len(seen) == 1 else None), read, {}
    dots = {name: text for name, texts in read.items() for text in texts if "." in text}
    return known, read, {} if known else commas | dots


def _numbers(texts: Iterable[str]) -> list[str] | None:
    """The numbers of a column of numbers, in which some other text is missing or a mistake; None if it is another."""
    given = [text for text in texts if not says_nothing(text)]
    numbers = [text for text in given if WITH_DOT.fullmatch(text) or WITH_COMMA.fullmatch(text)]
    return numbers if numbers and len(numbers) >= 0.9 * len(given) else None


def _told(numbers: Iterable[str]) -> set[str]:
    """The marks that must be decimal in some numbers."""
    ways = {(bool(WITH_COMMA.fullmatch(text)), bool(WITH_DOT.fullmatch(text))) for text in numbers}
    return {mark for mark, way in ((",", (True, False)), (".", (False, True))) if way in ways}


def _fractions(column: Array) -> Array:
    """The numbers that are not whole."""
    finite = column[np.isfinite(column)]
    return finite[finite % 1 > 0]


def _may_be_thousands(column: Array) -> bool:
    """Whether the dots in numbers can set thousands apart: three digits follow each, and no 0 stands before it."""
    parts = np.abs(_fractions(column))
    thousandths = parts * 1000
    return bool(((parts >= 1) & (parts < 1000) & (np.abs(thousandths - np.rint(thousandths)) < 1e-6)).all())
