"""Codes in a Lance data set: commits that survive a stop, here and in an object store."""

import json
import signal
import subprocess
import sys
import time

import lancedb
import numpy as np
import pyarrow
import pytest
from code_files import columns_of, stopping_at, write_folder
from command_line import cli_exit, refusal
from object_store import object_store

from vlae.atomic import WriteError, locked
from vlae.codes import lance, parts
from vlae.codes.decode import decode
from vlae.codes.encode import encode
from vlae.codes.files import CodesError, open_codes
from vlae.data.source import DataError
from vlae.runs import Run


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr("vlae.codes.parts.PART", 6)


@pytest.fixture
def bucket(monkeypatch):
    with object_store(monkeypatch, "bucket"):
        yield "s3://bucket"


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_the_command_that_goes_on_has_numbers_and_quotes(run, folder, tmp_path, monkeypatch):
    stopping_at(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        encode(run, folder, tmp_path / "codes.lance", sample=True, seed=1, limit=20)
    with pytest.raises(CodesError, match=r"--limit 20 --sample --seed 1$"):
        open_codes(tmp_path / "codes.lance")


def test_an_address_may_end_in_a_slash(monkeypatch):
    asked = []
    monkeypatch.setattr(lance, "table_at", lambda folder, name: asked.append((folder, name)))
    for place in ("s3://b/codes.lance", "s3://b/codes.lance/"):
        lance.LanceCodes(place)
    assert asked == 2 * [("s3://b", "codes")]


def test_a_part_is_a_commit_and_a_stop_loses_at_most_one(run, folder, tmp_path, monkeypatch):
    undisturbed = columns_of(encode(run, folder, tmp_path / "whole.parquet", sample=True))
    begun, out = stopping_at(monkeypatch, 4), tmp_path / "codes.lance"
    with pytest.raises(KeyboardInterrupt):
        encode(run, folder, out, sample=True)
    assert lance.LanceCodes(out).parts(6) == {0, 1, 2}
    with pytest.raises(CodesError, match=r"unfinished \(18 of 20 rows\); go on with: vlae encode .* --sample"):
        open_codes(out)
    encode(run, folder, out, sample=True)
    assert begun == [0, 6, 12, 18, 18]
    assert equal(columns_of(out), undisturbed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codes.lance", "whole.parquet"]


def test_the_same_in_an_object_store(run, folder, tmp_path, monkeypatch, bucket, capsys):
    here, there = encode(run, folder, tmp_path / "codes.lance"), f"{bucket}/some/codes.lance"
    stopping_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        encode(run, folder, there)
    assert cli_exit("encode", run.path, folder, "--out", there) == 0
    assert capsys.readouterr().out.splitlines()[-1] == there
    assert equal(columns_of(there), columns_of(here))
    decode(run, there, tmp_path / "pictures")
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 20


def test_what_a_bucket_refuses_is_one_line(run, folder, bucket, capsys):
    line = refusal(capsys, "encode", run.path, folder, "--out", "s3://nobody/codes.lance")
    assert line.startswith("vlae: s3://nobody") and "bucket does not exist" in line
    line = refusal(capsys, "decode", run.path, f"{bucket}/codes.lance", "--out", "pictures")
    assert "there is no such data set; write one with" in line
    line = refusal(capsys, "encode", run.path, folder, "--out", f"{bucket}/codes.parquet")
    assert "codes are kept as Lance; give a name that ends in .lance" in line


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"stddev": True}, r"another stddev \(False, not True\)"),
        ({"split": "test"}, r"another --split \(all, not test\)"),
        ({"limit": 12}, "another number of rows"),
    ],
)
def test_other_settings_are_refused_and_nothing_is_added(run, folder, tmp_path, monkeypatch, given, words):
    stopping_at(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        encode(run, folder, tmp_path / "codes.lance")
    with pytest.raises(CodesError, match=rf"was begun with {words}.*; go on with that, or choose another --out"):
        encode(run, folder, tmp_path / "codes.lance", **given)
    assert len(lance.LanceCodes(tmp_path / "codes.lance")) == 6


def test_another_run_or_source_is_refused(run, other, folder, tmp_path, monkeypatch):
    stopping_at(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        encode(run, folder, tmp_path / "codes.lance")
    with pytest.raises(CodesError, match="begun with another run"):
        encode(other, folder, tmp_path / "codes.lance")
    with pytest.raises(CodesError, match="begun with another source"):
        encode(run, write_folder(tmp_path / "more"), tmp_path / "codes.lance")


def test_an_array_is_known_by_its_content(run, tmp_path, monkeypatch):
    pictures = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8), dtype=np.uint8)
    stopping_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        encode(run, pictures, tmp_path / "codes.lance")
    with pytest.raises(CodesError, match="begun with another source"):
        encode(run, 255 - pictures, tmp_path / "codes.lance")
    encode(run, pictures, tmp_path / "codes.lance")
    assert columns_of(tmp_path / "codes.lance")["row"].tolist() == list(range(20))


def test_what_is_whole_is_not_written_over(run, folder, tmp_path):
    encode(run, folder, tmp_path / "codes.lance")
    with pytest.raises(CodesError, match="exists already"):
        encode(run, folder, tmp_path / "codes.lance")


def test_what_another_process_wrote_while_the_source_was_read_is_not_spoilt(run, folder, tmp_path, monkeypatch):
    out, read = tmp_path / "codes.lance", Run.read

    def and_another_process_ends(run, source, **how):
        images = read(run, source, **how)
        monkeypatch.setattr(Run, "read", read)
        encode(run, source, out)
        return images

    monkeypatch.setattr(Run, "read", and_another_process_ends)
    with pytest.raises(CodesError, match="exists already"):
        encode(run, folder, out)
    assert open_codes(out).num == len(lance.LanceCodes(out)) == 20


def test_rows_that_are_there_twice_are_refused(run, folder, tmp_path):
    codes = lance.LanceCodes(encode(run, folder, tmp_path / "codes.lance"))
    codes.write(codes.table.to_arrow().slice(0, 6))
    with pytest.raises(CodesError, match="has 26 rows for 20 data, as two commands wrote it at once; remove it"):
        open_codes(tmp_path / "codes.lance")


def test_of_a_source_that_has_grown_it_says_what_to_do(run, folder, tmp_path):
    photos, out = write_folder(tmp_path / "photos"), tmp_path / "codes.lance"
    encode(run, photos, out)
    (photos / "dogs" / "000.png").rename(photos / "dogs" / "new.png")
    with pytest.raises(CodesError, match=r"is whole, and .*photos has changed since; add what is new with --add"):
        encode(run, photos, out)
    pictures = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    encode(run, pictures[:20], tmp_path / "array.lance")
    with pytest.raises(CodesError, match="begun with another source"):  # nothing can be added of an array
        encode(run, pictures[20:], tmp_path / "array.lance")


def test_a_source_that_changes_leaves_nothing(run, tmp_path, monkeypatch):
    photos, commit = write_folder(tmp_path / "photos"), parts.commit

    def change_meanwhile(*words):
        commit(*words)
        (photos / "dogs" / "000.png").unlink()

    monkeypatch.setattr("vlae.codes.parts.commit", change_meanwhile)
    with pytest.raises(DataError, match="changed while it was being read"):
        encode(run, photos, tmp_path / "codes.lance")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_parts_in_any_order_are_read_in_the_order_of_rows(tmp_path):
    about = {b"vlae": json.dumps({"num": 18}).encode()}
    codes = lance.LanceCodes(tmp_path / "codes.lance")
    for first in (12, 0, 6):
        rows = np.arange(first, first + 6)
        level = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(np.repeat(rows, 2).astype(np.float32)), 2)
        codes.write(pyarrow.table({"row": rows, "level1": level}).replace_schema_metadata(about))
    assert codes.parts(6) == {0, 1, 2}
    assert columns_of(tmp_path / "codes.lance")["level1"].tolist() == [[row, row] for row in range(18)]


def test_other_programs_read_and_write_them(run, folder, tmp_path):
    encode(run, folder, tmp_path / "codes.lance")
    table = lancedb.connect(tmp_path).open_table("codes")
    assert json.loads(table.schema.metadata[b"vlae"])["recipe"] == "lean"
    rows = table.search().select(["level1", "level3"]).limit(5).to_arrow().replace_schema_metadata(None)
    lancedb.connect(tmp_path).create_table("mine", rows)
    decode(run, tmp_path / "mine.lance", tmp_path / "pictures.npz")
    assert np.load(tmp_path / "pictures.npz")["images"].shape == (5, 3, 8, 8)


def test_a_damaged_data_set_is_one_line(run, folder, tmp_path):
    (tmp_path / "codes.lance").mkdir()
    (tmp_path / "codes.lance" / "words.txt").write_text("words")
    with pytest.raises(CodesError, match=r"codes\.lance"):
        open_codes(tmp_path / "codes.lance")
    out = encode(run, folder, tmp_path / "other.lance")
    for file in (out / "data").iterdir():
        file.write_bytes(b"words")
    with pytest.raises(CodesError, match="no file of codes, or a damaged one"):
        columns_of(out)
    for file in (out / "_versions").iterdir():
        file.write_bytes(b"words")
    with pytest.raises(CodesError, match=r"other\.lance cannot be opened"):
        open_codes(out)


def test_names_that_cannot_be_used(run, folder, tmp_path):
    with pytest.raises(CodesError, match="may contain only alphanumeric characters"):
        encode(run, folder, tmp_path / "my codes.lance")
    with pytest.raises(WriteError, match="cannot be written"):
        encode(run, folder, "/dev/null/codes.lance")


def test_one_process_at_a_time_writes_a_folder(run, folder, tmp_path):
    said = pytest.raises(WriteError, match=r"another process .* writes .*codes.lance; wait until it has ended")
    with locked(tmp_path / ".codes.lance.lock", "", ""), said:
        encode(run, folder, tmp_path / "codes.lance")
    assert not any(tmp_path.iterdir())


KILLED = """
import sys
from vlae.codes import parts
from vlae.codes.encode import encode
from vlae.runs.opening import load

parts.PART = 6
encode(load(sys.argv[1]), sys.argv[2], sys.argv[3])
"""


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost_or_twice(run, tmp_path):
    photos, out, chance = write_folder(tmp_path / "photos", 120), tmp_path / "codes.lance", np.random.default_rng(0)
    kills = 0
    while not (out.exists() and lance.LanceCodes(out).is_whole):
        there = len(lance.LanceCodes(out))
        child = subprocess.Popen([sys.executable, "-c", KILLED, run.path, photos, out], stderr=subprocess.DEVNULL)
        while kills < 3 and child.poll() is None and len(lance.LanceCodes(out)) == there:
            time.sleep(0.01)
        if kills < 3:
            time.sleep(chance.uniform(0, 0.05))
            child.kill()
            kills += 1
        assert child.wait() in (0, -signal.SIGKILL)
        assert len(lance.LanceCodes(out)) % 6 == 0
    assert kills
    assert columns_of(out)["row"].tolist() == list(range(120))
