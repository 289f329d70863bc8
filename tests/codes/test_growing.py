"""What is new in a source is added to its Lance data set of codes: by name, once, also after a stop."""

import shutil

import numpy as np
import pytest
from code_files import columns_of, stopping_at, write_folder
from command_line import cli_exit, refusal
from object_store import object_store
from PIL import Image
from shard_files import write_tars

import vlae
from vlae.codes import lance
from vlae.codes.cluster import encode_on_cluster
from vlae.codes.decode import decode
from vlae.codes.encode import encode
from vlae.codes.encoder import Encoder
from vlae.codes.files import CodesError, open_codes
from vlae.data.source import DataError
from vlae.training.train import train


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr("vlae.codes.parts.PART", 6)


@pytest.fixture
def photos(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "photos")


@pytest.fixture
def codes(run, photos, tmp_path):
    return encode(run, photos, tmp_path / "codes.lance", stddev=True)


def add_pictures(photos, num=15, name="ants"):
    """New pictures, of a class that comes before the others, and one between those that were there."""
    rng = np.random.default_rng(1)
    (photos / name).mkdir(exist_ok=True)
    for i in range(num):
        file = photos / (f"{name}/{i:03d}.png" if i else "cats/0015.png")
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file)
    return photos


def by_name(out):
    columns = columns_of(out)
    return {
        str(name): {key: values[i] for key, values in columns.items() if key not in ("row", "label", "name")}
        for i, name in enumerate(columns["name"])
    }


def check_whole(run, photos, codes, tmp_path):
    """The codes are those of a data set of all pictures, but for the order of the rows."""
    ours, alone = by_name(codes), by_name(encode(run, photos, tmp_path / "alone.lance", stddev=True))
    assert ours.keys() == alone.keys()
    for name, values in alone.items():
        for key, value in values.items():
            np.testing.assert_allclose(ours[name][key], value, rtol=1e-4, atol=1e-5, err_msg=f"{name} {key}")
    rows, file = columns_of(codes), open_codes(codes)
    assert sorted(rows["row"]) == list(range(len(alone)))
    names = file.about["label_names"]
    assert names == ["cats", "dogs", "ants"]  # as they were, and the new one
    assert all(str(name).startswith(names[label]) for name, label in zip(rows["name"], rows["label"], strict=True))


def test_what_is_new_is_added_and_nothing_else_changes(run, photos, codes, tmp_path, capsys):
    before = columns_of(codes)
    add_pictures(photos)
    words = ["encode", run.path, photos, "--out", codes, "--stddev", "--add"]
    assert cli_exit(*words) == 0
    assert "15 of 35 are new" in capsys.readouterr().err
    after = columns_of(codes)
    assert all(np.array_equal(after[name][:20], values) for name, values in before.items())
    check_whole(run, photos, codes, tmp_path)
    assert cli_exit(*words) == 0  # there is nothing more to add
    assert "0 of 35 are new" in capsys.readouterr().err and len(columns_of(codes)["row"]) == 35
    decode(run, codes, tmp_path / "pictures.npz")


def test_it_grows_again_and_what_is_gone_stays(run, photos, codes, tmp_path):
    add_pictures(photos)
    encode(run, photos, codes, stddev=True, add=True)
    (photos / "ants/003.png").unlink()
    Image.new("RGB", (8, 8), "red").save(photos / "dogs/999.png")
    encode(run, photos, codes, stddev=True, add=True)
    names = columns_of(codes)["name"].tolist()
    assert len(names) == len(set(names)) == 36 and {"ants/003.png", "dogs/999.png"} <= set(names)


def test_a_stop_loses_at_most_one_part_and_the_same_call_goes_on(run, photos, codes, tmp_path, monkeypatch):
    add_pictures(photos)
    begun = stopping_at(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        encode(run, photos, codes, stddev=True, add=True)
    assert begun == [0, 20, 24, 30]  # of the first datum, to see that the columns are the same
    with pytest.raises(CodesError, match=r"unfinished \(30 of 35 rows\); go on with: vlae encode .* --stddev --add"):
        open_codes(codes)
    with pytest.raises(CodesError, match=r"was being added to; go on with: vlae encode .* --add"):
        encode(run, photos, codes, stddev=True)
    encode(run, photos, codes, stddev=True, add=True)
    assert begun[4:] == [0, 30]
    check_whole(run, photos, codes, tmp_path)


def test_in_an_object_store(run, photos, tmp_path, monkeypatch):
    with object_store(monkeypatch, "bucket"):
        codes = encode(run, photos, "s3://bucket/codes.lance", stddev=True)
        add_pictures(photos)
        encode(run, photos, codes, stddev=True, add=True)
        check_whole(run, photos, codes, tmp_path)


def test_what_cannot_be_added_is_refused_and_nothing_changes(run, other, photos, codes, folder, tmp_path, capsys):
    before = columns_of(codes)
    add_pictures(photos)
    elsewhere = write_folder(tmp_path / "elsewhere")
    array = encode(run, np.zeros((9, 8, 8, 3), np.uint8), tmp_path / "array.lance")
    for given, words in (
        ((other, photos, codes, {"stddev": True}), "was begun with another run"),
        ((run, photos, codes, {}), "was begun with another stddev"),
        ((run, elsewhere, codes, {"stddev": True}), "only what is new there is added"),
        ((run, photos, tmp_path / "none.lance", {}), "no such data set to add to; write it first, without --add"),
        ((run, np.zeros((12, 8, 8, 3), np.uint8), array, {}), "its data have no names"),
        ((run, photos, tmp_path / "codes.parquet", {}), "only a .lance data set of a whole source"),
        (
            (run, photos, codes, {"stddev": True, "limit": 3}),
            "only a .lance data set of a whole source",
        ),
    ):
        trained, source, out, how = given
        with pytest.raises(CodesError, match=words):
            encode(trained, source, out, add=True, **how)
    assert "--ray encodes a whole source; leave out --shard, --add" in refusal(
        capsys, "encode", run.path, photos, "--out", codes, "--ray", "local", "--add"
    )
    after = columns_of(codes)
    assert all(np.array_equal(after[name], values) for name, values in before.items())
    assert not (tmp_path / "none.lance").exists() and not (tmp_path / "codes.parquet").exists()


def test_an_unfinished_data_set_is_finished_first(run, photos, tmp_path, monkeypatch):
    out = tmp_path / "part.lance"
    monkeypatch.setattr(lance.LanceCodes, "check_whole", lambda codes, num: None)
    monkeypatch.setattr(lance.LanceCodes, "parts", lambda codes, size: {0})
    encode(run, photos, out)
    monkeypatch.undo()
    monkeypatch.setattr("vlae.codes.parts.PART", 6)
    with pytest.raises(CodesError, match="is unfinished; go on with: vlae encode"):
        encode(run, photos, out, add=True)


def test_a_source_that_changes_meanwhile_costs_no_codes(run, photos, codes, monkeypatch):
    before = columns_of(codes)
    add_pictures(photos)
    columns = Encoder.columns

    def change(encoder, *args, **given):
        Image.new("RGB", (8, 8)).save(photos / "cats/late.png")
        return columns(encoder, *args, **given)

    monkeypatch.setattr(Encoder, "columns", change)
    with pytest.raises(DataError, match="changed"):
        encode(run, photos, codes, stddev=True, add=True)
    after = columns_of(codes)
    assert all(np.array_equal(after[name][:20], values) for name, values in before.items())
    monkeypatch.undo()
    encode(run, photos, codes, stddev=True, add=True)
    assert len(columns_of(codes)["row"]) == 36


def test_what_would_be_misread_is_refused_and_nothing_changes(run, photos, tmp_path, monkeypatch):
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, file in enumerate(sorted(photos.rglob("*.png"))):
        shutil.copy(file, flat / f"{i}.png")
    codes = encode(run, flat, tmp_path / "flat.lance")
    before = columns_of(codes)
    for i in range(20):
        (flat / f"{'ab'[i % 2]}").mkdir(exist_ok=True)
        (flat / f"{i}.png").rename(flat / f"{'ab'[i % 2]}/{i}.png")
    with pytest.raises(CodesError, match="label is in the one, and not in the other"):  # there were no classes
        encode(run, flat, codes, add=True)
    after = columns_of(codes)
    assert all(np.array_equal(after[name], values) for name, values in before.items())


def test_another_folder_of_the_same_name_is_another_source(run, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(photos.parent)
    encode(run, "photos", tmp_path / "codes.lance")
    elsewhere = write_folder(tmp_path / "elsewhere" / "photos").parent
    monkeypatch.chdir(elsewhere)
    with pytest.raises(CodesError, match="only what is new there is added"):
        encode(run, "photos", tmp_path / "codes.lance", add=True)
    encode(run, photos, tmp_path / "codes.lance", add=True)  # the right one, by another path


def test_rows_of_a_table_are_told_by_the_column_that_named_them(tmp_path):
    rng = np.random.default_rng(0)

    def write(num):
        rows = [f"s{i},p{i // 2},{a:.3f},{b:.3f}" for i, (a, b) in enumerate(rng.normal(size=(num, 2)))]
        (tmp_path / "a.csv").write_text("\n".join(["serial,patient,x,y", *rows]))

    np.savetxt(tmp_path / "numbers.csv", rng.normal(size=(40, 2)), delimiter=",", header="x,y", comments="")
    write(40)
    run = train(tmp_path / "numbers.csv", out=tmp_path / "run", code_sizes=(1, 2), steps=5, progress=False)
    codes = encode(run, tmp_path / "a.csv", tmp_path / "codes.lance", id="serial")
    write(50)
    with pytest.raises(CodesError, match="was begun with another id"):
        encode(run, tmp_path / "a.csv", codes, id="patient", add=True)
    encode(run, tmp_path / "a.csv", codes, id="serial", add=True)
    assert len(columns_of(codes)["row"]) == 50 and open_codes(codes).num == 50


def test_a_stop_whose_rest_is_gone_is_finished(run, photos, codes, monkeypatch):
    add_pictures(photos)
    columns, begun = Encoder.columns, []

    def stop(encoder, *given, **how):
        begun.append(1)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return columns(encoder, *given, **how)

    monkeypatch.setattr(Encoder, "columns", stop)
    with pytest.raises(KeyboardInterrupt):
        encode(run, photos, codes, stddev=True, add=True)
    there = set(columns_of_table(codes))
    for file in list(photos.rglob("*.png")):
        if str(file.relative_to(photos)) not in there:
            file.unlink()
    encode(run, photos, codes, stddev=True, add=True)
    assert open_codes(codes).num == len(there)


def columns_of_table(codes):
    return lance.LanceCodes(codes).table.search().select(["name"]).to_arrow()["name"].to_pylist()


def test_a_source_that_is_always_streamed_is_refused_before_it_is_read(run, tmp_path):
    tar = write_tars(tmp_path / "tars")
    with pytest.raises(CodesError, match=r"only a \.lance data set of a whole source"):
        encode(run, tar, tmp_path / "codes.lance", add=True)
    assert not (tmp_path / "codes.lance").exists()


def test_what_a_cluster_wrote_grows_too(run, photos, tmp_path, here):
    codes = encode_on_cluster(run, photos, tmp_path / "codes.lance", address="local", stddev=True)
    add_pictures(photos)
    with pytest.raises(CodesError, match="seed"):
        encode(run, photos, codes, stddev=True, seed=1, add=True)
    encode(run, photos, codes, stddev=True, add=True)
    check_whole(run, photos, codes, tmp_path)


def test_merged_shards_grow_too(run, photos, tmp_path):
    shards = [encode(run, photos, tmp_path / f"{i}.parquet", stddev=True, shard=f"{i}/2") for i in (1, 2)]
    codes = vlae.merge(tmp_path / "codes.lance", shards)
    add_pictures(photos)
    encode(run, photos, codes, stddev=True, add=True)
    check_whole(run, photos, codes, tmp_path)
