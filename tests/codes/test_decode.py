import numpy as np
import pandas as pd
import pytest
import torch
from code_files import columns_of
from PIL import Image
from pyarrow import parquet

from vlae.codes import files as codes
from vlae.codes.decode import decode
from vlae.codes.encode import encode
from vlae.codes.files import CodesError
from vlae.data import load
from vlae.models.priors import complete
from vlae.workflows import train


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
