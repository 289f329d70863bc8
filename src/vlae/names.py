"""Names of files, folders and classes that can be printed, written as UTF-8 and kept in JSON."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, breaks of lines, changes of direction, and surrogates, which stand for bytes not in UTF-8."""


MAX_NAMED = 5
"""How many columns one sentence names."""

FORMULA = "=+-@\t\r\n＝＋－＠"
"""The characters with which a formula begins in a spreadsheet."""


def printable(text: str) -> str:
    r"""Replace what cannot be printed in a name by its escape. Different names stay different.

    Args:
        text: a name of any characters; `os.fsdecode` makes one from bytes.

    Examples:
        >>> printable("straße.png")
        'straße.png'
        >>> print(printable("caf\udce9\n.png"))
        caf\xe9\n.png
    """
    return _UNPRINTABLE.sub(lambda match: _escape(match[0]), text)


def is_utf8(path: Path) -> bool:
    """Tell whether a path is UTF-8; some libraries take no other.

    Args:
        path: of a file or folder.
    """
    return not re.search("[\ud800-\udfff]", str(path))


def path_text(path: Path) -> str:
    """Write a path as text that a table can hold: as it is, or `printable` if it is not UTF-8.

    Args:
        path: of a file or folder.
    """
    return str(path) if is_utf8(path) else printable(str(path))


@contextmanager
def as_utf8(file: Path) -> Iterator[str]:
    """Give a path in UTF-8 to a file that is read in the block, for libraries that take no other.

    Args:
        file: the file, of any name.

    Raises:
        OSError: if it cannot be read.
    """
    if is_utf8(file):
        yield str(file)
        return
    with file.open("rb") as stream:
        yield f"/dev/fd/{stream.fileno()}"


def quoted(path: object) -> str:
    r"""Write a path as a command that is proposed needs it: in quotes if it has blanks, and safe to print.

    What cannot be printed is written as bash and zsh read it.

    Args:
        path: a path, or the name of a source.

    Examples:
        >>> quoted("runs/photos"), quoted("runs/my photos")
        ('runs/photos', "'runs/my photos'")
        >>> print(quoted("caf\udce9\n.png"))
        $'caf\xe9\n.png'
    """
    text = str(path)
    if not _UNPRINTABLE.search(text):
        return shlex.quote(text)
    plain = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{_UNPRINTABLE.sub(lambda match: _shell_escape(match[0]), plain)}'"


def safe_cell(value: object) -> object:
    r"""Make text harmless in a CSV table: a spreadsheet would run a name that begins like a formula.

    Such text gets an apostrophe before it, which spreadsheets do not show. So does text that begins with apostrophes
    before such a sign, so that different names stay different. Numbers, also as text, are left alone.

    Reference: OWASP, "CSV Injection".

    Args:
        value: the value of a cell.

    Examples:
        >>> safe_cell("=1+2"), safe_cell("a=1"), safe_cell("-1.5"), safe_cell(-1.5), safe_cell("'@x")
        ("'=1+2", 'a=1', '-1.5', -1.5, "''@x")
    """
    if not isinstance(value, str) or value.lstrip("'")[:1] not in tuple(FORMULA):
        return value
    try:
        float(value)
        return value
    except ValueError:
        return f"'{value}"


def bare_cell(cell: str) -> str:
    """Take away the apostrophe that `safe_cell` has put before text.

    Args:
        cell: the text of a cell.

    Examples:
        >>> bare_cell("'=1+2"), bare_cell("a=1"), bare_cell("''@x"), bare_cell("'tis")
        ('=1+2', 'a=1', "'@x", "'tis")
    """
    begins_like_formula = cell.lstrip("'")[:1] in tuple(FORMULA)
    return cell[1:] if cell.startswith("'") and begins_like_formula else cell


def safe_row(row: Mapping[str, object]) -> dict[str, object]:
    """Make the names and the values of a row of a CSV table harmless (`safe_cell`).

    Args:
        row: the values by the names of their columns.
    """
    return {str(safe_cell(name)): safe_cell(value) for name, value in row.items()}


def _escape(character: str) -> str:
    """Write a character as Python does, and a byte that is no UTF-8 as its number."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _shell_escape(character: str) -> str:
    r"""Write a character as a shell reads it between $' and ': there \x85 is a byte, and \u0085 a character."""
    return f"\\u00{ord(character):02x}" if "\x7f" <= character <= "\x9f" else _escape(character)


def some_of(names: Sequence[str]) -> str:
    """The first names, as a sentence has room for, and how many more there are.

    Args:
        names: of the columns, at least one.

    Examples:
        >>> some_of(["a", "b"]), some_of([str(i) for i in range(1, 9)])
        ('a, b', '1, 2, 3, 4, 5 and 3 more')
    """
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
