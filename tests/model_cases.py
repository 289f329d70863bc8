"""Small models of every kind, by which the contract, the golden numbers and others are tested."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from vlae.models.base import LatentModel
from vlae.recipes import Recipe, adjust, build, celeba, hvae, joint, lean, lsun, lvae, mnist, rival_codes, svhn, vae


def slim(recipe: Recipe) -> Recipe:
    """The recipe with a sixteenth of every width, for networks of the same structure."""

    def narrow(convolutions):
        return tuple((channels // 16, stride) for channels, stride in convolutions)

    levels = (
        replace(
            level,
            convolutions=narrow(level.convolutions),
            dense=tuple(units // 16 for units in level.dense),
            head_convolutions=narrow(level.head_convolutions),
            head_dense=tuple(units // 16 for units in level.head_dense),
        )
        for level in recipe.levels
    )
    return replace(recipe, levels=tuple(levels))


SMALL, SIZES = (1, 8, 8), (4, 8)
CASES = {
    "lean 1x8x8": lambda: build(lean(SMALL, code_sizes=SIZES, width=4)),
    "lean 2x9x9": lambda: build(lean((2, 9, 9), width=4)),
    "lean 3x13x13": lambda: build(lean((3, 13, 13), code_sizes=(2, 3, 4), width=4)),
    "lean 3x20x28": lambda: build(lean((3, 20, 28), code_sizes=(2, 3, 4), width=4)),
    "lean 3x32x32": lambda: build(lean((3, 32, 32), width=8)),
    "lean 4x64x64": lambda: build(lean((4, 64, 64), width=4)),
    "lean one level": lambda: build(lean(SMALL, code_sizes=(3,), width=4)),
    "lean six levels": lambda: build(lean((1, 16, 16), code_sizes=(1, 2, 3, 4, 5, 6), width=4)),
    "lean hole at the bottom": lambda: build(lean(SMALL, code_sizes=(0, 3), width=4)),
    "lean hole inside": lambda: build(lean(SMALL, code_sizes=(2, 0, 3), width=4)),
    "lean hole at the top": lambda: build(lean(SMALL, code_sizes=(2, 3, 0), width=4)),
    "lean holes": lambda: build(lean((1, 16, 16), code_sizes=(0, 2, 0, 3, 0, 0), width=4)),
    "lean hidden polarity": lambda: build(lean((3, 16, 16), width=4, polarity="hidden")),
    "lean of high quality": lambda: build(lean((3, 16, 16), width=4, quality="high")),
    "lean vector": lambda: build(lean((5,), width=4)),
    "lean number": lambda: build(lean((1,), code_sizes=(1, 0, 2), width=4)),
    "lean bernoulli": lambda: build(adjust(lean(SMALL, code_sizes=SIZES, width=4), family="bernoulli")),
    "lean gaussian learned": lambda: build(adjust(lean((5,), width=4), scale="learned")),
    "lean pixel": lambda: build(adjust(lean((3, 9, 9), width=4), family="pixel", masked_layers=2, masked_width=4)),
    "lean factorised pixel": lambda: build(adjust(lean(SMALL, width=4), family="pixel", masked_layers=0)),
    "mnist pixel": lambda: build(adjust(slim(mnist(SMALL)), family="pixel", masked_width=4)),
    **{
        f"{recipe.__name__} pixel": partial(
            lambda recipe: build(adjust(recipe(SMALL, width=4), family="pixel", masked_width=4)), recipe
        )
        for recipe in (joint, vae, hvae, lvae)
    },
    "lean gaussian fixed": lambda: build(adjust(lean(SMALL, code_sizes=SIZES, width=4), scale=0.1)),
    "mnist": lambda: build(slim(mnist((1, 28, 28)))),
    "mnist deep": lambda: build(slim(mnist((1, 9, 12), deep_heads=True))),
    "mnist as a VAE": lambda: build(slim(mnist(SMALL, code_sizes=(0, 0, 4), deep_heads=True))),
    "mnist without its top": lambda: build(slim(mnist(SMALL, code_sizes=(2, 2, 0), deep_heads=True))),
    "svhn": lambda: build(slim(svhn((3, 25, 25)))),
    "svhn deep": lambda: build(slim(svhn((3, 32, 32), deep_heads=True))),
    "celeba": lambda: build(slim(celeba((3, 64, 64)))),
    "celeba deep": lambda: build(slim(celeba((3, 33, 31), deep_heads=True))),
    "lsun": lambda: build(slim(lsun((3, 16, 16)))),
    "lsun deep": lambda: build(slim(lsun((3, 16, 16), code_sizes=(0, 2, 2, 4), deep_heads=True))),
    **{
        f"{recipe.__name__} {'x'.join(map(str, shape))}": partial(
            lambda recipe, shape, sizes: build(recipe(shape, code_sizes=sizes, width=4)),
            recipe,
            shape,
            rival_codes(recipe.__name__, SIZES) if shape == SMALL else None,
        )
        for recipe in (joint, vae, hvae, lvae)
        for shape in (SMALL, (3, 17, 12), (5,))
    },
    "hvae of two levels": lambda: build(hvae(SMALL, code_sizes=(4, 3), width=4)),
    "hvae of five levels": lambda: build(adjust(hvae(SMALL, code_sizes=(5, 4, 3, 2, 1), width=4), family="bernoulli")),
    "lvae of two levels": lambda: build(lvae(SMALL, code_sizes=(4, 3), width=4)),
    "lvae of five levels": lambda: build(adjust(lvae((5,), code_sizes=(5, 4, 3, 2, 1), width=4), scale="learned")),
}


def made(case: str) -> LatentModel:
    torch.manual_seed(0)
    return CASES[case]()


def data(model: LatentModel, num: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    draw = torch.rand if len(model.shape) == 3 else torch.randn
    x = draw(num, *model.shape, generator=generator)
    return (x * 255).round() / 255 if model.family.num_values == 256 else x
