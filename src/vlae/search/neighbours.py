"""The images nearest to one: as a table, as words and as a figure."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import csv

from vlae.atomic import WriteError, whole
from vlae.figures import canvas
from vlae.figures.canvas import Picture
from vlae.shapes import named_levels
from vlae.text_table import columns


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The images of an index that are nearest to one by each level asked for, and by all of these together.

    Attributes:
        query: the picture asked about, as the run sees it.
        by: for each group of levels its neighbours, nearest first: an Arrow table of distance (1: as far apart as two
            images of the index are in the root mean square), name, source, label and factors where known, and picture
            (PNG bytes).
    """

    query: Picture
    by: Mapping[tuple[int, ...], pa.Table]

    @property
    def table(self) -> pa.Table:
        """All of them in one Arrow table without pictures: by ("level 1"), rank from 1, and the columns of `by`."""
        parts = []
        for levels, rows in self.by.items():
            told = rows.drop_columns(["picture"])
            told = told.add_column(0, "rank", pa.array(range(1, len(rows) + 1), pa.int64()))
            parts.append(told.add_column(0, "by", pa.array([named_levels(levels)] * len(rows), pa.string())))
        return pa.concat_tables(parts)

    def __str__(self) -> str:
        """The table for a terminal, with the labels but without the factors."""
        table = self.table
        shown = [name for name in ("by", "rank", "distance", "name", "label") if name in table.column_names]
        return columns([shown, *([_word(row[name]) for name in shown] for row in table.to_pylist())])

    def figure(self, out: str | Path | None = None) -> Image.Image:
        """A row for each group of levels: the picture asked about, then its neighbours, nearest first.

        Args:
            out: the PNG file to keep it in; None: none.

        Raises:
            WriteError: if the file is not called PNG, or cannot be written.
        """
        width = max(len(rows) for rows in self.by.values())
        cells: list[list[Picture | str]] = []
        for levels, rows in self.by.items():
            near = [decoded(png) for png in rows["picture"].to_pylist()]
            cells.append([f" {named_levels(levels)} ", self.query, "    ", *near, *[""] * (width - len(near))])
        return canvas.keep(canvas.sheet(cells, least=64), out)

    def save_table(self, out: str | Path) -> None:
        """Writes the table as CSV, a new file.

        Raises:
            WriteError: if there is such a file already, or it cannot be written.
        """
        out = Path(out)
        if out.exists():
            raise WriteError(f"{out} exists already; choose another name for the table")
        with whole(out) as file:
            csv.write_csv(self.table, file)


def _word(value: Any) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def decoded(png: bytes) -> Picture:
    """A picture of its PNG bytes."""
    return np.array(Image.open(io.BytesIO(png)).convert("RGB"))
