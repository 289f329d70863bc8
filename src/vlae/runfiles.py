"""The files of a run's folder: their names, and how they are written whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

RECIPE, MODEL, SUMMARY, EVALUATION, EXAMPLES, METRICS, CHECKPOINT = (
    "recipe.json",
    "model.safetensors",
    "summary.json",
    "evaluation.json",
    "examples.npy",
    "metrics.csv",
    "checkpoint.ckpt",
)


class RunError(ValueError):
    """A run folder that is not what was asked for; says what it is and what to do."""


class MissingExtraError(ImportError, ValueError):
    """A part of vlae whose packages are not installed; says how to install them."""


@contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """A new folder for a run, gone again if nothing comes to be written in it.

    Raises:
        RunError: if there is something already, or the folder cannot be made.
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


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which takes its place only when all is written.

    Raises:
        RunError: if it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says of an error of the disk what could not be written, and what to do.

    Raises:
        RunError: in its place.
    """
    try:
        yield
    except OSError as error:
        advice = (
            "make room, then --resume goes on with what is kept"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "choose another --out, in a folder you may write to"
        )
        raise RunError(f"{path} cannot be written ({error.strerror or error}); {advice}") from error
