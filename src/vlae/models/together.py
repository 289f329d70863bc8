"""Means over a batch of which each of several processes has a share."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_num = 1  # processes that train one model together


@contextmanager
def training_together(num: int) -> Iterator[None]:
    """Says how many processes train one model in the block; all of them enter it.

    Args:
        num: the number of processes, from 1 up.
    """
    global _num
    before, _num = _num, num
    try:
        yield
    finally:
        _num = before


def mean_over_devices(share: Tensor) -> Tensor:
    """The mean over the whole batch, from the mean over this process's share; without several, the share itself.

    Every process calls it at the same place of a training step. The gradient is that of the share. Processes average
    their gradients, so that of any function of such means is the one of the whole batch.

    Args:
        share: means over the share, of any shape.
    """
    if _num == 1:
        return share
    total = share.detach().clone()
    torch.distributed.all_reduce(total)
    return share + (total / _num - share.detach())
