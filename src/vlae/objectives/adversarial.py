"""What an objective with a critic needs, where one optimiser trains both the model and the critic."""

from typing import Any

import torch
from torch import nn


def frozen(network: nn.Module, *inputs: Any) -> Any:
    """The output of a network whose parameters take no gradient from it; its inputs do.

    So one loss can be the sum of the critic's and the model's: the model's part sees the critic through `frozen`, and
    the critic's part sees what the model made detached.

    Args:
        network: as a critic.
        inputs: of its forward pass.
    """
    still = {name: value.detach() for name, value in (*network.named_parameters(), *network.named_buffers())}
    return torch.func.functional_call(network, still, inputs)
