import io

import numpy as np
import pytest
from PIL import Image

from vlae.data.frames import Frame
from vlae.web import uploads
from vlae.web.uploads import read_picture

FRAME = Frame(shape=(3, 12, 12))


def png(picture):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def test_a_good_file_is_cut_and_resized():
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, 10:50] = 200
    assert (read_picture(png(picture), FRAME) == 200).all()
    assert read_picture(png(picture), Frame(shape=(1, 8, 8), crop=20)).shape == (1, 1, 8, 8)


def test_a_file_of_sixteen_bits_is_read_in_the_range_of_the_training():
    picture = np.full((12, 12), 1024, np.uint16)
    frame = Frame(shape=(1, 12, 12))
    assert (read_picture(png(picture), frame, ((0.0, 4096.0),)) == 0.25).all()
    with pytest.raises(ValueError, match="numbers from 1024 to 1025; the training pictures have 8 bits"):
        read_picture(png(picture), frame)
    with pytest.raises(ValueError, match="8 bits a channel; the training pictures have numbers from 0 to 4096"):
        read_picture(png(picture.astype(np.uint8)), frame, ((0.0, 4096.0),))


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
            read_picture(content, FRAME)
    monkeypatch.setattr(uploads, "MAX_PIXELS", 1000)
    with pytest.raises(ValueError, match="40 × 40 pixels are more than 1,000"):
        read_picture(good, FRAME)
