"""Pictures as their files have them, found by the names of their rows."""

import os
import subprocess

import numpy as np
import pytest
from PIL import Image

from vlae.data import load
from vlae.data.picture_files import SIDE, original, original_file
from vlae.data.selection import link_selection
from vlae.names import path_text, quoted

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    Image.fromarray(PIXELS).save(tmp_path / "photos" / "cats" / "a.png")
    return tmp_path / "photos"


def test_every_row_is_found_by_its_name(folder):
    Image.fromarray(PIXELS[::-1]).save(folder / "b.png")
    images = load(folder, split="all", size=8)
    assert [original_file(images.source, name) for name in images.names] == [folder / name for name in images.names]
    found = dict(zip(images.names, (original(images.source, name) for name in images.names), strict=True))
    assert np.array_equal(found["cats/a.png"], PIXELS) and np.array_equal(found["b.png"], PIXELS[::-1])


@pytest.mark.parametrize("inside", [b"new\nline.png", b"caf\xe9.png", b"caf\xe9\n/\xe2\x80\xa8.png", b"a#1\n.png"])
def test_a_file_is_found_by_the_name_that_is_shown(tmp_path, inside):
    file = tmp_path / "odd\n" / os.fsdecode(inside)
    file.parent.mkdir(parents=True)
    Image.fromarray(PIXELS).save(file)
    images = load(tmp_path / "odd\n", split="all", size=8)
    assert original_file(images.source, images.names[0]) == file and "\\" in images.source + images.names[0]
    assert np.array_equal(original(images.source, images.names[0]), PIXELS)
    assert original_file(images.source, r"no\nthing.png") is None and original_file(r"no\nthing", "a") is None
    link_selection(list(images.names), tmp_path / "odd\n", tmp_path / "out")
    assert (tmp_path / "out" / os.fsdecode(inside)).samefile(file)
    path_text(file).encode()
    command = f"test -f {quoted(file)}"
    assert command.isprintable() and subprocess.run(["bash", "-c", command]).returncode == 0


def test_a_source_of_one_file(folder):
    file = folder / "cats" / "a.png"
    assert np.array_equal(original(file, "a.png"), PIXELS)


def test_a_large_one_is_reduced_at_its_own_proportions(folder):
    Image.fromarray(PIXELS).resize((900, 600)).save(folder / "large.jpg")
    assert original(folder, "large.jpg").shape == (round(SIDE * 2 / 3), SIDE, 3)
    assert original(folder, "large.jpg", side=60).shape == (40, 60, 3)


def test_it_is_turned_as_exif_says(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(folder / "turned.jpg", exif=exif)
    assert original(folder, "turned.jpg").shape == (30, 20, 3)


def test_grey_and_transparent_ones_become_colour_on_white(folder):
    Image.fromarray(PIXELS[..., 0]).save(folder / "grey.png")
    assert np.array_equal(original(folder, "grey.png"), PIXELS[..., :1].repeat(3, 2))
    Image.fromarray(np.zeros((20, 30, 4), np.uint8)).save(folder / "clear.png")
    assert (original(folder, "clear.png") == 255).all()


def test_pages_of_a_tiff(folder):
    first, second = (Image.fromarray(pixels) for pixels in (PIXELS, PIXELS[::-1]))
    first.save(folder / "two.tif", save_all=True, append_images=[second])
    images = load(folder, split="all", size=8)
    assert {"two.tif#1", "two.tif#2"} <= set(images.names)
    assert np.array_equal(original(folder, "two.tif#2"), PIXELS[::-1])
    Image.fromarray(PIXELS).save(folder / "odd#2.png")
    assert np.array_equal(original(folder, "odd#2.png"), PIXELS)


def test_what_is_not_there_is_none(folder, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "outside.png")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    (folder / "words.txt").write_text("words")
    Image.fromarray(np.full((20, 30), 40_000, np.uint16)).save(folder / "wide.png")
    others = (
        "none.png",
        "../outside.png",
        str(tmp_path / "outside.png"),
        "link.png",
        "broken.png",
        "words.txt",
        "wide.png",
    )
    assert [original(folder, name) for name in (*others, "", None, "cats", "a\0.png")] == [None] * 11
    assert original("streets", "0") is None and original("an array", "a.png") is None
