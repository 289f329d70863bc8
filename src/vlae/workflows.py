"""`vlae.train` and `vlae.evaluate`: the steps that end with a report or a file in the run's folder."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
import torch

from vlae import recipes
from vlae.atomic import whole, writing
from vlae.data.images import Images
from vlae.data.in_memory import IN_MEMORY
from vlae.data.source import Source
from vlae.errors import check_seed, check_whole
from vlae.evaluation import measures
from vlae.evaluation.cautions import FAR, far_columns
from vlae.evaluation.complexity import ProbeScores
from vlae.evaluation.factors import subset
from vlae.evaluation.feature_spaces import network
from vlae.models.base import LatentModel
from vlae.models.devices import device_of, measuring_device, or_on_the_processor
from vlae.names import quoted, some_of
from vlae.nn.components import PrincipalComponents
from vlae.report import page
from vlae.runs.layout import EVALUATION
from vlae.runs.opening import load
from vlae.runs.run import Run
from vlae.training.train import train as train_alone
from vlae.training.trainer import is_leader

P = ParamSpec("P")

ENOUGH = 1_000  # held-out data; with fewer, probes use all data of the run


def _with_report(training: Callable[P, Run]) -> Callable[P, Run]:
    """Makes a training draw figures and page at its end, where it trained; the run is finished even if these fail."""

    @wraps(training)
    def train(*args: P.args, **settings: P.kwargs) -> Run:
        run = training(*args, **settings)
        if is_leader():
            if settings.get("progress", True):
                print("drawing figures", file=sys.stderr, flush=True)
            later = f"the run in {run.path} is finished; draw its figures and page with: vlae report {quoted(run.path)}"
            try:
                device = measuring_device(device_of(str(settings.get("accelerator", "auto"))))
                or_on_the_processor(run.model, device, lambda model: page.write(replace(run, model=model)))
            except Exception as error:  # whatever it is, hours of training are not lost by it
                print(f"the page is not drawn: {error or type(error).__name__}\n{later}", file=sys.stderr)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(later) from None
        return run

    return train


train = _with_report(train_alone)


def evaluate(
    run: Run | str | Path,
    images: Source | None = None,
    *,
    complexity: ProbeScores | None = None,
    features: str | Path | None = None,
    features_side: int | None = None,
    importance_samples: int = 0,
    beside: Sequence[Run] = (),
    seed: int = 0,
    progress: bool = False,
    keep: bool = True,
) -> dict[str, Any]:
    """Measures the rate of every level of a run, the information that its code carries, and how good the pictures are.

    Args:
        run: a run of any model, or what `vlae.load` takes: its folder, or the name of one that ships.
        images: data: `Images`, or a folder, a file, an array or anything else that `vlae.data.load` reads; pictures of
            another size are cropped and resized like the training images. At most 5,000 of them, chosen at random, are
            used. None: the held-out part of the run's data; the result is then written to evaluation.json in its
            folder. If fewer than 1,000 are held out, probes are fitted and scored on all data of the run, each datum by
            probes fitted to others, and pictures are compared with these, too; cautions say so of pictures, and of
            labels that the run learned from.
        complexity: the result of `vlae.evaluation.complexity.complexity_of` for data of this kind. None: it is
            measured.
        features: a network in whose outputs pictures are compared: a .pt, .pt2 or .onnx file, "timm:NAME" or
            "hf:USER/NAME" (`vlae.evaluation.feature_spaces.network`). None: 32 principal components of the pixels.
        features_side: the side in pixels to which pictures are resized for that network; None: as it declares, or not
            at all.
        importance_samples: samples per datum in the bound on the log-likelihood, from 1 up; 0: no such bound.
        beside: other runs, with the same recipe and other seeds, for UDR.
        seed: seed of codes, splits and probes, from 0 to 2³² - 1.
        progress: print on the error output what is being measured.
        keep: whether the result is written to the run's folder, where `images` is None.

    Returns:
        The measurements, ready for JSON, in the form of `vlae.evaluation.measures.evaluate`.

    Raises:
        ValueError: if the images cannot be brought to the run's shape and range, a run beside is not of its recipe,
            complexity leaves out what is judged, or there are more than 100,000 importance samples.
        DataError: if the data the run was trained on cannot be read again.
        WriteError: if the result cannot be written.
    """
    seed, importance_samples = check_seed(seed), check_whole("importance_samples", importance_samples, 0)
    run, of_run = run if isinstance(run, Run) else load(run), images is None
    if any(other.path.resolve() == run.path.resolve() for other in beside):
        raise ValueError(f"{run.path} is given beside itself; UDR compares it with runs of other seeds")
    if any(recipes.adjust(other.recipe, seed=0) != recipes.adjust(run.recipe, seed=0) for other in beside):
        raise ValueError("UDR compares runs of one recipe and different seeds; a run beside has another recipe")
    if features is None and features_side is not None:
        raise ValueError("features_side is the side of a feature network's pictures; give its file or name, too")
    space = None if features is None else network(features, run.recipe.shape, side=features_side)
    if images is not None:
        is_fit = isinstance(images, Images) and (images.is_vectors or images.shape == run.recipe.shape)
        images = run.fitted(images) if is_fit else run.read(images, progress=progress)
        is_own = images.source == run.data["source"] and images.source not in IN_MEMORY
        if not is_own and (names := far_columns(run.model, images, quantile=0.5)):
            raise ValueError(
                f"{images.source}: most values of {some_of(names)} are more than {FAR:,} standard deviations from the "
                "mean of what the model was trained on; give data in the same units, column by column"
            )
    images, probed = measured_on(run, images, seed=seed)
    of = run.made_of  # before it takes long: the prior may be fitted again meanwhile
    others = []
    if beside and images.shape == run.recipe.shape:
        others = [np.concatenate(other.encode(probed), axis=1) for other in beside]
    result = measures.evaluate(
        run.model,
        images,
        probed=probed,
        untrained=untrained(run, seed) if "encoder" not in run.model.lacks else None,
        complexity=complexity,
        features=space,
        prior=run.prior,
        importance_samples=importance_samples,
        others=others,
        seed=seed,
        say=_print_measuring if progress else _print_nothing,
    )
    if len(probed) > len(images):
        said = [compared_with_trained(len(images), len(probed))] if result.get("pictures") else []
        if run.model.class_names and probed.labels is not None:
            said = [remembered_labels(len(images), len(probed)), *said]
        result["cautions"] = [*said, *result.get("cautions", ())]
    if run.shortfalls:
        result["cautions"] = [*run.shortfalls, *result.get("cautions", ())]
    result["of"] = of
    if keep and of_run:
        keep_evaluation(run, result)
    return result


def measured_on(run: Run, images: Images | None = None, *, seed: int = 0) -> tuple[Images, Images]:
    """The data on which a run is measured, and those that are probed: for probes on codes, and to compare pictures.

    Args:
        run: a run of any model.
        images: data of the run's shape; None: the held-out part of the run's data, and if these are fewer than 1,000,
            all data of the run to be probed.
        seed: of the choice of at most 5,000.

    Raises:
        DataError: if the data the run was trained on cannot be read again.
    """
    if images is not None and run.features_of(images) is None:
        images = replace(images, features=None, features_from=None)  # those of another network
    chosen = subset(run.part("test") if images is None else images, seed)
    few = images is None and len(chosen) < ENOUGH
    return chosen, subset(run.part("all"), seed) if few else chosen


def remembered_labels(num_held_out: int, num_probed: int) -> str:
    """The caution of a run that learned from labels and is probed on data that it was trained on.

    Args:
        num_held_out: number of data that were held out.
        num_probed: number of data on whose codes probes are fitted and scored.
    """
    return (
        f"Labels trained this model, and of the {num_probed:,} data probed only {num_held_out:,} are held out: "
        "what levels tell of the label, and of what follows from it, may be learned by heart, and `told`, level order "
        "and level separation with it. Measure other data with labels; class_error is of held-out data alone."
    )


def compared_with_trained(num_held_out: int, num_compared: int) -> str:
    """The caution of a run whose pictures are compared with data that it was trained on.

    Args:
        num_held_out: number of data that were held out.
        num_compared: number of data from which both halves of the comparison are taken.
    """
    return (
        f"What is drawn, reconstructed and swapped is compared with {num_compared:,} data, of which only "
        f"{num_held_out:,} are held out: a model that learned its data by heart looks better than it is. Measure other "
        "data of this kind."
    )


def untrained(run: Run, seed: int = 0) -> LatentModel:
    """The model of a run with random weights, on the run's device.

    Args:
        run: a run of any model.
        seed: of the weights.
    """
    recipe, state = run.recipe, run.model.state_dict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = recipes.build(recipe, mean=state.get("mean"), stddev=state.get("stddev"))
    for own, trained in zip(model.modules(), run.model.modules(), strict=True):
        if isinstance(own, PrincipalComponents):  # a property of the data, like their mean
            own.load_state_dict(trained.state_dict())
    model.network = run.network
    return model.to(run.model.device)


def keep_evaluation(run: Run, result: Mapping[str, Any], name: str = EVALUATION) -> None:
    """Writes evaluation.json to `run.outputs`.

    Args:
        run: the run.
        result: the measurements.
        name: of the file.

    Raises:
        WriteError: if it cannot be written.
    """
    with writing(run.outputs):
        run.outputs.mkdir(parents=True, exist_ok=True)
    with whole(run.outputs / name) as file:
        file.write_text(json.dumps(result, indent=2, allow_nan=False))


def _print_measuring(what: str) -> None:
    print(f"measuring {what}", file=sys.stderr, flush=True)


def _print_nothing(what: str) -> None:
    pass
