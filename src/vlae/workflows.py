"""`vlae.train` and `vlae.evaluate`: the steps that end with a report or a file in the run's folder."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from vlae import recipes
from vlae.atomic import WriteError, whole, writing
from vlae.data.images import Images
from vlae.evaluation import measures
from vlae.evaluation.complexity import ProbeScores
from vlae.evaluation.factors import subset
from vlae.report import page
from vlae.runs.layout import EVALUATION
from vlae.runs.run import Run
from vlae.training.loop import is_leader
from vlae.training.train import train as train_alone

P = ParamSpec("P")


def _with_report(training: Callable[P, Run]) -> Callable[P, Run]:
    """Makes a training draw figures and page at its end; the run is finished even if these fail."""

    @wraps(training)
    def train(*args: P.args, **settings: P.kwargs) -> Run:
        run = training(*args, **settings)
        if is_leader():
            if settings.get("progress", True):
                print("drawing figures", file=sys.stderr, flush=True)
            later = f"the run in {run.path} is finished; draw its figures and page with: vlae report {run.path}"
            try:
                page.write(run)
            except WriteError as error:
                print(f"{error}\n{later}", file=sys.stderr)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(later) from None
        return run

    return train


train = _with_report(train_alone)


def evaluate(
    run: Run,
    images: Images | None = None,
    *,
    complexity: ProbeScores | None = None,
    importance_samples: int = 0,
    beside: Sequence[Run] = (),
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Measures the rate of every level of a run, and the information that its code carries.

    Args:
        run: a run of any model.
        images: data of the run's shape; at most 5,000 of them, chosen at random, are used. None: the held-out part of
            the run's data; the result is then written to evaluation.json in its folder.
        complexity: the result of `vlae.evaluation.complexity.complexity_of` for data of this kind. None: it is
            measured, which takes longest.
        importance_samples: samples per datum in the bound on the log-likelihood, from 1 up; 0: no such bound.
        beside: other runs, with the same recipe and other seeds, for UDR.
        seed: seed of codes, splits and probes.
        progress: print on the error output what is being measured.

    Returns:
        The measurements, ready for JSON, in the form of `vlae.evaluation.measures.evaluate`.

    Raises:
        ValueError: if the images are not of the run's shape or range, a run beside is not of its recipe, or complexity
            leaves out what is judged.
        DataError: if the data the run was trained on cannot be read again.
        WriteError: if the result cannot be written.
    """
    if any(other.path.resolve() == run.path.resolve() for other in beside):
        raise ValueError(f"{run.path} is given beside itself; UDR compares it with runs of other seeds")
    if any(recipes.adjust(other.recipe, seed=0) != recipes.adjust(run.recipe, seed=0) for other in beside):
        raise ValueError("UDR compares runs of one recipe and different seeds; a run beside has another recipe")
    of_run = images is None
    images = subset(run.part("test") if images is None else images, seed)
    others = []
    if beside and images.shape == run.recipe.shape:
        values = np.ascontiguousarray(images.values)
        others = [np.concatenate(other.encode(values), axis=1) for other in beside]
    result = measures.evaluate(
        run.model,
        images,
        complexity=complexity,
        importance_samples=importance_samples,
        others=others,
        seed=seed,
        say=_print_measuring if progress else _print_nothing,
    )
    if of_run:
        keep_evaluation(run, result)
    return result


def keep_evaluation(run: Run, result: Mapping[str, Any]) -> None:
    """Writes evaluation.json to `run.outputs`.

    Args:
        run: the run.
        result: the measurements.

    Raises:
        WriteError: if it cannot be written.
    """
    with writing(run.outputs):
        run.outputs.mkdir(parents=True, exist_ok=True)
    with whole(run.outputs / EVALUATION) as file:
        file.write_text(json.dumps(result, indent=2, allow_nan=False))


def _print_measuring(what: str) -> None:
    print(f"measuring {what}", file=sys.stderr, flush=True)


def _print_nothing(what: str) -> None:
    pass
