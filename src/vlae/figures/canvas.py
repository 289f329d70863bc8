"""Pictures as arrays: laid out on one canvas with words, taken from a chart, written to a file."""

from collections.abc import Sequence
from itertools import zip_longest
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from vlae.atomic import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture = UInt8[np.ndarray, "_height _width 3"]
Pictures = UInt8[np.ndarray, "n _height _width 3"]

TILE = 48  # Side, in pixels, below which small images are enlarged.
GAP = 2  # pixels
LETTERS = 14


def grid(tiles: Sequence[Picture] | Pictures, columns: int, gap: int = GAP) -> Picture:
    """Tiles in reading order on white, each in the middle of its row and column, `gap` pixels apart."""
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    heights = [max(len(tile) for tile in row) for row in rows]
    widths = [max(tile.shape[1] for tile in column if tile is not None) for column in zip_longest(*rows)]
    canvas = blank(sum(heights) + gap * (len(heights) - 1), sum(widths) + gap * (len(widths) - 1))
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            top = sum(heights[:i]) + gap * i + (heights[i] - len(tile)) // 2
            left = sum(widths[:j]) + gap * j + (widths[j] - tile.shape[1]) // 2
            canvas[top : top + len(tile), left : left + tile.shape[1]] = tile
    return canvas


def sheet(rows: Sequence[Sequence[Picture | str]], *, least: int = TILE) -> Picture:
    """A table of pictures and words, each in the middle of its row and column.

    Args:
        rows: of one length; an empty word leaves its place empty.
        least: side in pixels below which a picture is enlarged, by a whole factor.

    Raises:
        ValueError: if the rows differ in length.
    """
    if len({len(row) for row in rows}) != 1:
        raise ValueError(f"the rows have {', '.join(str(len(row)) for row in rows)} cells; give them equally many")
    return grid([_cell(cell, least) for row in rows for cell in row], len(rows[0]), 2 * GAP)


def _cell(cell: Picture | str, least: int) -> Picture:
    if isinstance(cell, str):
        return text(cell) if cell else blank(1, 1)
    factor = ceil(least / max(cell.shape[:2]))
    return cell.repeat(factor, axis=0).repeat(factor, axis=1)


def blank(height: int, width: int) -> Picture:
    """A white one."""
    return np.full((height, width, 3), 255, dtype=np.uint8)


def text(words: str, size: int = LETTERS) -> Picture:
    """Black words on white, cut to their width; the height depends on the number of lines alone."""
    font = ImageFont.load_default(size=size)
    width = ceil(max(font.getlength(line) for line in words.split("\n"))) + 2
    height = ceil(1.5 * size) * (words.count("\n") + 1)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    draw.text((width / 2, height / 2), words, fill="black", font=font, anchor="mm", align="center")
    return np.array(image)


def rendered(figure: "Figure") -> Picture:
    """What a matplotlib figure shows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


def save(picture: Picture, path: str | Path) -> Path:
    """Writes a picture as PNG, whole or not at all, making the folders it needs; returns the path.

    Raises:
        WriteError: if it cannot be written.
    """
    path = Path(path)
    with whole(path) as file:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(file, format="PNG")
    return path


def keep(picture: Picture, out: str | Path | None) -> Image.Image:
    """A picture as a PIL image, kept in a PNG file if one is named.

    Raises:
        ValueError: if the file is not called PNG.
        WriteError: if it cannot be written.
    """
    if out is not None:
        check_png(Path(out))
        save(picture, out)
    return Image.fromarray(picture)


def check_png(out: Path) -> None:
    """Refuses a name for a figure that does not end in .png.

    Raises:
        ValueError: if it does not.
    """
    if out.suffix.lower() != ".png":
        raise ValueError(f"a figure is a PNG file; {out} is not called one: give a name that ends in .png")
