"""A figure of a model that is still being trained, in the run's folder and on terminals that can show pictures."""

import time
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vlae.errors import reason
from vlae.evaluation.rates import STARVED_NATS, rates_of
from vlae.figures import canvas
from vlae.figures.panels import rows
from vlae.models.base import LatentModel
from vlae.models.inference import as_input, evaluating, given
from vlae.names import printable
from vlae.runs.layout import PREVIEW
from vlae.training.terminal import Screen

if TYPE_CHECKING:
    from vlae.training.loop import Recorder

FIRST = 8.0
"""Seconds of training after which the first preview is drawn."""

RENEWED, SHOWN = 1.5, 4.0
"""The next is drawn after so many times the seconds of the last; and shown on a terminal after so many."""

SHARE = 0.01
"""The most of the time between two previews that drawing one may take."""

NUM = 8  # pictures in a row


class Preview:
    """Draws held-out pictures, their reconstructions, and a row for each level that is drawn anew; after each step.

    The intervals grow, so that the previews take less than one per cent of the time from the first on. A preview that
    cannot be drawn stops no training.

    Args:
        values: held-out images, uint8 or floats in [0, 1], (N, C, H, W).
        features: of the full-size pictures, (N, F); None: there are none.
        path: the run's folder.
        screen: where it is shown, too; None: nowhere.
    """

    def __init__(self, values: np.ndarray, features: np.ndarray | None, path: Path, screen: Screen | None):
        chosen = np.linspace(0, len(values) - 1, min(NUM, len(values))).round().astype(int)
        self.x = as_input(values[chosen])
        self.features = None if features is None else features[chosen]
        self.file, self.screen = path / PREVIEW, screen
        self.due, self.shown_due = FIRST, FIRST
        self.said = False

    def __call__(self, recorder: "Recorder") -> None:
        """Draws a preview if it is time for one.

        Args:
            recorder: knows the model, and the seconds of training so far.
        """
        seconds = recorder.engine.seconds
        if seconds < self.due:
            return
        begun = time.monotonic()
        try:
            self._draw(recorder)
        except Exception as error:  # whatever it is, the training goes on
            recorder.say(f"preview   none: {reason(error)}")
            self.due = inf
            return
        self.due = max(RENEWED * seconds, seconds + (time.monotonic() - begun) / SHARE)

    def _draw(self, recorder: "Recorder") -> None:
        engine = recorder.engine
        picture = preview(engine.model, self.x, self.features, step=engine.global_step)
        canvas.save(picture, self.file)
        if not self.said:
            self.said = True
            recorder.say(f"preview   {printable(str(self.file))}, renewed as it trains")
        if self.screen is not None and engine.seconds >= self.shown_due:
            self.shown_due = SHOWN * engine.seconds
            recorder.say(self.screen(picture))


def preview(
    model: LatentModel, x: Tensor, features: np.ndarray | None = None, *, step: int, seed: int = 0
) -> canvas.Picture:
    """Held-out pictures, their reconstructions, and a row for each level: it alone is drawn anew from N(0, I).

    A level has a row once it carries something: from one nat up. A model without an encoder has one row, of samples.

    Args:
        model: any model of images, in any mode, which it keeps.
        x: held-out images, float in [0, 1], (n, C, H, W).
        features: of the full-size pictures, (n, F); None: there are none.
        step: the number of training steps that the model has had.
        seed: of the draws.

    Returns:
        The figure, uint8 (H, W, 3).
    """
    generator = torch.Generator().manual_seed(seed)
    num = len(x)
    with evaluating(model):
        drawn = model.draw_noise(num, generator)
        if "encoder" in model.lacks:
            return _titled(model, {"drawn anew": model.decode(model.place(drawn))}, step)
        posteriors = model.infer(x.to(model.device), **given(features, device=model.device))
        noise = model.noise_of(tuple(q.mean for q in posteriors))
        nats = rates_of(model, posteriors).mean(1).tolist()
        levels = [level for level in model.levels_with_code if nats[level - 1] >= STARVED_NATS]
        parts = [noise, *((*noise[: level - 1], drawn[level - 1], *noise[level:]) for level in levels)]
        every = model.decode(model.place(tuple(torch.cat(part) for part in zip(*parts, strict=True)))).cpu()
    titles = ["held out", "reconstructed", *(f"level {level} anew" for level in levels)]
    return _titled(model, dict(zip(titles, [x, *every.split(num)], strict=True)), step)


def _titled(model: LatentModel, titled: Mapping[str, Tensor], step: int) -> canvas.Picture:
    words = f"after {step:,} steps" + "; below, one level at a time is drawn anew" * (len(titled) > 2)
    return canvas.grid([canvas.text(words), rows(model, list(titled.items()))], 1, 4 * canvas.GAP)
