"""Names of files, folders and classes that can be printed, written as UTF-8 and kept in JSON."""

import re

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, breaks of lines, changes of direction, and surrogates, which stand for bytes not in UTF-8."""


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


def _escape(character: str) -> str:
    """Write a character as Python does, and a byte that is no UTF-8 as its number."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
