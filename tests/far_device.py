"""A device that computes like a GPU and needs none: its tensors have values, and refuse those of the processor.

Tensors of PyTorch's device "meta" have no values. Within `far_device()` they have: each goes with a tensor of the
processor by which all is computed. What a GPU refuses is refused: to compute with tensors of both, and to give values
to NumPy.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map, tree_map_only

FAR, NEAR = torch.device("meta"), torch.device("cpu")
aten = torch.ops.aten
MOVES = {aten._to_copy, aten.to, aten.copy_}
BY_NUMBERS_OF_ANY = {aten.index, aten.index_put, aten.index_put_}
"""What takes indices of the processor, too, as on a GPU."""


class Far(torch.Tensor):
    """A tensor that says its device is "meta", and has values."""

    @staticmethod
    def __new__(cls, near):
        with torch.inference_mode(False):  # a view of a parameter could not be made there
            far = torch.Tensor._make_wrapper_subclass(
                cls,
                near.shape,
                strides=near.stride(),
                storage_offset=near.storage_offset(),
                dtype=near.dtype,
                device=FAR,
            )
        far.near = near
        return far

    def __repr__(self):
        return f"Far({self.near!r})"

    def tolist(self):
        return self.near.tolist()

    def numpy(self, *, force=False):
        raise TypeError("can't convert a tensor of another device to numpy; use Tensor.cpu()")

    def __array__(self, dtype=None):
        return self.numpy()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _computed(function, args, kwargs or {})


class _Everywhere(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _computed(function, args, kwargs or {})


@contextmanager
def far_device() -> Iterator[torch.device]:
    """The device; a model and its data can be moved to it within the block."""
    with _Everywhere():
        yield FAR


def _computed(function, args, kwargs):
    op, leaves = function.overloadpacket, list(tree_iter((args, kwargs)))
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    far = [tensor for tensor in tensors if isinstance(tensor, Far)]
    together = tensors
    if op in BY_NUMBERS_OF_ANY and isinstance(args[0], Far):
        together = [leaf for leaf in tree_iter((args[0], args[2:])) if isinstance(leaf, torch.Tensor)]
    if far and op not in MOVES and any(t.dim() and not isinstance(t, Far) for t in together):
        shapes = [f"{tuple(t.shape)} {'far' if isinstance(t, Far) else 'near'}" for t in tensors]
        raise RuntimeError(f"expected all tensors to be on the same device: {function} of {', '.join(shapes)}")
    asked = [leaf for leaf in leaves if isinstance(leaf, torch.device)]
    goes_far = asked[0] == FAR if asked else bool(far) and (op not in MOVES or isinstance(tensors[0], Far))
    args, kwargs = tree_map_only(torch.device, lambda _: NEAR, (args, kwargs))
    args, kwargs = tree_map_only(Far, lambda tensor: tensor.near, (args, kwargs))
    result = function(*args, **kwargs)
    same = {id(tensor.near): tensor for tensor in far}  # what is changed in place stays the same tensor

    def placed(part):
        if not isinstance(part, torch.Tensor) or not goes_far:
            return part
        return same[id(part)] if id(part) in same else Far(part)

    return tree_map(placed, result)
