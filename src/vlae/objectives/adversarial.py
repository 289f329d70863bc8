"""A tool for objectives with a critic, where one optimiser trains both the model and the critic."""

from typing import Any

import torch
from torch import nn


def frozen(network: nn.Module, *inputs: Any) -> Any:
    """The output of a network; gradients flow to its inputs, but not to its parameters.

    With it, one loss can be the sum of the critic's loss and the model's loss. The model's part calls the critic
    through `frozen`. The critic's part takes detached outputs of the model.

    Args:
        network: the network, for example a critic.
        inputs: the arguments of its forward pass.
    """
    constants = {name: value.detach() for name, value in (*network.named_parameters(), *network.named_buffers())}
    return torch.func.functional_call(network, constants, inputs)
