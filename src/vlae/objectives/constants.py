"""Small tensors of numbers that change seldom, such as the weights of the levels."""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor


@lru_cache(maxsize=64)
def constant(values: tuple[float, ...], device: torch.device) -> Float[Tensor, " n"]:
    """The numbers as a tensor, which must not be changed; the latest are kept.

    A tensor that is made of numbers on a GPU lets the processor wait for it. From pinned memory it does not.

    Args:
        values: the numbers.
        device: the device of the result.
    """
    tensor = torch.tensor(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
