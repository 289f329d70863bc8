"""Measurements that may not be defined: their value, or the reason why there is none."""

from collections.abc import Callable
from typing import Any

from vlae.errors import NotDefinedError


def value_or_reason(measure: Callable[[], Any]) -> Any:
    """The measured value, or the reason in words why it is not defined.

    Args:
        measure: returns the value, which is no text.
    """
    try:
        return measure()
    except NotDefinedError as reason:
        return str(reason)


def attempt(result: dict[str, Any], not_defined: dict[str, str], name: str, measure: Callable[[], Any]) -> None:
    """Adds a measured value to the result; or None, and the reason to the values that are not defined.

    Args:
        result: where the value goes.
        not_defined: where the reason goes.
        name: of the value.
        measure: returns the value.
    """
    value = value_or_reason(measure)
    if isinstance(value, str):
        not_defined[name], value = value, None
    result[name] = value
