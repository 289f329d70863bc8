"""`vlae.widget`: the sliders of a run's levels in a notebook."""

from typing import TYPE_CHECKING

from vlae.data.source import Source
from vlae.errors import MissingExtraError
from vlae.models.priors import PriorName
from vlae.runs.run import Run

if TYPE_CHECKING:
    from vlae.notebook.sliders import LevelSliders


def widget(run: Run, image: Source | None = None, *, prior: PriorName = "fitted") -> "LevelSliders":
    """Show a slider for each dimension of each level's code, and the picture that the model makes of them.

    It works in Jupyter, VS Code, Colab and marimo, and loads nothing from elsewhere. Keep it by a name,
    `w = vlae.widget(run)`: `w.codes` are the codes at which the sliders stand, `w.image` is the picture.

    Args:
        run: a finished run of any model.
        image: where the sliders start: a picture file, or an array of one datum. None: the first held-out picture, or
            a draw from the prior if there is none or the model has no encoder.
        prior: what levels are drawn from: "fitted" to the codes of the training data, or "standard", N(0, I).

    Raises:
        MissingExtraError: if anywidget is not installed.
        ValueError: if the image or the prior does not fit the run.
        NotDefinedError: if an image is given and the model has no encoder.
    """
    try:
        import anywidget  # noqa: F401
    except ImportError as error:
        raise MissingExtraError('the widget needs anywidget; install it with: pip install "vlae[notebook]"') from error
    from vlae.notebook.sliders import LevelSliders

    return LevelSliders(run, image, prior=prior)
