"""The built-in data set: street numbers drawn on the fly, with their true factors.

It replaces SVHN where SVHN cannot be downloaded: 32×32 colour crops of house numbers, with a digit in the middle and
others beside it (Netzer et al. 2011). Unlike SVHN, every factor of a picture is known. The only files it reads are the
fonts of matplotlib.

A picture is made in four steps, each a function below. Choose the factors. Draw the digits' ink on a fine grid. Blur
it and shrink it to pixels. Then paint it, light it and add noise.
"""

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from matplotlib.colors import hsv_to_rgb
from PIL import Image, ImageDraw, ImageFont
from torch.nn.functional import grid_sample

from vlae.shapes import MAX_SIDE, MIN_SIDE

FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "DejaVuSerif-Bold",
         "STIXGeneral", "STIXGeneralBol", "cmb10", "cmss10", "cmtt10")  # fmt: skip
"""The fonts of the digits, all upright: names of files in matplotlib's fonts/ttf, without their ending."""

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""The weights of red, green and blue in luminance (ITU-R BT.601)."""

CONTRAST = 0.25
"""The least difference of luminance between ink and background."""

CHUNK = 64  # images made together, from one random generator: changing it changes the pictures
GAP = 0.13  # between neighbouring digits, in glyph heights

Factors = dict[str, Shaped[np.ndarray, "num"]]


def draw(
    num: int, *, seed: int = 0, size: int = 32
) -> tuple[UInt8[np.ndarray, "num 3 size size"], dict[str, Shaped[np.ndarray, "num"]]]:
    """Draw street numbers, and return their true factors.

    Image i depends only on the seed, the size and i. A longer draw therefore begins with the same bytes as a shorter
    one. The factors of an image depend only on the seed and i. They are independent of one another, with one
    exception: an ink too close to its background is drawn again. Each factor is an array of shape (num,), of integers
    for a choice and of float32 otherwise:

    - `digit`: the digit in the middle, 0 to 9; `font`: its index in `FONTS`;
    - `slant`: shear, -0.3 to 0.3; positive leans to the right;
    - `scale`: height of the digit, 0.55 to 0.85 of the image height;
    - `x_offset`, `y_offset`: offset of the digit from the middle, -0.07 to 0.07 of the image; positive is right, down;
    - `ink_red`, `ink_green`, `ink_blue`, `background_red`, `background_green`, `background_blue`: 0 to 1, with
      luminances at least `CONTRAST` apart;
    - `light_strength`: 0 to 0.35, the greatest relative change of brightness, at the corners;
      `light_angle`: the direction of the light, 0 to 2π, clockwise from the right;
    - `blur`: standard deviation, 0.3 to 1.1 pixels of an image 32 wide;
    - `left_digit`, `right_digit`: the neighbours, in the same font, ink, slant and scale, cut by the border; 0 to 9,
      or -1 for none (half of the time);
    - `noise`: standard deviation, 0 to 0.04, independent for each pixel and colour.

    Args:
        num: how many, 1 or more.
        seed: of the random numbers, 0 or more; different seeds give unrelated images.
        size: height and width in pixels, 8 to 256.

    Returns:
        uint8 (num, 3, size, size) images, and the factors by name.

    Raises:
        ValueError: if num, seed or size is out of range.

    Examples:
        >>> images, factors = draw(100, seed=1)
        >>> images.shape, images.dtype, factors["digit"].shape
        ((100, 3, 32, 32), dtype('uint8'), (100,))
        >>> fewer, _ = draw(10, seed=1)
        >>> bool((fewer == images[:10]).all())
        True
    """
    if num < 1:
        raise ValueError(f"num is {num}: ask for at least 1 image")
    if seed < 0:
        raise ValueError(f"seed is {seed}: choose 0 or more")
    if not MIN_SIDE <= size <= MAX_SIDE:
        raise ValueError(f"size is {size}: choose {MIN_SIDE} to {MAX_SIDE} pixels (SVHN has 32)")

    images = np.empty((num, 3, size, size), np.uint8)
    chunks = []
    for start in range(0, num, CHUNK):
        # Always draw a whole chunk, even if only its beginning is needed, so that a shorter draw is an exact prefix.
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(start // CHUNK,)))
        factors = _choose(rng)
        pixels = _paint(_shrink(_lay_ink(factors, size), factors, size), factors, rng)
        images[start : start + CHUNK] = pixels[: num - start]
        chunks.append(factors)
    return images, {name: np.concatenate([chunk[name] for chunk in chunks])[:num] for name in chunks[0]}


def _choose(rng: np.random.Generator) -> Factors:
    """Choose the factors of one chunk."""

    def uniform(low: float, high: float) -> Float[np.ndarray, "num"]:
        return rng.uniform(low, high, CHUNK).astype(np.float32)

    def neighbour() -> Shaped[np.ndarray, "num"]:
        return np.where(rng.random(CHUNK) < 0.5, rng.integers(10, size=CHUNK), -1)

    factors: Factors = {
        "digit": rng.integers(10, size=CHUNK),
        "font": rng.integers(len(FONTS), size=CHUNK),
        "slant": uniform(-0.3, 0.3),
        "scale": uniform(0.55, 0.85),
        "x_offset": uniform(-0.07, 0.07),
        "y_offset": uniform(-0.07, 0.07),
        "light_strength": uniform(0.0, 0.35),
        "light_angle": uniform(0.0, 2 * np.pi),
        "blur": uniform(0.3, 1.1),
        "left_digit": neighbour(),
        "right_digit": neighbour(),
        "noise": uniform(0.0, 0.04),
    }
    background, ink = _choose_colours(rng, CHUNK), _choose_colours(rng, CHUNK)
    while (close := np.abs((ink - background) @ LUMINANCE) < CONTRAST).any():
        ink[close] = _choose_colours(rng, int(close.sum()))
    for name, colours in (("ink", ink), ("background", background)):
        factors |= {f"{name}_{channel}": colours[:, c] for c, channel in enumerate(("red", "green", "blue"))}
    return factors


def _choose_colours(rng: np.random.Generator, num: int) -> Float[np.ndarray, "num 3"]:
    """Choose colours like those of walls and plates: any hue, mostly dull, some vivid, rarely black or white."""
    hue, saturation, value = rng.random(num), 0.9 * rng.beta(0.9, 1.6, num), rng.uniform(0.08, 0.97, num)
    return np.asarray(hsv_to_rgb(np.stack([hue, saturation, value], axis=1)), np.float32)


@cache
def _glyphs(height: int) -> tuple[Float[np.ndarray, "fonts 11 high wide"], Float[np.ndarray, "fonts 11"]]:
    """Render each digit of each font, `height` pixels high, in the middle of a cell with an empty border.

    Returns:
        The cells, ink 1 on 0, and the widths of the ink in units of its height. The eleventh digit, index -1, is blank.
    """
    rendered = []
    for name in FONTS:
        path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")
        font = ImageFont.truetype(path, 4 * height)
        for digit in "0123456789":
            page = Image.new("L", (6 * height, 8 * height))
            ImageDraw.Draw(page).text((2 * height, 2 * height), digit, 255, font)
            box = page.getbbox()
            assert box is not None, f"{name} draws nothing for {digit}"
            width = 2 * round(height * (box[2] - box[0]) / (box[3] - box[1]) / 2)  # even: exactly in the middle
            rendered.append(np.asarray(page.resize((width, height), Image.Resampling.BOX, box)))

    cells = np.zeros((len(rendered), height + 4, max(ink.shape[1] for ink in rendered) + 4), np.float32)
    for cell, ink in zip(cells, rendered, strict=True):
        left = (cell.shape[1] - ink.shape[1]) // 2
        cell[2:-2, left : left + ink.shape[1]] = ink / np.float32(255)
    cells = np.pad(cells.reshape(len(FONTS), 10, *cells.shape[1:]), ((0, 0), (0, 1), (0, 0), (0, 0)))
    widths = np.array([ink.shape[1] / height for ink in rendered], np.float32).reshape(len(FONTS), 10)
    return cells, np.pad(widths, ((0, 0), (0, 1)))


def _lay_ink(factors: Factors, size: int) -> Float[np.ndarray, "num fine fine"]:
    """Draw the ink of the digits on a fine grid, at least 64 points across, so that edges are smooth."""
    fine = size * -(-64 // size)
    height = 3 * fine // 4  # about that of the digits on the grid
    cells, widths = _glyphs(height)
    half_height, half_width = (length / (2 * height) for length in cells.shape[2:])

    font, middle = factors["font"], factors["digit"]
    slant, scale, x_offset, y_offset = (
        factors[name][:, None, None] for name in ("slant", "scale", "x_offset", "y_offset")
    )
    points = (np.arange(fine, dtype=np.float32) + 0.5) / fine - 0.5

    # From positions in the image, in heights from its middle, to positions in the middle digit's cell, in [-1, 1].
    down = (points[:, None] - y_offset) / scale
    grid = np.empty((CHUNK, fine, fine, 2), np.float32)
    grid[..., 0] = ((points - x_offset) / scale + slant * down) / half_width
    grid[..., 1] = down / half_height

    ink = np.zeros((CHUNK, fine, fine), np.float32)
    for digit, side in ((middle, 0), (factors["left_digit"], -1), (factors["right_digit"], 1)):
        (shown,) = np.nonzero(digit >= 0)
        distance = side * ((widths[font, middle] + widths[font, digit]) / 2 + GAP)
        moved = grid[shown]
        moved[..., 0] -= (distance / half_width)[shown, None, None]
        cell = torch.from_numpy(cells[font[shown], digit[shown]][:, None])
        ink[shown] += grid_sample(cell, torch.from_numpy(moved), align_corners=False)[:, 0].numpy()
    return ink


def _shrink(ink: Float[np.ndarray, "num fine fine"], factors: Factors, size: int) -> Float[np.ndarray, "num size size"]:
    """Blur the ink and average it over pixels: one matrix for each image, from the left for rows, right for columns."""
    fine = ink.shape[1]
    pixels, points = (np.arange(size) + 0.5) / size, (np.arange(fine) + 0.5) / fine
    variance = (factors["blur"] / 32) ** 2 + 1 / (12 * size**2)  # of the blur, and of a pixel's own extent
    squares = ((pixels[:, None] - points) ** 2).astype(np.float32)
    weights = np.exp(squares / (-2 * variance[:, None, None]))
    weights /= weights.sum(axis=2, keepdims=True)
    by_rows = torch.from_numpy(weights)  # not NumPy's product: its last bits vary with the number of threads
    return (by_rows @ torch.from_numpy(ink) @ by_rows.mT).numpy()


def _paint(
    ink: Float[np.ndarray, "num size size"], factors: Factors, rng: np.random.Generator
) -> UInt8[np.ndarray, "num 3 size size"]:
    """Paint the ink and the background, light them from one side, and add noise."""

    def of_image(name: str) -> Float[np.ndarray, "num 1 1"]:
        return factors[name][:, None, None]

    size = ink.shape[1]
    across = np.linspace(-1, 1, size, dtype=np.float32) / np.sqrt(np.float32(2))  # corners are at distance 1
    angle = of_image("light_angle")
    light = 1 + of_image("light_strength") * (across * np.cos(angle) + across[:, None] * np.sin(angle))
    images = rng.standard_normal((len(ink), 3, size, size), np.float32)
    images *= of_image("noise")[:, None]
    for c, channel in enumerate(("red", "green", "blue")):
        background = of_image(f"background_{channel}")
        images[:, c] += light * (background + ink * (of_image(f"ink_{channel}") - background))
    images *= 255
    np.rint(images, out=images)
    return np.clip(images, 0, 255, out=images).astype(np.uint8)
