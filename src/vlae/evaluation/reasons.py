"""Measurements that may not be defined: their value, or the reason why there is none."""

from collections.abc import Callable
from math import isfinite
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


def only_finite(value: Any, not_defined: dict[str, str], name: str = "") -> Any:
    """A value without numbers that are not finite: None stands for each, and the reason says so.

    Args:
        value: a number, text or None; or dictionaries and lists of these.
        not_defined: where the reasons go, by the place of each number.
        name: the place of the value.
    """
    if isinstance(value, dict):
        return {key: only_finite(item, not_defined, f"{name}: {key}".removeprefix(": ")) for key, item in value.items()}
    if isinstance(value, list):
        return [only_finite(item, not_defined, f"{name} {place}") for place, item in enumerate(value, start=1)]
    if isinstance(value, float) and not isfinite(value):
        not_defined[name] = "it is beyond what can be computed; see the cautions"
        return None
    return value
