"""Pictures as arrays: arranges them with words on one canvas, renders charts, writes files."""

from collections.abc import Sequence
from io import BytesIO
from itertools import count, zip_longest
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
SMALL_LETTERS = 11
MAX_PIXELS = 89_000_000
"""Of a figure. Pillow, which opens it again, warns of more."""
CAPTIONED = 144  # Side, in pixels, of the square of a picture with words below.


def grid(tiles: Sequence[Picture] | Pictures, columns: int, gap: int = GAP) -> Picture:
    """Tiles in reading order on white, each in the middle of its row and column.

    Args:
        tiles: uint8 pictures (H, W, 3), of any sizes; one or more.
        columns: number of tiles in a row, from 1 up.
        gap: pixels between rows and between columns, from 0 up.
    """
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
        rows: each with the same number of cells: uint8 pictures (H, W, 3), or words; "" leaves a cell empty.
        least: pixels; a picture whose longer side is shorter than this is enlarged by a whole factor.

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


def captioned(picture: Picture, lines: Sequence[str], side: int = CAPTIONED) -> Picture:
    """A picture in the middle of a square, above lines of small letters.

    A small picture is enlarged by a whole factor. A line that is too long loses its beginning.

    Args:
        picture: uint8 (H, W, 3).
        lines: what stands below it.
        side: of the square, in pixels.
    """
    factor = side // max(picture.shape[:2])
    if factor:
        picture = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    else:
        image = Image.fromarray(picture)
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        picture = np.array(image)
    square = blank(side, side)
    top, left = (side - picture.shape[0]) // 2, (side - picture.shape[1]) // 2
    square[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    words = text("\n".join(_shortened(line, side) for line in lines), SMALL_LETTERS)
    return grid([square, words[:, :side]], 1, 0)


def _shortened(line: str, width: int) -> str:
    """A line without its beginning, so that it is no wider than some pixels."""
    font = ImageFont.load_default(size=SMALL_LETTERS)
    for first in range(len(line) + 1):
        shortened = f"…{line[first:]}" if first else line
        if font.getlength(shortened) + 2 <= width:
            return shortened
    return ""


def check_pixels(num: int) -> None:
    """Refuses a figure that is too large to be opened again.

    Args:
        num: its pixels, or those of a part of it.

    Raises:
        ValueError: if there are more than 89 million.
    """
    if num > MAX_PIXELS:
        raise ValueError(
            f"the figure would have {num / 1e6:,.0f} million pixels, and {MAX_PIXELS / 1e6:.0f} million are the most: "
            "draw fewer pictures (num, steps)"
        )


def blank(height: int, width: int) -> Picture:
    """A white picture.

    Args:
        height: pixels, from 1 up.
        width: pixels, from 1 up.

    Raises:
        ValueError: if there are more than 89 million.
    """
    check_pixels(height * width)
    return np.full((height, width, 3), 255, dtype=np.uint8)


def text(words: str, size: int = LETTERS) -> Picture:
    """Black words on white, as wide as the words; the height depends only on the size and the number of lines.

    Args:
        words: one or more lines, divided by newlines.
        size: of the letters, in pixels.
    """
    font = ImageFont.load_default(size=size)
    width = ceil(max(font.getlength(line) for line in words.split("\n"))) + 2
    height = ceil(1.5 * size) * (words.count("\n") + 1)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    draw.text((width / 2, height / 2), words, fill="black", font=font, anchor="mm", align="center")
    return np.array(image)


def noted(picture: Picture, words: str) -> Picture:
    """A picture with a line of small words beneath it.

    Args:
        picture: uint8 (H, W, 3).
        words: one line.
    """
    return grid([picture, text(words)], 1)


def rendered(figure: "Figure") -> Picture:
    """A matplotlib figure as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    check_pixels(round(figure.bbox.width * figure.bbox.height))
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


def save(picture: Picture, path: str | Path) -> Path:
    """Writes a picture as a PNG file, whole or not at all; returns the path.

    Args:
        picture: uint8 (H, W, 3).
        path: file to write; missing folders are made.

    Raises:
        WriteError: if it cannot be written.
    """
    path = Path(path)
    with whole(path) as file:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(file, format="PNG")
    return path


def save_beside(picture: Picture, path: Path) -> Path:
    """Writes a picture as a PNG file under a name that no other picture has: with a number behind it if need be.

    Args:
        picture: uint8 (H, W, 3).
        path: the name that is wished; missing folders are made.

    Returns:
        The file: `path`, or "NAME-2.png", "NAME-3.png", …; a file with this very picture is taken as it is.

    Raises:
        WriteError: if it cannot be written.
    """
    stream = BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    for number in count(1):
        file = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        if not file.exists():
            return save(picture, file)
        if file.is_file() and file.read_bytes() == stream.getvalue():
            return file
    raise AssertionError("numbers do not end")


def keep(picture: Picture, out: str | Path | None) -> Image.Image:
    """A picture as a PIL image, which is also written to a PNG file if one is named.

    Args:
        picture: uint8 (H, W, 3).
        out: file to write, with a name that ends in .png; None: no file.

    Raises:
        ValueError: if the name of the file does not end in .png.
        WriteError: if it cannot be written.
    """
    if out is not None:
        check_png(Path(out))
        save(picture, out)
    return Image.fromarray(picture)


def check_png(out: Path) -> None:
    """Refuses a name for a figure that does not end in .png.

    Args:
        out: the file that is to be written.

    Raises:
        ValueError: if its name does not end in .png.
    """
    if out.suffix.lower() != ".png":
        raise ValueError(f"a figure is a PNG file; {out} is not called one: give a name that ends in .png")
