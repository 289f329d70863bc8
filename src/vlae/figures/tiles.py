"""The figures of images as tiles without words, for pages, which set the words themselves."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vlae.errors import NotDefinedError
from vlae.figures.canvas import Pictures
from vlae.figures.contents import (
    Seen,
    changed_noise,
    class_data,
    decoded,
    mixed_data,
    noise_at,
    sample_data,
    start_noise,
    traversed_noise,
)
from vlae.figures.panels import pictures_of
from vlae.models.base import LatentModel
from vlae.models.inference import generator_of
from vlae.models.priors import MixturePrior


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """Pictures of one size that stand side by side.

    Attributes:
        words: what they are.
        pictures: uint8 (n, H, W, 3), in reading order.
        columns: how many stand in a row.
    """

    words: str
    pictures: Pictures
    columns: int


def level_tiles(
    model: LatentModel, prior: MixturePrior, held_out: Float[Tensor, "m *shape"], *, num: int = 4, seed: int = 0
) -> tuple[Tiles, dict[int, Tiles]]:
    """The picture that the levels start from, and for each level num × num pictures in which that level varies.

    Args:
        model: any model of images.
        prior: of the codes.
        held_out: data; the figure starts from the first, or from a draw if there is none.
        num: pictures on each side, from 1 up.
        seed: of the draws.

    Returns:
        The start (the datum and what is drawn from its codes; or the draw alone), and the tiles of each level with a
        code, by its number.
    """
    generator = generator_of(seed)
    noise, datum = start_noise(model, prior, held_out, None, generator)
    changed = changed_noise(model, prior, noise, num=num, generator=generator, span=2.0, others="hold")
    parts = [decoded(model, one) for one in (noise, *changed)]
    started, *of_levels = pictures_of(model, *parts) if datum is None else pictures_of(model, datum, *parts)
    words = "the picture they start from, which is drawn"
    if datum is not None:
        started, of_levels = np.concatenate([started, of_levels[0]]), of_levels[1:]
        words = "the picture they start from, and what is drawn from its codes"
    levels = zip(model.levels_with_code, of_levels, strict=True)
    return (
        Tiles(words=words, pictures=started, columns=len(started)),
        {
            level: Tiles(words=f"only level {level} changes", pictures=tiles, columns=num if len(tiles) > num else 2)
            for level, tiles in levels
        },
    )


def sample_tiles(
    model: LatentModel,
    prior: MixturePrior,
    held_out: Float[Tensor, "m *shape"],
    known: Seen | None,
    *,
    num: int = 36,
    columns: int = 6,
    seed: int = 0,
) -> list[Tiles]:
    """Pictures drawn from the prior, held-out pictures, and the first drawn ones, each above the nearest known.

    Args:
        model: any model of images.
        prior: of the codes.
        held_out: data to show beside; there may be none.
        known: what the model was trained on; None: nothing is known.
        num: how many are drawn.
        columns: of the first two.
        seed: of the draw.
    """
    data = sample_data(model, prior, held_out, known, num=num, seed=seed)
    drawn, beside, nearest = pictures_of(model, *data)
    tiles = [Tiles(words=f"drawn from {prior.name}", pictures=drawn, columns=columns)]
    if len(beside):
        tiles.append(Tiles(words="held-out data", pictures=beside, columns=columns))
    if known is not None and len(nearest):
        pairs = np.concatenate([drawn[: len(nearest)], nearest])
        tiles.append(Tiles(words=f"drawn, each above the nearest {known.what}", pictures=pairs, columns=len(nearest)))
    return tiles


def reconstruction_tiles(
    model: LatentModel, x: Float[Tensor, "n *shape"], *, num: int = 32, columns: int = 8
) -> list[Tiles]:
    """Rows of pictures, each above its reconstruction.

    Args:
        model: any model of images with an encoder.
        x: the data.
        num: how many at most.
        columns: in a row.
    """
    before, after = pictures_of(model, x[:num], decoded(model, noise_at(model, x[:num])))
    return [
        Tiles(
            words="originals, and below each its reconstruction",
            pictures=np.concatenate([part[first : first + columns] for part in (before, after)]),
            columns=len(before[first : first + columns]),
        )
        for first in range(0, len(before), columns)
    ]


def mix_tiles(model: LatentModel, x: Float[Tensor, "n *shape"], *, num: int = 8) -> list[Tiles]:
    """One row for each pair A and B: A, the hybrids of their levels, B.

    Args:
        model: any model of images with an encoder.
        x: two or more data.
        num: pairs at most.
    """
    titles, parts = mixed_data(model, x, num=num)
    words = ", ".join(title.replace("\n", " ") for title in titles)
    rows = zip(*pictures_of(model, *parts), strict=True)
    return [Tiles(words=words, pictures=np.stack(row), columns=len(row)) for row in rows]


def traversal_tiles(
    model: LatentModel,
    prior: MixturePrior,
    held_out: Float[Tensor, "m *shape"],
    *,
    steps: int = 7,
    max_rows: int | None = None,
    seed: int = 0,
) -> dict[tuple[int, int], Tiles]:
    """A row for each dimension, from its low end to its high end, by level and dimension (from 0).

    Args:
        model: any model of images.
        prior: of the codes.
        held_out: data; the rows start from the first, or from a draw if there is none.
        steps: pictures in a row, from 2 up.
        max_rows: how many of the first dimensions of each level; None: all.
        seed: of the draw.
    """
    noise, _ = start_noise(model, prior, held_out, None, generator_of(seed))
    rows, noises = traversed_noise(model, prior, noise, steps=steps, max_rows=max_rows)
    drawn = pictures_of(model, *(decoded(model, one) for one in noises))
    return {
        (level, dimension): Tiles(words=f"level {level}, dimension {dimension + 1}", pictures=tiles, columns=steps)
        for (level, dimension), tiles in zip(rows, drawn, strict=True)
    }


def class_tiles(model: LatentModel, prior: MixturePrior, *, num: int = 8, seed: int = 0) -> list[Tiles]:
    """A row of pictures for each class, alike in all but the class; none of a model without classes.

    Args:
        model: any model of images.
        prior: of the codes.
        num: pictures in a row.
        seed: of the draw.
    """
    try:
        rows = class_data(model, prior, num=num, seed=seed)
    except NotDefinedError:
        return []
    drawn = pictures_of(model, *(data for _, data in rows))
    return [Tiles(words=name, pictures=tiles, columns=num) for (name, _), tiles in zip(rows, drawn, strict=True)]
