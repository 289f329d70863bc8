"""What is said of a source: what it holds, what is left out, and how far the reading is."""

import re

import numpy as np
import pytest
from PIL import Image

from vlae.data import counting, load
from vlae.data.account import say_found


@pytest.fixture
def photos(tmp_path, rng):
    folder = tmp_path / "photos"
    for number in range(30):
        kind = folder / ("cat" if number < 20 else "dog")
        kind.mkdir(exist_ok=True, parents=True)
        side = 1_600 if number == 7 else 24 + number
        noise = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        noise.resize((side, 24)).save(kind / f"{number}.{'png' if number % 3 else 'jpg'}")
    return folder


def test_what_was_found(photos, cache, capsys):
    (photos / "cat" / "broken.png").write_bytes(b"x")
    (photos / "notes.txt").write_text("x")
    say_found(load(photos, split="all"))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "found     30 pictures of 24×24 to 1,600×24 pixels (20 .png, 10 .jpg)",
        "classes   2: cat 20, dog 10",
        "form      pictures of another size are cut and resized to 64×64",
        f"skipped 1 of {photos}:",
        "  cat/broken.png: not a picture that Pillow can read",
        f"ignored in {photos}:",
        "  1 .txt: not a picture that is read",
    ]


def test_it_is_said_once_for_each_source(photos, cache, capsys):
    say_found(load(photos), load(photos, split="test"))  # from two parts
    assert capsys.readouterr().err.startswith("found     30 pictures of 24×24 to 1,600×24 pixels")
    say_found(load(photos, split="all"))
    assert capsys.readouterr().err == ""
    say_found(load(photos, split="all", size=16))  # decoded anew
    assert "resized to 16×16" in capsys.readouterr().err


def test_arrays_and_rows(capsys):
    for _ in range(2):  # they have no name to be known by
        say_found(load(np.random.default_rng(0).integers(0, 256, (1_200, 16, 24, 3), np.uint8), split="all"))
        assert capsys.readouterr().err == "found     1,200 pictures of 24×16 pixels\n"
    say_found(load(np.random.default_rng(0).normal(size=(40, 5)), split="all"))
    assert capsys.readouterr().err == "found     40 rows of 5 columns\n"


def test_many_classes_are_cut_short(tmp_path, rng, cache, capsys):
    for number in range(20):
        (tmp_path / f"kind{number:02d}").mkdir()
        for i in range(2):
            pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"kind{number:02d}" / f"{i}.png")
    say_found(load(tmp_path, split="all"))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("classes")]
    assert line.startswith("classes   20: kind00 2, ") and line.endswith("kind11 2, …")


def test_sizes_are_kept_in_the_cache(photos, cache):
    for _ in range(2):
        assert load(photos).sizes == ((24, 24), (1_600, 24))


def test_a_bar_moves_with_every_picture(photos, cache, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as if on a terminal
    load(photos, progress=True)
    assert re.search(r"decoding pictures.*30/30", capsys.readouterr().err)


def test_without_a_terminal_a_line_comes_at_times(photos, cache, capsys, monkeypatch):
    load(photos, progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(counting, "LINE_EVERY", 0.0)
    load(photos, size=16, progress=True)
    assert "decoding pictures: 30 of 30" in capsys.readouterr().err.splitlines()
    load(photos, size=24)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_something_moves_while_files_are_looked_for(photos, cache, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as if on a terminal
    load(photos, progress=True)
    said = capsys.readouterr().err
    assert said.index("looking for data") < said.index("looking at pictures") < said.index("decoding pictures")


def test_the_ends_of_sizes_are_those_of_each_side(tmp_path, cache):
    for number, size in enumerate([(3_000, 10), (100, 100), (300, 300)]):
        Image.effect_noise(size, 50).save(tmp_path / f"{number}.png")
    assert load(tmp_path, split="all").sizes == ((100, 10), (3_000, 300))


def test_an_unknown_class_is_no_class(tmp_path, capsys):
    values = np.random.default_rng(0).normal(size=(30, 3))
    say_found(load((values, np.where(np.arange(30) % 2, 1, -2)), split="all"))
    assert "classes   1: 1 15; the class of 15 is unknown\n" in capsys.readouterr().err
    images = load((values, ["unknown", "a", None] * 10), split="all")
    say_found(images)
    assert "classes   2: a 10, unknown 10; the class of 10 is unknown\n" in capsys.readouterr().err
    assert images.label_counts() == {"unknown": 20, "a": 10}
