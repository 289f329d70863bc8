"""Errors that several folders raise; each says what was given, what was expected and what to do."""

from numbers import Real
from typing import Any

import numpy as np

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


def check_whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Check that a setting is a whole number in its range; 5.0 is one, True and "5" are none.

    Args:
        name: of the setting, for the message.
        value: what was given.
        least: the least that it may be.
        most: the most that it may be; None: any.

    Returns:
        The number, as an int.

    Raises:
        ValueError: if it is not.

    Examples:
        >>> check_whole("steps", 5.0, 1)
        5
        >>> check_whole("steps", 2.5, 1)
        Traceback (most recent call last):
            ...
        ValueError: steps is 2.5; give a whole number from 1 up
    """
    is_whole = isinstance(value, Real) and not isinstance(value, bool) and value % 1 == 0
    if not is_whole or value < least or (most is not None and value > most):
        said = repr(value) if isinstance(value, str) else value
        raise ValueError(f"{name} is {said}; give a whole number from {least} {'up' if most is None else f'to {most}'}")
    return int(value)


def plain(value: Any) -> Any:
    """A setting in Python's own types: numbers of numpy become Python's, lists and arrays of numbers tuples.

    Args:
        value: what was given.

    Examples:
        >>> plain(np.int64(3)), plain([1.0, np.float32(0.5)]), plain("a")
        (3, (1.0, 0.5), 'a')
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return tuple(plain(item) for item in value) if isinstance(value, list | tuple) else value


def check_number(name: str, value: Any) -> int | float:
    """Check that a setting is a number; True and "5" are none.

    Args:
        name: of the setting, for the message.
        value: what was given.

    Returns:
        The number, as one of Python's own.

    Raises:
        ValueError: if it is not.
    """
    value = plain(value)
    if not isinstance(value, Real) or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; give a number")
    return value if isinstance(value, int) else float(value)


def check_seed(value: Any) -> int:
    """Check a seed: a whole number from 0 to 2³² - 1, which is what scikit-learn takes.

    Args:
        value: what was given.

    Returns:
        The seed, as an int.

    Raises:
        ValueError: if it is none.
    """
    return check_whole("seed", value, 0, 2**32 - 1)


class NotDefinedError(ValueError):
    """A number or a function that cannot be had here; says why, and what would define it."""


class MissingExtraError(ImportError, ValueError):
    """A part of vlae whose packages are not installed; says how to install them."""
