import base64
import io

import numpy as np
from PIL import Image

from vlae.figures import thumbnails


def test_pictures_on_a_sheet_lie_in_reading_order():
    pictures = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 3), np.uint8)
    sheet = thumbnails.sheet(pictures, 2)
    assert sheet.shape == (6, 6, 3)
    assert sheet[::2, ::3, 0].tolist() == [[0, 1], [2, 3], [4, 255]]
    assert thumbnails.smaller(np.zeros((2, 256, 128, 3), np.uint8)).shape == (2, 64, 32, 3)


def test_a_picture_is_sent_as_it_is():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    kind, content = thumbnails.png(picture).split(",")
    assert kind == "data:image/png;base64"
    assert np.array_equal(Image.open(io.BytesIO(base64.b64decode(content))), picture)
    assert thumbnails.webp(picture).startswith("data:image/webp;base64,")
    assert thumbnails.webp(np.zeros((1, 17_000, 3), np.uint8)).startswith("data:image/png;base64,")
