"""Streams that several processes encode, here and in an object store."""

import numpy as np
import pytest
from code_files import columns_of
from command_line import cli_exit
from object_store import object_store
from pyarrow import parquet
from shard_files import picture, png, write_parquet, write_tar, write_tars

import vlae
from vlae.codes.encode import encode
from vlae.codes.encoder import Encoder
from vlae.data.source import DataError


@pytest.fixture(scope="module")
def tars(tmp_path_factory):
    return write_tars(tmp_path_factory.mktemp("data") / "tars", shards=5, rows=6)


def check_alike(one, other):
    ours, theirs = columns_of(one), columns_of(other)
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(ours[name], values, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(ours[name], values)


@pytest.mark.parametrize("num", [2, 5])
def test_shards_of_a_stream_merge_to_what_one_process_writes(run, tars, tmp_path, num):
    alone = encode(run, tars, tmp_path / "alone.parquet", sample=True)
    parts = [encode(run, tars, tmp_path / f"{i}.parquet", shard=f"{i}/{num}", sample=True) for i in range(1, num + 1)]
    check_alike(vlae.merge(tmp_path / "merged.parquet", parts), alone)
    assert parquet.read_metadata(parts[0]).num_rows == 6 * (5 // num)


def test_pictures_that_cannot_be_read_are_left_out(run, tmp_path):
    tars = write_tars(tmp_path / "tars", shards=2, rows=6)
    write_tar(tars / "train-001.tar", [("a.png", b"no picture"), ("b.png", png(picture(1)))])
    write_tar(tars / "train-002.tar", [("a.png", b"no picture")])
    alone = encode(run, tars, tmp_path / "alone.parquet")
    assert columns_of(alone)["name"].tolist()[-2:] == ["00005", "b"]
    parts = [encode(run, tars, tmp_path / f"{i}.parquet", shard=f"{i}/2") for i in (1, 2)]
    check_alike(vlae.merge(tmp_path / "merged.parquet", parts), alone)


def test_a_stream_that_changes_is_refused(run, tmp_path, monkeypatch):
    tars = write_tars(tmp_path / "tars", shards=2, rows=6)
    columns = Encoder.columns

    def change(*of, **given):
        write_tars(tars, shards=1, rows=7)
        return columns(*of, **given)

    encode(run, tars, tmp_path / "1.parquet", shard="1/2")
    monkeypatch.setattr(Encoder, "columns", change)
    with pytest.raises(DataError, match="changed while"):
        encode(run, tars, tmp_path / "codes.parquet")
    monkeypatch.undo()
    assert not (tmp_path / "codes.parquet").exists()
    parts = [tmp_path / "1.parquet", encode(run, tars, tmp_path / "2.parquet", shard="2/2")]
    with pytest.raises(DataError, match="changed meanwhile"):
        vlae.merge(tmp_path / "merged.parquet", parts)
    assert not (tmp_path / "merged.parquet").exists()


def test_from_a_bucket_into_a_bucket(run, tmp_path, monkeypatch, capsys):
    with object_store(monkeypatch, "pictures", "codes") as client:
        for number in range(3):
            file = write_parquet(tmp_path / f"{number}.parquet", range(7 * number, 7 * number + 7))
            client.upload_file(str(file), "pictures", f"train/{number}.parquet")
        source, out = "s3://pictures/train", "s3://codes/all/codes.lance"
        for i in (1, 2):
            assert cli_exit("encode", run.path, source, "--out", tmp_path / f"p{i}.parquet", "--shard", f"{i}/2") == 0
        assert cli_exit("merge", out, tmp_path / "p1.parquet", tmp_path / "p2.parquet") == 0
        assert capsys.readouterr().out.splitlines()[-1] == out
        assert encode(run, source, "s3://codes/one/codes.lance") == "s3://codes/one/codes.lance"
        check_alike(out, "s3://codes/one/codes.lance")
        assert columns_of(out)["name"].tolist() == [f"{number:05d}" for number in range(21)]
