"""A mix of images: some levels come from one image, others from another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from vlae.data.source import Source
from vlae.errors import check_seed
from vlae.figures import canvas
from vlae.figures.pictures import to_pictures
from vlae.html_repr import HtmlRepr
from vlae.models.base import Codes
from vlae.models.inference import as_input, check_values, evaluating, generator_of
from vlae.runs.run import Run
from vlae.shapes import named_levels

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Mixed(HtmlRepr):
    """A mix of images.

    Attributes:
        codes: the codes of the mix, one array (1, code size) per level, level 1 first.
        picture: the mix, float32 (C, H, W) in [0, 1], or a vector (D,).
        sources: the images of the mix. Each is (the levels that come from it, its values (1, …), its reconstruction).
        drawn: the levels that come from no image, but from the prior.
        shape: the shape of a datum: (C, H, W) or (D,).
        opacity: whether the last of 2 or 4 channels is opacity.
    """

    codes: tuple[np.ndarray, ...]
    picture: Float[np.ndarray, "*shape"]
    sources: Sequence[tuple[tuple[int, ...], np.ndarray, np.ndarray]]
    shape: tuple[int, ...]
    drawn: tuple[int, ...] = ()
    opacity: bool = True

    def __repr__(self) -> str:
        taken = "; ".join(
            f"{named_levels(levels)} of picture {i}" for i, (levels, *_) in enumerate(self.sources, 1) if levels
        )
        return f"Mixed({taken}{f'; {named_levels(self.drawn)} drawn' if self.drawn else ''})"

    def figure(self, out: str | Path | None = None) -> "Image":
        """Draw the sources, titled with their levels, above their reconstructions, and the mix at the right.

        Args:
            out: the PNG file to write. None: no file.

        Raises:
            ValueError: if the file's name does not end in .png.
            WriteError: if the file cannot be written.
        """
        originals = [as_input(values)[0] for _, values, _ in self.sources]
        reconstructions = [as_input(decoded)[0] for _, _, decoded in self.sources]
        every = torch.stack([*originals, *reconstructions, as_input(self.picture)])
        drawn = to_pictures(every, self.shape, opacity=self.opacity)
        num = len(self.sources)
        titles = [named_levels(levels) if levels else "nothing" for levels, _, _ in self.sources]
        rows: list[list[canvas.Picture | str]] = [
            ["", *titles, "", f"the mix\n{named_levels(self.drawn)} drawn" if self.drawn else "the mix"],
            [" image ", *drawn[:num], "", ""],
            [" its codes ", *drawn[num:-1], "    ", drawn[-1]],
        ]
        return canvas.keep(canvas.sheet(rows, least=96), out)


def mix(
    run: Run,
    examples: Mapping[int | tuple[int, ...], Source],
    *,
    base: Source | None = None,
    fill: bool = False,
    seed: int = 0,
) -> Mixed:
    """Mix the levels of several images: level 1 from A, levels 3 and 4 from B, all others from a base or drawn.

    The mix takes each level's noise from its image. The noise of a ladder is its code.

    Args:
        run: a run of any model that has an encoder.
        examples: the image that each level, or each group of levels, comes from: {1: "a.png", (3, 4): "b.png"}. An
            image is a picture file, or an array of one datum: (C, H, W) or (1, C, H, W), uint8 or floats in [0, 1], or
            (D,).
        base: the image that all other levels come from. None: the last of the examples.
        fill: draw all other levels from the run's prior, given those that are taken; then there is no base.
        seed: of that draw.

    Raises:
        ValueError: if there is no such level, or a level is given twice, or an image does not have the run's shape, or
            there is a base to fill, or the seed is no whole number from 0 to 2³² - 1.
        FileNotFoundError: if there is no such file.
    """
    chosen, seed = _chosen(run, list(examples)), check_seed(seed)
    if fill and base is not None:
        raise ValueError("the other levels come from the base or are drawn; give base or fill, not both")
    images = [*examples.values(), *([] if base is None else [base])]
    if not images:
        raise ValueError("no example is given; give at least the image of one level, as {1: 'a.png'}")
    examples_read = [image if isinstance(image, np.ndarray) else run.read(image) for image in images]
    noises = [run.noise_of(example) for example in examples_read]
    values = [
        check_values(example if isinstance(example, np.ndarray) else example.values, run.recipe.shape)
        for example in examples_read
    ]
    image_of_level = {level: chosen.get(level, len(images) - 1) for level in range(1, run.model.num_levels + 1)}
    noise = tuple(noises[source][level - 1] for level, source in image_of_level.items())
    drawn = tuple(level for level in run.model.levels_with_code if fill and level not in chosen)
    if drawn:
        noise = run.prior.redraw(drawn, noise, generator_of(seed))
    codes = _codes(run, noise)
    sources = [
        (
            tuple(level for level, source in image_of_level.items() if source == i and level not in drawn),
            value,
            run.decode(_codes(run, own)),
        )
        for i, (value, own) in enumerate(zip(values, noises, strict=True))
    ]
    return Mixed(
        codes=codes,
        picture=run.decode(codes)[0],
        sources=sources,
        shape=run.recipe.shape,
        drawn=drawn,
        opacity=run.model.opacity,
    )


def _chosen(run: Run, groups: Sequence[int | tuple[int, ...]]) -> dict[int, int]:
    """Return, for each level in the groups, the number of its example."""
    chosen: dict[int, int] = {}
    for i, group in enumerate(groups):
        for level in (group,) if isinstance(group, int) else group:
            if not 1 <= level <= run.model.num_levels:
                raise ValueError(f"there is no level {level}; the run in {run.path} has 1 to {run.model.num_levels}")
            if level in chosen:
                raise ValueError(f"level {level} is given twice; give each level once")
            chosen[level] = i
    return chosen


def _codes(run: Run, noise: Codes) -> tuple[np.ndarray, ...]:
    with evaluating(run.model):
        return tuple(code.cpu().numpy() for code in run.model.place(noise))
