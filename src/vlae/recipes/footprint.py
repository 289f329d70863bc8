"""How much memory the model of a recipe needs, known before any is allocated: for its weights, and for its maps."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vlae import memory
from vlae.data.cache import computed_once
from vlae.errors import reason
from vlae.models.base import LatentModel
from vlae.models.inference import evaluating, given
from vlae.recipes.recipe import Recipe, build
from vlae.shapes import MAX_CHANNELS, MAX_SIDE, is_image

MAX_MODULES = 3_000
"""The most modules of a model; the largest recipe of this package has 300. It bounds the time to refuse one."""

TRAINED = 4
"""Numbers that training keeps for each weight: itself, its gradient and Adam's two moments."""

OF_PRIOR = 40
"""Bytes for each pair of numbers of a code: the factor of the fitted prior, and what it takes to write that."""

DRAWN = 64
"""How many data a run must be able to take at a time, to draw its figures."""


@dataclass(frozen=True)
class Footprint:
    """Bytes of memory of a model.

    Attributes:
        weights: of its parameters and buffers.
        maps: of all that a pass makes, which training keeps for the gradient.
        largest: of what the operation that needs most takes and makes; without a gradient the rest is freed.
    """

    weights: int
    maps: int
    largest: int


class NoEstimateError(ValueError):
    """A pass of the model asks a tensor for its value, so what it needs is not known before there is memory for it."""


def model_without_memory(recipe: Recipe) -> LatentModel:
    """The recipe's model on the device "meta": it has names and shapes of its weights, and no memory for them.

    Args:
        recipe: a recipe, which may come from a stranger.

    Raises:
        ValueError: if no model can be built from the recipe.
    """
    _check_shape(recipe.shape)
    with _reasons(), torch.device("meta"), _at_most(MAX_MODULES):
        return build(recipe)


def footprint(model: LatentModel, num_data: int, *, training: bool = False) -> Footprint:
    """How much memory a model needs, from a pass that computes nothing.

    Args:
        model: on the device "meta".
        num_data: how many data pass through the model at a time.
        training: whether it is the pass of a training step; some models then sum over all classes.

    Raises:
        NoEstimateError: if the pass asks a tensor for its value, which a part of another package may do.
        ValueError: if no data can pass through the model.
    """
    x = torch.zeros(num_data, *model.shape, device="meta")
    features = torch.zeros(num_data, model.num_features, device="meta") if model.num_features else None
    codes = tuple(torch.zeros(num_data, size, device="meta") for size in model.code_sizes)
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    with _reasons(of_pass=True), evaluating(model), _Meter() as meter:
        model.training = training  # of the whole, not of its norms, which refuse a batch of one
        encodes = "encoder" not in model.lacks
        likelihood = model(x, **given(features, device=x.device)).likelihood if encodes else model.generate(codes)
        model.picture_of(likelihood)
        if "density" not in model.lacks:
            likelihood.log_prob(x)
    return Footprint(weights, meter.made, meter.largest)


def check_use(model: LatentModel, recipe: Recipe) -> None:
    """Checks that there is memory for a model and for the data of a figure.

    What it needs is kept in the cache: to measure it, PyTorch imports its compiler, which takes a second. A model of
    which it cannot be known is not refused.

    Args:
        model: on the device "meta".
        recipe: of the model.

    Raises:
        NotEnoughMemoryError: if there is not.
        ValueError: if no data can pass through the model.
    """
    settings = {**recipe.as_dict()["recipe"], "training": None, "objective": None}
    try:
        needed = Footprint(**computed_once("footprints", [settings, DRAWN], lambda: asdict(footprint(model, DRAWN))))
    except NoEstimateError:
        return
    num_bytes = needed.weights + needed.largest
    memory.require(num_bytes, f"its model, with {DRAWN} data at a time,", "open it on a larger machine")


def check_training(recipe: Recipe, num_data: int, *, accelerator: str = "cpu") -> None:
    """Checks that there is memory to train a recipe.

    Only the weights are checked if an accelerator with memory of its own may be used. A model of which it cannot be
    known what it needs is not refused.

    Args:
        recipe: the settings of the training.
        num_data: how many training data there are.
        accelerator: the kind of device: "auto", "cpu", "gpu" or "mps".

    Raises:
        NotEnoughMemoryError: if there is not; the message names the setting to lower.
        ValueError: if no model can be built from the recipe.
    """
    batch_size = min(recipe.training.batch_size, num_data)
    model = model_without_memory(recipe)
    try:
        one = footprint(model, 1, training=True)
    except NoEstimateError:
        return
    remedy = "give smaller code sizes (--codes) or, for pictures, a smaller --size (code_sizes=, size=)"
    memory.require(TRAINED * one.weights + one.maps, "training this model", remedy)
    memory.require(OF_PRIOR * sum(model.code_sizes) ** 2, "a prior of these codes", remedy)
    if accelerator != "cpu" and (torch.cuda.is_available() or torch.backends.mps.is_available()):
        return
    if memory.fits(TRAINED * one.weights + batch_size * one.maps):  # no batch takes more than so many data alone
        return
    all_data = footprint(model, batch_size, training=True)
    remedy = f"lower --batch-size, which is {recipe.training.batch_size:,} (batch_size=)"
    memory.require(TRAINED * one.weights + all_data.maps, f"training with {batch_size:,} data at a time", remedy)


class _Meter(TorchDispatchMode):
    """Counts the bytes of the tensors that operations take and make.

    Attributes:
        made: of all tensors that were made.
        largest: of the tensors of the operation that takes and makes most.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.made = self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        taken = {_storage(tensor): tensor.nbytes for tensor in tree_leaves((args, kwargs)) if _is_map(tensor)}
        made = {_storage(tensor): tensor.nbytes for tensor in tree_leaves(result) if _is_map(tensor)}
        new = sum(num for storage, num in made.items() if storage not in taken)  # a view, or a change in place, is none
        self.made += new
        self.largest = max(self.largest, new + sum(taken.values()))
        return result


def _is_map(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter)


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


@contextmanager
def _at_most(num_modules: int) -> Iterator[None]:
    """Stops a model from being built of more modules."""
    count = 0

    def counted(module: nn.Module, name: str, submodule: nn.Module | None) -> None:
        nonlocal count
        count += 1
        if count > num_modules:
            raise ValueError(f"it has more than {num_modules:,} layers and parts")

    hook = register_module_module_registration_hook(counted)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _reasons(*, of_pass: bool = False) -> Iterator[None]:
    """Turns any error into one line; of a pass, that a value was asked for, which is no fault of the model."""
    try:
        yield
    except Exception as error:  # wrong types or absurd sizes make torch raise almost any error
        said = f"no model can be built from its recipe: {reason(error)}"
        if "meta tensor" not in said.lower():
            raise ValueError(said) from error
        if of_pass:
            raise NoEstimateError(said) from error
        raise ValueError(f"{said}; build its parts without asking a tensor for a value: no .item(), no if") from error


def _check_shape(shape: Any) -> None:
    """Refuses a shape so large that one batch of data would fill the memory."""
    whole = isinstance(shape, tuple) and all(type(side) is int and side > 0 for side in shape)
    if whole and (len(shape) == 1 or (is_image(shape) and shape[0] <= MAX_CHANNELS and max(shape[1:]) <= MAX_SIDE)):
        return
    raise ValueError(
        f"its recipe is for data of shape {shape}; images have 1 to {MAX_CHANNELS} channels and at most "
        f"{MAX_SIDE} pixels a side, vectors one dimension"
    )
