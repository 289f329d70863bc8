"""The names of the files in a run's folder, and how a new folder is made.

recipe.json           every setting, the source of the data, the versions and the machine
prior.safetensors     the prior that is fitted to the codes of the training data
model.safetensors     the weights; they are there only when the training is finished
summary.json          numbers on the held-out part of the data
evaluation.json       the measurements of `vlae evaluate`, if the run was evaluated
examples.npy          a few held-out data, so that figures can be drawn without the data set
metrics.csv           the training curves
figures/, report.html figures and report
checkpoint.ckpt       from where a training is resumed; deleted when it is finished
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vlae.atomic import writing

RECIPE = "recipe.json"
MODEL = "model.safetensors"
PRIOR = "prior.safetensors"
SUMMARY = "summary.json"
EVALUATION = "evaluation.json"
EXAMPLES = "examples.npy"
METRICS = "metrics.csv"
CHECKPOINT = "checkpoint.ckpt"
FIGURES = "figures"
REPORT = "report.html"


class RunError(ValueError):
    """A run, or its folder, cannot be used; the message says why and what to do."""


@contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """Makes a folder for a new run, and removes it again if the block writes nothing into it.

    Args:
        path: the folder, which does not exist yet or is empty.

    Raises:
        RunError: if there is something in the folder already.
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
        with suppress(OSError):  # a folder that is not empty stays
            for folder in made:
                folder.rmdir()
