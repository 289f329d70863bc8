"""The nearest neighbours of an image: as a table, as text and as a figure."""

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
from vlae.names import safe_row
from vlae.shapes import named_levels
from vlae.text_table import columns


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The nearest neighbours of an image in an index, by each chosen level and by all of them together.

    Attributes:
        query: the picture whose neighbours these are, at the run's size: uint8 (height, width, 3).
        by: for each group of levels an Arrow table of the neighbours, nearest first. Its columns are distance (1 is the
            root mean square distance between two images of the index), name, source, label and factors (if known), and
            picture (PNG bytes).
    """

    query: Picture
    by: Mapping[tuple[int, ...], pa.Table]

    @property
    def table(self) -> pa.Table:
        """All neighbours in one Arrow table: by ("level 1"), rank (from 1), distance, name, and further columns."""
        parts = []
        for levels, rows in self.by.items():
            table = rows.drop_columns(["picture"])
            table = table.add_column(0, "rank", pa.array(range(1, len(rows) + 1), pa.int64()))
            parts.append(table.add_column(0, "by", pa.array([named_levels(levels)] * len(rows), pa.string())))
        return pa.concat_tables(parts)

    def __str__(self) -> str:
        """Return the table as text, with labels but without factors."""
        table = self.table
        shown = [name for name in ("by", "rank", "distance", "name", "label") if name in table.column_names]
        return columns([shown, *([_cell(row[name]) for name in shown] for row in table.to_pylist())])

    def figure(self, out: str | Path | None = None) -> Image.Image:
        """Draw a row for each group of levels: the query, then its neighbours, nearest first.

        Args:
            out: the PNG file to write. None: no file.

        Raises:
            ValueError: if the file's name does not end in .png.
            WriteError: if the file cannot be written.
        """
        width = max(len(rows) for rows in self.by.values())
        cells: list[list[Picture | str]] = []
        for levels, rows in self.by.items():
            pictures = [decode_png(png) for png in rows["picture"].to_pylist()]
            cells.append([f" {named_levels(levels)} ", self.query, "    ", *pictures, *[""] * (width - len(pictures))])
        return canvas.keep(canvas.sheet(cells, least=64), out)

    def save_table(self, out: str | Path) -> None:
        """Write the table to a new CSV file.

        Args:
            out: the file to write.

        Raises:
            WriteError: if the file exists, or if it cannot be written.
        """
        out = Path(out)
        if out.exists():
            raise WriteError(f"{out} exists already; choose another name for the table")
        with whole(out) as file, file.open("wb") as stream:
            csv.write_csv(pa.Table.from_pylist([safe_row(row) for row in self.table.to_pylist()]), stream)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def decode_png(png: bytes) -> Picture:
    """Decode the bytes of a PNG file: uint8 (height, width, 3), 0 to 255.

    Args:
        png: the content of the file.
    """
    return np.array(Image.open(io.BytesIO(png)).convert("RGB"))
