"""Settings of which there are several kinds: a level, a likelihood, an objective.

A family is an abstract frozen dataclass; each kind of it is a subclass with a name. A recipe holds kinds, and a run's
file holds their names, so a new kind needs no word anywhere else: defining the class is enough.
"""

from abc import ABC
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self


class Kind(ABC):
    """A family of settings. A direct subclass is a family; `class Gaussian(Likelihood, kind="gaussian")` is a kind.

    Attributes:
        kind: the name by which a file finds the class again.
    """

    kind: ClassVar[str]
    _kinds: ClassVar[dict[str, type[Any]]]

    def __init_subclass__(cls, *, kind: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if Kind in cls.__bases__:
            cls._kinds = {}
        elif kind is not None:
            known = cls._kinds.get(kind)
            if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
                raise ValueError(
                    f"there is a kind {kind!r} already, {known.__module__}.{known.__qualname__}; rename one"
                )
            cls.kind = kind
            cls._kinds[kind] = cls

    @classmethod
    def kinds(cls) -> Mapping[str, type[Self]]:
        """Every kind of the family, by its name."""
        return cls._kinds

    @classmethod
    def of_kind(cls, kind: str) -> type[Self]:
        """The class of that name.

        Raises:
            ValueError: if the family has no such kind.
        """
        if kind not in cls._kinds:
            raise ValueError(f"there is no {cls._family()} {kind!r}; choose one of {', '.join(cls._kinds)}")
        return cls._kinds[kind]

    @classmethod
    def _family(cls) -> str:
        family = next(base for base in cls.__mro__ if Kind in base.__bases__)
        return family.__name__.removesuffix("Settings").lower()

    def as_dict(self) -> dict[str, Any]:
        """The kind and all settings, as `from_dict` reads them."""
        return {"kind": self.kind, **{field.name: getattr(self, field.name) for field in fields(self)}}  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """The settings that `as_dict` gave.

        Raises:
            ValueError: if the family has no such kind, or a setting is out of its range.
            KeyError: if the kind is missing.
            TypeError: if a setting is missing or unknown.
        """
        given = dict(settings)
        return cls.of_kind(given.pop("kind"))(**given)
