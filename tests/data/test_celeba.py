"""CelebA, written small as its owners and Kaggle publish it, and read back."""

import numpy as np
import pytest

from vlae.data import DataError, load

pytestmark = pytest.mark.usefixtures("cache")


def save_celeba(save_picture, folder, num=6, where="img_align_celeba"):
    for i in range(num):
        pixels = np.zeros((218, 178, 3), np.uint8)
        pixels[55:163, 35:143] = 200  # exactly the 108 pixels of the crop
        pixels[55:109, 35:89] = 10 * i
        save_picture(folder / where / f"{i + 1:06}.png", pixels)


def test_celeba_crop_attributes_and_parts(tmp_path, save_picture):
    save_celeba(save_picture, tmp_path)
    names = [f"{i + 1:06}.png" for i in range(6)]
    attributes = ["6", "Male Smiling", *(f"{name} {'-1' if i % 2 else ' 1'} -1" for i, name in enumerate(names))]
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(attributes) + "\n")
    (tmp_path / "list_eval_partition.txt").write_text("\n".join(f"{name} {i // 2}" for i, name in enumerate(names)))
    for source in (tmp_path, tmp_path / "img_align_celeba"):
        images = load(source, split="all")
        assert images.shape == (3, 64, 64)
        assert images.values[:, 0, 10, 10].tolist() == [0, 10, 20, 30, 40, 50]
        assert (images.values[:, :, 40:, :] == 200).all()  # nothing of the black border, to the last row and column
        assert (images.values[:, :, :, 40:] == 200).all()
        assert images.factors["Male"].tolist() == [1, 0, 1, 0, 1, 0]
        assert images.factors["Smiling"].tolist() == [0] * 6
        assert images.labels is None
        assert images.crop == 108
        assert load(source, split="all", crop=0).values[:, 0, 0].max() == 0  # all of it, with the border
        assert load(source, split="all", crop=0).crop is None
        assert len(load(source)) == 2
        assert [name.rpartition("/")[2] for name in load(source, split="test").names] == names[4:]


def test_celeba_from_kaggle(tmp_path, save_picture):
    save_celeba(save_picture, tmp_path, where="img_align_celeba/img_align_celeba")
    names = [f"{i + 1:06}.png" for i in range(6)]
    lines = ["image_id,Male,Smiling", *(f"{name},{(-1) ** i},-1" for i, name in enumerate(names))]
    (tmp_path / "list_attr_celeba.csv").write_text("\n".join(lines))
    assert load(tmp_path, split="all").factors["Male"].tolist() == [1, 0, 1, 0, 1, 0]


def test_celeba_list_of_other_pictures(tmp_path, save_picture):
    save_celeba(save_picture, tmp_path)
    (tmp_path / "list_eval_partition.txt").write_text("000001.png 0\n")
    with pytest.raises(DataError, match=r"says nothing of the picture 000002\.png"):
        load(tmp_path)


def test_a_folder_that_only_lies_beside_celeba(tmp_path, save_picture):
    (tmp_path / "list_eval_partition.txt").write_text("000001.png 0\n")
    for i in range(3):
        save_picture(tmp_path / "mine" / f"{i}.png", np.zeros((16, 16)))
    assert load(tmp_path / "mine", split="all").shape == (1, 16, 16)
