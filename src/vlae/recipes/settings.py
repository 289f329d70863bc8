"""The settings of a training by name, with their types; and a recipe with some of them replaced."""

from collections.abc import Iterable
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any, Literal, TypedDict, Unpack, get_args, get_origin, get_type_hints

from vlae.errors import check_number, check_whole, plain
from vlae.models.likelihoods import Likelihood, Scale, likelihood_of
from vlae.objectives.base import Objective
from vlae.objectives.critic import AdversarialELBO
from vlae.objectives.elbo import ELBO
from vlae.objectives.features import FeaturesELBO
from vlae.objectives.schedules import Growth, PerLevel
from vlae.recipes.recipe import Optimizer, Precision, Recipe, Schedule, Training


class Settings(TypedDict, total=False):
    """Every setting of a training by its name, for type checkers: `vlae.train(…, stepz=3)` is refused by mypy.

    The names are the fields of `Training`, of the objectives and of the likelihoods, where they are described; besides
    them there are `family` and `sharp` (`adjust`). None leaves a setting as the recipe has it.
    """

    # Training
    steps: int | None
    minutes: float | None
    batch_size: int | None
    learning_rate: float | None
    optimizer: Optimizer | None
    schedule: Schedule | None
    precision: Precision | None
    seed: int | None
    augment: str | None
    labelled: int | None
    validation: float | None
    patience: int | None
    # Objectives
    beta: PerLevel | None
    warmup: float | None
    growth: Growth | None
    growth_until: float | None
    ungrown_beta: float | None
    free_bits: PerLevel | None
    capacity: PerLevel | None
    capacity_until: float | None
    mmd: PerLevel | None
    denoise: bool | None
    judged: Literal["pictures", "codes", "both"] | None
    adversarial: float | None
    distortion: float | None
    information: PerLevel | None
    penalty: float | None
    penalty_every: int | None
    critic_width: int | None
    critic_rate: float | None
    explains_features: bool | None
    label_weight: float | None
    views: bool | None
    sure: float | None
    continuous: float | None
    category: float | None
    category_from: float | None
    sharp: bool | None
    # Likelihoods
    family: str | None
    scale: Scale | None
    masked_layers: int | None
    masked_kernel: int | None
    masked_width: int | None
    logistics: int | None


_TYPES = get_type_hints(Settings)


def adjust(recipe: Recipe, **settings: Unpack[Settings]) -> Recipe:
    """A copy of a recipe with some settings replaced; a setting of None stays unchanged.

    Args:
        recipe: the recipe to copy.
        settings: any field of `Training`, of the recipe's objective or of the likelihood, by name. Besides: `family`,
            the kind of likelihood: "gaussian", "laplace", "bernoulli", "pixel", "binary-pixel", or one defined
            elsewhere; settings of the old likelihood that the new one also has are kept. `sharp`, whether a critic of
            pictures stands beside the ELBO (`vlae.objectives.AdversarialELBO`), whose settings may then be given too;
            False: it stays as it is.

    Raises:
        ValueError: if no part of the recipe has such a field; the message names the nearest.

    Examples:
        >>> from vlae.recipes import lean
        >>> adjust(lean((1, 28, 28)), steps=100, beta=2.0).training.steps
        100
    """
    check_names(settings)
    given: dict[str, Any] = {name: _of_its_type(name, value) for name, value in settings.items() if value is not None}
    family, sharp = given.pop("family", None), given.pop("sharp", None)
    for part in ("training", "objective"):
        if part == "objective" and sharp:
            recipe = replace(recipe, objective=_sharp(recipe))
        current = getattr(recipe, part)
        changes = {field.name: given.pop(field.name) for field in fields(current) if field.name in given}
        if part == "objective":
            per_level = getattr(type(current), "_PER_LEVEL", ())
            changes |= {name: _of_each_level(recipe, name, changes[name]) for name in per_level if name in changes}
        if changes:
            recipe = replace(recipe, **{part: replace(current, **changes)})
    changes = {name: given.pop(name) for name in _of_likelihoods() if name in given}
    if family is not None or changes:
        _check_has(family or recipe.likelihood.kind, changes)
        unchanged = {field.name: getattr(recipe.likelihood, field.name) for field in fields(recipe.likelihood)}
        recipe = replace(recipe, likelihood=likelihood_of(family or recipe.likelihood.kind, unchanged | changes))
    if given:
        raise ValueError(f"the recipe {recipe.name!r} does not have a setting {', '.join(sorted(given))}")
    return recipe


def check_names(names: Iterable[str], *, others: Iterable[str] = ()) -> None:
    """Refuses names of settings that no recipe has.

    Args:
        names: the names that are given.
        others: names of arguments beside the settings, one of which may have been meant.

    Raises:
        ValueError: if a name is unknown; the message says which known one is nearest.

    Examples:
        >>> check_names(["stepz"])
        Traceback (most recent call last):
            ...
        ValueError: no recipe has a setting stepz; did you mean steps?
    """
    known = known_settings()
    if unknown := sorted(set(names) - known):
        nearest = [get_close_matches(name, sorted(known | set(others)), n=1) for name in unknown]
        meant = list(dict.fromkeys(name for names in nearest for name in names))
        question = f"; did you mean {' and '.join(meant)}?" if meant else "; see the settings of vlae.recipes.Training"
        raise ValueError(f"no recipe has a setting {', '.join(unknown)}{question}")


def _of_its_type(name: str, value: Any) -> Any:
    """A setting in Python's own types; one that is no number where one is wanted, or no True or False, is refused."""
    value, types = plain(value), get_args(_TYPES.get(name))
    own_check = name in {field.name for field in fields(Training)} or (name == "scale" and isinstance(value, str))
    if float in types and not own_check:
        if isinstance(value, tuple) and any(get_origin(each) is tuple for each in types):
            return tuple(check_number(name, number) for number in value)
        return check_number(name, value)
    if int in types and not own_check:
        return check_whole(name, value, 0)
    if bool in types and not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; give True or False")
    return value


def known_settings() -> set[str]:
    """The names of all settings: of trainings, of all objectives and of all likelihoods, also of those of others."""
    parts: list[type[Any]] = [Training, *Objective.kinds().values()]
    return {"family", "sharp"} | _of_likelihoods() | {field.name for part in parts for field in fields(part)}


def _of_likelihoods() -> set[str]:
    """The settings of all families of likelihoods."""
    return {field.name for family in Likelihood.kinds().values() for field in fields(family)}


def _of_each_level(recipe: Recipe, name: str, value: Any) -> Any:
    """A setting of the objective; of one value per level with a code, with the value of every level in their places."""
    coded = recipe.levels_with_code
    if not isinstance(value, tuple | list) or len(coded) == len(recipe.levels):
        return value
    if len(value) != len(coded):
        raise ValueError(
            f"{name} has {len(value)} values; the recipe {recipe.name!r} has {len(coded)} "
            f"level{'s' * (len(coded) > 1)} with a code: give one number, or one for each of them"
        )
    # What a level without a code has does not matter: it has no rate.
    placed = dict(zip(coded, value, strict=True))
    return tuple(placed.get(level, value[-1]) for level in range(1, len(recipe.levels) + 1))


def _sharp(recipe: Recipe) -> AdversarialELBO:
    """The recipe's objective with a critic of pictures beside it."""
    objective = recipe.objective
    if isinstance(objective, AdversarialELBO) and objective.judged != "pictures":
        raise ValueError(f"the recipe {recipe.name!r} has a critic of its own; leave sharp out")
    if not isinstance(objective, ELBO) or type(objective) not in (ELBO, FeaturesELBO, AdversarialELBO):
        raise ValueError(
            f"sharp puts a critic beside an ELBO without labels; the recipe {recipe.name!r} has the objective "
            f"{objective.kind!r}: choose lean, or leave sharp out"
        )
    return AdversarialELBO.beside(objective)


def _check_has(family: str, settings: Iterable[str]) -> None:
    """Check that a family of likelihoods has these settings."""
    families = {kind: {field.name for field in fields(each)} for kind, each in Likelihood.kinds().items()}
    for name in settings if family in families else ():
        if name not in families[family]:
            having = ", ".join(kind for kind, names in families.items() if name in names)
            raise ValueError(f"the likelihood {family!r} has no {name}; leave it out, or choose family {having}")
