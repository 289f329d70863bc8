"""Pictures as a page shows them: tiles with clear gaps, and charts."""

import base64
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from vlae.figures.canvas import Picture
from vlae.figures.thumbnails import png
from vlae.figures.tiles import Tiles

GAP = 2  # pixels


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A picture on a page.

    Attributes:
        src: a data URL.
        alt: what it shows, for who cannot see it.
        width: in pixels.
        height: in pixels.
        is_chart: whether it is drawn in lines on white, which is turned dark in the dark; else it holds pictures.
        columns: of tiles, how many stand in a row; 1 of a chart.
    """

    src: str
    alt: str
    width: int
    height: int
    is_chart: bool = False
    columns: int = 1


def shown_tiles(tiles: Tiles, alt: str = "") -> Shown:
    """Tiles as one picture whose gaps are clear, so that it fits light and dark pages.

    Args:
        tiles: what to show.
        alt: what it shows; "": the words of the tiles.
    """
    num, height, width, _ = tiles.pictures.shape
    rows = -(-num // tiles.columns)
    sheet = np.zeros((rows * (height + GAP) - GAP, tiles.columns * (width + GAP) - GAP, 4), np.uint8)
    for place, picture in enumerate(tiles.pictures):
        top, left = (height + GAP) * (place // tiles.columns), (width + GAP) * (place % tiles.columns)
        sheet[top : top + height, left : left + width, :3] = picture
        sheet[top : top + height, left : left + width, 3] = 255
    stream = BytesIO()
    Image.fromarray(sheet).save(stream, "WEBP", quality=85, method=2)
    src = f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
    return Shown(src=src, alt=alt or tiles.words, width=sheet.shape[1], height=sheet.shape[0], columns=tiles.columns)


def shown_chart(picture: Picture | Path, alt: str) -> Shown:
    """A chart as a picture: an array, uint8 (H, W, 3), or a PNG file.

    Args:
        picture: the chart, black on white.
        alt: what it shows.
    """
    if isinstance(picture, Path):
        content = picture.read_bytes()
        with Image.open(picture) as image:
            width, height = image.size
        src = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    else:
        height, width = picture.shape[:2]
        src = png(picture)
    return Shown(src=src, alt=alt, width=width, height=height, is_chart=True)
