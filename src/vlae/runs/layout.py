"""The names of the files in a run's folder, and how a new folder is made.

recipe.json           every setting, the source of the data, the versions and the machine
prior.safetensors     the prior that is fitted to the codes of the training data
model.safetensors     the weights; they are there only when the training is finished
summary.json          numbers on the held-out part of the data
evaluation.json       the measurements of `vlae evaluate`, if the run was evaluated
examples.npy          a few held-out data, so that figures can be drawn without the data set
metrics.csv           the training curves
figures/, report.html figures and report
index/                the index for search, if one was built
config.json           the SHA-256 of the files of a run that was shared
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
INDEX = "index"
MANIFEST = "config.json"
"""What the hub looks for in a repository of a model."""


class RunError(ValueError):
    """A run, or its folder, cannot be used; the message says why and what to do."""


def check_unlinked(path: Path) -> None:
    """Refuses a run's folder in which a file or folder that belongs to the run is a link.

    Files would be read, shared or written elsewhere on this machine, where a stranger's link leads.

    Args:
        path: the run's folder; it may be a link itself.

    Raises:
        RunError: if there is a link.
    """
    names = (RECIPE, MODEL, PRIOR, SUMMARY, EVALUATION, EXAMPLES, METRICS, CHECKPOINT, MANIFEST, FIGURES, REPORT, INDEX)
    for name in names:
        if (path / name).is_symlink():
            raise RunError(f"{path / name} is a link; copy the folder with what its links lead to, if you trust them")


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
