"""What the folders of pictures say of their parts and classes."""

import pytest

from vlae.data.layout import read_layout


def said(*names):
    """The part and the class of each picture, as words."""
    layout = read_layout(names)
    parts = ["-"] * len(names) if layout.parts is None else [("train", "test", "other")[part] for part in layout.parts]
    labels = [-1] * len(names) if layout.labels is None else layout.labels
    return [
        (part, layout.label_names[label] if label >= 0 else None) for part, label in zip(parts, labels, strict=True)
    ]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Train", "TEST"),
        ("training", "testing"),
        ("training_set", "test_set"),
        ("images_train", "images_test"),
        ("train2017", "val2017"),
        ("train", "valid"),
        ("trainset", "testset"),
        ("imagesTrain", "imagesTest"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("archive/dataset/train", "archive/dataset/test"),
        ("train/images", "test/images"),
    ],
)
def test_the_usual_names_of_parts(train, test):
    found = said(f"{train}/cat/1.png", f"{train}/dog/1.png", f"{test}/cat/2.png", f"{test}/dog/2.png")
    assert found == [("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "dog")]


def test_a_flat_test_part_keeps_the_labels_of_training():
    found = said("train/cat/1.png", "train/dog/1.png", "test/1.png", "test/2.png")
    assert found == [("train", "cat"), ("train", "dog"), ("test", None), ("test", None)]


def test_a_picture_beside_the_folders_of_classes():
    assert said("cat/1.png", "dog/1.png", "preview.png") == [("-", "cat"), ("-", "dog"), ("-", None)]
    assert read_layout(["cat/1.png", "dog/1.png", "preview.png"]).fates == {
        "2 folders": "classes",
        "1 picture outside the classes": "class unknown",
    }


def test_a_picture_beside_the_parts_is_in_neither_and_it_is_said():
    names = ["about.png", "train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "extra/dog/1.png"]
    assert [part for part, _ in said(*names)] == ["other", "train", "train", "test", "other"]
    fates = read_layout(names).fates
    assert fates["folder train, 2 pictures"] == "train part"
    assert fates["folder extra, 1 picture"].startswith("ignored: neither")
    assert fates["1 picture outside the parts"].startswith("ignored: neither")


@pytest.mark.parametrize("wrapper", ["archive/", "archive/dataset/", "x/x/", "a/b/c/d/"])
def test_folders_around_everything_say_nothing(wrapper):
    assert said(f"{wrapper}cat/1.png", f"{wrapper}dog/1.png") == [("-", "cat"), ("-", "dog")]
    assert said(f"{wrapper}cat/1.png", f"{wrapper}dog/1.png", "preview.png")[:2] == [("-", "cat"), ("-", "dog")]
    assert said(f"{wrapper}train/1.png", f"{wrapper}test/1.png") == [("train", None), ("test", None)]


def test_the_class_may_be_outside_the_part():
    found = said("cat/train/1.png", "cat/test/2.png", "dog/train/1.png", "dog/test/2.png")
    assert found == [("train", "cat"), ("test", "cat"), ("train", "dog"), ("test", "dog")]


def test_what_else_the_folders_of_parts_are_called_is_the_class():
    found = said("trainA/1.png", "trainB/1.png", "testA/2.png", "testB/2.png")
    assert found == [("train", "A"), ("train", "B"), ("test", "A"), ("test", "B")]


def test_tiny_imagenet():
    found = said("train/n01/images/1.JPEG", "train/n02/images/1.JPEG", "val/images/1.JPEG", "test/images/1.JPEG")
    assert found == [("train", "n01"), ("train", "n02"), ("other", None), ("test", None)]


def test_classes_that_sound_like_parts():
    assert said("bullet_train/1.png", "test_tube/1.png", "car/1.png") == [
        ("-", "bullet_train"),
        ("-", "test_tube"),
        ("-", "car"),
    ]
    assert said("train/1.png", "car/1.png") == [("-", "train"), ("-", "car")]


def test_a_class_may_be_called_none():
    assert said("none/1.png", "null/1.png", "-1/1.png") == [("-", "none"), ("-", "null"), ("-", "-1")]


def test_a_class_of_one_name_in_two_spellings_is_one_class():
    names = ["train/caf\u00e9/1.png", "train/tea/1.png", "test/cafe\u0301/1.png", "test/tea/1.png"]
    assert read_layout(names).label_names == ("caf\u00e9", "tea")


def test_a_class_that_each_part_writes_in_its_own_case_is_one_class():
    names = ["train/Cat/1.png", "train/Dog/1.png", "test/cat/1.png", "test/DOG/1.png"]
    assert said(*names) == [("train", "Cat"), ("train", "DOG"), ("test", "Cat"), ("test", "DOG")]
    letters = ["train/a/1.png", "train/A/1.png", "test/a/1.png", "test/A/1.png"]
    assert read_layout(letters).label_names == ("A", "a")
    assert read_layout(["a/1.png", "A/1.png"]).label_names == ("A", "a")


def test_folders_of_one_part_are_no_classes():
    found = said("train1/cat/1.png", "train1/dog/1.png", "train2/cat/2.png")
    assert found == [("-", "cat"), ("-", "dog"), ("-", "cat")]
    assert said("val/1.png", "test/1.png") == [("-", None), ("-", None)]
    assert read_layout(["val/1.png", "test/1.png"]).fates["folder val"] == "pictures; there is no other part"


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (("freight_train", "passenger_train", "steam_train"), ("freight", "passenger", "steam")),
        (("blood_test", "urine_test"), ("blood", "urine")),
        (("trainA", "trainB"), ("A", "B")),
        (("bullet_train", "test_tube"), ("bullet", "tube")),
        (("photos/blood_test", "photos/urine_test"), ("blood", "urine")),
    ],
)
def test_classes_that_all_sound_like_parts(folders, classes):
    assert said(*(f"{folder}/1.png" for folder in folders), "about.png") == [
        *(("-", name) for name in classes),
        ("-", None),
    ]


def test_classes_in_folders_of_one_part_go_before_what_else_these_are_called():
    found = said("seg_train/cat/1.png", "seg_train/dog/1.png", "pred_test/1.png")
    assert found == [("-", "cat"), ("-", "dog"), ("-", None)]
    assert said("cat/train_a/1.png", "dog/train_b/1.png") == [("-", "cat"), ("-", "dog")]
    assert said("train/1.png", "test_hard/1.png") == [("-", None), ("-", None)]


def test_a_folder_in_a_class_is_of_the_class():
    assert said("cat/1.png", "cat/more/2.png", "dog/1.png") == [("-", "cat"), ("-", "cat"), ("-", "dog")]


def test_deep_nests_are_no_classes_and_it_is_said():
    names = ["0/f/b/1.webp", "1/f/b/1.webp", "0/a/c/1.webp"]
    assert said(*names) == [("-", None)] * 3
    assert read_layout(names).fates["folders in folders"].startswith("ignored: no classes")


def test_no_folders_say_nothing():
    assert read_layout(["1.png", "2.png"]).fates == {}
    assert read_layout(["cats/1.png", "cats/2.png"]).fates == {}


def test_folders_in_a_class_are_of_the_class():
    layout = read_layout(["cat/a/1.png", "cat/b/1.png", "dog/1.png", "owl/1.png"])
    assert layout.label_names == ("cat", "dog", "owl") and layout.labels.tolist() == [0, 0, 1, 2]


def test_a_lone_folder_is_told_of():
    fates = read_layout(["cat/1.png", "1.png"]).fates
    assert "ignored: no classes" in fates["folders in folders"]


def test_held_out_by_name():
    assert read_layout(["train/1.png", "holdout/1.png"]).parts.tolist() == [0, 1]
