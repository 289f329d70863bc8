"""Reads the formats of earlier versions: translates their names of settings and tensors into today's names.

| format | what changed |
| --- | --- |
| 1 | recipe.json without a number; levels told apart by `reads`, likelihoods by `family`; one objective |
| 2 | levels, likelihood and objective each say their kind; tensors are named after the paper's g, v and u |
"""

import re
from collections.abc import Mapping
from typing import Any

FORMAT = 2
"""The format number in recipe.json; raise it when the previous version can no longer read what is written."""


def upgraded(record: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a recipe of any format, in today's format.

    Args:
        record: `{"format": N, "recipe": {...}}`. In format 1 the number is absent, and the settings may stand alone.

    Raises:
        ValueError: if a newer version of vlae wrote the recipe.
        KeyError: if a setting is missing.
        TypeError: if a setting has the wrong type.
    """
    number = record.get("format", 1)
    if number not in (1, FORMAT):
        raise ValueError(f"the recipe is of format {number!r}; this vlae reads 1 to {FORMAT}: install a newer one")
    settings = dict(record.get("recipe", record))
    return _from_format_1(settings) if number == 1 else settings


def _from_format_1(settings: dict[str, Any]) -> dict[str, Any]:
    likelihood = dict(settings["likelihood"])
    family = likelihood.pop("family")
    if family == "bernoulli":
        del likelihood["scale"]  # format 1 stored it, but it had no effect
    return settings | {
        "levels": [_level_from_format_1(dict(level)) for level in settings["levels"]],
        "likelihood": {"kind": family, **likelihood},
        "objective": {"kind": "elbo", **settings["objective"]},
    }


def _level_from_format_1(level: dict[str, Any]) -> dict[str, Any]:
    if level.get("reads") != "pooled":
        return {"kind": "plain", **level}
    return {"kind": "moments", "code_size": level["code_size"], "convolutions": level["convolutions"]}


_LEVEL = r"^(levels\.\d+|bottom)\."
_TENSORS: tuple[tuple[str, str], ...] = (
    (r"^rungs\.", "levels."),
    (r"^rung\.", "bottom."),
    (r"^output\.", "likelihood."),
    (_LEVEL + r"(merge|set)\.", r"\1.v."),
    (_LEVEL + r"embed\.", r"\1.v.embed."),
    (_LEVEL + r"own\.", r"\1.encode_again."),
    (_LEVEL + r"read\.", r"\1.features."),
    (_LEVEL + r"head\.(weight|bias)$", r"\1.head.linear.\2"),
)
_DROPPED = ("likelihood.fitted_scale", "likelihood.num_fits")


def tensor_names(stored: set[str], expected: set[str]) -> dict[str, str]:
    """For each tensor in a file of any format, its name in today's models; unneeded tensors are left out.

    Args:
        stored: the names of the tensors in the file.
        expected: the names of the tensors in the model.
    """
    names = {name: name if name in expected else _todays_name(name) for name in stored}
    return {name: today for name, today in names.items() if today in expected or today not in _DROPPED}


def _todays_name(name: str) -> str:
    for earlier, today in _TENSORS:
        name = re.sub(earlier, today, name)
    return name
