"""A bucket without rights: every command says so in one line, and leaves nothing."""

import pytest
from command_line import refusal
from object_store import object_store, rights_taken

from vlae.codes.encode import encode
from vlae.search.index import Index

CODES, INDEX = "s3://bucket/codes.lance", "s3://bucket/index"


@pytest.fixture
def bucket(run, folder, tmp_path, monkeypatch):
    """What the bucket holds stays as it is, and so does the folder beside."""
    with object_store(monkeypatch, "bucket") as client:
        encode(run, folder, CODES)
        Index.build(run, folder, INDEX)
        client.upload_file(str(next(folder.rglob("*.png"))), "bucket", "shards/a.png")

        def keys():
            return {each["Key"] for each in client.list_objects_v2(Bucket="bucket")["Contents"]}

        before = keys()
        yield
        assert keys() == before and not any(tmp_path.iterdir())


def check_refused(monkeypatch, capsys, cases, *kept):
    with rights_taken(monkeypatch, *kept):
        for words, said in cases:
            assert said in refusal(capsys, *words)


def test_without_any_right(run, folder, bucket, tmp_path, monkeypatch, capsys):
    picture = next(folder.rglob("*.png"))
    cases = (
        (["encode", run.path, folder, "--out", CODES], f"{CODES} cannot be opened (Access Denied); allow reading"),
        (["encode", run.path, folder, "--out", CODES, "--ray", "local"], f"{CODES} cannot be written (Forbidden)"),
        (["encode", run.path, "s3://bucket/shards/", "--out", tmp_path / "a.npz"], "no right to read it (Forbidden)"),
        (
            ["train", "s3://bucket/shards/", "--out", tmp_path / "run"],
            "shards/: no right to read it (Forbidden); check",
        ),
        (["decode", run.path, CODES, "--out", tmp_path / "a.npz"], f"{CODES} cannot be opened (Access Denied)"),
        (["index", run.path, folder, "--out", INDEX], f"{INDEX} cannot be opened (Access Denied); choose another"),
        (["similar", run.path, picture, "--index", INDEX], f"{INDEX} cannot be opened (Access Denied); allow reading"),
    )
    check_refused(monkeypatch, capsys, cases)


def test_with_the_right_to_read_alone(run, folder, bucket, monkeypatch, capsys):
    cases = (
        (["encode", run.path, folder, "--out", "s3://bucket/b.lance"], "b.lance cannot be written"),
        (["encode", run.path, folder, "--out", "s3://bucket/b.lance", "--ray", "local"], "b.lance cannot be written"),
        (["index", run.path, folder, "--out", "s3://bucket/b"], "s3://bucket/b cannot be written"),
    )
    check_refused(monkeypatch, capsys, cases, "s3:Get*", "s3:List*", "s3:Head*")
