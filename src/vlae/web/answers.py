"""The API of the page: each method of `Answers` answers one kind of question about a run."""

import base64
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

import numpy as np

from vlae.figures.thumbnails import png, sheet, smaller, webp
from vlae.models.base import Codes
from vlae.models.priors import PriorName
from vlae.names import printable
from vlae.report import page
from vlae.web.map import Method, has_umap
from vlae.web.session import SPAN, Row, Session
from vlae.web.uploads import MAX_BYTES

Answer = dict[str, Any]

Seed = Annotated[int, range(2**32)]
"""The seed of a draw."""

Datum = Annotated[int, range(-1, 10**9)]
"""The number of a datum, from 0; -1 for none."""

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
        self._session = session
        self._card_lock = Lock()
        self._card = ""

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
        methods += [self.strips, self.codes, self.mixes, self.data, self.map, self.neighbours, self.card]
        return methods

    def describe(self) -> Answer:
        """Describe the run: its name, source, shape and levels."""
        run = self._session.run
        return {
            "name": run.name,
            "source": printable(Path(str(run.data["source"])).name),
            "sizes": list(run.recipe.code_sizes),
            "shape": list(run.recipe.shape),
            "levels": self._session.describe_levels(),
            "subsets": [list(chosen) for chosen in self._session.subsets()],
            "prior": None if run.prior.is_standard else run.prior.name,
            "measured": run.evaluation is not None,
            "undertrained": None if run.undertrained is None else str(run.undertrained),
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
        return {"noise": _numbers(self._session.draw(seed, prior))}

    def redraw(self, noise: Row, level: int, seed: Seed, prior: PriorName) -> Answer:
        """Return the noise with one level drawn anew, given the others.

        Args:
            noise: one list of numbers per level, in standard deviations.
            level: the number of the level, 1 nearest the pixels.
            seed: seed of the draw, 0 or more.
            prior: "fitted" to the codes of the training data, or "standard", N(0, I).
        """
        session = self._session
        return {"noise": _numbers(session.redraw(session.parse_noise(noise), level, seed, prior))}

    def datum(self, index: int) -> Answer:
        """Return the noise of a datum, and its picture, its reconstruction and their difference.

        Args:
            index: the number of the datum, from 0.
        """
        return self._original(self._session.datum(index), self._session.features_of(index))

    def upload(self, content: str) -> Answer:
        """Return the noise of an uploaded picture, and the picture, its reconstruction and their difference.

        Args:
            content: the picture file as a data URL or in base64.
        """
        try:
            file = base64.b64decode(content.split(",", 1)[-1], validate=True)
        except ValueError as error:
            raise ValueError("the file did not arrive whole; try again") from error
        return self._original(self._session.read(file), self._session.features_of_file(file))

    def _original(self, values: np.ndarray, features: np.ndarray | None) -> Answer:
        noise, pictures, error = self._session.original(values, features)
        names = ("original", "reconstruction", "difference")
        return {
            "noise": _numbers(noise),
            "mse": error,
            **dict(zip(names, map(png, pictures), strict=True)),
        }

    def picture(self, noise: Row) -> Answer:
        """Return the picture that the model makes of noise.

        Args:
            noise: one list of numbers per level, in standard deviations.
        """
        session = self._session
        return {"picture": png(session.pictures(session.parse_noise(noise))[0])}

    def strips(self, noise: Row, levels: list[int], seed: Seed, prior: PriorName) -> Answer:
        """Return, for each of some levels, a sheet of pictures in which only it changes, and its codes there.

        Args:
            noise: one list of numbers per level, in standard deviations: the codes of the other levels.
            levels: the level numbers, level 1 nearest the pixels.
            seed: seed of the draws for codes of three or more dimensions.
            prior: what these are drawn from: "fitted" to the codes of the training data, or "standard", N(0, I).
        """
        session = self._session
        start = session.parse_noise(noise)
        strips = []
        for level in sorted(set(levels)):
            num = PAD if session.size_of(level) == 2 else STRIP
            values = session.varied(start, level, seed, prior=prior, num=num)
            pictures = session.pictures(session.with_level(start, level, values))
            strips.append(
                {"level": level, "sheet": png(sheet(pictures, min(num, len(values)))), "codes": _rounded(values)}
            )
        return {"strips": strips}

    def codes(self, noise: Row) -> Answer:
        """Return the codes that noise stands for. They are the same numbers, unless the priors are conditional.

        Args:
            noise: one list of numbers per level, in standard deviations.
        """
        return {"codes": _numbers(self._session.codes(self._session.parse_noise(noise)))}

    def mixes(self, a: Row, b: Row) -> Answer:
        """Return sheets of pictures: all swaps of levels between A and B, and the paths from A to B.

        Args:
            a: the noise of A, one list of numbers per level, in standard deviations.
            b: the noise of B, in the same form.
        """
        session = self._session
        first, second = session.parse_noise(a), session.parse_noise(b)
        moving = [*([level] for level in session.levels), session.levels]
        steps = [session.pictures(session.path(first, second, levels)) for levels in moving]
        swaps = session.pictures(session.swaps(first, second))
        return {
            "swaps": png(sheet(swaps, len(swaps))),
            "paths": [
                {"levels": list(levels), "sheet": png(sheet(row, len(row)))}
                for levels, row in zip(moving, steps, strict=True)
            ],
            "steps": len(steps[0]),
        }

    def data(self) -> Answer:
        """Return all data: one sheet of small pictures, and the known properties of each."""
        pictures = smaller(self._session.data_pictures())
        columns = int(np.ceil(np.sqrt(len(pictures))))
        properties = self._session.properties()
        return {
            "num": len(pictures),
            "columns": columns,
            "rows": -(-len(pictures) // columns),
            "sheet": webp(sheet(pictures, columns)),
            "tile": list(pictures.shape[1:3]),
            "known": {
                name: {"values": _rounded(column["values"]), "classes": column["classes"]}
                for name, column in properties.items()
            },
        }

    def map(self, level: int, method: Method) -> Answer:
        """Return the places of all data on a plane, by one level's code.

        Args:
            level: the number of the level, 1 nearest the pixels.
            method: "code", "pca" or "umap".
        """
        plane = self._session.map(level, method)
        return {
            "points": _rounded(plane.points),
            "axes": list(plane.axes),
            "centre": None if plane.centre is None else _rounded(plane.centre),
            "directions": None if plane.directions is None else plane.directions.tolist(),
        }

    def neighbours(self, noise: Row, without: Datum) -> Answer:
        """Return the nearest data by each level.

        Args:
            noise: one list of numbers per level, in standard deviations.
            without: the number of a datum that is left out, or -1.
        """
        session = self._session
        nearest = session.neighbours(session.parse_noise(noise), without=None if without < 0 else without)
        return {"levels": [{"level": level, "images": images.tolist()} for level, images in nearest.items()]}

    def card(self) -> Answer:
        """Return the level card, with its numbers and figures, as HTML."""
        with self._card_lock:
            self._card = self._card or page.content(self._session.run)
        return {"html": self._card}


def _numbers(noise: Codes) -> list[list[float]]:
    return [_rounded(level[0].numpy()) for level in noise]


def _rounded(values: np.ndarray) -> list[Any]:
    """Return numbers with four digits, and None where there is none: JSON knows no NaN."""
    rounded = np.round(np.asarray(values, np.float64), 4)
    answer: list[Any] = np.where(np.isfinite(rounded), rounded.astype(object), np.array(None)).tolist()
    return answer
