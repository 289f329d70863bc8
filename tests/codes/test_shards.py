"""Shards of a source: encoded apart and merged, they are what one process would have written."""

import json

import numpy as np
import pyarrow
import pytest
from code_files import write_folder
from command_line import cli_exit, refusal
from pyarrow import parquet

import vlae
from vlae.codes import shards
from vlae.codes.encode import encode
from vlae.codes.encoder import Encoder
from vlae.codes.files import CodesError
from vlae.data import decoding, loader
from vlae.data.sharding import Share
from vlae.data.source import DataError


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr("vlae.codes.parts.PART", 6)
    monkeypatch.setattr(shards, "PART", 6)
    monkeypatch.setattr("vlae.codes.encoder.DRAWS", 4)


def write_shards(run, source, folder, num=3, **settings):
    return [encode(run, source, folder / f"{i}.parquet", shard=f"{i}/{num}", **settings) for i in range(1, num + 1)]


def check_alike(merged, alone):
    """Checks that two files of codes have the same rows, columns and description, and the same numbers."""
    ours, theirs = parquet.read_table(merged), parquet.read_table(alone)
    assert ours.schema == theirs.schema
    assert ours.schema.metadata == theirs.schema.metadata
    assert parquet.read_metadata(merged).num_row_groups == parquet.read_metadata(alone).num_row_groups
    for name in ours.column_names:
        if pyarrow.types.is_floating(ours.schema.field(name).type) or name.startswith("level"):
            values = [np.array(table[name].to_pylist()) for table in (ours, theirs)]
            np.testing.assert_allclose(*values, rtol=1e-5, atol=1e-6)
        else:
            assert ours[name].equals(theirs[name]), name


@pytest.mark.parametrize("num", [1, 3, 7])
def test_merged_shards_are_what_one_process_writes(run, folder, tmp_path, small_parts, num):
    alone = encode(run, folder, tmp_path / "alone.parquet", sample=True, stddev=True)
    parts = write_shards(run, folder, tmp_path, num, sample=True, stddev=True)
    merged = vlae.merge(tmp_path / "merged.parquet", parts[::-1])
    check_alike(merged, alone)
    assert parquet.read_table(merged)["row"].to_pylist() == list(range(20))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["array", "npy", "images", "table", "streets", "objects"])
def test_every_source_can_be_cut(run, tmp_path, kind):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    source = values
    if kind == "npy":
        source = tmp_path / "values.npy"
        np.save(source, values)
    elif kind == "images":
        source = loader.load(values, split="all")
    elif kind == "streets":
        source = "streets:19"
    elif kind == "objects":
        source = [(picture, i % 3) for i, picture in enumerate(values)]
    elif kind == "table":
        vectors = rng.normal(size=(40, 3)).astype(np.float32)
        columns = {"name": [f"r{i}" for i in range(40)], **{f"x{i}": vectors[:, i] for i in range(3)}}
        source = tmp_path / "table.parquet"
        parquet.write_table(pyarrow.table(columns), source)
        run = vlae.train(source, out=tmp_path / "run", code_sizes=(1, 1), steps=2, progress=False, id="name")
    alone = encode(run, source, tmp_path / "alone.parquet")
    check_alike(vlae.merge(tmp_path / "merged.parquet", write_shards(run, source, tmp_path)), alone)


def test_a_shard_of_a_folder_decodes_its_own_pictures_alone(run, tmp_path, monkeypatch):
    photos = write_folder(tmp_path / "photos")
    decoded = []
    fit = decoding.fit_picture
    monkeypatch.setattr(decoding, "fit_picture", lambda *of: decoded.append(of[2]) or fit(*of))
    encode(run, photos, tmp_path / "a.parquet", shard="2/5")
    names = parquet.read_table(tmp_path / "a.parquet")["name"].to_pylist()
    assert len(names) == 4
    assert sorted(decoded) == sorted(f"{photos}, {name}" for name in names)


def test_pictures_that_cannot_be_read_are_left_out_as_by_one_process(run, tmp_path, small_parts):
    photos = write_folder(tmp_path / "photos")
    for name in ("cats/001.png", "dogs/004.png"):
        (photos / name).write_bytes((photos / name).read_bytes()[:60])
    alone = encode(run, photos, tmp_path / "alone.parquet")
    merged = vlae.merge(tmp_path / "merged.parquet", write_shards(run, photos, tmp_path))
    check_alike(merged, alone)
    assert parquet.read_table(merged).num_rows == 18


@pytest.mark.parametrize("name", ["codes.npz", "codes"])
def test_shards_become_every_kind_of_file(run, folder, tmp_path, name):
    from code_files import columns_of

    parts = write_shards(run, folder, tmp_path)
    merged, alone = vlae.merge(tmp_path / name, parts), encode(run, folder, tmp_path / f"alone-{name}")
    for column, values in columns_of(alone).items():
        ours = columns_of(merged)[column]
        if values.dtype.kind == "f":
            np.testing.assert_allclose(ours, values, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(ours, values)


def test_a_shard_goes_on_where_it_was_stopped(run, folder, tmp_path, small_parts, monkeypatch):
    columns = Encoder.columns
    calls = []

    def stop_once(*of, **settings):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return columns(*of, **settings)

    monkeypatch.setattr(Encoder, "columns", stop_once)
    with pytest.raises(KeyboardInterrupt):
        encode(run, folder, tmp_path / "2.parquet", shard="2/2")
    encode(run, folder, tmp_path / "2.parquet", shard="2/2")
    assert len(calls) == 4  # rows 10 and 11; 12 to 17, stopped; these again; 18 and 19
    assert parquet.read_table(tmp_path / "2.parquet")["row"].to_pylist() == list(range(10, 20))


# Bad input


@pytest.mark.parametrize("shard", ["3/2", "0/0", "0/2", "a", "1", "1/", "-1/2", "1/2/3", "1.5/2", ""])
def test_what_is_no_shard_is_refused(tmp_path, capsys, shard):
    line = refusal(capsys, "encode", "streets", "streets:20", "--out", tmp_path / "a.parquet", f"--shard={shard}")
    assert shard in line
    assert "1/4, 2/4, 3/4 and 4/4" in line
    assert not list(tmp_path.iterdir())


def test_shards_cover_every_row_once():
    for num in (1, 7, 1024, 50_001, 1_000_000):
        for of in (1, 2, 3, 7):
            if num < of:
                continue
            cuts = [Share(i, of).rows(num) for i in range(1, of + 1)]
            assert [cut.start for cut in cuts] == [0, *(cut.stop for cut in cuts[:-1])]
            assert cuts[-1].stop == num
            lengths = [cut.stop - cut.start for cut in cuts]
            assert max(lengths) <= 1.15 * min(lengths) + 1


def test_more_shards_than_rows_are_refused(run, folder, tmp_path):
    with pytest.raises(DataError, match="20 rows cannot be cut into 21 shards"):
        encode(run, folder, tmp_path / "a.parquet", shard="1/21")
    assert not list(tmp_path.glob("*"))


@pytest.mark.parametrize("others", [{"split": "test"}, {"limit": 5}])
def test_a_shard_of_a_part_is_refused(run, folder, tmp_path, others):
    with pytest.raises(DataError, match="do not go together"):
        encode(run, folder, tmp_path / "a.parquet", shard="1/2", **others)


def test_a_shard_is_parquet(run, folder, tmp_path):
    with pytest.raises(CodesError, match=r"\.parquet"):
        encode(run, folder, tmp_path / "a.npz", shard="1/2")


def test_parts_that_do_not_belong_together_are_refused(run, other, folder, tmp_path, capsys):
    parts = write_shards(run, folder, tmp_path)
    (tmp_path / "x").mkdir()
    out = tmp_path / "merged.parquet"
    shard = {"shard": "2/3"}
    cases = {
        "shards 2 are missing": [parts[0], parts[2]],
        "are both shard 1/3": [*parts, shutil_copy(parts[0], tmp_path / "x" / "copy.parquet")],
        "different runs": [parts[0], encode(other, folder, tmp_path / "x" / "run.parquet", **shard), parts[2]],
        "different settings: stddev": [
            parts[0],
            encode(run, folder, tmp_path / "x" / "s.parquet", stddev=True, **shard),
            parts[2],
        ],
        "shards of one cut": [parts[0], encode(run, folder, tmp_path / "x" / "n.parquet", shard="2/4"), parts[2]],
        "different sources": [
            parts[0],
            encode(run, write_folder(tmp_path / "o"), tmp_path / "x" / "o.parquet", **shard),
            parts[2],
        ],
        "is no shard": [parts[0], encode(run, folder, tmp_path / "x" / "whole.parquet"), parts[2]],
        "no such file": [*parts[:2], tmp_path / "nowhere.parquet"],
    }
    for words, files in cases.items():
        assert words in refusal(capsys, "merge", out, *files), words
        assert not out.exists()
        assert not list(tmp_path.glob(".*"))
    assert "no parts" in refusal(capsys, "merge", out)


def shutil_copy(file, to):
    to.write_bytes(file.read_bytes())
    return to


def test_a_source_that_changes_between_shards_is_refused(run, tmp_path, capsys):
    photos = write_folder(tmp_path / "photos")
    encode(run, photos, tmp_path / "1.parquet", shard="1/2")
    write_folder(photos, num=1)
    encode(run, photos, tmp_path / "2.parquet", shard="2/2")
    line = refusal(capsys, "merge", tmp_path / "m.parquet", tmp_path / "1.parquet", tmp_path / "2.parquet")
    assert "changed meanwhile" in line


@pytest.mark.parametrize(
    "record", [[], {"number": 0}, {"number": 1, "of": "x"}, {"number": 1, "of": 10**12, "settings": [], "total": 1}]
)
def test_a_strangers_record_is_no_shard(run, folder, tmp_path, record):
    file = encode(run, folder, tmp_path / "a.parquet", shard="1/1")
    table = parquet.read_table(file)
    about = json.loads(table.schema.metadata[b"vlae"])
    about["shard"] = record
    parquet.write_table(table.replace_schema_metadata({"vlae": json.dumps(about)}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="is no shard"):
        vlae.merge(tmp_path / "m.parquet", [tmp_path / "b.parquet"])


def test_a_damaged_part_is_refused_and_nothing_is_left(run, folder, tmp_path):
    parts = write_shards(run, folder, tmp_path)
    content = bytearray(parts[1].read_bytes())
    content[50:400] = b"\xff" * 350
    parts[1].write_bytes(content)
    with pytest.raises(CodesError, match="damaged"):
        vlae.merge(tmp_path / "m.parquet", parts)
    assert not (tmp_path / "m.parquet").exists()


def test_the_commands(run, folder, tmp_path, capsys):
    for i in (1, 2):
        assert cli_exit("encode", run.path, folder, "--out", tmp_path / f"{i}.parquet", "--shard", f"{i}/2") == 0
    assert cli_exit("merge", tmp_path / "m.parquet", tmp_path / "1.parquet", tmp_path / "2.parquet", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"path": str(tmp_path / "m.parquet")}
