"""Small tensors of numbers that change seldom, such as the weights of the levels."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor


def constant(values: tuple[float, ...], device: torch.device) -> Float[Tensor, " n"]:
    """The numbers as a tensor, which must not be changed; the latest are kept.

    A tensor that is made of numbers on a GPU lets the processor wait for it. From pinned memory it does not.

    Args:
        values: the numbers.
        device: the device of the result.
    """
    places = Places.now.get()
    return made(values, device) if places is None else places.take(values)


@lru_cache(maxsize=64)
def made(values: tuple[float, ...], device: torch.device) -> Float[Tensor, " n"]:
    """The numbers as a tensor; the latest are kept.

    Args:
        values: the numbers.
        device: the device of the result.
    """
    tensor = torch.tensor(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Places:
    """Tensors in place of constants, for a loss that is recorded once and run with other numbers (CUDA graphs).

    Args:
        numbers: the arguments of `constant` in the loss, in the order of the calls.
        device: of the tensors.
    """

    now: ClassVar[ContextVar["Places | None"]] = ContextVar("places", default=None)
    """Those that `constant` takes from, in this thread; None: it makes constants."""

    def __init__(self, numbers: Sequence[tuple[float, ...]], device: torch.device):
        self.numbers = list(numbers)
        self.tensors = [made(values, device).clone() for values in numbers]
        self.num_taken = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Makes `constant` give these tensors.

        Raises:
            RuntimeError: if the loss asks for other numbers than it said.
        """
        self.num_taken, before = 0, Places.now.set(self)
        try:
            yield
        finally:
            Places.now.reset(before)
        if self.num_taken != len(self.tensors):
            raise RuntimeError(f"the loss took {self.num_taken} of the {len(self.tensors)} numbers of its step_inputs")

    def take(self, values: tuple[float, ...]) -> Tensor:
        """The next tensor.

        Args:
            values: the numbers that are asked for.
        """
        if self.num_taken >= len(self.tensors) or self.numbers[self.num_taken] != values:
            raise RuntimeError(f"the loss takes {values} as number {self.num_taken}, which its step_inputs do not say")
        self.num_taken += 1
        return self.tensors[self.num_taken - 1]

    def set(self, numbers: Sequence[tuple[float, ...]]) -> None:
        """Writes other numbers into the tensors.

        Args:
            numbers: as many as before.
        """
        for i, values in enumerate(numbers):
            if values != self.numbers[i]:
                self.tensors[i].copy_(made(values, self.tensors[i].device), non_blocking=True)
                self.numbers[i] = values
