"""Text files of rows and columns, as spreadsheets, pandas, numpy and R write them."""

import numpy as np
import pytest

from vlae.data import DataError, delimited, load
from vlae.data.source import KnownColumns

pytestmark = pytest.mark.usefixtures("cache")
ROWS = range(12)


def read(folder, content, name="a.csv"):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return load(folder / name, split="all")


def lines(first, row):
    return first + "".join(row(i) + "\n" for i in ROWS)


def kind(i):
    return "cat" if i % 2 else "dog"


@pytest.mark.parametrize("quote", ["", '"'])
def test_blanks_after_commas(tmp_path, quote):
    rows = read(tmp_path, lines("f1, f2, label\n", lambda i: f"{i}, {i}.5, {quote}{kind(i)}{quote}"))
    assert rows.values[3].tolist() == [3, 3.5]
    assert rows.label_names == ("cat", "dog") and rows.labels[:3].tolist() == [1, 0, 1]


def test_blanks_before_quotes_around_commas(tmp_path):
    rows = read(tmp_path, lines('a, b, "label, or kind"\n', lambda i: f'{i}, {i}.5, "{kind(i)}, ""{kind(i)}"""'))
    assert rows.values[:, :2].tolist() == [[i, i + 0.5] for i in ROWS]
    assert rows.columns[2:] == ('label, or kind=cat, "cat"', 'label, or kind=dog, "dog"')


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("before", ["", "\n", "sep=,\n\n"])
def test_line_breaks_in_a_header(tmp_path, before, end):
    text = before + lines('"Weight\n(kg)",b,"c\n\nd"\n', lambda i: f"{i}.5,{i},7")
    rows = read(tmp_path, text.replace("\n", end))
    assert rows.columns == ("Weight (kg)", "b", "c d")
    assert rows.values.tolist() == [[i + 0.5, i, 7] for i in ROWS]


def test_without_a_header_the_text_is_the_class_or_the_name(tmp_path):
    rows = read(tmp_path, lines("", lambda i: f"{i}.1,{i},{kind(i)}"))
    assert rows.values.shape == (12, 2) and rows.values[0] == pytest.approx([0.1, 0])
    assert rows.label_names == ("cat", "dog") and rows.labels[:3].tolist() == [1, 0, 1]
    rows = read(tmp_path, lines("", lambda i: f"{kind(i)},{i}.1"))
    assert rows.values.shape == (12, 1) and rows.labels[:3].tolist() == [1, 0, 1]
    rows = read(tmp_path, lines("", lambda i: f"row{i},{i}.1,{kind(i)},{i}"))
    assert rows.names[:2] == ("row0", "row1") and rows.labels[:3].tolist() == [1, 0, 1]


@pytest.mark.parametrize("header", ["0,1,2\n", "1,2,3\n", "label,0,1\n", "country,2019,2020\n", ",0,1\n", "id,7,9\n"])
def test_numbers_may_be_names(tmp_path, header):
    assert len(read(tmp_path, lines(header, lambda i: f"{i},{2 * i},{i}.5"))) == 12


@pytest.mark.parametrize("first", ["0.1,1,2\n", "5,5,5\n", "4,2,0\n", "5,6,7\n"])
def test_numbers_in_the_first_line_are_data(tmp_path, first):
    rows = read(tmp_path, lines(first, lambda i: f"{i},{2 * i},{i}.5"))
    assert len(rows) == 13 and rows.values[0] == pytest.approx([float(number) for number in first.split(",")])


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_semicolons_and_decimal_commas(tmp_path, encoding):
    text = lines("größe;breite;label\n", lambda i: f"{i},5;{'1,25e2' if i else '3'};{'süß' if i % 2 else 'fade'}")
    rows = read(tmp_path, text.encode(encoding))
    assert rows.values[:2].tolist() == [[0.5, 3], [1.5, 125]]
    assert rows.label_names == ("fade", "süß")
    assert list(rows.fates) == ["column größe", "column breite", "column label"]


def test_a_comma_far_down_a_column_of_whole_numbers(tmp_path):
    rows = read(tmp_path, "a;b\n" + "1;2\n" * 300_000 + "1;2,5\n")
    assert rows.values[-1].tolist() == [1, 2.5]
    rows = read(tmp_path, "a,b\n" + "1,2\n" * 300_000 + "1,2.5\n")
    assert rows.values[-1].tolist() == [1, 2.5]


def test_separators(tmp_path):
    for separator, name in ("\t", "a.tsv"), ("\t", "a.csv"), (";", "a.csv"), ("|", "a.csv"), (",", "a.tsv"):
        rows = read(tmp_path, lines(f"a{separator}label\n", lambda i, s=separator: f"{i}{s}{kind(i)}"), name)
        assert rows.shape == (1,) and rows.label_names == ("cat", "dog")
    said = read(tmp_path, lines("sep=;\na;b\n", lambda i: f"{i};{i},5"))
    assert said.values[1].tolist() == [1, 1.5]
    assert read(tmp_path, lines("a\n", str)).shape == (1,)


def test_what_numpy_writes(tmp_path):
    table = np.arange(24.0).reshape(12, 2) / 8
    for options in ({}, {"delimiter": ","}, {"header": "a b"}, {"delimiter": ",", "header": "a,b"}):
        np.savetxt(tmp_path / "a.csv", table, **options)
        assert (load(tmp_path / "a.csv", split="all").values == table).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n3,oops\n" + "4,5\n" * 20, r"a\.csv, column 'b', row 1, counted from 0: 'oops' is no number"),
        ("a,b\n1,2\n3\n4,5\n", r"a\.csv: cannot be read .*Expected 2 columns, got 1"),
        ("a,b\n1,2\n3,4,5\n4,5\n", r"a\.csv: cannot be read .*Row #3: Expected 2 columns, got 3"),
        ("", "an empty file"),
        ("\n \n", "an empty file"),
        ("a,b\n", "a table without rows"),
        ("a,b\nx,y\nz,w\n", "no numeric column among a, b"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_text_and_columns_without_values_are_said(tmp_path):
    rows = read(tmp_path, lines("a,when,ticket,\n", lambda i: f"{i},2020-01-0{1 + i % 9},{i if i % 3 else 'A/5'},"))
    assert rows.shape == (1,)
    assert rows.fates == {
        "column a": "used, though it is another in every row; if it names them, say --id a",
        "column when": "ignored: date32[day], not numbers",
        "column ticket": "ignored: text of 9 values, and at most 6 become one-hot; group them, or say --id "
        "ticket if they name the rows",
        "column f3": "ignored: no values",
    }


@pytest.mark.parametrize("gap", ["", "NA", "nan", "null", "None", "?", "-1"])
def test_missing_labels_are_minus_one(tmp_path, gap):
    assert read(tmp_path, lines("a,label\n", lambda i: f"{i},{i % 3 or gap}")).labels[:4].tolist() in (
        [-1, 1, 2, -1],
        [-1, 0, 1, -1],  # named "1" and "2", because the gap is text
    )
    rows = read(tmp_path, lines("a,label\n", lambda i: f"{i},{'cat' if i % 3 else gap}"))
    assert rows.labels[:4].tolist() == [-1, 0, 0, -1] and rows.label_names == ("cat",)


def test_columns_without_a_name_get_one_of_their_own(tmp_path):
    rows = read(tmp_path, lines("f1,f2,\n", lambda i: f"{i},{i}.5,"))
    assert rows.columns == ("f1", "f2") and rows.fates["column f2_"] == "ignored: no values"
    assert read(tmp_path, lines("f1,,f3\n", lambda i: f"{i},{i}.5,{i}")).columns == ("f1", "f1_", "f3")


@pytest.mark.parametrize(
    ("separator", "texts", "numbers"),
    [
        (",", ['"1,250"', "7", '"-2,000.5"'], [1250, 7, -2000.5]),
        (",", ['"0,125"', '"7,5"', "-2"], [0.125, 7.5, -2]),
        (";", ["1.250,5", "7", "-2.000"], [1250.5, 7, -2000]),
        (";", ["0,125", "1,250", "-2,5"], [0.125, 1.25, -2.5]),
        (";", ["1 250,5", "7", "-2"], [1250.5, 7, -2]),
        (";", ["1'250.5", "7", "-2"], [1250.5, 7, -2]),
    ],
)
def test_thousands_and_decimal_marks(tmp_path, separator, texts, numbers):
    rows = read(tmp_path, lines(f"a{separator}b\n", lambda i: f"{texts[i % 3]}{separator}{i}"))
    assert rows.columns == ("a", "b") and rows.values[:3, 0].tolist() == numbers


GERMAN = ("950", "1.250", "2.400", "1.100", "870", "3.999")


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_the_decimal_mark_is_one_for_all_columns(tmp_path, separator):
    numbers = [float(text.replace(".", "")) for text in GERMAN]
    rows = read(tmp_path, "".join(f"{i},5{separator}{text}\n" for i, text in enumerate(("b", *GERMAN))))
    assert rows.values[:, 1].tolist() == numbers and rows.decimal == ","
    texts = [text.replace(".", ",") for text in GERMAN]
    rows = read(tmp_path, "".join(f"{i}.5{separator}{text}\n" for i, text in enumerate(("b", *texts))))
    assert rows.values[:, 1].tolist() == numbers and rows.decimal == "."
    assert load(tmp_path / "a.csv", split="all").decimal == "."  # from the cache


def test_marks_that_differ_from_column_to_column_are_read_column_by_column(tmp_path):
    rows = read(tmp_path, "a;b;c\n" + "".join(f"{i},5;{i}.25;1.{100 + i}\n" for i in range(9)))
    assert rows.values[:2].tolist() == [[0.5, 0.25, np.float32(1.1)], [1.5, 1.25, np.float32(1.101)]]
    assert rows.decimal is None and {*rows.fates.values()} == {"used"}


def test_numbers_that_do_not_tell_their_mark_are_said_or_read_as_in_the_training(tmp_path):
    content = "b;c\n" + "".join(f"{text};7,{i}00\n" for i, text in enumerate(GERMAN))
    rows = read(tmp_path, content)
    assert rows.values[:2].tolist() == [[950, 7], [1.25, np.float32(7.1)]]
    told = "no number tells whether its mark is decimal or sets thousands apart"
    assert rows.fates["column b"].startswith("used, and 3.999 is read as 3.999: ")
    assert rows.fates["column c"] == f"used, and 7,500 is read as 7.5: {told}"
    for mark, row in ((",", [1250, 7.1]), (".", [1.25, 7100])):
        known = KnownColumns(names=("b", "c"), medians={"b": 0, "c": 0}, decimal=mark)
        rows = load(tmp_path / "a.csv", split="all", columns=known)
        assert rows.values[1] == pytest.approx(row) and {*rows.fates.values()} == {"used"}


def test_very_long_lines_are_read_by_their_own_separator(tmp_path, monkeypatch):
    """A file of which the part that is looked at ends within a line, and fields longer than Python's csv takes."""
    monkeypatch.setattr(delimited, "LOOKED_AT", 3000)
    row = ";".join(f"{i % 7},5" for i in range(300))
    (tmp_path / "a.csv").write_text("\n".join([";".join(f"c{i}" for i in range(300)), *[row] * 9]))
    images = load(tmp_path / "a.csv", split="all")
    assert images.columns[-1] == "c299" and images.values[3, :3].tolist() == [0.5, 1.5, 2.5]
    (tmp_path / "b.csv").write_text("a;text\n" + "".join(f"{i},5;{'long ' * 30_000}{i}\n" for i in range(9)))
    assert load(tmp_path / "b.csv", split="all").values[:2].tolist() == [[0.5], [1.5]]


@pytest.mark.parametrize("cell", ["-inf", "-1_000"])
def test_what_is_no_number_is_missing_only_if_it_says_so(tmp_path, cell):
    """A class below 0 is unknown; a number below 0 is a number."""
    rows = "\n".join(f"{i},{'?' if i == 3 else cell if i == 5 else i + 0.5}" for i in range(40))
    with pytest.raises(DataError, match=f"column 'b', row 5, counted from 0: '{cell}' is no number"):
        read(tmp_path, f"a,b\n{rows}\n")


def test_columns_that_blanks_align(tmp_path):
    images = read(tmp_path, "  a   b  c\n  1  20  3\n 10   2 33\n100   5  6\n")
    assert images.columns == ("a", "b", "c")
    assert images.values.tolist() == [[1, 20, 3], [10, 2, 33], [100, 5, 6]]


def test_a_file_of_nothing_but_its_separator(tmp_path):
    with pytest.raises(DataError, match=r"a\.csv: nothing but its separator; give a line of names"):
        read(tmp_path, "sep=;\n")
