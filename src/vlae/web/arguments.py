"""The arguments of a question, from a browser or a stranger, checked against the type hints of a method."""

import json
from collections.abc import Callable, Sequence
from reprlib import repr as shortened
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

LARGEST = 1e9
"""The largest number of an argument that has no range of its own."""


def parse(body: bytes, method: Callable[..., Any]) -> list[Any]:
    """Read the arguments of a method from JSON, and check each against its type hint.

    Hints are int, float, str, Literal, lists of these, and Annotated[int, range(…)].

    Args:
        body: a JSON list.
        method: the method that is asked.

    Returns:
        Its arguments, in order.

    Raises:
        ValueError: if there are too few or too many arguments, or one is of another type or out of range.
    """
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError("a question is a JSON list of arguments") from error
    hints = get_type_hints(method, include_extras=True)
    hints.pop("return", None)
    if not isinstance(values, list) or len(values) != len(hints):
        raise ValueError(f"{method.__name__} takes a list of {len(hints)} arguments: {', '.join(hints) or 'none'}")
    for value, (name, hint) in zip(values, hints.items(), strict=True):
        if not _fits(value, hint):
            raise ValueError(f"{name} is {shortened(value)}; it must be {_describe(hint)}")
    return values


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return type(value) is int and value in inner[1]  # the range is its limit
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin in (list, Sequence):
        return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
    if hint is str:
        return isinstance(value, str)
    number = int if hint is int else (int, float)
    return isinstance(value, number) and not isinstance(value, bool) and abs(value) <= LARGEST  # NaN is not


def _describe(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return f"a whole number from {inner[1][0]} to {inner[1][-1]}"
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin in (list, Sequence):
        return f"a list, each {_describe(inner[0])}"
    return {int: "a whole number", str: "text"}.get(hint, "a finite number")
