"""Reads and writes the files of a run's folder; their names are in `vlae.runs.layout`."""

import csv
import json
import platform
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from vlae.atomic import whole, writing
from vlae.data.networks import recalled
from vlae.errors import reason
from vlae.evaluation.text import as_text
from vlae.models.base import LatentModel
from vlae.models.priors import MixturePrior, PriorFit
from vlae.recipes.recipe import Recipe
from vlae.runs import forms, safe_load
from vlae.runs.layout import (
    COMPARED,
    EVALUATION,
    EXAMPLES,
    HELD_OUT,
    METRICS,
    MODEL,
    ONNX,
    OUTDATED,
    OUTDATED_ONNX,
    PRIOR,
    RECIPE,
    SUMMARY,
    RunError,
)
from vlae.shapes import is_image

VERSIONS = ("vlae", "torch", "lightning", "numpy")
"""The packages whose versions recipe.json records."""


class Results(NamedTuple):
    """What a training leaves behind."""

    model: LatentModel
    """The trained model, on the CPU."""
    summary: dict[str, Any]
    """Numbers on held-out data, from `vlae.evaluation.rates.summarise`."""
    examples: np.ndarray
    """Held-out data, uint8 or float32 (n, C, H, W), or float32 (n, D)."""


def write_recipe(path: Path, recipe: Recipe, data: dict[str, Any]) -> None:
    """Writes recipe.json: all that is needed to train the run again.

    Args:
        path: the run's folder.
        recipe: the settings of the training.
        data: the source of the data and the settings with which it is read.

    Raises:
        WriteError: if the file cannot be written.
    """
    record = {
        **recipe.as_dict(),
        "data": data,
        "versions": {name: version(name) for name in VERSIONS},
        "machine": {
            "python": platform.python_version(),
            "system": platform.platform(),
            "threads": torch.get_num_threads(),
        },
    }
    with whole(path / RECIPE) as file:
        file.write_text(json.dumps(record, indent=2))


def read_recipe(path: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a run and how its data is read, whether the run is finished or not.

    Args:
        path: the run's folder.

    Raises:
        RunError: if the folder holds no run.
    """
    try:
        record = safe_load.read_json(path / RECIPE, limit=safe_load.MAX_RECIPE)
        recipe, data = Recipe.from_dict(record), record["data"]
        if not isinstance(data, dict) or not isinstance(data.get("source"), str):
            raise ValueError("it does not name the source of the data")
        if is_image(recipe.shape):
            data.setdefault("fit", "crop")  # all pictures were cut to squares before there was a choice
        if "features" in data:
            recalled(data["features"])
        return recipe, data
    except FileNotFoundError as error:
        raise RunError(f"{path} holds no run: there is no {RECIPE} in it") from error
    except Exception as error:  # a stranger's file raises almost anything
        raise RunError(f"{path / RECIPE} cannot be read: {reason(error)}") from error


def write_results(path: Path, results: Results, prior: MixturePrior, held_out: np.ndarray) -> None:
    """Writes the results of a training. The weights come last: a run that has its weights has everything.

    Those of a shorter training are replaced. Its evaluation is set aside as evaluation-old.json, its export as
    onnx-old, and the evaluation of a comparison is removed. Then the summary comes last, which says how far the
    weights were trained: a killed process is known by it, and the training resumed.

    Args:
        path: the run's folder.
        results: the model, its summary and its examples.
        prior: fitted to the codes of the training data.
        held_out: the hashes of the held-out data (`vlae.data.content.content_hashes`), int64 (n,).

    Raises:
        WriteError: if a file cannot be written.
    """
    from safetensors.torch import save as to_bytes

    for leftover in path.glob(".*.[0-9]*"):  # a process that was killed may leave a file half-written
        leftover.unlink()
    state = {name: tensor.contiguous() for name, tensor in results.model.state_dict().items()}
    summary = json.dumps(results.summary, indent=2, allow_nan=False)
    writers: dict[str, Callable[[Path], Any]] = {
        MODEL: lambda file: file.write_bytes(to_bytes(state)),
        PRIOR: lambda file: file.write_bytes(_prior_as_bytes(prior, safe_load.hash_tensors(state))),
        SUMMARY: lambda file: file.write_text(summary),
        HELD_OUT: lambda file: _write_array(file, held_out),
        EXAMPLES: lambda file: _write_array(file, results.examples),
    }
    last = SUMMARY if (path / MODEL).exists() else MODEL  # by which it is known whether the training is finished
    with ExitStack() as replaced:  # all are written before the first gets its name
        for name in sorted(writers, key=lambda name: name != last):
            file = replaced.enter_context(whole(path / name))
            with writing(path / name):
                writers[name](file)
        with writing(path / EVALUATION), suppress(FileNotFoundError):
            (path / EVALUATION).replace(path / OUTDATED)
        with writing(path / COMPARED):
            (path / COMPARED).unlink(missing_ok=True)
        if (path / ONNX).is_dir():
            with writing(path / ONNX):
                shutil.rmtree(path / OUTDATED_ONNX, ignore_errors=True)
                (path / ONNX).replace(path / OUTDATED_ONNX)


def _write_array(file: Path, array: np.ndarray) -> None:
    with file.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


def set_aside_undated(folder: Path) -> None:
    """Sets an evaluation aside that does not say of which prior it is, as those of earlier versions do not.

    Args:
        folder: where the run writes.
    """
    with suppress(ValueError, OSError):
        if "of" not in safe_load.read_json(folder / EVALUATION):
            (folder / EVALUATION).replace(folder / OUTDATED)


def write_prior(file: Path, prior: MixturePrior, weights: str) -> None:
    """Writes a prior, in float32, with what it was fitted to.

    Args:
        file: the file to write.
        prior: fitted to the codes of a run's training data.
        weights: the hash of the run's weights (`vlae.runs.safe_load.hash_weights`).

    Raises:
        WriteError: if it cannot be written.
    """
    with whole(file) as partial:
        partial.write_bytes(_prior_as_bytes(prior, weights))


def _prior_as_bytes(prior: MixturePrior, weights: str) -> bytes:
    """A prior, in float32, with what it was fitted to, as a safetensors file."""
    from safetensors.torch import save as to_bytes

    rows, columns = torch.tril_indices(prior.means.shape[1], prior.means.shape[1])
    tensors = {"weights": prior.weights, "means": prior.means, "factors": prior.factors[:, rows, columns]}
    about = json.dumps({**asdict(prior.fit or PriorFit()), "weights": weights})
    stored = {name: tensor.float().contiguous() for name, tensor in tensors.items()}
    return to_bytes(stored, metadata={"vlae": about})


def read_results(path: Path, recipe: Recipe, *, with_examples: bool = True) -> Results:
    """The results of a finished training.

    Args:
        path: the run's folder.
        recipe: the run's recipe.
        with_examples: whether to read the held-out examples; without them there are none (n = 0).

    Raises:
        ValueError: if a file is damaged, or does not fit the recipe.
        OSError: if a file cannot be read.
    """
    model = safe_load.read_model(path / MODEL, recipe)
    summary = safe_load.read_json(path / SUMMARY)
    _check(path / SUMMARY, summary, forms.SUMMARY, recipe.code_sizes)
    examples = safe_load.read_examples(path / EXAMPLES if with_examples else None, recipe)
    return Results(model, summary, examples)


def read_curves(path: Path) -> dict[str, list[float]]:
    """The training curves in metrics.csv: for each column, its values from the first row to the last.

    Args:
        path: the run's folder.

    Raises:
        RunError: if the file is damaged.
    """
    file = path / METRICS
    try:
        safe_load.check_regular(file)
        with file.open(newline="", encoding="utf-8") as stream:
            header, *rows = list(csv.reader(stream)) or [[]]
        columns = {name: [float(row[column]) for row in rows] for column, name in enumerate(header)}
        if any(len(row) != len(header) for row in rows) or len(columns) != len(header):
            raise ValueError("its rows differ in length, or two columns have one name")
    except (ValueError, IndexError, csv.Error, OSError) as error:
        raise RunError(f"{file} cannot be read ({reason(error)}); get the run's folder again") from error
    return columns


def read_evaluation(file: Path, code_sizes: tuple[int, ...]) -> dict[str, Any]:
    """The measurements in an evaluation.json.

    Args:
        file: of `vlae evaluate`.
        code_sizes: dimensions of every level's code of the run, level 1 first.

    Raises:
        ValueError: if the file is damaged or incomplete.
        OSError: if it cannot be read.
    """
    evaluation = safe_load.read_json(file)
    _check(file, evaluation, forms.EVALUATION, code_sizes)
    try:
        as_text(evaluation)
    except Exception as error:  # its parts do not fit each other
        raise ValueError(f"{file.name} is incomplete, or of another version: {reason(error)}") from error
    return evaluation


def _check(file: Path, content: dict[str, Any], form: Any, code_sizes: tuple[int, ...]) -> None:
    try:
        forms.check(content, form, code_sizes)
    except ValueError as error:
        raise ValueError(f"{file.name} is incomplete, or of another version: {error}") from error
