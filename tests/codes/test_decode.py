import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from code_files import columns_of
from PIL import Image
from pyarrow import parquet

from vlae.codes import decode as decoding
from vlae.codes import files as codes
from vlae.codes.decode import decode
from vlae.codes.encode import encode
from vlae.codes.files import CodesError
from vlae.data import load
from vlae.models.priors import complete
from vlae.workflows import train

pytestmark = pytest.mark.usefixtures("no_pages")


@pytest.mark.parametrize("name", ["codes.parquet", "codes.npz", "codes"])
def test_decoding_gives_what_the_codes_say(run, folder, tmp_path, name):
    file = encode(run, folder, tmp_path / name)
    images = np.load(decode(run, file, tmp_path / "again.npz"))["images"]
    columns = columns_of(file)
    wanted = run.decode([columns["level1"], np.zeros((20, 0)), columns["level3"]])
    assert np.abs(images - 255 * wanted).max() < 0.501  # the nearest grey level
    again = decode(run, file, tmp_path / "again")
    files = sorted(path.relative_to(again).as_posix() for path in again.rglob("*.png"))
    assert files == sorted(columns["name"])
    pixels = np.asarray(Image.open(again / columns["name"][3])).transpose(2, 0, 1)
    assert np.array_equal(pixels, images[3])


def test_a_missing_level_is_drawn_given_the_others(run, folder, tmp_path, capsys):
    columns = columns_of(encode(run, folder, tmp_path / "codes.npz"))
    np.savez(tmp_path / "some.npz", level1=columns["level1"])
    one, again, other = (
        np.load(decode(run, tmp_path / "some.npz", tmp_path / f"{i}.npz", seed=seed, progress=True))["images"]
        for i, seed in enumerate((0, 0, 1))
    )
    assert "level 3 drawn from" in capsys.readouterr().err
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    given = torch.tensor(columns["level1"])
    whole = complete(run.model, run.prior, {1: given}, torch.Generator().manual_seed(0))
    assert np.abs(one - 255 * run.decode([code.numpy() for code in whole])).max() < 0.501


def test_names_lead_nowhere_else(run, tmp_path):
    table = codes.as_table(
        {"name": ["../../a.png", "/b.png", "a.jpg", ".."], "level1": np.zeros((4, 1)), "level3": np.zeros((4, 2))}, {}
    )
    parquet.write_table(table, tmp_path / "codes.parquet")
    out = decode(run, tmp_path / "codes.parquet", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codes.parquet", "out"]
    assert sorted(path.name for path in out.iterdir()) == ["a-2.png", "a.png", "b.png", "unnamed.png"]


def decoded_names(run, tmp_path, names):
    table = codes.as_table(
        {"name": names, "level1": np.arange(len(names), dtype=float)[:, None], "level3": np.zeros((len(names), 2))}, {}
    )
    parquet.write_table(table, tmp_path / "codes.parquet")
    out = decode(run, tmp_path / "codes.parquet", tmp_path / f"out{len(list(tmp_path.iterdir()))}")
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))


def test_each_row_has_a_file_of_its_name(run, tmp_path):
    dotted = [f"sample.{i:03d}" for i in range(4)]
    assert decoded_names(run, tmp_path, dotted) == [f"{name}.png" for name in dotted]
    assert decoded_names(run, tmp_path, ["a", None, "c.JPG"]) == ["00000001.png", "a.png", "c.png"]
    many = decoded_names(run, tmp_path, ["shoe"] * 600)  # more than one batch
    assert many == sorted(["shoe.png", *(f"shoe-{i}.png" for i in range(2, 601))])
    assert decoded_names(run, tmp_path, ["b", "b", "b-2", "b-2", "x/b"]) == [
        "b-2-2.png",
        "b-2.png",
        "b-3.png",
        "b.png",
        "x/b.png",
    ]


def test_names_that_no_disk_takes_lose_no_work(run, tmp_path):
    assert decoded_names(run, tmp_path, ["x", "x.png/z", "X.PNG/x.png"]) == ["X.PNG_/x.png", "x.png", "x.png_/z.png"]
    assert decoded_names(run, tmp_path, ["a\x00b.png", "c\nd"]) == [r"a\x00b.png", r"c\nd.png"]
    long = decoded_names(run, tmp_path, ["é" * 300 + ".png", "é" * 300, "ü" * 300 + "/a", "d/" * 3_000 + "b"])
    assert long[1:] == ["é" * 120 + "-2.png", "é" * 120 + ".png", "ü" * 120 + "/a.png"]
    assert long[0].endswith("d/b.png") and 900 < len(long[0]) < 1_020


def test_an_npz_file_takes_the_memory_of_some_batches(run, tmp_path, monkeypatch):
    most, numbers = 10 * codes.BATCH, decoding._numbers
    np.savez(tmp_path / "codes.npz", level1=np.arange(most, dtype=float)[:, None] / most, level3=np.ones((most, 2)))
    made, alive = [], []

    def tracked(*given):
        made.append(weakref.ref(array := numbers(*given)))
        alive.append(sum(each() is not None for each in made))
        return array

    monkeypatch.setattr(decoding, "_numbers", tracked)
    images = np.load(decode(run, tmp_path / "codes.npz", tmp_path / "again.npz"))["images"]
    assert len(made) == 10 and max(alive) <= 3
    wanted = run.decode([np.arange(most)[-5:, None] / most, np.zeros((5, 0)), np.ones((5, 2))])
    assert np.abs(images[-5:] - 255 * wanted).max() < 0.501 and len(images) == most


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_codes_that_are_not_finite_are_refused(run, tmp_path, bad):
    level3 = np.zeros((600, 2))
    level3[550, 1] = bad
    np.savez(tmp_path / "codes.npz", level1=np.zeros((600, 1)), level3=level3)
    for out in ("again", "again.npz"):
        with pytest.raises(CodesError, match=r"codes.npz: level3 of row 550 is NaN or infinite; leave such rows out"):
            decode(run, tmp_path / "codes.npz", tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["codes.npz"]


def test_codes_of_another_run_are_refused(run, other, folder, tmp_path):
    file = encode(other, folder, tmp_path / "codes.parquet")
    with pytest.raises(CodesError, match=r"codes.parquet was made by another run \(.*b\)"):
        decode(run, file, tmp_path / "again")
    assert [path.name for path in tmp_path.iterdir()] == ["codes.parquet"]


def test_what_cannot_be_decoded_is_named(run, folder, tmp_path):
    file = encode(run, folder, tmp_path / "codes.parquet")
    with pytest.raises(FileNotFoundError, match="no such file or folder of codes"):
        decode(run, tmp_path / "none.parquet", tmp_path / "again")
    with pytest.raises(CodesError, match=r"written to an \.npz file, or to a folder"):
        decode(run, file, tmp_path / "again.png")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CodesError, match="no file of codes, or a damaged one"):
        decode(run, file, tmp_path / "again")
    np.savez(tmp_path / "codes.npz", level2=np.zeros((3, 1)))
    with pytest.raises(CodesError, match="has none of the columns level1, level3; it has level2"):
        decode(run, tmp_path / "codes.npz", tmp_path / "again")
    np.savez(tmp_path / "wide.npz", level1=np.zeros((3, 2)))
    with pytest.raises(CodesError, match=r"level 1 has codes of shape \(3, 2\); this ladder's are \(N, 1\)"):
        decode(run, tmp_path / "wide.npz", tmp_path / "again.npz")
    (tmp_path / "again").mkdir()
    with pytest.raises(CodesError, match="exists already"):
        decode(run, tmp_path / "codes.npz", tmp_path / "again")


@pytest.mark.parametrize("named", [True, False])
def test_a_table_keeps_the_names_of_its_columns(tmp_path, named):
    table = np.random.default_rng(0).normal(size=(40, 3))
    source = pd.DataFrame(table, columns=["a", "b", "ç"]) if named else table
    run = train(source, out=tmp_path / "run", code_sizes=(1, 1), steps=2, progress=False)
    np.savez(tmp_path / "codes.npz", level1=np.zeros((3, 1)), level2=np.zeros((3, 1)))
    decoded = np.load(decode(run, tmp_path / "codes.npz", tmp_path / "again.npz"))
    assert decoded["x"].shape == (3, 3)
    assert ("columns" in decoded) == named
    assert not named or decoded["columns"].tolist() == ["a", "b", "ç"]
    assert load(tmp_path / "again.npz", split="all").shape == (3,)
