"""Muon for the hidden dense layers of a model, and Adam for all else, as one optimiser."""

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from vlae.nn.layers import BoundedNorm1d

LEAST, MOST = 128, 512
"""Inputs and outputs of a dense layer that Muon trains: larger ones take longer than they gain."""

RATE, ITERATIONS = 10.0, 3
"""The learning rate of Muon, in times that of Adam, and the iterations of Newton and Schulz. Half and twice the rate,
and five iterations, gave the same error."""


def hidden_dense(model: nn.Module) -> list[nn.Parameter]:
    """The weights of the dense layers of 128 to 512 inputs and outputs that a batch norm follows.

    Args:
        model: any model.
    """
    stacks = (list(part) for part in model.modules() if isinstance(part, nn.Sequential))
    pairs = (pair for layers in stacks for pair in pairwise(layers))
    layers = (layer for layer, norm in pairs if isinstance(layer, nn.Linear) and isinstance(norm, BoundedNorm1d))
    return [layer.weight for layer in layers if all(LEAST <= side <= MOST for side in layer.weight.shape)]  # type: ignore[misc]


class MuonAndAdam(torch.optim.Adam):
    """Adam, and Muon for some matrices: their steps have all directions nearly equally long.

    Reference: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; by torch.optim.Muon,
    without weight decay.

    Args:
        groups: the groups of Adam; matrices are taken out of them.
        matrices: the parameters of Muon, of two dimensions, at least one.
        settings: of Adam: lr, betas, fused.
    """

    def __init__(self, groups: Iterable[Mapping[str, Any]], matrices: list[nn.Parameter], **settings: Any):
        theirs = {id(matrix) for matrix in matrices}
        rest = [{**group, "params": [p for p in group["params"] if id(p) not in theirs]} for group in groups]
        super().__init__(rest, **settings)
        self.muon = torch.optim.Muon(matrices, lr=RATE * settings["lr"], weight_decay=0.0, ns_steps=ITERATIONS)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Changes all parameters, at the learning rate of Adam's first group.

        Args:
            closure: computes the gradients first.
        """
        loss = super().step(closure)
        for group in self.muon.param_groups:
            group["lr"] = RATE * self.param_groups[0]["lr"]
        self.muon.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops all gradients.

        Args:
            set_to_none: whether they become None, not 0.
        """
        super().zero_grad(set_to_none)
        self.muon.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """What both remember."""
        return {**super().state_dict(), "muon": self.muon.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes what both remembered.

        Args:
            state_dict: the state of Adam, and under "muon" that of Muon.
        """
        adam = dict(state_dict)
        self.muon.load_state_dict(adam.pop("muon"))
        super().load_state_dict(adam)
