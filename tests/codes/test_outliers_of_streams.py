"""Outliers of streams: the same as those of the same data at hand, with pictures that are read again."""

import json

import numpy as np
import pyarrow
import pytest
from command_line import cli_exit, refusal
from pyarrow import parquet
from shard_files import picture, png, write_parquet, write_tar, write_tars

from vlae.codes import nearest, outliers
from vlae.data.source import DataError
from vlae.data.streams import Stream, open_stream
from vlae.errors import MissingExtraError
from vlae.runs import contents
from vlae.runs.contents import contents_of
from vlae.workflows import train


@pytest.fixture
def tars(tmp_path):
    tars = write_tars(tmp_path / "tars", shards=4, rows=6)
    write_tar(tars / "train-001.tar", [("06.png", b"no picture"), *[(f"{i:05d}.png", png(picture(i))) for i in (7, 8)]])
    return tars


def test_a_stream_has_the_scores_of_the_same_data_at_hand(run, tars, monkeypatch):
    monkeypatch.setattr(contents, "BATCH", 4)
    found = outliers.find_outliers(run, contents_of(run, tars))
    seeds = [*range(6), 7, 8, *range(12, 24)]
    values = np.stack([picture(seed) for seed in seeds])
    whole = outliers.find_outliers(run, run.read(values))
    assert found.images.names == tuple(f"{seed:05d}" for seed in seeds)
    for name, scores in whole.scores.items():
        np.testing.assert_allclose(found.scores[name], scores, rtol=1e-3, atol=1e-3)
    images = found.images
    order = [17, 3, 6, 0, 19]
    np.testing.assert_array_equal(images.values[order], values[order].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(images.values[6], values[6].transpose(2, 0, 1))
    np.testing.assert_array_equal(images.values[5:9], values[5:9].transpose(0, 3, 1, 2))
    assert [row["name"] for row in found.rows(2)] and found.figure(run.model, 2).ndim == 3


def test_from_the_command_line(run, tars, tmp_path, capsys):
    out = tmp_path / "odd.png"
    assert cli_exit("odd", run.path, tars, "--num", 3, "--out", out, "--json") == 0
    words = capsys.readouterr()
    rows = json.loads(words.out)["outliers"]
    assert len(rows) == 9 and all(row["name"].isdigit() for row in rows) and out.exists()
    assert "skipped 1 of" in words.err and "06" in words.err
    file = write_parquet(tmp_path / "some.parquet", range(14))
    assert cli_exit("odd", run.path, file, "--stream", "--num", 3, "--out", tmp_path / "b.png") == 0
    assert "split and limit need" in refusal(capsys, "odd", run.path, tars, "--limit", "5")


def test_a_stream_that_changes_is_refused(run, tars, monkeypatch):
    read = Stream.read

    def change(self, shard, start=0):
        if shard == 3:
            write_tars(tars, shards=1, rows=7)
        yield from read(self, shard, start)

    found = contents_of(run, tars)
    monkeypatch.setattr(Stream, "read", change)
    with pytest.raises(DataError, match="changed while it was read; run this again"):
        outliers.find_outliers(run, found)


def test_an_opened_stream_will_do_and_levels_that_are_not_asked_for_are_not_kept(run, tars):
    one = outliers.find_outliers(run, open_stream(tars), level=3)
    every = outliers.find_outliers(run, contents_of(run, tars))
    assert list(one.scores) == ["level3", "whole"]
    np.testing.assert_allclose(one.scores["level3"], every.scores["level3"], rtol=1e-5)


def test_pictures_that_are_not_the_same_any_more_are_not_shown(run, tars):
    images = outliers.find_outliers(run, contents_of(run, tars)).images
    assert images.values[[0, 3]].shape == (2, 3, 8, 8) and images.values[2:4, 0].shape == (2, 8, 8)
    assert images.values.size == len(images) * 3 * 8 * 8 and images._repr_html_()
    for which in (None, ..., [[0, 1]], ([0], [1])):
        with pytest.raises(IndexError, match="are chosen by"):
            images.values[which]
    images.values.hashes[3] += 1
    with pytest.raises(DataError, match="changed since it was read"):
        images.values[[0, 3]]


def test_usearch_is_missed_before_anything_is_read(run, tars, monkeypatch):
    monkeypatch.setattr(nearest, "MOST_EXACT", 9)
    monkeypatch.setattr(nearest, "find_spec", lambda name: None)
    found = contents_of(run, tars)
    monkeypatch.setattr(Stream, "read", None)
    with pytest.raises(MissingExtraError, match="more than 9 data need usearch"):
        outliers.find_outliers(run, found)


def test_columns_of_an_opened_stream_are_told_by_their_names(tmp_path):
    rng = np.random.default_rng(0)
    columns = {name: scale * rng.normal(size=60) for name, scale in (("a", 1.0), ("b", 10.0), ("c", 100.0))}
    parquet.write_table(pyarrow.table(columns), tmp_path / "abc.parquet")
    parquet.write_table(pyarrow.table({name: columns[name] for name in "cba"}), tmp_path / "cba.parquet")
    run = train(tmp_path / "abc.parquet", out=tmp_path / "run", code_sizes=(1, 1), steps=3, progress=False)
    ours, theirs = (outliers.find_outliers(run, open_stream(tmp_path / f"{name}.parquet")) for name in ("abc", "cba"))
    for name, scores in theirs.scores.items():
        np.testing.assert_allclose(ours.scores[name], scores, rtol=1e-5)
