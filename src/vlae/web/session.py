"""What one can see of a run by touching it: pictures of codes, strips, swaps, paths, maps and neighbours.

Everything here is arrays of one run, which is only ever read, so that any number of people can look at once; what a
page makes of them is in `explorer`. Codes are in noise space (see `LatentModel.place`), in standard deviations of the
prior.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from itertools import combinations
from threading import Lock, RLock
from typing import Any, Literal, get_args

import numpy as np
import torch

from vlae.data.images import Images
from vlae.evaluation import level_card
from vlae.evaluation.rates import is_dead
from vlae.evaluation.statistics import statistics
from vlae.figures.canvas import Pictures
from vlae.figures.panels import noise_at, sweep
from vlae.figures.pictures import to_pictures
from vlae.models.base import Codes
from vlae.models.inference import as_input, evaluating
from vlae.runs.run import Run
from vlae.shapes import is_image
from vlae.web.uploads import read_picture

Method = Literal["code", "pca", "umap"]
Row = Sequence[Sequence[float]]
"""The noise of one datum as plain numbers, one list per level."""

MAX_SHOWN = 2_000  # held-out data on the page
DEAD_DIMENSION = 0.05  # nats; a dimension that costs less changes next to nothing
SPAN = 2.5  # how far codes are swept, in standard deviations
FAR = 100.0  # standard deviations; a code beyond is a mistake
MAX_SUBSETS = 5  # levels up to which all choices of levels are swapped
_BATCH = 32  # pictures made at a time, so that nobody waits long for a turn


@dataclass(frozen=True, kw_only=True)
class Map:
    """Data placed on a plane by one level's code.

    Attributes:
        points: float32 (n, 2).
        axes: what the two axes are.
        centre: the code in the middle of the plane, float32 (code size,); None where points have no code.
        directions: the code along each axis, float32 (2, code size); None likewise.
    """

    points: np.ndarray
    axes: tuple[str, str]
    centre: np.ndarray | None = None
    directions: np.ndarray | None = None


class Exploration:
    """One run, its held-out data and what can be made of both; safe to share between threads.

    Args:
        run: a finished run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.model = run.model
        self._turn = Lock()
        self._reading = RLock()

    # Codes and pictures

    @cached_property
    def levels(self) -> list[int]:
        """The levels that have a code."""
        return list(self.model.levels_with_code)

    def draw(self, seed: int) -> Codes:
        """A random draw from the prior, one row per level."""
        return self.model.draw_noise(1, torch.Generator().manual_seed(seed))

    def hold(self, values: np.ndarray) -> Codes:
        """The noise of data at their posterior means, one row per datum."""
        parts = []
        for start in range(0, len(values), _BATCH):
            with self._turn:
                parts.append(noise_at(self.model, as_input(values[start : start + _BATCH])))
        return tuple(torch.cat(level).cpu() for level in zip(*parts, strict=True))

    def pictures(self, noise: Codes) -> Pictures:
        """What the model makes of noise, one small picture for each row."""
        parts = []
        for batch in zip(*(torch.split(level, _BATCH) for level in noise), strict=True):
            with self._turn, evaluating(self.model):
                placed = self.model.place(tuple(level.to(self.model.device) for level in batch))
                parts.append(self.model.decode(placed).cpu())
        return self._shown(torch.cat(parts))

    def codes(self, noise: Codes) -> Codes:
        """The codes that noise stands for, as `Run.decode` takes them."""
        with self._turn, evaluating(self.model):
            return tuple(code.cpu() for code in self.model.place(noise))

    def noise(self, row: Row) -> Codes:
        """Plain numbers as noise of one row.

        Raises:
            ValueError: if they are not codes of this run, or not finite.
        """
        try:
            levels = tuple(torch.tensor([list(level)], dtype=torch.float32).reshape(1, -1) for level in row)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError("codes are not numbers, one list per level") from error
        sizes = tuple(level.shape[1] for level in levels)
        if sizes != tuple(self.model.code_sizes):
            raise ValueError(f"codes of sizes {sizes} are given; the run {self.run.name} takes {self._sizes}")
        if not all(bool((level.abs() <= FAR).all()) for level in levels):
            raise ValueError(f"codes are numbers from {-FAR:g} to {FAR:g}")
        return levels

    @property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(self.model.code_sizes)

    def _shown(self, values: torch.Tensor) -> Pictures:
        if is_image(self.run.recipe.shape):
            return to_pictures(values, self.run.recipe.shape)
        return to_pictures(values, self.run.recipe.shape, *self._spread)

    @cached_property
    def _spread(self) -> tuple[torch.Tensor, torch.Tensor]:
        """By what vectors are standardised when they are shown."""
        examples = as_input(self.run.examples)
        return examples.mean(0), examples.std(0, correction=0)

    # Data

    @property
    def images(self) -> Images:
        """The data to look at: the run's examples, then others that were held out, if they can still be read."""
        with self._reading:
            return self._images

    @cached_property
    def _images(self) -> Images:
        examples = Images(values=self.run.examples, source=str(self.run.data["source"]), split="test")
        try:
            images = self.run.part("test")
        except (ValueError, OSError):
            return examples
        first = examples.values
        if len(images) < len(first) or not np.array_equal(images.values[: len(first)], first):
            return examples  # the source is not what it was
        rest = np.random.default_rng(0).permutation(np.arange(len(first), len(images)))[: MAX_SHOWN - len(first)]
        chosen = images.take(np.concatenate([np.arange(len(first)), np.sort(rest)]))
        return chosen

    @property
    def noise_of_images(self) -> Codes:
        """The noise of every datum at its posterior mean."""
        with self._reading:
            return self._noise_of_images

    @cached_property
    def _noise_of_images(self) -> Codes:
        return self.hold(np.ascontiguousarray(self.images.values))

    def data_pictures(self) -> Pictures:
        """All data as pictures."""
        return self._shown(as_input(np.ascontiguousarray(self.images.values)))

    def original(self, values: np.ndarray) -> tuple[Codes, Pictures, float]:
        """One datum's noise; itself, what comes back of it and where they differ; and the mean squared difference."""
        noise = self.hold(values)
        before, after = self._shown(as_input(values))[0], self.pictures(noise)[0]
        difference = np.abs(before.astype(np.int16) - after).astype(np.uint8)
        error = float(np.square((before.astype(np.float32) - after) / 255).mean())
        return noise, np.stack([before, after, difference]), error

    def datum(self, index: int) -> np.ndarray:
        """One datum, with a first axis of 1.

        Raises:
            ValueError: if there is none of this number.
        """
        if 0 <= index < len(self.run.examples):  # these come first, and are there before the rest is read
            return self.run.examples[index : index + 1]
        if not 0 <= index < len(self.images):
            raise ValueError(f"there is no image {index}; there are 0 to {len(self.images) - 1}")
        return np.ascontiguousarray(self.images.values[index : index + 1])

    def read(self, content: bytes) -> np.ndarray:
        """A picture file as one datum of the run's shape, cut and resized as in training; with a first axis of 1.

        Raises:
            ValueError: if it is too large, or cannot be read, or the run is not one of pictures.
        """
        if not is_image(self.run.recipe.shape):
            raise ValueError("this run was trained on vectors; a picture cannot be read into it")
        return read_picture(content, self.run.recipe.shape, crop=self.run.data.get("crop"))

    def columns(self) -> dict[str, dict[str, Any]]:
        """What is known of every datum, by name: its values, and the names of classes where they are classes."""
        images, found = self.images, {}
        if images.labels is not None:
            labels, places = np.unique(images.labels, return_inverse=True)
            names = [images.label_names[i] if i < len(images.label_names) else str(i) for i in labels]
            found["label"] = {"values": places, "classes": names}
        known = dict(images.factors)
        if not images.is_vectors:
            known |= statistics(np.ascontiguousarray(images.values))
        for name, values in known.items():
            if np.asarray(values).dtype.kind in "iufb" and np.ptp(np.asarray(values, np.float64)) > 0:
                found[name.replace("_", " ")] = {"values": np.asarray(values, np.float64), "classes": None}
        return found

    # What a level does

    def varied(self, level: int, seed: int, *, num: int = 8) -> np.ndarray:
        """Codes by which one level changes: a sweep where it has one or two dimensions, else draws.

        Args:
            level: which, from 1 up.
            seed: of the draws.
            num: so many draws; of a code of two dimensions, so many on a side of the sweep.

        Returns:
            float32 (num, code size), or (num², 2).

        Raises:
            ValueError: if there is no such level, or it has no code.
        """
        size = self._size(level)
        if size == 2:
            return sweep(num, SPAN, 2).numpy()
        if size == 1:
            return np.linspace(-SPAN, SPAN, num, dtype=np.float32)[:, None]
        return self.model.draw_noise(num, torch.Generator().manual_seed(seed + 1))[level - 1].cpu().numpy()

    def with_level(self, noise: Codes, level: int, values: np.ndarray) -> Codes:
        """One row's noise, repeated, with one level varied."""
        rows = [held.expand(len(values), -1) for held in noise]
        rows[level - 1] = torch.as_tensor(values, dtype=torch.float32)
        return tuple(rows)

    def _size(self, level: int) -> int:
        if level not in self.levels:
            raise ValueError(f"there is no level {level} with a code; there are {', '.join(map(str, self.levels))}")
        return self.model.code_sizes[level - 1]

    # Two images

    def subsets(self) -> list[tuple[int, ...]]:
        """Which levels may come from the other image: all choices, few first; of many levels only neighbouring ones."""
        levels = self.levels
        if len(levels) <= MAX_SUBSETS:
            return [chosen for k in range(len(levels) + 1) for chosen in combinations(levels, k)]
        runs = {tuple(levels[i:j]) for i in range(len(levels)) for j in range(i + 1, len(levels) + 1)}
        return sorted({(), *runs}, key=lambda chosen: (len(chosen), chosen))

    def swaps(self, a: Codes, b: Codes) -> Codes:
        """A with the levels of every subset taken from B, in the order of `subsets`."""
        return tuple(
            torch.cat([(b if level in chosen else a)[level - 1] for chosen in self.subsets()])
            for level in range(1, self.model.num_levels + 1)
        )

    def path(self, a: Codes, b: Codes, moving: Sequence[int], *, steps: int = 9) -> Codes:
        """From A to B in even steps through the moving levels, the others held at A's."""
        t = torch.linspace(0, 1, steps)[:, None]
        return tuple(
            torch.lerp(held, other, t) if level in moving else held.expand(steps, -1)
            for level, (held, other) in enumerate(zip(a, b, strict=True), start=1)
        )

    # All data

    def map(self, level: int, method: Method = "pca") -> Map:
        """All data on a plane by one level's code.

        Args:
            level: which, from 1 up.
            method: "code": as it is, of one or two dimensions; "pca": its two directions of most variance; "umap": by
                neighbourhood, if umap-learn is installed.

        Raises:
            ValueError: if there is no such level, or it cannot be mapped so.
        """
        size = self._size(level)
        if method not in get_args(Method):
            raise ValueError(f"there is no map {method!r}; choose one of {', '.join(get_args(Method))}")
        codes = self.noise_of_images[level - 1].numpy()
        if method == "umap":
            return Map(points=_umap(codes), axes=("UMAP 1", "UMAP 2"))
        if size == 1:
            spread = np.random.default_rng(0).uniform(-1, 1, (len(codes), 1)).astype(np.float32)
            directions = np.array([[1], [0]], np.float32)
            return Map(
                points=np.hstack([codes, spread]),
                axes=("code", "spread out, means nothing"),
                centre=np.zeros(1, np.float32),
                directions=directions,
            )
        if size == 2:
            return Map(
                points=codes,
                axes=("dimension 1", "dimension 2"),
                centre=np.zeros(2, np.float32),
                directions=np.eye(2, dtype=np.float32),
            )
        if method == "code":
            raise ValueError(f"level {level} has {size} dimensions; only one or two can be shown as they are")
        centre = codes.mean(0)
        _, spreads, directions = np.linalg.svd(codes - centre, full_matrices=False)
        shares = np.square(spreads) / max(float(np.square(spreads).sum()), 1e-12)
        axes = tuple(f"component {i + 1} ({shares[i]:.0%} of the variance)" for i in range(2))
        points = (codes - centre) @ directions[:2].T
        return Map(points=points, axes=(axes[0], axes[1]), centre=centre, directions=directions[:2])

    def neighbours(self, noise: Codes, *, num: int = 8, without: int | None = None) -> dict[int, np.ndarray]:
        """The nearest data by each level alone: level → their numbers, nearest first.

        Args:
            noise: of one datum.
            num: how many.
            without: the number of a datum that is left out, the one that is asked about.
        """
        found = {}
        for level in self.levels:
            far = np.square(self.noise_of_images[level - 1].numpy() - noise[level - 1].numpy()).sum(1)
            if without is not None:
                far[without] = np.inf
            found[level] = np.argsort(far, kind="stable")[: min(num, len(far) - (without is not None))]
        return found

    # Words

    def described(self) -> list[dict[str, Any]]:
        """What is known of every level that has a code: its title and sentence, and its dimensions, most telling first.

        Returns:
            For each: level, title, sentence, dead (whether it says next to nothing), nats, and dimensions, each with
            its number (from 0 up), its nats and whether it is dead.
        """
        found = self.run.evaluation
        cards = {card.level: card for card in level_card.level_cards(found)} if found else {}
        described = []
        for level in self.levels:
            measured = self.run.summary["levels"][level - 1]
            title, sentence = self._plainly(level)
            if level in cards:
                title, sentence = cards[level].title, cards[level].sentence
                sentence = sentence[:1].upper() + sentence[1:]
            nats = measured["kl_nats_per_dimension"]
            order = sorted(range(len(nats)), key=lambda i: -nats[i])
            described.append(
                {
                    "level": level,
                    "title": title,
                    "sentence": sentence,
                    "dead": is_dead(measured),
                    "nats": measured["kl_nats"],
                    "dimensions": [{"number": i, "nats": nats[i], "dead": nats[i] < DEAD_DIMENSION} for i in order],
                }
            )
        return described

    def _plainly(self, level: int) -> tuple[str, str]:
        """Title and sentence of a level that has not been measured."""
        if not is_image(self.run.recipe.shape):
            return "not measured yet", ""
        described = self.run.recipe.levels[level - 1].describe()
        return described.title, described.sentence


def has_umap() -> bool:
    """Whether umap-learn is installed."""
    return find_spec("umap") is not None


def _umap(codes: np.ndarray) -> np.ndarray:
    if not has_umap():
        raise ValueError("UMAP is not installed; get it with: pip install umap-learn")
    import umap

    points: np.ndarray = umap.UMAP(random_state=0).fit_transform(codes)
    return points.astype(np.float32)
