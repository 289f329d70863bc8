"""Settings that come in several kinds: of a level, of a likelihood, of an objective.

A family is an abstract frozen dataclass. Each kind is a subclass with a name, by which recipe.json refers to it. To add
a kind, define its class: no other code needs to know it.
"""

import sys
from abc import ABC
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self


class Kind(ABC):
    """The base of all families. A direct subclass is a family; a subclass of that, with a name, is a kind.

    Attributes:
        kind: the name of the kind in recipe.json.

    Examples:
        >>> class Shade(Kind): ...
        >>> class Grey(Shade, kind="grey"): ...
        >>> Shade.of_kind("grey").__name__
        'Grey'
    """

    kind: ClassVar[str]
    _kinds: ClassVar[dict[str, type[Any]]]

    def __init_subclass__(cls, *, kind: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if Kind in cls.__bases__:
            cls._kinds = {}
        elif kind is not None:
            other = cls._kinds.get(kind)
            if other is not None and _origin(other) != _origin(cls):
                raise ValueError(
                    f"there is a kind {kind!r} already, {other.__module__}.{other.__qualname__}; rename one"
                )
            cls.kind = kind
            cls._kinds[kind] = cls

    @classmethod
    def kinds(cls) -> Mapping[str, type[Self]]:
        """The kinds of the family, by name."""
        return cls._kinds

    @classmethod
    def of_kind(cls, kind: str) -> type[Self]:
        """The class of a kind.

        Args:
            kind: the name of the kind.

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
        """The name of the kind and all settings; `from_dict` reads them back."""
        return {"kind": self.kind, **{field.name: getattr(self, field.name) for field in fields(self)}}  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """The settings that `as_dict` returned.

        Args:
            settings: the name of the kind, under "kind", and every setting by its name.

        Raises:
            ValueError: if the family has no such kind, or a setting is out of its range.
            KeyError: if the kind is missing.
            TypeError: if a setting is missing or unknown.
        """
        fields_of_kind = dict(settings)
        return cls.of_kind(fields_of_kind.pop("kind"))(**fields_of_kind)


def _origin(kind: type[Any]) -> tuple[str, str]:
    """The file and the name of a class; a module that is run and imported too is one file."""
    module = sys.modules.get(kind.__module__)
    return getattr(module, "__file__", None) or kind.__module__, kind.__qualname__
