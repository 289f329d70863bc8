"""The model's room: pictures of codes, codes of pictures, strips, swaps and paths.

A studio only reads its run, so many visitors can share it. Codes are in noise space, in standard deviations of the
prior: `LatentModel.place` turns noise into codes.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from reprlib import repr as shortened
from threading import Lock

import numpy as np
import torch

from vlae.codes.encoder import error_of
from vlae.data.features import frame_of
from vlae.data.frames import Frame
from vlae.figures.canvas import Pictures
from vlae.figures.contents import noise_at, sweep
from vlae.figures.pictures import to_pictures_like
from vlae.models.base import Codes
from vlae.models.inference import as_input, evaluating, given, noise_of_values
from vlae.models.priors import PriorName
from vlae.runs.run import Run
from vlae.shapes import is_image
from vlae.web.uploads import read_picture

Row = Sequence[Sequence[float]]
"""The noise of one datum as plain numbers, one list per level."""

SPAN = 2.5  # how far codes are swept, in standard deviations
FAR = 100.0  # standard deviations; a code beyond is a mistake
MAX_SUBSETS = 5  # levels up to which all choices of levels are swapped
_BATCH = 32  # pictures made at a time, so that nobody waits long for a turn


class Studio:
    """What the page computes with the model of one run. Threads can share it.

    Args:
        run: a finished run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.model = run.model
        self._model_lock = Lock()
        self._closed = False

    def close(self) -> None:
        """Give up what other threads are computing: they get a ValueError."""
        self._closed = True

    def check_open(self) -> None:
        """Stop a long computation whose page was closed.

        Raises:
            ValueError: if it was.
        """
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
            self.check_open()
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
            self.check_open()
            with self._model_lock, evaluating(self.model):
                codes = self.model.place(tuple(level.to(self.model.device) for level in batch))
                parts.append(self.model.decode(codes).cpu())
        return self.to_pictures(torch.cat(parts))

    def codes(self, noise: Codes) -> Codes:
        """Return the codes that noise stands for: float32 (n, code size) per level.

        Args:
            noise: float32 (n, code size) per level, in standard deviations.
        """
        with self._model_lock, evaluating(self.model):
            placed = self.model.place(tuple(level.to(self.model.device) for level in noise))
            return tuple(code.cpu() for code in placed)

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

    def to_pictures(self, values: torch.Tensor) -> Pictures:
        """Draw data as pictures: uint8 (n, height, width, 3).

        Args:
            values: float (n, *shape); images are in [0, 1].
        """
        return to_pictures_like(values, self.run.recipe.shape, self.run.examples, opacity=self.model.opacity)

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
        before, after = self.to_pictures(as_input(values))[0], self.pictures(noise)[0]
        difference = np.abs(before.astype(np.int16) - after).astype(np.uint8)
        if is_image(self.run.recipe.shape):
            error = float(np.square((before.astype(np.float32) - after) / 255).mean())
        else:
            decoded = self.run.decode([code.numpy() for code in self.codes(noise)])
            error = float(error_of(self.model, torch.from_numpy(decoded), as_input(values)))
        return noise, np.stack([before, after, difference]), error

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
        channels, height, width = self.run.recipe.shape
        read_in = network.channels_of(channels) if self.run.value_range is None else channels
        frame = frame_of(network, (read_in, height, width), self.run.data.get("crop"), self.run.data.get("fit"))
        picture = read_picture(content, frame, self.run.value_range)
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
