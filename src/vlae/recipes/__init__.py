"""Recipes: complete settings as functions of the data's shape, found by name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral

from vlae.errors import plain
from vlae.recipes.classes import with_classes as with_classes
from vlae.recipes.content import with_content as with_content
from vlae.recipes.implicit import implicit as implicit
from vlae.recipes.infogan import infogan as infogan
from vlae.recipes.kingma import m1 as m1
from vlae.recipes.kingma import m1_m2 as m1_m2
from vlae.recipes.kingma import m2 as m2
from vlae.recipes.lean import Quality as Quality
from vlae.recipes.lean import lean as lean
from vlae.recipes.paper import celeba as celeba
from vlae.recipes.paper import lsun as lsun
from vlae.recipes.paper import mnist as mnist
from vlae.recipes.paper import svhn as svhn
from vlae.recipes.recipe import MODELS as MODELS
from vlae.recipes.recipe import Recipe as Recipe
from vlae.recipes.recipe import Training as Training
from vlae.recipes.recipe import build as build
from vlae.recipes.rivals import hvae as hvae
from vlae.recipes.rivals import joint as joint
from vlae.recipes.rivals import lvae as lvae
from vlae.recipes.rivals import rival_codes as rival_codes
from vlae.recipes.rivals import vae as vae
from vlae.recipes.settings import Settings as Settings
from vlae.recipes.settings import adjust as adjust
from vlae.recipes.settings import check_names as check_names
from vlae.renamed import renamed
from vlae.shapes import Shape, is_image

_PAPER: Mapping[str, Callable[..., Recipe]] = {recipe.__name__: recipe for recipe in (mnist, svhn, celeba, lsun)}

RECIPES: dict[str, Callable[..., Recipe]] = {
    **{recipe.__name__: recipe for recipe in (lean, joint, vae, hvae, lvae, infogan, implicit)},
    **_PAPER,
    "m1": m1,
    "m2": m2,
    "m1+m2": m1_m2,
}
"""Every recipe, by name."""

SIZED_BY_SHAPE = tuple(name for name in RECIPES if name not in _PAPER and name != "infogan")
"""The recipes whose default code sizes follow from the shape of the data."""


@renamed(codes="code_sizes")
def make(
    name: str,
    shape: Shape,
    *,
    code_sizes: Sequence[int] | None = None,
    deep_heads: bool = False,
    quality: Quality | None = None,
) -> Recipe:
    """Makes a recipe by its name, for data of a shape.

    Args:
        name: the name of a recipe, a key of `RECIPES`: "lean", "joint", "vae" ….
        shape: shape of one datum, (channels, height, width) or (dimensions,).
        code_sizes: dimensions of each level's code, level 1 first; None: the default of the recipe.
        deep_heads: whether each posterior encodes h_{l-1} again with layers of its own, like the authors' code; only
            for the paper's recipes.
        quality: "draft", "standard" or "high", of lean; None: standard.

    Raises:
        ValueError: if there is no such recipe, or it does not allow these settings.
    """
    sizes = () if code_sizes is None else plain(code_sizes)
    if not isinstance(sizes, Iterable) or not all(isinstance(size, Integral) for size in sizes):
        raise ValueError(f"code_sizes is {code_sizes!r}; give whole numbers, one for each level: (2, 2, 2)")
    code_sizes = None if code_sizes is None else tuple(sizes)
    if name not in RECIPES:
        raise ValueError(f"there is no recipe {name!r}; choose one of {', '.join(RECIPES)}")
    if quality is not None:
        if name != "lean":
            raise ValueError(f"quality is a setting of lean; the recipe {name!r} has one size: leave quality out")
        if not deep_heads:
            return lean(shape, code_sizes=code_sizes, quality=quality)
    if name not in _PAPER:
        if deep_heads:
            raise ValueError(f"deep heads belong to the paper's recipes; {name!r} has none")
        return RECIPES[name](shape, code_sizes=code_sizes)
    if not is_image(shape):
        raise ValueError(f"the recipe {name!r} is for images; for vectors of {shape[0]} dimensions choose 'lean'")
    return RECIPES[name](shape, code_sizes=code_sizes, deep_heads=deep_heads)
