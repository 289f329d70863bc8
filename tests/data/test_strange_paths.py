"""Tables and saved data sets name files below their own folder only: no other is read, and no pipe is waited for."""

import json
import os

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from vlae.data import DataError, load
from vlae.data.files import is_below

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def secret(tmp_path, save_picture):
    save_picture(tmp_path / "secret.png", np.full((16, 16, 3), 200))
    return tmp_path / "secret.png"


@pytest.fixture
def folder(tmp_path, save_picture):
    save_picture(tmp_path / "table" / "deep" / "p.png", np.full((16, 16, 3), 9))
    return tmp_path / "table"


def write(folder, *paths):
    cells = [{"bytes": None, "path": None if path is None else str(path)} for path in paths]
    parquet.write_table(pa.table({"image": cells}), folder / "t.parquet")
    return folder / "t.parquet"


def test_pictures_below_the_folder_of_the_table_are_read(folder):
    images = load(write(folder, *["deep/p.png"] * 3, folder / "deep" / "p.png"), split="all")
    assert (images.values == 9).all() and len(images) == 4


@pytest.mark.parametrize("which", ["absolute", "above", "link", "link to a folder", "pipe", "none", "null byte"])
def test_no_other_file_is_read(folder, secret, which):
    (folder / "link.png").symlink_to(secret)
    (folder / "linked").symlink_to(secret.parent, target_is_directory=True)
    os.mkfifo(folder / "pipe.png")
    path = {"absolute": secret, "above": "../secret.png", "link": "link.png", "link to a folder": "linked/secret.png"}
    path |= {"pipe": "pipe.png", "none": None, "null byte": "a\0.png"}
    images = load(write(folder, *["deep/p.png"] * 3, path[which]), split="all")
    assert len(images) == 3 and (images.values == 9).all()
    [(row, reason)] = images.skipped
    assert row == "row 3"
    assert ("it has no picture" if which == "none" else "is no regular file below the folder of the table") in reason
    with pytest.raises(
        DataError, match=r"t\.parquet: none of its 2 pictures can be read \(row 0: .*\); get them again"
    ):
        load(write(folder, path[which], path[which]), split="all")


def test_a_folder_that_is_a_link_itself_is_the_users_own(folder, tmp_path):
    (tmp_path / "mine").symlink_to(folder, target_is_directory=True)
    write(folder, *["deep/p.png"] * 3)
    assert len(load(tmp_path / "mine" / "t.parquet", split="all")) == 3
    assert is_below(tmp_path / "mine" / "deep" / "p.png", tmp_path / "mine")
    assert not is_below(tmp_path / "mine" / "deep", tmp_path / "mine")


@pytest.mark.parametrize("change", ["above", "pipe", "link", "split above"])
def test_a_saved_data_set_reads_its_own_files_only(tmp_path, change):
    from datasets import Dataset, DatasetDict

    rows = Dataset.from_dict({"a": [0.5] * 20, "b": list(range(20))})
    rows.save_to_disk(tmp_path / "other")
    DatasetDict(train=rows).save_to_disk(tmp_path / "set")
    assert load(tmp_path / "set", split="all").values.shape == (20, 2)
    state = tmp_path / "set" / "train" / "state.json"
    record = json.loads(state.read_text())
    arrow = state.parent / record["_data_files"][0]["filename"]
    if change == "above":
        record["_data_files"][0]["filename"] = f"../../other/{arrow.name}"
        state.write_text(json.dumps(record))
    elif change == "split above":
        (tmp_path / "set" / "dataset_dict.json").write_text(json.dumps({"splits": ["../other"]}))
    else:
        arrow.unlink()
        os.mkfifo(arrow) if change == "pipe" else arrow.symlink_to(tmp_path / "other" / arrow.name)
    with pytest.raises(DataError, match=r"is no regular file below the folder"):
        load(tmp_path / "set", split="all")


def test_a_table_that_unpacks_to_more_than_the_memory_is_refused(tmp_path, monkeypatch):
    from vlae import memory

    parquet.write_table(pa.table({"a": np.zeros(10**6)}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    monkeypatch.setattr(memory, "available", lambda: 10**6)
    with pytest.raises(memory.NotEnoughMemoryError, match=r"a\.parquet, unpacked, needs 8\.0 MB of memory"):
        load(tmp_path / "a.parquet")
