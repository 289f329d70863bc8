"""Errors that several folders raise; each says what was given, what was expected and what to do."""

from vlae.names import printable

LONGEST_REASON = 200  # characters


def reason(error: BaseException) -> str:
    r"""The first line of an error's message, or the name of its class if it has none: to be part of another message.

    Args:
        error: raised by any package; its message may hold the bytes of a file.

    Examples:
        >>> reason(ValueError("no \x1b\nand more")), reason(EOFError())
        ('no \\x1b', 'EOFError')
    """
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return printable(line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}…")


class NotDefinedError(ValueError):
    """A number or a function that cannot be had here; says why, and what would define it."""


class MissingExtraError(ImportError, ValueError):
    """A part of vlae whose packages are not installed; says how to install them."""
