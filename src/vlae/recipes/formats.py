"""Formats of earlier versions: what their files called settings and tensors, and what that is called now.

| format | what changed |
| --- | --- |
| 1 | recipe.json without a number; levels told apart by `reads`, likelihoods by `family`; one objective |
| 2 | levels, likelihood and objective each say their kind; tensors are named after the paper's g, v and u |
"""

import re
from collections.abc import Mapping
from typing import Any

FORMAT = 2
"""The number that recipe.json carries; raise it when what is written can no longer be read by the version before."""


def upgraded(record: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a recipe in today's format.

    Args:
        record: of any format: `{"format": N, "recipe": {...}}`, or of the first format the settings, bare or under
            "recipe".

    Raises:
        ValueError: if the format is of a newer vlae.
        KeyError: if a setting is missing.
        TypeError: if a part is not what it should be.
    """
    number = record.get("format", 1)
    if number not in (1, FORMAT):
        raise ValueError(f"the recipe is of format {number!r}; this vlae reads 1 to {FORMAT}: install a newer one")
    settings = dict(record.get("recipe", record))
    return _from_first(settings) if number == 1 else settings


def _from_first(settings: dict[str, Any]) -> dict[str, Any]:
    likelihood = dict(settings["likelihood"])
    family = likelihood.pop("family")
    if family == "bernoulli":
        del likelihood["scale"]  # which it never had
    return settings | {
        "levels": [_level_from_first(dict(level)) for level in settings["levels"]],
        "likelihood": {"kind": family, **likelihood},
        "objective": {"kind": "elbo", **settings["objective"]},
    }


def _level_from_first(level: dict[str, Any]) -> dict[str, Any]:
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


def tensor_names(stored: set[str], wanted: set[str]) -> dict[str, str]:
    """For each tensor of a file, of any format, its name in today's models; those that no model needs are left out.

    Args:
        stored: the names in the file.
        wanted: the names that the model has.
    """
    names = {name: name if name in wanted else _today(name) for name in stored}
    return {name: now for name, now in names.items() if now in wanted or now not in _DROPPED}


def _today(name: str) -> str:
    for before, after in _TENSORS:
        name = re.sub(before, after, name)
    return name
