"""Codes by a Ray cluster: what workers do, in this process; and a real cluster, of which a worker is killed."""

import json
import os
import shutil
import signal
import time

import lance
import numpy as np
import pytest
from code_files import columns_of, write_folder
from command_line import cli_exit, refusal
from object_store import object_store
from shard_files import write_parquet, write_tars

from vlae.atomic import WriteError
from vlae.codes import cluster, shared
from vlae.codes.cluster import ClusterError, encode_on_cluster
from vlae.codes.encode import encode
from vlae.codes.files import CodesError
from vlae.codes.fragments import DONE, Fragments
from vlae.data.source import DataError


def check_alike(one, other):
    ours, theirs = columns_of(one), columns_of(other)
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(ours[name], values, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(ours[name], values)


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ((None, 8, 0, 100), (8, 0.0)),
        ((None, 8, 0, 3), (3, 0.0)),
        ((None, 64, 2, 100), (8, 0.25)),  # four a GPU
        ((None, 6, 2, 100), (6, 1 / 3)),
        ((None, 64, 4, 2), (2, 1.0)),  # no more than one GPU each
        ((10, 64, 3, 100), (10, 0.25)),  # 4 + 3 + 3
        ((3, 2, 1, 100), (3, 1 / 3)),
    ],
)
def test_workers_share_the_gpus_of_a_cluster_so_that_each_finds_its_part(given, answer):
    assert cluster._shared_out(*given) == answer
    workers, part = answer
    assert not part or given[2] * int(1 / part + 1e-9) >= workers


def test_a_device_that_a_cluster_lacks_is_refused_before_anything_is_encoded(run, folder, tmp_path, here):
    for accelerator, words in (("gpu", "the cluster has no GPU; choose auto or cpu"), ("mps", "one of auto, cpu, gpu")):
        with pytest.raises(ClusterError, match=words):
            encode_on_cluster(run, folder, tmp_path / "codes.lance", address="local", accelerator=accelerator)
    assert not here and not (tmp_path / "codes.lance").exists()


def test_it_writes_what_one_process_writes(run, folder, tmp_path, here, monkeypatch):
    monkeypatch.setattr(shared, "PART", 6)
    out = encode_on_cluster(run, folder, tmp_path / "codes.lance", address="local", sample=True, stddev=True)
    alone = encode(run, folder, tmp_path / "alone.parquet", sample=True, stddev=True)
    check_alike(out, alone)
    assert here == [1, 2, 3, 4]
    assert lance.dataset(str(out)).schema.metadata.keys() == {b"vlae"}
    assert not (out / DONE).exists()


def test_of_a_stream_with_pictures_that_cannot_be_read(run, tmp_path, here):
    tars = write_tars(tmp_path / "tars", shards=3, rows=5)
    (tmp_path / "tars" / "train-001.tar").write_bytes(b"\0" * 10240)  # a .tar file without a file
    out = encode_on_cluster(run, tars, tmp_path / "codes.lance", address="local")
    check_alike(out, encode(run, tars, tmp_path / "alone.parquet"))
    assert columns_of(out)["row"].tolist() == list(range(10))


def test_it_goes_on_after_a_stop_and_nothing_is_there_twice(run, folder, tmp_path, here, monkeypatch):
    out, write, numbers = tmp_path / "codes.lance", Fragments.write, []

    def stop(fragments, number, tables, about):
        numbers.append(number)
        if numbers.count(number) == 1 and number == 2:
            fragments._write_fragments(
                next(tables), tables
            )  # half done: the fragments are there, but nothing names them
            raise KeyboardInterrupt
        return write(fragments, number, tables, about)

    monkeypatch.setattr(shared, "PART", 6)
    monkeypatch.setattr(Fragments, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        encode_on_cluster(run, folder, out, address="local")
    with pytest.raises(CodesError):
        columns_of(out)  # it is no data set yet
    encode_on_cluster(run, folder, out, address="local")
    assert numbers == [1, 2, 2, 3, 4]
    check_alike(out, encode(run, folder, tmp_path / "alone.parquet"))
    assert len(list((out / "data").iterdir())) == 4 + 4  # fragments of codes, and of the numbers of rows: no others


def test_a_stop_between_the_commits_loses_nothing(run, folder, tmp_path, here, monkeypatch):
    out = tmp_path / "codes.lance"
    monkeypatch.setattr(Fragments, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        encode_on_cluster(run, folder, out, address="local")
    monkeypatch.undo()
    here.clear()
    encode_on_cluster(run, folder, out, address="local")
    assert not here
    check_alike(out, encode(run, folder, tmp_path / "alone.parquet"))


def test_what_was_begun_with_something_else_is_refused(run, other, folder, tmp_path, here, monkeypatch):
    out = tmp_path / "codes.lance"
    monkeypatch.setattr(Fragments, "commit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        encode_on_cluster(run, folder, out, address="local")
    for words, of, source, content in (
        ("another run", other, folder, {}),
        ("another settings", run, folder, {"seed": 1}),
        ("another source", run, write_folder(tmp_path / "photos"), {}),
    ):
        with pytest.raises(CodesError, match=words):
            encode_on_cluster(of, source, out, address="local", **content)


def test_a_source_that_changes_meanwhile_is_refused(run, tmp_path, here, monkeypatch):
    photos, out, write = write_folder(tmp_path / "photos"), tmp_path / "codes.lance", Fragments.write

    def change(*of):
        write_folder(photos, num=1)
        return write(*of)

    monkeypatch.setattr(Fragments, "write", change)
    with pytest.raises(DataError, match="changed while"):
        encode_on_cluster(run, photos, out, address="local")
    assert not (out / "_versions").exists()


def test_from_a_bucket_into_a_bucket(run, tmp_path, here, monkeypatch, capsys):
    with object_store(monkeypatch, "pictures", "codes") as client:
        for number in range(3):
            file = write_parquet(tmp_path / f"{number}.parquet", range(7 * number, 7 * number + 7))
            client.upload_file(str(file), "pictures", f"train/{number}.parquet")
        source, out = "s3://pictures/train", "s3://codes/all/codes.lance"
        assert cli_exit("encode", run.path, source, "--out", out, "--ray", "local") == 0
        assert capsys.readouterr().out.splitlines()[-1] == out
        check_alike(out, encode(run, source, tmp_path / "alone.parquet"))
        line = refusal(capsys, "encode", run.path, source, "--out", out, "--ray", "local")
        assert "exists already" in line
        line = refusal(capsys, "encode", run.path, source, "--out", "s3://nowhere/codes.lance", "--ray", "local")
        assert "s3://nowhere/codes.lance" in line


# Bad input


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "ray://nowhere.invalid:10001"])
def test_an_address_that_does_not_answer(run, folder, tmp_path, capsys, address):
    begun = time.monotonic()
    line = refusal(capsys, "encode", run.path, folder, "--out", tmp_path / "codes.lance", "--ray", address)
    assert f"no Ray cluster answers at {address}" in line
    assert time.monotonic() - begun < 30
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ray", "nonsense"], "no address of a Ray cluster"),
        (["--ray", "http://a:1"], "no address of a Ray cluster"),
        (["--ray", "local", "--workers", "0"], "workers is 0"),
        (["--ray", "local", "--shard", "1/2"], "leave out --shard"),
        (["--ray", "local", "--limit", "5"], "leave out --shard"),
        (["--workers", "2"], "--workers is for --ray"),
    ],
)
def test_commands_that_make_no_sense(run, folder, tmp_path, capsys, words, said):
    assert said in refusal(capsys, "encode", run.path, folder, "--out", tmp_path / "codes.lance", *words)
    assert not list(tmp_path.iterdir())


def test_a_cluster_writes_lance(run, folder, tmp_path, capsys):
    line = refusal(capsys, "encode", run.path, folder, "--out", tmp_path / "codes.parquet", "--ray", "local")
    assert "ends in .lance" in line


def test_a_damaged_record_is_refused(run, folder, tmp_path, here, monkeypatch):
    out = tmp_path / "codes.lance"
    (out / DONE).mkdir(parents=True)
    for text in ("", "[]", "{}", json.dumps({"about": 3, "num": 1, "fragments": [], "schema": ""})):
        (out / DONE / "000001.json").write_text(text)
        with pytest.raises(CodesError, match=r"000001.json is damaged; remove it"):
            encode_on_cluster(run, folder, out, address="local")


def test_what_a_worker_raises_becomes_one_line():
    def told(*lines):
        return cluster._told(
            RuntimeError("\n".join(["ray::MapWorker()", '  File "a.py", line 1', *lines, "ray.Error: UDF"]))
        )

    of_store = "OSError: LanceError(IO): 403 Forbidden: <Code>AccessDenied</Code>, writer.rs:689:9"
    found = told(
        of_store, "The above exception", "vlae.atomic.WriteError: b.lance cannot be written (Forbidden); allow"
    )
    assert isinstance(found, WriteError) and str(found) == "b.lance cannot be written (Forbidden); allow"
    found = told("vlae.data.source.DataError: a.tar: the .tar file is cut off")
    assert isinstance(found, DataError) and str(found) == "a.tar: the .tar file is cut off"
    found = told("vlae.evaluation.EvaluationError: no")
    assert isinstance(found, ClusterError) and str(found) == "no"
    found = told("FileNotFoundError: no b", "direct cause", "vlae.data.source.DataError: photos: changed", "ray.E: UDF")
    assert isinstance(found, DataError) and str(found) == "photos: changed"
    assert isinstance(told("FileNotFoundError: b: no such file"), FileNotFoundError)
    assert str(told("torch.OutOfMemoryError: CUDA")).endswith("failed: torch.OutOfMemoryError: CUDA")
    assert str(told("pyarrow.lib.ArrowInvalid: no")).endswith("failed: pyarrow.lib.ArrowInvalid: no")
    assert str(told("ZeroDivisionError: a")) == "a worker of the cluster failed: ZeroDivisionError: a"
    assert str(cluster._told(RuntimeError("a\nb"))) == "a worker of the cluster failed: a"


@pytest.mark.slow
def test_a_cluster_of_which_a_worker_is_killed(run, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_worker_niceness", "0")
    photos = write_folder(tmp_path / "photos", num=256)
    encoded, killed = cluster._encoded, []

    def kill_one(*of):
        for row in encoded(*of):
            if not killed:
                killed.append(row["pid"])
                os.kill(row["pid"], signal.SIGKILL)
            yield row

    monkeypatch.setattr(cluster, "_encoded", kill_one)
    out = encode_on_cluster(run, photos, tmp_path / "codes.lance", address="local", workers=2)
    assert killed
    check_alike(out, encode(run, photos, tmp_path / "alone.parquet"))
    assert columns_of(out)["row"].tolist() == list(range(256))


def test_a_share_of_which_nothing_can_be_read_stops_nobody(run, folder, tmp_path, here, monkeypatch):
    photos = shutil.copytree(folder, tmp_path / "photos")
    for file in sorted(photos.rglob("*.png"))[6:12]:  # a whole share
        file.write_bytes(b"no picture")
    monkeypatch.setattr(shared, "PART", 6)
    out = encode_on_cluster(run, photos, tmp_path / "codes.lance", address="local")
    assert here == [1, 2, 3, 4]
    check_alike(out, encode(run, photos, tmp_path / "alone.parquet"))


def test_a_worker_in_another_folder_finds_run_and_source(run, folder, tmp_path, here, monkeypatch):
    monkeypatch.chdir(folder.parent)
    worker = cluster._Worker

    def elsewhere(job):
        monkeypatch.chdir(tmp_path)
        return worker(job)

    monkeypatch.setattr(cluster, "_Worker", elsewhere)
    out = encode_on_cluster(run, folder.name, tmp_path / "codes.lance", address="local")
    assert len(columns_of(out)["row"]) == 20
