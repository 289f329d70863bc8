"""A folder of small pictures in two classes, for the tests of the page."""

from pathlib import Path

import numpy as np
from PIL import Image


def draw_blocks(folder: Path) -> None:
    """Draws 60 red and 60 blue blocks of 8 pixels on grey grounds of 16, each class in a folder of its own."""
    rng = np.random.default_rng(0)
    for name, channel in (("red", 0), ("blue", 2)):
        (folder / name).mkdir(parents=True)
        for i in range(60):
            pixels = np.full((16, 16, 3), rng.integers(0, 120), np.uint8)
            top, left = rng.integers(0, 8, 2)
            pixels[top : top + 8, left : left + 8, channel] = 255
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
