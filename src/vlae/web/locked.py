"""A property that is computed once, also where several threads ask at the same time."""

from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    locked_property = cached_property
else:

    class locked_property(cached_property):  # noqa: N801 - it is used as a decorator, as cached_property is
        """A `cached_property` that one thread computes while others wait for it. Each has a lock of its own."""

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            """Return the value; once it is there, Python finds it without this method and its lock."""
            if instance is None:
                return self
            with instance.__dict__.setdefault(f"lock of {self.attrname}", RLock()):
                return super().__get__(instance, owner)
