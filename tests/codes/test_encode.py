import copy
import json
import os
import shutil
import tracemalloc

import datasets
import numpy as np
import pytest
from code_files import columns_of, stopping_at, write_folder
from PIL import Image
from pyarrow import parquet

from vlae.atomic import WriteError, locked
from vlae.codes import files as codes
from vlae.codes import parts
from vlae.codes.decode import decode
from vlae.codes.encode import encode, identity
from vlae.codes.encoder import Encoder
from vlae.codes.files import CodesError
from vlae.data.source import DataError
from vlae.runs.opening import load
from vlae.workflows import train


@pytest.fixture(scope="module")
def of_vectors(tmp_path_factory):
    vectors = np.random.default_rng(0).normal(size=(60, 5))
    return train(vectors, out=tmp_path_factory.mktemp("runs") / "v", code_sizes=(1, 2), steps=4, progress=False)


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr("vlae.codes.parts.PART", 6)


# What is written


@pytest.mark.parametrize("name", ["codes.parquet", "codes.npz", "codes.lance", "codes"])
def test_every_kind_of_file_holds_the_same(run, folder, tmp_path, name, small_parts):
    out = encode(run, folder, tmp_path / "new" / name, stddev=True, sample=True)
    assert [path.name for path in out.parent.iterdir()] == [name]
    columns = columns_of(out)
    x = np.stack([np.asarray(Image.open(folder / file)).transpose(2, 0, 1) for file in columns["name"]])
    for level in (1, 3):
        np.testing.assert_allclose(columns[f"level{level}"], run.encode(x)[level - 1], atol=1e-4)
        np.testing.assert_allclose(columns[f"level{level}_stddev"], run.stddevs(x)[level - 1], rtol=1e-3)
        away = (columns[f"level{level}_sample"] - columns[f"level{level}"]) / columns[f"level{level}_stddev"]
        assert 0.4 < away.std() < 1.6
        mean, stddev = columns[f"level{level}"], columns[f"level{level}_stddev"]
        kl = (0.5 * (mean**2 + stddev**2 - 1) - np.log(stddev)).sum(1)
        np.testing.assert_allclose(columns[f"level{level}_kl_nats"], kl, rtol=1e-3, atol=1e-4)
    assert not any(name.startswith("level2") for name in columns)
    np.testing.assert_allclose(columns["kl_nats"], columns["level1_kl_nats"] + columns["level3_kl_nats"], rtol=1e-5)
    error = np.square(run.decode(run.encode(x)) - x / 255).mean((1, 2, 3))
    np.testing.assert_allclose(columns["reconstruction_error"], error, rtol=1e-3)
    assert columns["row"].tolist() == list(range(20))
    assert columns["label"].tolist() == [int(file.startswith("dogs")) for file in columns["name"]]
    about = codes.open_codes(out).about
    assert about["weights"] == identity(run)["weights"]
    assert (about["run"], about["recipe"], about["num"]) == (str(run.path), "lean", 20)
    assert about["label_names"] == ["cats", "dogs"]


def test_other_programs_read_the_files(run, folder, tmp_path):
    table = parquet.read_table(encode(run, folder, tmp_path / "codes.parquet", reconstruction=False))
    assert table.schema.field("level3").type.list_size == 2
    assert "reconstruction_error" not in table.column_names
    assert json.loads(table.schema.metadata[b"vlae"])["recipe"] == "lean"
    loaded = datasets.load_from_disk(encode(run, folder, tmp_path / "codes"))
    assert loaded.features["label"].names == ["cats", "dogs"]
    assert loaded[3]["name"] == table["name"][3].as_py()
    with np.load(encode(run, folder, tmp_path / "codes.npz"), allow_pickle=False) as archive:
        assert archive["level3"].shape == (20, 2)
        assert archive["level3"].dtype == np.float32


def test_pictures_of_another_size_are_resized_as_in_training_and_it_is_said_once(run, tmp_path, capsys):
    photos = write_folder(tmp_path / "large", size=30)
    encode(run, photos, tmp_path / "codes.npz", progress=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if "resized" in line]
    assert lines == [f"{photos}: pictures of another size are resized to 8×8, like the training data"]
    encode(run, photos, tmp_path / "again.npz", progress=True)  # from the cache
    assert "resized to 8×8" in capsys.readouterr().err


def test_what_cannot_be_read_is_listed(run, tmp_path, capsys):
    photos = write_folder(tmp_path / "photos")
    (photos / "cats" / "broken.png").write_text("words")
    file = encode(run, photos, tmp_path / "codes.npz", progress=True)
    assert "cats/broken.png: not a picture" in capsys.readouterr().err
    assert columns_of(file)["row"].tolist() == list(range(20))


def test_nothing_is_said_of_pictures_of_the_right_size(run, folder, tmp_path, capsys):
    encode(run, folder, tmp_path / "codes.npz", progress=True)
    assert "resized" not in capsys.readouterr().err


def test_vectors(of_vectors, tmp_path):
    vectors = np.random.default_rng(1).normal(size=(30, 5)).astype(np.float32)
    columns = columns_of(encode(of_vectors, vectors, tmp_path / "codes.parquet"))
    np.testing.assert_allclose(columns["level2"], of_vectors.encode(vectors)[1], atol=1e-5)
    unit = of_vectors.model.stddev.numpy()
    again = of_vectors.decode(of_vectors.encode(vectors))
    expected = np.sqrt(np.square((again - vectors) / unit).mean(1))  # in standard deviations
    np.testing.assert_allclose(columns["reconstruction_error"], expected, rtol=1e-4)
    back = decode(of_vectors, tmp_path / "codes.parquet", tmp_path / "back.npz")
    np.testing.assert_allclose(np.load(back)["x"], of_vectors.decode(of_vectors.encode(vectors)), atol=1e-5)
    with pytest.raises(CodesError, match=r"vectors are no pictures; give an \.npz file"):
        decode(of_vectors, tmp_path / "codes.parquet", tmp_path / "back")


def test_draws_are_as_wide_as_their_posteriors(run):
    model = copy.deepcopy(run.model)
    for level in (model.levels[0], model.levels[2]):
        level.head.linear.bias.data[level.code_size :] = -6.0  # then the standard deviation is a hundredth or less
    columns = Encoder(model, stddev=True, sample=True).columns(np.zeros((40, 3, 8, 8), np.uint8))
    for level in (1, 3):
        away = (columns[f"level{level}_sample"] - columns[f"level{level}"]) / columns[f"level{level}_stddev"]
        assert columns[f"level{level}_stddev"].max() < 0.02 and 0.6 < away.std() < 1.4


def test_a_conditional_prior_is_no_matter(folder, tmp_path):
    run = train(folder, out=tmp_path / "run", recipe="hvae", code_sizes=(3, 2), steps=3, batch_size=8, progress=False)
    columns = columns_of(encode(run, folder, tmp_path / "codes.parquet"))
    assert (columns["level1_kl_nats"] > 0).all()
    assert columns["level1"].shape == (20, 3)


def test_memory_does_not_grow_with_the_number_of_images(run, tmp_path, monkeypatch):
    monkeypatch.setattr("vlae.codes.parts.PART", 500)

    def peak(num):
        np.save(tmp_path / f"{num}.npy", np.zeros((num, 8, 8, 3), np.uint8))
        encode(run, tmp_path / f"{num}.npy", tmp_path / f"warm{num}.parquet", limit=100)  # read into the cache
        tracemalloc.start()
        encode(run, tmp_path / f"{num}.npy", tmp_path / f"{num}.parquet", reconstruction=False)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(4_000) < 1.5 * peak(1_000) + 200_000


# Stopped, changed, refused


def test_what_was_begun_of_another_array_is_not_gone_on_with(run, tmp_path, small_parts, monkeypatch):
    source, out = tmp_path / "two.npz", tmp_path / "codes.parquet"
    two = np.random.default_rng(0).integers(0, 256, (2, 20, 8, 8, 3), np.uint8)
    np.savez(source, a=two[0], b=two[1])
    begun = stopping_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        encode(run, source, out, key="a")
    encode(run, source, out, key="b")
    assert begun == [0, 6, 12, 0, 6, 12, 18]
    x = two[1].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(columns_of(out)["level1"], run.encode(x)[0], atol=1e-4)


def test_it_goes_on_after_a_stop_and_gives_the_same(run, folder, tmp_path, small_parts, monkeypatch):
    whole = columns_of(encode(run, folder, tmp_path / "whole.parquet", sample=True))
    done = stopping_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        encode(run, folder, tmp_path / "codes.parquet", sample=True)
    assert not (tmp_path / "codes.parquet").exists()
    encode(run, folder, tmp_path / "codes.parquet", sample=True)
    assert done == [0, 6, 12, 12, 18]
    columns = columns_of(tmp_path / "codes.parquet")
    assert all(np.array_equal(columns[name], whole[name]) for name in whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codes.parquet", "whole.parquet"]


def test_parts_of_something_else_are_not_taken(run, other, folder, tmp_path, small_parts, monkeypatch):
    join = codes.join
    monkeypatch.setattr(codes, "join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        encode(other, folder, tmp_path / "codes.parquet")
    monkeypatch.setattr(codes, "join", join)
    encode(run, folder, tmp_path / "codes.parquet")
    fresh = encode(run, folder, tmp_path / "fresh.parquet")
    assert np.array_equal(columns_of(tmp_path / "codes.parquet")["level3"], columns_of(fresh)["level3"])


def test_a_folder_that_changes_is_refused(run, tmp_path, small_parts, monkeypatch):
    photos = write_folder(tmp_path / "photos")
    write = parts.write_files

    def change_meanwhile(*words):
        yield from write(*words)
        (photos / "dogs" / "000.png").unlink()

    monkeypatch.setattr("vlae.codes.parts.write_files", change_meanwhile)
    with pytest.raises(DataError, match="photos: changed while it was being read; run this again"):
        encode(run, photos, tmp_path / "codes.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_folder_that_changes_while_it_is_decoded_is_refused(run, tmp_path, monkeypatch):
    from vlae.data import loader

    photos = write_folder(tmp_path / "photos")
    decode_all = loader.decode

    def change_meanwhile(*words):
        (photos / "dogs" / "000.png").write_bytes(b"")
        return decode_all(*words)

    monkeypatch.setattr(loader, "decode", change_meanwhile)
    with pytest.raises(DataError, match="changed while it was being read"):
        encode(run, photos, tmp_path / "codes.parquet")
    assert not (tmp_path / "codes.parquet").exists()


@pytest.mark.parametrize("name", ["codes.parquet", "codes.npz", "codes"])
def test_what_exists_is_not_written_over(run, folder, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(CodesError, match="exists already, and is not written over; choose another --out"):
        encode(run, folder, tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["codes.npz", "codes"])
def test_one_process_at_a_time_writes_a_file(run, folder, tmp_path, name):
    said = pytest.raises(WriteError, match=rf"another process .* writes .*{name}; wait until it has ended")
    with locked(tmp_path / f".{name}.lock", "", ""), said:
        encode(run, folder, tmp_path / name)
    assert not any(tmp_path.iterdir())
    encode(run, folder, tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_name_that_is_not_utf8_is_refused(run, folder, tmp_path):
    with pytest.raises(CodesError, match="names in UTF-8 alone; choose another --out"):
        encode(run, folder, tmp_path / os.fsdecode(b"caf\xe9.npz"))


def test_what_appears_meanwhile_is_not_written_over(run, folder, tmp_path, monkeypatch):
    out = tmp_path / "codes.parquet"
    join = codes.join
    monkeypatch.setattr(codes, "join", lambda *words: (join(*words), out.write_text("mine")))
    with pytest.raises(CodesError, match="exists already"):
        encode(run, folder, out)
    assert out.read_text() == "mine"


def test_what_cannot_be_encoded_is_named(run, of_vectors, folder, tmp_path):
    with pytest.raises(CodesError, match=r"kept in a \.parquet, \.npz or \.lance file"):
        encode(run, folder, tmp_path / "codes.csv")
    with pytest.raises(DataError, match="these are vectors; size, fit, crop, channels and value_range are for images"):
        encode(run, np.zeros((20, 5)), tmp_path / "codes.npz")
    with pytest.raises(ValueError, match=r"has images of shape \(3, 8, 8\); the run in .* takes vectors of 5 columns"):
        encode(of_vectors, folder, tmp_path / "codes.npz")
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        encode(run, tmp_path / "none.npy", tmp_path / "codes.npz")
    with pytest.raises(ValueError, match="cannot be written"):
        encode(run, folder, "/dev/null/codes.npz")
    assert not list(tmp_path.iterdir())


def test_the_identity_stays_with_the_weights(run, other, tmp_path):
    copied = load(shutil.copytree(run.path, tmp_path / "copy"))
    assert identity(copied)["weights"] == identity(run)["weights"] != identity(other)["weights"]


def test_each_part_has_draws_of_its_own(run, folder, tmp_path, small_parts):
    columns = columns_of(encode(run, folder, tmp_path / "codes.parquet", stddev=True, sample=True))
    noise = (columns["level1_sample"] - columns["level1"]) / columns["level1_stddev"]
    assert np.abs(noise[:6] - noise[6:12]).min() > 1e-3
