"""Where a model computes: on the processor, or on what this machine has beside it."""

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

ACCELERATORS = ("auto", "cpu", "gpu", "mps")


def device_of(accelerator: str = "auto") -> torch.device:
    """The device of this name on this machine.

    Args:
        accelerator: "auto": the GPU if there is one, else the processor. "cpu". "gpu": a GPU by CUDA or ROCm. "mps":
            the GPU of an Apple machine.

    Raises:
        ValueError: if there is no such name, or this machine, or this PyTorch, has no such device.

    Examples:
        >>> device_of("cpu")
        device(type='cpu')
    """
    if accelerator not in ACCELERATORS:
        raise ValueError(f"accelerator is {accelerator!r}; choose one of {', '.join(ACCELERATORS)}")
    there = {"cpu": True, "gpu": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if accelerator == "auto":
        accelerator = "gpu" if there["gpu"] else "cpu"
    if not there[accelerator]:
        raise ValueError(
            f"accelerator {accelerator!r} cannot be had here: PyTorch {torch.__version__} finds none; "
            "choose auto or cpu, or install a PyTorch that supports it"
        )
    return torch.device("cuda" if accelerator == "gpu" else accelerator)


Model = TypeVar("Model", bound=nn.Module)
Result = TypeVar("Result")


def measuring_device(trained_on: torch.device) -> torch.device:
    """Where a trained model is measured: where it was trained, but on the processor after an Apple GPU.

    That has no float64, in which measurements are added up.

    Args:
        trained_on: the device of the training.
    """
    return torch.device("cpu") if trained_on.type == "mps" else trained_on


def or_on_the_processor(model: Model, device: torch.device, work: Callable[[Model], Result]) -> Result:
    """Does some work with a copy of a model on a device; if the device fails, with the model itself, on the processor.

    A device fails for want of memory, by errors of several kinds, and once it has failed it may give nothing back. So
    the model stays where it is.

    Args:
        model: on the processor.
        device: where to work.
        work: what to do with the model that it is given; it can be done again from the beginning.

    Raises:
        RuntimeError: if the processor fails, too.
    """
    if device.type == "cpu":
        return work(model)
    try:
        return work(copy.deepcopy(model).to(device))
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        print(f"the device {device} failed ({reason}); the processor does this instead", file=sys.stderr, flush=True)
        return work(model)


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Lets a GPU compute convolutions in float32 throughout, as the processor does.

    By itself PyTorch rounds their inputs to TF32, which keeps 10 bits of 23: that would move codes. Who has set
    PyTorch's `fp32_precision` keeps what it says: the two switches cannot be mixed.
    """
    try:
        rounded = torch.backends.cudnn.allow_tf32
    except RuntimeError:
        rounded = False
    if rounded:
        torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        if rounded:
            torch.backends.cudnn.allow_tf32 = True
