"""The form of summary.json and evaluation.json, checked when they are read: a stranger may have written them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vlae.evaluation.text import ERRORS
from vlae.names import printable
from vlae.shapes import listed


@dataclass(frozen=True)
class Maybe:
    """Null, or a value of a form."""

    form: Any


@dataclass(frozen=True)
class Each:
    """An object whose values, under any names, all have one form."""

    form: Any


NUMBER = (int, float)
MAX_INTEGER = 2**53  # a float holds every whole number up to it
LEVEL = {
    "level": int,
    "code_size": int,
    "kl_nats": Maybe(NUMBER),
    "kl_nats_per_dimension": Maybe([NUMBER]),
    "share": Maybe(NUMBER),
    "active_units": Maybe(int),
    "unread?": str,
}
SUMMARY = {
    "num_images": int,
    "reconstruction": {f"{name}?": Maybe(NUMBER) for name in ERRORS},
    "distortion_nats": Maybe(NUMBER),
    "elbo_nats": Maybe(NUMBER),
    "features_distortion_nats?": NUMBER,
    "not_defined?": Each(str),
    "absurd?": [str],
    "validation?": {"num_images": int, "elbo_nats": Maybe(NUMBER), "step": int, "last_step": int},
    "columns?": [{"name": str, "r2": Maybe(NUMBER), "by_level?": [Maybe(NUMBER)]}],
    "levels": [LEVEL],
    "column_names?": [str],
    "column_medians?": Each(NUMBER),
    "column_decimal?": str,
    "training?": {"steps": int, "progress": NUMBER, "of_steps": int, "of_minutes": Maybe(NUMBER)},
}
"""What `vlae.evaluation.rates.summarise` makes, and how far it was trained. A key that ends in ? may be absent."""

_LOST = Maybe({"distortion_nats": Maybe(NUMBER), "mse?": NUMBER, "explained?": Maybe(NUMBER)})
_SCORES = {
    f"{name}{what}?": Maybe([NUMBER, NUMBER] if what == "_interval" else NUMBER)
    for name in ("told", "level_order", "level_separation")
    for what in ("", "_interval", "_untrained", "_components")
}
EVALUATION = {
    **SUMMARY,
    **_SCORES,
    "levels": [
        {
            **LEVEL,
            "without_it": _LOST,
            "kept_upwards?": _LOST,
            "statistics": Each(NUMBER),
            "factors?": Each(NUMBER),
            "standard_errors?": Each(NUMBER),
            "moves?": Each(NUMBER),
            "read_back?": Maybe(NUMBER),
            "label_probe_accuracy?": NUMBER,
            "label_linear_probe_accuracy?": NUMBER,
        }
    ],
    "columns?": [{"name": str, "r2": Maybe(NUMBER), "by_level": [Maybe(NUMBER)]}],
    "complexity": Each(NUMBER),
    "scored_by?": Each(str),
    "not_defined": Each(str),
    "bits_per_dimension?": Maybe(NUMBER),
    "log_likelihood_nats?": Maybe(NUMBER),
    "udr?": Maybe(NUMBER),
    "class_error?": Maybe(NUMBER),
    "label_commonest?": NUMBER,
    "pictures?": Maybe(
        {
            "prior?": str,
            "frechet": Each(Maybe(NUMBER)),
            "two_sample": Each(Maybe(NUMBER)),
            "mesh?": Each(Maybe(Each(NUMBER))),
            "sharpness?": Each(Maybe(NUMBER)),
        }
    ),
    "cautions?": [str],
    "checks?": int,
    "of?": {"weights": str, "prior": str},
    "protocol": {"data?": {"source?": str}, "probed?": {"num_images": int}, "hash?": str},
}
"""What `vlae.evaluation.measures.evaluate` makes, as far as it is read again."""


def check(value: Any, form: Any, code_sizes: tuple[int, ...]) -> None:
    """Checks the content of a file against its form, and its levels against those of the run.

    Args:
        value: of JSON. Other keys than those of the form are allowed.
        form: `SUMMARY` or `EVALUATION`.
        code_sizes: dimensions of every level's code of the run, level 1 first.

    Raises:
        ValueError: if something is missing, or of another form; the message says where.
    """
    _check(value, form, "it")
    if unknown := value["reconstruction"].keys() - ERRORS.keys():
        raise ValueError(f"reconstruction has {printable(min(unknown))[:40]!r}, which is not known")
    levels = value["levels"]
    if [(level["level"], level["code_size"]) for level in levels] != list(enumerate(code_sizes, start=1)):
        raise ValueError(f"its levels are not those of a run with the code sizes {listed(code_sizes)}")
    if any(len(column.get("by_level", levels)) != len(levels) for column in value.get("columns", ())):
        raise ValueError("its columns do not have one share for each level")
    told = [{*level.get("statistics", ()), *level.get("factors", ())} for level in levels if level["code_size"]]
    if any(names != told[0] for names in told):
        raise ValueError("its levels tell of different factors")
    for level in levels:
        if level["code_size"] and level["kl_nats"] is not None:
            _check_rate(level)


def _check_rate(level: Mapping[str, Any]) -> None:
    """Checks that a level with a rate has all numbers that belong to it."""
    names = ("share", "active_units", "kl_nats_per_dimension", *({"without_it"} & level.keys()))
    if any(level[name] is None for name in names) or len(level["kl_nats_per_dimension"]) != level["code_size"]:
        raise ValueError(f"level {level['level']} has a rate, but not all numbers that belong to it")


def _check(value: Any, form: Any, where: str) -> None:
    if isinstance(form, Maybe):
        if value is not None:
            _check(value, form.form, where)
    elif isinstance(form, Mapping | Each):
        if not isinstance(value, dict):
            raise ValueError(f"{where} is no object")
        inner = dict.fromkeys(value, form.form) if isinstance(form, Each) else form
        for key, each in inner.items():
            name = key if isinstance(form, Each) else key.removesuffix("?")
            if name in value:
                _check(value[name], each, printable(name))
            elif not key.endswith("?"):
                raise ValueError(f"{where} has no {name!r}")
    elif isinstance(form, list):
        if not isinstance(value, list) or len(value) != len(form) > 1:
            raise ValueError(f"{where} is no list, or not of the right length")
        for item in value:
            _check(item, form[0], f"an entry of {where}")
    elif not isinstance(value, form) or isinstance(value, bool) or _is_too_large(value):
        wanted = "text" if form is str else "number"
        raise ValueError(f"{where} is {printable(str(value)[:40])!r}, which is no {wanted}")


def _is_too_large(value: Any) -> bool:
    return isinstance(value, int) and abs(value) > MAX_INTEGER
