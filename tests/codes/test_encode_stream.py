"""A stream is encoded like a source that is read whole, goes on after a stop, and leaves nothing half-written."""

import shlex

import numpy as np
import pytest
from command_line import cli_exit
from pyarrow import parquet
from shard_files import picture, png, write_parquet, write_tar, write_tars

from vlae.codes import shards, streaming
from vlae.codes.encode import encode
from vlae.codes.encoder import Encoder
from vlae.codes.errors import CodesError
from vlae.codes.files import open_codes
from vlae.codes.lance import LanceCodes
from vlae.codes.shards import merge
from vlae.data import DataError, tar_shards
from vlae.workflows import train

NUM = 60


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    values = np.stack([picture(number) for number in range(NUM)]).transpose(0, 3, 1, 2)
    return train(values, out=tmp_path_factory.mktemp("runs") / "a", code_sizes=(1, 2), steps=4, progress=False)


@pytest.fixture(autouse=True)
def _few_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("VLAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tar_shards, "ROWS", 4)
    monkeypatch.setattr(streaming, "PART", 8)


def columns_of(file):
    return parquet.read_table(file).to_pydict()


def test_the_codes_are_those_of_the_same_pictures_in_a_table(small, tmp_path):
    whole = columns_of(encode(small, write_parquet(tmp_path / "a.parquet", range(NUM)), tmp_path / "whole.parquet"))
    tars = columns_of(encode(small, write_tars(tmp_path / "tars"), tmp_path / "tars.parquet"))
    streamed = columns_of(encode(small, tmp_path / "a.parquet", tmp_path / "streamed.parquet", stream=True))
    for codes in (tars, streamed):
        assert list(codes) == list(whole)
        for name in ("row", "name", "label"):
            assert codes[name] == whole[name]
        assert np.allclose(codes["level2"], whole["level2"], atol=1e-5)
        assert np.allclose(codes["reconstruction_error"], whole["reconstruction_error"], atol=1e-6)
    with np.load(encode(small, tmp_path / "tars", tmp_path / "codes.npz")) as archive:
        assert np.array_equal(archive["row"], np.arange(NUM))


@pytest.mark.parametrize("at", [2, 6, 7, 14])
def test_a_stopped_encoding_goes_on_in_its_shard(small, tmp_path, monkeypatch, at):
    tars = write_tars(tmp_path / "tars")
    whole = columns_of(encode(small, tars, tmp_path / "whole.parquet", sample=True))
    done, columns = [], Encoder.columns

    def stop(encoder, values, number=0, *args, **given):
        done.append(number)
        if len(done) == at:
            raise KeyboardInterrupt
        return columns(encoder, values, number, *args, **given)

    monkeypatch.setattr(Encoder, "columns", stop)
    with pytest.raises(KeyboardInterrupt):
        encode(small, tars, tmp_path / "codes.parquet", sample=True)
    assert not (tmp_path / "codes.parquet").exists()
    encode(small, tars, tmp_path / "codes.parquet", sample=True)
    assert len(done) <= NUM // 4 + 2  # one that stopped, and at most one of its part again
    assert columns_of(tmp_path / "codes.parquet") == whole
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "tars", "codes.parquet", "whole.parquet"}


def test_what_cannot_be_read_is_left_out_and_listed(small, tmp_path, capsys):
    members = [(f"{i}.png", b"broken" if i in (1, 4, 5, 6, 7, 11) else png(picture(i))) for i in range(12)]
    write_tar(tmp_path / "a.tar", members)
    codes = columns_of(encode(small, tmp_path / "a.tar", tmp_path / "codes.parquet", progress=True))
    assert codes["name"] == ["0", "2", "3", "8", "9", "10"] and codes["row"] == list(range(6))
    told = capsys.readouterr().err
    assert "found     1 shard" in told and "skipped 6 of" in told


def test_a_damaged_shard_writes_nothing(small, tmp_path):
    tars = write_tars(tmp_path / "tars")
    content = (tars / "train-002.tar").read_bytes()
    (tars / "train-002.tar").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"train-002\.tar: the \.tar file is cut off"):
        encode(small, tars, tmp_path / "codes.parquet")
    assert not (tmp_path / "codes.parquet").exists()


def test_a_source_that_changes_writes_nothing(small, tmp_path, monkeypatch):
    tars, parts = write_tars(tmp_path / "tars"), streaming._parts

    def change(*args):
        yield from parts(*args)
        write_tar(tars / "train-009.tar", [("a.png", png(picture(0)))])

    monkeypatch.setattr(streaming, "_parts", change)
    with pytest.raises(DataError, match="tars: changed while it was encoded; run this again"):
        encode(small, tars, tmp_path / "codes.parquet")
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "tars"}


def test_a_whole_data_set_is_refused_before_anything_is_encoded(small, tmp_path, monkeypatch):
    tars, out = write_tars(tmp_path / "tars"), tmp_path / "codes.lance"
    encode(small, tars, out)
    monkeypatch.setattr(Encoder, "columns", lambda *given, **how: pytest.fail("encoded"))
    with pytest.raises(CodesError, match=r"codes.lance exists already, and is not written over"):
        encode(small, tars, out)
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "tars", "codes.lance"}


@pytest.mark.parametrize("merged", [False, True])
def test_the_command_that_a_stopped_data_set_tells_goes_on_with_it(small, tmp_path, monkeypatch, merged):
    monkeypatch.setattr(shards, "PART", 8)
    monkeypatch.setattr("vlae.codes.parts.PART", 8)
    source, out = write_parquet(tmp_path / "a.parquet", range(NUM)), tmp_path / "codes.lance"
    asked = {"stream": True, "key": "image", "id": "name", "seed": 1, "sample": True}
    table = parquet.read_table(source)
    parquet.write_table(table.append_column("name", [[f"n{i}" for i in range(NUM)]]), source, row_group_size=20)
    write, written = LanceCodes.write, []

    def stop(codes, rows):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(rows)
        write(codes, rows)

    parts = [encode(small, source, tmp_path / f"{i}.parquet", shard=f"{i}/2", **asked) for i in (1, 2) if merged]
    monkeypatch.setattr(LanceCodes, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        merge(parts, out) if merged else encode(small, source, out, **asked)
    monkeypatch.setattr(LanceCodes, "write", write)
    with pytest.raises(CodesError, match=r"unfinished \(16 of 60 rows\); go on with: vlae encode ") as refused:
        open_codes(out)
    with pytest.raises(CodesError, match="begun with another source"):
        encode(small, source, out, **{**asked, "stream": False})
    command = shlex.split(str(refused.value).partition("go on with: vlae ")[2])
    assert command[-8:] == ["--stream", "--key", "image", "--id", "name", "--sample", "--seed", "1"]
    assert cli_exit(*command) == 0
    assert open_codes(out).num == NUM


def test_what_needs_the_whole_source_is_refused(small, tmp_path):
    tars = write_tars(tmp_path / "tars", shards=1)
    for asked in ({"split": "test"}, {"limit": 3}):
        with pytest.raises(ValueError, match="split and limit need a source that is read as a whole"):
            encode(small, tars, tmp_path / "codes.parquet", **asked)
    write_parquet(tmp_path / "a.parquet", range(5))
    other = tmp_path / "vectors.npy"
    np.save(other, np.zeros((5, 3)))
    with pytest.raises(DataError, match="no shards"):
        encode(small, other, tmp_path / "codes.parquet", stream=True)
