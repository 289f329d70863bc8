"""The names of the files in a run's folder, and how a new folder is made.

recipe.json           every setting, the source of the data, the versions and the machine
prior.safetensors     the prior that is fitted to the codes of the training data
model.safetensors     the weights of a finished training; with a checkpoint beside them, more is being trained
summary.json          numbers on the held-out part of the data
evaluation.json       the measurements of `vlae evaluate`, if the run was evaluated
evaluation-compared.json  those of `vlae compare`, if the run has others in evaluation.json
evaluation-old.json   those of the weights that were here before the run was trained further
onnx/                 what `vlae export` wrote
onnx-old/             the same of the weights that were here before the run was trained further
gibbs.json            the measurements of `vlae study gibbs`, if it followed the run's chains
examples.npy          a few held-out data, so that figures can be drawn without the data set
metrics.csv           the training curves
figures/, report.html figures and report
index/                the index for search, if one was built
tensorboard/          the training curves for TensorBoard, if it is installed
config.json           the SHA-256 of the files of a run that was shared
checkpoint.ckpt       from where a training is resumed; deleted when it is finished as planned
preview.png           how far a training is, in pictures; deleted when it is finished
held_out.npy          hashes of the held-out data, which stay held out if the source changes
.lock                 is there while a process trains in the folder
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from vlae.atomic import beside, locked, remove, writing
from vlae.names import quoted

RECIPE = "recipe.json"
MODEL = "model.safetensors"
PRIOR = "prior.safetensors"
SUMMARY = "summary.json"
EVALUATION = "evaluation.json"
COMPARED = "evaluation-compared.json"
OUTDATED = "evaluation-old.json"
ONNX, OUTDATED_ONNX = "onnx", "onnx-old"
EXAMPLES = "examples.npy"
METRICS = "metrics.csv"
CHECKPOINT = "checkpoint.ckpt"
HELD_OUT = "held_out.npy"
LOCK = ".lock"
FIGURES = "figures"
REPORT = "report.html"
INDEX = "index"
TENSORBOARD = "tensorboard"
MANIFEST = "config.json"
"""What the hub looks for in a repository of a model."""


PREVIEW = "preview.png"
"""How far a training is, in pictures; it is deleted when the training is finished."""

SHIPPED = ("mnist", "streets")
"""Small trained ladders that come with the package."""

ON_HUB = "hf:"
"""What the name of a run on the Hugging Face hub begins with."""


class RunError(ValueError):
    """A run, or its folder, cannot be used; the message says why and what to do."""


class Place(NamedTuple):
    """Where a run is."""

    path: Path
    """Its folder."""
    borrowed: str | None
    """Owner and name of a run in a read-only folder; None: the folder is the user's own."""

    @property
    def outputs(self) -> Path:
        """Where what is made of the run is written: its folder, or runs/OWNER--NAME for a borrowed run."""
        return self.path if self.borrowed is None else Path("runs") / self.borrowed.replace("/", "--")


def shipped_folder(name: str) -> Path:
    """The folder of a ladder that comes with the package.

    Args:
        name: one of `SHIPPED`.
    """
    return Path(__file__).parent / "pretrained" / name


def find_run(name: str | Path) -> Place:
    """Where a run is, without reading or downloading anything.

    Args:
        name: a folder; "streets" or "mnist", if no run's folder here has this name; or "hf:USER/NAME".

    Returns:
        The place. The path of a run on the hub is its name.

    Raises:
        FileNotFoundError: if there is no such folder.
        RunError: if the folder holds no run.
    """
    path = Path(name)
    if str(name).startswith(ON_HUB):
        return Place(path, str(name).removeprefix(ON_HUB))
    if str(name) in SHIPPED and not (path / RECIPE).exists():
        return Place(shipped_folder(str(name)), f"vlae/{name}")
    if not path.is_dir():
        raise FileNotFoundError(
            f"there is no run folder {path}; train one with: vlae train DATA --out {quoted(path)}; "
            f"take one that ships with vlae: {', '.join(SHIPPED)}; or one on the hub: {ON_HUB}USER/NAME"
        )
    if not (path / RECIPE).exists():
        raise RunError(f"{path} holds no run: there is no {RECIPE} in it")
    return Place(path, None)


def source_name(source: Any) -> str:
    """The name of a source, for the name of a run's folder.

    Args:
        source: a folder, a file, a name, an array or `Images`.
    """
    if not isinstance(source, str | Path):
        return "array"
    path = Path(source)
    if path.exists():
        return path.resolve().stem or "data"
    return (
        re.sub(r"\W*(\{.*\}|[*?]+)(\.\w+)*", "", path.name.replace(":", "-")) or "data"
    )  # of a pattern, what is fixed


def default_folder(source: Any) -> Path:
    """The folder of a run if none is named.

    Args:
        source: a folder, a file, a name, an array or `Images`.
    """
    return Path("runs") / source_name(source)


def check_unlinked(path: Path) -> None:
    """Refuses a run's folder in which a file or folder that belongs to the run is a link.

    Files would be read, shared or written elsewhere on this machine, where a stranger's link leads.

    Args:
        path: the run's folder; it may be a link itself.

    Raises:
        RunError: if there is a link.
    """
    files = (RECIPE, MODEL, PRIOR, SUMMARY, EVALUATION, COMPARED, OUTDATED, EXAMPLES, HELD_OUT, METRICS, CHECKPOINT)
    for name in (*files, MANIFEST, LOCK, PREVIEW, FIGURES, REPORT, INDEX, TENSORBOARD):
        if (path / name).is_symlink():
            raise RunError(f"{path / name} is a link; copy the folder with what its links lead to, if you trust them")


@contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """Makes a folder for a new run, in which this process alone trains; removes it if the block leaves nothing in it.

    Args:
        path: the folder, which does not exist yet or is empty. What a process that was killed at its very beginning has
            left is removed.

    Raises:
        RunError: if there is something in the folder already.
        WriteError: if the folder cannot be made, or another process trains there.
    """
    with writing(path):
        if not (path / LOCK).exists():
            _check_empty(path)
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
    try:
        with training_in(path):
            _check_empty(path)
            yield
    finally:
        with suppress(OSError):  # a folder that is not empty stays
            for folder in made:
                folder.rmdir()


@contextmanager
def training_in(path: Path) -> Iterator[None]:
    """Lets this process alone train in a folder.

    Args:
        path: the folder, which exists.

    Raises:
        WriteError: if another process trains there, which is named; or if the folder cannot be written.
    """
    with locked(path / LOCK, f"trains in {path}", "choose another --out (out=)"):
        yield


def is_unbegun(path: Path) -> bool:
    """Whether there is nothing at a path but what a process that was killed at its very beginning leaves.

    Args:
        path: a folder, a file, or a path where nothing is.
    """
    return not path.exists() or (path.is_dir() and not _content(path)[1])


def _content(path: Path) -> tuple[list[Path], list[Path]]:
    """What a folder has of a recipe that a killed process has left half-written, and all else but the lock."""
    half = beside(path / RECIPE, "").name
    content = [file for file in path.iterdir() if file.name != LOCK]
    left = [file for file in content if file.name.startswith(half)]
    return left, [file for file in content if file not in left]


def _check_empty(path: Path) -> None:
    """Refuses a folder with something in it, and removes a recipe that a killed process has left half-written."""
    if not path.exists():
        return
    if not is_unbegun(path):
        raise RunError(
            f"{path} exists already; choose another folder, or go on with an unfinished run (--resume, resume=True)"
        )
    for file in _content(path)[0]:
        remove(file)
