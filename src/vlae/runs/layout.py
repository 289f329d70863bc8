"""A run's folder: the names of its files, and how a new one is begun.

recipe.json           every setting, the source of the data, the versions and the machine
model.safetensors     the weights; present only when the training is finished
summary.json          figures on the held-out part of the data
evaluation.json       what `vlae evaluate` measured, if it was asked
examples.npy          a few held-out data, so that figures can be drawn where the data is not
metrics.csv           the training's curves
figures/, report.html pictures and page
checkpoint.ckpt       where a training goes on; gone when it is finished
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vlae.atomic import writing

RECIPE = "recipe.json"
MODEL = "model.safetensors"
SUMMARY = "summary.json"
EVALUATION = "evaluation.json"
EXAMPLES = "examples.npy"
METRICS = "metrics.csv"
CHECKPOINT = "checkpoint.ckpt"
FIGURES = "figures"
REPORT = "report.html"


class RunError(ValueError):
    """A run folder that is not what was asked for; says what it is and what to do."""


@contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """Makes a folder for a new run, and removes it again if nothing is written in it.

    Raises:
        RunError: if there is something in it already.
        WriteError: if the folder cannot be made.
    """
    with writing(path):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunError(f"{path} exists already; choose another --out, or go on with an unfinished run by --resume")
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):  # one that is not empty stays
            for folder in made:
                folder.rmdir()
