"""What is new in a source is added to its Lance data set of codes: by name, once, also after a stop."""

import shutil

import numpy as np
import pytest
from code_files import columns_of, write_folder
from command_line import cli_exit, refusal
from object_store import object_store
from PIL import Image

from vlae.codes import encode as encoding
from vlae.codes import lance
from vlae.codes.decode import decode
from vlae.codes.encode import encode
from vlae.codes.files import CodesError, open_codes
from vlae.data.source import DataError


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(encoding, "PART", 6)


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
    columns, begun = encoding.Encoder.columns, []

    def stop(encoder, values, start=0, advance=None, **given):
        begun.append(start)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return columns(encoder, values, start, advance, **given)

    monkeypatch.setattr(encoding.Encoder, "columns", stop)
    with pytest.raises(KeyboardInterrupt):
        encode(run, photos, codes, stddev=True, add=True)
    assert begun == [20, 24, 30]
    with pytest.raises(CodesError, match=r"unfinished \(30 of 35 rows\); go on with: vlae encode .* --stddev --add"):
        open_codes(codes)
    with pytest.raises(CodesError, match=r"was being added to; go on with: vlae encode .* --add"):
        encode(run, photos, codes, stddev=True)
    encode(run, photos, codes, stddev=True, add=True)
    assert begun[3:] == [30]
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
    monkeypatch.setattr(encoding, "PART", 6)
    with pytest.raises(CodesError, match="is unfinished; go on with: vlae encode"):
        encode(run, photos, out, add=True)


def test_a_source_that_changes_meanwhile_costs_no_codes(run, photos, codes, monkeypatch):
    before = columns_of(codes)
    add_pictures(photos)
    columns = encoding.Encoder.columns

    def change(encoder, *args, **given):
        Image.new("RGB", (8, 8)).save(photos / "cats/late.png")
        return columns(encoder, *args, **given)

    monkeypatch.setattr(encoding.Encoder, "columns", change)
    with pytest.raises(DataError, match="changed"):
        encode(run, photos, codes, stddev=True, add=True)
    after = columns_of(codes)
    assert all(np.array_equal(after[name][:20], values) for name, values in before.items())
    monkeypatch.undo()
    encode(run, photos, codes, stddev=True, add=True)
    assert len(columns_of(codes)["row"]) == 36
