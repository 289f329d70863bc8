"""What `vlae.train`, `vlae.evaluate` and the command line do with a run: one step, and what it leaves in the folder."""

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
    """The training, after which figures and page are drawn; the run is finished whatever becomes of these."""

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
    """Measures what every level of a run costs and carries.

    Args:
        run: of any model.
        images: what to measure it on, of the run's shape; at most 5,000 of them, chosen at random, are taken. None:
            the held-out part of what it was trained on; the result is then kept in its folder, as evaluation.json.
        complexity: the scores of the probes on pixels, from `vlae.evaluation.complexity.complexity_of` on similar
            images; None: they are measured on these images, which takes longest.
        importance_samples: for the importance-weighted bound on the log-likelihood; 0: not computed.
        beside: distinct runs of the same recipe and other seeds, for UDR.
        seed: of all that is drawn: codes, splits, probes.
        progress: say on the error output what is being measured.

    Returns:
        What JSON can hold: see `vlae.evaluation.measures.evaluate`.

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
    own = images is None
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
        say=_say if progress else _say_nothing,
    )
    if own:
        keep_evaluation(run, result)
    return result


def keep_evaluation(run: Run, result: Mapping[str, Any]) -> None:
    """Writes evaluation.json where a run's outputs go.

    Raises:
        WriteError: if it cannot be written.
    """
    with writing(run.outputs):
        run.outputs.mkdir(parents=True, exist_ok=True)
    with whole(run.outputs / EVALUATION) as file:
        file.write_text(json.dumps(result, indent=2, allow_nan=False))


def _say(what: str) -> None:
    print(f"measuring {what}", file=sys.stderr, flush=True)


def _say_nothing(what: str) -> None:
    pass
