"""Shards of an index, merged: the rows, names and distances of an index that one process has built."""

import lancedb
import numpy as np
import pytest
from code_files import write_folder
from command_line import cli_exit, refusal

import vlae
from vlae.runs import contents
from vlae.search import building
from vlae.search.index import TABLE, Index


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "a"
    return vlae.train(photos, out=out, code_sizes=(1, 0, 2), steps=4, batch_size=8, progress=False)


def index_shards(run, source, folder, num=3, *words):
    parts = [folder / f"part{i}" for i in range(1, num + 1)]
    for i, part in enumerate(parts, 1):
        assert cli_exit("index", run.path, source, "--out", part, "--shard", f"{i}/{num}", *words) == 0
    return parts


def check_alike(merged, alone):
    ours, theirs = (lancedb.connect(path).open_table(TABLE).to_arrow() for path in (merged, alone))
    assert ours.schema.names == theirs.schema.names
    assert [field.type for field in ours.schema] == [field.type for field in theirs.schema]
    for name in theirs.schema.names:
        if "level" in name:
            values = [np.array(table[name].to_pylist(), np.float32) for table in (ours, theirs)]
            np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-5)
        else:
            assert ours[name].to_pylist() == theirs[name].to_pylist(), name


@pytest.mark.parametrize("words", [(), ("--no-pictures",)])
def test_merged_shards_are_the_index_that_one_process_builds(run, photos, tmp_path, words, capsys):
    parts = index_shards(run, photos, tmp_path, 3, *words)
    assert cli_exit("index", run.path, photos, "--out", tmp_path / "alone", *words) == 0
    assert cli_exit("merge", tmp_path / "merged", *parts[::-1]) == 0
    check_alike(tmp_path / "merged", tmp_path / "alone")
    ours, theirs = (Index.open(run, tmp_path / name) for name in ("merged", "alone"))
    np.testing.assert_allclose(ours.spread, theirs.spread, rtol=1e-5)
    found = [index.similar("cats/003.png", num=5).by[1, 3] for index in (ours, theirs)]
    assert found[0]["name"].to_pylist() == found[1]["name"].to_pylist()


def test_rows_without_a_name_are_numbered_as_in_the_whole(run, tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    labels = np.array([-1] * 10 + [0, 1] * 5)  # the first shard knows no label
    np.savez(tmp_path / "a.npz", images=values, labels=labels, tilt=np.arange(20.0))
    parts = index_shards(run, tmp_path / "a.npz", tmp_path, 2)
    Index.build(run, tmp_path / "a.npz", tmp_path / "alone")
    check_alike(vlae.merge(tmp_path / "merged", parts), tmp_path / "alone")


def test_a_shard_goes_on_where_it_was_stopped(run, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(contents, "BATCH", 2)
    monkeypatch.setattr(building, "COMMIT", 2)
    batch, calls = building.rows.batch, []

    def stop(*of):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return batch(*of)

    monkeypatch.setattr(building.rows, "batch", stop)
    first = ["index", run.path, photos, "--out", tmp_path / "part1", "--shard", "1/2"]
    assert cli_exit(*first) == 130
    assert "is unfinished; go on with: vlae index" in refusal(capsys, "merge", tmp_path / "m", tmp_path / "part1")
    assert cli_exit(*first) == 0
    assert len(calls) == 2 + 1 + 3
    assert not (tmp_path / "m").exists()


def test_bad_input_is_refused(run, photos, tmp_path, capsys):
    parts = index_shards(run, photos, tmp_path, 2)
    assert "shards 2 are missing" in refusal(capsys, "merge", tmp_path / "m", parts[0])
    assert "both shard 1/2" in refusal(capsys, "merge", tmp_path / "m", *parts, parts[0])
    assert "shard is '3/2'" in refusal(capsys, "index", run.path, photos, "--out", tmp_path / "n", "--shard", "3/2")
    assert "leave out --add" in refusal(capsys, "index", run.path, photos, "--shard", "1/2")
    Index.build(run, photos, tmp_path / "alone")
    assert "is no shard" in refusal(capsys, "merge", tmp_path / "m", parts[0], tmp_path / "alone")
    write_folder(photos.parent / "more", num=20)
    assert cli_exit("index", run.path, photos.parent / "more", "--out", tmp_path / "x", "--shard", "2/2") == 0
    assert "different sources" in refusal(capsys, "merge", tmp_path / "m", parts[0], tmp_path / "x")
    assert not (tmp_path / "m").exists()
    assert "exists already" in refusal(capsys, "merge", parts[0], *parts)
