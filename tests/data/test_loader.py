import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile

from vlae.data import DataError, Images, load, loader
from vlae.data.cache import FORMAT
from vlae.data.files import decoders
from vlae.data.source import ReadSettings

pytestmark = pytest.mark.usefixtures("cache")


def save(path, pixels, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(path, **options)


def one(folder, **settings):
    """Load a folder of one picture."""
    return load(folder, split="all", **settings).values[0]


def quarters(width=16, height=16):
    """Red, green over blue, white."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2, 0] = 255
    pixels[: height // 2, width // 2 :, 1] = 255
    pixels[height // 2 :, : width // 2, 2] = 255
    pixels[height // 2 :, width // 2 :] = 255
    return pixels


# Pictures of every format and mode


@pytest.mark.parametrize("ending", ["png", "PNG", "bmp", "gif", "tif", "tiff", "webp"])
def test_lossless_formats_give_the_very_pixels(tmp_path, ending):
    options = {"lossless": True} if ending == "webp" else {}
    save(tmp_path / f"a.{ending}", quarters(), **options)
    assert (one(tmp_path) == quarters().transpose(2, 0, 1)).all()


@pytest.mark.parametrize("ending", ["jpg", "JPEG"])
def test_jpeg_gives_nearly_the_pixels(tmp_path, ending):
    save(tmp_path / f"a.{ending}", quarters(), quality=100, subsampling=0)
    assert np.abs(one(tmp_path).astype(int) - quarters().transpose(2, 0, 1)).max() < 8


@pytest.mark.parametrize(
    ("mode", "level"), [("L", 100), ("1", 255), ("LA", 100), ("P", 100), ("RGB", 100), ("RGBA", 100)]
)
def test_modes_without_visible_alpha(tmp_path, mode, level):
    save(tmp_path / "a.png", np.full((16, 16), level, np.uint8), mode)
    images = one(tmp_path)
    assert len(images) == (1 if mode in ("L", "1", "LA") else 3)
    assert (images == level).all()


def test_cmyk(tmp_path):
    save(tmp_path / "a.tif", Image.new("CMYK", (16, 16), (0, 255, 255, 0)))
    assert one(tmp_path)[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette", "colour key"])
def test_alpha_is_laid_on_white_or_kept(tmp_path, kind):
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:, 8:, 3] = 255  # left: clear, right: black
    image = Image.fromarray(pixels)
    if kind == "palette":
        image = Image.fromarray((pixels[:, :, 3] > 0).astype(np.uint8)).convert("P")
        image.putpalette([200, 0, 0, 0, 0, 0])
        save(tmp_path / "a.png", image, transparency=0)
    elif kind == "colour key":
        grey = np.where(pixels[:, :, 3] > 0, 0, 77).astype(np.uint8)
        save(tmp_path / "a.png", np.stack([grey] * 3, axis=-1), transparency=(77, 77, 77))
    else:
        save(tmp_path / "a.png", image, kind)
    expected = np.where(np.arange(16) < 8, 255, 0)
    assert (one(tmp_path, channels=3) == expected).all()
    assert (one(tmp_path, channels=1) == expected).all()
    assert (one(tmp_path, channels=4)[3] == 255 - expected).all()
    assert (one(tmp_path, channels=2)[1] == 255 - expected).all()


def test_half_clear_is_half_white(tmp_path):
    save(tmp_path / "a.png", np.full((16, 16, 4), [255, 0, 0, 128], np.uint8))
    assert one(tmp_path)[:, 0, 0].tolist() == pytest.approx([255, 127, 127], abs=1)


def test_opaque_pictures_get_full_alpha(tmp_path):
    save(tmp_path / "a.png", quarters())
    assert (one(tmp_path, channels=4)[3] == 255).all()
    assert (one(tmp_path, channels=2)[1] == 255).all()


def test_luminance(tmp_path):
    save(tmp_path / "a.png", quarters())
    assert one(tmp_path, channels=1)[0, ::8, ::8].tolist() == [[76, 150], [29, 255]]


def test_one_colour_picture_makes_all_colour(tmp_path):
    save(tmp_path / "a.png", np.full((16, 16), 7, np.uint8))
    save(tmp_path / "b.png", quarters())
    assert load(tmp_path, split="all").shape == (3, 16, 16)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone(tmp_path, orientation):
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # the camera's rows, which orientation 6 says to turn by 270°
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    for name, width in (
        ("a.png", 16),
        ("a.tif", 16),
        ("a.jpg", 200),
        ("b.jpg", 2000),
    ):  # the last is decoded at a reduced size
        folder = tmp_path / f"{name}-{width}"
        upright = Image.fromarray(quarters(width, 12 * width // 16))
        stored = upright.transpose(turns[orientation]) if orientation in turns else upright
        save(folder / name, stored, exif=exif)
        pixels = one(folder)
        assert pixels.shape == ((3, 12, 16) if width == 16 else (3, 48, 64))
        corners = pixels[:, [1, 1, -2, -2], [1, -2, 1, -2]].T
        assert np.abs(corners.astype(int) - [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]).max() < 30


# Sizes


def test_one_small_size_is_kept_even_if_not_square(tmp_path, rng):
    pixels = rng.integers(0, 256, (3, 28, 20), np.uint8)
    for i in range(3):
        save(tmp_path / f"{i}.png", pixels[i])
    assert (load(tmp_path, split="all").values[:, 0] == pixels).all()
    assert load(tmp_path, size=16).shape == (1, 16, 16)


def test_mixed_and_large_sizes_become_64(tmp_path):
    save(tmp_path / "mixed" / "a.png", quarters(16, 16))
    save(tmp_path / "mixed" / "b.png", quarters(20, 16))
    save(tmp_path / "large" / "a.png", quarters(65, 65))
    assert load(tmp_path / "mixed", split="all").shape == (3, 64, 64)
    assert one(tmp_path / "large").shape == (3, 64, 64)


def test_the_middle_square_is_taken(tmp_path):
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 100:200] = 255
    save(tmp_path / "a.png", pixels)
    assert (one(tmp_path, size=50) == 255).all()


def test_crop_comes_before_size(tmp_path):
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[30:70, 130:170] = 255
    save(tmp_path / "a.png", pixels)
    assert (one(tmp_path, crop=40, size=16) == 255).all()
    assert (one(tmp_path, crop=40) == 255).all()
    assert one(tmp_path, crop=40).shape == (3, 40, 40)
    assert not one(tmp_path, crop=44).all()
    with pytest.raises(DataError, match=r"a\.png: 300×100 pixels, less than crop=101"):
        load(tmp_path, crop=101)


def test_arrays_are_resized_and_change_channels_too(rng):
    array = rng.integers(0, 256, (20, 28, 20), np.uint8)
    assert load(array, size=32).shape == (1, 32, 32)
    assert (load(array, crop=20, split="all").values[:, 0] == array[:, 4:24]).all()
    colour = load(array, channels=3, split="all").values
    assert (colour == array[:, None]).all()
    for channels in (1, 2, 3, 4):
        assert load(rng.random((20, 16, 16, channels)), size=8).shape == (channels, 8, 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 7}, "size is 7: choose an image side of 8 to 256"),
        ({"size": 257}, "size is 257"),
        ({"crop": 1}, "crop is 1"),
        ({"channels": 5}, "channels is 5"),
        ({"layout": "HWC"}, "choose 'NHW', 'NHWC' or 'NCHW'"),
        ({"split": "val"}, "choose 'train', 'test' or 'all'"),
        ({"holdout": 1}, "holdout is 1"),
        ({"limit": 0}, "limit is 0"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(DataError, match=message):
        load(np.zeros((20, 8, 8)), **settings)


def test_settings_of_images_do_not_fit_vectors():
    with pytest.raises(DataError, match="these are vectors"):
        load(np.zeros((20, 8)), size=16)


def test_what_is_no_source():
    with pytest.raises(TypeError, match="list is no source"):
        load([1, 2])


# Broken and hostile files


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_broken_pictures_are_skipped_and_listed(tmp_path, monkeypatch):
    for i in range(8):
        save(tmp_path / f"{i}.png", np.full((40, 40, 3), 30 * i, np.uint8))
    (tmp_path / "1.png").write_bytes(b"not a picture")
    (tmp_path / "3.png").write_bytes(b"")
    content = (tmp_path / "5.png").read_bytes()
    (tmp_path / "5.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "6.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n")
    save(tmp_path / "bomb.png", np.zeros((200, 200), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
    images = load(tmp_path, split="all")
    assert images.values[:, 0, 0, 0].tolist() == [0, 60, 120, 210]
    assert images.names == ("0.png", "2.png", "4.png", "7.png")
    assert [name for name, _ in images.skipped] == ["1.png", "3.png", "5.png", "6.png", "bomb.png"]
    assert "bomb" in dict(images.skipped)["bomb.png"].lower()
    assert "truncated" in dict(images.skipped)["5.png"].lower()
    again = load(tmp_path, split="all")
    assert again.skipped == images.skipped
    assert (again.values == images.values).all()


def test_labels_stay_with_their_pictures_when_some_are_broken(tmp_path):
    for i in range(20):
        save(tmp_path / "ab"[i % 2] / f"{i:02}.png", np.full((16, 16), i, np.uint8))
    (tmp_path / "a" / "04.png").write_bytes(b"x")
    for split in ("train", "test", "all"):
        images = load(tmp_path, split=split)
        assert (images.values[:, 0, 0, 0] % 2 == images.labels).all()
        assert [int(name[2:4]) for name in images.names] == images.values[:, 0, 0, 0].tolist()


def test_nothing_but_broken_pictures(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"none of its 3 pictures can be read \(0\.png: not a picture") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    for i in range(3):
        save(tmp_path / f"{i}.png", quarters(100, 100))
        content = (tmp_path / f"{i}.png").read_bytes()
        (tmp_path / f"{i}.png").write_bytes(content[:100])
    with pytest.raises(DataError, match="none of its 3 pictures can be read"):
        load(tmp_path)


def test_a_single_picture(tmp_path):
    save(tmp_path / "a.png", quarters())
    assert load(tmp_path / "a.png", split="all").names == ("a.png",)
    for source in (tmp_path, tmp_path / "a.png"):
        with pytest.raises(DataError, match="one picture is not enough"):
            load(source)


# Parts


def test_held_out_and_rest_are_the_whole_in_order():
    array = np.repeat(np.arange(100, dtype=np.uint8), 64).reshape(100, 8, 8)
    train, test = load(array), load(array, split="test")
    first, second = train.values[:, 0, 0, 0], test.values[:, 0, 0, 0]
    assert len(test) == 16
    assert sorted([*first, *second]) == list(range(100))
    assert (np.diff(first) > 0).all()
    assert (np.diff(second) > 0).all()
    assert (load(array, split="test").values == test.values).all()
    assert (load(array, split="test", seed=1).values != test.values).any()


def test_how_many_are_held_out():
    rows = np.zeros((1000, 3))
    assert len(load(rows, split="test")) == 50
    assert len(load(rows, split="test", holdout=0.2)) == 200
    assert len(load(rows, holdout=0)) == 1000
    with pytest.raises(DataError, match="test part is empty"):
        load(rows, split="test", holdout=0)
    assert len(load(rows[:2])) == len(load(rows[:2], split="test")) == 1


def test_limit_is_a_fair_choice_in_order():
    rows = np.arange(1000.0)[:, None]
    some = load(rows, limit=100)
    assert len(some) == 100
    assert (np.diff(some.values[:, 0]) > 0).all()
    assert 400 < some.values.mean() < 600
    assert set(some.values[:, 0]) <= set(load(rows).values[:, 0])
    assert set(load(rows, limit=50).values[:, 0]) <= set(some.values[:, 0])
    assert len(load(rows, limit=5000)) == 950


def test_images_are_a_source_of_their_parts():
    whole = load(np.arange(100.0)[:, None], split="all")
    train = load(whole)
    assert (train.values == load(whole.values).values).all()
    assert (load(train).values == train.values).all()
    with pytest.raises(DataError, match="its test part is empty"):
        load(train, split="test")
    assert load(load(np.zeros((20, 16, 16)), split="all"), size=8).shape == (1, 8, 8)


def test_too_many_scattered_rows_are_kept_on_disk(tmp_path, monkeypatch, rng):
    np.save(tmp_path / "a.npy", rng.random((100, 8, 8)))
    in_memory = load(tmp_path / "a.npy")
    monkeypatch.setattr(loader, "IN_MEMORY", 100)
    for _ in range(2):
        on_disk = load(tmp_path / "a.npy")
        assert isinstance(on_disk.values, np.memmap)
        assert (on_disk.values == in_memory.values).all()


# Images


def test_take_takes_all_that_is_known():
    images = Images(
        values=np.arange(5, dtype=np.float32)[:, None],
        labels=np.arange(5),
        factors={"a": np.arange(5)},
        names=tuple("abcde"),
    )
    for taken in (images.take([3, 1]), images.take(np.array([3, 1])), images.take(slice(3, 0, -2))):
        assert taken.values[:, 0].tolist() == taken.labels.tolist() == taken.factors["a"].tolist() == [3, 1]
        assert taken.names == ("d", "b")


def test_describe_is_json(tmp_path):
    for i in range(6):
        save(tmp_path / "ab"[i % 2] / f"{i}.png", np.full((16, 16), 10 * i, np.uint8))
    (tmp_path / "a" / "x.png").write_bytes(b"x")
    said = json.loads(json.dumps(load(tmp_path, split="all").describe()))
    assert said["count"] == 6
    assert said["shape"] == [1, 16, 16]
    assert said["kind"] == "images"
    assert said["value_range"] == [0, 50]
    assert said["labels"] == {"a": 3, "b": 3}
    assert said["num_skipped"] == 1
    assert json.dumps(load("streets:20").describe()["factors"]["digit"])


def test_importing_is_cheap():
    code = "import sys, vlae.data; print([m for m in ('torch', 'datasets', 'scipy', 'pyarrow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# The cache


@pytest.fixture
def folder(tmp_path):
    for i in range(20):
        save(tmp_path / "pictures" / f"{i:02}.png", np.full((16, 16), i, np.uint8))
    return tmp_path / "pictures"


@pytest.fixture
def num_decoded(monkeypatch):
    """Count the pictures that are decoded."""
    counted = []
    decode = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: (counted.append(self.tile), decode(self))[1])
    return counted


def test_a_source_is_decoded_once(folder, num_decoded):
    first = load(folder)
    assert num_decoded
    num_decoded.clear()
    again, test, other_seed = load(folder), load(folder, split="test"), load(folder, seed=3, holdout=0.5)
    assert num_decoded == []
    assert (first.values == again.values).all()
    assert len(test) == 5
    assert len(other_seed) == 10
    folder.rename(folder.with_name("moved"))
    load(folder.with_name("moved"))
    assert num_decoded == []
    whole = load(folder.with_name("moved"), split="all")
    assert isinstance(whole.values, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        whole.values[0] = 0


def test_the_name_of_a_cache_entry_stays():
    """A new name would decode every source again."""
    settings = ReadSettings(size=16, layout="NHW")
    asked = "Settings(size=16, fit=None, crop=None, channels=None, value_range=None, layout='NHW', key=None, id=None, "
    asked += "columns=None)"
    read = f"{' '.join(decoders())}, 89478485 pixels"
    assert loader.entry_name(settings, "print") == loader.hash_bytes(f"{FORMAT}\n{asked}\n{read}\nprint".encode())


@pytest.mark.parametrize("change", ["content", "new", "gone", "size"])
def test_a_changed_source_is_decoded_again(folder, num_decoded, change):
    load(folder)
    num_decoded.clear()
    if change == "content":
        save(folder / "03.png", np.full((16, 16), 99, np.uint8))
        os.utime(folder / "03.png", ns=(1, 1))
    elif change == "new":
        save(folder / "99.png", np.full((16, 16), 99, np.uint8))
    elif change == "gone":
        (folder / "03.png").unlink()
    images = load(folder, split="all", size=8 if change == "size" else None)
    assert num_decoded
    expected = {"content": [3, 99], "new": [20, 99], "gone": [3, 4], "size": [3, 3]}[change]
    assert images.values[expected[0], 0, 0, 0] == expected[1]


def test_folders_of_the_same_names_sizes_and_times_are_not_taken_for_each_other(tmp_path):
    for folder, level in (("a", 10), ("b", 200)):
        for i in range(3):
            save(tmp_path / folder / f"{i}.bmp", np.full((16, 16), level + i, np.uint8))
            os.utime(tmp_path / folder / f"{i}.bmp", ns=(0, 0))
    assert [load(tmp_path / folder, split="all").values[2, 0, 0, 0] for folder in "ab"] == [12, 202]


def test_a_damaged_entry_is_made_anew(folder, cache):
    expected = load(folder, split="all").values.copy()
    for name in ("values.npy", "rows.npz", "about.json"):
        (file,) = cache.glob(f"*/{name}")
        file.write_bytes(file.read_bytes()[:20])
        assert (load(folder, split="all").values == expected).all()
        file.unlink()
        assert (load(folder, split="all").values == expected).all()


def test_a_cache_deleted_under_a_reader_is_no_matter(folder, cache, monkeypatch):
    def after_somebody_has_deleted_it(*args):
        shutil.rmtree(cache, ignore_errors=True)
        return opened(*args)

    opened = loader.open_entry
    monkeypatch.setattr(loader, "open_entry", after_somebody_has_deleted_it)
    for _ in range(2):
        assert load(folder, split="all").values[:, 0, 0, 0].tolist() == list(range(20))


def test_chosen_rows_deleted_under_a_reader_are_no_matter(folder, cache, monkeypatch):
    expected = load(folder).values
    monkeypatch.setattr(loader, "IN_MEMORY", 0)
    whole, _ = loader.decode(loader.identify(folder, ReadSettings())[1](), ReadSettings(), "", False, None)
    monkeypatch.setattr(loader.np, "load", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError()))
    rows = [i for i in range(20) if i in expected[:, 0, 0, 0]]
    assert (loader._select(whole, np.array(rows), cache).values == expected).all()


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_that_looks_whole(folder, cache):
    code = f"""
        import os, vlae.data
        vlae.data.loader.write_rows = lambda *_: os.kill(os.getpid(), 9)
        vlae.data.load({str(folder)!r})
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True)
    assert killed.returncode == -9
    (left,) = cache.iterdir()
    assert left.name.startswith(".unfinished-")
    assert len(load(folder, split="all")) == 20
    os.utime(left, (time.time() - 10**6,) * 2)
    load(folder, size=8)
    assert not left.exists()


@pytest.mark.parametrize("failing", ["posix_fallocate", "savez"])
def test_a_full_disk_is_one_line_and_leaves_nothing(folder, cache, monkeypatch, failing):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os if failing == "posix_fallocate" else np, failing, full)
    with pytest.raises(DataError, match=r"\(No space left on device\); make room, or set VLAE_CACHE") as caught:
        load(folder)
    assert str(cache) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("VLAE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match="set VLAE_CACHE"):
        load(folder)


def test_an_interrupted_load_leaves_nothing(folder, cache, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loader, "write_rows", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load(folder)
    assert list(cache.iterdir()) == []


def test_of_two_processes_at_once_the_first_wins(folder, cache, monkeypatch):
    together = threading.Barrier(2)
    write = loader.write_rows
    monkeypatch.setattr(loader, "write_rows", lambda *args: (write(*args), together.wait(timeout=10)))
    results = []
    threads = [threading.Thread(target=lambda: results.append(load(folder, split="all"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [images.values[:, 0, 0, 0].tolist() for images in results] == [list(range(20))] * 2
    assert len(list(cache.iterdir())) == 1


def test_where_the_cache_is(monkeypatch, tmp_path):
    assert loader.cache_folder() == Path(os.environ["VLAE_CACHE"])
    monkeypatch.delenv("VLAE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert loader.cache_folder() == tmp_path / "vlae"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert loader.cache_folder() == Path.home() / ".cache" / "vlae"


def test_a_progress_bar_where_asked_on_a_terminal_and_never_among_what_is_printed(folder, capsys, monkeypatch):
    load(folder, progress=True)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")  # as if on a terminal
    load(folder, size=16, progress=True)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "decoding pictures" in printed.err
    load(folder, size=8)
    assert capsys.readouterr() == ("", "")
