"""Writes the folder of a run from a fitted estimator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vlae.data.content import content_hashes, digest
from vlae.data.source import ValueRange
from vlae.evaluation.prior_fit import fit_prior
from vlae.evaluation.rates import summarise
from vlae.models.base import LatentModel
from vlae.recipes import Recipe
from vlae.report import page
from vlae.runs.layout import METRICS, new_folder
from vlae.runs.opening import NUM_EXAMPLES
from vlae.runs.run import Run
from vlae.runs.store import Results, write_recipe, write_results
from vlae.training.curves import Curves


def write_run(
    path: Path,
    *,
    model: LatentModel,
    recipe: Recipe,
    train: np.ndarray,
    test: np.ndarray,
    columns: tuple[str, ...],
    value_range: ValueRange | None,
    white: int | None,
    history: Mapping[str, np.ndarray],
) -> Run:
    """Writes everything that a training writes, with figures and report.

    Args:
        path: the folder, new or empty.
        model: the trained model, on the CPU, in single precision.
        recipe: the settings of the training.
        train: what it was trained on, floats in [0, 1], (N, C, H, W); or vectors (N, D).
        test: what it was not trained on, of the same form.
        columns: the names of the columns of vectors; () if they have none.
        value_range: the own numbers of images that are 0 and 1, of each channel; None: 8 bits.
        white: the whole number that is white in images of 8 bits, 1 or 255. None: a table, or a wider range.
        history: the training curves, by column.

    Raises:
        RunError: if there is something in the folder already.
        WriteError: if a file cannot be written.
    """
    held_out = content_hashes(test)
    data: dict[str, Any] = {
        "source": "an array",
        "value_range": value_range,
        "content": digest(content_hashes(train), held_out),
        "estimator": True,
    }
    if white is not None:
        data["white"] = white
    with new_folder(path):
        summary = summarise(model, test, columns=columns)
        if columns:  # what a missing value of another table becomes
            summary["column_medians"] = dict(zip(columns, np.median(train, axis=0).tolist(), strict=True))
        results = Results(model, summary, np.array(test[:NUM_EXAMPLES]))
        prior = fit_prior(model, train, seed=recipe.training.seed)
        write_recipe(path, recipe, data)
        if history:
            curves = Curves(path / METRICS, list(history))
            curves.keep_until(0)
            for step, *others in zip(*history.values(), strict=True):
                curves.add([int(step), *map(float, others)])
        write_results(path, results, prior, held_out)
    run = Run(path=path, recipe=recipe, data=data, **results._asdict())
    page.write(run)
    return run
