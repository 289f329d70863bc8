"""The widget's side in the kernel: it draws what the sliders ask for."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets
from PIL import Image

from vlae.data.images import Images
from vlae.data.source import Source
from vlae.errors import reason
from vlae.figures.canvas import Picture
from vlae.figures.pictures import to_pictures_like
from vlae.models.base import Codes
from vlae.models.inference import as_input
from vlae.models.priors import PriorName
from vlae.runs.run import Run
from vlae.web.level_words import describe_levels
from vlae.web.studio import Studio

HERE = Path(__file__).parent


class LevelSliders(anywidget.AnyWidget):
    """A slider for each dimension of each level's code, and the picture that the model makes of them.

    The numbers are in noise space: standard deviations of the prior N(0, I), under which a ladder is trained.

    Args:
        run: a finished run of any model.
        image: where the sliders start: a picture file, or an array of one datum. None: the first held-out picture, or
            a draw from the prior if there is none or the model has no encoder.
        prior: what levels are drawn from: "fitted" to the codes of the training data, or "standard", N(0, I).

    Attributes:
        noise: the numbers of the sliders, a list per level, level 1 first. Setting them moves the sliders.
        picture: the picture, as the bytes of a PNG file.
        original: that which it started from, likewise; b"" after a draw.
        message: why the last step could not be done; "" if it could.
    """

    _esm = HERE / "sliders.js"
    _css = HERE / "sliders.css"

    noise = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)
    levels = traitlets.List(traitlets.Dict()).tag(sync=True)
    num = traitlets.Int().tag(sync=True)
    picture = traitlets.Bytes().tag(sync=True)
    original = traitlets.Bytes().tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)

    def __init__(self, run: Run, image: Source | None = None, *, prior: PriorName = "fitted") -> None:
        run.prior_called(prior)
        self.run = run
        self._studio = Studio(run)
        self._prior: PriorName = prior
        self._seed = 0
        able = "encoder" not in run.model.lacks
        super().__init__(levels=describe_levels(run), num=len(run.examples) if able else 0)
        if image is not None:
            self.start(image)
        elif self.num:
            self.start_from(0)
        else:
            self.draw()
        self.on_msg(self._do)

    def start(self, image: Source) -> None:
        """Move the sliders to the codes of one image.

        Args:
            image: a picture file; or an array of one datum, (C, H, W), (1, C, H, W), (D,) or (1, D); or `Images` of
                one datum.

        Raises:
            ValueError: if there is more than one datum, or its shape does not fit the model.
            NotDefinedError: if the model has no encoder.
        """
        noise = self.run.noise_of(image)
        read = image if isinstance(image, np.ndarray | torch.Tensor | Images) else self.run.read(image)
        values = np.asarray(read.values if isinstance(read, Images) else read).reshape(1, *self.run.recipe.shape)
        self._begin(noise, values)

    def start_from(self, index: int) -> None:
        """Move the sliders to the codes of one of the run's held-out examples.

        Args:
            index: its number, from 0.

        Raises:
            ValueError: if there is no such example.
        """
        if not 0 <= index < self.num:
            raise ValueError(f"there is no held-out picture {index}; there are 0 to {self.num - 1}")
        values = self.run.examples[index : index + 1]
        self._begin(self._studio.noise_of(values), values)

    def draw(self) -> None:
        """Move the sliders to a new draw from the prior."""
        self._begin(self._studio.draw(self._next_seed(), self._prior), None)

    def resample(self, level: int) -> None:
        """Draw one level anew, given the others, and hold them.

        Args:
            level: its number, 1 nearest the data.

        Raises:
            ValueError: if there is no such level, or it has no code.
        """
        noise = self._studio.parse_noise(self.noise)
        self.noise = _numbers(self._studio.redraw(noise, level, self._next_seed(), self._prior))

    def reset(self, level: int) -> None:
        """Move one level back to where it started.

        Args:
            level: its number, 1 nearest the data.

        Raises:
            ValueError: if there is no such level, or it has no code.
        """
        self._studio.size_of(level)
        self.noise = [*self.noise[: level - 1], self._start[level - 1], *self.noise[level:]]

    @property
    def codes(self) -> tuple[np.ndarray, ...]:
        """The codes that the sliders stand for, as `run.decode` takes them: float32 (1, code size) per level."""
        return tuple(code.numpy() for code in self._studio.codes(self._studio.parse_noise(self.noise)))

    @property
    def image(self) -> Image.Image:
        """The picture as a PIL image."""
        return Image.open(BytesIO(self.picture))

    def __repr__(self) -> str:
        return f"LevelSliders({self.run.name})"

    def _begin(self, noise: Codes, values: np.ndarray | None) -> None:
        self._start = _numbers(noise)
        shape, opacity = self.run.recipe.shape, self.run.model.opacity
        of_values = (
            None if values is None else to_pictures_like(as_input(values), shape, self.run.examples, opacity=opacity)
        )
        self.original = b"" if of_values is None else _png(of_values[0])
        self.noise = self._start

    def _next_seed(self) -> int:
        self._seed += 1
        return self._seed

    @traitlets.validate("noise")
    def _check(self, proposal: dict[str, Any]) -> list[list[float]]:
        """Refuse numbers that do not fit the run, whoever sends them."""
        try:
            self._studio.parse_noise(proposal["value"])
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from error
        return proposal["value"]

    @traitlets.observe("noise")
    def _show(self, change: dict[str, Any]) -> None:
        self.picture = _png(self._studio.pictures(self._studio.parse_noise(change["new"]))[0])

    def _do(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Do what a button asks for; what goes wrong is told beside the buttons."""
        actions: dict[str, Callable[[], None]] = {
            "draw": self.draw,
            "start": lambda: self.start_from(int(content["index"])),
            "resample": lambda: self.resample(int(content["level"])),
            "reset": lambda: self.reset(int(content["level"])),
        }
        try:
            actions[content["action"]]()
            self.message = ""
        except (ValueError, KeyError, TypeError) as error:
            self.message = reason(error)


def _numbers(noise: Codes) -> list[list[float]]:
    return [[round(float(value), 4) for value in level[0]] for level in noise]


def _png(picture: Picture) -> bytes:
    stream = BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()
