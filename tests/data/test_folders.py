"""Folders of pictures, written small and read back."""

import os
import sys

import numpy as np
import pytest

from vlae.data import DataError, load

pytestmark = pytest.mark.usefixtures("cache")


def test_parts_and_classes_by_folder(tmp_path, save_picture):
    for part, num in (("Train", 3), ("val", 2), ("test", 4)):
        for animal in ("dog", "cat"):
            for i in range(num):
                save_picture(tmp_path / part / animal / f"{i}.png", np.zeros((16, 16)))
    train, test = load(tmp_path), load(tmp_path, split="test")
    assert len(train) == 6
    assert len(test) == 8
    assert len(load(tmp_path, split="all")) == 18
    assert train.label_names == ("cat", "dog")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert train.names[0] == "Train/cat/0.png"


def test_val_is_the_test_part_where_there_is_no_other(tmp_path, save_picture):
    for part in ("train", "val"):
        save_picture(tmp_path / part / "0.png", np.zeros((16, 16)))
    assert load(tmp_path, split="test").names == ("val/0.png",)
    assert load(tmp_path).labels is None


def test_lsun_exported_is_a_deep_nest_of_webp(tmp_path, save_picture):
    for i in range(4):
        save_picture(tmp_path / "a" / str(i) / "f" / "b" / f"{i}.webp", np.full((256, 300, 3), 60 * i), lossless=True)
    images = load(tmp_path, split="all", fit="crop")
    assert images.shape == (3, 64, 64)
    assert images.values[:, 0, 0, 0].tolist() == [0, 60, 120, 180]
    assert images.labels is None


def test_lmdb_is_refused_with_advice(tmp_path):
    (tmp_path / "church_train_lmdb").mkdir()
    (tmp_path / "church_train_lmdb" / "data.mdb").write_bytes(b"x")
    with pytest.raises(DataError, match="export its pictures"):
        load(tmp_path / "church_train_lmdb")


def test_folder_without_pictures(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.txt").write_text("x")
    (tmp_path / ".hidden.png").write_text("x")
    with pytest.raises(DataError, match=r"no picture among 2 files \(2 \.txt\); accepted are \.bmp \.gif .*") as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_links_are_followed_but_not_in_circles(tmp_path, save_picture):
    for i in range(3):
        save_picture(tmp_path / "real" / f"{i}.png", np.zeros((16, 16)))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "back").symlink_to(tmp_path / "folder")
    assert len(load(tmp_path / "folder", split="all")) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes among files there")
def test_a_pipe_called_like_a_picture_is_not_opened(tmp_path, save_picture):
    for i in range(3):
        save_picture(tmp_path / f"{i}.png", np.zeros((16, 16)))
    os.mkfifo(tmp_path / "pipe.png")
    assert len(load(tmp_path, split="all")) == 3
