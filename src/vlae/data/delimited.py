"""Text files of rows and columns, .csv and .tsv → Arrow tables: encoding, separator, header and decimal mark."""

import codecs
import csv
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from io import BytesIO, StringIO
from itertools import islice
from pathlib import Path
from typing import Any

from vlae.data.arrow import MARK, PANDAS_INDEX, UNSURE
from vlae.data.columns import ROW_NAMES
from vlae.data.decimal_marks import decimal_mark
from vlae.data.source import LABEL_NAMES, DataError, is_missing, says_nothing

SEPARATORS = "\t;|, "
"""What may separate two fields, the rarest within a field first."""

BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""The first bytes by which a text file says its encoding."""

NUMBER = r"[-+]?(\d+[.,]?\d*|[.,]\d+)(e[-+]?\d+)?"
"""A number, with a decimal point or comma, as a regular expression."""

MARKS = (("", "."), (",", "."), ("'", "."), (" ", ","), (".", ","), ("", ","))
"""What sets thousands apart, and the decimal mark. The first by which all numbers of a column can be read is used; the
last where commas do not separate the fields."""

USUAL = (*LABEL_NAMES, *ROW_NAMES)
"""The usual names of columns of labels and of row names."""

MOSTLY = 0.9
"""A column with at least this share of numbers is one of numbers, and what else is in it is a mistake."""

NOT_AS_WRITTEN = r"[-+]?0\d+|\+\d+|[-+]?\d{19,}"
"""Whole numbers that are written otherwise once they are read, as a regular expression: 007 would be 7."""

LOOKED_AT = 2**20
"""The characters at the beginning of a file that show how it is written."""


def read_delimited(path: Path, texts: Collection[str] = (), decimal: str | None = None) -> Any:
    """Read a text file of rows and columns.

    The encoding is UTF-8, what a byte order mark says, or else Windows' Latin-1. The separator is the one that splits
    all lines into as many fields. The first line is the header unless it holds numbers; without a header, the one
    column of text is the label if its values recur, and else names the rows. With another separator, a comma
    may be the decimal mark, and a dot then sets thousands apart, in all columns alike (`decimal_marks`).

    Args:
        path: the file.
        texts: columns that are text, even if they hold numbers: 007 is no number there. So are those that name rows by
            their usual names, if numbers or dates would not be as they are written.
        decimal: the decimal mark, "," or ".", if the file does not tell it.

    Returns:
        A pyarrow.Table. Its metadata tell the decimal mark, and a column's how it was read if nothing tells that.

    Raises:
        DataError: if the file is empty, or if a column of numbers holds something else.
        pyarrow.ArrowException: if the lines do not have as many fields as the first.
    """
    import pyarrow
    from pyarrow import csv as arrow_csv

    encoding = encoding_of(path)
    csv.field_size_limit(2**31 - 1)  # a line that is not separated yet is one field
    with path.open(encoding=encoding, newline="") as file:
        lines = list(StringIO(file.read(LOOKED_AT) + file.readline(), newline=""))
    skipped = next((i for i, line in enumerate(lines) if line.strip()), None)
    if skipped is None:
        raise DataError(f"{path}: an empty file; give a line of names, and a line for each row")
    said = said_separator(lines[skipped])
    skipped += bool(said)
    if skipped == len(lines):
        raise DataError(f"{path}: nothing but its separator; give a line of names, and a line for each row")
    if lines[skipped].strip("# \r\n"):
        lines[skipped] = lines[skipped].lstrip("# ")  # as numpy writes a header
    separator = said or _separator(lines[skipped:], path)
    first, second, num_lines = _first_rows(lines[skipped:], separator)
    has_header = _is_header(first, second)
    names = first if has_header else [""] * len(first)

    plain: bytes | None = None

    def read(texts: Collection[str], only: Sequence[str] | None = None) -> Any:
        num_bytes = path.stat().st_size if plain is None else len(plain)
        return arrow_csv.read_csv(
            path if plain is None else BytesIO(plain),
            read_options=arrow_csv.ReadOptions(
                column_names=_named(names, has_header),
                skip_rows=skipped + num_lines * has_header,
                encoding=encoding.removesuffix("-sig") if plain is None else "utf-8",
                use_threads=False,  # then an error names the row
                block_size=min(max(num_bytes, 2**20), 2**31 - 1),  # the types of columns follow from all rows
            ),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(texts, "string"), include_columns=only),
            parse_options=arrow_csv.ParseOptions(delimiter=separator),
        )

    def texts_of(chosen: list[str]) -> dict[str, list[str]]:
        again = read(chosen, chosen)
        return {
            name: ["" if value is None else text.strip() for text, value in zip(*cells, strict=True)]
            for name in chosen
            for cells in [(again.column(name).to_pylist(), table.column(name).to_pylist())]
        }

    try:
        table = read(texts)
    except pyarrow.ArrowInvalid:
        plain = _without_blanks(path, encoding, separator)
        if plain is None:
            raise
        table = read(texts)
    if len({*table.column_names}) < len(table.column_names):  # which `from_table` refuses
        return table
    if names_of_rows := _names_as_written(table, lambda chosen: read(chosen, chosen)):
        texts = {*texts, *names_of_rows}
        table = read(texts)
    mark, read_again, unsure = (None, {}, {}) if separator == "," else _mark(table, texts, texts_of, decimal)
    mended = [
        _mended(column, name, separator != "," and mark != ".", path, is_text=name in texts)
        if mark != "," or name not in read_again
        else _regrouped(read_again[name])
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    about = {name: {UNSURE: f"{text} is read as {float(text.replace(',', '.')):.15g}"} for name, text in unsure.items()}
    kinds = zip(table.column_names, mended, strict=True)
    fields = [pyarrow.field(name, column.type, metadata=about.get(name)) for name, column in kinds]
    schema = pyarrow.schema(fields, metadata={MARK: mark} if mark else None)
    table = pyarrow.Table.from_arrays(mended, schema=schema)
    return table if has_header else _with_named_text(table)


def _names_as_written(table: Any, read_texts: Callable[[list[str]], Any]) -> list[str]:
    """Find the columns of row names, by their usual names, whose cells would be written otherwise if read as numbers.

    Args:
        table: the columns as they are read if nothing is said of them.
        read_texts: reads columns as text.
    """
    from pyarrow import compute, types

    kinds = {
        name: column.type
        for name, column in zip(table.column_names, table.columns, strict=True)
        if name.lower() in ROW_NAMES or re.fullmatch(PANDAS_INDEX, name)
    }
    numbers = [name for name, kind in kinds.items() if types.is_integer(kind) or types.is_floating(kind)]
    again: Any = read_texts(numbers) if numbers else None
    changed = [
        name
        for name in numbers
        if compute.any(compute.match_substring_regex(again[name], rf"^\s*({NOT_AS_WRITTEN})\s*$")).as_py()
    ]
    return changed + [name for name, kind in kinds.items() if types.is_temporal(kind)]


def _mark(
    table: Any, texts: Collection[str], texts_of: Callable[[list[str]], dict[str, list[str]]], known: str | None
) -> tuple[str | None, Mapping[str, Sequence[str]], dict[str, str]]:
    """The decimal mark of a table that commas do not separate, as `decimal_marks.decimal_mark` tells it."""
    from pyarrow import types

    columns = list(zip(table.column_names, table.columns, strict=True))
    strings = {name: column for name, column in columns if types.is_string(column.type) and name not in texts}
    return decimal_mark(
        {name: [text.strip().strip('"') for text in column.to_pylist()] for name, column in strings.items()},
        {name: column.to_numpy() for name, column in columns if types.is_floating(column.type)},
        texts_of,
        known,
    )


def _regrouped(texts: Sequence[str]) -> Any:
    """Read numbers in which a dot sets thousands apart."""
    import pyarrow

    return pyarrow.array([float(text.replace(".", "").replace(",", ".")) if text else None for text in texts])


def _first_rows(lines: Sequence[str], separator: str) -> tuple[list[str], list[str], int]:
    """Split the first two rows into fields, in which a line break becomes a blank.

    Args:
        lines: of the file, with their ends.
        separator: of fields.

    Returns:
        The fields of the first row and of the second, none if there is no such row; and how many lines end with the
        first, which may have line breaks within quotes.
    """
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    rows = [
        ([re.sub(r"\s*[\r\n]\s*", " ", field.strip()) for field in row], reader.line_num)
        for row in islice(filter(None, reader), 2)
    ]
    (first, num_lines), (second, _) = [*rows, ([], 1), ([], 1)][:2]
    return first, second, num_lines


def _without_blanks(path: Path, encoding: str, separator: str) -> bytes | None:
    """Write the rows of a file without the blanks between a separator and a quote, which pyarrow takes for text.

    Of fields that blanks separate, all but one blank between two are left out, and those around a line.

    Returns:
        The text in UTF-8, of as many lines; None if there are no such blanks.
    """
    with path.open(encoding=encoding, newline="") as file:
        text = file.read()
    if separator == " ":
        text = re.sub("(?m)^ +| +$", "", text.replace("\r\n", "\n"))
    elif not re.search(f'{re.escape(separator)} +"', text):
        return None
    plain = StringIO(newline="")
    rows = csv.reader(StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    csv.writer(plain, delimiter=separator, lineterminator="\n").writerows(rows)
    return plain.getvalue().encode()


def _named(names: Sequence[str], has_header: bool) -> list[str]:
    """Name the columns without a name, but for the first of a header, which is an index: f0, f1, or f1_ if that is."""
    given, named = {*names}, list[str]()
    for i, name in enumerate(names):
        name = name or (f"f{i}" if i or not has_header else "")
        while not names[i] and name in given and name:
            name += "_"
        named.append(name)
    return named


def encoding_of(path: Path) -> str:
    """Find the encoding of a text file: what a byte order mark says, UTF-8, or Windows' Latin-1.

    Args:
        path: the file.
    """
    with path.open("rb") as file:
        head = file.read(4)
    for mark, encoding in BOMS.items():
        if head.startswith(mark):
            return encoding
    for encoding in ("utf-8", "cp1252"):
        try:
            with path.open(encoding=encoding) as text:
                while text.read(LOOKED_AT):
                    pass
            return encoding
        except UnicodeDecodeError:
            continue
    return "latin-1"


def said_separator(line: str) -> str | None:
    """The separator that the first line of a file says to a spreadsheet; None if it is another line.

    Args:
        line: the line.

    Examples:
        >>> said_separator("sep=;"), said_separator("a;b")
        (';', None)
    """
    match = re.fullmatch(r'"?sep=(.)"?', line.strip("\r\n "), re.IGNORECASE)
    return match[1] if match else None


def _separator(lines: Sequence[str], path: Path) -> str:
    """Find what splits each line into as many fields, more than one."""
    lines = [line for line in lines if line.strip()][:100]
    for separator in SEPARATORS:
        counts = {len(fields) for fields in csv.reader(lines, delimiter=separator, skipinitialspace=True)}
        if len(counts) == 1 and counts != {1}:
            return separator
    return "\t" if path.suffix.lower() == ".tsv" else ","


def _is_header(first: Sequence[str], second: Sequence[str]) -> bool:
    """Tell a line of names: it has no numbers, or a usual name, or text above a number, or counts (0, 1, 2 …)."""
    numbers = [text for text in first if _is_number(text)]
    texts = [i for i, text in enumerate(first) if not _is_number(text) and not is_missing(text)]
    above = any(_is_number(below) for i, below in enumerate(second) if i in texts)
    if not numbers or above or any(text.lower() in USUAL for text in first):
        return True
    if not all(number.isdecimal() for number in numbers):
        return False
    start = int(numbers[0])
    counted = [int(number) for number in numbers] == list(range(start, start + len(numbers)))
    return counted and (len(numbers) > 2 or first[0] == "") and (len(numbers) < len(first) or start <= 1)


def _is_number(text: str) -> bool:
    return re.fullmatch(NUMBER, text, re.IGNORECASE) is not None


def _mended(column: Any, name: str, decimal_comma: bool, path: Path, *, is_text: bool) -> Any:
    """Take blanks and quotes off text, and read the numbers among it that pyarrow does not.

    Raises:
        DataError: if nearly all values are numbers, but not all; it names the first that is not.
    """
    import pyarrow
    from pyarrow import types

    if not types.is_string(column.type):
        return column
    texts = [text.strip() for text in column.to_pylist()]
    texts = [text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text for text in texts]
    if is_text:
        return pyarrow.array(texts, "string")
    numbers = _grouped(texts, decimal_comma) or _plain(texts, decimal_comma)
    others = [row for row, text in enumerate(texts) if numbers[row] is None and not says_nothing(text)]
    num_numbers = len(numbers) - numbers.count(None)
    if num_numbers and not others:
        return pyarrow.array(numbers, "float64")
    if num_numbers >= MOSTLY * (num_numbers + len(others)) and others and name.lower() not in USUAL:
        raise DataError(
            f"{path}, column {name!r}, row {others[0]}, counted from 0: {texts[others[0]]!r} is no number, but nearly "
            "all others are; mend it, or drop the row"
        )
    return pyarrow.array(texts, "string")


def _plain(texts: Sequence[str], decimal_comma: bool) -> list[float | None]:
    """Read numbers without marks between thousands; None for what is no number."""
    pattern = re.compile(NUMBER if decimal_comma else NUMBER.replace(",", ""), re.IGNORECASE)
    return [float(text.replace(",", ".")) if pattern.fullmatch(text) else None for text in texts]


def _grouped(texts: Sequence[str], decimal_comma: bool) -> list[float | None] | None:
    """Read the numbers of a column by the first of `MARKS` by which all can be read; None if there is none."""
    for group, mark in reversed(MARKS) if decimal_comma else MARKS:
        whole = rf"([1-9]\d{{0,2}}({re.escape(group)}\d{{3}})+|\d+)" if group else r"\d+"
        pattern = re.compile(rf"[-+]?{whole}({re.escape(mark)}\d*)?")
        if all(pattern.fullmatch(text) or says_nothing(text) for text in texts):
            return [
                float(text.replace(group, "").replace(mark, ".")) if pattern.fullmatch(text) else None for text in texts
            ]
    return None


def _with_named_text(table: Any) -> Any:
    """Name the text of a table without a header: the last column whose values recur is the label, another the name."""
    from pyarrow import types

    texts = [name for name in table.column_names if types.is_string(table[name].type)]
    recurring = [name for name in texts if len(table[name].unique()) < len(table)]
    renamed = {name: "name" for name in texts[:1] if name not in recurring} | dict.fromkeys(recurring[-1:], "label")
    return table.rename_columns([renamed.get(name, name) for name in table.column_names])
