"""The API of the page: each method of `Answers` answers one kind of question about a run."""

import base64
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

import numpy as np

from vlae.figures.thumbnails import png, sheet
from vlae.models.base import Codes
from vlae.models.priors import PriorName
from vlae.names import printable
from vlae.report import page
from vlae.web.level_words import describe_alarms, describe_levels
from vlae.web.map import has_umap
from vlae.web.session import Session
from vlae.web.studio import SPAN, Row
from vlae.web.uploads import MAX_BYTES

Answer = dict[str, Any]

Seed = Annotated[int, range(2**32)]
"""The seed of a draw."""

STRIP = 8
"""Pictures in a strip."""

PAD = 7
"""Pictures on each side of the square that shows a code of two dimensions."""


class Answers:
    """The answers to the page's questions about a run: plain numbers in, numbers and PNG pictures out.

    Args:
        session: the run, and its held-out data.
    """

    def __init__(self, session: Session) -> None:
        self._session, self._studio = session, session.studio
        self._card_lock = Lock()
        self._card: tuple[Any, str] | None = None  # the evaluation that it is of, and its HTML

    def all(self) -> list[Callable[..., Answer]]:
        """Return every answer as a function. It raises a ValueError if an argument does not fit the run."""
        methods: list[Callable[..., Answer]] = [
            self.describe,
            self.draw,
            self.redraw,
            self.datum,
            self.upload,
            self.picture,
        ]
        methods += [self.strips, self.codes, self.mixes, self.card]
        return methods

    def describe(self) -> Answer:
        """Describe the run: its name, source, shape and levels."""
        run = self._session.run
        return {
            "name": run.name,
            "source": printable(Path(str(run.data["source"])).name),
            "shown": printable(Path(self._session.collection.source).name),
            "sizes": list(run.recipe.code_sizes),
            "shape": list(run.recipe.shape),
            "levels": describe_levels(run),
            "subsets": [list(chosen) for chosen in self._studio.subsets()],
            "prior": None if run.prior.is_standard else run.prior.name,
            "measured": run.evaluation is not None,
            "alarms": describe_alarms(run),
            "path": printable(str(run.path)),
            "span": SPAN,
            "strip": STRIP,
            "pad": PAD,
            "umap": has_umap(),
            "max_bytes": MAX_BYTES,
        }

    def draw(self, seed: Seed, prior: PriorName) -> Answer:
        """Return the noise of a random draw from a prior.

        Args:
            seed: seed of the draw, 0 or more.
            prior: "fitted" to the codes of the training data, or "standard", N(0, I).
        """
        return {"noise": as_rows(self._studio.draw(seed, prior))}

    def redraw(self, noise: Row, level: int, seed: Seed, prior: PriorName) -> Answer:
        """Return the noise with one level drawn anew, given the others.

        Args:
            noise: one list of numbers per level, in standard deviations.
            level: the number of the level, 1 nearest the pixels.
            seed: seed of the draw, 0 or more.
            prior: "fitted" to the codes of the training data, or "standard", N(0, I).
        """
        studio = self._studio
        return {"noise": as_rows(studio.redraw(studio.parse_noise(noise), level, seed, prior))}

    def datum(self, index: int) -> Answer:
        """Return the noise of a datum, and its picture, its reconstruction and their difference.

        Args:
            index: the number of the datum, from 0.
        """
        collection = self._session.collection
        collection.check(index)
        return self._original(collection.values([index]), collection.features([index]))

    def upload(self, content: str) -> Answer:
        """Return the noise of an uploaded picture, and the picture, its reconstruction and their difference.

        Args:
            content: the picture file as a data URL or in base64.
        """
        try:
            file = base64.b64decode(content.split(",", 1)[-1], validate=True)
        except ValueError as error:
            raise ValueError("the file did not arrive whole; try again") from error
        return self._original(self._studio.read(file), self._studio.features_of_file(file))

    def _original(self, values: np.ndarray, features: np.ndarray | None) -> Answer:
        noise, pictures, error = self._studio.original(values, features)
        names = ("original", "reconstruction", "difference")
        return {
            "noise": as_rows(noise),
            "mse": error,
            **dict(zip(names, map(png, pictures), strict=True)),
        }

    def picture(self, noise: Row) -> Answer:
        """Return the picture that the model makes of noise.

        Args:
            noise: one list of numbers per level, in standard deviations.
        """
        studio = self._studio
        return {"picture": png(studio.pictures(studio.parse_noise(noise))[0])}

    def strips(self, noise: Row, levels: list[int], seed: Seed, prior: PriorName) -> Answer:
        """Return, for each of some levels, a sheet of pictures in which only it changes, and its codes there.

        Args:
            noise: one list of numbers per level, in standard deviations: the codes of the other levels.
            levels: the level numbers, level 1 nearest the pixels.
            seed: seed of the draws for codes of three or more dimensions.
            prior: what these are drawn from: "fitted" to the codes of the training data, or "standard", N(0, I).
        """
        studio = self._studio
        start = studio.parse_noise(noise)
        strips = []
        for level in sorted(set(levels)):
            num = PAD if studio.size_of(level) == 2 else STRIP
            values = studio.varied(start, level, seed, prior=prior, num=num)
            pictures = studio.pictures(studio.with_level(start, level, values))
            strips.append(
                {"level": level, "sheet": png(sheet(pictures, min(num, len(values)))), "codes": rounded(values)}
            )
        return {"strips": strips}

    def codes(self, noise: Row) -> Answer:
        """Return the codes that noise stands for. They are the same numbers, unless the priors are conditional.

        Args:
            noise: one list of numbers per level, in standard deviations.
        """
        return {"codes": as_rows(self._studio.codes(self._studio.parse_noise(noise)))}

    def mixes(self, a: Row, b: Row) -> Answer:
        """Return sheets of pictures: all swaps of levels between A and B, and the paths from A to B.

        Args:
            a: the noise of A, one list of numbers per level, in standard deviations.
            b: the noise of B, in the same form.
        """
        studio = self._studio
        first, second = studio.parse_noise(a), studio.parse_noise(b)
        moving = [*([level] for level in studio.levels), studio.levels]
        steps = [studio.pictures(studio.path(first, second, levels)) for levels in moving]
        swaps = studio.pictures(studio.swaps(first, second))
        return {
            "swaps": png(sheet(swaps, len(swaps))),
            "paths": [
                {"levels": list(levels), "sheet": png(sheet(row, len(row)))}
                for levels, row in zip(moving, steps, strict=True)
            ],
            "steps": len(steps[0]),
        }

    def card(self) -> Answer:
        """Return the level card, with its numbers and figures, as HTML."""
        with self._card_lock:
            evaluation = self._session.run.evaluation  # it may be evaluated while the page is open
            if self._card is None or self._card[0] != evaluation:
                self._card = (evaluation, page.content(self._session.run))
            return {"html": self._card[1]}


def as_rows(noise: Codes) -> list[list[float]]:
    """Return the noise of one datum as plain numbers, one list per level.

    Args:
        noise: float32 (1, code size) per level.
    """
    return [rounded(level[0].numpy()) for level in noise]


def rounded(values: np.ndarray) -> list[Any]:
    """Return numbers with four digits, and None where there is none: JSON knows no NaN.

    Args:
        values: numbers of any shape.
    """
    rounded = np.round(np.asarray(values, np.float64), 4)
    answer: list[Any] = np.where(np.isfinite(rounded), rounded.astype(object), np.array(None)).tolist()
    return answer
