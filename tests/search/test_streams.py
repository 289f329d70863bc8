"""Indexes of streams: of shards that are read one after the other, here and in an object store."""

import json
import re

import numpy as np
import pyarrow
import pytest
from code_files import columns_of, write_folder
from command_line import cli_exit, refusal
from object_store import object_store
from PIL import Image
from pyarrow import parquet
from shard_files import picture, png, write_parquet, write_tar, write_tars

import vlae
from vlae.codes.encode import encode
from vlae.data import item_shards, sampling
from vlae.data.sharding import Share
from vlae.data.source import DataError
from vlae.data.streams import Stream
from vlae.runs import contents
from vlae.runs.run import Run
from vlae.search import building
from vlae.search.index import Index, SearchError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    photos = write_folder(tmp_path_factory.mktemp("data") / "photos")
    out = tmp_path_factory.mktemp("runs") / "a"
    return vlae.train(photos, out=out, code_sizes=(1, 0, 2), steps=4, batch_size=8, progress=False)


@pytest.fixture(autouse=True)
def small_commits(monkeypatch):
    monkeypatch.setattr(contents, "BATCH", 4)
    monkeypatch.setattr(building, "COMMIT", 8)


@pytest.fixture
def tars(tmp_path):
    return write_tars(tmp_path / "tars", shards=5, rows=6)


def rows_of(index):
    return index.table.search().to_arrow().sort_by("name").to_pylist()


def names(index):
    return [row["name"] for row in rows_of(index)]


NAMES = [f"{number:05d}" for number in range(30)]


def stopping_at(monkeypatch, call):
    """Stops at the nth batch that is encoded from now on; gives the sizes of batches, and which shards are read."""
    sizes, shards, encode_them, read = [], [], Run.encode, Stream.read

    def stop(self, x, **given):
        sizes.append(len(x))
        if len(sizes) == call:
            raise KeyboardInterrupt
        return encode_them(self, x, **given)

    def note(self, shard, start=0):
        shards.append(shard)
        yield from read(self, shard, start)

    monkeypatch.setattr(Run, "encode", stop)
    monkeypatch.setattr(Stream, "read", note)
    return sizes, shards


def test_an_index_of_a_stream_has_its_names_labels_codes_and_pictures(run, tars, tmp_path):
    index = Index.build(run, tars, tmp_path / "index")
    rows = rows_of(index)
    assert [row["name"] for row in rows] == NAMES
    assert [row["label"] for row in rows] == [("cat", "dog", "owl")[i % 3] for i in range(30)]
    codes = columns_of(encode(run, tars, tmp_path / "codes.parquet"))
    for level in (1, 3):
        ours = np.array([row[f"level{level}"] for row in rows])
        np.testing.assert_allclose(ours, codes[f"level{level}"], rtol=1e-4, atol=1e-5)
    Image.fromarray(picture(7)).save(tmp_path / "seven.png")
    found = index.similar(tmp_path / "seven.png", levels=1, num=5).table
    assert len(found) == 5 and "00007" not in found["name"].to_pylist()  # it is the one asked about


def test_rows_without_a_name_are_numbered(run, tmp_path):
    pictures = np.stack([picture(i) for i in range(20)])
    index = Index.build(run, contents.contents_of(run, pictures, stream=True), tmp_path / "index")
    assert sorted(map(int, names(index))) == list(range(20))
    whole = Index.build(run, pictures, tmp_path / "whole")
    assert [row["hash"] for row in rows_of(index)] == [row["hash"] for row in rows_of(whole)]


def test_a_build_goes_on_in_the_shard_where_it_was_stopped(run, tars, tmp_path, monkeypatch):
    Index.build(run, tars, tmp_path / "warm")  # the sample is in the cache
    sizes, _ = stopping_at(monkeypatch, 9)  # the first is of the spread; then 4 and 2 of each shard
    with pytest.raises(KeyboardInterrupt):
        Index.build(run, tars, tmp_path / "index")
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="unfinished"):
        there = len(Index.open(run, tmp_path / "index"))
    assert 0 < there < 30
    sizes, shards = stopping_at(monkeypatch, 0)
    index = Index.build(run, tars, tmp_path / "index")
    assert sum(sizes) == 30 - there  # what is there is not encoded again
    assert 0 not in shards and shards[-1] == 4  # nor is what is done read again
    assert names(index) == NAMES and not index.state.unfinished


def test_more_shards_are_added_and_those_that_are_there_are_not(run, tars, tmp_path):
    index = Index.build(run, tars, tmp_path / "index")
    assert index.add(tars) == 0
    write_tars(tmp_path / "more", shards=7, rows=6)
    assert index.add(tmp_path / "more") == 12
    assert names(index) == [f"{number:05d}" for number in range(42)]


@pytest.mark.parametrize("num", [2, 5])
def test_shards_of_a_stream_merge_to_the_index_of_one_process(run, tars, tmp_path, num):
    alone = Index.build(run, tars, tmp_path / "alone")
    parts = [tmp_path / f"part{i}" for i in range(1, num + 1)]
    for i, part in enumerate(parts, 1):
        assert cli_exit("index", run.path, tars, "--out", part, "--shard", f"{i}/{num}") == 0
    vlae.merge(tmp_path / "merged", parts)
    merged = Index.open(run, tmp_path / "merged")
    assert merged.spread == alone.spread
    for ours, theirs in zip(rows_of(merged), rows_of(alone), strict=True):
        assert ours.pop("all_levels") == pytest.approx(theirs.pop("all_levels"), rel=1e-4, abs=1e-5)
        assert {name: ours[name] for name in ours if "level" not in name} == {
            name: theirs[name] for name in theirs if "level" not in name
        }


def test_what_cannot_be_read_is_left_out_and_said(run, tmp_path, capsys):
    tars = write_tars(tmp_path / "tars", shards=2, rows=6)
    write_tar(tars / "train-001.tar", [("a.png", b"no picture"), ("b.png", png(picture(1)))])
    assert cli_exit("index", run.path, tars, "--out", tmp_path / "index") == 0
    words = capsys.readouterr()
    assert words.out.strip() == f"7 images in {tmp_path / 'index'}"
    assert "skipped 1 of" in words.err and "a:" in words.err
    assert cli_exit("index", run.path, tars, "--out", tmp_path / "index", "--add") == 0
    assert capsys.readouterr().out.strip() == f"0 images added; 7 in {tmp_path / 'index'}"


def test_a_stream_that_changes_is_refused(run, tars, tmp_path, monkeypatch):
    encode_them = Run.encode

    def change(self, x, **given):
        write_tars(tars, shards=1, rows=7)
        return encode_them(self, x, **given)

    Index.build(run, tars, tmp_path / "warm")
    monkeypatch.setattr(Run, "encode", change)
    with pytest.raises(DataError, match="changed"):
        Index.build(run, tars, tmp_path / "index")
    monkeypatch.setattr(Run, "encode", encode_them)
    for _ in range(2):
        with pytest.raises(SearchError, match=r"is unfinished, and .* has changed since.*; remove the index and build"):
            Index.build(run, tars, tmp_path / "index")


def test_a_stream_is_asked_for_and_no_part_of_it_is(run, tars, tmp_path, capsys):
    file = write_parquet(tmp_path / "some.parquet", range(12))
    words = refusal(capsys, "index", run.path, tars, "--out", tmp_path / "index", "--limit", "5")
    assert "split and limit need a source that is read as a whole" in words and not (tmp_path / "index").exists()
    assert cli_exit("index", run.path, file, "--stream", "--out", tmp_path / "index") == 0
    assert "12 images" in capsys.readouterr().out
    assert contents.contents_of(run, file, stream=True).num == 12


def test_from_a_bucket_into_a_bucket(run, tmp_path, monkeypatch, capsys):
    with object_store(monkeypatch, "pictures", "found") as client:
        for number in range(3):
            file = write_parquet(tmp_path / f"{number}.parquet", range(7 * number, 7 * number + 7))
            client.upload_file(str(file), "pictures", f"train/{number}.parquet")
        assert cli_exit("index", run.path, "s3://pictures/train", "--out", "s3://found/index") == 0
        assert re.search(r"21 images in s3://found/index", capsys.readouterr().out)
        assert names(Index.open(run, "s3://found/index")) == [f"{number:05d}" for number in range(21)]


# Stopped, and gone on with


def test_a_shard_goes_on_where_it_was_stopped(run, tars, tmp_path, monkeypatch, capsys):
    first = ["index", run.path, tars, "--out", tmp_path / "part2", "--shard", "2/2"]  # three of five .tar files
    assert cli_exit("index", run.path, tars, "--out", tmp_path / "part1", "--shard", "1/2") == 0
    stopping_at(monkeypatch, 7)
    assert cli_exit(*first) == 130
    monkeypatch.undo()
    assert "is unfinished" in refusal(capsys, "merge", tmp_path / "m", tmp_path / "part1", tmp_path / "part2")
    _, shards = stopping_at(monkeypatch, 0)
    assert cli_exit(*first) == 0
    assert shards[-1] == 4 and 2 not in shards[1:]
    vlae.merge(tmp_path / "merged", [tmp_path / "part2", tmp_path / "part1"])
    assert names(Index.open(run, tmp_path / "merged")) == NAMES


def test_rows_without_a_name_keep_their_numbers(run, tmp_path, monkeypatch):
    for number in range(4):
        file = write_parquet(tmp_path / "tables" / f"{number}.parquet", range(7 * number, 7 * number + 7))
        parquet.write_table(parquet.read_table(file).drop_columns(["id"]), file)
    whole = Index.build(run, contents.contents_of(run, tmp_path / "tables", stream=True), tmp_path / "whole")
    assert [row["name"] for row in rows_of(whole)] == sorted(map(str, range(28)))
    stopping_at(monkeypatch, 6)
    with pytest.raises(KeyboardInterrupt):
        Index.build(run, contents.contents_of(run, tmp_path / "tables", stream=True), tmp_path / "index")
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="--stream"):  # the command that goes on says how it is read
        Index.open(run, tmp_path / "index")
    with pytest.raises(SearchError, match="is read or cut in another way"):
        other = contents.contents_of(run, tmp_path / "tables", stream=True, key="image")
        Index.build(run, other, tmp_path / "index")
    index = Index.build(run, contents.contents_of(run, tmp_path / "tables", stream=True), tmp_path / "index")
    assert [row["hash"] for row in rows_of(index)] == [row["hash"] for row in rows_of(whole)]


def test_what_cannot_be_read_again_by_its_name_is_read_from_its_beginning(run, tmp_path, monkeypatch):
    monkeypatch.setattr(item_shards, "RANGE", 5)
    pictures = np.stack([picture(i) for i in range(20)])
    for name in ("one", "two"):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            stopping_at(patched, 6)
            Index.build(run, contents.contents_of(run, pictures, stream=True), tmp_path / name)
    index = Index.build(run, contents.contents_of(run, pictures, stream=True), tmp_path / "one")
    assert sorted(map(int, names(index))) == list(range(20))
    with pytest.raises(SearchError, match="has changed since it was begun"):  # it is not made of two
        Index.build(run, contents.contents_of(run, 255 - pictures, stream=True), tmp_path / "two")


def test_two_shards_of_a_stream_are_not_taken_for_one(run, tars, tmp_path, monkeypatch):
    index = Index.build(run, [picture(100), picture(101)], tmp_path / "index")
    one, two = (contents.contents_of(run, tars, shard=Share(i, 2)) for i in (1, 2))
    stopping_at(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        index.add(one)
    monkeypatch.undo()
    assert index.add(two) == 18  # three of five .tar files, from their beginning


def test_copies_in_two_shards_are_there_once(run, tmp_path):
    for shard in range(2):
        write_tar(
            tmp_path / "tars" / f"{shard}.tar", [("same.png", png(picture(1))), (f"{shard}.png", png(picture(7)))]
        )
    parts = [tmp_path / f"part{i}" for i in (1, 2)]
    for i, part in enumerate(parts, 1):
        assert cli_exit("index", run.path, tmp_path / "tars", "--out", part, "--shard", f"{i}/2") == 0
    vlae.merge(tmp_path / "merged", parts)
    whole = Index.build(run, tmp_path / "tars", tmp_path / "whole")
    assert names(Index.open(run, tmp_path / "merged")) == names(whole) == ["0", "1", "same"]


def test_adding_goes_on_and_takes_a_stream_as_it_is_now(run, tars, tmp_path, monkeypatch):
    index = Index.build(run, [picture(100), picture(101)], tmp_path / "index")
    stopping_at(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        index.add(tars)
    monkeypatch.undo()
    write_tars(tars, shards=6, rows=6)  # one more
    with pytest.warns(UserWarning, match="unfinished"):
        index = Index.open(run, tmp_path / "index")
    there = len(index)
    assert index.add(tars) == 38 - there
    assert not index.state.unfinished and len(names(index)) == len(set(names(index))) == 38


def test_copies_of_one_name_are_there_once_whenever_it_is_stopped(run, tmp_path, monkeypatch):
    for shard in range(4):
        rows = [("same.png", png(picture(1))), *[(f"{shard}{i}.png", png(picture(9 * shard + i))) for i in range(3)]]
        write_tar(tmp_path / "tars" / f"{shard}.tar", rows)
    whole = Index.build(run, tmp_path / "tars", tmp_path / "whole")
    assert names(whole).count("same") == 1 and len(whole) == 13
    stopping_at(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        Index.build(run, tmp_path / "tars", tmp_path / "index")
    monkeypatch.undo()
    assert names(Index.build(run, tmp_path / "tars", tmp_path / "index")) == names(whole)


def test_an_unfinished_shard_of_an_earlier_version_goes_on(run, tmp_path, monkeypatch):
    photos = write_folder(tmp_path / "photos")
    first = ["index", run.path, photos, "--out", tmp_path / "part1", "--shard", "1/2"]
    monkeypatch.setattr(contents, "BATCH", 2)
    monkeypatch.setattr(building, "COMMIT", 2)
    stopping_at(monkeypatch, 3)
    assert cli_exit(*first) == 130
    monkeypatch.undo()
    schema = Index.open(run, tmp_path / "part1").table.schema
    assert "stream" not in json.loads(schema.metadata[b"vlae_shard"])  # as it was written
    assert cli_exit(*first) == 0


# What is refused, and what is left out


class Rewinding:
    """A data set of torch that is its own iterator, and begins anew."""

    def __iter__(self):
        self.at = 0
        return self

    def __next__(self):
        if self.at == 20:
            raise StopIteration
        self.at += 1
        return picture(self.at)


def test_a_source_that_gives_its_items_once_is_refused(run, tmp_path):
    assert len(Index.build(run, Rewinding(), tmp_path / "rewinding")) == 20
    with pytest.raises(TypeError, match="gives its items once"):
        Index.build(run, (picture(i) for i in range(30)), tmp_path / "index")
    with pytest.raises(TypeError, match="gives its items once"):
        Index.build(run, map(picture, range(30)), tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_a_class_that_the_sample_has_not_seen_is_unknown(run, tars, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "NUM", 4)
    monkeypatch.setattr(sampling, "SHARDS", 1)
    write_tar(tars / "train-003.tar", [("30.png", png(picture(30))), ("30.cls", b"yak")])
    rows = rows_of(Index.build(run, tars, tmp_path / "index"))
    assert {row["name"]: row["label"] for row in rows}["30"] is None and len(rows) == 25


def test_vectors_are_indexed_too(tmp_path):
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=60) for name in "abc"}
    parquet.write_table(pyarrow.table(columns), tmp_path / "v.parquet", row_group_size=20)
    vectors = vlae.train(tmp_path / "v.parquet", out=tmp_path / "run", code_sizes=(1, 1), steps=3, progress=False)
    index = Index.build(vectors, contents.contents_of(vectors, tmp_path / "v.parquet", stream=True), tmp_path / "index")
    assert sorted(map(int, names(index))) == list(range(60))


def test_a_source_that_is_gone_is_no_index_that_cannot_be_written(run, tmp_path):
    class Broken:
        def __len__(self):
            return 30

        def __getitem__(self, i):
            if i == 29:
                raise FileNotFoundError("29 is gone")
            return picture(i)

    with pytest.raises(FileNotFoundError, match="29 is gone"):
        Index.build(run, contents.contents_of(run, Broken(), stream=True), tmp_path / "index")
