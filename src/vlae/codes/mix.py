"""A picture mixed by example: some levels like one image, others like another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from vlae.figures import canvas
from vlae.figures.pictures import to_pictures
from vlae.models.base import Codes
from vlae.models.inference import as_input, evaluating
from vlae.runs.run import Run
from vlae.shapes import named_levels

if TYPE_CHECKING:
    from PIL.Image import Image

Example = str | Path | np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixed:
    """What came of mixing.

    Attributes:
        codes: of the picture, one array (1, code size) per level, level 1 first.
        picture: float32 (C, H, W) in [0, 1], or a vector (D,).
        sources: the images it is mixed of, each as (levels it gives, its values (1, …), what comes back of its codes).
        shape: of a datum.
    """

    codes: tuple[np.ndarray, ...]
    picture: Float[np.ndarray, "*shape"]
    sources: Sequence[tuple[tuple[int, ...], np.ndarray, np.ndarray]]
    shape: tuple[int, ...]

    def figure(self, out: str | Path | None = None) -> "Image":
        """The sources, titled with the levels they give, above what comes back of their codes; and last the mix.

        Args:
            out: the PNG file to keep it in; None: none.

        Raises:
            ValueError: if the file is not called PNG.
            WriteError: if it cannot be written.
        """
        originals = [as_input(values)[0] for _, values, _ in self.sources]
        again = [as_input(back)[0] for _, _, back in self.sources]
        drawn = to_pictures(torch.stack([*originals, *again, as_input(self.picture)]), self.shape)
        num = len(self.sources)
        titles = [named_levels(levels) if levels else "nothing" for levels, _, _ in self.sources]
        rows: list[list[canvas.Picture | str]] = [
            ["", *titles, "", "the mix"],
            [" image ", *drawn[:num], "", ""],
            [" its codes ", *drawn[num:-1], "    ", drawn[-1]],
        ]
        return canvas.keep(canvas.sheet(rows, least=96), out)


def mix(run: Run, examples: Mapping[int | tuple[int, ...], Example], *, base: Example | None = None) -> Mixed:
    """Mixes a picture by example: level 1 like A, levels 3 and 4 like B, the rest like a base.

    As in every figure, what is taken over of a level is its noise, which for a ladder is its code.

    Args:
        run: of any model.
        examples: of a level, or several, the image that gives them: a picture file, or an array of one datum.
        base: the image that gives all other levels; None: the last of the examples.

    Raises:
        ValueError: if a level is not there or given twice, or an image is not of the run's kind.
        FileNotFoundError: if there is no such file.
    """
    owner = _owners(run, list(examples))
    images = [*examples.values(), *([] if base is None else [base])]
    if not images:
        raise ValueError("no example is given; say at least which image gives level 1, as {1: 'a.png'}")
    values = [_values(run, image) for image in images]
    noises = [run.noise_of(value) for value in values]
    giver = {level: owner.get(level, len(images) - 1) for level in range(1, run.model.num_levels + 1)}
    codes = _codes(run, tuple(noises[source][level - 1] for level, source in giver.items()))
    sources = [
        (tuple(level for level, source in giver.items() if source == i), value, run.decode(_codes(run, noise)))
        for i, (value, noise) in enumerate(zip(values, noises, strict=True))
    ]
    return Mixed(codes=codes, picture=run.decode(codes)[0], sources=sources, shape=run.recipe.shape)


def _owners(run: Run, groups: Sequence[int | tuple[int, ...]]) -> dict[int, int]:
    """Of each level that is given, the number of its example."""
    owner: dict[int, int] = {}
    for i, group in enumerate(groups):
        for level in (group,) if isinstance(group, int) else group:
            if not 1 <= level <= run.model.num_levels:
                raise ValueError(f"there is no level {level}; the run in {run.path} has 1 to {run.model.num_levels}")
            if level in owner:
                raise ValueError(f"level {level} is given twice; say of each level once what it is like")
            owner[level] = i
    return owner


def _values(run: Run, image: Example) -> np.ndarray:
    values = image if isinstance(image, np.ndarray) else run.read(image).values
    return values[None] if values.shape == run.recipe.shape else values


def _codes(run: Run, noise: Codes) -> tuple[np.ndarray, ...]:
    with evaluating(run.model):
        return tuple(code.cpu().numpy() for code in run.model.place(noise))
