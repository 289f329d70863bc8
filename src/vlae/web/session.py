"""What the page shows of a run, as arrays: pictures of codes, strips, swaps, paths, maps and neighbours.

A session only reads its run, so many visitors can share it. Codes are in noise space, in standard deviations of the
prior: `LatentModel.place` turns noise into codes.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from reprlib import repr as shortened
from threading import Lock, RLock
from typing import Any, get_args

import numpy as np
import torch

from vlae.codes.encode import error_of
from vlae.data.content import content_hashes
from vlae.data.images import Images
from vlae.data.pixels import Frame
from vlae.evaluation import level_card
from vlae.evaluation.rates import is_dead
from vlae.evaluation.statistics import statistics
from vlae.figures.canvas import Pictures
from vlae.figures.panels import noise_at, sweep
from vlae.figures.pictures import to_pictures_like
from vlae.models.base import Codes
from vlae.models.inference import as_input, evaluating, given, noise_of_values
from vlae.models.priors import PriorName
from vlae.runs.run import Run
from vlae.shapes import is_image
from vlae.web.map import Map, Method, place_on_plane
from vlae.web.uploads import read_picture

Row = Sequence[Sequence[float]]
"""The noise of one datum as plain numbers, one list per level."""

MAX_SHOWN = 2_000  # held-out data on the page
DEAD_DIMENSION = 0.05  # nats; a dimension that costs less changes next to nothing
SPAN = 2.5  # how far codes are swept, in standard deviations
FAR = 100.0  # standard deviations; a code beyond is a mistake
MAX_SUBSETS = 5  # levels up to which all choices of levels are swapped
_BATCH = 32  # pictures made at a time, so that nobody waits long for a turn


class Session:
    """One run and its held-out data, with what the page computes from them. Threads can share it.

    Args:
        run: a finished run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.model = run.model
        self._model_lock = Lock()
        self._data_lock = RLock()
        self._closed = False

    def close(self) -> None:
        """Give up what other threads are computing: they get a ValueError."""
        self._closed = True

    def _next_batch(self) -> None:
        if self._closed:
            raise ValueError("the page was closed")

    # Codes and pictures

    @cached_property
    def levels(self) -> list[int]:
        """The levels that have a code."""
        return list(self.model.levels_with_code)

    def draw(self, seed: int, prior: PriorName = "fitted") -> Codes:
        """Draw the noise of one datum from a prior: float32 (1, code size) per level.

        Args:
            seed: seed of the draw, 0 or more.
            prior: "fitted" to the codes of the training data, or "standard", N(0, I).

        Raises:
            ValueError: if there is no such prior.
        """
        return self.run.prior_called(prior).draw(1, torch.Generator().manual_seed(seed))

    def redraw(self, noise: Codes, level: int, seed: int, prior: PriorName = "fitted") -> Codes:
        """Draw one level given the others: float32 (n, code size) per level. All values of a category are alike.

        Args:
            noise: float32 (n, code size) per level.
            level: the number of the level, 1 nearest the pixels.
            seed: seed of the draw, 0 or more.
            prior: "fitted" to the codes of the training data, or "standard", N(0, I).

        Raises:
            ValueError: if there is no such level or prior, or if the level has no code.
        """
        self.size_of(level)
        generator = torch.Generator().manual_seed(seed)
        values = noise_of_values(self.model, level)
        if values is not None:
            drawn = values[torch.randint(len(values), noise[0].shape[:1], generator=generator)]
            return (*noise[: level - 1], drawn, *noise[level:])
        return self.run.prior_called(prior).redraw([level], noise, generator)

    def noise_of(self, values: np.ndarray, features: np.ndarray | None = None) -> Codes:
        """Return the noise of data at their posterior means: float32 (n, code size) per level.

        Args:
            values: uint8 (n, C, H, W) images, 0 to 255, or float32 (n, D) vectors.
            features: of the full-size pictures, (n, F). None: a model that reads features computes them from the
                values.
        """
        parts = []
        for start in range(0, len(values), _BATCH):
            self._next_batch()
            with self._model_lock:
                x = as_input(values[start : start + _BATCH])
                parts.append(noise_at(self.model, x, **given(features, start, _BATCH)))
        return tuple(torch.cat(level).cpu() for level in zip(*parts, strict=True))

    def pictures(self, noise: Codes) -> Pictures:
        """Decode noise to pictures: uint8 (n, height, width, 3).

        Args:
            noise: float32 (n, code size) per level, in standard deviations.
        """
        parts = []
        for batch in zip(*(torch.split(level, _BATCH) for level in noise), strict=True):
            self._next_batch()
            with self._model_lock, evaluating(self.model):
                codes = self.model.place(tuple(level.to(self.model.device) for level in batch))
                parts.append(self.model.decode(codes).cpu())
        return self._to_pictures(torch.cat(parts))

    def codes(self, noise: Codes) -> Codes:
        """Return the codes that noise stands for: float32 (n, code size) per level.

        Args:
            noise: float32 (n, code size) per level, in standard deviations.
        """
        with self._model_lock, evaluating(self.model):
            return tuple(code.cpu() for code in self.model.place(noise))

    def parse_noise(self, row: Row) -> Codes:
        """Turn plain numbers into the noise of one datum: float32 (1, code size) per level.

        Args:
            row: one list of numbers per level, each from -100 to 100 standard deviations.

        Raises:
            ValueError: if their sizes are not those of the run's codes, or a number is out of range.
        """
        try:
            sizes = tuple(len(level) for level in row)
            fits = sizes == self._sizes  # or nothing is computed with them: a stranger may send very many
            levels = tuple(torch.tensor([list(level)], dtype=torch.float32).reshape(1, -1) for level in row if fits)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError("codes are not numbers, one list per level") from error
        if not fits:
            given = shortened(sizes)
            raise ValueError(f"codes of sizes {given} are given; the run {self.run.name} takes {self._sizes}")
        if not all(bool((level.abs() <= FAR).all()) for level in levels):
            raise ValueError(f"codes are numbers from {-FAR:g} to {FAR:g}")
        return levels

    @property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(self.model.code_sizes)

    def _to_pictures(self, values: torch.Tensor) -> Pictures:
        return to_pictures_like(values, self.run.recipe.shape, self.run.examples, opacity=self.model.opacity)

    # Data

    @property
    def images(self) -> Images:
        """The data on the page: the run's examples, then other held-out data, if they can still be read."""
        with self._data_lock:
            return self._images

    @cached_property
    def _images(self) -> Images:
        examples = Images(values=self.run.examples, source=str(self.run.data["source"]), split="test")
        try:
            images = self.run.part("test")
        except (ValueError, OSError):
            return examples
        if images.shape != examples.shape:
            return examples  # the source has changed
        row_of = {content: row for row, content in enumerate(content_hashes(images.values).tolist())}
        first = [row_of.get(content) for content in content_hashes(examples.values).tolist()]
        if None in first:
            return examples
        others = np.setdiff1d(np.arange(len(images)), np.array(first, np.int64))
        rest = np.random.default_rng(0).permutation(others)[: MAX_SHOWN - len(first)]
        return images.take(np.concatenate([np.array(first, np.int64), np.sort(rest)]))

    @property
    def noise_of_images(self) -> Codes:
        """The noise of every datum at its posterior mean: float32 (n, code size) per level."""
        with self._data_lock:
            return self._noise_of_images

    @cached_property
    def _noise_of_images(self) -> Codes:
        return self.noise_of(np.ascontiguousarray(self.images.values), self.images.features)

    def data_pictures(self) -> Pictures:
        """Return all data as pictures: uint8 (n, height, width, 3)."""
        return self._to_pictures(as_input(np.ascontiguousarray(self.images.values)))

    def original(self, values: np.ndarray, features: np.ndarray | None = None) -> tuple[Codes, Pictures, float]:
        """Compare a datum with its reconstruction.

        Args:
            values: uint8 (1, C, H, W), 0 to 255, or float32 (1, D).
            features: of the full-size picture, (1, F). None: a model that reads features computes them from the values.

        Returns:
            The noise of the datum; pictures of the datum, its reconstruction and their difference, uint8 (3, height,
            width, 3); and the mean squared difference of the pictures, in [0, 1], or of vectors the error in standard
            deviations.
        """
        noise = self.noise_of(values, features)
        before, after = self._to_pictures(as_input(values))[0], self.pictures(noise)[0]
        difference = np.abs(before.astype(np.int16) - after).astype(np.uint8)
        if is_image(self.run.recipe.shape):
            error = float(np.square((before.astype(np.float32) - after) / 255).mean())
        else:
            decoded = self.run.decode([code.numpy() for code in self.codes(noise)])
            error = float(error_of(self.model, torch.from_numpy(decoded), as_input(values)))
        return noise, np.stack([before, after, difference]), error

    def datum(self, index: int) -> np.ndarray:
        """Return one datum: uint8 (1, C, H, W), or float32 (1, D).

        Args:
            index: the number of the datum, from 0. The run's examples come first.

        Raises:
            ValueError: if there is no datum of this number.
        """
        if 0 <= index < len(self.run.examples):  # these need no reading of the data
            return self.run.examples[index : index + 1]
        if not 0 <= index < len(self.images):
            raise ValueError(f"there is no image {index}; there are 0 to {len(self.images) - 1}")
        return np.ascontiguousarray(self.images.values[index : index + 1])

    def features_of(self, index: int) -> np.ndarray | None:
        """Return the features of one datum's full-size picture, (1, F); None if the model reads none or has none of it.

        Args:
            index: the number of the datum, from 0.
        """
        if self.run.network is None or self.images.features is None or index >= len(self.images):
            return None
        return self.images.features[index : index + 1]

    def features_of_file(self, content: bytes) -> np.ndarray | None:
        """Return the features of a full-size picture file, (1, F); None if the model reads none.

        Args:
            content: the bytes of the file, at most 20 MB.

        Raises:
            ValueError: if the file cannot be read.
            FileNotFoundError: if the network is no longer there.
        """
        if (network := self.run.network) is None:
            return None
        _, height, width = self.run.recipe.shape
        shape = (network.channels, network.side or height, network.side or width)
        picture = read_picture(content, self._frame(shape), self.run.value_range)
        return network(as_input(picture)).numpy()

    def read(self, content: bytes) -> np.ndarray:
        """Read a picture file as one datum like the training images: uint8, or float32 in [0, 1], (1, C, H, W).

        Args:
            content: the bytes of the file, at most 20 MB.

        Raises:
            ValueError: if the file is too large or cannot be read, or if the run was trained on vectors.
        """
        if not is_image(self.run.recipe.shape):
            raise ValueError("this run was trained on vectors; a picture cannot be read into it")
        return read_picture(content, self._frame(self.run.recipe.shape), self.run.value_range)

    def _frame(self, shape: tuple[int, int, int]) -> Frame:
        """How a picture file is brought to a shape, as in the training."""
        return Frame(shape=shape, crop=self.run.data.get("crop"), fit=self.run.data.get("fit") or "crop")

    def properties(self) -> dict[str, dict[str, Any]]:
        """Return the known properties of the data, by name.

        Returns:
            For each property, a dict of `values`, (n,), NaN where a number is missing, and `classes`: the names of the
            classes, or None for numbers.
        """
        images, properties = self.images, {}
        if images.labels is not None:
            labels, places = np.unique(images.labels, return_inverse=True)
            names = [images.class_name(int(label)) or "unknown" for label in labels]
            properties["label"] = {"values": places, "classes": names}
        numbers = dict(images.factors)
        if not images.is_vectors:
            numbers |= statistics(np.ascontiguousarray(images.values))
        for name, values in numbers.items():
            if np.asarray(values).dtype.kind in "iufb" and len(np.unique(values[np.isfinite(values)])) > 1:
                properties[name.replace("_", " ")] = {"values": np.asarray(values, np.float64), "classes": None}
        return properties

    # One level

    def varied(self, noise: Codes, level: int, seed: int, *, prior: PriorName = "fitted", num: int = 8) -> np.ndarray:
        """Return codes that show what one level changes: a sweep of one or two dimensions, or draws given the others.

        Of a category of three or more these are all its values.

        Args:
            noise: the noise of one datum, float32 (1, code size) per level.
            level: the number of the level, 1 nearest the pixels.
            seed: seed of the draws, 0 or more.
            prior: "fitted" to the codes of the training data, or "standard", N(0, I).
            num: the number of codes; for a code of two dimensions, the number on each side of the sweep.

        Returns:
            float32 (num, code size), or (num², 2), or (K, K).

        Raises:
            ValueError: if there is no such level, or if it has no code.
        """
        size = self.size_of(level)
        if size == 2:
            return sweep(num, SPAN, 2).numpy()
        values = noise_of_values(self.model, level)
        if values is not None:
            return values.numpy()
        if size == 1:
            return np.linspace(-SPAN, SPAN, num, dtype=np.float32)[:, None]
        rows = tuple(code.expand(num, -1) for code in noise)
        return self.redraw(rows, level, seed + 1, prior)[level - 1].numpy()

    def with_level(self, noise: Codes, level: int, values: np.ndarray) -> Codes:
        """Repeat the noise of one datum with several codes of one level.

        Args:
            noise: float32 (1, code size) per level.
            level: the number of the level, 1 nearest the pixels.
            values: (n, code size), its codes.

        Returns:
            float32 (n, code size) per level.
        """
        rows = [code.expand(len(values), -1) for code in noise]
        rows[level - 1] = torch.as_tensor(values, dtype=torch.float32)
        return tuple(rows)

    def size_of(self, level: int) -> int:
        """Return the size of a level's code.

        Args:
            level: the number of the level, 1 nearest the pixels.

        Raises:
            ValueError: if there is no such level, or if it has no code.
        """
        if level not in self.levels:
            raise ValueError(f"there is no level {level} with a code; there are {', '.join(map(str, self.levels))}")
        return self.model.code_sizes[level - 1]

    # Two images

    def subsets(self) -> list[tuple[int, ...]]:
        """Return the sets of levels that may come from B, small sets first. Of more than 5 levels, only runs."""
        levels = self.levels
        if len(levels) <= MAX_SUBSETS:
            return [chosen for k in range(len(levels) + 1) for chosen in combinations(levels, k)]
        runs = {tuple(levels[i:j]) for i in range(len(levels)) for j in range(i + 1, len(levels) + 1)}
        return sorted({(), *runs}, key=lambda chosen: (len(chosen), chosen))

    def swaps(self, a: Codes, b: Codes) -> Codes:
        """Return A with the levels of each set of `subsets` taken from B, in their order.

        Args:
            a: the noise of A, float32 (1, code size) per level.
            b: the noise of B, in the same form.

        Returns:
            float32 (number of sets, code size) per level.
        """
        return tuple(
            torch.cat([(b if level in chosen else a)[level - 1] for chosen in self.subsets()])
            for level in range(1, self.model.num_levels + 1)
        )

    def path(self, a: Codes, b: Codes, moving: Sequence[int], *, steps: int = 9) -> Codes:
        """Return even steps from A to B in some levels. All other levels stay at A.

        Args:
            a: the noise of A, float32 (1, code size) per level.
            b: the noise of B, in the same form.
            moving: the numbers of the levels that move, 1 nearest the pixels.
            steps: the number of steps, both ends included, 2 or more.

        Returns:
            float32 (steps, code size) per level.
        """
        t = torch.linspace(0, 1, steps)[:, None]
        return tuple(
            torch.lerp(start, end, t) if level in moving else start.expand(steps, -1)
            for level, (start, end) in enumerate(zip(a, b, strict=True), start=1)
        )

    # All data

    def map(self, level: int, method: Method = "pca") -> Map:
        """Place all data on a plane by one level's code.

        Args:
            level: the number of the level, 1 nearest the pixels.
            method: "code" or "pca": the code itself if it has one or two dimensions. Otherwise "pca" takes its first
                two principal components. "umap": UMAP, which keeps neighbours together and needs umap-learn.

        Raises:
            ValueError: if there is no such level, or if it cannot be placed by this method.
        """
        size = self.size_of(level)
        if method not in get_args(Method):
            raise ValueError(f"there is no map {method!r}; choose one of {', '.join(get_args(Method))}")
        if method == "code" and size > 2:
            raise ValueError(f"level {level} has {size} dimensions; only one or two can be shown as they are")
        return place_on_plane(self.noise_of_images[level - 1].numpy(), method)

    def neighbours(self, noise: Codes, *, num: int = 8, without: int | None = None) -> dict[int, np.ndarray]:
        """Return the nearest data by each level alone.

        Args:
            noise: the noise of one datum, float32 (1, code size) per level.
            num: how many neighbours, 1 or more.
            without: the number of a datum that is left out, usually the datum itself. None: no datum is left out.

        Returns:
            For each level, the numbers of its nearest data, the nearest first.

        Raises:
            ValueError: if there is no datum of this number.
        """
        if without is not None:
            self.datum(without)
        nearest = {}
        for level in self.levels:
            distances = np.square(self.noise_of_images[level - 1].numpy() - noise[level - 1].numpy()).sum(1)
            if without is not None:
                distances[without] = np.inf
            nearest[level] = np.argsort(distances, kind="stable")[: min(num, len(distances) - (without is not None))]
        return nearest

    # Words

    def describe_levels(self) -> list[dict[str, Any]]:
        """Describe every level that has a code.

        Returns:
            For each level, a dict of level, title, sentence, dead (whether its rate is next to nothing), nats (its
            rate), and dimensions. Each dimension is a dict of number (from 0), nats and dead, the highest rate first.
        """
        evaluation = self.run.evaluation
        cards = {card.level: card for card in level_card.level_cards(evaluation)} if evaluation else {}
        levels = []
        for level in self.levels:
            summary = self.run.summary["levels"][level - 1]
            title, sentence = self._describe_unmeasured(level)
            if level in cards:
                title, sentence = cards[level].title, cards[level].sentence
                sentence = sentence[:1].upper() + sentence[1:]
            nats = summary["kl_nats_per_dimension"]
            order = sorted(range(len(nats)), key=lambda i: -nats[i])
            levels.append(
                {
                    "level": level,
                    "title": title,
                    "sentence": sentence,
                    "dead": is_dead(summary),
                    "nats": summary["kl_nats"],
                    "dimensions": [{"number": i, "nats": nats[i], "dead": nats[i] < DEAD_DIMENSION} for i in order],
                }
            )
        return levels

    def _describe_unmeasured(self, level: int) -> tuple[str, str]:
        """Return title and sentence of a level that has not been measured."""
        if not is_image(self.run.recipe.shape):
            return "not measured yet", ""
        description = self.run.recipe.levels[level - 1].describe()
        return description.title, description.sentence
