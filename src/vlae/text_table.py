"""Tables of words for a terminal."""

from collections.abc import Sequence
from typing import Literal

Align = Literal["left", "right"]


def padded(rows: Sequence[Sequence[str]], *, align: Align = "left") -> list[list[str]]:
    """The cells of a table with spaces added, so that all cells of a column are equally wide.

    Args:
        rows: one or more, each with the same number of cells; the header is a row like the others.
        align: "left" adds the spaces after a cell, "right" before it.

    Raises:
        ValueError: if the rows differ in length.

    Examples:
        >>> padded([["level", "code"], ["1", "12"]])
        [['level', 'code'], ['1    ', '12  ']]
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pad = str.ljust if align == "left" else str.rjust
    return [list(map(pad, row, widths)) for row in rows]


def columns(rows: Sequence[Sequence[str]], *, align: Align = "left") -> str:
    """A table as text: a line for each row, two spaces between columns, no space at the end of a line.

    Args:
        rows: one or more, each with the same number of cells; the header is a row like the others.
        align: "left" or "right", the side on which the cells of a column begin or end together.

    Raises:
        ValueError: if the rows differ in length.

    Examples:
        >>> print(columns([["level", "KL nats"], ["1", "26.91"]], align="right"))
        level  KL nats
            1    26.91
    """
    return "\n".join("  ".join(row).rstrip() for row in padded(rows, align=align))


def number(value: float | None, form: str) -> str:
    """A number as text, or "not defined".

    Args:
        value: the number; None if it is not defined.
        form: the format, such as ".2f".

    Examples:
        >>> number(0.256, ".2f"), number(None, ".2f")
        ('0.26', 'not defined')
    """
    return "not defined" if value is None else f"{value:{form}}"
