"""Arguments under an earlier name, which still work and say what they are called now."""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def renamed(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Lets a function take keyword arguments by their earlier names, with a DeprecationWarning.

    Args:
        names: for each earlier name, today's.

    Examples:
        >>> @renamed(codes="code_sizes")
        ... def count(*, code_sizes):
        ...     return len(code_sizes)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     count(codes=(2, 2))
        2
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def with_earlier_names(*args: P.args, **kwargs: P.kwargs) -> R:
            given: dict[str, Any] = dict(kwargs)
            for earlier, now in names.items():
                if earlier in given:
                    if now in given:
                        raise TypeError(f"{earlier} and {now} are the same argument; give {now}")
                    warnings.warn(f"{earlier}= is deprecated; write {now}=", DeprecationWarning, stacklevel=2)
                    given[now] = given.pop(earlier)
            return function(*args, **given)

        return with_earlier_names

    return decorate
