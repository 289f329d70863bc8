"""The nearest neighbours of an image: as a table, as text and as a figure."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import csv

from vlae.atomic import check_free, whole
from vlae.data.picture_files import original, original_file
from vlae.figures import canvas
from vlae.figures.canvas import Picture
from vlae.html_repr import HtmlRepr
from vlae.names import path_text, safe_row
from vlae.shapes import named_levels
from vlae.text_table import columns


@dataclass(frozen=True, kw_only=True, repr=False)
class Neighbours(HtmlRepr):
    """The nearest neighbours of an image in an index, by each chosen level and by all of them together.

    Attributes:
        query: the picture whose neighbours these are, at the run's size: uint8 (height, width, 3).
        by: for each group of levels an Arrow table of the neighbours, nearest first. Its columns are distance (1 is the
            root mean square distance between two images of the index), name, source, label and factors (if known), and
            picture (PNG bytes), if the index has the pictures.
        query_name: the source and the name of the query, by which its file is found; "" if it has none.
        draw: draws the neighbours by a group of levels, uint8 (n, height, width, 3), if the index has no pictures.
    """

    query: Picture
    by: Mapping[tuple[int, ...], pa.Table]
    query_name: tuple[str, str] = ("", "")
    draw: Callable[[tuple[int, ...]], canvas.Pictures] | None = None

    def __repr__(self) -> str:
        num = max(len(rows) for rows in self.by.values())
        return f"Neighbours({num} by each of {'; '.join(map(named_levels, self.by))})"

    @property
    def table(self) -> pa.Table:
        """All neighbours in one Arrow table: by ("level 1"), rank (from 1), distance, name, and further columns.

        A column `file` has the paths of the pictures whose files are there.
        """
        parts = []
        for levels, rows in self.by.items():
            table = rows.drop_columns([name for name in ["picture"] if name in rows.column_names])
            pairs = zip(rows["source"].to_pylist(), rows["name"].to_pylist(), strict=True)
            files = [file and path_text(file) for file in (original_file(*pair) for pair in pairs)]
            table = table.append_column("file", pa.array(files, pa.string())) if any(files) else table
            table = table.add_column(0, "rank", pa.array(range(1, len(rows) + 1), pa.int64()))
            parts.append(table.add_column(0, "by", pa.array([named_levels(levels)] * len(rows), pa.string())))
        return pa.concat_tables(parts, promote_options="default")

    def __str__(self) -> str:
        """Return the table as text, with labels but without factors."""
        table = self.table
        shown = [name for name in ("by", "rank", "distance", "name", "label") if name in table.column_names]
        return columns([shown, *([_cell(row[name]) for name in shown] for row in table.to_pylist())])

    def cells(self, levels: tuple[int, ...]) -> list[tuple[Picture, str, str]]:
        """Return the neighbours by one group of levels, nearest first, to be drawn with their words.

        Args:
            levels: a key of `by`.

        Returns:
            For each the picture, uint8 (H, W, 3), as its file has it if the file is there; its name; and its distance.
        """
        rows = self.by[levels].select(["source", "name", "distance"]).to_pylist()
        files = [original(row["source"], row["name"]) for row in rows]
        own: Sequence[Picture] = self._own(levels) if any(file is None for file in files) else []
        return [
            (own[i] if picture is None else picture, row["name"], f"{row['distance']:.3f}")
            for i, (picture, row) in enumerate(zip(files, rows, strict=True))
        ]

    def _own(self, levels: tuple[int, ...]) -> Sequence[Picture]:
        """The neighbours at the run's size: as the index keeps them, or as the model sees them."""
        if self.draw is not None:
            return list(self.draw(levels))
        return [decode_png(png) for png in self.by[levels]["picture"].to_pylist()]

    @property
    def query_cell(self) -> tuple[Picture, str, str]:
        """The query as its file has it if the file is there, its name, and no distance."""
        source, name = self.query_name
        picture = original(source, name)
        return self.query if picture is None else picture, name, "the query"

    def figure(self, out: str | Path | None = None) -> Image.Image:
        """Draw a row for each group of levels: the query, then its neighbours, nearest first, with names and distances.

        Pictures are drawn as their files have them, at their own proportions; those whose files are not there, at the
        run's size.

        Args:
            out: the PNG file to write. None: no file.

        Raises:
            ValueError: if the file's name does not end in .png.
            WriteError: if the file cannot be written.
        """
        width = max(len(rows) for rows in self.by.values())
        cells: list[list[Picture | str]] = []
        query, *words = self.query_cell
        first = canvas.captioned(query, words)
        for levels in self.by:
            drawn = [canvas.captioned(picture, words) for picture, *words in self.cells(levels)]
            cells.append([f" {named_levels(levels)} ", first, "    ", *drawn, *[""] * (width - len(drawn))])
        return canvas.keep(canvas.sheet(cells, least=1), out)

    def save_table(self, out: str | Path) -> None:
        """Write the table to a new CSV file.

        Args:
            out: the file to write.

        Raises:
            WriteError: if the file exists, or if it cannot be written.
        """
        out = Path(out)
        check_free(out, "choose another name for the table")
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
