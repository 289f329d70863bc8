import io

import numpy as np
import pytest
from PIL import Image

from vlae.web import uploads
from vlae.web.uploads import read_picture


def png(picture):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def test_a_good_file_is_cut_and_resized():
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, 10:50] = 200
    assert (read_picture(png(picture), (3, 12, 12)) == 200).all()
    assert read_picture(png(picture), (1, 8, 8), crop=20).shape == (1, 1, 8, 8)


def test_broken_and_hostile_files_are_refused(monkeypatch):
    good = png(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    for content, words in (
        (b"", "BMP, GIF, .*JPEG"),
        (b"words, not a picture", "BMP, GIF, .*JPEG"),
        (good[: len(good) // 2], "cannot be read as a picture"),
        (good.replace((40).to_bytes(4, "big") * 2, (50_000).to_bytes(4, "big") * 2, 1), "cannot be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "BMP, GIF, .*JPEG"),
        (bytes(uploads.MAX_BYTES + 1), "larger than 20 MB"),
    ):
        with pytest.raises(ValueError, match=words):
            read_picture(content, (3, 12, 12))
    monkeypatch.setattr(uploads, "MAX_PIXELS", 1000)
    with pytest.raises(ValueError, match="40 × 40 pixels are more than 1,000"):
        read_picture(good, (3, 12, 12))
