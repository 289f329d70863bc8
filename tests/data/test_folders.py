"""Folders of pictures, written small and read back."""

import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from vlae.data import DataError, load
from vlae.data.files import PICTURE_FORMATS, decoders, walk
from vlae.data.images import say_skipped
from vlae.runs import layout as run_files

pytestmark = pytest.mark.usefixtures("cache")


def test_parts_and_classes_by_folder(tmp_path, save_picture):
    for part, num in (("Train", 3), ("val", 2), ("test", 4)):
        for animal in ("dog", "cat"):
            for i in range(num):
                save_picture(tmp_path / part / animal / f"{i}.png", np.zeros((16, 16)))
    train, test = load(tmp_path), load(tmp_path, split="test")
    assert len(train) == 6
    assert len(test) == 8
    assert len(load(tmp_path, split="all")) == 18
    assert train.label_names == ("cat", "dog")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert train.names[0] == "Train/cat/0.png"


def test_val_is_the_test_part_where_there_is_no_other(tmp_path, save_picture):
    for part in ("train", "val"):
        save_picture(tmp_path / part / "0.png", np.zeros((16, 16)))
    assert load(tmp_path, split="test").names == ("val/0.png",)
    assert load(tmp_path).labels is None


def test_lsun_exported_is_a_deep_nest_of_webp(tmp_path, save_picture):
    for i in range(4):
        save_picture(tmp_path / "a" / str(i) / "f" / "b" / f"{i}.webp", np.full((256, 300, 3), 60 * i), lossless=True)
    images = load(tmp_path, split="all", fit="crop")
    assert images.shape == (3, 64, 64)
    assert images.values[:, 0, 0, 0].tolist() == [0, 60, 120, 180]
    assert images.labels is None


def test_lmdb_is_refused_with_advice(tmp_path):
    (tmp_path / "church_train_lmdb").mkdir()
    (tmp_path / "church_train_lmdb" / "data.mdb").write_bytes(b"x")
    with pytest.raises(DataError, match="export its pictures"):
        load(tmp_path / "church_train_lmdb")


def test_folder_without_pictures(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.txt").write_text("x")
    (tmp_path / ".hidden.png").write_text("x")
    with pytest.raises(
        DataError,
        match=r"no picture among 2 files \(2 \.txt, \.hidden\.png is hidden.*\); accepted are \.avif \.bmp .*",
    ) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_links_are_followed_but_not_in_circles(tmp_path, save_picture):
    for i in range(3):
        save_picture(tmp_path / "real" / f"{i}.png", np.zeros((16, 16)))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "back").symlink_to(tmp_path / "folder")
    assert len(load(tmp_path / "folder", split="all")) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes among files there")
def test_a_pipe_called_like_a_picture_is_not_opened(tmp_path, save_picture):
    for i in range(3):
        save_picture(tmp_path / f"{i}.png", np.zeros((16, 16)))
    os.mkfifo(tmp_path / "pipe.png")
    assert len(load(tmp_path, split="all")) == 3


# Kinds of files


def noise(rng, side=16):
    return rng.integers(0, 256, (side, side, 3), np.uint8)


@pytest.mark.parametrize("ending", ["jfif", "jpe", "jif", "JPG", "dib", "ppm", "avif", "heic"])
def test_less_usual_endings_are_read(tmp_path, rng, ending):
    kind = next(kind for kind, endings in PICTURE_FORMATS.items() if f".{ending.lower()}" in endings)
    if kind == "HEIF":
        assert "HEIF" in decoders()  # registers its encoder, too
    for i in range(3):
        Image.fromarray(np.full((32, 32, 3), 40 + 60 * i, np.uint8)).save(tmp_path / f"{i}.{ending}", kind)
    images = load(tmp_path, split="all")
    assert np.abs(images.values[:, 0, 0, 0].astype(int) - [40, 100, 160]).max() <= 3
    assert images.fates == {f"3 .{ending.lower()}": "pictures"}


def test_every_kind_of_file_is_counted_and_said(tmp_path, save_picture, rng):
    for i in range(4):
        save_picture(tmp_path / f"{i}.jpg", noise(rng))
        (tmp_path / f"{i}.svg").write_text("<svg/>")
    (tmp_path / "README").write_text("x")
    (tmp_path / "labels.CSV").write_text("x")
    (tmp_path / ".DS_Store").write_text("x")
    assert load(tmp_path).fates == {
        "4 .jpg": "pictures",
        "4 .svg": "ignored: not a picture that is read",
        "1 without ending": "ignored: not a picture that is read",
        "1 .csv": "ignored: not a picture that is read",
        "1 hidden": "ignored: the name begins with a dot",
    }


def test_very_many_endings_are_summed(tmp_path, save_picture, rng):
    for i in range(60):
        (tmp_path / f"dump.{i:03}").write_text("x")
    for i in range(4):
        save_picture(tmp_path / f"{i}.png", noise(rng))
    fates = load(tmp_path).fates
    assert len(fates) == 41
    assert fates["4 .png"] == "pictures"
    assert "21 of other endings" in fates


@pytest.fixture
def without_heif(monkeypatch):
    """As if pillow-heif were not installed."""
    monkeypatch.setattr("vlae.data.files.find_spec", lambda name: None if name == "pillow_heif" else True)
    decoders.cache_clear()
    yield
    decoders.cache_clear()


def test_heic_says_what_reads_it(tmp_path, save_picture, rng, without_heif):
    (tmp_path / "a.heic").write_bytes(b"x")
    with pytest.raises(DataError, match=r'1 \.heic, HEIF is read after pip install "vlae\[heic\]"\)'):
        load(tmp_path)
    with pytest.raises(DataError, match=r'a\.heic: HEIF is read after pip install "vlae\[heic\]"$'):
        load(tmp_path / "a.heic", split="all")
    for i in range(4):
        save_picture(tmp_path / f"{i}.png", noise(rng))
    images = load(tmp_path)
    assert images.fates["1 .heic"] == 'ignored: HEIF is read after pip install "vlae[heic]"'
    decoders.cache_clear()


def test_a_folder_is_read_again_when_more_can_be_decoded(tmp_path, rng, monkeypatch):
    decoders()
    for name in ("a.heic", "b.heic", "c.png", "d.png"):
        Image.fromarray(noise(rng, 32)).save(tmp_path / name)
    with monkeypatch.context() as patch:
        patch.setattr("vlae.data.files.find_spec", lambda name: None if name == "pillow_heif" else True)
        decoders.cache_clear()
        assert len(load(tmp_path, split="all")) == 2
    decoders.cache_clear()
    assert len(load(tmp_path, split="all")) == 4


def test_the_figures_of_a_run_are_no_data(tmp_path, save_picture, rng):
    for i in range(4):
        save_picture(tmp_path / f"{i}.png", noise(rng))
    for name, weights in (("done", run_files.MODEL), ("begun", run_files.CHECKPOINT)):
        save_picture(tmp_path / "runs" / name / run_files.FIGURES / "levels.png", noise(rng))
        (tmp_path / "runs" / name / run_files.RECIPE).write_text("{}")
        (tmp_path / "runs" / name / weights).write_bytes(b"x")
    save_picture(tmp_path / "soup" / "soup.png", noise(rng))
    (tmp_path / "soup" / "recipe.json").write_text("{}")
    images = load(tmp_path, split="all")
    assert images.names == ("0.png", "1.png", "2.png", "3.png", "soup/soup.png")
    assert dict(images.skipped) == dict.fromkeys(
        ("runs/begun", "runs/done"), "a run of vlae, whose figures are no data"
    )


def test_links_to_nothing_and_folders_without_permission_are_said(tmp_path, save_picture, rng, monkeypatch):
    for i in range(3):
        save_picture(tmp_path / "a" / f"{i}.png", noise(rng))
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    images = load(tmp_path, split="all")
    assert len(images) == 3
    assert dict(images.skipped) == {
        "a/gone.png": "a link to nothing",
        "locked": "cannot be read: Permission denied",
    }


@pytest.mark.slow
def test_folders_deeper_than_calls_may_nest(tmp_path, rng):
    place = tmp_path
    for depth in range(1_500):
        place = place / "a"
        place.mkdir()
        if depth in (2, 1_499):
            Image.fromarray(noise(rng)).save(place / "deep.png")
    images = load(tmp_path, split="all")
    assert [name.count("/") for name in images.names] == [1_500, 3]
    assert images.labels is None
    subprocess.run(["rm", "-r", tmp_path / "a"], check=True)  # too deep for pytest


def test_no_call_for_each_folder(tmp_path):
    """Few folders, and fewer calls allowed: the same, quickly."""
    place = tmp_path.joinpath(*"a" * 60)
    place.mkdir(parents=True)
    (place / "deep.png").write_bytes(b"x")
    depth = len(inspect.stack())
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 40)
    try:
        found = list(walk(tmp_path))
    finally:
        sys.setrecursionlimit(before)
    assert found == [place / "deep.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes there only")
def test_names_that_are_not_utf_8(tmp_path, rng):
    for kind in (b"caf\xe9", b"caf\xe8", b"tea"):
        folder = tmp_path / os.fsdecode(kind)
        folder.mkdir()
        for i in range(8):
            Image.fromarray(noise(rng)).save(folder / os.fsdecode(b"%d\xff.png" % i))
    (tmp_path / "tea" / os.fsdecode(b"broken\xfe.png")).write_bytes(b"x")
    for images in (load(tmp_path), load(tmp_path)):  # decoded, and from the cache
        assert len(images) == 18
        assert images.label_names == (r"caf\xe8", r"caf\xe9", "tea")
        assert all(name.encode().endswith(rb"\xff.png") for name in images.names)
        assert images.skipped == ((r"tea/broken\xfe.png", "not a picture that Pillow can read"),)


# Pages and frames


def stack(rng, num, side=16):
    return [Image.fromarray(noise(rng, side)) for _ in range(num)]


def save_stack(path, frames, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)


def test_every_page_of_a_tiff_is_a_picture(tmp_path, rng):
    pages = {name: stack(rng, 25) for name in "abcd"}
    for name, frames in pages.items():
        save_stack(tmp_path / f"{name}.tif", frames)
    images = load(tmp_path, split="all")
    assert len(images) == 100
    assert images.names[:2] == ("a.tif#1", "a.tif#2")
    assert images.names[-1] == "d.tif#25"
    for i, name in enumerate(images.names):
        page = pages[name[0]][int(name.partition("#")[2]) - 1]
        assert (images.values[i] == np.asarray(page).transpose(2, 0, 1)).all()
    assert images.fates == {"4 .tif": "pictures", "100 pages of 4 TIFF files": "pictures"}
    for seed in range(5):
        sides = [
            {name.partition("#")[0] for name in load(tmp_path, split=split, seed=seed).names}
            for split in ("train", "test")
        ]
        assert sides[0].isdisjoint(sides[1])
        assert len(sides[0]) == 3 and len(sides[1]) == 1


def test_a_single_file_of_pages(tmp_path, rng):
    save_stack(tmp_path / "one.tif", stack(rng, 40))
    assert load(tmp_path / "one.tif", split="all").names[39] == "one.tif#40"
    train, test = load(tmp_path / "one.tif"), load(tmp_path / "one.tif", split="test")
    assert (len(train), len(test)) == (30, 10)
    assert "some are held out all the same" in train.fates.values()


def test_small_versions_of_a_page_are_no_pictures(tmp_path, rng):
    large, small = Image.fromarray(noise(rng, 32)), Image.fromarray(noise(rng, 16))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    large.save(tmp_path / "a.tif", save_all=True, append_images=[small])
    images = load(tmp_path, split="all")
    assert images.names == ("a.tif",)
    assert images.shape == (3, 32, 32)
    assert images.fates["1 picture of several frames"] == "ignored: all frames but the first"


def test_another_picture_called_tif(tmp_path, rng):
    picture = Image.fromarray(noise(rng))
    picture.save(tmp_path / "a.tif", "PNG")
    picture.save(tmp_path / "b.tif", "TIFF")
    images = load(tmp_path, split="all")
    assert images.names == ("a.tif", "b.tif")
    assert (images.values == np.asarray(picture).transpose(2, 0, 1)).all()
    assert images.skipped == ()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_stack_cut_short_keeps_its_whole_pages_and_says_so(tmp_path, rng):
    save_stack(tmp_path / "a.tif", stack(rng, 20, side=32))
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    images = load(tmp_path, split="all")
    assert images.names[-1] == "a.tif#10"
    assert dict(images.skipped)["a.tif#11"].startswith("no page from here on can be read: ")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_broken_tiff_is_said_once(tmp_path, rng):
    save_stack(tmp_path / "a.tif", stack(rng, 3))
    (tmp_path / "b.tif").write_bytes(b"II*\0broken")
    (tmp_path / "c.tif").write_bytes(b"")
    images = load(tmp_path, split="all")
    assert images.names == ("a.tif#1", "a.tif#2", "a.tif#3")
    assert [name for name, _ in images.skipped] == ["b.tif", "c.tif"]


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation_and_it_is_said(tmp_path, save_picture, ending):
    frames = [Image.fromarray(np.full((16, 16, 3), level, np.uint8)) for level in (200, 100, 0)]
    save_stack(tmp_path / f"a.{ending}", frames, **({"lossless": True} if ending == "webp" else {}))
    save_picture(tmp_path / f"b.{ending}", np.full((16, 16, 3), 40), **({"lossless": True} if ending == "webp" else {}))
    images = load(tmp_path, split="all")
    assert images.values[:, 0, 0, 0].tolist() == [200, 40]
    assert images.fates == {
        f"2 .{ending}": "pictures",
        "1 picture of several frames": "ignored: all frames but the first",
    }


# Sizes


def test_a_very_large_jpeg_is_decoded_small(tmp_path, save_picture, rng, recwarn):
    for i in range(3):
        save_picture(tmp_path / f"{i}.jpg", noise(rng, 64))
    Image.new("RGB", (12_000, 9_000), (200, 40, 90)).save(tmp_path / "large.jpg")
    images = load(tmp_path, split="all")
    assert images.skipped == ()
    assert np.abs(images.values[3].mean(axis=(1, 2)) - [200, 40, 90]).max() < 3
    assert not recwarn.list


def test_a_very_large_progressive_jpeg_would_fill_the_memory(tmp_path, save_picture, rng, monkeypatch):
    monkeypatch.setenv("VLAE_MAX_PIXELS", "10000")
    save_picture(tmp_path / "a.jpg", noise(rng, 160), progressive=True)
    save_picture(tmp_path / "b.jpg", noise(rng, 320), progressive=True)
    images = load(tmp_path, split="all", size=8)
    assert images.names == ("a.jpg",)
    assert "VLAE_MAX_PIXELS=102400" in dict(images.skipped)["b.jpg"]


def test_the_limit_on_pixels_is_a_setting(tmp_path, save_picture, rng, monkeypatch):
    for i, side in enumerate((100, 100, 101)):
        save_picture(tmp_path / f"{i}.png", noise(rng, side))
    monkeypatch.setenv("VLAE_MAX_PIXELS", "10000")
    images = load(tmp_path, split="all")
    assert images.names == ("0.png", "1.png")
    assert "101×101 pixels are more than 10000" in dict(images.skipped)["2.png"]
    assert "set VLAE_MAX_PIXELS=10201" in dict(images.skipped)["2.png"]
    monkeypatch.setenv("VLAE_MAX_PIXELS", "10201")
    assert len(load(tmp_path, split="all")) == 3
    monkeypatch.setenv("VLAE_MAX_PIXELS", "many")
    with pytest.raises(DataError, match="VLAE_MAX_PIXELS is 'many': give a whole number"):
        load(tmp_path, split="all")


def test_a_limit_above_that_of_pillow(tmp_path, save_picture, rng, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000)
    save_picture(tmp_path / "0.png", noise(rng, 150))
    save_picture(tmp_path / "1.png", noise(rng, 20))
    images = load(tmp_path, split="all")
    assert images.names == ("1.png",)
    assert "set VLAE_MAX_PIXELS" in dict(images.skipped)["0.png"]
    monkeypatch.setenv("VLAE_MAX_PIXELS", "30000")
    assert len(load(tmp_path, split="all")) == 2


def test_pictures_that_hold_next_to_nothing_are_left_out(tmp_path, save_picture, rng):
    for i in range(3):
        save_picture(tmp_path / f"{i}.png", noise(rng))
    save_picture(tmp_path / "dot.png", noise(rng, 1))
    Image.fromarray(noise(rng, 64)).resize((64, 7)).save(tmp_path / "line.png")
    images = load(tmp_path, split="all")
    assert images.shape == (3, 16, 16)
    assert dict(images.skipped) == {
        "dot.png": "1×1 pixels, a side is less than 8",
        "line.png": "64×7 pixels, a side is less than 8",
    }


# Copies


def test_copies_are_not_held_out_and_they_are_counted(tmp_path, rng):
    for i in range(60):
        Image.fromarray(noise(rng, 12)).resize((96, 96), Image.Resampling.BICUBIC).save(tmp_path / f"{i:02}.png")
    for i in range(5):
        (tmp_path / f"copy{i}.png").write_bytes((tmp_path / f"{i:02}.png").read_bytes())
    with Image.open(tmp_path / "09.png") as picture:
        picture.save(tmp_path / "again.jpg", quality=80)
    for seed in range(5):
        test = load(tmp_path, split="test", seed=seed)
        assert len(test) == 16
        assert not {"00.png", "01.png", "02.png", "03.png", "04.png", "09.png"} & set(test.names)
        assert not any(name.startswith(("copy", "again")) for name in test.names)
    train = load(tmp_path)
    assert len(train) == 50
    assert train.fates["6 copies of other pictures"].startswith("not held out, with what")


def test_copies_across_given_parts_are_said(tmp_path, rng):
    for i in range(6):
        for part in ("train", "test"):
            (tmp_path / part).mkdir(exist_ok=True)
            Image.fromarray(noise(rng)).save(tmp_path / part / f"{i}.png")
    (tmp_path / "test" / "5.png").write_bytes((tmp_path / "train" / "0.png").read_bytes())
    images = load(tmp_path)
    assert (
        images.fates["1 picture of the test part, also in the train part"]
        == "not moved: the source has parts of its own"
    )
    assert len(load(tmp_path, split="test")) == 6


def test_nothing_but_copies_is_held_out_all_the_same(tmp_path, save_picture):
    for i in range(8):
        save_picture(tmp_path / f"{i}.png", np.zeros((16, 16)))
    assert (len(load(tmp_path)), len(load(tmp_path, split="test"))) == (6, 2)
    assert "some are held out all the same" in load(tmp_path).fates.values()


def test_what_is_left_out_is_said_once(tmp_path, save_picture, rng, capsys):
    for i in range(8):
        save_picture(tmp_path / f"{i}.png", noise(rng))
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "broken.png").write_bytes(b"x")
    (tmp_path / "a.svg").write_text("x")
    say_skipped(load(tmp_path), with_parts=True)
    assert capsys.readouterr().err.splitlines() == [
        f"skipped 1 of {tmp_path}:",
        "  broken.png: not a picture that Pillow can read",
        f"ignored in {tmp_path}:",
        "  1 .svg: not a picture that is read",
        f"noted in {tmp_path}:",
        "  1 copy of another picture: not held out, with what they are copies of, unless there are too few others",
    ]
    say_skipped(load(tmp_path, split="all"))  # nothing is held out
    assert "copy" not in capsys.readouterr().err


def test_a_folder_of_tables_is_told_of_streams(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"no picture among 1 file .*, or train on shards with --stream"):
        load(tmp_path)
