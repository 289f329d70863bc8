"""Which labels a training may know."""

import numpy as np
import pytest
from PIL import Image

from vlae.data import DataError, Images, load
from vlae.data.labels import check_every_class, check_labels, classes_of, known_labels
from vlae.data.source import as_classes


def images(labels, names=(), row_names=None):
    values = np.zeros((len(labels), 1, 8, 8), np.uint8)
    return Images(values=values, labels=np.array(labels), label_names=names, names=row_names, source="here")


def test_all_labels_are_numbered_by_class_and_negative_ones_are_unknown():
    known = known_labels(images([7, 3, -1, 3, -5]), "all")
    assert known.labels.tolist() == [1, 0, -1, 0, -1]
    assert (known.values, known.names) == ((3, 7), ("3", "7"))
    assert known_labels(images([1, 0], ("cat", "dog")), "all").names == ("cat", "dog")


def test_a_number_takes_as_many_of_each_class_as_there_are():
    labels = np.repeat([0, 1, 2], [50, 50, 2])
    known = known_labels(images(labels), "10", seed=1)
    assert np.bincount(known.labels[known.labels >= 0]).tolist() == [4, 4, 2]
    assert (known.labels[known.labels >= 0] == labels[known.labels >= 0]).all()
    assert known.labels.tolist() == known_labels(images(labels), 10, seed=1).labels.tolist()
    assert known.labels.tolist() != known_labels(images(labels), 10, seed=2).labels.tolist()


def test_a_table_of_names_gives_the_labels(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file,kind\na.png,cat\nb.png,dog\nc.png,\nelsewhere.png,cat\n", encoding="utf-8-sig")
    known = known_labels(images([0, 0, 0, 0], row_names=("b.png", "a.png", "c.png", "d.png")), str(table))
    assert known.labels.tolist() == [1, 0, -1, -1]
    assert known.names == ("cat", "dog")


@pytest.mark.parametrize(
    ("labels", "which", "words"),
    [
        ([-1, -1, -2], "all", "no label is known; give labels of at least two classes"),
        ([4, 4, -1], "all", "all labels are of one class, 4"),
        ([0, 1, 2], "2", "2 labels of 3 are asked for, of 3 classes; give a number from 3 to 3"),
        ([0, 1, -1], "3", "3 labels of 2 are asked for"),
        ([0, 1], "/dev/zero", "'/dev/zero' cannot be read .it is no regular file.; give all, a number, or a .csv file"),
        ([0, 1], "none.csv", "'none.csv' cannot be read .* give all, a number, or a .csv file"),
    ],
)
def test_labels_from_which_nothing_can_be_learned_are_refused(labels, which, words):
    with pytest.raises(DataError, match=words):
        known_labels(images(labels, row_names=tuple("abc"[: len(labels)])), which)


def test_a_class_without_a_label_is_refused():
    without = images([0, 1, -1], ("cat", "dog", "cow"))
    with pytest.raises(DataError, match="no label of the class 'cow' is known among the data to train on"):
        check_every_class(without, known_labels(without, "all"))
    check_every_class(images([0, 1, 2]), known_labels(images([0, 1, 2]), "all"))


@pytest.mark.parametrize("rows", ["elsewhere.png,cow\na.png,cat\nb.png,dog", "a.png,cat\nb.png,dog\nelsewhere.png,cow"])
@pytest.mark.parametrize("heading", ["", "file,kind\n"])
def test_classes_of_a_table_that_no_picture_has_are_told_of(rows, heading, tmp_path, recwarn):
    table, here = tmp_path / "labels.csv", images([0, 0, 0], row_names=("b.png", "a.png", "c.png"))
    table.write_text(heading + rows + "\nelse.png,cow")
    assert known_labels(here, str(table)).names == ("cat", "dog")
    said = str(recwarn.pop().message)
    assert "2 of 4 names are pictures here; 1 picture to learn from has no label" in said
    assert "no picture of here to learn from is of cow; this is not learned" in said
    table.write_text(heading + "a.png,cat\nb.png,dog")
    assert known_labels(here, str(table)).names == ("cat", "dog") and not recwarn


def test_a_table_that_hardly_fits_is_told_of(tmp_path, recwarn):
    table, here = tmp_path / "labels.csv", images([0] * 4, row_names=("a.png", "b.png", "c.png", "d.png"))
    table.write_text("a.png,cat\nb.png,dog\n" + "".join(f"{i}.png,{'cat' if i % 2 else 'dog'}\n" for i in range(50)))
    assert known_labels(here, str(table)).labels.tolist() == [0, 1, -1, -1]
    assert "labels.csv: 2 of 52 names are pictures here; 2 pictures to learn from have no label" in str(
        recwarn.pop().message
    )
    known_labels(here, str(table), beside=[f"{i}.png" for i in range(50)])
    assert not recwarn, "held-out pictures fit, too"
    known_labels(here, str(table), beside=None)
    assert not recwarn, "of a limit or a stream the other pictures are not known"


def test_contradictory_names_of_a_table_are_told_of(tmp_path):
    table, here = tmp_path / "labels.csv", images([0] * 2, row_names=("a.png", "b.png"))
    table.write_text("a.png,cat\nb.png,dog\na.png,dog\nb.png,dog\na.png,\n")
    words = r"1 name has several classes, such as 'a.png' \(cat, dog\); the last one counts"
    with pytest.raises(DataError, match="all labels are of one class"), pytest.warns(UserWarning, match=words):
        known_labels(here, str(table))


def test_names_of_a_table_may_be_spelled_otherwise(tmp_path, recwarn):
    table = tmp_path / "labels.csv"
    here = images([0] * 4, row_names=("caf\u00e9.png", "cafe\u0301.jpg", "-a.png", "'=b.png"))
    table.write_text("cafe\u0301.png,x\ncaf\u00e9.jpg,y\n'-a.png,x\n''=b.png,'-y\n", encoding="utf-8")
    known = known_labels(here, str(table))
    assert [known.names[label] for label in known.labels] == ["x", "y", "x", "-y"] and not recwarn
    both = images([0] * 2, row_names=("'-a.png", "-a.png"))
    table.write_text("'-a.png,x\n-a.png,y\n")
    assert known_labels(both, str(table)).labels.tolist() == [0, 1], "a name as it is comes first"


def test_labels_of_another_length_are_refused(tmp_path):
    with pytest.raises(DataError, match="labels are of 3 data, and there are 4; give one for each"):
        Images(values=np.zeros((4, 1, 8, 8), np.uint8), labels=np.array([0, 1, 0]))
    with pytest.raises(DataError, match="the factor 'x' is of 3 data, and there are 4"):
        Images(values=np.zeros((4, 1, 8, 8), np.uint8), factors={"x": np.zeros(3)})
    pictures = np.random.default_rng(0).integers(0, 255, (80, 8, 8), np.uint8)
    np.savez(tmp_path / "short.npz", images=pictures, labels=np.arange(10) % 2)
    with pytest.raises(DataError, match=r"no labels to learn from \(array labels: ignored: of shape \(10,\), not one"):
        known_labels(load(tmp_path / "short.npz"), "all")


def test_tables_that_do_not_fit_are_refused(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("name,species\nx.png,cat\n")
    with pytest.raises(DataError, match=r"of a picture to learn from; here has 'a', its last row 'x\.png'"):
        known_labels(images([0, 1], row_names=("a", "b")), str(table))
    with pytest.raises(DataError, match="its rows have no names"):
        known_labels(images([0, 1]), str(table))
    table.write_text("")
    with pytest.raises(DataError, match="it has no rows of a name and a class"):
        known_labels(images([0, 1], row_names=("a", "b")), str(table))
    with pytest.raises(
        DataError, match=r"there are no labels to learn from.*; give a table of names and classes \(--labels FILE, "
    ):
        known_labels(Images(values=np.zeros((2, 1, 8, 8), np.uint8)), "all")


@pytest.mark.parametrize(
    "text",
    [
        "file,width,class\na,7,cat\nb,9,dog\n",
        "id,FILE,Label,y\n1,a,cat,3\n2,b,dog,3\n",
        "class,file\ncat,a\ndog,b\n",
        "species,name\ncat,a\ndog,b\n",
        "class,picture\ncat,a\ndog,b\n",
        "a,cat,\nb,dog,\n",
    ],
)
def test_headings_tell_the_columns_of_a_table(tmp_path, recwarn, text):
    table, here = tmp_path / "labels.csv", images([0, 0], row_names=("a", "b"))
    table.write_text(text)
    known = known_labels(here, str(table))
    assert known.names == ("cat", "dog") and known.labels.tolist() == [0, 1] and not recwarn


def test_a_class_that_is_called_like_a_heading_is_none(tmp_path, recwarn):
    table, here = tmp_path / "labels.csv", images([0] * 4, row_names=("a.png", "b.png", "c.png", "d.png"))
    table.write_text("a.png,y\nb.png,n\nc.png,y\nd.png,n\n")
    known = known_labels(here, str(table))
    assert known.names == ("n", "y") and known.labels.tolist() == [1, 0, 1, 0] and not recwarn


def test_a_name_as_it_is_comes_before_one_without_its_ending(tmp_path):
    table, here = tmp_path / "labels.csv", images([0] * 3, row_names=("a.png", "a.png.jpg", "caf\\xe9.png"))
    table.write_text("x/a.png,cat\nx/caf\\xe9.png,dog\n")
    assert known_labels(here, str(table)).labels.tolist() == [0, -1, 1]


def test_labels_of_an_unsigned_type_are_counted():
    few = Images(values=np.zeros((3, 1, 8, 8), np.uint8), labels=np.array([0, 1, 1], np.uint8))
    assert few.label_counts() == {"0": 1, "1": 2} and few.class_counts() == ({"0": 1, "1": 2}, 0)


@pytest.mark.parametrize("word", ["?", "", "null"])
def test_labels_that_are_all_missing_are_read(tmp_path, word):
    (tmp_path / "t.csv").write_text("a,b,label\n" + "".join(f"{i},{i * i % 7},{word}\n" for i in range(40)))
    read = load(tmp_path / "t.csv", split="all")
    assert read.labels is None or (read.labels == -1).all()
    np.savez(tmp_path / "t.npz", images=np.zeros((40, 8, 8), np.uint8), label=np.array([word] * 40))
    read = load(tmp_path / "t.npz", split="all")
    assert read.labels is None or (read.labels == -1).all()


def test_a_table_of_more_columns_that_does_not_say_which_is_the_class_is_refused(tmp_path):
    table = tmp_path / "labels.csv"
    for text in ("file,site,species\na,1,cat\nb,2,dog\n", "a,1,cat\nb,2,dog\n"):
        table.write_text(text)
        words = (
            r"it has 3 columns \(.*\); give two, the name of a picture and its class, or call these two file and label"
        )
        with pytest.raises(DataError, match=words):
            check_labels(str(table))


def test_names_of_a_table_may_break_lines(tmp_path, recwarn):
    table, here = tmp_path / "labels.csv", images([0, 0], row_names=("a\u2028b", "c\x85d"))
    table.write_text("a\u2028b,cat\nc\x85d,dog\n", encoding="utf-8")
    assert known_labels(here, str(table)).labels.tolist() == [0, 1] and not recwarn


def test_folders_before_names_and_their_ending_may_differ_if_all_do(tmp_path, recwarn):
    table, here = tmp_path / "labels.csv", images([0] * 4, row_names=("x/a.png", "a.png", "b.png", "b.jpg"))
    table.write_text("/home/me/x/a.png,cat\nother\\a.png,dog\nphotos/b.png,cat\n")
    assert known_labels(here, str(table)).labels.tolist() == [0, 1, 0, -1]
    table.write_text("x/a,cat\na,dog\nb,cat\n")
    assert known_labels(here, str(table)).labels.tolist() == [0, 1, -1, -1], "which b is meant, is not known"
    recwarn.clear()
    table.write_text("a.png,cat\nb.png,dog\nphotos/b.jpg,cat\n")
    assert known_labels(here, str(table)).labels.tolist() == [-1, 0, 1, -1], "some names are those of pictures"


def test_two_classes_of_one_name_are_refused():
    with pytest.raises(DataError, match="several classes are called 'a'"):
        known_labels(images([0, 1, 2], ("a", "a", "b")), "all")


@pytest.mark.parametrize("text", ["a.png;cat\nb.png;dog\n", "a.png\tcat\nb.png\tdog\nc.png\tnull\nd.png\t-1.0\n"])
def test_tables_with_other_separators_and_words_for_missing(tmp_path, text):
    table = tmp_path / "labels.csv"
    table.write_text(text)
    known = known_labels(images([0, 0, 0, 0], row_names=("b.png", "a.png", "c.png", "d.png")), str(table))
    assert known.labels.tolist() == [1, 0, -1, -1] and known.names == ("cat", "dog")


def test_labels_are_found_among_the_classes():
    assert classes_of(images([3, 7, 5, -1, 99]), ("3", "7"), (3, 7)).tolist() == [0, 1, -1, -1, -1]
    assert classes_of(images([0, 1, 2], ("dog", "elk", "emu")), ("cat", "dog", "elk"), (0, 1, 2)).tolist() == [1, 2, -1]
    assert classes_of(images([0, 1]), ("cat", "dog"), (0, 1)).tolist() == [-1, -1], "numbers without names are no names"
    assert classes_of(Images(values=np.zeros((2, 1, 8, 8), np.uint8)), ("a", "b"), (0, 1)) is None


# Missing labels in files


@pytest.mark.parametrize(
    ("given", "labels", "names"),
    [
        (["b", "", "a", None], [1, -1, 0, -1], ("a", "b")),
        ([3, None, 0], [3, -1, 0], ()),
        ([np.nan, "x"], [-1, 0], ("x",)),
        ([1, -1], [1, -1], ()),
    ],
)
def test_missing_labels_are_minus_one(given, labels, names):
    found, called = as_classes(np.array(given, object) if None in given or "x" in given else given)
    assert found.tolist() == labels and called == names


def test_missing_labels_of_tables_are_unknown(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,label\n1,2,cat\n3,4,\n5,6,dog\n7,8,cat\n")
    assert load(tmp_path / "t.csv", split="all").labels.tolist() == [0, -1, 1, 0]
    (tmp_path / "n.csv").write_text("a,b,label\n1,2,1.0\n3,4,\n5,6,0.0\n7,8,1.0\n")
    assert load(tmp_path / "n.csv", split="all").labels.tolist() == [1, -1, 0, 1]
    described = load(tmp_path / "t.csv", split="all").describe()["labels"]
    assert described == {"unknown": 1, "cat": 2, "dog": 1}


def test_pictures_of_a_folder_can_be_labelled_by_a_table(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(12):
        Image.new("L", (8, 8), number * 10).save(folder / f"{number:02d}.png")
    (tmp_path / "labels.csv").write_text("name,class\n00.png,dark\n11.png,light\n")
    known = known_labels(load(folder, split="all"), str(tmp_path / "labels.csv"))
    assert known.labels[[0, 11]].tolist() == [0, 1] and (known.labels[1:11] == -1).all()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(
    "form", ['file,label\n{}, "{}"\n{},{}\n', "sep=;\nfile;label\n{};{}\n{};{}\n", "{}\t{}\n{}\t{}\n"]
)
def test_a_table_of_names_in_the_dialects_of_tables(tmp_path, encoding, form):
    table = tmp_path / "labels.csv"
    table.write_bytes(form.format("a.png", "Käfer", "b.png", "cat").encode(encoding))
    known = known_labels(images([0, 0], row_names=("a.png", "b.png")), str(table))
    assert known.names == ("Käfer", "cat") and known.labels.tolist() == [0, 1]


def test_a_class_that_is_called_none_is_told_of(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file,label\na.png,none\nb.png,hole\nc.png,\nd.png,crack\n")
    with pytest.warns(UserWarning, match="1 name has no class but none; if that is a class, call it otherwise"):
        known = known_labels(images([0] * 4, row_names=("a.png", "b.png", "c.png", "d.png")), str(table))
    assert known.labels.tolist() == [-1, 1, -1, 0]


def test_a_file_that_is_no_text_is_no_table_of_labels(tmp_path):
    picture = tmp_path / "x.png"
    Image.effect_noise((64, 64), 50).save(picture)
    with pytest.raises(DataError, match=r"x\.png' cannot be read \(it is no text\); give all, a number, or a \.csv"):
        check_labels(str(picture))


def test_headings_that_cannot_be_printed_are_escaped(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("a\x1b[31m,b,c\n1,2,3\n")
    with pytest.raises(DataError, match=r"it has 3 columns \(a\\x1b\[31m, b, c\)"):
        check_labels(str(table))
